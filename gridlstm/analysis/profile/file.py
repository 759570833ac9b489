"""A profile's file: a zip of NumPy arrays, `NAME.profile.npz` (docs/formats.md). Nothing in it is
executed, and nothing is allocated before it is sure that it is not too large."""

import io
import json
import math
import os
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from gridlstm.analysis.profile.profile import (
    CONTEXTS,
    HISTOGRAM_BINS,
    WINDOW,
    About,
    Profile,
    ProfileError,
)
from gridlstm.array_types import IntArray
from gridlstm.config import MAX_LAYERS, MAX_UNITS

VERSION = 1
SUFFIX = ".profile.npz"
MAX_FILE_BYTES, MAX_UNPACKED_BYTES = 100 * 10**6, 400 * 10**6
MAX_ABOUT_BYTES = 2**16
BROKEN = "This is no whole profile (NAME.profile.npz): it is damaged, or of another format."


def write_profile(profile: Profile, path: Path) -> None:
    """Write it beside its place first, so that no half of it is ever found there. Raises OSError,
    ProfileError where it would be larger than 100 MB."""
    data = to_bytes(profile)
    aside = path.with_name(f".{path.name}.writing")
    try:
        aside.write_bytes(data)
        os.replace(aside, path)
    finally:
        aside.unlink(missing_ok=True)


def to_bytes(profile: Profile) -> bytes:
    """The file. Raises ProfileError where it would be larger than 100 MB."""
    about = json.dumps({"version": VERSION, **asdict(profile.about)}).encode()
    arrays = {
        name: _smaller(name, getattr(profile, name)) for name in _kinds() if name not in _TEXTS
    }
    text = profile.text.encode("utf-8", "surrogatepass")
    arrays |= {
        "about": np.frombuffer(about, np.uint8),
        "text": np.frombuffer(text, np.uint8),
        "ends": np.packbits(profile.ends),
    }
    file = io.BytesIO()
    np.savez_compressed(file, allow_pickle=False, **arrays)
    if file.tell() > MAX_FILE_BYTES:
        raise ProfileError(
            f"The profile would take {file.tell() / 1e6:.0f} MB, more than "
            f"{MAX_FILE_BYTES // 10**6} MB: ask for less of the text."
        )
    return file.getvalue()


def read_profile(source: Path | bytes, weights: str | None = None) -> Profile:
    """The profile in a file, or in the bytes of one. Raises ProfileError where it is broken, too
    large, or of a model whose weights have another checksum than `weights`."""
    try:
        with open(source, "rb") if isinstance(source, Path) else io.BytesIO(source) as file:
            profile = _read(file)
    except FileNotFoundError as error:
        raise ProfileError(f"There is no file {source!s}.") from error
    except _FAULTS as error:
        raise ProfileError(BROKEN) from error
    if weights is not None and profile.about.weights != weights:
        raise ProfileError("This profile is of another model: the weights' checksums differ.")
    return profile


# What zipfile, zlib, NumPy and json raise where a file is not what it says.
_FAULTS = (
    OSError,
    ValueError,
    TypeError,
    KeyError,
    EOFError,
    RecursionError,
    NotImplementedError,
    RuntimeError,
    zipfile.BadZipFile,
    zlib.error,
)
_TEXTS = ("about", "text", "ends")
_STRINGS = ("weights", "corpus", "title", "half_life_of")


