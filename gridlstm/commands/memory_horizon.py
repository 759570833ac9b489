"""How far back each layer of a model remembers."""

import argparse

from gridlstm.commands.bar import progress_bar
from gridlstm.commands.options import (
    add_checkpoint_and_file,
    add_encoding,
    add_json,
    encode_text,
    open_checkpoint,
    print_frame,
    read_text,
)
from gridlstm.commands.parsers import Commands

# The places that are looked at lie in so much of a file.
MAX_BYTES = 20_000


def add(commands: Commands) -> None:
    command = commands.add_parser(
        "memory-horizon",
        help="how far back each layer remembers",
        description="Begin in the middle of a text from the blank state, at 8 places, and print "
        "the greatest difference between any unit's memory and that of an uninterrupted reading "
        "after 512, 1,024 and 2,048 positions, a row a layer. Where it is not small, a model that "
        "is to be read from the middle of a text needs a longer warm-up than that.",
    )
    command.set_defaults(run=_memory_horizon)
    add_checkpoint_and_file(command)
    command.add_argument(
        "--bytes",
        type=int,
        default=MAX_BYTES,
        help="how much of the file's beginning is read (%(default)s)",
    )
    add_encoding(command)
    add_json(command)


def _memory_horizon(options: argparse.Namespace) -> int:
    from gridlstm.analysis.memory_horizon import memory_horizon

    model, _ = open_checkpoint(options.checkpoint)
    text = read_text(options.file, options.encoding, max(0, options.bytes))
    encoded = encode_text(model, text)
    with progress_bar("reading") as progress:
        frame = memory_horizon(model, encoded.tokens, progress=progress)
    if options.json:
        print_frame(frame, as_json=True)
    else:
        print(frame.to_string(index=False, float_format="{:.2g}".format))
    return 0
