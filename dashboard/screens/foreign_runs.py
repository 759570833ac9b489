"""Runs that are no models here: imported by a visitor, or in folders that the operator has watched.

Folders are named by the environment variable GRIDLSTM_RUNS alone: a visitor of a hosted app must
not read the server's files. Which column of a log is what, and what a run is called, each visitor
can change for himself.
"""

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path, PurePath

import pandas as pd
import streamlit as st

from dashboard.serving.file_version import FileVersion
from dashboard.session import Value
from dashboard.words import verbatim
from gridlstm.checkpoint import CheckpointError, Metadata, checkpoint_path, read_metadata
from gridlstm.curves import CurveError
from gridlstm.curves.importing import (
    Columns,
    FoundLog,
    ImportedRuns,
    Log,
    NoCurveError,
    Scalars,
    guess_columns,
    import_guessed,
    join_files,
    read_file,
)
from gridlstm.curves.reading import read_bytes

WATCHED = "GRIDLSTM_RUNS"
MAX_WATCHED, MAX_IMPORTED = 200, 50
MAX_FOLDER_DEPTH, MAX_ENTRIES = 8, 20_000
# Files that are logs by their names, and those that may be: of these what is none is no fault.
LOG_ENDINGS = (".csv", ".tsv", ".jsonl", ".ndjson")
MAYBE_ENDINGS = (".json", ".log")
# Each of these holds the whole log so far: only the last is read.
_STATES = re.compile(r"(.*/|)checkpoint-(\d+)/trainer_state\.json|(.*)_(\d+)\.json")


@dataclass(frozen=True)
class ForeignRun:
    """A curve that came without a model of this visit. `source` tells logs apart."""

    name: str
    source: str
    curve: pd.DataFrame
    imported: bool
    path: Path = Path()
    metadata: Metadata | None = None


@dataclass(frozen=True)
class Source:
    """A log that was brought or is watched, and what was made of it: curves, or what is wrong.

    `path` is that of the watched file, or of the folder of event files.
    """

    key: str
    found: FoundLog
    outcome: ImportedRuns | CurveError
    columns: Columns
    imported: bool
    path: Path = Path()

    @property
    def runs(self) -> dict[str, str]:
        """What each of its runs is called in this visit, by its own name."""
        if isinstance(self.outcome, CurveError):
            return {}
        given = names_given()
        alone = len(self.outcome.curves) == 1
        return {run: given.get((self.key, run)) or self._name(run, alone)
                for run in self.outcome.curves}  # fmt: skip

    def _name(self, run: str, alone: bool) -> str:
        """Of a watched run the path below the folder tells it from others of its name."""
        if self.imported or run == self.found.name:
            return run
        return (
            str(PurePath(self.found.name).parent / run)
            if alone
            else (f"{run} · {self.found.files[0]}")
        )


# -- What a visitor chose and brought --------------------------------------------------------------


_COLUMNS: Value[dict[str, Columns]] = Value("run_columns")
_NAMES: Value[dict[tuple[str, str], str]] = Value("run_names")
_BROUGHT: Value[dict[str, "_Brought"]] = Value("imported_runs")
_TIMES_BROUGHT: Value[int] = Value("import_turn", 0)
# What was made of each log, by its key and the columns chosen.
_OUTCOMES: Value[dict[tuple, ImportedRuns | CurveError]] = Value("imported_outcomes")


def columns_given() -> dict[str, Columns]:
    """The columns that this visitor chose, by the logs' keys."""
    return _COLUMNS.set_if_new(dict)


def names_given() -> dict[tuple[str, str], str]:
    """The names that this visitor gave, by the log's key and the run's own name."""
    return _NAMES.set_if_new(dict)


# -- Brought by the visitor -----------------------------------------------------------------------


@dataclass(frozen=True)
class _Brought:
    name: str
    part: Log | Scalars
    content: str


def _held() -> dict[str, _Brought]:
    return _BROUGHT.set_if_new(dict)


def bring(files: list[tuple[str, bytes]]) -> dict[str, CurveError]:
    """Keep a visitor's files of runs for this visit; what is wrong with each that is not kept.

    A file that is brought again is read again, with nothing chosen.
    """
    held, faults = _held(), {}
    _TIMES_BROUGHT.set(turn := _TIMES_BROUGHT.value + 1)
    for name, data in files:
        content = _digest(name, sha256(data).hexdigest())
        again = next((key for key, file in held.items() if file.content == content), None)
        before = held.pop(again, None)
        called = before.name if before else _unlike(name, {file.name for file in held.values()})
        try:
            if len(held) >= MAX_IMPORTED:
                raise CurveError(
                    f"No more than {MAX_IMPORTED} files can be held: take one away first."
                )
            held[_digest(turn, called)] = _Brought(called, read_file(called, data), content)
        except CurveError as error:
            faults[name] = error
    return faults


