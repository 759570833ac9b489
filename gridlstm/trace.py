"""A model and a text -> every quantity inside, by name, for every layer, position and unit."""

import errno
import math
import os
import shutil
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from numpy.lib.format import open_memmap

from gridlstm.backends.plan import Shape, positions_at_once
from gridlstm.clamps import Hold, Holds, holds_of
from gridlstm.config import ALPHABET, ModelConfig
from gridlstm.errors import UserError
from gridlstm.model import LanguageModel
from gridlstm.progress import Progress
from gridlstm.temporary import TemporaryFolder

# A larger trace lies in memory-mapped files.
MOST_IN_MEMORY = 2**30


class TraceError(UserError):
    """A trace that cannot be made; the message is one sentence for the user."""


@dataclass(frozen=True)
class Trace:
    """What a model did while it read `data`, as in a teacher-forced evaluation without dropout.

    `values` holds arrays [layer, position, unit] by quantity (`time.cell`, `depth.forget`, ...); of
    a few quantities a layer has not one value a unit but `ModelConfig.width` values.
    In float16 a gate is off by at most 0.00025, and a cell by at most a two-thousandth of itself;
    a memory that is carried along time and depth at once can outgrow it and is kept in float32.
    `loss` float32 [position]: nats spent on that byte given the bytes before it; loss[0] is NaN, as
    nothing predicts the first byte. `next_byte` float16 [position, 256]: the distribution of the
    byte after that position.
    """

    data: bytes
    layers: int
    units: int
    values: dict[str, np.ndarray]
    loss: np.ndarray
    next_byte: np.ndarray
    storage: TemporaryFolder | None = field(default=None, repr=False)

    @property
    def quantities(self) -> tuple[str, ...]:
        return tuple(self.values)

    @property
    def bytes_in_memory(self) -> int:
        """What `values` take there: none where they lie on disk."""
        return 0 if self.storage else sum(values.nbytes for values in self.values.values())

    @property
    def nats_per_byte(self) -> float:
        """Mean loss of the predicted bytes; NaN for a text of one byte."""
        return float(self.loss[1:].mean(dtype=np.float64)) if len(self.loss) > 1 else math.nan

    def likeliest(self, count: int) -> tuple[np.ndarray, np.ndarray]:
        """The likeliest next bytes after each position, the likeliest first.

        Returns bytes uint8 [position, count] and their probabilities float32 [position, count].
        """
        order = np.argsort(-self.next_byte, axis=1, kind="stable")[:, :count]
        chances = np.take_along_axis(self.next_byte, order, axis=1)
        return order.astype(np.uint8), chances.astype(np.float32)


def trace(
    model: LanguageModel,
    data: bytes,
    quantities: Iterable[str] | None = None,
    *,
    dtype: type = np.float16,
    holds: Sequence[Hold] = (),
    most_in_memory: int = MOST_IN_MEMORY,
    progress: Progress | None = None,
) -> Trace:
    """Trace `model`, which is not changed, over `data`, with `holds` of its units, if any.

    Holds `quantities` (all that the model has, unless given) in `dtype`; more than `most_in_memory`
    bytes of them go to memory-mapped files in a temporary folder that lasts as long as the trace.
    `progress` is told the share done and may raise `Cancelled`. Raises TraceError for an empty
    text, a quantity that the model does not have or too little room for files, HoldError for a hold
    that it does not allow.
    """
    known = model.config.quantities
    wanted = known if quantities is None else tuple(quantities)
    for quantity in wanted:
        if quantity not in known:
            raise TraceError(f"The model has no {quantity!r}; it has {', '.join(known)}.")
    if not data:
        raise TraceError("The text is empty.")
    held = holds_of([holds], model.config, model.decoder.weight) if holds else None
    result = _reserve(model, data, wanted, np.dtype(dtype), most_in_memory)
    try:
        _fill(model, result, held, progress)
    except BaseException:
        if result.storage is not None:
            result.storage.cleanup()
        raise
    return result


def _fill(
    model: LanguageModel, result: Trace, holds: Holds | None, progress: Progress | None
) -> None:
    """Compute what the trace has room for, piece by piece."""
    data, device = result.data, model.decoder.weight.device
    read = torch.frombuffer(bytearray(data), dtype=torch.uint8).to(device).long()[:, None]
    state = model.start(1)
    with torch.inference_mode():
        piece = min(positions_at_once(model.config, holds), len(data))
        reader = model.recurrent.reader(Shape(piece, 1, len(data)))
        observer = _Observer(result, progress)
        for observer.start in range(0, len(data), piece):
            here = slice(observer.start, min(observer.start + piece, len(data)))
            top, state = reader(model.embedding(read[here]), state, observer, holds)
            _predict(model, top[:, 0], read[:, 0], here, result)


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
            self.progress(self.kept / (len(self.result.data) * self.result.layers))


def _put(rows: torch.Tensor, whole: np.ndarray, layer: int, first: int) -> None:
    """Put the rows [position, unit] of a layer where they belong, from position `first` on."""
    if isinstance(whole, np.memmap):
        # To the file: what is written through a mapping stays resident.
        kept = np.empty(rows.shape, whole.dtype)
        torch.from_numpy(kept).copy_(rows)
        of_layer, of_position, _ = whole.strides
        with _room_on_disk(), open(whole.filename, "r+b") as file:
            file.seek(whole.offset + layer * of_layer + first * of_position)
            file.write(kept)
    else:
        torch.from_numpy(whole[layer, first : first + len(rows)]).copy_(rows)


def _reserve(model, data, wanted, dtype, most_in_memory) -> Trace:
    """A trace of the right size with nothing in it yet."""
    config, storage = model.config, None
    shapes = {q: (config.layers, len(data), config.width(q)) for q in wanted}
    wide = np.promote_types(dtype, np.float32)
    dtypes = {q: wide if _outgrows(config, q) else dtype for q in wanted}
    size = sum(math.prod(shape) * dtypes[q].itemsize for q, shape in shapes.items())
    if size <= most_in_memory:
        values = {q: np.empty(shape, dtypes[q]) for q, shape in shapes.items()}
    else:
        storage, values = _files(shapes, dtypes, size)
    loss = np.full(len(data), np.nan, np.float32)
    next_byte = np.empty((len(data), ALPHABET), np.float16)
    return Trace(data, config.layers, config.units, values, loss, next_byte, storage)


def _files(shapes, dtypes, size: int) -> tuple[TemporaryFolder, dict[str, np.memmap]]:
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


def _predict(model, top: torch.Tensor, read: torch.Tensor, here: slice, result: Trace) -> None:
    """Fill in the next-byte distributions [here, 256] and the losses one position further on."""
    log_chance = torch.log_softmax(model.decoder(top), dim=-1)
    result.next_byte[here] = log_chance.exp().half().cpu().numpy()
    coming = read[here.start + 1 : here.stop + 1]
    of_coming = log_chance[: len(coming)].gather(1, coming[:, None])[:, 0]
    result.loss[here.start + 1 : here.stop + 1] = -of_coming.cpu().numpy()
