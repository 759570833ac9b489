"""The model writes, and each character is coloured by one cell while it appears."""

import numpy as np
import streamlit as st

from dashboard import choices, words
from dashboard.address import STARTS
from dashboard.choices import Cell
from dashboard.loading import ModelEntry
from dashboard.reading import Reading, draw_coloured, models_or_stop, read
from dashboard.writing import Writing
from gridlstm.config import ALPHABET
from gridlstm.errors import UserError
from gridlstm.sampling import Choice
from gridlstm.text import Text, from_string, truncate

MOST_PRIME_BYTES, MOST_WRITTEN_BYTES = 1000, 5000
# What a model of program code goes on from at first; all others do from that of `STARTS`.
PRIME_OF_CODE = "/* The driver for the "
BOLDEST, LEAST_SHARE = 2.0, 0.05
# What is written in a slice is drawn at once; between two there is time for other visitors.
SLICE_SECONDS, SECONDS_BETWEEN_SLICES = 0.15, 0.25
# In pixels: two sliders or three numbers fill a line; a narrow window breaks it.
SETTINGS_WIDTH, SLIDER_WIDTH, NUMBER_WIDTH = 468, 226, 145


# -- What is asked for ----------------------------------------------------------------------------


def keep_settings() -> None:
    """See to it that each setting is one that can be chosen, else what it is at the start."""
    for key, low, high in (
        ("temperature", 0.0, BOLDEST),
        ("top_p", LEAST_SHARE, 1.0),
        ("top_k", 1, ALPHABET),
        ("written_length", 1, MOST_WRITTEN_BYTES),
        ("sample_seed", 0, choices.MOST_SEED),
    ):
        choices.keep_between(key, low, high)


def keep_prime(entry: ModelEntry) -> None:
    """See to it that there is a text to begin with: one that suits the model, until the visitor
    writes another."""
    state, suited = st.session_state, PRIME_OF_CODE if entry.kind == "code" else STARTS["prime"]
    written = state.get("prime")
    if written in (None, state.get("suited_prime")) or len(written) > MOST_PRIME_BYTES:
        state["prime"] = state["suited_prime"] = suited


def choose_prime() -> Text:
    """The text that the model goes on from."""
    st.text_area(
        "Text to begin with (the prime)",
        max_chars=MOST_PRIME_BYTES,
        height=142,
        key="prime",
        persist_state="session",
        help="The model reads this, then writes on. It decides what kind of text comes: prose, a "
        "link, a table. What the model does inside is carried over from the last character.",
    )
    return truncate(from_string(st.session_state["prime"]), MOST_PRIME_BYTES)


def choose_how() -> tuple[Choice, int, int]:
    """How each byte is chosen, how many are written, and the seed."""
    with st.container(horizontal=True, gap="small"):
        temperature = st.slider(
            "Boldness (temperature)",
            0.0,
            BOLDEST,
            step=0.05,
            key="temperature",
            persist_state="session",
            help="1: each byte comes as often as the model thinks likely. Below 1, likely bytes "
            "come more often, and at 0 only the likeliest one. Above 1, unlikely ones come more "
            "often: the text goes wild. The model's logarithms are divided by it.",
            width=SLIDER_WIDTH,
        )
        top_p = st.slider(
            "Share of chances (top-p)",
            LEAST_SHARE,
            1.0,
            step=0.05,
            key="top_p",
            persist_state="session",
            help="Only the fewest likeliest bytes that together have this chance may come (nucleus "
            "sampling, Holtzman et al. 2020). 1: all of them. It is applied last, to what top-k "
            "left.",
            width=SLIDER_WIDTH,
        )
    with st.container(horizontal=True, gap="small"):
        top_k = st.number_input(
            "Likeliest (top-k)",
            1,
            ALPHABET,
            key="top_k",
            persist_state="session",
            help=f"Only so many of the likeliest bytes may come, at each step. {ALPHABET}: all of "
            "them. It is applied after the temperature.",
            width=NUMBER_WIDTH,
        )
        length = st.number_input(
            "Length in bytes",
            1,
            MOST_WRITTEN_BYTES,
            step=100,
            key="written_length",
            persist_state="session",
            help=f"How much is written, at most {MOST_WRITTEN_BYTES:,} bytes. It can be stopped at "
            "any time.",
            width=NUMBER_WIDTH,
        )
        seed = st.number_input(
            "Seed",
            0,
            choices.MOST_SEED,
            key="sample_seed",
            persist_state="session",
            help="Which random numbers: the same seed and settings write the same text again, "
            "another seed writes another.",
            width=NUMBER_WIDTH,
        )
    return Choice(temperature, int(top_k), top_p), int(length), int(seed)


