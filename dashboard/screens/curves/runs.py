"""What the page of curves shows: every run that this visitor has, what each is, and which belong
together because they differ in nothing but their seed."""

import re
from collections import Counter
from collections.abc import Hashable
from dataclasses import dataclass, fields, replace

import pandas as pd

from dashboard.screens import foreign_runs
from dashboard.serving import loading
from dashboard.serving.file_version import FileVersion
from dashboard.serving.loading import ModelEntry
from gridlstm.config import ModelConfig
from gridlstm.curves import QUANTITIES, with_operations
from gridlstm.training.settings import TrainingSettings

UNKNOWN_DATA = "not known"
MAX_LABEL = 80
# Settings that make no difference to what is learned; None for all seeds alike.
_IGNORED = ("seed", "save_every")
_USUAL = {field.name: field.default for field in fields(TrainingSettings)}
_SEED_IN_NAME = re.compile(r"[\s_.,/-]*\bseed[\s_=.:-]*(\d{1,18})\b|[_-]seed[_=-]?(\d{1,18})", re.I)


@dataclass(frozen=True)
class CurveRun:
    """A curve and what it is of, None where that is not known.

    `data` is equal for runs whose losses can be compared; of an imported or a beginning run nothing
    is known, so that it equals nothing else's (`data_name` is then None). `alike` is equal for runs
    that differ in their seed alone. `curve` has a column `operations`. `foreign` says how a run
    without a model came, "imported" or "watched"; it is empty for others.
    """

    label: str
    title: str
    curve: pd.DataFrame
    config: ModelConfig | None
    seed: int | None
    data: Hashable
    data_name: str | None
    byte_entropy: float | None
    alike: Hashable
    foreign: str = ""

    @property
    def architecture(self) -> str:
        """What it is called, with its options, or what is known instead."""
        if self.config is None:
            return self.foreign or "not known yet"
        return self.config.form.title

    def has(self, quantity: str) -> bool:
        """Whether one of `QUANTITIES` was measured."""
        column = QUANTITIES[quantity]
        return column in self.curve and bool(self.curve[column].notna().any())


@dataclass(frozen=True)
class Group:
    """Runs that differ in nothing but their seed."""

    label: str
    runs: tuple[CurveRun, ...]

    @property
    def first(self) -> CurveRun:
        return self.runs[0]


def all_runs() -> tuple[list[CurveRun], list[str]]:
    """The runs by their curves, and one sentence (Markdown) for each file that is unusable."""
    found = loading.catalogue()
    watched = foreign_runs.watched()
    drawn = {entry.name: entry for entry in found.models if entry.curve is not None}
    runs = [_of_entry(entry) for entry in drawn.values()]
    runs += [_of_foreign(run) for run in (*watched.runs, *foreign_runs.imported())]
    return _add_unique_labels(runs), found.problems + watched.problems


def shortened(runs: list[CurveRun], some: list[CurveRun]) -> list[CurveRun]:
    """All runs, of which `some` are called by their titles alone where that is enough among those:
    the runs of one text need not be told from those of others."""
    counts = Counter(run.title for run in some)
    labels = {run.label for run in some if run.config and counts[run.title] == 1}
    return [replace(run, label=run.title) if run.label in labels else run for run in runs]


def _of_entry(entry: ModelEntry) -> CurveRun:
    if entry.metadata is None:
        title, curve = entry.title, with_operations(entry.curve, None)
        return CurveRun(title, title, curve, None, None, title, None, None, title)
    about = entry.metadata
    title = about.model.title + (" (mine)" if entry.uploaded else "")
    data = about.data.measured_on
    return CurveRun(
        label=f"{title} · {entry.name}",
        title=title,
        curve=with_operations(entry.curve, about.model.operations_per_token),
        config=about.model,
        seed=_whole(about.training.get("seed")),
        data=data,
        data_name=entry.text,
        byte_entropy=about.data.byte_entropy,
        alike=(about.model, data, settings_without_seed(about.training), entry.uploaded),
    )


def _whole(value: object) -> int | None:
    """A visitor's file may name anything as its seed."""
    return value if type(value) is int else None


def settings_without_seed(training: dict) -> frozenset:
    """All settings that could make a difference; those that older files lack are the usual ones.

    Runs begun from seeds of one model differ in no more than their seed.
    """
    whole = _USUAL | training
    if type(begun_from := whole.get("begun_from")) is str:
        whole["begun_from"], _ = without_seed(begun_from)
    return frozenset((k, v) for k, v in whole.items() if v is not None and k not in _IGNORED)


def _of_foreign(run: foreign_runs.ForeignRun) -> CurveRun:
    if run.metadata is not None:
        entry = ModelEntry(run.name, run.name, FileVersion(run.path), run.metadata, run.curve)
        return _of_entry(entry)
    name, seed = without_seed(run.name)
    foreign = "imported" if run.imported else "watched"
    # The seeds of one model may come in one file, or side by side in a watched folder.
    source = run.source if run.imported or seed is None else f"{run.path.parent}: {name}"
    return CurveRun(
        label=f"{run.name} ({foreign})",
        title=f"{name} ({foreign})",
        curve=with_operations(run.curve, None),
        config=None,
        seed=seed,
        data=("foreign", source),
        data_name=None,
        byte_entropy=None,
        alike=(source, name if seed is not None else run.name, seed is None),
        foreign=foreign,
    )


def without_seed(name: str) -> tuple[str, int | None]:
    """The name of an imported run without the words "seed 7" or the like, and the seed."""
    found = _SEED_IN_NAME.search(name)
    if not found:
        return name, None
    rest = (name[: found.start()] + name[found.end() :]).strip(" _-.,/") or name
    return rest, int(found[1] or found[2])


def _add_unique_labels(runs: list[CurveRun]) -> list[CurveRun]:
    """With short labels, and a number after those not unique: selectors tell options by them."""
    taken: set[str] = set()
    apart = []
    for run in runs:
        short = " ".join(run.label.split()) or "unnamed"
        if len(short) > MAX_LABEL:
            # Of a path the end tells more.
            short = f"{short[: MAX_LABEL // 2]}…{short[-MAX_LABEL // 2 :]}"
        label, number = short, 1
        while label in taken:
            number += 1
            label = f"{short} ({number})"
        taken.add(label)
        apart.append(replace(run, label=label))
    return apart


def grouped(runs: list[CurveRun]) -> list[Group]:
    """The runs in groups, in the order of the first of each. A group of one run is called as it."""
    alike: dict[Hashable, list[CurveRun]] = {}
    for run in runs:
        alike.setdefault(run.alike, []).append(run)
    titles = Counter(members[0].title for members in alike.values())
    groups = []
    for members in alike.values():
        label = members[0].label
        if len(members) > 1:
            seeds = f"{len(members)} seeds"
            unique = titles[members[0].title] == 1
            label = f"{members[0].title if unique else without_seed(label)[0]}, {seeds}"
        groups.append(Group(label, tuple(members)))
    return groups


def groups_of(runs: list[CurveRun], groups: list[Group]) -> list[Group]:
    """The groups with those of their runs that are among `runs`, under the same labels."""
    wanted = {run.label for run in runs}
    kept = [
        Group(group.label, tuple(run for run in group.runs if run.label in wanted))
        for group in groups
    ]
    return [group for group in kept if group.runs]


def alone(runs: list[CurveRun]) -> list[Group]:
    """Every run a group of its own."""
    return [Group(run.label, (run,)) for run in runs]
