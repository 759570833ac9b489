"""The text that a model writes, as it grows and when it is whole, coloured by one cell."""

import numpy as np
import streamlit as st

from dashboard import words
from dashboard.screens import choices
from dashboard.screens.reading import Reading, draw_coloured
from dashboard.screens.tokens import token_name
from dashboard.screens.write.writing import Writing
from dashboard.serving.loading import ModelEntry
from dashboard.serving.turn import begin_request
from dashboard.session import Cell, Value, session
from gridlstm.errors import UserError
from gridlstm.text import from_string

# What is written in a slice is drawn at once.
SLICE_SECONDS = 0.15
# Why the model stopped writing, until the page has said it.
PROBLEM: Value[str] = Value("writing_problem")


def draw(reading: Reading, prime: int, cell: Cell, unit: int, *, from_end: bool = False) -> None:
    """The text, coloured but for the `prime` characters it began with; `unit` is the cell's
    place."""
    values = reading.of_unit(cell.quantity, unit, session.memory.value)
    values[:, :prime] = np.nan
    draw_coloured(reading, cell, values, key="written", from_end=from_end)


def describe(writing: Writing, reader: ModelEntry) -> None:
    """One line on how the text came to be."""
    choice, done = (
        writing.choice,
        f"{writing.written:,} of {writing.length:,} {token_name(writing.entry)}s",
    )
    facts = [f"**{done}**" + (" so far" if writing.going else "")]
    facts += [f"written by {words.verbatim(writing.entry.title)}"]
    facts += [f"temperature {choice.temperature:g}"]
    if choice.top_k is not None:
        facts.append(f"top-k {choice.top_k}")
    if choice.top_p < 1:
        facts.append(f"top-p {choice.top_p:g}")
    facts.append(f"seed {writing.seed}")
    st.caption(" · ".join(facts) + ". Without colour: the text it began with.")
    if not writing.is_of(reader):
        st.caption(
            f"The colours are of {words.verbatim(reader.title)} while it reads this text: it is "
            "the model chosen above."
        )


def show_growing(writing: Writing, cell: Cell) -> None:
    """The text so far, then a slice more of it, drawn the next time; at its end, the page anew."""
    describe(writing, writing.entry)
    draw(writing.reading(), writing.prime_characters, cell, unit=0, from_end=True)
    # A fragment begins a request, as a page does.
    begin_request()
    # After drawing: what has not been drawn again yet is shown dimmed while the script runs.
    try:
        writing.advance(SLICE_SECONDS)
    except UserError as error:
        writing.set_running(False)
        PROBLEM.set(str(error))
    if not writing.going:
        st.rerun()


def show_whole(writing: Writing, reading: Reading, cell: Cell) -> None:
    """The text as the chosen model reads it, and the way to the other pages."""
    describe(writing, reading.entry)
    draw(reading, writing.prime_characters, cell, cell.unit)
    characters = reading.text.characters
    in_use = choices.current_text().characters == from_string(characters).characters
    with st.container(horizontal=True, vertical_alignment="center"):
        st.button(
            "Read this text on the other pages",
            icon=":material/visibility:",
            help="Make it your text, on every page of this visit: look for cells in it, switch "
            "units off, see who wrote a memory.",
            disabled=in_use,
            on_click=choices.use_text,
            args=[from_string(characters), f"Written by {writing.entry.title}"],
        )
        if in_use:
            st.caption("This text is in use on every page.", width="content")
            st.page_link(
                choices.CELLS_PAGE, label="Cells", icon=":material/grid_view:", width="content"
            )
