"""After how many characters half of a write into a time memory is left, unit by unit."""

import pandas as pd
import streamlit as st

from dashboard.charts.theme import plot_config
from dashboard.screens.clickable_table import table_of_cells
from dashboard.screens.provenance import charts
from dashboard.screens.reading import Reading
from dashboard.serving.kept import kept
from gridlstm.analysis.time_provenance import half_life_frame, half_lives


def show_half_lives(reading: Reading) -> None:
    """All units of all layers, drawn and listed."""
    memory = reading.entry.metadata.model.memory("time")
    found = kept(
        "provenance",
        reading.entry.version,
        reading.text.data,
        lambda progress: half_lives(reading.trace.values, reading.positions, progress, memory),
        depends_on=("half-lives",),
        label="Measuring how long writes last …",
    )
    frame = half_life_frame(found).assign(quantity=memory.cell)
    st.caption(
        "After how many characters half of what a unit writes into its time memory is left: the "
        "median over the text. Each point is one unit.",
        help="Point at one for its layer, its unit and its half-life.",
    )
    st.plotly_chart(
        charts.half_lives(frame, reading.trace.layers),
        config=plot_config(f"{reading.entry.name}-half-lives"),
    )
    st.caption("**Click a row to open that cell.**")
    _list_cells(frame)


def _list_cells(frame: pd.DataFrame) -> None:
    """A table of the units, each a way to its cell."""
    table_of_cells(
        pd.DataFrame(
            {
                "Layer": frame["layer"],
                "Unit": frame["unit"],
                "Half-life, characters": frame["half_life"],
                "Longer than that": frame["censored"],
            }
        ),
        frame,
        key="half-life-table",
        columns={
            "Layer": st.column_config.NumberColumn(help="1 reads the text; the last is the top."),
            "Unit": st.column_config.NumberColumn(help="Which cell of the layer, counted from 0."),
            "Half-life, characters": st.column_config.NumberColumn(
                help="Gates are kept to some three digits, so beyond about 300 characters the "
                "figure is rough."
            ),
            "Longer than that": st.column_config.CheckboxColumn(
                help="The text is too short to see half of its writes fall to a half."
            ),
        },
    )
