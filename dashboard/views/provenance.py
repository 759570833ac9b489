"""Who wrote a memory: which layer below, which earlier character, and how long writes last."""

import numpy as np
import pandas as pd
import streamlit as st

from dashboard import choices, words
from dashboard.charts import provenance as charts
from dashboard.charts.theme import plot_config
from dashboard.clickable_table import table_of_cells
from dashboard.coloured_text import cell_scale, coloured_text
from dashboard.reading import Reading, models_or_stop, read, text_line
from dashboard.sections.kept import kept
from gridlstm.analysis.depth_provenance import (
    depth_shares,
    depth_start,
    layers_survived,
    mean_depth_shares,
)
from gridlstm.analysis.time_provenance import (
    by_character,
    half_life_frame,
    half_lives,
    time_shares,
)
from gridlstm.architectures import Memory

VIEWS = {
    "depth": "Which layer wrote it",
    "time": "Which character wrote it",
    "half-life": "How long writes last",
}
# Along which dimension a memory must be carried for a view.
NEEDS = {"depth": "depth", "time": "time", "half-life": "time"}
WINDOW = 300
STACKED = 120
LISTED = 12


def over_all(what: str, reading: Reading, label: str, make):
    """A result over the whole text, from the shelf or made now under a progress bar."""
    return kept("provenance", reading.entry, (what, reading.text.data), label, make)


def by_layer(reading: Reading, layer: int, unit: int) -> None:
    """One depth memory as the sum of what the layers wrote."""
    text, values = reading.text, reading.trace.values
    memory = reading.entry.metadata.model.memory("depth")
    shares = depth_shares(values, unit, layer - 1, memory)[:, text.last_byte]
    label = words.QUANTITIES[memory.keep].label
    gate = label[0].lower() + label[1:]
    st.caption(
        f"The depth memory of unit {unit} in layer {layer} is exactly the sum of what layers 1 to "
        f"{layer} wrote, each part times the {gate} values that it passed on its way up. **Click "
        "a character to see those around it below.**"
    )
    sources = [f"layer {n}" for n in range(1, layer + 1)]
    if memory.starts:
        start = depth_start(values, unit, layer - 1, memory)[text.last_byte]
        shares, sources = np.vstack([start, shares]), [memory.starts, *sources]
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
    whole_model(reading, memory)


def whole_model(reading: Reading, memory: Memory) -> None:
    """What the layers write on the whole, and how far up it lasts."""
    values = reading.trace.values
    shares = over_all(
        "shares",
        reading,
        "Adding up …",
        lambda p: mean_depth_shares(values, progress=p, memory=memory),
    )
    counts = over_all(
        "survival", reading, "Counting …", lambda p: layers_survived(values, p, memory)
    )
    left, right = st.columns(2)
    with left:
        st.subheader(
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
        st.subheader(
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


def by_time(reading: Reading, layer: int, unit: int) -> None:
    """One time memory at one character as the sum of what the characters so far wrote."""
    text, memory = reading.text, reading.entry.metadata.model.memory("time")
    cell = reading.of_unit(memory.cell, unit, "c")[layer - 1]
    st.caption(
        f"The time memory of unit {unit} in layer {layer}. **Click a character**: below, the text "
        "is coloured by how much each character so far wrote of what the memory holds there."
    )
    limit = max(1e-6, float(np.abs(cell).max()))
    selected = coloured_text(
        text.characters,
        cell,
        rows=[f"layer {layer}"],
        chosen_row=0,
        scale=cell_scale("time memory c", limit),
        title=f"{reading.entry.title} · time memory of layer {layer}, unit {unit}",
        key="time-memory",
        height=240,
    )
    at = selected.end - 1 if selected else int(np.abs(cell).argmax())
    last = int(text.last_byte[at])
    shares = time_shares(reading.trace.values, layer - 1, unit, last, memory)
    written = by_character(shares, text.last_byte)
    st.markdown(
        f"At character {at + 1:,} the memory is **{cell[at]:+.3f}**"
        + (":" if selected else ", where it is farthest from zero in this text:"),
        help="The value of the memory cell c there, without bounds. The characters so far have "
        "each written a part of it, and the parts add up to it exactly.",
    )
    start = max(0, at + 1 - WINDOW)
    coloured_text(
        text.characters[start : at + 1],
        written[start:],
        rows=["written by this character"],
        chosen_row=0,
        scale=cell_scale("part of the memory", max(1e-6, float(np.abs(written).max()))),
        title=f"Who wrote the memory at character {at + 1:,}",
        key="time-shares",
        height=240,
    )
    if start:
        st.caption(
            f"The last {WINDOW} characters up to it; all before them wrote "
            f"{written[:start].sum():+.3f} together.",
            help="The sum of what is left of all earlier writes, which are not drawn here.",
        )
    order = np.argsort(-np.abs(written), kind="stable")[:LISTED]
    st.dataframe(
        pd.DataFrame(
            {
                "Character": order + 1,
                "It is": [repr(text.characters[i])[1:-1] for i in order],
                "Wrote": written[order],
                "Before": at - order,
            }
        ),
        hide_index=True,
        column_config={
            "Character": st.column_config.NumberColumn(help="Its place in the text, from 1."),
            "It is": st.column_config.TextColumn(help="The character that was read there."),
            "Wrote": st.column_config.NumberColumn(
                format="%+.3f", help="What is left of its write. All of them add up to the memory."
            ),
            "Before": st.column_config.NumberColumn(help="How many characters earlier it stands."),
        },
    )


def lasting(reading: Reading) -> None:
    """After how many characters half of a write is left, unit by unit."""
    memory = reading.entry.metadata.model.memory("time")
    found = over_all(
        "half-lives",
        reading,
        "Measuring how long writes last …",
        lambda p: half_lives(reading.trace.values, reading.text.last_byte, p, memory),
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
            "Layer": st.column_config.NumberColumn(help="1 reads the bytes; the last is the top."),
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


st.title("Who wrote it")
st.markdown(
    "A memory is carried **linearly**: at each step a forget gate keeps a part of it and something "
    "is added. So what it holds can be taken apart, exactly, into what was written when and where."
)
text_line()
models = models_or_stop()
entry = choices.choose_reader(models)
reading = read(entry, choices.current_text())
model = entry.metadata.model
views = [view for view, along in NEEDS.items() if model.memory(along)]
if not views:
    st.info(
        f"The {model.form.title} carries nothing linearly: at every step all that it holds passes "
        "a squashing function, so what was written when cannot be told apart."
    )
    st.stop()
choices.keep_valid("provenance", views)
view = st.segmented_control(
    "What to show",
    views,
    required=True,
    format_func=VIEWS.get,
    key="provenance",
    persist_state="session",
    label_visibility="collapsed",
)
if not model.memory("depth"):
    st.caption(
        f"Layer by layer it cannot be told: the {model.form.title} has no memory that is carried "
        "up through its layers; what rises is squashed at each."
    )
if not model.memory("time"):
    st.caption(
        f"Character by character it cannot be told: the {model.form.title} has no memory that is "
        "carried from character to character; what it knows of them passes a squashing function."
    )
if view == "half-life":
    lasting(reading)
else:
    layer, unit = choices.choose_unit(entry, reading.trace, reading.text)
    if view == "depth":
        by_layer(reading, layer, unit)
    else:
        by_time(reading, layer, unit)
