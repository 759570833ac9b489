"""A tar archive read once, from its beginning to its end, trusting nothing that it says.

Nothing is extracted: names are only names and links lead nowhere. Memory does not grow with the
archive, however large its members are or say they are.
"""

import io
import lzma
import os
import tarfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, cast

from gridlstm.corpus import OPENERS, CorpusError
from gridlstm.progress import Progress

# Several times what a large source tree has; only an archive made to harm has more.
MEMBER_LIMIT = 500_000
NAME_LIMIT = 1_024
UNPACKED_LIMIT = 20 * 10**9
READ_LIMIT = 2**20

UNREADABLE = (OSError, EOFError, lzma.LZMAError, zlib.error)


class Unpacked:
    """The bytes of a file after decompression, read forwards only and in bounded pieces.

    tarfile would follow a header backwards and read a name of any length into memory; here both
    end in a CorpusError, as does whatever cannot be decompressed.
    """

    def __init__(self, path: Path, packed: BinaryIO):
        self.path = path
        opener = OPENERS.get(path.suffix)
        self.file: io.BufferedIOBase | BinaryIO = opener(packed) if opener else packed

    def read(self, size: int) -> bytes:
        if not 0 <= size <= READ_LIMIT:
            raise self.fault("a header is too large")
        self._check_size(self.tell() + size)
        try:
            return self.file.read(size)
        except UNREADABLE as error:
            raise self.fault(error) from error

    def seek(self, position: int) -> None:
        if position < self.tell():
            raise self.fault("a header points backwards")
        self._check_size(position)
        try:
            self.file.seek(position)
        except UNREADABLE as error:
            raise self.fault(error) from error

    def tell(self) -> int:
        return self.file.tell()

    def _check_size(self, size: int) -> None:
        if size > UNPACKED_LIMIT:
            raise self.fault(f"it unpacks to more than {UNPACKED_LIMIT:,} bytes")

    def fault(self, what: object) -> CorpusError:
        return CorpusError(f"Cannot read {self.path} as a tar archive: {what}.")


def members(
    path: Path, progress: Progress | None = None
) -> Iterator[tuple[tarfile.TarInfo, Unpacked]]:
    """Each member of a .tar, .tar.xz, .tar.gz or .tar.bz2, and the stream that stands at its data.

    Raises CorpusError if the archive is damaged, cut short or of no honest size, OSError if there
    is no such file.
    """
    with open(path, "rb") as packed:
        size = os.fstat(packed.fileno()).st_size
        unpacked = Unpacked(path, packed)
        try:
            # What it calls of a file that it reads: read, seek and tell.
            tar = tarfile.TarFile(fileobj=cast(BinaryIO, unpacked))
            for _ in range(MEMBER_LIMIT):
                if (member := tar.next()) is None:
                    _check_end(unpacked)
                    return
                if len(member.name) > NAME_LIMIT:
                    raise unpacked.fault("a name is too long")
                # A TarFile keeps all members for ever, in a list that its stubs do not know.
                tar.members.clear()  # type: ignore[attr-defined]
                yield member, unpacked
                if progress:
                    progress(packed.tell() / size)
        except tarfile.TarError as error:
            raise unpacked.fault(error) from error
        raise unpacked.fault(f"it has more than {MEMBER_LIMIT:,} members")


def _check_end(unpacked: Unpacked) -> None:
    """Read what follows the last member: zeros, and the compressed file's own checksum.

    tarfile takes a damaged header for the end.
    """
    while block := unpacked.read(READ_LIMIT):
        if block.strip(b"\0"):
            raise unpacked.fault("it is damaged")
