"""Find the cells that follow a property of the text, or that are on in a selection of it."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
import streamlit as st

from dashboard import choices, words
from dashboard.charts.find import probe_curve, score_by_layer
from dashboard.charts.theme import SEQUENTIAL, plot_config
from dashboard.clickable_table import clickable_table, table_of_cells
from dashboard.coloured_text import Place, Scale, as_selected, coloured_text, selected_in
from dashboard.loading import ModelEntry
from dashboard.reading import (
    Reading,
    models_or_stop,
    read,
    scales,
    tell_of_texts,
    text_line,
)
from dashboard.shelf import progress_bar, shelf
from gridlstm.analysis.held_out import Findings, HeldOutError, best_by_layer, find_cells
from gridlstm.analysis.probe import probe
from gridlstm.analysis.properties import PROPERTIES, measure_named
from gridlstm.analysis.ranking import rank_units
from gridlstm.analysis.selection import similar_places, units_on
from gridlstm.errors import UserError
from gridlstm.text import Text

VIEWS = {"property": "By what is true of the text", "selection": "By a selection in the text"}
OWN = "pattern"
SHOWN = 50
MOST_RESULTS = 16
SURROUNDINGS = 30
# What the columns are that every table of cells has.
CELL_COLUMNS = {
    "Quantity": st.column_config.TextColumn(
        help="Which of the cell's quantities: a memory, a gate or a hidden state, along time (from "
        "character to character) or along depth (from layer to layer)."
    ),
    "Layer": st.column_config.NumberColumn(
        help="1 reads the bytes; the last is the top.", width=50
    ),
    "Unit": st.column_config.NumberColumn(
        help="Which cell of the layer, counted from 0.", width=50
    ),
}


@dataclass(frozen=True)
class Target:
    """What the cells shall follow: its name, its words, and bool or float64 [character]."""

    name: str
    title: str
    values: np.ndarray

    @property
    def is_mark(self) -> bool:
        return self.values.dtype == bool


def choose_target(entry: ModelEntry, text: Text) -> Target:
    """The property, chosen or written as a pattern; ends the page where it tells nothing apart."""
    offered = choices.keep_property(entry, [*PROPERTIES, OWN])
    with st.container(horizontal=True, vertical_alignment="bottom"):
        name = st.selectbox(
            "Property",
            offered,
            format_func=lambda n: PROPERTIES[n].title if n in PROPERTIES else "A pattern of my own",
            key="property",
            persist_state="session",
            width=340,
        )
        if name == OWN:
            pattern = st.text_input(
                "Pattern",
                key="pattern",
                placeholder=r"such as \d{4}",
                help="A regular expression (of the Python package regex); what it matches is "
                "marked. ^ and $ match at the ends of each line.",
                persist_state="session",
                width=340,
            )
    if name == OWN:
        title = "matched by your pattern"
        if not pattern:
            st.info("Write a pattern, and press Enter.")
            st.stop()
        full_name = f"pattern:{pattern}"
    else:
        title, full_name = PROPERTIES[name].title, name
        st.caption(PROPERTIES[name].explanation)
    try:
        return Target(full_name, title, measure_named(full_name, text.characters))
    except UserError as error:
        st.info(words.verbatim(str(error)))
        st.stop()


def kept(name: str, reading: Reading, target: Target, label: str, make):
    """A result from the shelf, or made now under a progress bar."""

    def with_progress():
        with progress_bar(label) as progress:
            return make(progress)

    entry = reading.entry
    key = name, entry.path, entry.stamp, reading.text.data, target.values.tobytes()
    return shelf("findings", MOST_RESULTS).get(key, with_progress)


def found_and_judged(reading: Reading, target: Target) -> Findings:
    return kept(
        "findings",
        reading,
        target,
        "Ranking every unit …",
        lambda progress: find_cells(
            reading.trace.values,
            target.values,
            reading.text.last_byte,
            top=SHOWN,
            progress=progress,
        ),
    )


def ranked_on_all(reading: Reading, target: Target) -> pd.DataFrame:
    return kept(
        "ranking",
        reading,
        target,
        "Ranking every unit …",
        lambda progress: rank_units(
            reading.trace.values,
            target.values,
            positions=reading.text.last_byte,
            top=SHOWN,
            progress=progress,
        ),
    )


def named(rows: pd.DataFrame) -> dict:
    """The columns that say which cell it is, in the words of the page."""
    return {
        "Quantity": [words.QUANTITIES[q].label for q in rows["quantity"]],
        "Layer": rows["layer"],
        "Unit": rows["unit"],
    }


def show_findings(findings: Findings) -> pd.DataFrame:
    """The table of cells found on one part and judged on the other; returns its rows."""
    split, cells = findings.split, findings.cells
    chance = 0.5 if findings.measure == "auc" else 0.0
    what = "AUC" if findings.measure == "auc" else "correlation"
    reached = "an AUC" if findings.measure == "auc" else "a correlation"
    marked = ""
    if split.held_out.marked is not None:
        marked = (
            f" ({split.found.marked:,} and {split.held_out.marked:,} characters are marked, in "
            f"{split.found.spans:,} and {split.held_out.spans:,} places)"
        )
    st.caption(
        f"Found among {findings.units:,} units and quantities on characters "
        f"{split.found.start + 1:,} to {split.found.end:,}, judged on {split.held_out.start + 1:,} "
        f"to {split.held_out.end:,}, which the search never saw{marked}. **Click a row to open "
        "that cell.**",
        help="Cells are searched for on one part of the text and judged on another, with a gap "
        "between, so that a cell that fits the first part by luck is found out. A place is a run "
        "of marked characters.",
    )
    table = pd.DataFrame(
        {
            **named(cells),
            "Judged": cells["held_out"],
            "From": cells["low"],
            "To": cells["high"],
            "There it is": np.where(cells["sign"] > 0, "higher", "lower"),
            "Found": cells["found"],
        }
    )
    if findings.measure == "auc":
        table["F1"] = cells["f1_held_out"]
    choose(cells, table, what, chance)
    baseline = findings.baseline
    st.caption(
        f"By chance alone the best of all {findings.units:,} reaches {reached} of "
        f"**{baseline.quantile_95:.3f}** on the first part (95 % of {len(baseline.best)} trials in "
        "which the property was moved round the text by a random amount): what was found below "
        "that means nothing.",
        help="The marks are moved along the text, so that they fit nothing in it any more, and all "
        "are searched again: what the best of so many reaches then, it reaches by luck.",
    )
    return cells


def show_ranking(ranked: pd.DataFrame, target: Target, why: str) -> pd.DataFrame:
    """The table of a ranking on the whole of a text too short to judge on another part."""
    st.warning(
        words.verbatim(why)
        + " Below, the cells are ranked on the whole text: the best of so many look good partly by "
        "chance."
    )
    table = pd.DataFrame(
        {
            **named(ranked),
            "There it is": np.where(ranked["sign"] > 0, "higher", "lower"),
            "Found": ranked["score"],
        }
    )
    what, chance = ("AUC", 0.5) if target.is_mark else ("correlation", 0.0)
    choose(ranked, table, what, chance)
    return ranked


def choose(cells: pd.DataFrame, table: pd.DataFrame, what: str, chance: float) -> None:
    """Show a table of cells; a click on a row opens its cell."""
    meaning = (
        "Area under the ROC curve: the chance that a character inside has the higher value of a "
        "pair of one inside and one outside. 0.5 is chance, 1 is without error."
        if what == "AUC"
        else "Spearman's rank correlation between the unit and the number: 0 is none, 1 perfect."
    )
    # With these widths, in pixels, all that matters most is in sight on a narrow page.
    bounds = {"min_value": chance, "max_value": 1.0, "format": "%.3f", "width": 96}
    columns = {
        "Judged": st.column_config.ProgressColumn(
            **bounds, help=f"{what} on the part that the search never saw. {meaning}"
        ),
        "From": st.column_config.NumberColumn(
            format="%.3f",
            help="Lower end of the 95 % interval of that (block bootstrap).",
            width=56,
        ),
        "To": st.column_config.NumberColumn(format="%.3f", help="Its upper end.", width=56),
        "Found": st.column_config.ProgressColumn(
            **bounds, help=f"{what} on the part on which the cells were searched for. {meaning}"
        ),
        "There it is": st.column_config.TextColumn(
            help="Whether the unit is higher or lower where the property holds (or is large).",
            width=74,
        ),
        "F1": st.column_config.NumberColumn(
            format="%.3f",
            help="How well one threshold, chosen on the first part, marks the characters of the "
            "other: 1 is without error (harmonic mean of precision and recall).",
        ),
        **CELL_COLUMNS,
    }
    table_of_cells(
        table,
        cells,
        key="ranking",
        height=420,
        columns={name: column for name, column in columns.items() if name in table},
    )


def by_layer(readings: list[Reading], labels: dict[str, str], target: Target) -> None:
    """The best memory cell of each layer, model beside model; `labels` by the models' names."""
    frames = {}
    for reading in readings:
        memories = reading.memories
        frames[labels[reading.entry.name]] = kept(
            "by layer",
            reading,
            target,
            f"{reading.entry.title}: layer by layer …",
            lambda progress, memories=memories, reading=reading: best_by_layer(
                memories, target.values, reading.text.last_byte, progress=progress
            ),
        )
    st.plotly_chart(
        score_by_layer(frames, "AUC" if target.is_mark else "correlation"),
        config=plot_config("best-cell-by-layer"),
        key="by_layer",
    )


