"""What several commands ask of their options."""

import argparse
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from gridlstm.corpus import read_bytes
from gridlstm.errors import UserError
from gridlstm.text import ENCODINGS, Text, bytes_needed, from_bytes

if TYPE_CHECKING:
    import pandas as pd

    from gridlstm.checkpoint import Metadata
    from gridlstm.direction import Direction
    from gridlstm.model import LanguageModel
    from gridlstm.vocabulary import EncodedText

# A longer text is cut, with a note: what is asked of all its characters stays a matter of seconds.
MAX_ANALYSED_BYTES = 200_000


def add_checkpoint_and_file(command: argparse.ArgumentParser) -> None:
    """The two arguments of every command that lets a model read a file."""
    add_checkpoint(command)
    command.add_argument("file", type=Path, help="any file; .xz, .gz and .bz2 are decompressed")


def add_checkpoint(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "checkpoint",
        type=Path,
        help="a .safetensors file, or another program's model (.pt, .t7, .h5, manifest.json, …)",
    )


def open_checkpoint(path: Path) -> tuple["LanguageModel", "Metadata"]:
    """The model that was named, and what it says of itself; what is assumed of another program's
    goes to stderr. Raises CheckpointError, ForeignModelError."""
    from gridlstm.importing.opening import open_model

    return open_model(path, lambda sentence: print(sentence, file=sys.stderr))


def check_quantities(model: "LanguageModel", quantities: Sequence[str] | None) -> None:
    """Raise UserError if one of them is none of the model's."""
    for quantity in quantities or ():
        if quantity not in model.config.quantities:
            known = ", ".join(model.config.quantities)
            raise UserError(f"The model has no {quantity!r}; it has {known}.")


def encode_text(model: "LanguageModel", text: Text) -> "EncodedText":
    """The text as the model reads it; what it does not know goes to stderr. Raises UserError if
    that is all of it."""
    encoded = model.encode(text.characters)
    if encoded.note:
        print(encoded.note, file=sys.stderr)
    if not len(encoded):
        raise UserError("The model knows none of this text's characters.")
    return encoded


def encode_bytes(
    model: "LanguageModel", data: bytes, name: str, encoding: str | None = None
) -> "EncodedText":
    """A file's bytes as the model reads them: as they are by one over bytes, else as the text that
    they are. What is not as in the file, or not known, goes to stderr."""
    if model.vocabulary.of_bytes:
        return model.encode(data)
    text = from_bytes(data, name, encoding=encoding)
    if text.note:
        print(text.note, file=sys.stderr)
    return encode_text(model, text)


def check_writable(out: Path) -> None:
    """Raise, before hours are spent, the OSError that writing `out` would end in."""
    if out.is_dir():
        raise IsADirectoryError(f"{out} is a folder.")
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=out.parent):
        pass


def add_encoding(command: argparse.ArgumentParser) -> None:
    """The option of every command that takes a file for a text."""
    command.add_argument(
        "--encoding",
        choices=ENCODINGS,
        metavar="NAME",
        help=f"what the text is written in: {', '.join(ENCODINGS)} (found out, with a note)",
    )


def read_text(file: Path, encoding: str | None = None, max_bytes: int = MAX_ANALYSED_BYTES) -> Text:
    """The same as `read_beginning`; what is not as in the file goes to stderr. Raises UserError for
    an empty text."""
    text = read_beginning(file, encoding, max_bytes)
    if text.note:
        print(text.note, file=sys.stderr)
    if not text.data:
        raise UserError("The text is empty.")
    return text


def read_beginning(file: Path, encoding: str | None, max_bytes: int) -> Text:
    """The text of a file, cut where it is too long; no more of the file is read. Raises
    CorpusError."""
    needed = bytes_needed(max_bytes)
    data = read_bytes(file, needed + 1).tobytes()
    is_whole = len(data) <= needed
    return from_bytes(data, file.name, encoding=encoding, max_bytes=max_bytes, is_whole=is_whole)


def read_direction(file: Path, model: "LanguageModel") -> "Direction":
    """A direction from a file, that of this model. Raises DirectionError, CorpusError."""
    from gridlstm.direction_file import MAX_FILE_BYTES, from_json

    direction = from_json(read_at_most(file, MAX_FILE_BYTES, "A direction's file"))
    direction.check(model.config, model.checksum())
    return direction


def read_at_most(file: Path, max_bytes: int, what: str) -> bytes:
    """A file's bytes. Raises UserError if there are more than `what` may have, CorpusError."""
    data = read_bytes(file, max_bytes + 1)
    if len(data) > max_bytes:
        raise UserError(f"{what} may have {max_bytes:,} bytes at most, and {file.name} has more.")
    return data.tobytes()


def add_json(command: argparse.ArgumentParser) -> None:
    """The option of every command that prints a table."""
    command.add_argument("--json", action="store_true", help="one JSON object a row, not a table")


def print_frame(frame: "pd.DataFrame", as_json: bool) -> None:
    """Print a table for people, or a JSON object for each row."""
    if as_json:
        print(frame.to_json(orient="records", lines=True, force_ascii=False), end="")
    else:
        print(frame.to_string(index=False, float_format="%.4f"))
