"""Pickles read as data: numbers, strings, containers and tensors. Nothing is imported or called.

A class or function of the file is only its name; what would be made with it is a `Record`. Known by
name are a few whose meaning is plain data: ordered dicts, sets, arrays of NumPy, tensors of torch.
Protocols 0 to 5 and the pickles of Python 2 are read.
"""

import struct
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from gridlstm.importing.errors import DamagedFileError, ForeignModelError
from gridlstm.importing.records import Record
from gridlstm.importing.tensors import Storage, StoredTensor

MAX_OPCODES = 1_000_000
# Each takes up to a hundred times the memory of the byte that asks for it.
MAX_PICKLE_CONTAINERS = 250_000
MAX_NESTING = 1_000
MAX_INTEGER_BYTES = 1_024
# Past this an int would have no hash of its own, and a dict of such could be slow at will.
MAX_KEY = 1 << 60
Buffer = bytes | memoryview
Persistent = Callable[[object], object]
# What taking something from a stack that holds something else raises.
_MALFORMED = (
    LookupError,
    TypeError,
    AttributeError,
    ValueError,
    OverflowError,
    RecursionError,
    struct.error,
)


@dataclass(frozen=True)
class Global:
    """The name of a class or function."""

    name: str


def read_pickle(
    data: Buffer,
    place: int = 0,
    persistent: Persistent | None = None,
    known: Mapping[str, Callable[..., object]] | None = None,
) -> tuple[object, int]:
    """The object of the pickle that begins at `place`, and where what follows begins.

    `persistent` makes something of a persistent id, as torch has for its storages; `known` says
    what further names of functions stand for, by what to make of their arguments. Raises
    DamagedFileError, ForeignModelError.
    """
    reader = _Reader(memoryview(data), place, persistent, known or {})
    try:
        return reader.read(), reader.place
    except ForeignModelError:
        raise
    except _MALFORMED as error:
        # Each opcode takes what it needs from the stack; a file without it is no pickle.
        raise DamagedFileError("The pickle is damaged: an opcode lacks what it needs.") from error


