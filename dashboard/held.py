"""Units held at a value while a model reads or writes: at which one, and what comes of it, kept.

The page that shows it is `views/switch_off.py`. It imports this when it is opened, and torch with
it.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from dashboard import loading, words
from dashboard.choices import Cell
from dashboard.loading import ModelEntry
from dashboard.reading import Reading
from dashboard.shelf import progress_bar, shelf
from dashboard.words import Word
from gridlstm.analysis.ranking import rank_units
from gridlstm.curves import convert
from gridlstm.intervention import ablate, value_to_hold
from gridlstm.networks.holds import Hold
from gridlstm.progress import Progress
from gridlstm.sampling import sample
from gridlstm.text import Text, character_losses, truncate
from gridlstm.trace import Trace, trace

# Results of each sort held at a time, for all visitors together.
MOST_RESULTS = 16
PRIME_BYTES, WRITTEN_BYTES, TEMPERATURE = 200, 300, 0.8
RANKED, AT_RANDOM = 5, 10

OWN_VALUE = "own"
HELD_AT = {
    "zero": Word("Zero", "The memory holds nothing, at any character."),
    "closed": Word("Closed (0)", "The gate wipes the memory at every step."),
    "open": Word("Open (1)", "The gate keeps all of the memory at every step."),
    "mean": Word("Its mean", "What the unit is on average over this text: it tells nothing more."),
    "mean inside": Word(
        "Its mean inside", "As if the property held of every character: the mean where it does."
    ),
    "mean outside": Word(
        "Its mean outside", "As if the property never held: the mean where it does not."
    ),
    OWN_VALUE: Word("A value I choose", "Set with the slider, in the units of the quantity."),
}
NEEDS_MARKS = ("mean inside", "mean outside")


@dataclass(frozen=True)
class HeldUnit:
    """A unit to hold: at one of `HELD_AT`, or at the visitor's own value."""

    cell: Cell
    at: str
    own: float | None = None

    @property
    def name(self) -> str:
        label = words.QUANTITIES[self.cell.quantity].label
        return f"{label}, layer {self.cell.layer}, unit {self.cell.unit}"

    def hold(self, reading: Reading, marks: np.ndarray | None) -> Hold:
        """With the value that it has in this text. Raises UserError if it has none."""
        cell = self.cell
        if self.at == OWN_VALUE:
            value = self.own
        else:
            value = value_to_hold(values_of(reading, cell), marks, self.at)
        return Hold(cell.quantity, cell.layer, cell.unit, value)


@dataclass(frozen=True)
class Comparison:
    """A text read twice, without and with holds; surprise in bits, float [character]."""

    reading: Reading
    holds: tuple[Hold, ...]
    held: Trace
    after: np.ndarray

    @property
    def before(self) -> np.ndarray:
        return self.reading.loss_bits


def values_of(reading: Reading, cell: Cell) -> np.ndarray:
    """What a unit is at each character while nothing is held: float [character]."""
    values = reading.trace.values[cell.quantity]
    return values[cell.layer - 1, reading.text.last_byte, cell.unit]


def kept(name: str, entry: ModelEntry, key: tuple, label: str, make: Callable[[Progress], object]):
    """A result from the shelf of that name, or made now under a progress bar."""

    def with_progress():
        with progress_bar(label) as progress:
            return make(progress)

    results = shelf(f"switched off: {name}", MOST_RESULTS)
    return results.get((entry.path, entry.stamp, *key), with_progress)


def read_again(reading: Reading, holds: tuple[Hold, ...]) -> Comparison:
    """The text read once more, with the holds. Raises UserError."""
    entry, text = reading.entry, reading.text

    def make(progress: Progress) -> Trace:
        return trace(loading.model_of(entry), text.data, (), holds=holds, progress=progress)

    held = kept("read", entry, (text.data, holds), "The model reads the text again …", make)
    return Comparison(reading, holds, held, convert(character_losses(text, held.loss), "bits"))


def prime_of(text: Text, character: int | None) -> bytes:
    """What the model reads before it writes: up to a character, or the beginning of the text."""
    if character is None:
        return truncate(text, PRIME_BYTES).data
    end = int(text.last_byte[character]) + 1
    begins = np.append(0, text.last_byte + 1)
    return text.data[begins[np.searchsorted(begins, end - PRIME_BYTES)] : end]


def written(entry: ModelEntry, prime: bytes, seed: int, holds: tuple[Hold, ...]) -> bytes:
    """What the model writes after `prime`, with the holds. Raises UserError."""

    def make(progress: Progress) -> bytes:
        found, model = bytearray(), loading.model_of(entry)
        options = {"temperature": TEMPERATURE, "seed": seed, "holds": holds}
        for byte in sample(model, prime, WRITTEN_BYTES, **options):
            found.append(byte)
            if len(found) % 10 == 0:
                progress(len(found) / WRITTEN_BYTES)
        return bytes(found)

    return kept("written", entry, (prime, seed, holds), "The model writes …", make)


def ablated(reading: Reading, marks: np.ndarray, value: str) -> pd.DataFrame:
    """`ablate` for the memory cells that follow the marks best in this text, and random others.

    The dearest inside first; changes in bits per character; with a column `rank`, from 1 for the
    best cell and missing for random units. Raises UserError.
    """
    entry, text = reading.entry, reading.text

    def make(progress: Progress) -> pd.DataFrame:
        cells = {q: v for q, v in reading.trace.values.items() if q.endswith(".cell")}
        best = rank_units(cells, marks, text.last_byte, top=RANKED)
        options = {"random_units": AT_RANDOM, "progress": progress}
        rows = ablate(loading.model_of(entry), text, marks, best, value, **options)
        changes = ["change_inside", "change_outside"]
        rows[changes] = convert(rows[changes].to_numpy(), "bits")
        chosen = rows["kind"] == "chosen"
        rows.insert(1, "rank", chosen.cumsum().where(chosen).astype("Int64"))
        return rows.sort_values("change_inside", ascending=False, ignore_index=True)

    key = text.data, marks.tobytes(), value
    return kept("ablated", entry, key, "The model reads the text with each unit held …", make)