def _digest(*texts: object) -> str:
    return sha256(repr(texts).encode(errors="replace")).hexdigest()[:12]


def _unlike(name: str, taken: set[str]) -> str:
    """The name, with a number if another file has it: many programs call every log the same."""
    path, number, called = PurePath(name), 1, name
    while called in taken:
        number += 1
        called = str(path.with_name(f"{path.stem} ({number}){path.suffix}"))
    return called


def remove_log(source: Source) -> None:
    """Forget the files of a log that was brought."""
    held = _held()
    for key in [key for key, file in held.items() if file.name in source.found.files]:
        del held[key]
    columns_given().pop(source.key, None)


def brought() -> list[Source]:
    """What this visitor has brought; it goes when the visit ends."""
    held = _held()
    outcomes = _OUTCOMES.get() or {}
    sources, used = [], {}
    for found in join_files((file.name, file.part) for file in held.values()):
        keys = [key for key, file in held.items() if file.name in found.files]
        # A file that is brought again has another key, so that nothing is chosen of it.
        key = keys[0] if len(keys) == 1 else _digest(*keys)
        columns = columns_given().get(key)
        if (key, columns) not in outcomes:
            outcomes[key, columns] = import_guessed(found, columns)
        used[key, columns] = outcomes[key, columns]
        sources.append(_source(key, found, used[key, columns], columns, imported=True))
    _OUTCOMES.set(used)
    return sources


def _source(key, found, outcome, columns: Columns | None, **more) -> Source:
    if columns is None:
        own = isinstance(outcome, ImportedRuns)
        columns = outcome.columns if own else _guessed(found)
    return Source(key, found, outcome, columns, **more)


def _guessed(found: FoundLog) -> Columns:
    try:
        return guess_columns(found.log)
    # As in `import_guessed`: no file may end the page.
    except Exception:
        return Columns()


def imported() -> list[ForeignRun]:
    """The visitor's runs, of the logs whose columns are known."""
    return [run for source in brought() for run in _runs_of(source)]


def _runs_of(source: Source) -> list[ForeignRun]:
    if isinstance(source.outcome, CurveError):
        # The section of the page in which the columns are chosen says it.
        return []
    own = source.found.log.own is not None and not source.imported
    return [
        ForeignRun(
            name=name,
            source=source.key,
            curve=source.outcome.curves[run],
            imported=source.imported,
            path=source.path,
            metadata=_metadata(_version(source.path)) if own else None,
        )
        for run, name in source.runs.items()
    ]


# -- Watched --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Watched:
    """What lies in the watched folders now. `problems` are one sentence (Markdown) for each file
    that should be a log and is not readable, `passed_over` why other files are not shown."""

    sources: list[Source]
    problems: list[str]
    passed_over: list[str]

    @property
    def runs(self) -> list[ForeignRun]:
        return [run for source in self.sources for run in _runs_of(source)]


def watched_folders() -> list[Path]:
    """The folders that the program was told to watch."""
    return [Path(name) for name in os.environ.get(WATCHED, "").split(os.pathsep) if name]


def watched() -> Watched:
    """The runs in these folders as they are now."""
    whole = Watched([], [], [])
    folders = watched_folders()
    for folder in folders:
        if not folder.is_dir():
            whole.problems.append(verbatim(f"{WATCHED}: there is no folder {folder.name}."))
            continue
        _watch(folder, whole)
    return whole