def _smaller(name: str, array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """In the type of the file: shares and scores need no more than float16."""
    return np.asarray(array).astype(_kinds()[name])


def _kinds() -> dict[str, str]:
    """The type of each array in the file."""
    other = {"contexts": "<i4", "sampled": "<i4", "half_life": "<i4"}
    bytes_ = {"coloured": "|i1", "samples": "|i1", "ends": "|u1", "text": "|u1", "about": "|u1"}
    return {field.name: (other | bytes_).get(field.name, "<f2") for field in fields(Profile)}


def _read(file: BinaryIO) -> Profile:
    with zipfile.ZipFile(file) as packed:
        sizes = {entry.filename: entry.file_size for entry in packed.infolist()}
        if set(sizes) != {f"{name}.npy" for name in _kinds()} or len(sizes) != len(
            packed.infolist()
        ):
            raise ValueError("other arrays than a profile's")
        if sum(sizes.values()) > MAX_UNPACKED_BYTES or sizes["about.npy"] > MAX_ABOUT_BYTES:
            raise ValueError("too large")
        about = _about(_array(packed, "about", sizes).tobytes())
        arrays = {name: _array(packed, name, sizes) for name in _kinds() if name != "about"}
    text = arrays.pop("text").tobytes().decode("utf-8", "surrogatepass")
    bits = arrays.pop("ends").astype(np.uint8, copy=False)
    if not 0 < about.positions <= len(bits) * 8:
        raise ValueError("positions")
    ends = np.unpackbits(bits, count=about.positions).astype(bool)
    _check(about, arrays, len(text), int(ends.sum()))
    wide: dict[str, Any] = {
        name: array.astype(np.float32) if array.dtype == np.float16 else array
        for name, array in arrays.items()
    }
    return Profile(about=about, text=text, ends=ends, **wide)


def _array(packed: zipfile.ZipFile, name: str, sizes: Mapping[str, int]) -> IntArray:
    """One array, once its header promises no more than the archive holds of it."""
    with packed.open(f"{name}.npy") as stream:
        version = np.lib.format.read_magic(stream)
        if version != (1, 0):
            raise ValueError("version of the array")
        shape, is_fortran, kind = np.lib.format.read_array_header_1_0(stream)
        size = math.prod(shape) * kind.itemsize
        if kind != np.dtype(_kinds()[name]) or is_fortran or size > sizes[f"{name}.npy"]:
            raise ValueError(f"the array {name}")
        data = stream.read(size)
        if len(data) != size or stream.read(1):
            raise ValueError(f"the length of {name}")
    return np.frombuffer(data, kind).reshape(shape)


def _about(document: bytes) -> About:
    found: dict[str, Any] = json.loads(document)
    if found.pop("version") != VERSION:
        raise ValueError("version")
    parts: dict[str, Any] = {k: tuple(v) if type(v) is list else v for k, v in found.items()}
    about = About(**parts)
    for name, value in asdict(about).items():
        kind = int if name in ("positions", "stretches") else str if name in _STRINGS else tuple
        names = value if kind is tuple else ()
        if type(value) is not kind or not all(type(part) is str for part in names):
            raise ValueError(name)
    if set(about.measures) - {"auc", "rho"} or len(about.measures) != len(about.properties):
        raise ValueError("measures")
    return about


def _check(about: About, arrays: Mapping[str, IntArray], characters: int, ends: int) -> None:
    """Raise ValueError unless the shapes fit each other and contexts lie in the text."""
    quantities, layers, units, bins = arrays["histogram"].shape
    memories, properties = len(about.memories), len(about.properties)
    samples = len(arrays["sampled"])
    expected = {
        "histogram": (len(about.quantities), layers, units, HISTOGRAM_BINS),
        "above": (quantities, layers, units),
        "below": (quantities, layers, units),
        "contexts": (memories, layers, units, CONTEXTS),
        "coloured": (memories, layers, units, CONTEXTS, WINDOW),
        "sampled": (samples,),
        "samples": (memories, layers, units, samples),
        "found": (memories, layers, units, properties),
        "held_out": (memories, layers, units, properties),
        "chance": (properties,),
        "half_life": (layers, units),
        "shares": (layers, units, layers),
    }
    if any(arrays[name].shape != shape for name, shape in expected.items()):
        raise ValueError("shapes")
    if not (1 <= layers <= MAX_LAYERS and 1 <= units <= MAX_UNITS and memories and samples):
        raise ValueError("sizes")
    if ends != characters or not set(about.memories) <= set(about.quantities):
        raise ValueError("text")
    for name in ("contexts", "sampled"):
        if arrays[name].min() < -1 or arrays[name].max() >= about.positions:
            raise ValueError(name)
