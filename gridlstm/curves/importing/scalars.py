"""Scalars by tags, as TensorBoard knows them: what several files of one run become together.

Which files are of one run, and which of them of training or validation, their folders' names tell:
`RUN/train` and `RUN/validation` (Keras), `RUN/loss_train` and `RUN/loss_val` (`add_scalars` of
torch), `RUN/loss/train` (of tensorboardX). A folder is one run, in the order of time.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import PurePath

import numpy as np

from gridlstm.array_types import Float64Array, IntArray
from gridlstm.curves.importing.log import AFTER_ONE_EPOCH, Log, Table
from gridlstm.curves.importing.names import data_of, metric, simplified
from gridlstm.curves.importing.programs import DOWNLOAD, KERAS, TENSORBOARD, recognise
from gridlstm.plurals import counted

_DOWNLOADED = re.compile(r"run-(?P<run>.*)-tag-(?P<tag>.+?)( ?\(\d+\))?")
_VS_ITERATIONS = "evaluation_loss_vs_iterations"


@dataclass(frozen=True)
class Scalars:
    """The scalars of one file in the order in which they were written, all [point].

    `folder` is that of the run as the writer had it. `tag` are places in `tags`. `restarts` are
    (points written before, step): a writer that went on from there.
    """

    folder: PurePath
    file: str
    tags: tuple[str, ...]
    tag: IntArray
    step: Float64Array
    wall: Float64Array
    value: Float64Array
    restarts: tuple[tuple[int, float], ...] = ()
    notes: tuple[str, ...] = ()
    downloaded: bool = False
    hyperparameters: bool = False


@dataclass(frozen=True)
class _Place:
    """Whose scalars a folder's are: `run` is the run's folder, `data` what its name says of the
    text, `column` how a tag is called there."""

    run: PurePath
    data: str = ""
    column: str = ""


# Whether a folder's scalars were downloaded, and the folder.
_Key = tuple[bool, PurePath]
# A folder's files, in the order of time, with whose they are.
_Part = tuple[_Place, list[Scalars]]
# The step, the wall time and the value of a tag's points, each [point].
_Points = tuple[Float64Array, Float64Array, Float64Array]


def downloaded_scalars(name: str, table: Table) -> Scalars | None:
    """TensorBoard's own download of a chart: the columns Wall time, Step, Value, and the run and
    the tag in the file's name. None if the table is something else."""
    simple = {simplified(column): values for column, values in table.columns.items()}
    if set(simple) != {"walltime", "step", "value"}:
        return None
    stem = PurePath(name).stem
    told = _DOWNLOADED.fullmatch(stem)
    run, tag = (told["run"], told["tag"]) if told else (stem, stem)
    known = ~np.isnan(simple["step"]) & ~np.isnan(simple["value"])
    return Scalars(
        folder=PurePath(name).parent / (run if run not in (".", "") else "run"),
        file=name,
        tags=(tag,),
        tag=np.zeros(int(known.sum()), np.int64),
        step=simple["step"][known],
        wall=simple["walltime"][known],
        value=simple["value"][known],
        notes=(
            "TensorBoard downloads a random sample of at most 1,000 points: the best value may "
            "be missing",
        ),  # fmt: skip
        downloaded=True,
    )


def join_scalars(files: Sequence[Scalars]) -> list[tuple[str, Log, list[str]]]:
    """The runs that files hold together: the run's folder, the log, and the files of each."""
    folders: dict[_Key, list[Scalars]] = {}
    for file in files:
        folders.setdefault((file.downloaded, file.folder), []).append(file)
    places = _places(folders)
    runs: dict[_Key, list[_Part]] = {}
    for key, held in folders.items():
        ordered = sorted(held, key=lambda s: (s.wall.min() if len(s.wall) else 0, s.file))
        runs.setdefault((key[0], places[key].run), []).append((places[key], ordered))
    _add_hyperparameters(runs)
    return [
        (str(folder), _log(parts, downloaded), [file.file for _, held in parts for file in held])
        for (downloaded, folder), parts in runs.items()
    ]