class _Reader:
    """The machine of a pickle: a stack, the stacks set aside by marks, and the memo."""

    # Any: what stands in the file, where using it as what it is not raises one of `_MALFORMED`.
    def __init__(
        self,
        data: memoryview,
        place: int,
        persistent: Persistent | None,
        known: Mapping[str, Callable[..., object]],
    ) -> None:
        self.data, self.place, self.persistent, self.known = data, place, persistent, known
        self.stack: list[Any] = []
        self.aside: list[list[Any]] = []
        self.memo: dict[int, object] = {}
        # Where in the memo a record stands, which may become an array once it has its state.
        self.record_keys: dict[int, list[int]] = {}
        self.copied = 0

    def read(self) -> object:
        opcodes, data, end, containers = _OPCODES, self.data, len(self.data), 0
        for _ in range(MAX_OPCODES):
            if self.place >= end:
                raise DamagedFileError("The pickle ends too soon.")
            opcode = data[self.place]
            self.place += 1
            if opcode == _STOP:
                return self.stack.pop()
            act = opcodes.get(opcode)
            if act is None:
                raise DamagedFileError(f"The pickle holds an unknown opcode, {opcode}.")
            containers += opcode in _MAKERS
            if containers > MAX_PICKLE_CONTAINERS:
                raise ForeignModelError(
                    f"The pickle has more than {MAX_PICKLE_CONTAINERS:,} containers."
                )
            act(self)
        raise ForeignModelError(f"The pickle has more than {MAX_OPCODES:,} parts.")

    # -- What is next in the file ------------------------------------------------------------------

    def take(self, count: int) -> memoryview:
        if count < 0 or count > len(self.data) - self.place:
            raise DamagedFileError("The pickle ends too soon.")
        self.place += count
        return self.data[self.place - count : self.place]

    def number(self, form: str) -> int:
        number: int = struct.unpack(form, self.take(struct.calcsize(form)))[0]
        return number

    def line(self) -> bytes:
        # Lines are short but for strings: what follows is searched in ever longer pieces.
        length = 64
        while True:
            piece = bytes(self.data[self.place : self.place + length])
            found = piece.find(b"\n")
            if found >= 0:
                self.place += found + 1
                return piece[:found]
            if len(piece) < length:
                raise DamagedFileError("The pickle ends too soon.")
            length *= 4

    def text(self, length: int) -> str:
        return str(self.take(length), "utf-8", "surrogatepass")

    def whole_number(self, raw: memoryview) -> int:
        if len(raw) > MAX_INTEGER_BYTES:
            raise ForeignModelError("The pickle holds a number of too many digits.")
        return int.from_bytes(raw, "little", signed=True)

    # -- The stack ---------------------------------------------------------------------------------

    def push(self, value: object) -> None:
        self.stack.append(value)

    def mark(self) -> None:
        if len(self.aside) >= MAX_NESTING:
            raise ForeignModelError(f"The pickle is nested more than {MAX_NESTING:,} deep.")
        self.aside.append(self.stack)
        self.stack = []

    def pop_mark(self) -> list[Any]:
        found, self.stack = self.stack, self.aside.pop()
        return found

    def pop(self) -> None:
        if self.stack:
            self.stack.pop()
        else:
            self.pop_mark()

    def remember(self, key: int) -> None:
        value = self.memo[key] = self.stack[-1]
        if isinstance(value, Record):
            self.record_keys.setdefault(id(value), []).append(key)

    # -- Containers --------------------------------------------------------------------------------

    def append(self, values: list[Any]) -> None:
        target = self.stack[-1]
        if isinstance(target, Record):
            target = target.items = _as_list(target.items)
        if not isinstance(target, list):
            raise DamagedFileError("The pickle appends to something that is no list.")
        target.extend(values)

    def set_items(self, values: list[Any]) -> None:
        target = self.stack[-1]
        if isinstance(target, Record):
            target = target.items
        if not isinstance(target, dict) or len(values) % 2:
            raise DamagedFileError("The pickle puts entries into something that is no dict.")
        for key, value in zip(values[::2], values[1::2], strict=True):
            target[_key(key)] = value

    def add_items(self, values: list[Any]) -> None:
        target = self.stack[-1]
        if not isinstance(target, set):
            raise DamagedFileError("The pickle adds to something that is no set.")
        target.update(map(_key, values))

    # -- Objects -----------------------------------------------------------------------------------

    def find_global(self) -> None:
        name, module = self.stack.pop(), self.stack.pop()
        self.push(Global(f"{str(module)[:200]}.{str(name)[:200]}"))

    def reduce(self) -> None:
        arguments, made_with = self.stack.pop(), self.stack.pop()
        self.make(made_with, arguments)

    def new_with_keywords(self) -> None:
        keywords, arguments, made_with = self.stack.pop(), self.stack.pop(), self.stack.pop()
        self.make(made_with, (*arguments, keywords))

    def inst(self) -> None:
        module, name = str(self.line(), "utf-8"), str(self.line(), "utf-8")
        self.make(Global(f"{module}.{name}"), tuple(self.pop_mark()))

    def obj(self) -> None:
        made_with, *arguments = self.pop_mark()
        self.make(made_with, tuple(arguments))

    def make(self, made_with: object, arguments: Any) -> None:
        """Push what a class or function of the file stands for, made of `arguments`."""
        # One long string of the file could be made a list of a thousand times.
        self.copied += _length(arguments)
        if self.copied <= self.max_copied and isinstance(arguments, list | tuple):
            self.copied += sum(map(_length, arguments))
        if self.copied > self.max_copied:
            raise ForeignModelError("The pickle makes more objects than its size allows.")
        further = self.known.get(made_with.name) if isinstance(made_with, Global) else None
        self.push(_made(made_with, arguments) if further is None else further(*arguments))

    @property
    def max_copied(self) -> int:
        return len(self.data) + MAX_OPCODES

    def build(self) -> None:
        state, target = self.stack.pop(), self.stack[-1]
        if isinstance(target, Record):
            made = _with_state(target, state)
            if made is not target:
                self.stack[-1] = made
                # What was remembered before it had its state is the same object.
                for key in self.record_keys.pop(id(target), ()):
                    if self.memo.get(key) is target:
                        self.memo[key] = made

    def persist(self, key: object) -> None:
        if self.persistent is None:
            raise ForeignModelError("The pickle refers to something outside itself.")
        self.push(self.persistent(key))

    def outside(self, *_: object) -> None:
        raise ForeignModelError("The pickle refers to something outside itself.")


