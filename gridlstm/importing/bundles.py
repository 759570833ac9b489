"""Checkpoints of TensorFlow 1 in two files: a sorted table of what is where, and the numbers."""

import math
import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass

from gridlstm.array_types import NumberArray
from gridlstm.importing.errors import DamagedFileError, ForeignModelError
from gridlstm.importing.tensors import Storage

MAX_BUNDLE_INDEX_BYTES = 16 << 20
MAX_BUNDLE_VARIABLES = 100_000
_MAGIC = 0xDB4775248B80FB57
_KINDS = {1: "f4", 2: "f8", 14: "bf2", 19: "f2"}
_POLYNOMIAL = 0x82F63B78


@dataclass(frozen=True)
class Entry:
    """Where a variable stands: `kind` is a code of NumPy, None for what holds no numbers."""

    kind: str | None
    shape: tuple[int, ...]
    shard: int
    offset: int
    size: int


@dataclass(frozen=True)
class Bundle:
    """The variables of a checkpoint by name, and in how many files of data they are."""

    shards: int
    entries: dict[str, Entry]


def is_bundle_index(data: memoryview) -> bool:
    return len(data) >= 48 and struct.unpack("<Q", data[-8:])[0] == _MAGIC


def read_bundle_index(data: memoryview) -> Bundle:
    """What a checkpoint's `.index` says. Raises DamagedFileError, ForeignModelError."""
    if len(data) > MAX_BUNDLE_INDEX_BYTES:
        raise ForeignModelError("The index of the checkpoint is too large.")
    try:
        return _bundle(data)
    except (IndexError, struct.error, UnicodeDecodeError) as error:
        raise DamagedFileError("The index of the checkpoint is damaged.") from error


def read_variable(entry: Entry, shard: memoryview) -> NumberArray:
    """A variable's numbers, without a copy. Raises DamagedFileError."""
    assert entry.kind is not None
    count, data = math.prod(entry.shape), shard[entry.offset : entry.offset + entry.size]
    storage = Storage(entry.kind, count, data)
    if count * storage.item_size != entry.size or len(data) != entry.size:
        raise DamagedFileError(
            "The checkpoint's data file does not hold what its index says: it is another's or was "
            "cut short."
        )
    return storage.numbers().reshape(entry.shape)


def shard_of(name: str) -> tuple[int, int] | None:
    """Which of how many files of data one is, by its name."""
    match = re.search(r"\.data-(\d{5})-of-(\d{5})", name)
    return (int(match[1]), int(match[2])) if match else None


# -- The table -------------------------------------------------------------------------------------


def _bundle(data: memoryview) -> Bundle:
    footer = data[-48:]
    _, place = _varint(footer, 0)
    _, place = _varint(footer, place)
    offset, place = _varint(footer, place)
    size, _ = _varint(footer, place)
    header, entries = None, {}
    for _, handle in _block(data, offset, size):
        begin, place = _varint(handle, 0)
        length, _ = _varint(handle, place)
        for key, value in _block(data, begin, length):
            if key == b"":
                header = value
            else:
                entries[key.decode()] = _entry(value)
            if len(entries) > MAX_BUNDLE_VARIABLES:
                raise ForeignModelError("The checkpoint has too many variables.")
    if header is None:
        raise DamagedFileError("The index of the checkpoint has no header.")
    fields = dict(_fields(header))
    if isinstance(fields.get(1), memoryview):
        raise ForeignModelError(
            "The checkpoint is one file, as TensorFlow wrote before 0.12: save it with a later "
            "TensorFlow 1, in files called .index and .data."
        )
    if fields.get(2, 0) != 0:
        raise ForeignModelError("The checkpoint was written on a machine of another byte order.")
    return Bundle(_as_size(fields.get(1, 1)), entries)