def by_property(models: dict[str, ModelEntry], entry: ModelEntry, text: Text) -> None:
    """Rank all units against a property, and show what the property marks."""
    target = choose_target(entry, text)
    reading = read(entry, text)
    try:
        cells = show_findings(found_and_judged(reading, target))
        split = True
    except HeldOutError as error:
        cells = show_ranking(ranked_on_all(reading, target), target, str(error))
        split = False
    st.download_button(
        "These cells as CSV",
        lambda: cells.to_csv(index=False),
        file_name=f"{entry.name}-cells.csv",
        icon=":material/download:",
    )
    if split:
        st.subheader(
            "Written low and carried up?",
            anchor=False,
            help="The memory cell of each layer that follows the property best on the first part, "
            "judged on the other, with its 95 % interval.",
        )
        others = [name for name in models if name != entry.name]
        labels = choices.labels(models)
        compared = st.multiselect(
            "Beside it",
            others,
            format_func=labels.get,
            max_selections=3,
            placeholder="Nothing",
            help="Other models on the same text, at most three, drawn in the same picture.",
            key="find_beside",
        )
        readings = [reading, *(read(models[name], text) for name in compared)]
        tell_of_texts([reading.entry for reading in readings])
        by_layer(readings, labels, target)
        if target.is_mark:
            spread(reading, target)
    show_target(text, target)


