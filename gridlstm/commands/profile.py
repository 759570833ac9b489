"""What every unit of a model does over a corpus, kept in a file for the page of each."""

import argparse
import sys
from pathlib import Path

from gridlstm.commands.bar import progress_bar
from gridlstm.commands.options import (
    add_checkpoint_and_file,
    add_encoding,
    check_writable,
    open_checkpoint,
)
from gridlstm.commands.parsers import Commands
from gridlstm.errors import UserError


def add(commands: Commands) -> None:
    command = commands.add_parser(
        "profile",
        help="what every unit does over a corpus, for the page of each",
        description="Read a text of 8,000 to 5,000,000 tokens twice in bounded memory and write "
        "what every unit does there: how its values are distributed, where in the text it is "
        "highest and lowest, which properties it follows (found on one half, judged on the other), "
        "how long it keeps what it holds and which layer wrote it. The file lies beside the "
        "checkpoint, as NAME.profile.npz, where the dashboard looks for it. The text is kept in "
        "it.",
    )
    command.set_defaults(run=_profile)
    add_checkpoint_and_file(command)
    command.add_argument("--out", type=Path, required=True, help="NAME.profile.npz")
    command.add_argument(
        "--bytes", type=int, help="how much of the file's beginning is read (all of it)"
    )
    add_encoding(command)


def _profile(options: argparse.Namespace) -> int:
    from gridlstm.analysis.profile.file import SUFFIX, write_profile
    from gridlstm.analysis.profile.making import make_profile
    from gridlstm.long_text import read_long_text

    if not options.out.name.endswith(SUFFIX):
        raise UserError(f"A profile's name ends in {SUFFIX}.")
    if options.bytes is not None and options.bytes < 1:
        raise UserError("The number of bytes must be 1 or more.")
    check_writable(options.out)
    model, _ = open_checkpoint(options.checkpoint)
    text = read_long_text(options.file, model.vocabulary, options.encoding, options.bytes)
    for note in text.notes:
        print(note, file=sys.stderr)
    with progress_bar("reading twice") as progress:
        profile = make_profile(model, text, options.file.name, progress)
    write_profile(profile, options.out)
    print(f"{options.out}: {options.out.stat().st_size / 1e6:.1f} MB", file=sys.stderr)
    return 0
