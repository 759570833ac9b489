"""Put the shards of a checkpoint together again."""

import argparse
import json
from pathlib import Path

from gridlstm.commands.options import check_writable
from gridlstm.commands.parsers import Commands
from gridlstm.errors import UserError


def add(commands: Commands) -> None:
    command = commands.add_parser(
        "join",
        help="put the shards of a checkpoint together again",
        description="Write a checkpoint that is in shards as one file, the same that `shard` cut. "
        "Print one JSON object: file, bytes.",
    )
    command.set_defaults(run=_join)
    command.add_argument("index", type=Path, help="NAME.safetensors.index.json, beside its shards")
    command.add_argument("--out", type=Path, required=True, help="the .safetensors file to write")


def _join(options: argparse.Namespace) -> int:
    from gridlstm.checkpoint import is_shard, join

    if options.out.suffix != ".safetensors" or is_shard(options.out):
        raise UserError("--out must end in .safetensors and not be called like a shard.")
    check_writable(options.out)
    join(options.index, options.out)
    print(json.dumps({"file": str(options.out), "bytes": options.out.stat().st_size}))
    return 0
