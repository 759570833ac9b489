"""A file as training data: read, split, and laid out in parallel streams. Knows no torch."""

import bz2
import gzip
import hashlib
import io
import lzma
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Generic, TypeVar

import numpy as np

from gridlstm.array_types import ByteArray, IntArray
from gridlstm.errors import UserError

if TYPE_CHECKING:
    from torch import Tensor

# What is read whole: the longest of the texts that such models are usually measured on, enwik9, has
# so many bytes. Of a compressed file it is what it expands to that counts.
MAX_WHOLE_BYTES = 10**9
BLOCK_BYTES = 2**20
# How a compressed file, by its path or open, is opened for reading.
OPENERS: dict[str, Callable[..., io.BufferedIOBase]] = {
    ".xz": lzma.open,
    ".gz": gzip.open,
    ".bz2": bz2.open,
}


Rows = TypeVar("Rows", ByteArray, "Tensor")


class CorpusError(UserError):
    """A file that cannot serve as data; the message is one sentence for the user."""


@dataclass(frozen=True)
class Corpus:
    """The bytes of a file, cut into a training part and, after it, a validation part.

    `data` uint8 [byte]; `name` is the file's own; `sha256` is of the bytes after decompression.
    """

    name: str
    data: ByteArray
    train_fraction: float
    sha256: str

    @property
    def cut(self) -> int:
        return int(len(self.data) * self.train_fraction)

    @property
    def train(self) -> ByteArray:
        return self.data[: self.cut]

    @property
    def validation(self) -> ByteArray:
        return self.data[self.cut :]


def read_bytes(path: Path | str, max_bytes: int | None = None) -> ByteArray:
    """The file's bytes, decompressed if it ends in .xz, .gz or .bz2: uint8 [byte].

    With `max_bytes` only so many from the beginning, and no more is decompressed. Raises
    CorpusError if the file is missing, unreadable or not what its ending says, as far as it is
    read, or if there are more than `MAX_WHOLE_BYTES` to be read.
    """
    most = MAX_WHOLE_BYTES + 1 if max_bytes is None else min(max_bytes, MAX_WHOLE_BYTES + 1)
    data = bytearray()
    try:
        with OPENERS.get(Path(path).suffix, open)(path, "rb") as file:
            while block := file.read(min(BLOCK_BYTES, most - len(data))):
                data += block
    except MemoryError as error:
        raise CorpusError(f"Cannot read {path}: there is not memory enough.") from error
    except (OSError, EOFError, lzma.LZMAError, zlib.error) as error:
        raise CorpusError(f"Cannot read {path}: {error}.") from error
    if len(data) > MAX_WHOLE_BYTES:
        raise CorpusError(f"{path} holds more than {MAX_WHOLE_BYTES:,} bytes, which are the most.")
    read = np.frombuffer(data, dtype=np.uint8)
    read.flags.writeable = False
    return read


def read_corpus(path: Path | str, train_fraction: float) -> Corpus:
    """Read and split a file. Raises CorpusError, also where a part would be too short to use."""
    path = Path(path)
    if not 0 < train_fraction < 1:
        raise CorpusError(f"The share to train on must be between 0 and 1, not {train_fraction}.")
    data = read_bytes(path)
    corpus = Corpus(path.name, data, train_fraction, hashlib.sha256(data.data).hexdigest())
    if min(len(corpus.train), len(corpus.validation)) < 2:
        raise CorpusError(
            f"{path.name} has {len(data)} bytes: too few to split into training and validation."
        )
    return corpus


def byte_entropy(data: IntArray) -> float:
    """Entropy in nats of single bytes: the loss of a model that knows only how frequent each is."""
    counts = np.bincount(data, minlength=256)
    shares = counts[counts > 0] / len(data)
    return float(-(shares * np.log(shares)).sum())


@dataclass(frozen=True)
class Streams(Generic[Rows]):
    """Data cut into parallel streams, each read on and on, the next piece where the last ended.

    `rows` uint8 [stream, byte], an array or a tensor: one byte more than a whole number of pieces
    of `length`.
    """

    rows: Rows
    length: int

    @property
    def pieces(self) -> int:
        """Updates an epoch."""
        columns: int = self.rows.shape[1]
        return (columns - 1) // self.length

    def piece(self, number: int) -> tuple[Rows, Rows]:
        """The bytes read and the bytes to predict, views [position, stream]; wraps at the end."""
        start = (number % self.pieces) * self.length
        window = self.rows[:, start : start + self.length + 1].T
        return window[:-1], window[1:]


def cut_into_streams(data: ByteArray, streams: int, length: int) -> Streams[ByteArray]:
    """Cut data [byte] into equal streams; the few bytes left over at the end are not used.

    Raises CorpusError if a stream would hold no piece of `length` bytes and the one after it.
    """
    pieces = (len(data) // streams - 1) // length
    if pieces < 1:
        raise CorpusError(
            f"The training part has {len(data):,} bytes: too few for {streams} sequences of "
            f"{length}."
        )
    size = len(data) // streams
    return Streams(data[: streams * size].reshape(streams, size)[:, : pieces * length + 1], length)


def evaluation_blocks(total: int, streams: int) -> Iterator[tuple[int, int]]:
    """Cut targets 1 .. total - 1 into `streams` runs (start, stop) of nearly equal length."""
    borders = np.linspace(1, total, streams + 1).round().astype(int)
    yield from zip(borders[:-1].tolist(), borders[1:].tolist(), strict=True)