# -- What objects are made of ----------------------------------------------------------------------


def _key(key: object) -> object:
    """A key or element, of a kind that hashes in a bounded time."""
    if isinstance(key, tuple) and len(key) <= 64:
        if all(isinstance(part, str | bytes | int) and _short(part) for part in key):
            return key
    elif (
        isinstance(key, str | bytes | float | Record | Global)
        or key is None
        or isinstance(key, int)
        and _short(key)
    ):
        return key
    raise ForeignModelError("The pickle has a dict or set with keys that are not read.")


def _length(value: object) -> int:
    return len(value) if isinstance(value, str | bytes | list | tuple | dict | set) else 0


def _short(key: object) -> bool:
    return not isinstance(key, int) or abs(key) < MAX_KEY


def _as_list(items: dict[Any, Any] | list[Any]) -> list[Any]:
    if isinstance(items, dict) and items:
        raise DamagedFileError("The pickle appends to something that is no list.")
    return list(items)


def _made(made_with: object, arguments: Any) -> object:
    """What a class or function of the file stands for."""
    if not isinstance(made_with, Global):
        raise DamagedFileError("The pickle makes something with what is no class.")
    arguments = tuple(arguments) if isinstance(arguments, list | tuple) else (arguments,)
    known = _KNOWN.get(made_with.name)
    if known is not None:
        return known(*arguments)
    if made_with.name.startswith("torch.") and made_with.name.endswith("Tensor"):
        tensor = _tensor_of(arguments)
        return tensor if tensor is not None else Record(made_with.name, arguments)
    return Record(made_with.name, arguments)


def _reconstructed(kind: object, *_: object) -> object:
    """Python 2's way to make an object without calling its class."""
    return _new_object(kind)


def _new_object(kind: object, *arguments: object) -> object:
    if isinstance(kind, Global) and kind.name.endswith(("._reconstructor", ".__newobj__")):
        raise DamagedFileError("The pickle makes something with what is no class.")
    return _made(kind, arguments)


def _mapping(*arguments: Any) -> dict[Any, Any]:
    """An OrderedDict, a dict or a Counter, of nothing, of a dict or of pairs."""
    found: dict[Any, Any] = {}
    for given in arguments[:1]:
        pairs = given.items() if isinstance(given, dict) else given
        found.update({_key(key): value for key, value in pairs})
    return found


def _default_mapping(*arguments: Any) -> dict[Any, Any]:
    return _mapping(*arguments[1:])


def _set(values: Iterable[object] = ()) -> set[object]:
    return set(map(_key, values))


def _encoded(text: object, encoding: Any = "utf-8", *_: object) -> bytes:
    """How Python 3 writes bytes in the protocols before 3."""
    if not isinstance(text, str) or encoding not in ("latin1", "latin-1", "utf-8", "ascii"):
        raise DamagedFileError("The pickle encodes something that is no text.")
    return text.encode(encoding, "surrogatepass" if encoding == "utf-8" else "strict")


def _bytes(*arguments: Any) -> bytes:
    given = arguments[0] if arguments else b""
    if isinstance(given, str):
        return _encoded(*arguments)
    # Of a number, bytes() would be as long as the number says.
    return bytes(given) if isinstance(given, bytes | list | tuple) else b""


def _rebuilt_tensor(
    storage: object, offset: object, shape: object, strides: object, *_: object
) -> StoredTensor:
    tensor = _tensor_of((storage, offset, shape, strides))
    if tensor is None:
        raise DamagedFileError("The pickle makes a tensor of something that is no storage.")
    return tensor


