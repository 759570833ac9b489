"""How well the best cell of each layer follows a property, model beside model."""

import pandas as pd
import streamlit as st

from dashboard.charts.theme import plot_config
from dashboard.screens.find.charts import score_by_layer
from dashboard.screens.property import Target
from dashboard.screens.reading import Reading, read, show_text_differences
from dashboard.screens.refusal import refused
from dashboard.serving.kept import kept
from dashboard.serving.loading import ModelEntry
from gridlstm.analysis.held_out import best_by_layer


def show_by_layer(models: dict[str, ModelEntry], reading: Reading, target: Target) -> None:
    """The best memory cells of the model that reads, and of others that the visitor sets beside.

    The text must be long enough to split.
    """
    st.header(
        "Written low and carried up?",
        anchor=False,
        help="The memory cell of each layer that follows the property best on the first part, "
        "judged on the other, with its 95 % interval.",
    )
    compared = st.multiselect(
        "Beside it",
        [name for name in models if name != reading.entry.name],
        format_func=lambda name: models[name].title,
        max_selections=3,
        placeholder="Nothing",
        help="Other models on the same text, at most three, drawn in the same picture.",
        key="find_beside",
    )
    readings = [reading]
    for other in (read(models[name], reading.text) for name in compared):
        if not refused(other):
            readings.append(other)
    show_text_differences([reading.entry for reading in readings])
    frames = {reading.entry.title: _best(reading, target) for reading in readings}
    st.plotly_chart(
        score_by_layer(frames, "AUC" if target.is_mark else "correlation"),
        config=plot_config("best-cell-by-layer"),
        key="by_layer",
    )


def _best(reading: Reading, target: Target) -> pd.DataFrame:
    return kept(
        "findings",
        reading.entry.version,
        reading.text.data,
        lambda progress: best_by_layer(
            reading.memories, target.values, reading.positions, progress=progress
        ),
        depends_on=("by layer", target.values.tobytes()),
        label=f"{reading.entry.title}: layer by layer …",
    )
