"""A selection in the text, and the memory cells that are on in it."""

import pandas as pd
import streamlit as st

from dashboard import words
from dashboard.coloured_text import Selection, coloured_text
from dashboard.screens.cell_table import CELL_COLUMNS, MAX_TABLE_ROWS, named
from dashboard.screens.clickable_table import table_of_cells
from dashboard.screens.find.similar_places import place_to_show
from dashboard.screens.reading import Reading, scales
from dashboard.serving.estimates import estimate_ranking_seconds
from dashboard.serving.kept import kept
from dashboard.session import Cell, session
from gridlstm.analysis.selection import units_on
from gridlstm.errors import UserError
from gridlstm.plurals import counted


def select_in_text(reading: Reading, cell: Cell) -> Selection | None:
    """The text to select in, coloured by a cell."""
    text = reading.text
    values = reading.of_unit(cell.quantity, cell.unit, "tanh")[cell.layer - 1]
    scale, _ = scales(cell.quantity, "tanh", values)
    st.caption(
        "**Drag over some characters**, for example a word or an address. Listed are the memory "
        "cells that are on throughout it and off just outside."
    )
    return coloured_text(
        text.characters,
        values,
        rows=[f"layer {cell.layer}"],
        chosen_row=0,
        scale=scale,
        title=f"{reading.entry.title} · layer {cell.layer}, unit {cell.unit}",
        key=session.searched_selection.key,
        height=260,
        place=place_to_show(text),
    )


def show_units(reading: Reading, selected: Selection | None) -> pd.DataFrame | None:
    """What on means, and the cells that are on in the selection, the clearest first; None where
    nothing is selected, or, with the reason said, no cell is on."""
    quantile, margin = _choose_threshold()
    if selected is None:
        return None
    span = selected.start, selected.end
    try:
        units = _found(reading, span, margin, quantile)
    except UserError as error:
        st.info(words.verbatim(str(error)))
        return None
    listed = "" if len(units) <= MAX_TABLE_ROWS else f", the {MAX_TABLE_ROWS} clearest listed"
    are = "is" if len(units) == 1 else "are"
    st.caption(
        f"{counted(len(units), 'cell')} {are} on in it{listed}. **Click a row to open that cell.**",
        help="Memory cells of all layers, along time and along depth.",
    )
    units = units.head(MAX_TABLE_ROWS)
    table_of_cells(
        pd.DataFrame({**named(units), "On is": units["direction"], "Clear by": units["score"]}),
        units,
        key="units_on",
        height="auto" if len(units) < 6 else 247,
        columns=CELL_COLUMNS | _ON_COLUMNS,
    )
    return units


def _found(reading: Reading, span: tuple[int, int], margin: int, quantile: float) -> pd.DataFrame:
    """What `units_on` finds, and raises."""
    options = {"left": margin, "right": margin, "quantile": quantile}
    return kept(
        "selections",
        reading.entry.version,
        reading.text.data,
        lambda progress: units_on(
            reading.memories, reading.positions, *span, **options, progress=progress
        ),
        depends_on=("units on", span, margin, quantile),
        label="Looking for cells that are on …",
        seconds=estimate_ranking_seconds(reading.trace, len(reading.memories)),
    )


def _choose_threshold() -> tuple[float, int]:
    """Above which of its own quantiles a cell is on, and how many characters outside it is off."""
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
    return quantile, margin


_ON_COLUMNS = {
    "On is": st.column_config.TextColumn(
        help="Whether the cell is on by being high, or by being low."
    ),
    "Clear by": st.column_config.NumberColumn(
        format="%.2f",
        help="How far the cell stays from its threshold, inside and just outside, at the "
        "character where it comes nearest; in standard deviations of the cell over the text.",
    ),
}
