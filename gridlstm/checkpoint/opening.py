"""A checkpoint's tensors by name, be they in one file or in shards. Every fault is one sentence."""

import json
import reprlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open

from gridlstm.checkpoint.metadata import METADATA_KEY, CheckpointError
from gridlstm.checkpoint.names import SHARD, index_name, is_index, is_shard, model_name

MOST_INDEX_BYTES = 2**20


class Tensors:
    """Open files read as one: `text` is the document in each, or None if there is none."""

    def __init__(self, text: str | None, places: dict[str, safe_open]):
        self.text = text
        self._places = places

    @property
    def names(self) -> set[str]:
        return set(self._places)

    def shape(self, name: str) -> tuple[int, ...]:
        return tuple(self._places[name].get_slice(name).get_shape())

    def kind(self, name: str) -> str:
        """The tensor's type in the words of the format: F16, F32, ..."""
        return self._places[name].get_slice(name).get_dtype()

    def read(self, name: str) -> np.ndarray:
        """The tensor as it lies in its file."""
        return self._places[name].get_tensor(name)


@contextmanager
def opened(path: Path) -> Iterator[Tensors]:
    """Open a `.safetensors` file, or all the shards that an index names. Raises CheckpointError."""
    with ExitStack() as stack:
        if is_index(path):
            yield _open_shards(path, stack)
        elif is_shard(path):
            raise CheckpointError(
                f"{path.name} is one shard of a checkpoint: give the index, "
                f"{index_name(model_name(path))}."
            )
        else:
            file = stack.enter_context(_open(path, "This"))
            yield Tensors(_text(file), dict.fromkeys(file.keys(), file))


def _open(path: Path, called: str) -> safe_open:
    try:
        return safe_open(path, framework="numpy")
    except FileNotFoundError as error:
        index = path.with_name(index_name(model_name(path)))
        instead = f", but its shards: give {index.name}" if index.exists() else ""
        raise CheckpointError(f"There is no file {path.name}{instead}.") from error
    except (SafetensorError, OSError) as error:
        raise CheckpointError(
            f"{called} is not a whole .safetensors file (it may be cut short, or of another "
            "format)."
        ) from error


def _text(file: safe_open) -> str | None:
    return (file.metadata() or {}).get(METADATA_KEY)


# -- Shards ---------------------------------------------------------------------------------------


def _open_shards(index: Path, stack: ExitStack) -> Tensors:
    weight_map = _read_weight_map(index)
    files = {}
    for name in sorted(set(weight_map.values())):
        if not (index.parent / name).is_file():
            raise CheckpointError(f"The shard {name} is missing.")
        files[name] = stack.enter_context(_open(index.parent / name, name))
    _check_map(weight_map, files)
    texts = {_text(file) for file in files.values()}
    if len(texts) > 1:
        raise CheckpointError("The shards are not of one checkpoint: their metadata differ.")
    return Tensors(texts.pop(), {name: files[shard] for name, shard in weight_map.items()})


def _read_weight_map(index: Path) -> dict[str, str]:
    """The index' map from tensor to shard; each shard has a name that only a shard of it has."""
    try:
        with open(index, "rb") as file:
            content = file.read(MOST_INDEX_BYTES + 1)
    except FileNotFoundError as error:
        raise CheckpointError(f"There is no file {index.name}.") from error
    except OSError as error:
        raise CheckpointError(f"The index {index.name} cannot be read.") from error
    if len(content) > MOST_INDEX_BYTES:
        raise CheckpointError(f"The index is larger than {MOST_INDEX_BYTES // 2**20} MiB.")
    try:
        weight_map = json.loads(content)["weight_map"]
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


def _check_map(weight_map: dict[str, str], files: dict[str, safe_open]) -> None:
    """Each shard must hold just the tensors that the index says it does."""
    for shard, file in files.items():
        held = set(file.keys())
        mapped = {name for name, place in weight_map.items() if place == shard}
        for odd, where in (
            (mapped - held, "lacks"),
            (held - mapped, "holds, unknown to the index,"),
        ):
            if odd:
                raise CheckpointError(f"The shard {shard} {where} {reprlib.repr(min(odd))}.")
