"""The Linux kernel's source as one text, as Karpathy, Johnson and Li (2015) used it.

All .c and .h files of a source archive in a seeded random order, cut at a number of bytes. The
kernel's licence, GPL-2.0, is that of the text too, and of every part of it that is passed on.
"""

import random
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from gridlstm.checkpoint import write_aside
from gridlstm.corpora.archive import READ_LIMIT, Unpacked, members
from gridlstm.corpora.checksum import sha256
from gridlstm.corpus import CorpusError
from gridlstm.progress import Progress

BYTES = 100_000_000
ENDINGS = (".c", ".h")


@dataclass(frozen=True)
class Made:
    """A text that was made: its bytes, the files used (the last one cut), and its checksum."""

    bytes: int
    files: int
    sha256: str


@dataclass(frozen=True)
class Piece:
    """A source file: where its data begins in the unpacked archive, and its size in bytes."""

    begins: int
    size: int


def make(
    archive: Path, out: Path, size: int = BYTES, seed: int = 0, progress: Progress | None = None
) -> Made:
    """Write `size` bytes of source from the archive to `out`; the same input, the same bytes.

    The order of the files depends on their sorted names and the seed, not on the archive's order.
    The archive is read twice, first the names and then the chosen files straight to their places,
    so that memory holds the table of names (20 MB for the kernel) and one piece of a mebibyte.

    Raises CorpusError if the archive is damaged or has too little source, OSError if a file cannot
    be read or written.
    """
    if size < 1:
        raise CorpusError(f"A text must have at least 1 byte, not {size:,}.")
    first, second = _split_progress(progress)
    files = _source_files(archive, first)
    places = _places(_in_random_order(files, seed), size)
    found = sum(length for _, length in places.values())
    if found < size:
        raise CorpusError(
            f"{archive} holds {found:,} bytes of .c and .h files: fewer than the {size:,} to write."
        )
    write_aside(out, lambda aside: _copy(archive, places, aside, second))
    return Made(size, len(places), sha256(out))


def _split_progress(progress: Progress | None) -> tuple[Progress, Progress]:
    """The progress of the first reading and of the second."""
    report = progress or (lambda share: None)
    return lambda share: report(share / 2), lambda share: report(0.5 + share / 2)


def _source_files(archive: Path, progress: Progress) -> dict[str, Piece]:
    """The regular, non-empty source files by name; of two of one name the later, as tar has it."""
    return {
        member.name: Piece(unpacked.tell(), member.size)
        for member, unpacked in members(archive, progress)
        if member.name.endswith(ENDINGS)
        and member.isreg()
        and not member.issparse()
        and member.size > 0
    }


def _in_random_order(files: dict[str, Piece], seed: int) -> Iterator[Piece]:
    # Of Python's generator only random() is promised to stay the same for ever.
    generator = random.Random(seed)
    keys = {name: generator.random() for name in sorted(files)}
    yield from (files[name] for name in sorted(keys, key=lambda name: keys[name]))


def _places(pieces: Iterable[Piece], size: int) -> dict[int, tuple[int, int]]:
    """For each piece used, by where it begins in the archive: its place in the text, its length.

    The last is cut so that the text has `size` bytes.
    """
    places, used = {}, 0
    for piece in pieces:
        if used == size:
            break
        length = min(piece.size, size - used)
        places[piece.begins] = (used, length)
        used += length
    return places


def _copy(
    archive: Path, places: dict[int, tuple[int, int]], aside: Path, progress: Progress
) -> None:
    with open(aside, "wb") as file:
        for _, unpacked in members(archive, progress):
            if unpacked.tell() in places:
                place, length = places[unpacked.tell()]
                file.seek(place)
                for block in _blocks(unpacked, length):
                    file.write(block)


def _blocks(unpacked: Unpacked, length: int) -> Iterator[bytes]:
    """The next `length` bytes in bounded pieces. Raises CorpusError if there are fewer."""
    while length:
        block = unpacked.read(min(length, READ_LIMIT))
        if not block:
            raise unpacked.fault("it is cut short")
        length -= len(block)
        yield block
