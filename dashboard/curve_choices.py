"""What is chosen on the page of curves: which runs, how they are drawn, what they are held against.

Every widget is bound to the address bar. Those that are not always there stand in containers of
their own: were the widgets after them to move, their binding to the address would be lost.
"""

from collections.abc import Hashable
from dataclasses import dataclass
from itertools import compress

import streamlit as st

from dashboard.charts.costs import CostPoint
from dashboard.charts.curves import Look, Run
from dashboard.charts.theme import CATEGORICAL
from dashboard.runs import CurveRun, Group, shortened
from gridlstm.architectures import ARCHITECTURES
from gridlstm.curves import QUANTITIES, UNITS, best_baseline, mean_over_seeds

AXES = {
    "update": "Updates",
    "epoch": "Epochs",
    "bytes": "Bytes read",
    "seconds": "Wall time",
    "operations": "Operations",
}
QUANTITY_LABELS = {"validation": "Loss", "accuracy": "Answers right", "digits": "Digits right"}
COLOURS = {
    "architecture": "Architecture",
    "layers": "Layers",
    "units": "Units",
    "dropout": "Dropout",
    "none": "Each its own",
}
ALL_DATA = "All data"
UNKNOWN_TEXT = "A text that is not known"
DATA_WIDTH = 260
BEST_STACKED = "The best stacked LSTM"
BITS_HELP = (
    "How many yes-or-no questions the model needs, on average, to find out the next byte of a "
    "text it has not been trained on. A byte has 8 bits, so 8 is knowing nothing, and 0 would be "
    "knowing every byte beforehand. **Nats** are the same in natural logarithms: 1 bit is 0.693 "
    "nats."
)
# By key: label, whether it is on at first, and what it does.
SWITCHES = {
    "log_x": ("Log x", False, "Equal distances are equal ratios: early updates get room."),
    "log_y": ("Log y", False, "Equal distances are equal ratios of the loss."),
    "training": (
        "Training loss",
        False,
        "The mean loss since the point before, on the text being learned, with dropout switched "
        "on: because of that it can lie above the validation loss.",
    ),
    "mean": (
        "Seeds as one",
        True,
        "Runs that differ in nothing but their seed are drawn as one line, their mean, in a band "
        "from the lowest to the highest of them. Off, every run is a line.",
    ),
    "goal": (
        "Baseline's best",
        True,
        "A level line: the lowest loss of the baseline chosen below. Where a curve meets it, that "
        "run has reached the baseline.",
    ),
    "entropy": (
        "Single-byte entropy",
        False,
        "A level line: the loss of a model that knows only how frequent each byte is, computed on "
        "the validation part of the same data.",
    ),
    "published": (
        "Published curves",
        False,
        "The four curves of the original experiment (coreylynch, grid-lstm), read off its picture. "
        "They were measured on other data.",
    ),
}


# -- Which runs ------------------------------------------------------------------------------------


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


def choose_data(runs: list[CurveRun]) -> tuple[list[CurveRun], list[CurveRun]]:
    """A selector of the data, where there are several; runs of unknown data are always shown.

    Returns all runs, with labels that tell the chosen ones apart, and those of the chosen data.
    """
    labels = data_labels(runs)
    with st.container(width=DATA_WIDTH if len(labels) > 1 else "content"):
        if len(labels) < 2:
            named = shortened(runs, runs)
            return named, named
        chosen = st.selectbox(
            "Measured on",
            [*labels.values(), ALL_DATA],
            help="Losses on different texts cannot be compared: of all data, each text has "
            "pictures and tables of its own. Runs of which it is not known, imported and watched "
            "ones and those that have just begun, are always shown.",
            key="measured_on",
            bind="query-params",
        )
        if chosen == ALL_DATA:
            named = shortened(runs, runs)
            return named, named
        is_kept = [run.data_name is None or labels[run.data] == chosen for run in runs]
        named = shortened(runs, list(compress(runs, is_kept)))
        kept = list(compress(named, is_kept))
        st.caption(f"Runs measured on other data, not shown: {len(runs) - len(kept)}.")
        return named, kept


