"""How the files of a checkpoint are called, as users of safetensors know it."""

import re
from pathlib import Path

ENDING = ".safetensors"
INDEX_ENDING = ".safetensors.index.json"
# Files of other programs that are one model each, by how their names end; of models in several
# files, that which lists the others.
FOREIGN_ENDINGS = (".t7", ".pt", ".pth", ".net", ".ckpt", ".h5", ".hdf5", ".keras")
LISTS = (".index", "manifest.json", "model.json")
SHARD = re.compile(r"(?P<model>.+)-[0-9]{5}-of-[0-9]{5}\.safetensors", re.DOTALL)


def index_name(model: str) -> str:
    return model + INDEX_ENDING


def shard_name(model: str, number: int, count: int) -> str:
    """The name of shard `number`, counted from 1, of `count`."""
    return f"{model}-{number:05}-of-{count:05}{ENDING}"


def is_index(path: Path) -> bool:
    return path.name.endswith(INDEX_ENDING)


def is_shard(path: Path) -> bool:
    return SHARD.fullmatch(path.name) is not None


def is_foreign_name(name: str) -> bool:
    """Whether a file in a folder of models is to be taken for another program's, by its name."""
    name = name.lower()
    return name.endswith((*FOREIGN_ENDINGS, *LISTS)) and not name.endswith(INDEX_ENDING)


def model_name(path: Path) -> str:
    """What stands before the ending of a checkpoint's file, index or shard."""
    if shard := SHARD.fullmatch(path.name):
        return shard["model"]
    return path.name.removesuffix(INDEX_ENDING) if is_index(path) else path.stem


def shards_beside(index: Path) -> list[Path]:
    """All files beside an index that are called like shards of it, in order."""
    siblings = index.parent.iterdir()
    return sorted(p for p in siblings if is_shard(p) and model_name(p) == model_name(index))


def checkpoint_path(folder: Path, model: str) -> Path:
    """Where a folder holds the checkpoint of that name: its index if only that is there."""
    whole, index = folder / (model + ENDING), folder / index_name(model)
    return index if index.exists() and not whole.exists() else whole