def choose_action(entry: ModelEntry, cell: Cell) -> None:
    """The buttons that begin a text, stop it and let it go on; a sentence if it cannot begin."""
    with st.container(horizontal=True, gap="medium"):
        prime = choose_prime()
        with st.container(width=SETTINGS_WIDTH):
            choice, length, seed = choose_how()
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
                st.session_state["writing"] = Writing(
                    entry, prime.data, length, choice, seed, cell.unit
                )
            except UserError as error:
                st.error(words.verbatim(str(error)))
        writing = st.session_state.get("writing")
        st.button(
            "Stop",
            icon=":material/stop:",
            help="Stop writing. What has been written stays.",
            disabled=writing is None or not writing.going,
            on_click=writing and writing.set_going,
            args=[False],
        )
        if writing and not writing.going and not writing.is_done and writing.is_of(entry):
            st.button(
                "Go on",
                icon=":material/play_arrow:",
                help="Write on from where it was stopped.",
                on_click=writing.set_going,
                args=[True],
            )


# -- What is written ------------------------------------------------------------------------------


def draw(reading: Reading, prime: int, cell: Cell, unit: int, *, from_end: bool = False) -> None:
    """The text, coloured but for the `prime` bytes it began with; `unit` is the cell's place."""
    values = reading.of_unit(cell.quantity, unit, st.session_state["memory"])
    values[:, reading.text.last_byte < prime] = np.nan
    draw_coloured(reading, cell, values, key="written", from_end=from_end)


def describe(writing: Writing, reader: ModelEntry) -> None:
    """One line on how the text came to be."""
    choice, done = writing.choice, f"{writing.written:,} of {writing.length:,} bytes"
    facts = [f"**{done}**" + (" so far" if writing.going else "")]
    facts += [f"written by {words.verbatim(writing.entry.title)}"]
    facts += [f"temperature {choice.temperature:g}"]
    if choice.top_k < ALPHABET:
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
    draw(writing.reading(), len(writing.prime), cell, unit=0, from_end=True)
    # After drawing: what has not been drawn again yet is shown dimmed while the script runs.
    try:
        writing.advance(SLICE_SECONDS)
    except UserError as error:
        writing.set_going(False)
        st.session_state["writing_problem"] = str(error)
    if not writing.going:
        st.rerun()


def show_whole(writing: Writing, reading: Reading, cell: Cell) -> None:
    """The text as the chosen model reads it, and the way to the other pages."""
    describe(writing, reading.entry)
    draw(reading, len(writing.prime), cell, cell.unit)
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


st.title("Let it write")
st.markdown(
    "A model that guesses the next character can also write: it draws a character from its "
    "guesses, reads it, and guesses again. Watch one **memory cell** or **gate** while it does. "
    "What is the cell for web addresses doing while the model writes one?"
)
models = models_or_stop()
choices.keep_valid("whitespace", [False, True])
keep_settings()
# A place of its own for the progress of reading, which leaves no gap when it is gone.
with st.container(gap=None):
    with st.container(horizontal=True, vertical_alignment="bottom"):
        entry = choices.choose_model("model", "Model", models)
        choices.choose_memory_shown()
    progress = st.container()
keep_prime(entry)
with progress:
    text_in_use = read(entry, choices.current_text())
cell = choices.choose_cell(entry, text_in_use.trace, text_in_use.text)
choose_action(entry, cell)
if problem := st.session_state.pop("writing_problem", None):
    st.error(words.verbatim(problem))
writing = st.session_state.get("writing")
if writing and not writing.is_of(entry):
    writing.set_going(False)
if writing is None:
    st.caption("Press **Write**: the text appears here, coloured by the cell chosen above.")
elif writing.going:
    if writing.unit != cell.unit:
        with progress:
            writing.watch(cell.unit)
    st.fragment(show_growing, run_every=SECONDS_BETWEEN_SLICES)(writing, cell)
else:
    with progress:
        whole = read(entry, writing.text())
    # In a container, as a fragment is: the text stays the same element, scrolled where it was.
    with st.container():
        show_whole(writing, whole, cell)
