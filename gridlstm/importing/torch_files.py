"""What torch.save wrote, as data: zip archives and the files before torch 1.6, and safetensors.

The numbers stay where they are in the file until they are asked for.
"""

import struct
from typing import Any, TypeGuard

from gridlstm.importing.archives import Archive
from gridlstm.importing.errors import DamagedFileError, ForeignModelError
from gridlstm.importing.json_files import parse_json
from gridlstm.importing.pickles import Global, read_pickle
from gridlstm.importing.tensors import KINDS, Storage, StoredTensor

LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
MAX_SAFETENSORS_HEADER = 16 << 20
_SAFETENSORS = {
    "F16": "f2",
    "BF16": "bf2",
    "F32": "f4",
    "F64": "f8",
    "I8": "i1",
    "U8": "u1",
    "I16": "i2",
    "I32": "i4",
    "I64": "i8",
    "BOOL": "b1",
}


def pickle_of_zip(archive: Archive) -> str | None:
    """The name of the pickle in an archive of torch; None if it is none."""
    return next((name for name in archive.members if _is_main_pickle(name)), None)


def _is_main_pickle(name: str) -> bool:
    return name == "data.pkl" or (name.endswith("/data.pkl") and name.count("/") == 1)


def read_torch_zip(archive: Archive) -> object:
    """The object that torch.save was given. Raises ForeignModelError."""
    pickle = pickle_of_zip(archive)
    assert pickle is not None  # what makes it one of torch
    folder = pickle.removesuffix("data.pkl")
    if f"{folder}constants.pkl" in archive.members:
        raise ForeignModelError(
            "This is a TorchScript archive, which is a program rather than weights: save the "
            "model's state_dict() with torch.save instead."
        )
    big = False
    if f"{folder}byteorder" in archive.members:
        big = bytes(archive.read(f"{folder}byteorder")) == b"big"
    storages: dict[str, Storage] = {}

    def storage(key: object) -> Storage:
        kind, name, length = _storage_id(key)
        if name not in storages:
            data = archive.read(f"{folder}data/{name}")
            storages[name] = _storage(kind, length, data, big)
        return storages[name]

    return read_pickle(archive.read(pickle), persistent=storage)[0]


def is_legacy_torch(data: memoryview) -> bool:
    """Whether it begins as torch.save began before torch 1.6: with a number, pickled."""
    begin = bytes(data[:32])
    return begin[:3] in (b"\x80\x02\x8a", b"\x80\x03\x8a", b"\x80\x04\x8a") and begin[
        3:14
    ] == b"\x0a" + LEGACY_MAGIC.to_bytes(10, "little")


def read_legacy_torch(data: memoryview) -> object:
    """The object that torch.save was given before torch 1.6. Raises ForeignModelError."""
    storages: dict[str, Storage] = {}

    def persistent(key: Any) -> object:
        if isinstance(key, tuple) and len(key) == 4 and key[0] == "module":
            # A class, with the text of its program, which is passed over.
            return key[1]
        kind, name, length = _storage_id(key)
        view = key[5] if len(key) > 5 else None
        base = storages.setdefault(name, _storage(kind, length, None, False))
        if isinstance(view, tuple) and len(view) == 3:
            raise ForeignModelError("The file holds views of storages, which are not read.")
        return base

    place = 0
    for what in ("magic number", "protocol", "system"):
        value, place = read_pickle(data, place)
        if what == "protocol" and value != 1001:
            raise ForeignModelError("The file is of an unknown version of torch's format.")
        if what == "system" and isinstance(value, dict) and value.get("little_endian") is False:
            raise ForeignModelError("The file was written on a machine of another byte order.")
    root, place = read_pickle(data, place, persistent)
    names, place = read_pickle(data, place)
    if not isinstance(names, list):
        raise DamagedFileError("The file does not list its storages.")
    for name in names:
        place = _take_storage(data, place, storages.get(name) if isinstance(name, str) else None)
    return root


def _take_storage(data: memoryview, place: int, storage: Storage | None) -> int:
    """Give a storage its bytes; where the next begins."""
    if storage is None or len(data) - place < 8:
        raise DamagedFileError("The file ends before its storages do.")
    (length,) = struct.unpack("<q", data[place : place + 8])
    size: int = length * storage.item_size
    place += 8
    if length != storage.length or size > len(data) - place:
        raise DamagedFileError("A storage of the file does not have the size it claims.")
    storage.data = data[place : place + size]
    return place + size