def _tensor_of(state: object) -> StoredTensor | None:
    if not isinstance(state, tuple) or len(state) < 4 or not isinstance(state[0], Storage):
        return None
    return StoredTensor(state[0], state[1], _sizes(state[2]), _sizes(state[3]))


def _sizes(value: Any) -> tuple[int, ...]:
    value = value.arguments[0] if isinstance(value, Record) and value.arguments else value
    return tuple(value)


def _of_array(array: object, *_: object) -> object:
    """What torch makes of an array of NumPy."""
    return array


def _first(value: object, *_: object) -> object:
    return value


def _empty_array(*_: object) -> Record:
    """An array of NumPy before it has its state."""
    return Record("numpy.ndarray")


def _dtype(code: object, *_: object) -> Record:
    return Record("numpy.dtype", (code,))


def _scalar(dtype: object, raw: object = b"") -> object:
    array = _array(dtype, (1,), raw, False)
    return array.item() if array is not None and array.dtype.kind in "biufUS" else None


def _with_state(record: Record, state: object) -> object:
    """What a record becomes once its state is known: an array, a tensor, or the record itself."""
    if record.name == "numpy.ndarray" and isinstance(state, tuple) and len(state) == 5:
        _, shape, dtype, columns_first, raw = state
        array = _array(dtype, _sizes(shape), raw, bool(columns_first))
        return record if array is None else array
    if record.name.startswith("torch."):
        if (tensor := _tensor_of(state)) is not None:
            return tensor
        if record.name in _VARIABLES and isinstance(state, tuple) and len(state) == 5:
            # Torch before 0.2 wrote a parameter's numbers first in its state.
            return state[0]
        if record.name in _VARIABLES and isinstance(state, tuple) and record.arguments:
            return record.arguments[0]
    if isinstance(record.state, dict) and isinstance(state, dict):
        record.state = {**record.state, **state}
    elif isinstance(state, tuple) and len(state) == 2 and isinstance(state[1], dict):
        # A class with slots: what stands in __dict__, then what stands in the slots.
        record.state = {**(state[0] if isinstance(state[0], dict) else {}), **state[1]}
    else:
        record.state = state
    return record


def _array(
    dtype: object, shape: tuple[int, ...], raw: object, columns_first: bool
) -> npt.NDArray[Any] | None:
    """An array of NumPy of numbers or of strings; None if it holds objects."""
    if isinstance(raw, str):
        raw = raw.encode("latin-1")
    if not isinstance(dtype, Record) or not isinstance(raw, bytes):
        return None
    code = dtype.arguments[0] if dtype.arguments else ""
    code = code.decode("ascii") if isinstance(code, bytes) else code
    if not isinstance(code, str) or code[:1] not in "biufUS" or not code[1:].isdigit():
        return None
    order = dtype.state[1] if isinstance(dtype.state, tuple) and len(dtype.state) > 1 else "<"
    kind = np.dtype((">" if order in (">", b">") else "<") + code)
    if kind.itemsize == 0 or len(raw) % kind.itemsize:
        return None
    flat = np.frombuffer(raw, kind)
    if columns_first:
        return flat.reshape(shape[::-1]).T
    return flat.reshape(shape)


