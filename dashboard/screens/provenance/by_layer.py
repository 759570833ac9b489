"""A depth memory as the sum of what the layers wrote, for one unit and for the whole model."""

import numpy as np
import streamlit as st

from dashboard import words
from dashboard.charts.theme import plot_config
from dashboard.coloured_text import cell_scale, coloured_text
from dashboard.screens.provenance import charts
from dashboard.screens.reading import Reading
from dashboard.serving.kept import kept
from gridlstm.analysis.depth_provenance import (
    depth_shares,
    depth_start,
    layers_survived,
    mean_depth_shares,
)
from gridlstm.architectures import Memory

# Characters that are stacked around the one that was clicked.
STACKED = 120


def show_by_layer(reading: Reading, layer: int, unit: int) -> None:
    """One depth memory as the sum of what the layers wrote, then what they write on the whole."""
    text, memory = reading.text, reading.entry.metadata.model.memory("depth")
    label = words.QUANTITIES[memory.keep].label
    gate = label[0].lower() + label[1:]
    st.caption(
        f"The depth memory of unit {unit} in layer {layer} is exactly the sum of what layers 1 to "
        f"{layer} wrote, each part times the {gate} values that it passed on its way up. **Click "
        "a character to see those around it below.**"
    )
    shares, sources = _shares(reading, layer, unit, memory)
    rows = [*(f"written by {source}" for source in sources), "the memory (sum)"]
    values = np.vstack([shares, shares.sum(axis=0)])
    selected = coloured_text(
        text.characters,
        values,
        rows=rows,
        chosen_row=len(sources),
        scale=cell_scale("depth memory c", max(1e-6, float(np.abs(values).max()))),
        title=f"{reading.entry.title} · depth memory of layer {layer}, unit {unit}",
        key="depth-shares",
        height=320,
        strips="What each layer wrote of it",
    )
    middle = selected.start if selected else 0
    first = int(np.clip(middle - STACKED // 2, 0, max(0, len(text.characters) - STACKED)))
    window = slice(first, first + STACKED)
    st.plotly_chart(
        charts.stacked_shares(shares[:, window], text.characters[window], sources, start=first),
        config=plot_config(f"{reading.entry.name}-layer-{layer}-unit-{unit}-written-by"),
        key="stacked",
    )
    _show_whole_model(reading, memory)


def _shares(
    reading: Reading, layer: int, unit: int, memory: Memory
) -> tuple[np.ndarray, list[str]]:
    """What each source wrote of a unit's memory [source, character], and what they are called."""
    values, positions = reading.trace.values, reading.positions
    shares = depth_shares(values, unit, layer - 1, memory)[:, positions]
    sources = [f"layer {n}" for n in range(1, layer + 1)]
    if memory.starts:
        start = depth_start(values, unit, layer - 1, memory)[positions]
        return np.vstack([start, shares]), [memory.starts, *sources]
    return shares, sources


def _show_whole_model(reading: Reading, memory: Memory) -> None:
    """What the layers write on the whole, and how far up it lasts."""
    values, text = reading.trace.values, reading.text.data
    shares = kept(
        "provenance",
        reading.entry.version,
        text,
        lambda progress: mean_depth_shares(values, progress=progress, memory=memory),
        depends_on=("shares",),
        label="Adding up …",
    )
    counts = kept(
        "provenance",
        reading.entry.version,
        text,
        lambda progress: layers_survived(values, progress, memory),
        depends_on=("survival",),
        label="Counting …",
    )
    left, right = st.columns(2)
    with left:
        st.header(
            "Who writes the top memory",
            anchor=False,
            help="The mean, over all units and bytes of this text, of the size of a layer's part "
            "among the sizes of all layers' parts.",
        )
        st.plotly_chart(
            charts.mean_shares(shares),
            config=plot_config(f"{reading.entry.name}-mean-shares"),
            key="mean_shares",
        )
    with right:
        st.header(
            "How far up a write lasts",
            anchor=False,
            help="A write survives a layer as long as the product of the depth forget gates it "
            "passed is above one half. The top layer's writes have no layer above them.",
        )
        st.plotly_chart(
            charts.survival(counts),
            config=plot_config(f"{reading.entry.name}-survival"),
            key="survival",
        )
