"""How much of a property one unit of a layer tells, how much a few, how much all of them."""

import pandas as pd
import streamlit as st

from dashboard import words
from dashboard.charts.theme import plot_config
from dashboard.screens.cell_table import CELL_COLUMNS
from dashboard.screens.find.charts import probe_curve
from dashboard.screens.property import Target
from dashboard.screens.reading import Reading
from dashboard.serving.kept import kept
from gridlstm.analysis.probe import STRENGTH, Probe, probe
from gridlstm.errors import UserError


def show_probe(reading: Reading, target: Target) -> None:
    """A probe of the layer that the visitor chooses, once it has been asked for."""
    st.header(
        "One cell, or spread out?",
        anchor=False,
        help="A sparse linear probe (logistic regression with an L1 penalty on the weights, not on "
        f"the intercept: liblinear, C = {STRENGTH:g}) reads the property from the best unit of a "
        "layer, the best two, four, …, all. If one does as well as all, it is a cell; if it takes "
        "many, the property is spread out.",
    )
    quantity, layer, is_asked_for = _choose_layer(reading)
    if not is_asked_for:
        return
    try:
        found = _fitted(reading, target, quantity, layer)
    except UserError as error:
        st.info(words.verbatim(str(error)))
        return
    st.plotly_chart(
        probe_curve(found.scores),
        config=plot_config(f"{reading.entry.name}-{quantity}-layer-{layer}-probe"),
        key="probe_curve",
    )
    if found.split.missing_interval_reason:
        st.caption(found.split.missing_interval_reason)
    _show_weights(found.weights)


def _choose_layer(reading: Reading) -> tuple[str, int, bool]:
    """A memory, a layer counted from 1, and whether it is to be probed."""
    with st.container(horizontal=True, vertical_alignment="bottom"):
        quantity = st.selectbox(
            "Memory",
            [q for q in words.QUANTITIES if q in reading.memories],
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
        asked = st.toggle("Probe it", key="probe", help="Takes some seconds a layer.")
    return quantity, layer, asked


def _fitted(reading: Reading, target: Target, quantity: str, layer: int) -> Probe:
    """Raises UserError if the text does not allow it."""
    return kept(
        "findings",
        reading.entry.version,
        reading.text.data,
        lambda progress: probe(
            reading.trace.values[quantity][layer - 1],
            target.values,
            reading.positions,
            progress=progress,
        ),
        depends_on=("probe", quantity, layer, target.values.tobytes()),
        label="Fitting probes …",
    )


def _show_weights(weights: pd.DataFrame) -> None:
    """Which units the probe of all of them reads."""
    read = weights[weights["weight"] != 0]
    st.caption(
        f"Which units the probe of all reads: {len(read):,} of {len(weights):,}.",
        help="The penalty sets the weight of a unit that adds little to zero; such units are not "
        "listed.",
    )
    st.dataframe(
        pd.DataFrame({"Unit": read["unit"], "Weight": read["weight"], "Share": read["share"]}),
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
