"""A depth memory as the sum of what the layers wrote, for one unit, for a direction of many, and
for the whole model."""

import numpy as np
import pandas as pd
import streamlit as st

from dashboard import words
from dashboard.charts.theme import plot_config
from dashboard.coloured_text import cell_scale, coloured_text
from dashboard.screens.provenance import charts
from dashboard.screens.reading import Reading
from dashboard.serving.kept import kept
from gridlstm.analysis.depth_provenance import (
    Written,
    depth_written,
    layers_survived,
    mean_depth_shares,
)
from gridlstm.architectures import Memory
from gridlstm.direction import Direction

# Characters that are stacked around the one that was clicked.
STACKED = 120


def show_by_layer(reading: Reading, of: Direction, is_unit: bool) -> None:
    """A unit's depth memory, or what of many lies along a direction, as the sum of what the layers
    wrote, then what they write on the whole."""
    text, memory = reading.text, reading.entry.metadata.model.memory("depth")
    found = _written(reading, of, memory)
    shares, sources = _shares(found, reading.positions, memory)
    gate = _gate(memory)
    what = f"The depth memory of {of.name} in layer {of.layer}"
    if not is_unit:
        what = f"What the depth memory holds along “{words.verbatim(of.name)}”"
    st.caption(
        f"{what} is exactly the sum of what layers 1 to {len(found.shares)} wrote, each part times "
        f"the {gate} values that it passed on its way up. **Click a character to see those around "
        "it below.**"
    )
    rows = [*(f"written by {source}" for source in sources), "the memory (sum)"]
    values = np.vstack([shares, shares.sum(axis=0)])
    title = f"layer {of.layer}, {of.name}" if is_unit else of.name
    selected = coloured_text(
        text.characters,
        values,
        rows=rows,
        chosen_row=len(sources),
        scale=cell_scale(
            "depth memory c" if is_unit else "along the direction",
            max(1e-6, float(np.abs(values).max())),
        ),
        title=f"{reading.entry.title} · depth memory of {title}",
        key="depth-shares",
        height=320,
        strips="What each layer wrote of it",
    )
    middle = selected.start if selected else 0
    first = int(np.clip(middle - STACKED // 2, 0, max(0, len(text.characters) - STACKED)))
    window = slice(first, first + STACKED)
    name = f"layer-{of.layer}-{of.name.replace(' ', '-')}" if is_unit else "direction"
    st.plotly_chart(
        charts.stacked_shares(shares[:, window], text.characters[window], sources, start=first),
        config=plot_config(f"{reading.entry.name}-{name}-written-by"),
        key="stacked",
    )
    at = selected.end - 1 if selected else int(np.abs(values[-1]).argmax())
    _show_gates(found, int(reading.positions[at]), at, gate)
    _show_whole_model(reading, memory)


def _gate(memory: Memory) -> str:
    label = words.QUANTITIES[memory.keep].label
    return label[0].lower() + label[1:]


def _written(reading: Reading, of: Direction, memory: Memory) -> Written:
    return kept(
        "provenance",
        reading.entry.version,
        reading.text.data,
        lambda progress: depth_written(reading.trace.values, of, memory, progress),
        depends_on=("direction", of),
        label="Taking the memory apart …",
    )


def _shares(found: Written, positions: np.ndarray, memory: Memory) -> tuple[np.ndarray, list[str]]:
    """What each source wrote of it [source, character], and what they are called."""
    shares = found.shares[:, positions]
    sources = [f"layer {n}" for n in range(1, len(shares) + 1)]
    if found.start is None:
        return shares, sources
    return np.vstack([found.start[positions], shares]), [memory.starts, *sources]


def _show_gates(found: Written, position: int, character: int, gate: str) -> None:
    """What each layer wrote at a character, and what each gate above took of it on the way up."""
    written, taken = found.written[:, position], found.taken[:, :, position]
    layers = len(written)
    table = {"Layer": np.arange(1, layers + 1), "Wrote": written}
    for n in range(1, layers):
        took = np.where(np.arange(layers) < n, taken[:, n], np.nan)
        table[f"Layer {n + 1} took"] = took
    table["Left"] = found.shares[:, position]
    numbers = st.column_config.NumberColumn(format="%+.3f")
    st.caption(
        f"At character {character + 1:,}: what each layer wrote, what each {gate} above took of it "
        "on the way up, and what is left of it.",
        help="A gate takes 1 minus its value of all that comes from below, unit by unit. What is "
        "left in all rows adds up to the memory.",
    )
    st.dataframe(
        pd.DataFrame(table),
        hide_index=True,
        placeholder="",
        column_config={name: numbers for name in table if name != "Layer"},
    )


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
