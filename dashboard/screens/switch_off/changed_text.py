"""Where in a text a model loses while units are held, and what it then expects next."""

import numpy as np
import streamlit as st

from dashboard import words
from dashboard.charts import theme
from dashboard.coloured_text import Scale, coloured_text
from dashboard.screens.switch_off.charts import next_token_probabilities
from dashboard.screens.switch_off.losses import Comparison

# A change that is smaller than this at every character is drawn pale, not blown up.
MIN_SCALE_LIMIT = 0.1


def show_change(comparison: Comparison) -> int | None:
    """The text by the change at each character; returns the index of the clicked one."""
    reading, change = comparison.reading, comparison.after - comparison.before
    selection = coloured_text(
        reading.text.characters,
        change,
        rows=["held against as it is"],
        chosen_row=0,
        scale=_change_scale(change),
        title=f"{reading.entry.title} · change of surprise",
        key="change",
        height=380,
    )
    if selection is None:
        st.caption("Click a character to see what the model expects after it, and to write on.")
        return None
    return selection.end - 1


def _change_scale(change: np.ndarray) -> Scale:
    """From easier to harder, zero in the middle; one character in a hundred may lie beyond."""
    known = np.abs(change[np.isfinite(change)])
    limit = max(MIN_SCALE_LIMIT, float(np.quantile(known, 0.99)) if len(known) else 0.0)
    colours = theme.signed(limit).colours
    ends = f"−{limit:.2g} bits: easier", f"harder: +{limit:.2g} bits"
    return Scale("change of surprise (bits)", colours, -limit, 0.0, limit, ends[0], "0", ends[1])


def show_probabilities(comparison: Comparison, character: int) -> None:
    """What the model expects after a character, without and with the holds."""
    reading = comparison.reading
    at = int(reading.positions[character])
    st.header(
        f"What comes after character {character + 1:,}?",
        anchor=False,
        help=f"The model's chances of each next {reading.token_name}; the ten that are likeliest "
        "in either case.",
    )
    facts = _facts(comparison, character)
    if facts:
        st.caption(
            " ".join(facts),
            help="Surprise is how unlikely the model thought the character that came: each bit "
            "halves the chance.",
        )
    st.plotly_chart(
        next_token_probabilities(
            reading.trace.next_token[at],
            comparison.held.next_token[at],
            label=reading.vocabulary.label,
        ),
        config=theme.plot_config(f"{reading.entry.name}-next-{at + 1}"),
        key="chances",
    )


def _facts(comparison: Comparison, character: int) -> list[str]:
    """Sentences on a character and the token after it, where there are any, Markdown."""
    reading, facts = comparison.reading, []
    before, after = comparison.before[character], comparison.after[character]
    if np.isfinite(before):
        facts.append(f"This character's own surprise: {before:.2f} bits, held {after:.2f}.")
    following = int(reading.positions[character]) + 1
    if following < len(reading.trace.tokens):
        token = words.verbatim(reading.vocabulary.label(reading.trace.tokens[following]))
        facts.append(f"The text goes on with **{token}**.")
    return facts
