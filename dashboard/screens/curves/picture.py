"""The picture of the validation curves, and what has to be said of it."""

import math
from pathlib import Path

import plotly.graph_objects as go
import streamlit as st

from dashboard.charts.theme import plot_config
from dashboard.screens.curves.charts import TITLES, Look, Run, count_hidden_lines, curves_figure
from dashboard.screens.curves.look import Drawing
from dashboard.screens.curves.runs import CurveRun, Group, alone
from dashboard.screens.curves.selection import Part
from dashboard.screens.curves.styles import lines, styles
from dashboard.serving import loading
from dashboard.words import verbatim
from gridlstm.curves import CurveError, counted_by, curve_series, read_published

FORMATS = Path(__file__).parents[3] / "docs" / "formats.md"
COUNTS_ALONE = {
    "epoch": "epochs alone: choose **Epochs**",
    "seconds": "time alone: choose **Wall time**",
}


def explain(parts: list[Part], drawing: Drawing) -> None:
    """What has to be said about the pictures of all these parts."""
    if drawing.published:
        st.warning(
            "The published curves (dotted) were measured on **other data**: enwik8, ten times the "
            "size of the text shipped here, with 1000 units a layer. Their losses cannot be "
            "compared with those of the other lines."
            + ("" if drawing.look.axis == "update" else " They are shown only against updates.")
        )
    if len(parts) > 1:
        st.info(
            "These models were not all measured on the same text. Losses on different texts cannot "
            "be compared, so each text has pictures and tables of its own."
        )
    if any(run.foreign for part in parts for run in part.runs):
        st.info(
            "It is not known what the **imported or watched** runs were measured on: their losses "
            "may not be comparable with those of the models here, and no percentages between the "
            "two are given. Nor need they be means per character: Keras' losses hold masks and "
            "weight penalties, Lightning weighs batches by their first dimension, Hugging Face's "
            "depend on the batch size and log NaN as 0.0, fastai's training loss is a moving "
            "average; what else no importer can know, `docs/formats.md` says."
        )
        with st.popover("docs/formats.md", type="tertiary", icon=":material/menu_book:"):
            st.markdown(describe_unknown_formats())


@st.cache_data(show_spinner=False)
def describe_unknown_formats() -> str:
    """That section of `docs/formats.md`, or where to find it."""
    try:
        text = FORMATS.read_text(encoding="utf-8")
        return text.split("### What no importer can know\n", 1)[1].split("\n#", 1)[0]
    except (OSError, IndexError):
        return "See `docs/formats.md` in the repository."


def draw(part: Part, styled: list[Group], drawing: Drawing, baselines: list[CurveRun]) -> None:
    """The picture of one text's runs and what has to be said of it.

    `styled` are the groups that colours and patterns are handed out to, `baselines` the runs that
    all are held against.
    """
    look = drawing.look
    if drawing.seeds_as_one:
        shown, style = part.groups, styles(styled, drawing.colour_by)
    else:
        shown = alone(part.runs)
        every_run = alone([run for group in styled for run in group.runs])
        style = styles(every_run, drawing.colour_by)
    drawn = lines(shown, style)
    # Sums have answers that are right or wrong: nothing to hold against losses on a text.
    of_text = not any(run.has("accuracy") for run in part.runs)
    show_absent(look, drawn)
    figure = curves_figure(
        drawn,
        look,
        references(part.runs, baselines, drawing),
        published_curves() if drawing.published and of_text else {},
    )
    st.plotly_chart(
        figure,
        config=plot_config("curves"),
        key=f"curves{part.suffix}",
        alt=f"{look.quantity} against {TITLES[look.axis].lower()}: "
        f"{', '.join(run.label for run in drawn)}",
    )
    st.caption(line_key(look, shown, figure))


def references(
    runs: list[CurveRun], baselines: list[CurveRun], drawing: Drawing
) -> dict[str, float]:
    """Level lines, nats per byte by a label: the single-byte entropy of the text that `runs` were
    measured on, and the baseline's best loss, where there is one baseline for all."""
    found = {}
    # A visitor's file may claim anything; what is no loss cannot be drawn as one.
    entropies = [
        run.byte_entropy
        for run in runs
        if run.byte_entropy is not None and 0 < run.byte_entropy < math.inf
    ]
    if drawing.byte_entropy and entropies:
        found["Single-byte entropy"] = entropies[0]
    seen = {run.data for run in runs}
    held_against = [run for run in baselines if run.data in seen]
    if drawing.baselines_best and len({run.data for run in held_against}) == 1:
        found["Baseline's best"] = min(run.curve["val_loss"].min() for run in held_against)
    return found


def published_curves() -> dict:
    """The shipped file's curves by label; none, with the reason shown, if it cannot be read."""
    path = loading.FOLDER / loading.PUBLISHED_CURVES
    try:
        curves = read_published(path)
    except CurveError as error:
        st.warning(verbatim(f"{path.name}: {error}"))
        return {}
    return {f"Published {name} (enwik8)": frame for name, frame in curves.items()}


def show_absent(look: Look, drawn: list[Run]) -> None:
    """Which lines or how many points a picture lacks, and why, if any."""
    absent, hidden = 0, 0
    without: dict[str, list[str]] = {}
    for run in drawn:
        series = curve_series(run.frame, look.axis, look.quantity, look.unit)
        by = counted_by(run.frame)
        if not len(series.x) and by in COUNTS_ALONE and look.axis != by:
            without.setdefault(by, []).append(verbatim(run.label))
        else:
            absent += not len(series.x)
        hidden += int(((look.log_x & (series.x <= 0)) | (look.log_y & (series.raw <= 0))).sum())
    for by, labels in without.items():
        st.info(
            f"Not drawn against {TITLES[look.axis].lower()}: {', '.join(labels)}. "
            f"{'Its log counts' if len(labels) == 1 else 'Their logs count'} {COUNTS_ALONE[by]} to "
            f"see {'it' if len(labels) == 1 else 'them'}."
        )
    if absent:
        st.info(
            f"Not drawn, since what is shown or the axis is not known of them: {absent} of "
            f"{len(drawn)} lines."
        )
    if hidden:
        st.info(f"A log axis has no place for zero: points not shown: {hidden}.")


def line_key(look: Look, groups: list[Group], figure: go.Figure) -> str:
    """What the lines of the picture are, in one sentence of Markdown."""
    names = {run.data_name for group in groups for run in group.runs if run.data_name is not None}
    parts = ["Each point is one measurement on text that the model was not trained on"]
    if len(names) == 1:
        parts[0] += f", a part of the data **{verbatim(names.pop())}**"
    if any(len(group.runs) > 1 for group in groups):
        parts.append(
            "a line in a band is the mean of several seeds, the band goes from the lowest to the "
            "highest of them"
        )
    if look.training:
        parts.append("the thin lines with open points are the losses in training")
    if look.smoothing:
        parts.append("the faint lines are not smoothed")
    if figure.layout.yaxis.range is not None:
        cut = "what lies higher is cut off"
        if above := count_hidden_lines(figure):
            cut += f", {', '.join(map(verbatim, above))} altogether"
        parts.append(f"{cut}: a double click in the picture shows it")
    return "; ".join(parts) + "."