def by_text(runs: list[CurveRun]) -> dict[str, list[CurveRun]]:
    """The runs of each text that losses were measured on, by what it is called: what may stand in
    one picture or table.

    If no two texts are known, all runs are together, those of which it is not known among them.
    """
    labels = data_labels(runs)
    if len(labels) < 2:
        return {label: runs for label in labels.values() or [""]}
    parts: dict[str, list[CurveRun]] = {label: [] for label in labels.values()}
    for run in runs:
        label = UNKNOWN_TEXT if run.data_name is None else labels[run.data]
        parts.setdefault(label, []).append(run)
    return parts


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


# -- How they are drawn ----------------------------------------------------------------------------


def choose_look(runs: list[CurveRun], above, below) -> tuple[Look, str, dict[str, bool]]:
    """How to draw: the look, what gives a line its colour, and all switches by their keys.

    `above` and `below` are the containers for the widgets above and below the picture.
    """
    with above:
        axis, unit, colour_by, smoothing = _choose_scales()
        quantity = _choose_quantity(runs)
    with below, st.container(horizontal=True, gap="small"):
        on = {
            key: st.toggle(label, value, help=meaning, key=key, bind="query-params")
            for key, (label, value, meaning) in SWITCHES.items()
        }
    look = Look(axis, quantity, unit, smoothing, on["log_x"], on["log_y"], on["training"])
    return look, colour_by, on


def _choose_scales() -> tuple[str, str, str, float]:
    """The axis, the unit of losses, what gives a line its colour, and the smoothing."""
    with st.container(horizontal=True, gap="medium"):
        axis = st.segmented_control(
            "Against",
            list(AXES),
            default="update",
            required=True,
            format_func=AXES.get,
            help="An **update** changes the weights once, after one batch. An **epoch** is one "
            "pass over the training data. **Wall time** is what the clock on the wall showed. "
            "**Operations**: floating-point operations of training, which are bytes read × "
            "multiply-adds of the weights for one byte × 2 × 3 (a multiplication and an addition; "
            "forward, and backward twice that).",
            key="against",
            bind="query-params",
        )
        unit = st.segmented_control(
            "Loss in",
            UNITS,
            default="bits",
            required=True,
            help=BITS_HELP,
            key="loss_in",
            bind="query-params",
        )
        colour_by = st.selectbox(
            "Colour by",
            list(COLOURS),
            format_func=COLOURS.get,
            help="Lines of one colour differ in their pattern.",
            key="colour_by",
            bind="query-params",
            width=170,
        )
        smoothing = st.slider(
            "Smoothing",
            0.0,
            0.99,
            0.0,
            0.01,
            help="Draws a moving average: the higher, the more the points before count (an "
            "exponential moving average, debiased). The line as logged stays, faint, and the "
            "pointer shows both values.",
            key="smoothing",
            bind="query-params",
            width=190,
        )
    return axis, unit, colour_by, smoothing


def has(run: CurveRun, quantity: str) -> bool:
    """Whether one of `QUANTITIES` was measured in a run."""
    column = QUANTITIES[quantity]
    return column in run.curve and bool(run.curve[column].notna().any())


def _choose_quantity(runs: list[CurveRun]) -> str:
    """Loss, or a share of right answers where a run has one."""
    with st.container():
        offered = [
            quantity for quantity in QUANTITY_LABELS if any(has(run, quantity) for run in runs)
        ]
        if len(offered) < 2:
            return "validation"
        return st.segmented_control(
            "Show",
            offered,
            default="validation",
            required=True,
            format_func=QUANTITY_LABELS.get,
            help="**Answers right** is the share of test samples with every digit right, **digits "
            "right** that of single digits: of tasks that have answers. Runs without are not "
            "drawn.",
            key="shown",
            bind="query-params",
        )


def heading(run: CurveRun, colour_by: str) -> str:
    """What all runs of one colour have in common, in words; empty if every run has its own."""
    if colour_by == "none":
        return ""
    if run.config is None:
        return run.foreign.capitalize() or "Not known yet"
    if colour_by == "architecture":
        return ARCHITECTURES[run.config.architecture].title
    value = getattr(run.config, colour_by)
    if colour_by == "dropout":
        return f"Dropout {value:g}"
    return f"{value} {colour_by if value > 1 else colour_by[:-1]}"


@dataclass(frozen=True)
class Style:
    """Numbers that choose a group's colour and pattern, and what all of its colour have in common,
    in words."""

    colour: int
    pattern: int
    heading: str