def spread(reading: Reading, target: Target) -> None:
    """How much of the property one unit of a layer tells, how much a few, how much all."""
    st.subheader(
        "One cell, or spread out?",
        anchor=False,
        help="A sparse linear probe (logistic regression with an L1 penalty) reads the property "
        "from the best unit of a layer, the best two, four, …, all. If one does as well as all, it "
        "is a cell; if it takes many, the property is spread out.",
    )
    memories = [q for q in words.QUANTITIES if q in reading.memories]
    with st.container(horizontal=True, vertical_alignment="bottom"):
        quantity = st.selectbox(
            "Memory",
            memories,
            format_func=lambda q: words.QUANTITIES[q].label,
            key="probe_quantity",
            width=260,
        )
        layer = st.selectbox(
            "Layer",
            range(1, reading.trace.layers + 1),
            index=reading.trace.layers - 1,
            key="probe_layer",
            width=100,
        )
        if not st.toggle("Probe it", key="probe", help="Takes some seconds a layer."):
            return
    try:
        found = kept(
            f"probe {quantity} {layer}",
            reading,
            target,
            "Fitting probes …",
            lambda progress: probe(
                reading.trace.values[quantity][layer - 1],
                target.values,
                reading.text.last_byte,
                progress=progress,
            ),
        )
    except UserError as error:
        st.info(words.verbatim(str(error)))
        return
    st.plotly_chart(
        probe_curve(found.scores),
        config=plot_config(f"{reading.entry.name}-{quantity}-layer-{layer}-probe"),
        key="probe_curve",
    )
    weights = found.weights[found.weights["weight"] != 0]
    st.caption(
        f"Which units the probe of all reads: {len(weights):,} of {len(found.weights):,}.",
        help="The penalty sets the weight of a unit that adds little to zero; such units are not "
        "listed.",
    )
    st.dataframe(
        pd.DataFrame(
            {"Unit": weights["unit"], "Weight": weights["weight"], "Share": weights["share"]}
        ),
        hide_index=True,
        height=220,
        column_config={
            "Unit": CELL_COLUMNS["Unit"],
            "Weight": st.column_config.NumberColumn(
                format="%+.3f",
                help="What one standard deviation of the unit adds to the log-odds.",
            ),
            "Share": st.column_config.NumberColumn(
                format="percent", help="Its share of all weights, without their signs."
            ),
        },
    )


