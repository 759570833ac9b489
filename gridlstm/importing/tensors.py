"""Tensors of torch, in Python and in Lua: views of a storage, of which nothing is read before it is
asked for."""

import math
from dataclasses import dataclass

import numpy as np

from gridlstm.array_types import NumberArray
from gridlstm.importing.errors import DamagedFileError

_SIZES = {"f2": 2, "bf2": 2, "f4": 4, "f8": 8, "i1": 1, "u1": 1, "i2": 2, "i4": 4, "i8": 8, "b1": 1}
# The kinds of storages of torch by the middle of their names: `torch.FloatStorage`.
KINDS = {
    "Half": "f2",
    "BFloat16": "bf2",
    "Float": "f4",
    "Double": "f8",
    "Char": "i1",
    "Byte": "u1",
    "Short": "i2",
    "Int": "i4",
    "Long": "i8",
    "Bool": "b1",
}


@dataclass(eq=False)
class Storage:
    """The numbers of one or more tensors: `kind` is a code of NumPy, or bf2, `length` how many.

    `data` are the bytes; None until they are known.
    """

    kind: str
    length: int
    data: memoryview | bytes | None = None
    big_endian: bool = False

    @property
    def item_size(self) -> int:
        return _SIZES[self.kind]

    def numbers(self) -> NumberArray:
        """All of them [length]; of bfloat16 a copy as float32. Raises DamagedFileError."""
        size = self.length * self.item_size
        if self.data is None or len(self.data) < size:
            raise DamagedFileError("A storage of the file holds fewer numbers than it claims.")
        order = ">" if self.big_endian else "<"
        if self.kind == "bf2":
            upper = np.frombuffer(self.data, order + "u2", self.length).astype(np.uint32)
            return (upper << 16).view(np.float32)
        return np.frombuffer(self.data, order + self.kind, self.length)


@dataclass(frozen=True, eq=False)
class StoredTensor:
    """A view of a storage: element [i, j] is that at offset + i strides[0] + j strides[1]."""

    storage: Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]

    def __post_init__(self) -> None:
        numbers = (self.offset, *self.shape, *self.strides)
        if not all(type(number) is int and number >= 0 for number in numbers):
            raise DamagedFileError("A tensor of the file has impossible sizes.")
        if len(self.shape) != len(self.strides) or len(self.shape) > 8:
            raise DamagedFileError("A tensor of the file has impossible sizes.")
        # No more numbers than the storage has: a stride of 0 could show one of them for ever.
        if math.prod(self.shape) > self.storage.length or self._end > self.storage.length:
            raise DamagedFileError("A tensor of the file is larger than its storage.")

    @property
    def _end(self) -> int:
        if 0 in self.shape:
            return 0
        steps = zip(self.shape, self.strides, strict=True)
        return self.offset + sum((size - 1) * stride for size, stride in steps) + 1

    @property
    def place(self) -> tuple[object, ...]:
        """Equal for two tensors that are the same numbers in the same place."""
        return (id(self.storage), self.offset, self.shape, self.strides)

    @property
    def is_float(self) -> bool:
        return self.storage.kind in ("f2", "bf2", "f4", "f8")

    def array(self) -> NumberArray:
        """The numbers [shape], without a copy. Raises DamagedFileError."""
        if 0 in self.shape:
            return np.zeros(self.shape, np.float32)
        numbers = self.storage.numbers()[self.offset : self._end]
        strides = tuple(stride * numbers.itemsize for stride in self.strides)
        return np.lib.stride_tricks.as_strided(numbers, self.shape, strides, writeable=False)
