"""What the forget gates do over a whole text: how open they are, and which hardly ever move."""

import streamlit as st

from dashboard import choices
from dashboard.charts.gates import gate_distribution, saturation_plot
from dashboard.charts.theme import plot_config
from dashboard.choices import Cell
from dashboard.reading import Reading, models_or_stop, read, text_line
from gridlstm.analysis.saturation import gate_histogram, saturation


@st.cache_resource(max_entries=16, show_spinner="Counting the gates …")
def statistics(path, stamp, data: bytes, _reading: Reading):
    """By dimension: histogram counts [layer, bin], and shares (left, right) [layer, unit]."""
    gates = {
        quantity.split(".")[0]: values
        for quantity, values in _reading.trace.values.items()
        if quantity.endswith(".forget")
    }
    counts = {dimension: gate_histogram(values) for dimension, values in gates.items()}
    return counts, {dimension: saturation(values) for dimension, values in gates.items()}


st.title("Forget gates")
st.markdown(
    "A forget gate says how much of a memory is kept: **1 keeps** all of it, **0 wipes** it. The "
    "time gates act from one character to the next; in a Grid LSTM the depth gates act from one "
    "layer up to the next."
)
text_line()
models = models_or_stop()
entry = choices.choose_model("model", "Model", models)
reading = read(entry, choices.current_text())
counts, saturated = statistics(entry.path, entry.stamp, reading.text.data, reading)

st.subheader("How open the gates are", anchor=False)
st.caption("All units of a layer at every byte of the text; each row is scaled to its own peak.")
st.plotly_chart(
    gate_distribution(counts), config=plot_config(f"{entry.name}-forget-gates"), key="distribution"
)

st.subheader(
    "Units that hardly ever forget, or always do",
    anchor=False,
    help="The saturation plot of Karpathy, Johnson and Li (2015): each point is one unit. "
    "Right-saturated means above 0.9, left-saturated below 0.1.",
)
st.caption(
    "Each point is one unit: the higher, the more of the text it keeps its memory; the further "
    "right, the more of it it wipes its memory. On the dashed line it does nothing else. "
    "**Click a point to open that gate.**"
)
with st.container(horizontal=True):
    for dimension, (left, right) in saturated.items():
        with st.container(width=470):
            chosen = st.plotly_chart(
                saturation_plot(right, left, dimension),
                config=plot_config(f"{entry.name}-{dimension}-saturation"),
                on_select="rerun",
                selection_mode="points",
                key=f"saturation-{dimension}",
            )
        if chosen.selection.points:
            layer, unit = chosen.selection.points[0]["customdata"]
            choices.open_cell(Cell(f"{dimension}.forget", int(layer) + 1, int(unit)))