def show_target(text: Text, target: Target) -> None:
    """The text, coloured by the property itself."""
    st.subheader("What the property marks", anchor=False)
    values = target.values.astype(np.float32)
    if target.is_mark:
        scale = Scale(
            target.title, (SEQUENTIAL[0], SEQUENTIAL[110]), 0, 0.5, 1, "outside", "", "inside"
        )
    else:
        low, high = float(values.min()), float(values.max())
        middle = (low + high) / 2
        labels = (f"{low:g}", f"{middle:g}", f"{high:g}")
        scale = Scale(target.title, tuple(SEQUENTIAL), low, middle, high, *labels)
    coloured_text(
        text.characters,
        values[None],
        rows=[target.title],
        chosen_row=0,
        scale=scale,
        title=f"Characters: {target.title}",
        key="marks",
        height=260,
    )


def by_selection(entry: ModelEntry, text: Text) -> None:
    """The units that are on in a selection, and the other places where they are."""
    reading = read(entry, text)
    cell = choices.choose_cell(entry, reading.trace, text)
    values = reading.of_unit(cell.quantity, cell.unit, "tanh")[cell.layer - 1]
    scale, _ = scales(cell.quantity, "tanh", values)
    st.caption(
        "**Drag over some characters**, for example a word or an address. Listed are the memory "
        "cells that are on throughout it and off just outside."
    )
    selected = coloured_text(
        text.characters,
        values,
        rows=[f"layer {cell.layer}"],
        chosen_row=0,
        scale=scale,
        title=f"{entry.title} · layer {cell.layer}, unit {cell.unit}",
        key="select",
        height=260,
        place=place_to_show(text),
    )
    with st.container(horizontal=True):
        quantile = st.slider(
            "On means above the quantile",
            0.5,
            0.99,
            0.9,
            0.01,
            format="percent",
            help="Each unit has its own threshold: it is on where it is above (or below) this "
            "share of its own values over the text.",
            key="quantile",
            persist_state="session",
            width=300,
        )
        margin = st.slider(
            "Off for so many characters outside",
            0,
            10,
            1,
            help="On either side of the selection; 0 asks for nothing.",
            key="margin",
            persist_state="session",
            width=300,
        )
    if selected is None:
        return
    memories = reading.memories
    span = selected.start, selected.end
    try:
        units = units_on(
            memories, text.last_byte, *span, left=margin, right=margin, quantile=quantile
        )
    except UserError as error:
        st.info(words.verbatim(str(error)))
        return
    listed = "" if len(units) <= SHOWN else f", the {SHOWN} clearest listed"
    st.caption(
        f"{len(units):,} cells are on in it{listed}. **Click a row to open that cell.**",
        help="Memory cells of all layers, along time and along depth.",
    )
    table = pd.DataFrame(
        {
            **named(units),
            "On is": units["direction"],
            "Clear by": units["score"],
        }
    ).head(SHOWN)
    columns = {
        **CELL_COLUMNS,
        "On is": st.column_config.TextColumn(
            help="Whether the cell is on by being high, or by being low."
        ),
        "Clear by": st.column_config.NumberColumn(
            format="%.2f",
            help="How far the cell stays from its threshold, inside and just outside, at the "
            "character where it comes nearest; in standard deviations of the cell over the text.",
        ),
    }
    table_of_cells(
        table,
        units,
        key="units_on",
        height="auto" if len(table) < 6 else 247,
        columns=columns,
    )
    show_places(memories, text, units, span)


