"""A checkpoint's tensors by name, be they in one file or in shards. Every fault is one sentence."""

import errno
import json
import os
import reprlib
import stat
from collections.abc import Collection, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from gridlstm.array_types import FloatArray
from gridlstm.checkpoint.metadata import METADATA_KEY, CheckpointError
from gridlstm.checkpoint.names import SHARD, index_name, is_index, is_shard, model_name

MAX_INDEX_BYTES = 2**20
# The largest checkpoint's header has 100 kB. A header of the 100 MB that the format allows would
# take more than a gigabyte of memory.
MAX_CHECKPOINT_HEADER_BYTES = 2**22
# What programs put before the names of tensors: torch's `compile` (also in their middle) and
# DistributedDataParallel, and whoever keeps the model as a part of another.
COMPILED = "_orig_mod."
PREFIXES = (COMPILED, "module.", "model.")


class Tensors:
    """Open files read as one: `text` is the document in each, or None if there is none.

    Names are those that the model gave, without what other programs put before them.
    """

    def __init__(self, text: str | None, places: dict[str, "File"]):
        self.text = text
        plain = _plain_names(places)
        self._places = {plain[name]: (file, name) for name, file in places.items()}

    @property
    def names(self) -> set[str]:
        return set(self._places)

    def shape(self, name: str) -> tuple[int, ...]:
        return tuple(self._slice(name).get_shape())

    def kind(self, name: str) -> str:
        """The tensor's type in the words of the format: F16, F32, ..."""
        kind: str = self._slice(name).get_dtype()
        return kind

    def read(self, name: str) -> FloatArray:
        """The tensor as it lies in its file; bfloat16, which NumPy lacks, as float32. Raises
        CheckpointError where the file has become another meanwhile."""
        file, stored = self._places[name]
        shape, as_float32 = self.shape(name), self.kind(name) == "BF16"
        tensor = file.read_bfloat16(stored) if as_float32 else file.read(stored)
        if tensor.shape != shape:
            raise _changed(file.path)
        return tensor

    def _slice(self, name: str) -> Any:  # safetensors has no types of what it gives
        file, stored = self._places[name]
        return file.open.get_slice(stored)


@dataclass(frozen=True)
class File:
    """An open `.safetensors` file, read piece by piece (`backend="pread"`): one that is mapped into
    memory and cut short meanwhile would end the process."""

    path: Path
    open: safe_open

    def read(self, name: str) -> FloatArray:
        try:
            tensor: FloatArray = self.open.get_tensor(name)
        except SafetensorError as error:
            raise _changed(self.path) from error
        return tensor

    def read_bfloat16(self, name: str) -> FloatArray:
        """The same numbers in float32."""
        try:
            with safe_open(self.path, framework="pt", backend="pread") as file:
                tensor: FloatArray = file.get_tensor(name).float().numpy()
        except (SafetensorError, OSError) as error:
            raise _changed(self.path) from error
        return tensor


def _plain_names(names: Collection[str]) -> dict[str, str]:
    """Each name without the prefixes that all of them have, and without what `torch.compile` puts
    into the middle; the names themselves where two would become one."""
    prefix = _common_prefix(names)
    plain = {name: name[len(prefix) :].replace(COMPILED, "") for name in names}
    return plain if len(set(plain.values())) == len(plain) else {name: name for name in names}


def _common_prefix(names: Collection[str]) -> str:
    common = ""
    while longer := [
        common + prefix
        for prefix in PREFIXES
        if names and all(name.startswith(common + prefix) for name in names)
    ]:
        common = longer[0]
    return common


def _changed(path: Path) -> CheckpointError:
    return CheckpointError(f"{path.name} was changed while it was read; try again.")


@contextmanager
def opened(path: Path) -> Iterator[Tensors]:
    """Open a `.safetensors` file, or all the shards that an index names. Raises CheckpointError,
    also at the end if a file was written to meanwhile; one that was replaced is read to its end."""
    with ExitStack() as stack:
        if is_index(path):
            yield _open_shards(path, stack)
        elif is_shard(path):
            raise CheckpointError(
                f"{path.name} is one shard of a checkpoint: give the index, "
                f"{index_name(model_name(path))}."
            )
        else:
            file = _open(path, "This", stack)
            yield Tensors(_text(file), dict.fromkeys(file.open.keys(), file))


