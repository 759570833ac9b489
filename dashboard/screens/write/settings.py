"""What a model writes on from, and how it chooses each token: a byte or a character."""

import streamlit as st

from dashboard.screens import choices
from dashboard.serving.loading import ModelEntry
from dashboard.session import Value, session
from gridlstm.config import ALPHABET
from gridlstm.sampling import Choice
from gridlstm.text import Text, from_string, truncate

MAX_PRIME_BYTES, MAX_WRITTEN = 1000, 5000
# What a model of program code goes on from at first; all others do from where `prime` starts.
PRIME_OF_CODE = "/* The driver for the "
# What was put there for the visitor, as it suits the model.
_SUITED_PRIME: Value[str] = Value("suited_prime")
BOLDEST, MIN_TOP_P = 2.0, 0.05
# In pixels: two sliders or three numbers fill a line; a narrow window breaks it.
SLIDER_WIDTH, NUMBER_WIDTH = 226, 145


def keep_settings() -> None:
    """See to it that each setting is one that can be chosen, else what it is at the start."""
    for value, low, high in (
        (session.temperature, 0.0, BOLDEST),
        (session.top_p, MIN_TOP_P, 1.0),
        (session.top_k, 1, ALPHABET),
        (session.written_length, 1, MAX_WRITTEN),
        (session.sample_seed, 0, choices.MAX_SEED),
    ):
        choices.keep_between(value, low, high)


def keep_prime(entry: ModelEntry) -> None:
    """See to it that there is a text to begin with: one that suits the model, until the visitor
    writes another."""
    prime, suited = session.prime, PRIME_OF_CODE if entry.kind == "code" else session.prime.start
    is_own = prime.is_chosen and prime.value != _SUITED_PRIME.get()
    if not is_own or len(prime.value) > MAX_PRIME_BYTES:
        prime.set(suited)
        _SUITED_PRIME.set(suited)


def choose_prime() -> Text:
    """The text that the model goes on from."""
    st.text_area(
        "Text to begin with (the prime)",
        max_chars=MAX_PRIME_BYTES,
        height=142,
        key=session.prime.key,
        persist_state="session",
        help="The model reads this, then writes on. It decides what kind of text comes: prose, a "
        "link, a table. What the model does inside is carried over from the last character.",
    )
    return truncate(from_string(session.prime.value), MAX_PRIME_BYTES)


def choose_sampling(token: str) -> tuple[Choice, int, int]:
    """How each token is chosen, a "byte" or a "character", how many are written, and the seed."""
    with st.container(horizontal=True, gap="small"):
        temperature = st.slider(
            "Boldness (temperature)",
            0.0,
            BOLDEST,
            step=0.05,
            key=session.temperature.key,
            persist_state="session",
            help=f"1: each {token} comes as often as the model thinks likely. Below 1, likely ones "
            "come more often, and at 0 only the likeliest one. Above 1, unlikely ones come more "
            "often: the text goes wild. The model's logarithms are divided by it.",
            width=SLIDER_WIDTH,
        )
        top_p = st.slider(
            "Share of chances (top-p)",
            MIN_TOP_P,
            1.0,
            step=0.05,
            key=session.top_p.key,
            persist_state="session",
            help=f"Only the fewest likeliest {token}s that together have this chance may come "
            "(nucleus sampling, Holtzman et al. 2020). 1: all of them. It is applied last, to "
            "what top-k left.",
            width=SLIDER_WIDTH,
        )
    with st.container(horizontal=True, gap="small"):
        top_k = st.number_input(
            "Likeliest (top-k)",
            1,
            ALPHABET,
            key=session.top_k.key,
            persist_state="session",
            help=f"Only so many of the likeliest {token}s may come, at each step. {ALPHABET}: all "
            "of them. It is applied after the temperature.",
            width=NUMBER_WIDTH,
        )
        length = st.number_input(
            f"Length in {token}s",
            1,
            MAX_WRITTEN,
            step=100,
            key=session.written_length.key,
            persist_state="session",
            help=f"How much is written, at most {MAX_WRITTEN:,} {token}s. It can be stopped at "
            "any time.",
            width=NUMBER_WIDTH,
        )
        seed = st.number_input(
            "Seed",
            0,
            choices.MAX_SEED,
            key=session.sample_seed.key,
            persist_state="session",
            help="Which random numbers: the same seed and settings write the same text again, "
            "another seed writes another.",
            width=NUMBER_WIDTH,
        )
    kept = None if top_k == ALPHABET else int(top_k)
    return Choice(temperature, kept, top_p), int(length), int(seed)
