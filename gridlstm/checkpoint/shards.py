"""A checkpoint cut into files that a limit on their size lets through, and put together again."""

import json
import math
from functools import partial
from pathlib import Path

from gridlstm.checkpoint.metadata import CheckpointError
from gridlstm.checkpoint.names import index_name, model_name, shard_name, shards_beside
from gridlstm.checkpoint.opening import Tensors, opened
from gridlstm.checkpoint.reading import checked
from gridlstm.checkpoint.writing import save_tensors, write_tensors, write_together

MAX_SHARD_BYTES = 16 * 2**20
# As they are written: bfloat16 in float32.
ITEM_BYTES = {"F16": 2, "BF16": 4, "F32": 4, "F64": 8}
# What a file's header needs besides names and the document: at most so much for each tensor (type,
# shape of two axes, place in the file) and for the rest.
TENSOR_HEADER = 128
FILE_HEADER = 128


def split(path: Path, folder: Path, max_bytes: int = MAX_SHARD_BYTES) -> Path:
    """Write a checkpoint into `folder` as shards, files of at most `max_bytes`; return the index.

    The tensors stay of the type that they are (bfloat16 becomes float32), each whole in one shard.
    Every shard holds the checkpoint's document. Shards of this name from an earlier time are
    replaced. Raises CheckpointError, also where a single tensor is too large, WriteError, OSError.
    """
    model, index = model_name(path), folder / index_name(model_name(path))
    with opened(path) as tensors:
        checked(tensors)
        groups = _pack(tensors, max_bytes)
        names = [shard_name(model, n, len(groups)) for n in range(1, len(groups) + 1)]
        document = {
            "metadata": {"total_size": sum(_bytes(tensors, name) for name in tensors.names)},
            "weight_map": {
                tensor: name for name, group in zip(names, groups, strict=True) for tensor in group
            },
        }
        text = json.dumps(document, indent=2, ensure_ascii=False) + "\n"
        # Together: the shards may be cut from those that they replace.
        write_together(
            {
                folder / name: partial(_write_shard, tensors, group)
                for name, group in zip(names, groups, strict=True)
            }
            | {index: lambda aside: aside.write_text(text, encoding="utf-8")}
        )
    for path in shards_beside(index):
        if path.name not in names:
            path.unlink()
    return index


def _write_shard(tensors: Tensors, group: list[str], aside: Path) -> None:
    assert tensors.text is not None  # as it was `checked`
    save_tensors(aside, {name: tensors.read(name) for name in group}, tensors.text)


def join(index: Path, out: Path) -> None:
    """Write the checkpoint that an index names as the one file `out`. Raises CheckpointError,
    WriteError, OSError."""
    with opened(index) as tensors:
        checked(tensors)
        assert tensors.text is not None
        whole = {name: tensors.read(name) for name in tensors.names}
        write_tensors(out, whole, tensors.text)


def _pack(tensors: Tensors, max_bytes: int) -> list[list[str]]:
    """The names of the tensors in each shard, in the order of the names."""
    document = len(json.dumps(tensors.text, ensure_ascii=False).encode())
    room = max_bytes - FILE_HEADER - document
    groups: list[list[str]] = []
    left = -1
    for name in sorted(tensors.names):
        needed = TENSOR_HEADER + len(name) + _bytes(tensors, name)
        if needed > room:
            raise CheckpointError(
                f"The tensor {name} alone needs a shard of {max_bytes - room + needed:,} bytes, "
                f"more than the {max_bytes:,} that one may have."
            )
        if needed > left:
            groups.append([])
            left = room
        groups[-1].append(name)
        left -= needed
    return groups


def _bytes(tensors: Tensors, name: str) -> int:
    return math.prod(tensors.shape(name)) * ITEM_BYTES[tensors.kind(name)]
