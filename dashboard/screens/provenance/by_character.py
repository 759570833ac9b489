"""A time memory at one character as the sum of what the characters so far wrote."""

import numpy as np
import pandas as pd
import streamlit as st

from dashboard import words
from dashboard.coloured_text import cell_scale, coloured_text
from dashboard.screens.reading import Reading
from gridlstm.analysis.time_provenance import by_character, direction_time_shares
from gridlstm.direction import Direction

# Characters up to the chosen one that are drawn, and those that are listed.
WINDOW = 300
LISTED = 12


def show_by_character(reading: Reading, of: Direction, is_unit: bool) -> None:
    """A unit's time memory, or what of many lies along a direction, over the text, and at a
    character what each one before wrote of it."""
    text, memory = reading.text, reading.entry.metadata.model.memory("time")
    cell = of.along(reading.trace.values, reading.positions)
    name = f"{of.name} in layer {of.layer}" if is_unit else f"“{of.name}” ({of.place})"
    st.caption(
        f"The time memory of {words.verbatim(name)}. **Click a character**: below, the text "
        "is coloured by how much each character so far wrote of what the memory holds there."
    )
    selected = coloured_text(
        text.characters,
        cell,
        rows=[of.place if of.layer is None else f"layer {of.layer}"],
        chosen_row=0,
        scale=cell_scale("time memory c", max(1e-6, float(np.abs(cell).max()))),
        title=f"{reading.entry.title} · time memory of {name}",
        key="time-memory",
        height=240,
    )
    at = selected.end - 1 if selected else int(np.abs(cell).argmax())
    st.markdown(
        f"At character {at + 1:,} the memory is **{cell[at]:+.3f}**"
        + (":" if selected else ", where it is farthest from zero in this text:"),
        help="The value of the memory cell c there, without bounds. The characters so far have "
        "each written a part of it, and the parts add up to it exactly.",
    )
    last = int(reading.positions[at])
    shares = direction_time_shares(reading.trace.values, of, last, memory)
    written = by_character(shares, reading.positions)
    _show_parts(text.characters, written)
    _list_largest(text.characters, written)


def _show_parts(characters: str, written: np.ndarray) -> None:
    """The characters up to one, coloured by what each wrote [character] of the memory there."""
    at = len(written) - 1
    start = max(0, at + 1 - WINDOW)
    coloured_text(
        characters[start : at + 1],
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


def _list_largest(characters: str, written: np.ndarray) -> None:
    """A table of the characters that wrote most of a memory."""
    order = np.argsort(-np.abs(written), kind="stable")[:LISTED]
    st.dataframe(
        pd.DataFrame(
            {
                "Character": order + 1,
                "It is": [repr(characters[i])[1:-1] for i in order],
                "Wrote": written[order],
                "Before": len(written) - 1 - order,
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
