"""A text of any length as a model reads it, a byte or two for each position."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from gridlstm.array_types import BoolArray, ByteArray, IntArray
from gridlstm.corpus import OPENERS, CorpusError, read_bytes
from gridlstm.text import from_bytes
from gridlstm.vocabulary import Vocabulary

# Characters that are looked up in a vocabulary at a time.
ENCODED_AT_ONCE = 2**20


@dataclass(frozen=True)
class LongText:
    """`tokens` [position], of which a byte's are mapped from its file where these are what is read;
    `ends` bool [position] marks where a character ends, and `read` bool [character] which are read.
    `notes` are sentences on what is not as in the file."""

    characters: str
    tokens: IntArray
    ends: BoolArray
    read: BoolArray
    notes: tuple[str, ...]


def mapped_bytes(path: Path) -> ByteArray:
    """A file's bytes uint8 [byte], mapped where it is not compressed. Raises CorpusError."""
    if path.suffix in OPENERS or not path.is_file() or not path.stat().st_size:
        return read_bytes(path)
    try:
        return np.memmap(path, np.uint8, "r")
    except OSError as error:
        raise CorpusError(f"Cannot read {path}: {error}.") from error


def read_long_text(
    path: Path, vocabulary: Vocabulary, encoding: str | None = None, max_bytes: int | None = None
) -> LongText:
    """The text of a file, the beginning of `max_bytes` bytes of it if so wished. Raises
    CorpusError."""
    data = mapped_bytes(path)
    text = from_bytes(data.tobytes(), path.name, encoding=encoding, max_bytes=max_bytes)
    notes = () if text.note is None else (text.note,)
    if not vocabulary.of_bytes:
        return _looked_up(text.characters, vocabulary, notes)
    kept = np.frombuffer(text.data, np.uint8)
    if len(vocabulary.index) < 256:
        return _looked_up(text.characters, vocabulary, notes)
    tokens = data[: len(kept)] if np.array_equal(data[: len(kept)], kept) else kept
    begins = (kept & 0b1100_0000) != 0b1000_0000
    ends = np.append(begins[1:], True)[: len(kept)]
    read = np.ones(len(text.characters), bool)
    return LongText(text.characters, tokens, ends, read, notes)


def _looked_up(characters: str, vocabulary: Vocabulary, notes: tuple[str, ...]) -> LongText:
    """The same through a vocabulary, without the token that it puts before a text."""
    kind = np.uint8 if len(vocabulary) <= 256 else np.int32
    tokens, ends, read, note = [], [], [], None
    for start in range(0, len(characters), ENCODED_AT_ONCE):
        encoded = vocabulary.encode(characters[start : start + ENCODED_AT_ONCE])
        first = int(vocabulary.begin is not None)
        of_character = encoded.character[first:]
        tokens.append(encoded.tokens[first:].astype(kind))
        ends.append(np.diff(of_character, append=-1) != 0)
        read.append(~encoded.skipped)
        note = note or encoded.note
        # A character of which some bytes alone are read ends nowhere.
        ends[-1] &= read[-1][of_character]
    empty = np.zeros(0, bool)
    return LongText(
        characters,
        np.concatenate([np.zeros(0, kind), *tokens]),
        np.concatenate([empty, *ends]),
        np.concatenate([empty, *read]),
        notes if note is None else (*notes, note),
    )
