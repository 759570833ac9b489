"""Zip archives, of which no more is unpacked than they may hold."""

import io
import struct
import zipfile
import zlib
from functools import cached_property
from typing import Any

from gridlstm.importing.errors import DamagedFileError, ForeignModelError

MAX_MEMBERS = 10_000
# What the packed members of an archive may be together, besides twice its own size.
MAX_UNPACKED = 8 << 20
_END = b"PK\x05\x06"
_LOCAL_HEADER = struct.Struct("<4s22sHH")


def is_zip(data: memoryview) -> bool:
    return bytes(data[:4]) in (b"PK\x03\x04", _END)


class Archive:
    """The members of a zip archive by name. Raises DamagedFileError, ForeignModelError."""

    def __init__(self, data: memoryview) -> None:
        self.data = data
        self.budget = 2 * len(data) + MAX_UNPACKED
        # Each member takes 46 bytes and more of the directory: its size bounds their number.
        tail = bytes(data[-(1 << 16) - 22 :])
        end = tail.rfind(_END)
        if end < 0 or len(tail) - end < 22:
            raise DamagedFileError("The zip archive is damaged: it has no end.")
        count, size = struct.unpack("<HI", tail[end + 10 : end + 16])
        if count == 0xFFFF or size == 0xFFFFFFFF:
            wide = tail.rfind(b"PK\x06\x06", 0, end)
            if wide < 0 or end - wide < 56:
                raise DamagedFileError("The zip archive is damaged: it has no end.")
            count, size = struct.unpack("<QQ", tail[wide + 32 : wide + 48])
        if count > MAX_MEMBERS or size > MAX_MEMBERS * 512:
            raise ForeignModelError(f"The zip archive has more than {MAX_MEMBERS:,} members.")

    @cached_property
    def members(self) -> dict[str, zipfile.ZipInfo]:
        """Files, by their names; folders are left out."""
        try:
            with zipfile.ZipFile(_Seekable(self.data)) as archive:
                found = archive.infolist()
        except (zipfile.BadZipFile, NotImplementedError, ValueError, struct.error, EOFError) as bad:
            raise DamagedFileError("The zip archive is damaged.") from bad
        except (OSError, OverflowError) as bad:
            raise DamagedFileError("The zip archive is damaged.") from bad
        if len(found) > MAX_MEMBERS:
            raise ForeignModelError(f"The zip archive has more than {MAX_MEMBERS:,} members.")
        return {member.filename: member for member in found if not member.is_dir()}

    def read(self, name: str) -> memoryview:
        """The bytes of a member, without a copy where it is stored as it is."""
        member = self.members.get(name)
        if member is None:
            raise DamagedFileError(f"The zip archive lacks {_short(name)}.")
        if member.flag_bits & 1:
            raise ForeignModelError("The zip archive is encrypted.")
        if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise ForeignModelError("The zip archive is packed in a way that is not read.")
        raw = self._packed(member)
        if member.compress_type == zipfile.ZIP_DEFLATED:
            raw = self._unpacked(raw, member)
        if len(raw) != member.file_size or zlib.crc32(raw) != member.CRC:
            raise DamagedFileError(
                f"The zip archive is damaged: the checksum of {_short(name)} is wrong."
            )
        return raw

    def _packed(self, member: zipfile.ZipInfo) -> memoryview:
        header = self.data[member.header_offset : member.header_offset + _LOCAL_HEADER.size]
        if member.header_offset < 0 or len(header) < _LOCAL_HEADER.size:
            raise DamagedFileError("The zip archive is damaged.")
        signature, _, name, extra = _LOCAL_HEADER.unpack(header)
        begin = member.header_offset + _LOCAL_HEADER.size + name + extra
        raw = self.data[begin : begin + member.compress_size]
        if signature != b"PK\x03\x04" or len(raw) != member.compress_size:
            raise DamagedFileError("The zip archive is damaged.")
        return raw

    def _unpacked(self, raw: memoryview, member: zipfile.ZipInfo) -> memoryview:
        self.budget -= member.file_size
        if self.budget < 0:
            raise ForeignModelError(
                "The zip archive would be too large unpacked for what it is packed."
            )
        unpacker = zlib.decompressobj(-15)
        try:
            return memoryview(unpacker.decompress(raw, member.file_size + 1))
        except zlib.error as bad:
            raise DamagedFileError("The zip archive is damaged.") from bad


class _Seekable(io.RawIOBase):
    """A file of bytes that are already there, without a copy of them."""

    def __init__(self, data: memoryview) -> None:
        self.data, self.place = data, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self.place

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self.place, io.SEEK_END: len(self.data)}[whence]
        if base + offset < 0:
            raise ValueError("before the beginning")
        self.place = base + offset
        return self.place

    def readinto(self, buffer: Any) -> int:
        piece = self.data[self.place : self.place + len(buffer)]
        buffer[: len(piece)] = piece
        self.place += len(piece)
        return len(piece)


def _short(name: str) -> str:
    return repr(name if len(name) <= 60 else name[:60] + "…")
