"""Checkpoints: weights in `.safetensors` files and, as these files' metadata, one JSON document.

A checkpoint is one file, `NAME.safetensors`, or several, the shards, with an index to them,
`NAME.safetensors.index.json`. Its path is that of the file or that of the index. The format is
described in docs/formats.md. Nothing is ever unpickled.
"""

from gridlstm.checkpoint.metadata import (
    FORMAT_VERSION,
    METADATA_KEY,
    CheckpointError,
    Data,
    Metadata,
)
from gridlstm.checkpoint.names import (
    checkpoint_path,
    index_name,
    is_foreign_name,
    is_index,
    is_shard,
    model_name,
    shards_beside,
)
from gridlstm.checkpoint.opening import open_safetensors, unchanged
from gridlstm.checkpoint.reading import load_model, read_metadata, read_tensors
from gridlstm.checkpoint.shards import join, split
from gridlstm.checkpoint.writing import (
    WriteError,
    remove_unfinished,
    write_aside,
    write_checkpoint,
)

__all__ = [
    "FORMAT_VERSION",
    "METADATA_KEY",
    "CheckpointError",
    "Data",
    "Metadata",
    "WriteError",
    "checkpoint_path",
    "index_name",
    "is_foreign_name",
    "is_index",
    "is_shard",
    "join",
    "load_model",
    "model_name",
    "open_safetensors",
    "read_metadata",
    "read_tensors",
    "remove_unfinished",
    "shards_beside",
    "split",
    "unchanged",
    "write_aside",
    "write_checkpoint",
]
