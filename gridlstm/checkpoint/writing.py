"""Files written so that they are always whole; checkpoints among them."""

import errno
import os
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

import numpy as np

from gridlstm.array_types import FloatArray
from gridlstm.checkpoint.metadata import METADATA_KEY, Metadata, to_text
from gridlstm.errors import UserError
from gridlstm.temporary import remove_left_files, temporary_file

# What systems say of a full disk, and of a limit on what a user or a file may take.
NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class WriteError(UserError):
    """A file for which there is no room; the message is one sentence for the user."""


def write_aside(path: Path, write: Callable[[Path], object]) -> None:
    """Let `write` fill a new file beside `path`, then put it in `path`'s place at one stroke.

    Whatever happens in between, `path` is either the old file or the new one, and whole. Files that
    killed processes left half written beside it are removed. Raises WriteError where the disk is
    full, OSError.
    """
    write_together({path: write})


def write_together(writes: Mapping[Path, Callable[[Path], object]]) -> None:
    """`write_aside` of several files: the first takes its place when the last has been written."""
    with ExitStack() as stack:
        asides = {}
        for path, write in writes.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            remove_unfinished(path)
            with _reporting_full_disk(path):
                aside = stack.enter_context(temporary_file(path.parent, _prefix(path)))
                write(aside)
                with open(aside, "rb") as file:
                    os.fsync(file.fileno())
            os.chmod(aside, 0o644)
            asides[path] = aside
        for path, aside in asides.items():
            os.replace(aside, path)


def remove_unfinished(path: Path) -> None:
    """Remove what `write_aside` left beside `path` in processes that were killed in it."""
    remove_left_files(path.parent, _prefix(path))


def _prefix(path: Path) -> str:
    return f".{path.name}."


@contextmanager
def _reporting_full_disk(path: Path) -> Iterator[None]:
    """Within, a disk without room becomes one sentence about `path`."""
    from safetensors import SafetensorError

    try:
        yield
    except (OSError, SafetensorError) as error:
        number = _error_number(error)
        if number not in NO_ROOM:
            raise
        raise WriteError(
            f"{path.name} could not be written ({os.strerror(number)}): make room on the disk and "
            "try again; what was there before is unchanged."
        ) from error


def _error_number(error: Exception) -> int | None:
    """The system's number of an error; safetensors has it only in its words."""
    if isinstance(error, OSError):
        return error.errno
    number = re.search(r"\(os error ([0-9]+)\)", str(error))
    return int(number[1]) if number else None


def write_checkpoint(path: Path, tensors: Mapping[str, FloatArray], metadata: Metadata) -> None:
    """Write tensors, as they are, and metadata; the file is written aside and renamed."""
    write_tensors(path, tensors, to_text(metadata))


def write_tensors(path: Path, tensors: Mapping[str, FloatArray], text: str) -> None:
    """Write tensors, as they are, and the document that describes them, into one file."""
    write_aside(path, lambda aside: save_tensors(aside, tensors, text))


def save_tensors(aside: Path, tensors: Mapping[str, FloatArray], text: str) -> None:
    """The same straight into a file that nobody reads yet."""
    from safetensors.numpy import save_file

    tensors = {name: np.ascontiguousarray(tensor) for name, tensor in tensors.items()}
    save_file(tensors, aside, metadata={METADATA_KEY: text})
