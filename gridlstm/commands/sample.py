"""Text that a model writes, as it is written."""

import argparse
import sys
from pathlib import Path

from gridlstm.commands.options import (
    add_checkpoint,
    add_encoding,
    encode_bytes,
    open_checkpoint,
    read_at_most,
)
from gridlstm.commands.parsers import Commands
from gridlstm.text import from_bytes

MAX_PRIME_FILE_BYTES = 10_000_000


def add(commands: Commands) -> None:
    command = commands.add_parser(
        "sample",
        help="text that a model writes",
        description="Let a model read a text and write on: what it writes goes to standard output "
        "token by token (byte by byte or character by character), without the text that it read.",
        epilog="In this order: the logarithms of the model's chances are divided by the "
        "temperature, the top-k likeliest tokens are kept, and of these the fewest likeliest that "
        "together have the chance top-p.",
    )
    command.set_defaults(run=_sample)
    add_checkpoint(command)
    prime = command.add_mutually_exclusive_group(required=True)
    prime.add_argument("--prime", metavar="TEXT", help="what the model reads before it writes")
    prime.add_argument("--prime-file", type=Path, metavar="FILE", help="the same from a file")
    add_encoding(command)
    command.add_argument(
        "--length",
        type=int,
        default=1000,
        help="tokens to write: bytes or characters (%(default)s)",
    )
    command.add_argument(
        "--temperature",
        type=float,
        default=1.0,
        help="below 1 likely tokens come more often, 0 is the likeliest always (%(default)s)",
    )
    command.add_argument("--top-k", type=int, help="only the likeliest so many tokens (all)")
    command.add_argument(
        "--top-p",
        type=float,
        default=1.0,
        help="only the likeliest tokens that together have this chance (%(default)s)",
    )
    command.add_argument(
        "--seed", type=int, default=1, help="of the random numbers; the same, the same text (1)"
    )


def _sample(options: argparse.Namespace) -> int:
    from gridlstm.sampling import Choice, write

    choice = Choice(options.temperature, options.top_k, options.top_p)
    if options.prime_file is None:
        # What the terminal handed over that is not UTF-8 is read as it came.
        prime = options.prime.encode("utf-8", "surrogateescape")
    else:
        prime = _prime(options.prime_file, options.encoding)
    model, _ = open_checkpoint(options.checkpoint)
    prime = encode_bytes(model, prime, "What the model begins with", "utf_8")
    out = sys.stdout.buffer
    for step in write(model, prime, options.length, choice=choice, seed=options.seed):
        out.write(model.vocabulary.bytes_of(step.token))
        out.flush()
    return 0


def _prime(file: Path, encoding: str | None) -> bytes:
    """What the model reads of a file: its text in UTF-8; as it is where it is mostly that, so that
    a text cut in mid-character is gone on with."""
    data = read_at_most(file, MAX_PRIME_FILE_BYTES, "What a model begins with")
    text = from_bytes(data, file.name, encoding=encoding)
    if text.encoding == "utf_8" and text.guessed:
        return data
    if text.note:
        print(text.note, file=sys.stderr)
    return text.data
