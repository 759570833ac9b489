"""A text that a model is writing, as far as it has come: kept in the visit, written on in slices.

`view.py` shows it, and imports this when it is opened, and torch with it.
"""

import codecs
import threading
import time
from dataclasses import dataclass, field

import numpy as np

from dashboard.screens.reading import Reading
from dashboard.screens.tokens import losses_of, positions_of, skipped_in
from dashboard.serving import loading
from dashboard.serving.estimates import estimate_reading_seconds
from dashboard.serving.loading import ModelEntry, reserve_trace_memory
from dashboard.serving.turn import turn
from gridlstm.curves import convert
from gridlstm.sampling import Choice, Step, write
from gridlstm.text import REPLACEMENT, Text
from gridlstm.trace import Trace, trace

WRITES = "The model writes …"


@dataclass(frozen=True)
class UnitTrace:
    """As much of a trace as is kept of a text in the making: one unit, [layer, position, 1] by
    quantity, NaN where the text was given."""

    values: dict[str, np.ndarray]
    layers: int


@dataclass
class Writing:
    """What a model writes after `prime`, UTF-8, `length` tokens of it: bytes or characters.

    `data` is the prime and what is written so far, UTF-8. Of each token written, one `unit` of
    every layer is kept, in every quantity that has so many, and the loss. `going` until it is
    stopped or done.

    When a visitor clicks, Streamlit runs the page in a new thread while the one before may still be
    writing a slice: what changes a text is done by one thread at a time.
    """

    entry: ModelEntry
    prime: bytes
    length: int
    choice: Choice
    seed: int
    unit: int
    going: bool = True
    data: bytearray = field(init=False)
    written: int = field(default=0, init=False)
    _one_at_a_time: threading.Lock = field(default_factory=threading.Lock, init=False, repr=False)

    def __post_init__(self) -> None:
        """Raises UserError where the model cannot write."""
        self._model = loading.model_of(self.entry)
        self.data = bytearray(self.prime)
        self._prime_tokens = len(self._model.encode(self.prime))
        quantities = self._model.config.quantities
        self._steps = write(
            self._model,
            self.prime,
            self.length,
            choice=self.choice,
            seed=self.seed,
            quantities=quantities,
        )
        self._losses = np.full(self._prime_tokens + self.length, np.nan, np.float32)
        self._values = {name: self._unwritten() for name in quantities}

    def _unwritten(self) -> np.ndarray:
        return np.full((self._model.config.layers, len(self._losses), 1), np.nan, np.float32)

    @property
    def is_done(self) -> bool:
        return self.written == self.length

    def is_of(self, entry: ModelEntry) -> bool:
        return self.entry.version == entry.version

    def set_running(self, going: bool) -> None:
        """Stop, or go on; once it has stopped, nothing is added."""
        with self._one_at_a_time:
            self.going = going

    def advance(self, seconds: float) -> None:
        """Write on for so long, at least a token, when it is its turn, unless it was stopped.
        Raises UserError."""
        # Waits before the lock is taken: whoever clicks meanwhile does not wait with it.
        with turn(("slices", id(self)), WRITES, seconds), self._one_at_a_time:
            if self.going:
                self._advance(time.perf_counter() + seconds)

    def _advance(self, until: float) -> None:
        for step in self._steps:
            self._keep(step)
            if time.perf_counter() > until:
                break
        if self.is_done:
            self.going = False

    def _keep(self, step: Step) -> None:
        at = self._prime_tokens + self.written
        self.data += self._model.vocabulary.bytes_of(step.token)
        self.written += 1
        self._losses[at] = step.loss
        for name, values in step.values.items():
            if self.unit < values.shape[1]:
                self._values[name][:, at, 0] = values[:, self.unit]

    def watch(self, unit: int) -> None:
        """Keep another unit: what it did so far is read again, which gives the same values.
        Raises UserError if it cannot be."""
        traced = self._reread()
        with self._one_at_a_time:
            while len(traced.tokens) < self._prime_tokens + self.written:  # written on meanwhile
                traced = self._reread()
            self._values = {name: self._unwritten() for name in self._values}
            here = slice(self._prime_tokens, self._prime_tokens + self.written)
            for name, values in traced.values.items():
                if unit < values.shape[2]:
                    self._values[name][:, here, 0] = values[:, here, unit]
            self.unit = unit

    def _reread(self) -> Trace:
        data = bytes(self.data)
        seconds = estimate_reading_seconds(self._model.config, len(data))
        label = "The model reads what it has written …"
        with turn(("read again", id(self)), label, seconds) as tell, reserve_trace_memory() as most:
            return trace(self._model, data, max_in_memory=most, progress=tell)

    def text(self) -> Text:
        """The text so far; while it goes on, without a last character that is not whole yet."""
        return text_of(bytes(self.data), whole=not self.going)

    def reading(self) -> Reading:
        """What the model did while it wrote, of the unit that is kept, which stands at 0."""
        entry, text, inputs = self.entry, self.text(), None
        if entry.metadata.vocabulary is not None:
            inputs = self._model.encode(text.characters)
        end = len(text.data if inputs is None else inputs)
        positions, skipped = positions_of(entry, text, inputs), skipped_in(entry, inputs)
        losses = losses_of(entry, text, inputs, self._losses[:end])
        values = {name: of[:, :end] for name, of in self._values.items()}
        traced = UnitTrace(values, self._model.config.layers)
        return Reading(entry, text, traced, convert(losses, "bits"), None, positions, skipped)

    @property
    def prime_characters(self) -> int:
        """How many characters of the text were given."""
        return len(self.prime.decode())


def text_of(data: bytes, *, whole: bool = True) -> Text:
    """The text of bytes as they are, each that belongs to no character shown as U+FFFD.

    Unlike a file's, its `data` are the very bytes. Not `whole`, it ends before a character that
    lacks some of its bytes.
    """
    # With this error handler each undecodable byte becomes one lone surrogate.
    escaped = codecs.getincrementaldecoder("utf-8")("surrogateescape").decode(data, final=whole)
    codes = np.frombuffer(escaped.encode("utf-32-le", "surrogatepass"), np.uint32)
    is_lost = (codes >= 0xDC80) & (codes <= 0xDCFF)
    sizes = 1 + (codes > 0x7F).astype(np.int64) + (codes > 0x7FF) + (codes > 0xFFFF)
    last_byte = np.cumsum(np.where(is_lost, 1, sizes)) - 1
    shown = np.where(is_lost, ord(REPLACEMENT), codes).astype(np.uint32)
    characters = shown.tobytes().decode("utf-32-le")
    return Text(data[: int(last_byte[-1]) + 1 if len(last_byte) else 0], characters, last_byte)