# -- Whose a folder is -----------------------------------------------------------------------------


def _places(folders: dict[_Key, list[Scalars]]) -> dict[_Key, _Place]:
    """Whose scalars each folder's are."""
    tags = {key: {tag for s in held for tag in s.tags} for key, held in folders.items()}
    apart = {key: _apart(key[1]) for key in folders}
    found = {}
    for key in folders:
        downloaded, folder = key
        base, word = apart[key]
        if not word:
            found[key] = _Place(folder)
            continue
        siblings = [k for k in folders if k != key and k[0] == downloaded
                    and apart[k][1] not in ("", word) and apart[k][0] == base]  # fmt: skip
        alone = base == folder.parent
        by_tag = _without_tag(base, tags[key])
        if by_tag is not None:
            column = folder.name if not alone else f"{base.name}_{word}"
            found[key] = _Place(by_tag, word, column)
        elif siblings or alone:
            found[key] = _Place(base, word)
        else:
            found[key] = _Place(folder, word)
    return found


def _apart(folder: PurePath) -> tuple[PurePath, str]:
    """A folder's path without the word that says what its losses are of, and that word."""
    parts = re.split(r"[_\-. ]+", folder.name)
    if len(parts) == 1 and data_of([parts[0].lower()]):
        return folder.parent, parts[0].lower()
    for word, rest in ((parts[-1], parts[:-1]), (parts[0], parts[1:])):
        if rest and data_of([word.lower()]):
            at = len(folder.name) - len(word) if rest is parts[:-1] or word is parts[-1] else 0
            base = folder.name[:at] if at else folder.name[len(word) :]
            return folder.parent / (base.strip("_-. ") or "run"), word.lower()
    return folder, ""


def _without_tag(base: PurePath, tags: set[str]) -> PurePath | None:
    """The folder that `add_scalars` was told to write in: its own folders end on the tag."""
    for tag in tags:
        if base.name == tag.replace("/", "_"):
            return base.parent
        parts = PurePath(tag).parts
        if parts and base.parts[-len(parts) :] == parts:
            return PurePath(*base.parts[: -len(parts)])
    return None


def _add_hyperparameters(runs: dict[_Key, list[_Part]]) -> None:
    """Take away what was written with a run's hyperparameters alone, in a folder of its own below
    the run's: figures at the end of it, no curve."""
    for key in list(runs):
        downloaded, folder = key
        held = [s for _, files in runs[key] for s in files]
        above = (downloaded, folder.parent)
        if above in runs and above != key and _are_figures(held):
            note = f"figures written with the hyperparameters, in {folder.name[:40]}: passed over"
            place, files = runs[above][0]
            files[0] = replace(files[0], notes=(*files[0].notes, note))
            del runs[key]


def _are_figures(files: list[Scalars]) -> bool:
    """Whether they hold what was written with hyperparameters alone, a value a tag."""
    once = all(len(file.tag) == len(np.unique(file.tag)) for file in files)
    return once and all(file.hyperparameters for file in files)


# -- One run ---------------------------------------------------------------------------------------


def _log(parts: list[_Part], downloaded: bool) -> Log:
    """The log of a run from its folders, each with its files in the order of time."""
    notes = list(dict.fromkeys(note for _, files in parts for s in files for note in s.notes))
    pieces = []
    for place, files in parts:
        if len(files) > 1 and not downloaded:
            notes.append(f"{len(files)} event files of one folder: one run, in the order of time")
        whole, purged = _in_order(files)
        if purged:
            notes.append(f"{counted(purged, 'point')} that a resumed run wrote anew: passed over")
        pieces += [(_column(place, tag), *points) for tag, points in whole.items()]
    metrics = tuple(dict.fromkeys(name for name, *_ in pieces))
    codes = [np.full(len(step), metrics.index(name)) for name, step, *_ in pieces]
    tag = np.concatenate([*codes, np.zeros(0, np.int64)])
    step, wall, value = (np.concatenate([np.zeros(0), *(p[n] for p in pieces)]) for n in (1, 2, 3))
    seconds = wall - wall.min() if len(wall) else wall
    # "Written as NaN" is not the same as "not written".
    value = np.where(np.isfinite(value), value, np.inf)
    table = Table({"step": step, "seconds": seconds}, None, metrics, tag, value)
    program = DOWNLOAD if downloaded else recognise(metrics, TENSORBOARD)
    keras = _keras(table)
    if keras is not None:
        table, program = keras, KERAS
        notes.append(AFTER_ONE_EPOCH)
    figures = _are_figures([file for _, files in parts for file in files])
    return Log({"": table}, program, notes=tuple(dict.fromkeys(notes)), figures=figures)


