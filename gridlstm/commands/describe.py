"""What checkpoints say about themselves."""

import argparse
import json
from dataclasses import asdict
from pathlib import Path


def add(commands) -> None:
    command = commands.add_parser(
        "describe",
        help="what checkpoints say about themselves",
        description="Print one JSON object a checkpoint: all its metadata.",
    )
    command.set_defaults(run=_describe)
    command.add_argument("checkpoints", type=Path, nargs="+", help=".safetensors files")


def _describe(options: argparse.Namespace) -> int:
    from gridlstm.checkpoint import read_metadata

    for path in options.checkpoints:
        print(json.dumps({"file": path.name, **asdict(read_metadata(path))}))
    return 0
