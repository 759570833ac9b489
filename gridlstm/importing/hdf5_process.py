"""A process of its own that reads one HDF5 file: its standard input, as arrays on its output.

HDF5 is read by a library in C that damaged files have crashed and hung (h5py issue 1183, HDF5 issue
1707, CVE-2024-29157 and others), and a process can be ended. It imports nothing of this package.

What is written: eight bytes, the length of a JSON header; the header, with the attributes of groups
by their paths and kind, shape and place of every dataset; and the datasets, one after the other.
"""

import io
import json
import math
import struct
import sys
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt

MAX_HDF5_OBJECTS = 20_000
MAX_GROUP_DEPTH = 32
MAX_ATTRIBUTES = 16 << 20
MAX_SECONDS = 20
# Address space that Python, NumPy and HDF5 themselves want, and how many times the file besides.
MAX_OWN_MEMORY = 1 << 30
MAX_TIMES_FILE = 6
# What an optimiser keeps is as large as the model and of no use here.
PASSED_OVER = ("optimizer_weights", "optimizer", "_optimizer")


def limit(size: int) -> None:
    """Ask the system to end this process before it takes too much."""
    try:
        import resource
    except ImportError:  # Windows has no such limits; the parent's time limit stays.
        return
    memory = MAX_OWN_MEMORY + MAX_TIMES_FILE * size
    for what, most in (
        (resource.RLIMIT_AS, memory),
        (resource.RLIMIT_CPU, MAX_SECONDS),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_CORE, 0),
    ):
        resource.setrlimit(what, (most, most))


class Reading:
    """The attributes and datasets found so far."""

    def __init__(self, size: int) -> None:
        self.room = 2 * size + (1 << 20)
        self.attributes: dict[str, dict[str, Any]] = {}
        self.datasets: dict[str, dict[str, Any]] = {}
        self.arrays: list[npt.NDArray[Any]] = []
        self.seen: set[int] = set()
        self.written = self.told = self.count = 0

    def group(self, group: h5py.Group, path: str, depth: int) -> None:
        """All that is in a group; objects are read once, links to other files never."""
        address = h5py.h5o.get_info(group.id).addr
        if address in self.seen:
            return
        self.seen.add(address)
        self.attributes[path] = self.attributes_of(group)
        for name in group:
            self.count += 1
            if self.count > MAX_HDF5_OBJECTS or depth > MAX_GROUP_DEPTH:
                raise ValueError("too many objects")
            if (depth == 0 and name in PASSED_OVER) or not isinstance(
                group.get(name, getlink=True), h5py.HardLink
            ):
                continue
            found = group[name]
            if isinstance(found, h5py.Group):
                self.group(found, f"{path}/{name}".strip("/"), depth + 1)
            elif isinstance(found, h5py.Dataset):
                self.dataset(found, f"{path}/{name}".strip("/"))

    def attributes_of(self, group: h5py.Group) -> dict[str, Any]:
        found = {}
        for name in group.attrs:
            told = group.attrs.get_id(name)
            self.told += math.prod(told.shape or ()) * told.dtype.itemsize
            if self.told > MAX_ATTRIBUTES:
                raise ValueError("too large attributes")
            value = plain(group.attrs[name])
            self.told += len(value) if isinstance(value, str) else 0
            found[name] = value
        return found

    def dataset(self, dataset: h5py.Dataset, path: str) -> None:
        kind = f"{dataset.dtype.kind}{dataset.dtype.itemsize}"
        entry = self.datasets[path] = {"kind": kind, "shape": list(dataset.shape or ())}
        if dataset.external or dataset.is_virtual or kind not in ("f2", "f4", "f8"):
            return
        self.room -= dataset.size * dataset.dtype.itemsize
        if self.room < 0 or dataset.ndim > 8:
            raise ValueError("larger than the file")
        array = np.ascontiguousarray(dataset[()]).astype(f"<{kind}", copy=False)
        entry["place"] = self.written
        self.written += array.nbytes
        self.arrays.append(array)


def plain(value: object) -> object:
    """An attribute as JSON has it; None if it is neither a string, a list of strings nor a
    number."""
    if isinstance(value, h5py.Empty):
        return None
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if isinstance(value, np.ndarray):
        return [plain(one) for one in value.tolist()] if value.ndim == 1 else None
    if isinstance(value, np.generic):
        return plain(value.item())
    return value if isinstance(value, str | int | float) else None


def main() -> None:
    data = sys.stdin.buffer.read()
    limit(len(data))
    reading = Reading(len(data))
    with h5py.File(io.BytesIO(data), "r") as file:
        reading.group(file, "", 0)
    header = {"attributes": reading.attributes, "datasets": reading.datasets}
    text = json.dumps(header).encode()
    out = sys.stdout.buffer
    out.write(struct.pack("<Q", len(text)))
    out.write(text)
    for array in reading.arrays:
        out.write(array.data if array.ndim else array.tobytes())
    out.flush()


if __name__ == "__main__":
    try:
        main()
    except Exception as error:
        sys.exit(f"{type(error).__name__}: {error}"[:500])