def _block(data: memoryview, offset: int, size: int) -> Iterator[tuple[bytes, memoryview]]:
    """The keys and values of a block; each key is told by what it does not share with the last."""
    if offset + size + 5 > len(data):
        raise DamagedFileError("The index of the checkpoint is damaged.")
    block, kind = data[offset : offset + size], data[offset + size]
    (checksum,) = struct.unpack("<I", data[offset + size + 1 : offset + size + 5])
    if kind != 0:
        raise ForeignModelError("The index of the checkpoint is packed, which is not read.")
    if _unmasked(checksum) != _crc32c(data[offset : offset + size + 1]):
        raise DamagedFileError("The index of the checkpoint is damaged: its checksum is wrong.")
    (restarts,) = struct.unpack("<I", block[-4:])
    end = size - 4 - 4 * restarts
    key, place = b"", 0
    while place < end:
        shared, place = _varint(block, place)
        own, place = _varint(block, place)
        length, place = _varint(block, place)
        if shared > len(key) or place + own + length > end:
            raise DamagedFileError("The index of the checkpoint is damaged.")
        key = key[:shared] + bytes(block[place : place + own])
        yield key, block[place + own : place + own + length]
        place += own + length


def _entry(value: memoryview) -> Entry:
    shape: tuple[int, ...] = ()
    found: dict[int, int | memoryview] = {}
    for field, content in _fields(value):
        if field == 2:
            shape = _shape(content)
        elif field == 7:
            raise ForeignModelError("The checkpoint has a variable in parts, which is not read.")
        else:
            found[field] = content
    kind = _KINDS.get(_as_size(found.get(1, 0)))
    shard, offset, size = (_as_size(found.get(field, 0)) for field in (3, 4, 5))
    return Entry(kind, shape, shard, offset, size)


def _shape(content: object) -> tuple[int, ...]:
    if not isinstance(content, memoryview):
        raise DamagedFileError("The index of the checkpoint is damaged.")
    sizes = [dict(_fields(size)) for field, size in _fields(content) if field == 2]
    if len(sizes) > 8:
        raise DamagedFileError("The index of the checkpoint is damaged.")
    return tuple(_as_size(size.get(1, 0)) for size in sizes)


def _as_size(value: object) -> int:
    if not isinstance(value, int) or not 0 <= value < 1 << 48:
        raise DamagedFileError("The index of the checkpoint has impossible sizes.")
    return value


def _fields(message: object) -> Iterator[tuple[int, int | memoryview]]:
    """The numbers and contents of a message of Protocol Buffers."""
    if not isinstance(message, memoryview):
        raise DamagedFileError("The index of the checkpoint is damaged.")
    place = 0
    value: int | memoryview
    while place < len(message):
        tag, place = _varint(message, place)
        kind = tag & 7
        if kind == 0:
            value, place = _varint(message, place)
        elif kind in (1, 5):
            width = 8 if kind == 1 else 4
            value = int.from_bytes(message[place : place + width], "little")
            place += width
        elif kind == 2:
            length, place = _varint(message, place)
            value = message[place : place + length]
            place += length
        else:
            raise DamagedFileError("The index of the checkpoint is damaged.")
        if place > len(message):
            raise DamagedFileError("The index of the checkpoint is damaged.")
        yield tag >> 3, value


def _varint(data: memoryview, place: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[place]
        value |= (byte & 127) << shift
        place, shift = place + 1, shift + 7
        if byte < 128:
            return value, place
        if shift > 63:
            raise DamagedFileError("The index of the checkpoint is damaged.")


def _crc_table() -> list[int]:
    table = []
    for value in range(256):
        for _ in range(8):
            value = (value >> 1) ^ (_POLYNOMIAL if value & 1 else 0)
        table.append(value)
    return table


_TABLE = _crc_table()


def _crc32c(data: memoryview) -> int:
    crc = 0xFFFFFFFF
    for byte in data:
        crc = (crc >> 8) ^ _TABLE[(crc ^ byte) & 255]
    return crc ^ 0xFFFFFFFF


def _unmasked(checksum: int) -> int:
    """TensorFlow turns checksums and adds a number to them."""
    turned = (checksum - 0xA282EAD8) & 0xFFFFFFFF
    return ((turned >> 17) | (turned << 15)) & 0xFFFFFFFF
