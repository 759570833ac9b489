"""The model writes, and each character is coloured by one cell while it appears."""

import streamlit as st

from dashboard import words
from dashboard.screens import choices
from dashboard.screens.reading import read, usable_models
from dashboard.screens.refusal import refused
from dashboard.screens.tokens import token_name
from dashboard.screens.write.settings import (
    choose_prime,
    choose_sampling,
    keep_prime,
    keep_settings,
)
from dashboard.screens.write.writing import Writing
from dashboard.screens.write.written_text import PROBLEM, show_growing, show_whole
from dashboard.serving.loading import ModelEntry
from dashboard.session import Cell, Value, session
from gridlstm.errors import UserError

# Between two slices of a text there is time for other visitors.
SECONDS_BETWEEN_SLICES = 0.25
# In pixels: what the settings fill.
SETTINGS_WIDTH = 468
WRITING: Value[Writing] = Value("writing")


def choose_action(entry: ModelEntry, cell: Cell) -> None:
    """The buttons that begin a text, stop it and let it go on; a sentence if it cannot begin."""
    with st.container(horizontal=True, gap="medium"):
        prime = choose_prime()
        with st.container(width=SETTINGS_WIDTH):
            choice, length, seed = choose_sampling(token_name(entry))
    if prime.note:
        st.caption(words.verbatim(prime.note))
    with st.container(horizontal=True):
        begins = st.button(
            "Write",
            icon=":material/edit:",
            type="primary",
            help="Begin a new text; the one below goes.",
        )
        if begins:
            try:
                WRITING.set(Writing(entry, prime.data, length, choice, seed, cell.unit))
            except UserError as error:
                st.error(words.verbatim(str(error)))
        writing = WRITING.get()
        st.button(
            "Stop",
            icon=":material/stop:",
            help="Stop writing. What has been written stays.",
            disabled=writing is None or not writing.going,
            on_click=writing and writing.set_running,
            args=[False],
        )
        if writing and not writing.going and not writing.is_done and writing.is_of(entry):
            st.button(
                "Go on",
                icon=":material/play_arrow:",
                help="Write on from where it was stopped.",
                on_click=writing.set_running,
                args=[True],
            )


st.title("Let it write")
st.markdown(
    "A model that guesses the next character can also write: it draws a character from its "
    "guesses, reads it, and guesses again. Watch one **memory cell** or **gate** while it does. "
    "What is the cell for web addresses doing while the model writes one?"
)
models = usable_models()
if refused(models):
    st.stop()
choices.keep_valid(session.whitespace, [False, True])
keep_settings()
# A place of its own for the progress of reading, which leaves no gap when it is gone.
with st.container(gap=None):
    with st.container(horizontal=True, vertical_alignment="bottom"):
        entry = choices.choose_model(session.model, "Model", models)
        choices.choose_memory_shown()
    progress = st.container()
keep_prime(entry)
with progress:
    text_in_use = read(entry, choices.current_text())
# A model that can make nothing of that text still writes.
if refused(text_in_use):
    cell = choices.choose_cell(entry, None, None, suggestion=choices.suggest_top_cell(entry))
else:
    cell = choices.choose_cell(entry, text_in_use.trace, text_in_use.text)
choose_action(entry, cell)
if problem := PROBLEM.forget():
    st.error(words.verbatim(problem))
writing = WRITING.get()
if writing and not writing.is_of(entry):
    writing.set_running(False)
if writing is None:
    st.caption("Press **Write**: the text appears here, coloured by the cell chosen above.")
elif writing.going:
    if writing.unit != cell.unit:
        try:
            with progress:
                writing.watch(cell.unit)
        except UserError as error:
            st.error(words.verbatim(str(error)))
            st.stop()
    st.fragment(show_growing, run_every=SECONDS_BETWEEN_SLICES)(writing, cell)
else:
    with progress:
        whole = read(entry, writing.text())
        if refused(whole):
            st.stop()
    # In a container, as a fragment is: the text stays the same element, scrolled where it was.
    with st.container():
        show_whole(writing, whole, cell)