def styles(groups: list[Group], colour_by: str) -> dict[str, Style]:
    """The style of every group by its label. `groups` are all there are, so that hiding some
    changes no colour."""
    if colour_by == "none":
        return {group.label: Style(n, n, "") for n, group in enumerate(groups)}
    ordered = sorted(groups, key=lambda group: _rank(group.first, colour_by))
    colours: dict[str, int] = {}
    # With more headings than colours, those that share one have no pattern in common.
    patterns: dict[int, int] = {}
    found = {}
    for group in ordered:
        head = heading(group.first, colour_by)
        colour = colours.setdefault(head, len(colours) % len(CATEGORICAL))
        pattern = patterns.get(colour, 0)
        patterns[colour] = pattern + 1
        found[group.label] = Style(colour, pattern, head)
    return found


def _rank(run: CurveRun, colour_by: str) -> tuple:
    if run.config is None:
        return (2, run.foreign) if run.foreign else (1, "")
    if colour_by == "architecture":
        return 0, list(ARCHITECTURES).index(run.config.architecture)
    return 0, getattr(run.config, colour_by)


def lines(groups: list[Group], style: dict[str, Style]) -> list[Run]:
    """The lines of the picture, those of one colour together."""
    drawn = []
    for group in sorted(groups, key=lambda group: style[group.label].colour):
        look, curves = style[group.label], [run.curve for run in group.runs]
        frame = curves[0] if len(curves) == 1 else mean_over_seeds(curves)
        drawn.append(Run(_in_legend(group, look), frame, look.colour, look.pattern))
    return drawn


def _in_legend(group: Group, look: Style) -> str:
    """What a group is called where its colour is explained."""
    if look.heading.lower() in group.label.lower():
        return group.label
    return f"{group.label}, {look.heading.lower()}"


def cost_points(groups: list[Group], style: dict[str, Style], cost: str) -> list[CostPoint]:
    """A point for each group whose cost is known: that of its best points, in the mean."""
    points = []
    for group in groups:
        bests = [run.curve.loc[run.curve["val_loss"].idxmin()] for run in group.runs]
        config = group.first.config
        if cost == "parameters":
            spent = float(config.parameters) if config else float("nan")
        else:
            spent = sum(float(best[cost]) for best in bests) / len(bests)
        if spent > 0:
            losses = [float(best["val_loss"]) for best in bests]
            look = style[group.label]
            points.append(
                CostPoint(
                    label=_in_legend(group, look),
                    cost=spent,
                    loss=sum(losses) / len(losses),
                    low=min(losses),
                    high=max(losses),
                    colour=look.colour,
                    symbol=look.pattern,
                )
            )
    return points


# -- What they are held against --------------------------------------------------------------------


def choose_baseline(groups: list[Group]) -> tuple[dict[str, str | None], bool]:
    """The baseline of each group by label, None where there is none on its data, and whether to
    compare at equal bytes."""
    with st.container(horizontal=True, gap="medium", vertical_alignment="bottom"):
        chosen = st.selectbox(
            "Baseline",
            [BEST_STACKED, *(group.label for group in groups)],
            help="What all others are held against. The best stacked LSTM is, on each data set, "
            "the one with the lowest mean of best losses. Imported and watched runs are compared "
            "only with others of the same file, since it is not known what they were measured on.",
            key="baseline",
            bind="query-params",
            width=460,
        )
        compared = st.segmented_control(
            "Compared",
            ["at equal bytes", "at their best"],
            default="at equal bytes",
            required=True,
            help="**At equal bytes**: of both only what was measured up to where the one that read "
            "less had come. **At their best**: the lowest losses, however much each has read, "
            "which favours the longer run.",
            key="compared",
            bind="query-params",
        )
    return baselines(groups, chosen), compared == "at equal bytes"


def baselines(groups: list[Group], chosen: str) -> dict[str, str | None]:
    """The label of the baseline of each group, by the group's label."""
    by_label = {group.label: group for group in groups}
    if chosen in by_label:
        data = by_label[chosen].first.data
        return {g.label: chosen if g.first.data == data else None for g in groups}
    curves = {run.label: run.curve for group in groups for run in group.runs}
    best = {
        data: best_baseline(
            curves,
            {
                group.label: [run.label for run in group.runs]
                for group in groups
                if group.first.data == data
                and group.first.config
                and group.first.config.architecture == "stacked"
            },
        )
        for data in {group.first.data for group in groups}
    }
    return {group.label: best[group.first.data] for group in groups}
