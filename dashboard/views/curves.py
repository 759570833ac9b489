"""How well each model predicts, while it learns: all validation curves in one picture."""

import math
from collections.abc import Iterator
from dataclasses import replace

import pandas as pd
import plotly.graph_objects as go
import streamlit as st

from dashboard import curve_verdict, foreign_runs, loading
from dashboard.charts.costs import COSTS, cost_figure
from dashboard.charts.curves import TITLES, Look, Run, curves_figure, out_of_sight
from dashboard.charts.theme import plot_config
from dashboard.curve_choices import (
    BEST_STACKED,
    BITS_HELP,
    Style,
    by_text,
    choose_baseline,
    choose_data,
    choose_look,
    choose_runs,
    cost_points,
    has,
    lines,
    styles,
)
from dashboard.curve_tables import (
    NOISE_HELP,
    group_comparison,
    offer_downloads,
    run_summary,
    show_groups,
    show_reached,
    show_runs,
)
from dashboard.foreign_runs import Import
from dashboard.runs import CurveRun, Group, all_runs, alone, grouped
from dashboard.words import verbatim
from gridlstm.curves import UNITS, CurveError, curve_series, is_loss, read_published
from gridlstm.curves.reading import MOST_BYTES

# A run in training writes its curve after every validation, which is minutes apart.
SECONDS_BETWEEN_LOOKS = 5
PUBLISHED = loading.FOLDER / loading.PUBLISHED_CURVES


# -- The picture -----------------------------------------------------------------------------------


