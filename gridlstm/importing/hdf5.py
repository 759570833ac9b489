"""HDF5 files as attributes and arrays, read in a process of its own (see `hdf5_process`)."""

import importlib.util
import math
import os
import struct
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gridlstm.array_types import NumberArray
from gridlstm.importing.errors import DamagedFileError, ForeignModelError
from gridlstm.importing.json_files import parse_json
from gridlstm.importing.tensors import Storage

SIGNATURE = b"\x89HDF\r\n\x1a\n"
MAX_HDF5 = 1 << 30
TIMEOUT = 60
_PROCESS = Path(__file__).with_name("hdf5_process.py")
# Neither plugins that a file asks for nor threads, which each take memory.
_ENVIRONMENT = {"HDF5_PLUGIN_PRELOAD": "::", "OPENBLAS_NUM_THREADS": "1"}
# Of this process' own environment what a Python needs to start.
_KEPT = ("PATH", "LD_LIBRARY_PATH", "SYSTEMROOT", "TMPDIR", "TEMP", "HOME")


@dataclass(frozen=True, eq=False)
class Hdf5:
    """Attributes by the paths of their groups (the root's is ""), arrays by their paths, and of
    datasets that hold no floating-point numbers in the file itself the kind."""

    attributes: dict[str, dict[str, Any]]
    arrays: dict[str, NumberArray]
    others: dict[str, str]

    def attribute(self, path: str, name: str) -> object:
        return self.attributes.get(path, {}).get(name)

    def listed(self, path: str, name: str) -> list[str]:
        """An attribute that is a list of strings; Keras cuts a long one into NAME0, NAME1, …"""
        own = self.attributes.get(path, {})
        parts = [own[name]] if name in own else []
        while isinstance(own.get(f"{name}{len(parts)}"), list) and name not in own:
            parts.append(own[f"{name}{len(parts)}"])
        return [text for part in parts if isinstance(part, list) for text in part if text]

    def within(self, path: str) -> dict[str, NumberArray]:
        """The arrays in a group by what their paths are within it."""
        prefix = f"{path}/" if path else ""
        return {
            name.removeprefix(prefix): array
            for name, array in self.arrays.items()
            if name.startswith(prefix)
        }


def is_hdf5(data: memoryview) -> bool:
    return bytes(data[:8]) == SIGNATURE


def read_hdf5(data: memoryview) -> Hdf5:
    """All attributes and arrays but an optimiser's. Raises DamagedFileError, ForeignModelError."""
    _check_superblock(data)
    if importlib.util.find_spec("h5py") is None:
        raise ForeignModelError("To read HDF5 files, h5py must be installed: pip install h5py.")
    environment = {name: os.environ[name] for name in _KEPT if name in os.environ}
    try:
        done = subprocess.run(
            [sys.executable, "-I", str(_PROCESS)],
            input=data,
            capture_output=True,
            timeout=TIMEOUT,
            env={**environment, **_ENVIRONMENT},
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise DamagedFileError("The HDF5 file is damaged: reading it came to no end.") from error
    if done.returncode:
        raise DamagedFileError("The HDF5 file is damaged: its library cannot read it.")
    return _of_output(memoryview(done.stdout))


def _check_superblock(data: memoryview) -> None:
    """What can be told before the library in C sees it: version, widths and the end of the file."""
    if len(data) > MAX_HDF5:
        raise ForeignModelError("The HDF5 file is too large.")
    if len(data) < 96:
        raise DamagedFileError("The HDF5 file ends too soon.")
    version = data[8]
    widths = data[13:15] if version < 2 else data[9:11]
    if version > 3 or bytes(widths) != b"\x08\x08":
        raise DamagedFileError("The HDF5 file is of a version that is not read, or damaged.")
    # The base address, then the end of file, behind two other addresses or one.
    place = {0: 40, 1: 44}.get(version, 28)
    (end,) = struct.unpack("<Q", data[place : place + 8])
    if end > len(data):
        raise DamagedFileError("The HDF5 file was cut short.")


def _of_output(output: memoryview) -> Hdf5:
    (length,) = struct.unpack("<Q", output[:8])
    header = parse_json(output[8 : 8 + length], "the HDF5 file")
    body = output[8 + length :]
    arrays, others = {}, {}
    for path, entry in header["datasets"].items():
        if "place" not in entry:
            others[path] = entry["kind"]
            continue
        count = math.prod(entry["shape"])
        storage = Storage(entry["kind"], count, body[entry["place"] :])
        arrays[path] = storage.numbers().reshape(entry["shape"])
    return Hdf5(header["attributes"], arrays, others)
