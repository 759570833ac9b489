"""What a model loses while units are held: its mean surprise, before and after."""

from dataclasses import dataclass

import numpy as np
import streamlit as st

from dashboard import words
from dashboard.screens.property import Target
from dashboard.screens.reading import Reading
from dashboard.screens.refusal import Refusal
from dashboard.screens.tokens import losses_of
from dashboard.serving import loading
from dashboard.serving.estimates import estimate_reading_seconds
from dashboard.serving.kept import kept
from gridlstm.clamps import Clamp
from gridlstm.curves import convert
from gridlstm.errors import UserError
from gridlstm.progress import Progress
from gridlstm.trace import Trace, trace


@dataclass(frozen=True)
class Comparison:
    """A text read twice, without and with holds; surprise in bits, float [character]."""

    reading: Reading
    clamps: tuple[Clamp, ...]
    held: Trace
    after: np.ndarray

    @property
    def before(self) -> np.ndarray:
        return self.reading.loss_bits


def compare(reading: Reading, clamps: tuple[Clamp, ...]) -> Comparison | Refusal:
    """The text without and with the holds."""
    entry, text = reading.entry, reading.text

    def make(progress: Progress) -> Trace:
        inputs = reading.trace.text
        return trace(loading.model_of(entry), inputs, (), clamps=clamps, progress=progress)

    try:
        held = kept(
            "switched off: read",
            entry.version,
            text.data,
            make,
            depends_on=(clamps,),
            label="The model reads the text again …",
            seconds=estimate_reading_seconds(entry.metadata.model, len(text.data)),
        )
    except UserError as error:
        return Refusal(words.verbatim(str(error)))
    return Comparison(
        reading, clamps, held, convert(losses_of(entry, text, held.text, held.loss), "bits")
    )


def show_losses(comparison: Comparison, target: Target) -> None:
    """The mean surprise before and after: in the whole text, inside and outside the property."""
    parts = [("Whole text", "in the whole text", np.ones(len(comparison.after), bool))]
    if target.values is not None:
        parts += [
            ("Inside", f"where this holds: {target.title}", target.values),
            ("Outside", f"where this does not hold: {target.title}", ~target.values),
        ]
    for place, (title, where, chosen) in zip(st.columns(3), parts, strict=False):
        known = chosen & ~np.isnan(comparison.after)
        with place.container(border=True):
            st.markdown(
                f"**{title}** · {known.sum():,} characters",
                help=f"How many characters there are {where}, of those that something predicts.",
            )
            _show_loss(comparison.before[known], comparison.after[known], where)
    if not np.isfinite(comparison.after).any():
        st.caption("Nothing predicts the first character of a text, so this one has no surprise.")


def _show_loss(before: np.ndarray, after: np.ndarray, where: str) -> None:
    """Two numbers side by side: the mean of bits [character] before and after."""
    meaning = f"Mean surprise in bits per character {where}"
    means = [float(bits.mean(dtype=np.float64)) if len(bits) else None for bits in (before, after)]
    shown = ["—" if mean is None else f"{mean:.3f}" for mean in means]
    change = None if means[0] is None else means[1] - means[0]
    seen = change is not None and abs(change) >= 5e-5
    with st.container(horizontal=True, gap="medium"):
        st.metric(
            "As it is, bits",
            shown[0],
            help=f"{meaning}, with nothing held: 0 is a text that the model foresees.",
            width="content",
        )
        st.metric(
            "Held, bits",
            shown[1],
            delta=f"{change:+.4f}" if seen else (None if change is None else "0.0000"),
            delta_color="inverse" if seen else "off",
            delta_arrow="auto" if seen else "off",
            help=f"{meaning}, with the units held. Below it, by how much it rises: more surprise "
            "means that the model has lost something it used.",
            width="content",
        )
