"""Files of Torch 7 (.t7, binary), as data: tables, strings, numbers, tensors.

A table is a `Table`, an object of a class a `Record` with its table as the state; of a function
nothing is kept. Objects are read once and shared, and may hold themselves.
"""

import struct
from dataclasses import dataclass
from typing import Any

import numpy as np

from gridlstm.array_types import Float64Array
from gridlstm.importing.errors import DamagedFileError, ForeignModelError
from gridlstm.importing.records import Record
from gridlstm.importing.tensors import KINDS, Storage, StoredTensor

MAX_TORCH7_OBJECTS = 2_000_000
MAX_TABLE_DEPTH = 100_000
MAX_DIMENSIONS = 8
_NIL, _NUMBER, _STRING, _TABLE, _TORCH, _BOOLEAN, _FUNCTION = range(7)
_RECURSIVE_FUNCTIONS = (7, 8)
_CUDA_KINDS = {"Cuda": "f4", **{f"Cuda{name}": kind for name, kind in KINDS.items()}}
_PENDING = object()
MIN_SERIES = 64
_ENTRY = np.dtype([("kind", "<i4"), ("key", "<f8"), ("kind of value", "<i4"), ("value", "<f8")])


class Table(dict[Any, Any]):
    """A table of Lua, which may itself be a key: equal to itself alone."""

    __hash__ = object.__hash__  # type: ignore[assignment]  # a dict has none
    __eq__ = object.__eq__
    __ne__ = object.__ne__

    @property
    def listed(self) -> list[Any]:
        """The values under 1, 2, 3, …, up to the first that is missing."""
        values: list[Any] = []
        while (value := self.get(len(values) + 1)) is not None:
            values.append(value)
        return values


@dataclass(frozen=True, eq=False)
class Series:
    """A long table of numbers alone, such as of losses: `keys` and `values` [entry], float64."""

    keys: Float64Array
    values: Float64Array

    @property
    def listed(self) -> list[Any]:
        """The values under 1, 2, 3, … if there are no others; else none."""
        order = np.argsort(self.keys, kind="stable")
        count = np.arange(1, len(order) + 1)
        return self.values[order].tolist() if np.array_equal(self.keys[order], count) else []


def is_torch7(data: memoryview) -> bool:
    """Whether it begins with a table or an object of Torch 7, the first of the file."""
    if len(data) < 16:
        return False
    kind, index, length = struct.unpack("<iii", data[:12])
    if kind == _TABLE:
        return bool(index == 1 and 0 <= length < 1_000)
    return kind == _TORCH and index == 1 and length == 3 and bytes(data[12:14]) == b"V "


def read_torch7(data: memoryview) -> object:
    """The object in the file. Raises DamagedFileError, ForeignModelError."""
    reader = _Reader(data)
    try:
        return reader.read()
    except struct.error as error:
        raise DamagedFileError("The file of Torch 7 ends too soon.") from error


