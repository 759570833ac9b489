"""A text as a model read it, character by character: what several pages draw."""

import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import streamlit as st

from dashboard import words
from dashboard.charts import theme
from dashboard.coloured_text import (
    Likeliest,
    Scale,
    Selection,
    cell_scale,
    coloured_text,
    gate_scale,
)
from dashboard.screens import choices
from dashboard.screens.refusal import Refusal
from dashboard.screens.tokens import (
    losses_of,
    positions_of,
    skipped_in,
    token_name,
    vocabulary_of,
)
from dashboard.serving import loading
from dashboard.serving.kept import kept
from dashboard.serving.loading import ModelEntry
from dashboard.serving.turn import begin_request, turn
from dashboard.session import Cell, Value, session
from gridlstm.errors import UserError
from gridlstm.text import Text
from gridlstm.vocabulary import Vocabulary

PREDICTIONS = 5
# For a byte of the text.
SECONDS_A_PREDICTION = 1e-5
SECONDS_TO_SEND = 0.1
SECONDS_TO_DRAW = 0.8
# What the first charts of a page take.
SECONDS_OF_CHARTS = 0.4
TEXT_HEIGHT = 420
# Whether this visit has been shown a text.
_TEXT_IS_OUT: Value[bool] = Value("text_is_out")


@dataclass(frozen=True)
class Reading:
    """A model's trace over a text.

    `loss_bits` float [character]: surprise, summed over a character's bytes; NaN for the first.
    `likeliest`: the tokens expected after each character. `positions` int64 [character]: the
    position of the trace that stands for a character, that of its last token. `skipped` bool
    [character]: those that the model does not read; None where it reads all.
    """

    entry: ModelEntry
    text: Text
    trace: "gridlstm.trace.Trace"  # noqa: F821 (imported with torch, when first needed)
    loss_bits: np.ndarray
    likeliest: Likeliest | None
    positions: np.ndarray
    skipped: np.ndarray | None = None

    @property
    def vocabulary(self) -> Vocabulary:
        return vocabulary_of(self.entry)

    @property
    def token_name(self) -> str:
        """What the model reads and writes, in a word."""
        return token_name(self.entry)

    @property
    def layer_labels(self) -> list[str]:
        top = self.trace.layers
        return [f"layer {n}" + (" (top)" if n == top else "") for n in range(1, top + 1)]

    @property
    def memories(self) -> dict[str, np.ndarray]:
        """The model's memories [layer, position, unit] by quantity."""
        return {q: self.trace.values[q] for q in self.entry.metadata.model.cells}

    @property
    def predictions(self) -> list[list[tuple[str, float]]]:
        """The likeliest next tokens after each character, in words."""
        label = self.vocabulary.label
        pairs = zip(self.likeliest.next_tokens, self.likeliest.probabilities, strict=True)
        return [
            [(label(token), float(chance)) for token, chance in zip(*pair, strict=True)]
            for pair in pairs
        ]

    def of_unit(self, quantity: str, unit: int, memory_as: str) -> np.ndarray:
        """One unit in every layer, float32 [layer, character]."""
        return self._shown(quantity, memory_as, (slice(None), self.positions, unit))

    def of_layer(self, quantity: str, layer: int, memory_as: str) -> np.ndarray:
        """Every unit of one layer, counted from 1: float32 [character, unit]."""
        return self._shown(quantity, memory_as, (layer - 1, self.positions))

    def _shown(self, quantity: str, memory_as: str, where: tuple) -> np.ndarray:
        dimension, kind = quantity.split(".")
        shown = f"{dimension}.hidden"
        if kind == "cell" and memory_as == "h" and shown in self.trace.values:
            quantity = shown
        values = self.trace.values[quantity][where].astype(np.float32)
        return np.tanh(values) if kind == "cell" and memory_as == "tanh" else values


def read(entry: ModelEntry, text: Text) -> Reading | Refusal:
    """What the model does on the text."""
    try:
        trace = loading.traced(entry, text)
    except UserError as error:
        return Refusal(words.verbatim(f"{entry.name}: {error}"))
    loss_bits, likeliest = kept(
        "predictions",
        entry.version,
        text.data,
        lambda progress: _predictions(entry, text, trace),
        label="What the model expects …",
        seconds=SECONDS_A_PREDICTION * len(text.data),
    )
    if entry.metadata.vocabulary is not None and trace.text.note:
        st.caption(f"{words.verbatim(entry.title)}: {words.verbatim(trace.text.note)}")
    positions = positions_of(entry, text, trace.text)
    skipped = skipped_in(entry, trace.text)
    return Reading(entry, text, trace, loss_bits, likeliest, positions, skipped)