def _storage_id(key: object) -> tuple[str, str, int]:
    """Kind, name and length of a storage from the persistent id that torch writes for it."""
    if isinstance(key, tuple) and len(key) >= 5 and key[0] == "storage":
        _, made_with, name, _, length, *_ = key
        if isinstance(made_with, Global) and isinstance(name, str) and type(length) is int:
            kind = KINDS.get(made_with.name.split(".")[-1].removesuffix("Storage"))
            if kind is None:
                raise ForeignModelError(
                    f"The file holds numbers of the kind {made_with.name}, such as of a quantised "
                    "model, which are not read."
                )
            return kind, name, length
    raise DamagedFileError("The file refers to something that is no storage.")


def _storage(kind: str, length: int, data: memoryview | None, big_endian: bool) -> Storage:
    storage = Storage(kind, length, data, big_endian)
    if length < 0 or (data is not None and length * storage.item_size > len(data)):
        raise DamagedFileError("A storage of the file does not have the size it claims.")
    return storage


def read_pickled_torch(data: memoryview) -> object:
    """The object that pickle.dump was given, in which torch writes every storage as a file of its
    own. Raises ForeignModelError."""

    def storage(raw: object, *_: object) -> object:
        inner = memoryview(raw) if isinstance(raw, bytes) else memoryview(b"")
        if not is_legacy_torch(inner):
            raise ForeignModelError("The pickle holds storages in a way that is not read.")
        return read_legacy_torch(inner)

    return read_pickle(data, known={"torch.storage._load_from_bytes": storage})[0]


# -- Safetensors -----------------------------------------------------------------------------------


def is_safetensors(data: memoryview) -> bool:
    if len(data) < 10 or bytes(data[8:9]) != b"{":
        return False
    (length,) = struct.unpack("<Q", data[:8])
    return bool(2 <= length <= MAX_SAFETENSORS_HEADER)


def read_safetensors(data: memoryview) -> tuple[dict[str, StoredTensor], dict[str, str]]:
    """The tensors by name, in the order of their places, and the metadata. Raises
    ForeignModelError."""
    (length,) = struct.unpack("<Q", data[:8])
    if length > len(data) - 8:
        raise DamagedFileError("The safetensors file ends within its header.")
    header = parse_json(data[8 : 8 + length], "the header of the safetensors file")
    if not isinstance(header, dict):
        raise DamagedFileError("The header of the safetensors file is no object.")
    metadata = header.pop("__metadata__", {})
    body = data[8 + length :]
    tensors = {name: _safetensor(entry, body) for name, entry in header.items()}
    ordered = sorted(tensors, key=lambda name: header[name]["data_offsets"])
    return {name: tensors[name] for name in ordered}, (
        metadata if isinstance(metadata, dict) else {}
    )


def _safetensor(entry: object, body: memoryview) -> StoredTensor:
    """A tensor from its entry in the header."""
    fields = entry if isinstance(entry, dict) else {}
    kind, shape = _SAFETENSORS.get(str(fields.get("dtype"))), fields.get("shape")
    offsets = fields.get("data_offsets")
    if kind is None:
        raise ForeignModelError(
            f"The safetensors file holds numbers of the kind {str(fields.get('dtype'))[:20]}, "
            "which are not read."
        )
    if not _are_sizes(shape) or not _are_sizes(offsets) or len(offsets) != 2:
        raise DamagedFileError("The header of the safetensors file is damaged.")
    begin, end = offsets
    data = body[begin:end]
    storage = Storage(kind, 0, data)
    storage.length = len(data) // storage.item_size
    strides, step = [], 1
    for size in reversed(shape):
        strides.append(step)
        step *= size
    if begin > end or end > len(body) or step != storage.length:
        raise DamagedFileError("A tensor of the safetensors file does not have the size it claims.")
    return StoredTensor(storage, 0, tuple(shape), tuple(reversed(strides)))


def _are_sizes(value: object) -> TypeGuard[list[int]]:
    return (
        isinstance(value, list)
        and len(value) <= 8
        and all(type(size) is int and 0 <= size < 1 << 48 for size in value)
    )