class _Reader:
    """A stack of what is not yet complete, since graphs nest deeper than Python calls."""

    def __init__(self, data: memoryview) -> None:
        self.data, self.place = data, 0
        self.objects: dict[int, object] = {}
        self.waiting: list[_Waiting] = []

    def read(self) -> object:
        for _ in range(MAX_TORCH7_OBJECTS):
            value = self.next_value()
            while value is not _PENDING:
                if not self.waiting:
                    return value
                value = self.waiting[-1].take(value)
                if value is not _PENDING:
                    self.waiting.pop()
            if len(self.waiting) > MAX_TABLE_DEPTH:
                raise ForeignModelError(f"The file is nested more than {MAX_TABLE_DEPTH:,} deep.")
        raise ForeignModelError(f"The file has more than {MAX_TORCH7_OBJECTS:,} objects.")

    def next_value(self) -> object:
        """The next value, or `_PENDING` if others have to be read first."""
        kind = self.integer()
        if kind == _NIL:
            return None
        if kind == _NUMBER:
            return _plain_number(struct.unpack("<d", self.take(8))[0])
        if kind == _STRING:
            return _plain_string(self.string())
        if kind == _BOOLEAN:
            return self.integer() != 0
        if kind == _FUNCTION:
            self.string()
            return self.wait(_Ignored(Record("function")))
        if kind not in (_TABLE, _TORCH, *_RECURSIVE_FUNCTIONS):
            raise DamagedFileError(f"The file of Torch 7 has a value of unknown kind, {kind}.")
        index = self.integer()
        if index in self.objects:
            return self.objects[index]
        if kind == _TABLE:
            series = self.series()
            if series is not None:
                self.objects[index] = series
                return series
            table = self.objects[index] = Table()
            return self.entries(table)
        if kind == _TORCH:
            return self.torch_object(index)
        function = self.objects[index] = Record("function")
        self.string()
        return self.wait(_Ignored(function))

    def entries(self, table: Table) -> object:
        count = self.integer()
        # A key and its value take eight bytes and more.
        if not 0 <= count <= (len(self.data) - self.place) // 8:
            raise DamagedFileError("A table of the file claims more entries than there are.")
        return self.wait(_Entries(table, count)) if count else table

    def series(self) -> Series | None:
        """A long table if it holds numbers alone: as objects they would take ten times as much."""
        count = self.integer()
        size = count * _ENTRY.itemsize
        if count >= MIN_SERIES and size <= len(self.data) - self.place:
            entries = np.frombuffer(self.data, _ENTRY, count, self.place)
            if (entries["kind"] == _NUMBER).all() and (entries["kind of value"] == _NUMBER).all():
                self.place += size
                return Series(entries["key"].copy(), entries["value"].copy())
        self.place -= 4
        return None

    def torch_object(self, index: int) -> object:
        written = self.string()
        written = self.string() if written.startswith(b"V ") else written
        name = written.decode("latin-1")[:200]
        kind, _, end = name.removeprefix("torch.").partition("Storage")
        if name.startswith("torch.") and not end and "Storage" in name:
            storage = self.objects[index] = self.storage(_kind_of(kind))
            return storage
        if name.startswith("torch.") and name.endswith("Tensor"):
            return self.tensor(index, _kind_of(kind.removesuffix("Tensor")))
        if name.startswith("tds."):
            raise ForeignModelError(f"The file holds a {name}, which is not read.")
        record = self.objects[index] = Record(name)
        return self.wait(_State(record))

    def storage(self, kind: str) -> Storage:
        length = self.long()
        storage = Storage(kind, length)
        if length < 0:
            raise DamagedFileError("A storage of the file has a negative size.")
        storage.data = self.take(length * storage.item_size)
        return storage

    def tensor(self, index: int, kind: str) -> object:
        dimensions = self.integer()
        if not 0 <= dimensions <= MAX_DIMENSIONS:
            raise DamagedFileError("A tensor of the file has impossible sizes.")
        shape = tuple(self.long() for _ in range(dimensions))
        strides = tuple(self.long() for _ in range(dimensions))
        offset = self.long() - 1
        return self.wait(_OfStorage(self.objects, index, (kind, offset, shape, strides)))

    def wait(self, waiting: "_Waiting") -> object:
        self.waiting.append(waiting)
        return _PENDING

    # -- What is next in the file ------------------------------------------------------------------

    def take(self, count: int) -> memoryview:
        if count < 0 or count > len(self.data) - self.place:
            raise DamagedFileError("The file of Torch 7 ends too soon.")
        self.place += count
        return self.data[self.place - count : self.place]

    def integer(self) -> int:
        number: int = struct.unpack("<i", self.take(4))[0]
        return number

    def long(self) -> int:
        number: int = struct.unpack("<q", self.take(8))[0]
        return number

    def string(self) -> bytes:
        return bytes(self.take(self.integer()))


# -- What is not yet complete ----------------------------------------------------------------------


class _Waiting:
    """Something that takes values until it is complete and gives itself."""

    def take(self, value: object) -> object:
        raise NotImplementedError


class _Entries(_Waiting):
    def __init__(self, table: Table, count: int) -> None:
        self.table, self.count, self.key = table, count, _PENDING

    def take(self, value: object) -> object:
        if self.key is _PENDING:
            if not isinstance(value, str | bytes | int | float | Table | Record | Series):
                raise DamagedFileError("A table of the file has a key that Lua does not have.")
            self.key = value
            return _PENDING
        self.table[self.key] = value
        self.key = _PENDING
        self.count -= 1
        return _PENDING if self.count else self.table


class _State(_Waiting):
    def __init__(self, record: Record) -> None:
        self.record = record

    def take(self, value: object) -> object:
        self.record.state = value
        return self.record


class _Ignored(_Waiting):
    def __init__(self, function: Record) -> None:
        self.function = function

    def take(self, value: object) -> object:
        return self.function


# The kind of a tensor's numbers, its offset, shape and strides.
_View = tuple[str, int, tuple[int, ...], tuple[int, ...]]


class _OfStorage(_Waiting):
    def __init__(self, objects: dict[int, object], index: int, view: _View) -> None:
        self.objects, self.index, self.view = objects, index, view

    def take(self, value: object) -> object:
        kind, offset, shape, strides = self.view
        if value is None:
            value, offset, shape, strides = Storage(kind, 0, b""), 0, (0,), (1,)
        if not isinstance(value, Storage) or value.kind != kind:
            raise DamagedFileError("A tensor of the file has something else as its storage.")
        if not shape:
            # Torch 7 has no tensors of one number without a dimension: it is empty.
            shape, strides, offset = (0,), (1,), 0
        tensor = self.objects[self.index] = StoredTensor(value, offset, shape, strides)
        return tensor


def _kind_of(name: str) -> str:
    kind = KINDS.get(name) or _CUDA_KINDS.get(name)
    if kind is None:
        raise ForeignModelError(
            f"The file holds tensors of the kind {name[:40]}, which are not read."
        )
    return kind


def _plain_number(number: float) -> int | float:
    return int(number) if number.is_integer() and abs(number) < 1 << 53 else number


def _plain_string(raw: bytes) -> str | bytes:
    """Text where it is ASCII: names; else bytes, as Lua has no more than those."""
    return raw.decode("ascii") if raw.isascii() else raw