def _predictions(entry: ModelEntry, text: Text, trace) -> tuple[np.ndarray, Likeliest]:
    # Imports pandas, which the first heading does not wait for.
    from gridlstm.curves import convert

    next_tokens, probabilities = trace.likeliest(PREDICTIONS)
    at = positions_of(entry, text, trace.text)
    bits = convert(losses_of(entry, text, trace.text, trace.loss), "bits")
    vocabulary = entry.metadata.vocabulary
    labels = vocabulary and {int(of): vocabulary.label(of) for of in np.unique(next_tokens)}
    return bits, Likeliest(next_tokens[at], probabilities[at], labels)


def usable_models() -> dict[str, ModelEntry] | Refusal:
    """The models with weights, by name; files that are broken are named on the page."""
    _flush_heading()
    found = loading.catalogue()
    for problem in found.problems:
        st.warning(problem)
    if not found.usable:
        return Refusal(
            "There is no model yet. Put checkpoints into the folder `checkpoints/`, train one with "
            "`python -m gridlstm train`, or upload your own on the Models page.",
            is_error=False,
        )
    return found.usable


def show_text_differences(entries: Sequence[ModelEntry]) -> None:
    """Say so where models that are shown side by side were trained on different texts."""
    if len({entry.metadata.data.measured_on for entry in entries}) > 1:
        texts = dict.fromkeys(f"**{words.verbatim(entry.text)}**" for entry in entries)
        st.caption(
            f"These models were trained on different texts: {', '.join(texts)}. What differs "
            "between them may come from that: it tells nothing of which architecture is better."
        )


def _flush_heading() -> None:
    """Before the first import of torch, wait until what is drawn so far has gone to the browser.

    Another thread sends it, which an import of large libraries would keep waiting for a second.
    """
    if "torch" not in sys.modules:
        time.sleep(SECONDS_TO_SEND)


@contextmanager
def below_the_text() -> Iterator[None]:
    """Within, a visit's first charts below a text are drawn: when the text stands in the browser,
    and all others have theirs.

    The plotting library, which is fetched for that chart, keeps the browser busy for a second.
    """
    if _TEXT_IS_OUT.is_chosen:
        yield
        return
    time.sleep(SECONDS_TO_DRAW)
    begin_request()
    with turn(("first charts", object()), "Drawing …", SECONDS_OF_CHARTS, is_last=True):
        yield
    _TEXT_IS_OUT.set(True)


def text_line() -> None:
    """Which text is in use, and the way to another."""
    text = choices.current_text()
    with st.container(horizontal=True, vertical_alignment="center"):
        title = words.verbatim(choices.current_title())
        st.caption(
            f"Text: **{title}**, {len(text.characters):,} characters",
            help="Characters are what a person reads: letters, digits, signs, spaces, line ends. "
            f"The model reads bytes, {len(text.data):,} in this text: a character of plain English "
            "is one byte, an accented letter two, one of another script or an emoji up to four. "
            "What is drawn at a character is what the model does at its last byte. A model with a "
            "vocabulary of its own, from another program, reads whole characters.",
            width="content",
        )
        st.page_link(
            choices.TEXT_PAGE, label="Another text", icon=":material/notes:", width="content"
        )
    if text.note:
        st.caption(words.verbatim(text.note))


def scales(quantity: str, memory_as: str, values: np.ndarray) -> tuple[Scale, theme.Scale]:
    """The colour scale of a quantity, for the coloured text and for heat maps."""
    name = words.shown_name(quantity, memory_as)
    if words.is_gate(quantity):
        return gate_scale(name), theme.GATE
    limit = 1.0
    if memory_as == "c" or not quantity.endswith(".cell"):
        limit = max(1.0, float(np.abs(values).max()))
    return cell_scale(name, limit), theme.signed(limit)


def draw_coloured(
    reading: Reading, cell: Cell, values: np.ndarray, *, key: str, from_end: bool = False
) -> Selection | None:
    """The text as a model read it, coloured by a cell, whose unit did `values` [layer, character]
    (NaN without colour); what is selected in it. `from_end` as in `coloured_text`."""
    memory_as = session.memory.value
    known = values[np.isfinite(values)]
    scale, _ = scales(cell.quantity, memory_as, known if known.size else np.zeros(1))
    return coloured_text(
        reading.text.characters,
        values,
        rows=reading.layer_labels,
        chosen_row=cell.layer - 1,
        scale=scale,
        title=f"{reading.entry.title} · layer {cell.layer}, unit {cell.unit}",
        key=key,
        losses=reading.loss_bits,
        likeliest=reading.likeliest,
        skipped=reading.skipped,
        show_whitespace=session.whitespace.value,
        height=TEXT_HEIGHT,
        from_end=from_end,
    )