def references(
    runs: list[CurveRun], baselines: list[CurveRun], on: dict[str, bool]
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
    if on["entropy"] and entropies:
        found["Single-byte entropy"] = entropies[0]
    if on["goal"] and len({run.data for run in baselines}) == 1:
        found["Baseline's best"] = min(run.curve["val_loss"].min() for run in baselines)
    return found


def published_curves() -> dict:
    """The shipped file's curves by label; none, with the reason shown, if it cannot be read."""
    try:
        curves = read_published(PUBLISHED)
    except CurveError as error:
        st.warning(f"{PUBLISHED.name}: {error}")
        return {}
    return {f"Published {name} (enwik8)": frame for name, frame in curves.items()}


def explain(look: Look, published: bool, runs: list[CurveRun]) -> None:
    """What has to be said about the pictures of all these runs."""
    if published:
        st.warning(
            "The published curves (dotted) were measured on **other data**: enwik8, ten times the "
            "size of the text shipped here, with 1000 units a layer. Their losses cannot be "
            "compared with those of the other lines."
            + ("" if look.axis == "update" else " They are shown only against updates.")
        )
    if len(by_text(runs)) > 1:
        st.info(
            "These models were not all measured on the same text. Losses on different texts cannot "
            "be compared, so each text has pictures and tables of its own."
        )
    if any(run.foreign for run in runs):
        st.info(
            "It is not known what the **imported or watched** runs were measured on: their losses "
            "may not be comparable with those of the models here, and no percentages between the "
            "two are given."
        )


def tell_of_absent(look: Look, drawn: list[Run]) -> None:
    """How many lines or points a picture lacks, if any."""
    absent, hidden = 0, 0
    for run in drawn:
        series = curve_series(run.frame, look.axis, look.quantity, look.unit)
        absent += not len(series.x)
        hidden += int(((look.log_x & (series.x <= 0)) | (look.log_y & (series.raw <= 0))).sum())
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
        if above := out_of_sight(figure):
            cut += f", {', '.join(map(verbatim, above))} altogether"
        parts.append(f"{cut}: a double click in the picture shows it")
    return "; ".join(parts) + "."


# -- What it cost ----------------------------------------------------------------------------------


def choose_cost() -> str:
    """A selector of what the best losses are shown against, of `COSTS`."""
    st.subheader("What each got for its cost", anchor=False)
    return st.segmented_control(
        "Best loss against",
        list(COSTS),
        default="parameters",
        required=True,
        format_func={
            "parameters": "Parameters",
            "operations": "Operations",
            "bytes": "Bytes read",
            "seconds": "Wall time",
        }.get,
        help="One point a model, at its best loss; a bar from the lowest to the highest of its "
        "seeds. Operations are counted as in the picture above.",
        key="cost",
        bind="query-params",
    )


def show_costs(
    groups: list[Group], style: dict[str, Style], cost: str, unit: str, suffix: str
) -> None:
    """The picture of one text's models."""
    points = cost_points(groups, style, cost)
    if not points:
        st.info("What these runs cost is not known.")
        return
    figure = cost_figure(points, cost, unit)
    st.plotly_chart(
        figure,
        config=plot_config("curves-cost"),
        key=f"curves_cost{suffix}",
        alt=f"Best loss against {COSTS[cost].lower()}: {', '.join(p.label for p in points)}",
    )
    if above := out_of_sight(figure):
        names = ", ".join(map(verbatim, above))
        st.caption(f"Higher than what is shown: {names}; a double click in the picture shows all.")


# -- All that changes while a model is in training -------------------------------------------------


@st.fragment(run_every=SECONDS_BETWEEN_LOOKS)
def live_curves() -> None:
    everything, problems = all_runs()
    # In a place of their own: were the widgets below to move, their binding to the address is lost.
    with st.container():
        for problem in problems:
            st.warning(problem)
    if not everything:
        st.info(
            "There are no curves yet. Train a model with `python -m gridlstm train`, bring the "
            "`.csv` of one on the page **Models**, or other people's runs below: their curves "
            "appear here by themselves."
        )
        return
    with st.container(horizontal=True, gap="medium"):
        everything, measured = choose_data(everything)
        runs = choose_runs(measured)
    # What is drawn last stands first: the answer, and the picture between its widgets.
    ahead, above, picture, below = (st.container() for _ in range(4))
    look, colour_by, on = choose_look(runs, above, below)
    st.subheader("Against the baseline", anchor=False)
    all_groups = grouped(everything)
    baselines, equal_bytes = choose_baseline(all_groups)
    groups = groups_of(runs, all_groups)
    parts = by_text(runs)
    held_against = [
        run for group in all_groups if group.label in baselines.values() for run in group.runs
    ]
    # Styles are those of all runs on the data, so that hiding some changes none.
    styled = groups_of(measured, all_groups)
    with picture:
        explain(look, on["published"] and is_loss(look.quantity), runs)
        for some, suffix in each_text(parts):
            draw(some, groups_of(some, groups), styled, look, colour_by, on, held_against, suffix)
    comparison = group_comparison(all_groups, baselines, equal_bytes)
    comparison = comparison[comparison["group"].isin([group.label for group in groups])]
    with ahead:
        for sentence in curve_verdict.sentences(comparison, groups, baselines, look.unit):
            st.markdown(sentence, help=NOISE_HELP)
    for some, _ in each_text(parts):
        part = groups_of(some, groups)
        show_groups(rows_of(comparison, "group", part), part, look.unit)
    cost = choose_cost()
    for some, suffix in each_text(parts):
        part = groups_of(some, groups)
        show_costs(part, styles(styled, colour_by), cost, look.unit, suffix)
    table = run_summary(everything, held_against)
    table = table[table["model"].isin([run.label for run in runs])]
    chosen = st.session_state.get("baseline", BEST_STACKED)
    st.subheader("Who reaches the baseline's best loss, and when", anchor=False)
    baseline = "the best stacked LSTM" if chosen == BEST_STACKED else "the baseline"
    for some, _ in each_text(parts):
        show_reached(rows_of(table, "model", some), baseline)
    st.subheader("Every run", anchor=False)
    for some, _ in each_text(parts):
        show_runs(rows_of(table, "model", some), look.unit)
    offer_downloads(table, comparison, runs)


def each_text(parts: dict[str, list[CurveRun]]) -> Iterator[tuple[list[CurveRun], str]]:
    """The runs of each text, under its name where there are several, and what makes the keys of its
    elements unique."""
    for number, (text, runs) in enumerate(parts.items(), start=1):
        if len(parts) > 1:
            st.markdown(f"**{verbatim(text)}**")
        yield runs, "" if number == 1 else f"_{number}"


def rows_of(table: pd.DataFrame, column: str, some: list[CurveRun] | list[Group]) -> pd.DataFrame:
    """The rows whose `column` holds one of their labels."""
    return table[table[column].isin([one.label for one in some])]


def groups_of(runs: list[CurveRun], groups: list[Group]) -> list[Group]:
    """The groups with those of their runs that are chosen, under the same labels."""
    chosen = {run.label for run in runs}
    kept = [
        Group(group.label, tuple(run for run in group.runs if run.label in chosen))
        for group in groups
    ]
    return [group for group in kept if group.runs]


def draw(
    runs: list[CurveRun],
    groups: list[Group],
    styled: list[Group],
    look: Look,
    colour_by: str,
    on: dict[str, bool],
    held_against: list[CurveRun],
    suffix: str,
) -> None:
    """The picture of one text's runs and what has to be said of it."""
    if on["mean"]:
        shown, style = groups, styles(styled, colour_by)
    else:
        shown = alone(runs)
        style = styles(alone([run for group in styled for run in group.runs]), colour_by)
    drawn = lines(shown, style)
    # Sums have answers that are right or wrong: nothing to hold against losses on a text.
    of_text = not any(has(run, "accuracy") for run in runs)
    published = on["published"] and is_loss(look.quantity) and of_text
    tell_of_absent(look, drawn)
    seen = {run.data for run in runs}
    figure = curves_figure(
        drawn,
        look,
        references(runs, [run for run in held_against if run.data in seen], on),
        published_curves() if published else {},
    )
    st.plotly_chart(
        figure,
        config=plot_config("curves"),
        key=f"curves{suffix}",
        alt=f"{look.quantity} against {TITLES[look.axis].lower()}: "
        f"{', '.join(run.label for run in drawn)}",
    )
    st.caption(line_key(look, shown, figure))


# -- Other people's runs ---------------------------------------------------------------------------


def take_runs() -> None:
    """Keep the files just brought, and offer an empty place for the next ones."""
    turn = st.session_state.get("run_files_turn", 0)
    faults = []
    for file in st.session_state[f"run_files_{turn}"]:
        try:
            foreign_runs.bring(file.name, file.getvalue())
        except CurveError as error:
            faults.append(f"{file.name}: {error}")
    st.session_state["run_faults"] = faults
    st.session_state["run_files_turn"] = turn + 1


def bring_runs() -> None:
    st.subheader("Other people's runs", anchor=False)
    st.markdown(
        "A CSV log with a column that counts updates and one of validation losses, a CSV export of "
        "a chart of **Weights & Biases**, or an event file of **TensorBoard**. Only you will see "
        "the runs, above, until you close this visit.",
        help="Which column is what is guessed from its name, and can be changed here. Losses are "
        "taken to be per byte. Runs whose names differ only in “seed 1”, “seed 2” and so on "
        "count as seeds of one model. Who runs this program can also have folders watched: with "
        "the environment variable `GRIDLSTM_RUNS=folder:folder` (losses in nats) the curves, "
        "exports and event files in them appear above and move by themselves.",
    )
    st.file_uploader(
        "Files of runs",
        accept_multiple_files=True,
        max_upload_size=MOST_BYTES // 1_000_000,
        key=f"run_files_{st.session_state.get('run_files_turn', 0)}",
        on_change=take_runs,
    )
    for fault in st.session_state.get("run_faults", []):
        st.error(verbatim(fault))
    for key, brought in list(foreign_runs.imports().items()):
        with st.container(border=True):
            changed = choose_columns(key, brought)
        if changed is None:
            del foreign_runs.imports()[key]
        else:
            foreign_runs.imports()[key] = changed
        if changed != brought:
            st.rerun()


def choose_columns(key: str, brought: Import) -> Import | None:
    """What a file's columns are, and their unit, as it is chosen now; None to take it away."""
    foreign, columns, unit = brought.foreign, brought.columns, brought.unit
    count = len(foreign.runs)
    st.markdown(
        f"**{verbatim(brought.name)}**: {foreign.kind.replace('&', '&amp;')}, {count} "
        f"run{'s' if count > 1 else ''}"
    )
    with st.container(horizontal=True, vertical_alignment="bottom"):
        if not foreign.own:
            update = _choose_column("Updates", columns.update, foreign, f"update {key}")
            loss = _choose_column("Validation loss", columns.val_loss, foreign, f"loss {key}")
            columns = replace(columns, update=update, val_loss=loss)
            unit = st.segmented_control(
                "Losses in",
                UNITS[::-1],
                default=unit,
                required=True,
                help="Most programs log the natural logarithm: nats.",
                key=f"unit {key}",
            )
        if st.button("Take away", icon=":material/delete:", key=f"take away {key}"):
            return None
    chosen = replace(brought, columns=columns, unit=unit)
    try:
        chosen.curves()
    except CurveError as error:
        st.error(verbatim(str(error)))
    return chosen


def _choose_column(label: str, value: str | None, foreign, key: str) -> str | None:
    names = foreign.columns
    return st.selectbox(
        label,
        names,
        index=names.index(value) if value in names else None,
        placeholder="Choose a column",
        key=key,
        width=260,
    )


st.title("Curves")
st.markdown(
    "A **validation curve** shows how badly a model guesses text it was not trained on, while it "
    "learns: **lower is better**. The loss is in **bits per byte**: what the model still lacks, on "
    "average, to know the next byte. A model in training moves by itself.",
    help=BITS_HELP,
)
live_curves()
bring_runs()
