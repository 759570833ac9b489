"""Everything inside a model while it reads a file."""

import argparse
from pathlib import Path
from typing import Any

from gridlstm.commands.bar import progress_bar
from gridlstm.commands.options import (
    add_checkpoint_and_file,
    check_writable,
    encode_bytes,
    open_checkpoint,
    read_at_most,
)
from gridlstm.commands.parsers import Commands

# A trace takes some 10 kB a byte on disk, and the distributions alone half a kilobyte of memory.
MAX_TRACED_BYTES = 2_000_000


def add(commands: Commands) -> None:
    command = commands.add_parser(
        "trace",
        help="everything inside a model while it reads a file",
        description="Write each quantity [layer, position, unit], the loss in nats [position], the "
        "tokens that were read [position] and the distribution of the token after each, next_token "
        "[position, token], to an .npz file. A position is a token of the model: a byte or, of "
        "models of other programs, mostly a character. The file may have "
        f"{MAX_TRACED_BYTES:,} bytes at most.",
    )
    command.set_defaults(run=_trace)
    add_checkpoint_and_file(command)
    command.add_argument("--out", type=Path, required=True, help="the .npz file to write")
    command.add_argument(
        "--quantities", nargs="+", help="such as time.cell depth.forget (all, unless given)"
    )
    command.add_argument(
        "--dtype", choices=("float16", "float32"), default="float16", help="type of the values"
    )


def _trace(options: argparse.Namespace) -> int:
    import numpy as np

    from gridlstm.checkpoint import write_aside
    from gridlstm.trace import trace

    check_writable(options.out)
    model, _ = open_checkpoint(options.checkpoint)
    data = read_at_most(options.file, MAX_TRACED_BYTES, "A text that is traced")
    text = encode_bytes(model, data, options.file.name)
    with progress_bar("tracing") as progress:
        traced = trace(
            model,
            text,
            options.quantities,
            dtype=getattr(np, options.dtype),
            progress=progress,
        )

    def write(aside: Path) -> None:
        with open(aside, "wb") as file:
            arrays: dict[str, Any] = {
                **traced.values,
                "loss": traced.loss,
                "next_token": traced.next_token,
                "tokens": traced.tokens,
            }
            np.savez(file, **arrays)

    write_aside(options.out, write)
    return 0
