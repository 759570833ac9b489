"""Files written so that they are always whole; checkpoints among them."""

import os
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np

from gridlstm.checkpoint.metadata import METADATA_KEY, Metadata, to_text


def write_aside(path: Path, write: Callable[[Path], None]) -> None:
    """Let `write` fill a new file beside `path`, then put it in `path`'s place at one stroke.

    Whatever happens in between, `path` is either the old file or the new one, and whole.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, aside = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    os.close(handle)
    try:
        write(Path(aside))
        with open(aside, "rb") as file:
            os.fsync(file.fileno())
        os.chmod(aside, 0o644)
        os.replace(aside, path)
    except BaseException:
        Path(aside).unlink(missing_ok=True)
        raise


def write_checkpoint(path: Path, tensors: dict[str, np.ndarray], metadata: Metadata) -> None:
    """Write tensors, as they are, and metadata; the file is written aside and renamed."""
    write_tensors(path, tensors, to_text(metadata))


def write_tensors(path: Path, tensors: dict[str, np.ndarray], text: str) -> None:
    """Write tensors, as they are, and the document that describes them, into one file."""
    from safetensors.numpy import save_file

    tensors = {name: np.ascontiguousarray(tensor) for name, tensor in tensors.items()}
    write_aside(path, lambda aside: save_file(tensors, aside, metadata={METADATA_KEY: text}))