def _watch(folder: Path, whole: Watched) -> None:
    """Add what lies in one folder."""
    left = [MAX_ENTRIES]
    files = sorted(_files(folder, MAX_FOLDER_DEPTH, left))
    if left[0] <= 0:
        whole.problems.append(
            verbatim(f"{folder.name}: only the first {MAX_ENTRIES:,} files and folders are seen.")
        )
    files, earlier = _last_states(files, folder)
    whole.passed_over.extend(earlier)
    if len(files) > MAX_WATCHED:
        whole.problems.append(
            verbatim(f"{folder.name}: of {len(files)} files only {MAX_WATCHED} are watched.")
        )
    parts, versions = [], {}
    for path in files[:MAX_WATCHED]:
        name = str(path.relative_to(folder))
        versions[name] = _version(path)
        part = _read_watched(versions[name], name)
        if isinstance(part, CurveError):
            _say(whole, name, part)
        elif part is not None:
            parts.append((name, part))
    for found in join_files(parts, here=folder.name):
        path = folder / found.files[0]
        if isinstance(dict(parts)[found.files[0]], Scalars):
            path = path.parent
        key = _digest(str(folder), found.name)
        columns = columns_given().get(key)
        outcome = _outcome(key, tuple(versions[file] for file in found.files), columns, found)
        if isinstance(outcome, NoCurveError) and columns is None:
            _say(whole, found.name, outcome)
            continue
        whole.sources.append(_source(key, found, outcome, columns, imported=False, path=path))


def _say(whole: Watched, name: str, error: CurveError) -> None:
    """A file that is in order, or that need not be a log, is no problem."""
    maybe = name.lower().endswith(MAYBE_ENDINGS)
    said = whole.passed_over if maybe or isinstance(error, NoCurveError) else whole.problems
    said.append(verbatim(f"{name}: {error}"))


def _files(folder: Path, depth: int, left: list[int]) -> Iterator[Path]:
    """The files that may be runs; what cannot be looked into is passed over. `left` is how many
    entries may still be looked at."""
    try:
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except OSError:
        return
    for entry in entries:
        left[0] -= 1
        if left[0] <= 0:
            return
        if entry.name.startswith("."):
            continue
        if entry.is_dir(follow_symlinks=False) and depth > 1:
            yield from _files(Path(entry.path), depth - 1, left)
        elif is_log_name(entry.name) and not entry.is_dir():
            yield Path(entry.path)


def is_log_name(name: str) -> bool:
    """Whether a file's name is one that logs have."""
    lower = name.lower()
    if lower.endswith((*LOG_ENDINGS, ".log")) or "tfevents" in name:
        return True
    return name.endswith("trainer_state.json") or bool(re.search(r"_\d+\.json$", name))


def _last_states(files: list[Path], folder: Path) -> tuple[list[Path], list[str]]:
    """The files without earlier states of the same training, and what is said of these."""
    last: dict[str, tuple[int, Path]] = {}
    states = {}
    for path in files:
        name = path.relative_to(folder).as_posix()
        if told := _STATES.fullmatch(name):
            training = told[1] if told[2] else told[3]
            states[path] = training
            last[training] = max(last.get(training, (-1, path)), (int(told[2] or told[4]), path))
    kept = [path for path in files if path not in states or last[states[path]][1] == path]
    fewer = len(files) - len(kept)
    said = [f"Earlier states of trainings of which a later one is read: {fewer}."] if fewer else []
    return kept, said


def _version(path: Path) -> FileVersion:
    """Of a file together with the checkpoint beside it."""
    return FileVersion.of(path, checkpoint_path(path.parent, path.stem))


@st.cache_resource(max_entries=2 * MAX_WATCHED, show_spinner=False)
def _read_watched(version: FileVersion, name: str) -> Log | Scalars | CurveError | None:
    """What a file holds, or what is wrong with it; None if there is nothing yet.

    What a writer has not finished is passed over: a last line without its end.
    """
    path = version.path
    try:
        if "tfevents" in name:
            return read_file(name, path) if version.size or not path.exists() else None
        data = read_bytes(path)
        if not name.lower().endswith(".json") and not data.startswith((b"\xff\xfe", b"\xfe\xff")):
            data = data[: data.rfind(b"\n") + 1] or data
        return read_file(name, data) if data else None
    except CurveError as error:
        return error


@st.cache_resource(max_entries=4 * MAX_WATCHED, show_spinner=False)
def _outcome(
    key: str, versions: tuple[FileVersion, ...], columns: Columns | None, _found: FoundLog
) -> ImportedRuns | CurveError:
    return import_guessed(_found, columns)


@st.cache_resource(max_entries=2 * MAX_WATCHED, show_spinner=False)
def _metadata(version: FileVersion) -> Metadata | None:
    """What the checkpoint beside a curve says; nothing if there is none, or none that is whole."""
    path = version.path
    checkpoint = checkpoint_path(path.parent, path.stem)
    try:
        return read_metadata(checkpoint) if checkpoint.exists() else None
    except (CheckpointError, OSError):
        return None
