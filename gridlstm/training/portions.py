"""The results of runs in portions, for a connection that lets only so much through at a time."""

import shutil
from collections.abc import Sequence
from pathlib import Path

from gridlstm.checkpoint import split

# A matrix of a model of 1000 units has 15.3 MiB in half precision, and lies in one file.
MAX_FILE_BYTES = 31 * 2**19
MAX_PORTION_FILES, MAX_PORTION_BYTES = 8, 64 * 2**20


def write_portions(files: Sequence[Path], checkpoints: Sequence[Path], folder: Path) -> list[Path]:
    """Write copies of files, and checkpoints as shards with their index, into the folders 1, 2, …
    of `folder`, which is emptied; return those. What is named first lies in the first ones that
    have room. The files of all of them together in one folder are what `join` reads.

    Raises CheckpointError where a checkpoint cannot be cut so small.
    """
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    ready = [Path(shutil.copy(file, folder)) for file in files]
    for checkpoint in checkpoints:
        index = split(checkpoint, folder, MAX_FILE_BYTES)
        shards = sorted(set(folder.iterdir()) - set(ready) - {index})
        ready += [index, *shards]
    portions = []
    for number, paths in enumerate(pack(ready), start=1):
        portions.append(folder / str(number))
        portions[-1].mkdir()
        for path in paths:
            path.rename(portions[-1] / path.name)
    return portions


def pack(files: Sequence[Path]) -> list[list[Path]]:
    """Files by portions: each, in their order, in the first one that has room for it."""
    portions: list[list[Path]] = []
    left: list[int] = []
    for file in files:
        size = file.stat().st_size
        for number, paths in enumerate(portions):
            if size <= left[number] and len(paths) < MAX_PORTION_FILES:
                break
        else:
            number = len(portions)
            portions.append([])
            left.append(MAX_PORTION_BYTES)
        portions[number].append(file)
        left[number] -= size
    return portions