_VARIABLES = (
    "torch.nn.parameter.Parameter",
    "torch.autograd.variable.Variable",
    "torch.nn.parameter.Buffer",
)
_KNOWN: dict[str, Callable[..., object]] = {
    "collections.OrderedDict": _mapping,
    "collections.Counter": _mapping,
    "collections.defaultdict": _default_mapping,
    "copy_reg._reconstructor": _reconstructed,
    "copyreg._reconstructor": _reconstructed,
    "copy_reg.__newobj__": _new_object,
    "copyreg.__newobj__": _new_object,
    "_codecs.encode": _encoded,
    "torch._utils._rebuild_tensor": _rebuilt_tensor,
    "torch._utils._rebuild_tensor_v2": _rebuilt_tensor,
    "torch._utils._rebuild_tensor_v3": _rebuilt_tensor,
    "torch._utils._rebuild_parameter": _first,
    "torch._utils._rebuild_parameter_with_state": _first,
    "torch._utils._rebuild_device_tensor_from_numpy": _of_array,
    "torch._utils._rebuild_device_tensor_from_cpu_tensor": _of_array,
    "torch.Size": lambda sizes=(), *_: tuple(sizes),
    "torch.serialization._get_layout": _first,
    "numpy.ndarray": _empty_array,
    "numpy.dtype": _dtype,
}
for _module in ("__builtin__", "builtins"):
    _KNOWN |= {
        f"{_module}.dict": _mapping,
        f"{_module}.set": _set,
        f"{_module}.frozenset": _set,
        f"{_module}.list": lambda values=(): list(values),
        f"{_module}.tuple": lambda values=(): tuple(values),
        f"{_module}.bytes": _bytes,
        f"{_module}.bytearray": _bytes,
        f"{_module}.getattr": lambda *names: Record("getattr", names),
    }
for _module in ("numpy.core", "numpy._core"):
    _KNOWN |= {
        f"{_module}.multiarray._reconstruct": _empty_array,
        f"{_module}.multiarray.scalar": _scalar,
        f"{_module}.numeric._frombuffer": lambda raw, dtype, shape, order="C", *_: _array(
            dtype, _sizes(shape), bytes(raw), order == "F"
        ),
    }


# -- The opcodes -----------------------------------------------------------------------------------


def _unquoted(raw: bytes) -> str | bytes:
    """A string of Python 2 as it is written in protocol 0: text where it is ASCII, else bytes."""
    if len(raw) < 2 or raw[:1] != raw[-1:] or raw[:1] not in (b"'", b'"'):
        raise DamagedFileError("The pickle holds a string without quotes.")
    # The escapes of Python alone; the bytes between them are Latin-1.
    return _as_text(raw[1:-1].decode("unicode_escape").encode("latin-1"))


def _as_text(raw: Buffer) -> str | bytes:
    raw = bytes(raw)
    return raw.decode("ascii") if raw.isascii() else raw


def _decimal(raw: bytes) -> int | bool:
    if raw in (b"00", b"01"):
        return raw == b"01"
    if len(raw) > MAX_INTEGER_BYTES:
        raise ForeignModelError("The pickle holds a number of too many digits.")
    return int(raw.removesuffix(b"L"))


def _pickled_line(raw: bytes) -> str:
    return raw.decode("raw_unicode_escape")


def _pushes(make: Callable[[_Reader], object]) -> Callable[[_Reader], object]:
    return lambda reader: reader.stack.append(make(reader))


def _proto(reader: _Reader) -> None:
    if (protocol := reader.number("<B")) > 5:
        raise ForeignModelError(f"The pickle is of protocol {protocol}; known are 0 to 5.")


def _last(count: int) -> Callable[[_Reader], object]:
    def act(reader: _Reader) -> None:
        if len(reader.stack) < count:
            raise DamagedFileError("The pickle makes a tuple of more than there is.")
        reader.stack[-count:] = [tuple(reader.stack[-count:])]

    return act


def _act_append(reader: _Reader) -> None:
    value = reader.stack.pop()
    reader.append([value])


def _act_set_item(reader: _Reader) -> None:
    value, key = reader.stack.pop(), reader.stack.pop()
    reader.set_items([key, value])


def _pairs(values: list[Any]) -> dict[Any, Any]:
    if len(values) % 2:
        raise DamagedFileError("The pickle makes a dict of keys without values.")
    return {_key(key): value for key, value in zip(values[::2], values[1::2], strict=True)}


