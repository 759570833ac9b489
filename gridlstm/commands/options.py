"""What several commands ask of their options."""

import argparse
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from gridlstm.corpus import read_bytes
from gridlstm.errors import UserError
from gridlstm.text import Text, from_bytes, truncate

if TYPE_CHECKING:
    import pandas as pd

# A longer text is cut, with a note: what is asked of all its characters stays a matter of seconds.
MOST_TEXT_BYTES = 200_000


def add_checkpoint_and_file(command: argparse.ArgumentParser) -> None:
    """The two arguments of every command that lets a model read a file."""
    command.add_argument("checkpoint", type=Path, help="a .safetensors file")
    command.add_argument("file", type=Path, help="any file; .xz, .gz and .bz2 are decompressed")


def check_writable(out: Path) -> None:
    """Raise, before hours are spent, the OSError that writing `out` would end in."""
    if out.is_dir():
        raise IsADirectoryError(f"{out} is a folder.")
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=out.parent):
        pass


def read_text(file: Path) -> Text:
    """The text of a file, cut where it is too long; what is not as in the file goes to stderr."""
    text = truncate(from_bytes(read_bytes(file).tobytes(), file.name), MOST_TEXT_BYTES)
    if text.note:
        print(text.note, file=sys.stderr)
    if not text.data:
        raise UserError("The text is empty.")
    return text


def add_json(command: argparse.ArgumentParser) -> None:
    """The option of every command that prints a table."""
    command.add_argument("--json", action="store_true", help="one JSON object a row, not a table")


def print_frame(frame: "pd.DataFrame", as_json: bool) -> None:
    """Print a table for people, or a JSON object for each row."""
    if as_json:
        print(frame.to_json(orient="records", lines=True, force_ascii=False), end="")
    else:
        print(frame.to_string(index=False, float_format="%.4f"))
