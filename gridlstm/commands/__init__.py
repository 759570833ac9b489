"""The commands, thin: they read options, call the library, and print.

Each module here is one command: `add(commands)` declares its options and what runs it.
"""

import argparse
import os
import sys
import typing

from gridlstm.commands import (
    ablate,
    app,
    carried_up,
    compare,
    corpus,
    describe,
    direction,
    evaluate,
    experiment,
    find,
    import_model,
    join,
    memory_horizon,
    probe,
    profile,
    provenance,
    sample,
    shard,
    trace,
    train,
)
from gridlstm.errors import UserError

COMMANDS = (
    app,
    train,
    evaluate,
    trace,
    sample,
    describe,
    direction,
    shard,
    join,
    corpus,
    find,
    memory_horizon,
    probe,
    profile,
    ablate,
    provenance,
    carried_up,
    compare,
    experiment,
    import_model,
)


def run(arguments: list[str]) -> int:
    """Run one command; return the exit status."""
    options = _parser().parse_args(arguments)
    try:
        status: int = options.run(options)
        sys.stdout.flush()
        return status
    except BrokenPipeError:
        # Who reads has had enough. Nothing more goes there, not even when Python ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (UserError, OSError) as error:
        print(f"gridlstm {options.command}: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"gridlstm {options.command}: interrupted.", file=sys.stderr)
        return 130


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> typing.NoReturn:
        """Say what is wrong in one line; argparse would print the usage before it."""
        self.exit(2, f"{self.prog}: {message}\n")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="gridlstm",
        description="Look into, evaluate and train character-level recurrent models.",
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for command in COMMANDS:
        command.add(commands)
    return parser
