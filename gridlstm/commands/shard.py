"""Cut a checkpoint into files of a limited size."""

import argparse
import json
import re
from pathlib import Path

from gridlstm.commands.options import check_writable
from gridlstm.commands.parsers import Commands

UNITS = {"": 1, "kB": 10**3, "MB": 10**6, "GB": 10**9, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30}


def add(commands: Commands) -> None:
    command = commands.add_parser(
        "shard",
        help="cut a checkpoint into files of a limited size",
        description="Write a checkpoint as shards, NAME-00001-of-0000N.safetensors, with their "
        "index, NAME.safetensors.index.json, which every command takes like the one file. Print "
        "one JSON object: index, shards, bytes (of all tensors). `join` puts them together again.",
    )
    command.set_defaults(run=_shard)
    command.add_argument("checkpoint", type=Path, help="a .safetensors file, or an index")
    command.add_argument(
        "--most",
        type=size,
        default="16MiB",
        metavar="SIZE",
        help=f"the size of the largest file, in bytes or with {', '.join(UNITS)[2:]} (%(default)s)",
    )
    command.add_argument(
        "--out", type=Path, metavar="FOLDER", help="where to (beside the checkpoint)"
    )


def size(text: str) -> int:
    """A number of bytes, such as 16777216, 16MiB or 1.5 MB."""
    parts = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?) ?([A-Za-z]*)", text)
    if parts is None or parts[2] not in UNITS:
        raise argparse.ArgumentTypeError(f"{text!r} is no size such as 16MiB")
    return int(float(parts[1]) * UNITS[parts[2]])


def _shard(options: argparse.Namespace) -> int:
    from gridlstm.checkpoint import split

    folder = options.out or options.checkpoint.parent
    check_writable(folder / "shard")
    index = split(options.checkpoint, folder, options.most)
    document = json.loads(index.read_text(encoding="utf-8"))
    shards = sorted(set(document["weight_map"].values()))
    total = document["metadata"]["total_size"]
    print(json.dumps({"index": str(index), "shards": shards, "bytes": total}))
    return 0