_STOP = ord(".")
_MAKERS = frozenset(b"]}\x8fltd\x91\x85\x86\x87R\x81\x92ioc\x93")
_OPCODES: dict[int, Callable[[_Reader], object]] = {
    ord(code): act
    for code, act in {
        "\x80": _proto,
        "\x95": lambda reader: reader.take(8),
        "(": _Reader.mark,
        "0": _Reader.pop,
        "1": lambda reader: reader.pop_mark(),
        "2": lambda reader: reader.push(reader.stack[-1]),
        # Numbers.
        "N": _pushes(lambda reader: None),
        "\x88": _pushes(lambda reader: True),
        "\x89": _pushes(lambda reader: False),
        "I": _pushes(lambda reader: _decimal(reader.line())),
        "L": _pushes(lambda reader: _decimal(reader.line())),
        "J": _pushes(lambda reader: reader.number("<i")),
        "K": _pushes(lambda reader: reader.number("<B")),
        "M": _pushes(lambda reader: reader.number("<H")),
        "\x8a": _pushes(lambda reader: reader.whole_number(reader.take(reader.number("<B")))),
        "\x8b": _pushes(lambda reader: reader.whole_number(reader.take(reader.number("<i")))),
        "F": _pushes(lambda reader: float(reader.line())),
        "G": _pushes(lambda reader: reader.number(">d")),
        # Strings.
        "S": _pushes(lambda reader: _unquoted(reader.line().strip())),
        "T": _pushes(lambda reader: _as_text(reader.take(reader.number("<i")))),
        "U": _pushes(lambda reader: _as_text(reader.take(reader.number("<B")))),
        "V": _pushes(lambda reader: _pickled_line(reader.line())),
        "X": _pushes(lambda reader: reader.text(reader.number("<I"))),
        "\x8c": _pushes(lambda reader: reader.text(reader.number("<B"))),
        "\x8d": _pushes(lambda reader: reader.text(reader.number("<Q"))),
        "B": _pushes(lambda reader: bytes(reader.take(reader.number("<I")))),
        "C": _pushes(lambda reader: bytes(reader.take(reader.number("<B")))),
        "\x8e": _pushes(lambda reader: bytes(reader.take(reader.number("<Q")))),
        "\x96": _pushes(lambda reader: bytes(reader.take(reader.number("<Q")))),
        # Containers.
        "]": _pushes(lambda reader: []),
        "}": _pushes(lambda reader: {}),
        ")": _pushes(lambda reader: ()),
        "\x8f": _pushes(lambda reader: set()),
        "l": lambda reader: reader.push(reader.pop_mark()),
        "t": lambda reader: reader.push(tuple(reader.pop_mark())),
        "d": lambda reader: reader.push(_pairs(reader.pop_mark())),
        "\x91": lambda reader: reader.push(_set(reader.pop_mark())),
        "\x85": _last(1),
        "\x86": _last(2),
        "\x87": _last(3),
        "a": _act_append,
        "e": lambda reader: reader.append(reader.pop_mark()),
        "s": _act_set_item,
        "u": lambda reader: reader.set_items(reader.pop_mark()),
        "\x90": lambda reader: reader.add_items(reader.pop_mark()),
        # The memo.
        "p": lambda reader: reader.remember(_decimal(reader.line())),
        "q": lambda reader: reader.remember(reader.number("<B")),
        "r": lambda reader: reader.remember(reader.number("<I")),
        "\x94": lambda reader: reader.remember(len(reader.memo)),
        "g": _pushes(lambda reader: reader.memo[_decimal(reader.line())]),
        "h": _pushes(lambda reader: reader.memo[reader.number("<B")]),
        "j": _pushes(lambda reader: reader.memo[reader.number("<I")]),
        # Objects.
        "c": _pushes(
            lambda reader: Global(
                f"{str(reader.line()[:200], 'utf-8')}.{str(reader.line()[:200], 'utf-8')}"
            )
        ),
        "\x93": _Reader.find_global,
        "R": _Reader.reduce,
        "\x81": _Reader.reduce,
        "\x92": _Reader.new_with_keywords,
        "i": _Reader.inst,
        "o": _Reader.obj,
        "b": _Reader.build,
        "P": lambda reader: reader.persist(str(reader.line(), "utf-8")),
        "Q": lambda reader: reader.persist(reader.stack.pop()),
        "\x82": _Reader.outside,
        "\x83": _Reader.outside,
        "\x84": _Reader.outside,
        "\x97": _Reader.outside,
        "\x98": _Reader.outside,
    }.items()
}
