"""A model and a text -> every quantity inside, by name, for every layer, position and unit."""

import errno
import math
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryFile, gettempdir

import numpy as np
import torch
from numpy.lib.format import open_memmap

from gridlstm.array_types import Float32Array, FloatArray, IntArray
from gridlstm.backends.plan import Shape, positions_at_once
from gridlstm.clamps import AnyClamp, Clamps, clamps_of
from gridlstm.config import ModelConfig
from gridlstm.errors import UserError
from gridlstm.model import LanguageModel
from gridlstm.progress import Progress
from gridlstm.temporary import TemporaryFolder
from gridlstm.vocabulary import EncodedText

# A larger trace lies in memory-mapped files.
MAX_TRACE_MEMORY = 2**30
# Probabilities that are put in order at a time.
MAX_SORTED = 2**21


class TraceError(UserError):
    """A trace that cannot be made; the message is one sentence for the user."""


@dataclass(frozen=True)
class Trace:
    """What a model did while it read `text`, as in a teacher-forced evaluation without dropout. A
    position is a token of the text.

    `values` holds arrays [layer, position, unit] by quantity (`time.cell`, `depth.forget`, ...); of
    a few quantities a layer has not one value a unit but `ModelConfig.width` values.
    In float16 a gate is off by at most 0.00025, and a cell by at most a two-thousandth of itself;
    a memory that is carried along time and depth at once can outgrow it and is kept in float32.
    `loss` float32 [position]: nats spent on that token given those before it; loss[0] is NaN, as
    nothing predicts the first. `next_token` float16 [position, V]: the distribution of the token
    after that position.
    """

    text: EncodedText
    layers: int
    units: int
    values: dict[str, FloatArray]
    loss: Float32Array
    next_token: FloatArray
    storage: TemporaryFolder | None = field(default=None, repr=False)

    @property
    def tokens(self) -> IntArray:
        """What was read, int64 [position]."""
        return self.text.tokens

    @property
    def quantities(self) -> tuple[str, ...]:
        return tuple(self.values)

    @property
    def bytes_in_memory(self) -> int:
        """What `values` take there: none where they lie on disk."""
        return 0 if self.storage else sum(values.nbytes for values in self.values.values())

    @property
    def nats_per_token(self) -> float:
        """Mean loss of the predicted tokens; NaN for a text of one token."""
        return float(self.loss[1:].mean(dtype=np.float64)) if len(self.loss) > 1 else math.nan

    @property
    def nats_per_byte(self) -> float:
        """The loss of the predicted tokens for each UTF-8 byte that they stand for: to be compared
        with that of other vocabularies where the text `is_exact`. NaN where none is predicted."""
        predicted = int(self.text.byte_counts[1:].sum())
        return float(self.loss[1:].sum(dtype=np.float64)) / predicted if predicted else math.nan

    def likeliest(self, count: int) -> tuple[IntArray, Float32Array]:
        """The likeliest next tokens after each position, the likeliest first.

        Returns tokens int32 [position, count] and their probabilities float32 [position, count]; of
        a vocabulary with fewer tokens, all of them.
        """
        positions, tokens = self.next_token.shape
        count = min(count, tokens)
        order = np.empty((positions, count), np.int32)
        probabilities = np.empty((positions, count), np.float32)
        rows = max(1, MAX_SORTED // tokens)
        for part in (slice(start, start + rows) for start in range(0, positions, rows)):
            here = np.asarray(self.next_token[part])
            order[part] = np.argsort(-here, axis=1, kind="stable")[:, :count]
            probabilities[part] = np.take_along_axis(here, order[part], axis=1)
        return order, probabilities


def trace(
    model: LanguageModel,
    text: EncodedText | str | bytes,
    quantities: Iterable[str] | None = None,
    *,
    dtype: type[np.floating] = np.float16,
    clamps: Sequence[AnyClamp] = (),
    max_in_memory: int = MAX_TRACE_MEMORY,
    progress: Progress | None = None,
) -> Trace:
    """Trace `model`, which is not changed, over `text`, with `clamps` of its units, if any. Bytes
    are UTF-8 (`Vocabulary.encode`).

    Holds `quantities` (all that the model has, unless given) in `dtype`; more than `max_in_memory`
    bytes of them go to memory-mapped files in a temporary folder that lasts as long as the trace.
    `progress` is told the share done and may raise `Cancelled`. Raises TraceError for an empty
    text, a quantity that the model does not have or too little room for files, ClampError for a
    clamp that it does not allow.
    """
    known = model.config.quantities
    wanted = known if quantities is None else tuple(quantities)
    for quantity in wanted:
        if quantity not in known:
            raise TraceError(f"The model has no {quantity!r}; it has {', '.join(known)}.")
    text = model.encode(text)
    if not len(text):
        empty = not text.characters
        raise TraceError(
            "The text is empty." if empty else "The model knows none of this text's characters."
        )
    held = clamps_of([clamps], model.config, model.decoder.weight) if clamps else None
    result = _reserve(model, text, wanted, np.dtype(dtype), max_in_memory)
    try:
        _fill(model, result, held, progress)
    except BaseException:
        if result.storage is not None:
            result.storage.cleanup()
        raise
    return result


def _fill(
    model: LanguageModel, result: Trace, clamps: Clamps | None, progress: Progress | None
) -> None:
    """Compute what the trace has room for, piece by piece."""
    inputs = torch.tensor(result.tokens, device=model.decoder.weight.device)[:, None]
    length = len(inputs)
    state = model.start(1)
    with torch.inference_mode():
        piece = min(positions_at_once(model.config, clamps), length)
        reader = model.recurrent.reader(Shape(piece, 1, length))
        observer = _Observer(result, progress)
        for observer.start in range(0, length, piece):
            here = slice(observer.start, min(observer.start + piece, length))
            top, state = reader(model.embedding(inputs[here]), state, observer, clamps)
            _predict(model, top[:, 0], inputs[:, 0], here, result)


@dataclass
class _Observer:
    """Puts what the layers do into a trace. `start` is the position at which a piece begins, `kept`
    counts positions, those of each layer."""

    result: Trace
    progress: Progress | None
    start: int = 0
    kept: int = 0

    def __call__(self, layer: int, start: int, values: dict[str, torch.Tensor]) -> None:
        positions = len(next(iter(values.values())))
        first = self.start + start
        for quantity, whole in self.result.values.items():
            _put(values[quantity][:, 0], whole, layer, first)
        self.kept += positions
        if self.progress is not None:
            self.progress(self.kept / (len(self.result.tokens) * self.result.layers))


def _put(rows: torch.Tensor, whole: FloatArray, layer: int, first: int) -> None:
    """Put the rows [position, unit] of a layer where they belong, from position `first` on."""
    if isinstance(whole, np.memmap) and whole.filename is not None:
        # To the file: what is written through a mapping stays resident.
        kept = np.empty(rows.shape, whole.dtype)
        torch.from_numpy(kept).copy_(rows)
        of_layer, of_position, _ = whole.strides
        with _room_on_disk(), open(whole.filename, "r+b") as file:
            file.seek(whole.offset + layer * of_layer + first * of_position)
            file.write(kept.data)
    else:
        torch.from_numpy(whole[layer, first : first + len(rows)]).copy_(rows)


def _reserve(
    model: LanguageModel,
    text: EncodedText,
    wanted: Sequence[str],
    dtype: np.dtype[np.floating],
    max_in_memory: int,
) -> Trace:
    """A trace of the right size with nothing in it yet."""
    config = model.config
    storage: TemporaryFolder | None = None
    values: dict[str, FloatArray]
    shapes = {q: (config.layers, len(text), config.width(q)) for q in wanted}
    wide: np.dtype[np.floating] = np.promote_types(dtype, np.float32)
    dtypes = {q: wide if _outgrows(config, q) else dtype for q in wanted}
    size = sum(math.prod(shape) * dtypes[q].itemsize for q, shape in shapes.items())
    if size <= max_in_memory:
        values = {q: np.empty(shape, dtypes[q]) for q, shape in shapes.items()}
    else:
        storage, values = _files(shapes, dtypes, size)
    loss = np.full(len(text), np.nan, np.float32)
    next_token = _distributions((len(text), config.vocabulary_size))
    return Trace(text, config.layers, config.units, values, loss, next_token, storage)


def _distributions(shape: tuple[int, int]) -> FloatArray:
    """Room for a distribution a position: of a large vocabulary in a file that has no name, and is
    gone with the array."""
    if math.prod(shape) * 2 <= MAX_TRACE_MEMORY:
        return np.empty(shape, np.float16)
    with _room_on_disk(), TemporaryFile() as file:
        if math.prod(shape) * 2 > shutil.disk_usage(gettempdir()).free:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return np.memmap(file, np.float16, "w+", shape=shape)


def _files(
    shapes: Mapping[str, tuple[int, int, int]],
    dtypes: Mapping[str, np.dtype[np.floating]],
    size: int,
) -> tuple[TemporaryFolder, dict[str, FloatArray]]:
    """Arrays in files of `size` bytes together, and the folder that these are in."""
    with _room_on_disk():
        storage = TemporaryFolder("trace")
        try:
            # A file takes no room before it is written to, which may be hours later.
            if size > shutil.disk_usage(storage.name).free:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            paths = {q: Path(storage.name) / f"{q}.npy" for q in shapes}
            return storage, {
                q: open_memmap(paths[q], mode="w+", dtype=dtypes[q], shape=shape)
                for q, shape in shapes.items()
            }
        except OSError:
            storage.cleanup()
            raise


@contextmanager
def _room_on_disk() -> Iterator[None]:
    """Within, a failure to write becomes one sentence."""
    try:
        yield
    except OSError as error:
        raise TraceError(
            "What the model does on so long a text goes to temporary files, which could not be "
            f"written ({error.strerror}): make room on the disk, or choose a shorter text."
        ) from error


def _outgrows(config: ModelConfig, quantity: str) -> bool:
    """Whether a quantity is a memory along both dimensions: that of each layer adds up that of the
    layer below, so it grows as a power of the text's length. Others grow by 1 a step at most."""
    return sum(memory.cell == quantity for memory in config.form.memories) > 1


def _predict(
    model: LanguageModel, top: torch.Tensor, inputs: torch.Tensor, here: slice, result: Trace
) -> None:
    """Fill in the next-token distributions [here, V] and the losses one position further on."""
    log_chance = torch.log_softmax(model.decoder(top), dim=-1)
    result.next_token[here] = log_chance.exp().half().cpu().numpy()
    coming = inputs[here.start + 1 : here.stop + 1]
    of_coming = log_chance[: len(coming)].gather(1, coming[:, None])[:, 0]
    result.loss[here.start + 1 : here.stop + 1] = -of_coming.cpu().numpy()