def _in_order(files: list[Scalars]) -> tuple[dict[str, _Points], int]:
    """The points (step, wall time, value) of one folder's files by tag; what was written at or
    after the step that a resumed writer began from is left out, and counted."""
    tags = list(dict.fromkeys(tag for s in files for tag in s.tags))
    tag = np.concatenate([np.array([tags.index(t) for t in s.tags], int)[s.tag] for s in files])
    step, wall, value = (
        np.concatenate([getattr(s, name) for s in files]) for name in ("step", "wall", "value")
    )
    keep, before = np.ones(len(step), bool), 0
    for s in files:
        for written, begun in s.restarts:
            keep[: before + written] &= step[: before + written] < begun
        before += len(s.step)
    found = {
        name: (step[own], wall[own], value[own])
        for place, name in enumerate(tags)
        if (own := keep & (tag == place)).any()
    }
    return found, int((~keep).sum())


def _column(place: _Place, tag: str) -> str:
    """How a tag is called beside those of the run's other folders."""
    if not place.data or metric(tag).data is not None or simplified(tag) == "epoch":
        return tag
    return place.column or f"{place.data}/{tag}"


def _keras(table: Table) -> Table | None:
    """A table of epochs, where Keras wrote the scalars: its steps are epochs, but those of the tag
    `evaluation_loss_vs_iterations` are updates. The two are paired by their equal losses."""
    loss = next((n for n in table.metrics if n.endswith("epoch_loss") and "/" in n), None)
    if loss is None:
        return None
    epochs, columns = {}, {}
    for name in table.metrics:
        if "/epoch_" in name:
            own = table.rows(table.is_of(name))
            columns[name] = own
            for epoch, seconds in zip(own.columns["step"], own.columns["seconds"], strict=True):
                epochs[epoch] = seconds
    places = {epoch: row for row, epoch in enumerate(sorted(epochs))}
    found = {
        "epoch": np.array(sorted(epochs)) + 1,
        "seconds": np.array([epochs[e] for e in places]),
    }
    for name, own in columns.items():
        values = np.full(len(places), np.nan)
        values[[places[epoch] for epoch in own.columns["step"]]] = own.value
        found[name] = values
    held_out = next(
        (n for n in found if metric(n).data == "validation" and metric(n).is_loss), None
    )
    counted_by = next((n for n in table.metrics if n.endswith(_VS_ITERATIONS)), None)
    if held_out and counted_by:
        own = table.rows(table.is_of(counted_by))
        assert own.value is not None
        updates = _paired(found[held_out], own.value, own.columns["step"])
        if updates is not None:
            found = {"iterations": updates, **found}
    return Table(found)


def _paired(
    losses: Float64Array, evaluated: Float64Array, steps: Float64Array
) -> Float64Array | None:
    """The step of each loss that is known, by the next evaluation that is equal to it; None if one
    has none, as then the evaluations are others too."""
    updates, after = np.full(len(losses), np.nan), 0
    for row in np.flatnonzero(~np.isnan(losses)):
        equal = np.flatnonzero(evaluated[after:] == losses[row])
        if not len(equal):
            return None
        after += int(equal[0])
        updates[row] = steps[after]
        after += 1
    return updates
