"""TensorBoard event files: the scalars alone, record by record, in a bounded amount of memory.

`tensorboard`'s own reader keeps every event; here a large record (a histogram, an image, a graph)
is passed over unread, so that a file of 500 MB needs no more memory than its scalars. Checksums
are not compared: in Python that would take most of the time.
"""

import re
import struct
from array import array
from pathlib import PurePath
from typing import TYPE_CHECKING, BinaryIO

import numpy as np

from gridlstm.curves.importing.log import NoCurveError
from gridlstm.curves.importing.scalars import Scalars
from gridlstm.curves.reading import CurveError
from gridlstm.plurals import counted

if TYPE_CHECKING:
    from tensorboard.compat.proto.summary_pb2 import Summary

# A record: its length (uint64), a checksum of that (uint32), the event, a checksum of it (uint32).
HEADER_BYTES, CHECKSUM_BYTES = 12, 4
MAX_EVENT_FILE_BYTES = 500_000_000
MAX_EVENT_RECORDS = 400_000
MAX_EVENT_RECORD_BYTES = 256_000
MAX_SCALARS = 200_000
# From so many scalars on, or so many tags, only those that may be part of a curve are read.
MAX_ANY_SCALARS, MAX_ANY_TAGS, MAX_TAGS = 100_000, 500, 2_000
_OF_A_CURVE = re.compile(
    rb"loss|nll|bp[cb]|ppl|perplex|entropy|epoch|acc|val|valid|brain\.Event", re.I
)
_NUMPY = {1: "<f4", 2: "<f8", 3: "<i4", 9: "<i8", 19: "<f2"}


def is_event_file(name: str, head: bytes) -> bool:
    """Whether it is called as such files are, or begins as they do: with the version's event."""
    return "tfevents" in PurePath(name).name or b"brain.Event:" in head[:64]


def read_events(name: str, source: BinaryIO, size: int) -> Scalars:
    """The scalars of an event file that is open for reading. Raises CurveError.

    A record cut short at the end, as while a run writes it, is passed over.
    """
    if size > MAX_EVENT_FILE_BYTES:
        raise CurveError(f"The event file is larger than {MAX_EVENT_FILE_BYTES // 1_000_000} MB.")
    reader = _Reader()
    reader.read(source, size)
    if not reader.records:
        raise CurveError("This is no TensorBoard event file, or it holds no whole record.")
    if not reader.tags:
        raise NoCurveError("The event file holds no scalars.")
    path = PurePath(name)
    return Scalars(
        folder=path.parent,
        file=name,
        tags=tuple(reader.tags),
        tag=np.frombuffer(reader.tag, np.int32).astype(np.int64),
        step=np.frombuffer(reader.step, np.float64).copy(),
        wall=np.frombuffer(reader.wall, np.float64).copy(),
        value=np.frombuffer(reader.value, np.float64).copy(),
        restarts=tuple(reader.restarts),
        notes=tuple(reader.notes()),
        hyperparameters=reader.hyperparameters,
    )


class _Reader:
    """What has been read of an event file so far."""

    def __init__(self) -> None:
        # Imported here: only who reads such a file waits for it.
        from google.protobuf.message import DecodeError
        from tensorboard.compat.proto.event_pb2 import Event, SessionLog

        self._event, self._start, self._fault = Event, SessionLog.START, DecodeError
        self.tags: dict[str, int] = {}
        self.tag = array("i")
        self.step, self.wall, self.value = array("d"), array("d"), array("d")
        self.restarts: list[tuple[int, float]] = []
        self.records = self.large = self.left_out = self.cut_short = 0
        self.hyperparameters = False

    def read(self, source: BinaryIO, size: int) -> None:
        at = 0
        while at + HEADER_BYTES <= size:
            (length,) = struct.unpack_from("<Q", source.read(HEADER_BYTES))
            after = at + HEADER_BYTES + length + CHECKSUM_BYTES
            if after > size:
                break
            if length > MAX_EVENT_RECORD_BYTES:
                self.large += 1
                source.seek(after)
            else:
                self._add(source.read(length + CHECKSUM_BYTES)[:length])
            at = after
            self.records += 1
            if self.records > MAX_EVENT_RECORDS:
                raise CurveError(f"The event file holds more than {MAX_EVENT_RECORDS:,} records.")
        self.cut_short = size - at

    def _add(self, record: bytes) -> None:
        crowded = len(self.step) > MAX_ANY_SCALARS or len(self.tags) > MAX_ANY_TAGS
        if crowded and not _OF_A_CURVE.search(record):
            self.left_out += 1
            return
        try:
            event = self._event.FromString(record)
        except self._fault as error:
            raise CurveError("The event file cannot be read: it is damaged.") from error
        for value in event.summary.value:
            self._add_value(event.step, event.wall_time, value)
        if event.session_log.status == self._start and event.HasField("session_log"):
            self.restarts.append((len(self.step), float(event.step)))

    def _add_value(self, step: int, wall: float, value: "Summary.Value") -> None:
        name = value.tag
        if name.startswith("_hparams_/"):
            self.hyperparameters = True
            return
        number = _number(value)
        if number is None:
            return
        if len(self.step) >= MAX_SCALARS:
            raise CurveError(f"The event file holds more than {MAX_SCALARS:,} scalars.")
        place = self.tags.get(name)
        if place is None:
            if len(self.tags) >= MAX_TAGS or len(name) > 500:
                self.left_out += 1
                return
            place = self.tags[name] = len(self.tags)
        self.tag.append(place)
        self.step.append(step)
        self.wall.append(wall)
        self.value.append(number)

    def notes(self) -> list[str]:
        found = []
        if self.large:
            found.append(
                f"{counted(self.large, 'record')} of more than {MAX_EVENT_RECORD_BYTES // 1000} kB "
                "(histograms, pictures): passed over"
            )
        if self.left_out:
            found.append(
                f"{counted(self.left_out, 'record')} without a loss, an accuracy or an epoch, "
                f"after the first {MAX_ANY_TAGS} names or {MAX_ANY_SCALARS:,} values: passed over"
            )
        if self.cut_short:
            found.append(f"the last {self.cut_short:,} bytes are no whole record: passed over")
        return found


def _number(value: "Summary.Value") -> float | None:
    """The number of a summary's value: a plain one, or a tensor without dimensions, as newer
    writers store it; None for any other. (Unfolding others takes the memory their shape says.)"""
    if value.HasField("simple_value"):
        return float(value.simple_value)
    if not value.HasField("tensor"):
        return None
    tensor = value.tensor
    if tensor.tensor_shape.dim or tensor.tensor_shape.unknown_rank or tensor.dtype not in _NUMPY:
        return None
    if tensor.tensor_content:
        kind = np.dtype(_NUMPY[tensor.dtype])
        content = tensor.tensor_content
        return float(np.frombuffer(content, kind)[0]) if len(content) == kind.itemsize else None
    if tensor.half_val:
        bits = tensor.half_val[0] & 0xFFFF
        return float(np.array(bits, np.uint16).view(np.float16))
    for held in (tensor.float_val, tensor.double_val, tensor.int_val, tensor.int64_val):
        if len(held):
            return float(held[0])
    return None
