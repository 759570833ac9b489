"""How a property is to be followed, and the work of doing it."""

from dataclasses import dataclass

import streamlit as st

from dashboard import words
from dashboard.screens.property import Target
from dashboard.screens.reading import Reading
from dashboard.screens.refusal import Refusal
from dashboard.serving import loading
from dashboard.serving.kept import kept
from dashboard.serving.loading import ModelEntry
from gridlstm.analysis.carried_up import CarriedUp, carried_up
from gridlstm.errors import UserError

SECONDS_A_CHARACTER = 1e-3
SOURCES = {
    "probe": words.Word("Sparse probe", "the weights by which a linear probe reads the property"),
    "means": words.Word(
        "Difference of means", "each unit's mean inside the property less its mean outside"
    ),
}


@dataclass(frozen=True)
class Settings:
    """How the direction is found, and how many layers count as low."""

    source: str
    lowest: int


def choose_settings(entry: ModelEntry) -> Settings:
    layers = entry.metadata.model.layers
    with st.container(horizontal=True, vertical_alignment="bottom"):
        source = st.selectbox(
            "Direction found by",
            list(SOURCES),
            format_func=lambda name: SOURCES[name].label,
            help="\n\n".join(f"**{w.label}**: {w.meaning}." for w in SOURCES.values()),
            key="carried_source",
            width=240,
        )
        lowest = st.selectbox(
            "Low are layers 1 to",
            range(1, layers),
            index=max(1, layers // 3) - 1,
            help="How many layers, from the first, count as low. A third of them at first.",
            key=f"lowest_of_{layers}",
            width=180,
        )
    return Settings(source, lowest)


def follow(reading: Reading, target: Target, settings: Settings) -> CarriedUp | Refusal:
    """What becomes of the property's direction in this text."""
    entry = reading.entry
    try:
        return kept(
            "carried up",
            entry.version,
            reading.text.data,
            lambda progress: carried_up(
                loading.model_of(entry),
                reading.trace.text,
                target.values,
                source=settings.source,
                name=target.title,
                lowest=settings.lowest,
                values=reading.trace.values,
                progress=progress,
            ),
            depends_on=(target.values.tobytes(), target.title, settings),
            label="Following it up through the layers …",
            seconds=SECONDS_A_CHARACTER * len(reading.text.characters),
        )
    except UserError as error:
        return Refusal(words.verbatim(str(error)), is_error=False)
