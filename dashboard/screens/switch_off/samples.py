"""What a model writes while units are held, beside what it writes as it is."""

import numpy as np
import streamlit as st

from dashboard import words
from dashboard.screens import choices
from dashboard.screens.switch_off.losses import Comparison
from dashboard.serving import loading
from dashboard.serving.kept import kept
from dashboard.serving.loading import ModelEntry
from dashboard.session import session
from gridlstm.clamps import Clamp
from gridlstm.errors import UserError
from gridlstm.progress import Progress
from gridlstm.sampling import sample
from gridlstm.text import Text, truncate

PRIME_BYTES, WRITTEN_TOKENS, TEMPERATURE = 200, 300, 0.8


def show_samples(comparison: Comparison, character: int | None) -> None:
    """The same random numbers, without and with the holds, after a character or the beginning."""
    entry, token = comparison.reading.entry, comparison.reading.token_name
    st.header(
        "What it writes",
        anchor=False,
        help=f"{WRITTEN_TOKENS} {token}s drawn one by one from the model's chances, at temperature "
        f"{TEMPERATURE} (below 1: likely ones more often). Both texts use the same random "
        "numbers, so they differ only where the chances do.",
    )
    choices.keep_between(session.sample_seed, 0, choices.MAX_SEED)
    seed = st.number_input(
        "Seed",
        0,
        choices.MAX_SEED,
        key=session.sample_seed.key,
        persist_state="session",
        help="Which random numbers: another seed gives another pair of texts.",
        width=150,
    )
    prime = prime_of(comparison.reading.text, character)
    size = len(prime) if token == "byte" else len(prime.decode())
    st.caption(
        f"Written on from the first {size:,} {token}s of the text."
        if character is None
        else f"Written on from character {character + 1:,}, after {size:,} {token}s up to it."
    )
    try:
        texts = [_written(entry, prime, int(seed), clamps) for clamps in ((), comparison.clamps)]
    except UserError as error:
        st.error(words.verbatim(str(error)))
        return
    vocabulary = comparison.reading.vocabulary
    for place, title, tokens in zip(st.columns(2), ("As it is", "Held"), texts, strict=True):
        with place:
            st.markdown(f"**{title}**")
            st.code(vocabulary.decode(tokens), language=None, wrap_lines=True)
    _show_difference(*texts, token)


def prime_of(text: Text, character: int | None) -> bytes:
    """What the model reads before it writes: up to a character, or the beginning of the text."""
    if character is None:
        return truncate(text, PRIME_BYTES).data
    end = int(text.last_byte[character]) + 1
    begins = np.append(0, text.last_byte + 1)
    return text.data[begins[np.searchsorted(begins, end - PRIME_BYTES)] : end]


def _written(entry: ModelEntry, prime: bytes, seed: int, clamps: tuple[Clamp, ...]) -> list[int]:
    """The tokens that the model writes after `prime`, with the holds. Raises UserError."""

    def make(progress: Progress) -> list[int]:
        found, model = [], loading.model_of(entry)
        options = {"temperature": TEMPERATURE, "seed": seed, "clamps": clamps}
        for token in sample(model, prime, WRITTEN_TOKENS, **options):
            found.append(token)
            if len(found) % 10 == 0:
                progress(len(found) / WRITTEN_TOKENS)
        return found

    return kept(
        "switched off: written",
        entry.version,
        prime,
        make,
        depends_on=(seed, clamps),
        label="The model writes …",
    )


def _show_difference(before: list[int], after: list[int], token: str) -> None:
    differing = np.flatnonzero(np.asarray(before) != np.asarray(after))
    if len(differing):
        st.caption(
            f"They part at {token} {differing[0] + 1:,} of {WRITTEN_TOKENS}.",
            help=f"The first {token} that differs; from there on each reads what it wrote itself.",
        )
    else:
        st.caption("The two texts are the same.")