def show_places(memories: dict, text: Text, units: pd.DataFrame, span: tuple[int, int]) -> None:
    """Where else the same cells are on; a click shows the place in the text above."""
    st.subheader(
        "The same cells elsewhere",
        anchor=False,
        help="Runs of characters of similar length at which at least half of these cells are on.",
    )
    places = similar_places(memories, text.last_byte, units.head(SHOWN), *span)
    if places.empty:
        st.caption("Nowhere else in this text are half of them on together.")
        return
    st.caption(
        f"{len(places):,} places, the likest first. **Click one to see it in the text above.**",
        help="At most 20 are listed.",
    )
    clickable_table(
        pd.DataFrame(
            {
                "Characters": [f"{r.start + 1:,}–{r.end:,}" for r in places.itertuples()],
                "Before": [text.characters[max(0, s - SURROUNDINGS) : s] for s in places["start"]],
                "Place": [text.characters[r.start : r.end] for r in places.itertuples()],
                "After": [text.characters[e : e + SURROUNDINGS] for e in places["end"]],
                "Cells on": places["share"],
            }
        ),
        lambda row: note_place(places.iloc[row], text, span),
        key="places",
        action="Show the marked place in the text above",
        columns=PLACE_COLUMNS,
    )
    place = place_to_show(text)
    if place and st.button(
        f"Open characters {place.start + 1:,} to {place.end:,} on the page Cells",
        icon=":material/grid_view:",
        help="With this place selected there, and every gate of the unit at its end.",
    ):
        selected = as_selected(text.characters, place.start, place.end)
        choices.open_page(choices.CELLS_PAGE, coloured=selected)


PLACE_COLUMNS = {
    "Characters": st.column_config.TextColumn(help="Where it is in the text, counted from 1."),
    "Before": st.column_config.TextColumn(help="What stands just before it."),
    "Place": st.column_config.TextColumn(help="The characters at which these cells are on."),
    "After": st.column_config.TextColumn(help="What follows it."),
    "Cells on": st.column_config.ProgressColumn(
        format="percent",
        min_value=0,
        max_value=1,
        help="The share of the cells that are on, in the mean over the place.",
    ),
}


def note_place(row: pd.Series, text: Text, span: tuple[int, int]) -> None:
    """Keep the place of a row, to be shown in the text while `span` is selected in it."""
    call = st.session_state.get("place_calls", 0) + 1
    st.session_state["place_calls"] = call
    place = Place(int(row["start"]), int(row["end"]), call)
    st.session_state["place"] = text.data, span, place


def place_to_show(text: Text) -> Place | None:
    """The place that has been clicked, unless the text or the selection has changed since."""
    data, span, place = st.session_state.get("place", (None, None, None))
    selected = selected_in("select", text.characters)
    if data != text.data or selected is None or (selected.start, selected.end) != span:
        return None
    return place


st.title("Find a cell")
st.markdown(
    "Which cells know that they are inside a web address, a quotation, a comment? Say what shall "
    "hold of the text, or select a piece of it, and every unit of every layer is searched."
)
text_line()
models = models_or_stop()
entry = choices.choose_reader(models)
choices.keep_valid("find", list(VIEWS))
view = st.segmented_control(
    "How to search",
    list(VIEWS),
    required=True,
    format_func=VIEWS.get,
    key="find",
    persist_state="session",
    label_visibility="collapsed",
)
if view == "property":
    by_property(models, entry, choices.current_text())
else:
    by_selection(entry, choices.current_text())