def _open(path: Path, called: str, stack: ExitStack) -> File:
    try:
        stack.enter_context(unchanged(path))
        return File(path, stack.enter_context(open_safetensors(path, MAX_CHECKPOINT_HEADER_BYTES)))
    except FileNotFoundError as error:
        index = path.with_name(index_name(model_name(path)))
        instead = f", but its shards: give {index.name}" if index.exists() else ""
        raise CheckpointError(f"There is no file {path.name}{instead}.") from error
    except (SafetensorError, OSError) as error:
        raise CheckpointError(
            f"{called} is not a whole .safetensors file (it may be cut short, or of another "
            "format)."
        ) from error


def open_safetensors(path: Path, max_header: int, framework: str = "numpy") -> safe_open:
    """Open a file with at most `max_header` bytes before its tensors. Raises SafetensorError,
    OSError."""
    with open(path, "rb", opener=_open_regular) as file:
        size = file.read(8)
    if int.from_bytes(size, "little") > max_header:
        raise SafetensorError("The header is too large.")
    return safe_open(path, framework=framework, backend="pread")


def _open_regular(path: str, flags: int) -> int:
    """A handle of a file that can be read to its end, not of a pipe that nobody writes to."""
    handle = os.open(path, flags | getattr(os, "O_NONBLOCK", 0))
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
    return handle


@contextmanager
def unchanged(path: Path) -> Iterator[None]:
    """Within, a file is read. Raises CheckpointError at the end if it was written to meanwhile;
    OSError if it is not there."""
    before = path.stat()
    yield
    try:
        after = path.stat()
    except OSError:
        return  # removed, or replaced: what was opened stays as it was
    same_file = (before.st_dev, before.st_ino) == (after.st_dev, after.st_ino)
    if same_file and (before.st_mtime_ns, before.st_size) != (after.st_mtime_ns, after.st_size):
        raise _changed(path)


def _text(file: File) -> str | None:
    return (file.open.metadata() or {}).get(METADATA_KEY)


# -- Shards ---------------------------------------------------------------------------------------


def _open_shards(index: Path, stack: ExitStack) -> Tensors:
    weight_map = _read_weight_map(index)
    files = {}
    for name in sorted(set(weight_map.values())):
        if not (index.parent / name).is_file():
            raise CheckpointError(f"The shard {name} is missing.")
        files[name] = _open(index.parent / name, name, stack)
    _check_map(weight_map, files)
    texts = {_text(file) for file in files.values()}
    if len(texts) > 1:
        raise CheckpointError("The shards are not of one checkpoint: their metadata differ.")
    return Tensors(texts.pop(), {name: files[shard] for name, shard in weight_map.items()})


def _read_weight_map(index: Path) -> dict[str, str]:
    """The index' map from tensor to shard; each shard has a name that only a shard of it has."""
    try:
        with open(index, "rb") as file:
            content = file.read(MAX_INDEX_BYTES + 1)
    except FileNotFoundError as error:
        raise CheckpointError(f"There is no file {index.name}.") from error
    except OSError as error:
        raise CheckpointError(f"The index {index.name} cannot be read.") from error
    if len(content) > MAX_INDEX_BYTES:
        raise CheckpointError(f"The index is larger than {MAX_INDEX_BYTES // 2**20} MiB.")
    try:
        weight_map: dict[str, str] = json.loads(content)["weight_map"]
        shards = list(weight_map.values())
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise CheckpointError("The index is no JSON document with a weight_map.") from error
    if not shards:
        raise CheckpointError("The index names no shards.")
    for shard in shards:
        if not _is_shard_of(model_name(index), shard):
            raise CheckpointError(
                f"The index names {reprlib.repr(shard)}, which is not the name of a shard of it."
            )
    return weight_map


def _is_shard_of(model: str, name: object) -> bool:
    """A name made of the index' own, so that no other file can be meant, in whatever folder."""
    shard = SHARD.fullmatch(name) if type(name) is str else None
    return shard is not None and shard["model"] == model


def _check_map(weight_map: dict[str, str], files: dict[str, File]) -> None:
    """Each shard must hold just the tensors that the index says it does."""
    for shard, file in files.items():
        held = set(file.open.keys())
        mapped = {name for name, place in weight_map.items() if place == shard}
        for odd, where in (
            (mapped - held, "lacks"),
            (held - mapped, "holds, unknown to the index,"),
        ):
            if odd:
                raise CheckpointError(f"The shard {shard} {where} {reprlib.repr(min(odd))}.")
