"""Which runs the page Curves shows: measured on which text, of which architectures and models.

Every widget is bound to the address bar. Those that are not always there stand in containers of
their own: were the widgets after them to move, their binding to the address would be lost.
"""

from collections.abc import Hashable, Iterator
from dataclasses import dataclass
from itertools import compress

import streamlit as st

from dashboard.screens.curves.runs import CurveRun, Group, groups_of, shortened
from dashboard.screens.curves.styles import heading
from dashboard.words import verbatim

ALL_DATA = "All data"
UNKNOWN_TEXT = "A text that is not known"
DATA_WIDTH = 260


@dataclass(frozen=True)
class Part:
    """What was measured on one text, which is called `text`: what may stand in one picture or
    table. `suffix` makes the keys of its elements unique."""

    text: str
    runs: list[CurveRun]
    groups: list[Group]
    suffix: str


def choose_data(runs: list[CurveRun]) -> tuple[list[CurveRun], list[CurveRun]]:
    """A selector of the data, where there are several; runs of unknown data are always shown.

    Returns all runs, with labels that tell the chosen ones apart, and those of the chosen data.
    """
    labels = data_labels(runs)
    chosen = ALL_DATA
    with st.container(width=DATA_WIDTH if len(labels) > 1 else "content"):
        if len(labels) > 1:
            chosen = st.selectbox(
                "Measured on",
                [*labels.values(), ALL_DATA],
                help="Losses on different texts cannot be compared: of all data, each text has "
                "pictures and tables of its own. Runs of which it is not known, imported and "
                "watched ones and those that have just begun, are always shown.",
                key="measured_on",
                bind="query-params",
            )
        is_kept = [
            chosen == ALL_DATA or run.data_name is None or labels[run.data] == chosen
            for run in runs
        ]
        named = shortened(runs, list(compress(runs, is_kept)))
        kept = list(compress(named, is_kept))
        if len(kept) < len(runs):
            st.caption(f"Runs measured on other data, not shown: {len(runs) - len(kept)}.")
    return named, kept


def choose_runs(runs: list[CurveRun]) -> list[CurveRun]:
    """Selectors of architectures and runs. None chosen means all: so a run that begins now appears
    by itself."""
    with st.container():
        architectures = list(dict.fromkeys(heading(run, "architecture") for run in runs))
        chosen = []
        if len(architectures) > 2:
            chosen = st.pills(
                "Architectures",
                architectures,
                selection_mode="multi",
                help="None chosen means all.",
                key="architectures",
                bind="query-params",
            )
    wanted = [r for r in runs if not chosen or heading(r, "architecture") in chosen]
    labels = st.multiselect(
        "Models",
        [run.label for run in wanted],
        placeholder="All models; choose some to see only those",
        key="runs",
        bind="query-params",
    )
    return [run for run in wanted if not labels or run.label in labels]


def by_text(runs: list[CurveRun], groups: list[Group]) -> list[Part]:
    """The runs and their groups, those of each text that losses were measured on apart.

    If no two texts are known, all runs are together, those of which it is not known among them.
    """
    labels = data_labels(runs)
    texts: dict[str, list[CurveRun]] = {label: [] for label in labels.values()}
    for run in runs:
        texts.setdefault(labels.get(run.data, UNKNOWN_TEXT), []).append(run)
    if len(labels) < 2:
        texts = {"": runs}
    return [
        Part(text, some, groups_of(some, groups), "" if number == 1 else f"_{number}")
        for number, (text, some) in enumerate(texts.items(), start=1)
    ]


def each_text(parts: list[Part]) -> Iterator[Part]:
    """The parts one after the other, under their texts' names where there are several."""
    for part in parts:
        if len(parts) > 1:
            st.markdown(f"**{verbatim(part.text)}**")
        yield part


def data_labels(runs: list[CurveRun]) -> dict[Hashable, str]:
    """What each known data set is called, those of most runs first."""
    counts: dict[Hashable, int] = {}
    names = {}
    for run in runs:
        if run.data_name is not None:
            counts[run.data] = counts.get(run.data, 0) + 1
            names[run.data] = run.data_name
    labels: dict[Hashable, str] = {}
    for data in sorted(counts, key=lambda data: -counts[data]):
        label, number = names[data], 1
        while label in labels.values():
            number += 1
            label = f"{names[data]} ({number})"
        labels[data] = label
    return labels
