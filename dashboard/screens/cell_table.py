"""What tables of cells share: how many rows, and the columns that say which cell a row is about."""

import pandas as pd
import streamlit as st

from dashboard import words

MAX_TABLE_ROWS = 50
CELL_COLUMNS = {
    "Quantity": st.column_config.TextColumn(
        help="Which of the cell's quantities: a memory, a gate or a hidden state, along time (from "
        "character to character) or along depth (from layer to layer)."
    ),
    "Layer": st.column_config.NumberColumn(help="1 reads the text; the last is the top.", width=50),
    "Unit": st.column_config.NumberColumn(
        help="Which cell of the layer, counted from 0.", width=50
    ),
}


def named(rows: pd.DataFrame) -> dict:
    """These columns, in the words of the pages, of rows with quantity, layer and unit."""
    return {
        "Quantity": [words.QUANTITIES[q].label for q in rows["quantity"]],
        "Layer": rows["layer"],
        "Unit": rows["unit"],
    }
