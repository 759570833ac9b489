"""enwik8, the text of the published experiment: the first 10^8 bytes of English Wikipedia in 2006.

Its authors are Wikipedia's contributors, its licences CC BY-SA and GFDL.
"""

import zipfile
from dataclasses import dataclass
from pathlib import Path

from gridlstm.checkpoint import write_aside
from gridlstm.corpora.checksum import sha256
from gridlstm.corpora.download import DownloadError, download
from gridlstm.progress import Progress

BLOCK = 2**20


@dataclass(frozen=True)
class Source:
    """Where a text is: the file `member` of a zip archive on the web.

    Sizes in bytes, `zip_sha256` and `sha256` (of the text itself) in hexadecimal.
    """

    url: str
    zip_bytes: int
    zip_sha256: str
    member: str
    bytes: int
    sha256: str


ENWIK8 = Source(
    url="http://mattmahoney.net/dc/enwik8.zip",
    zip_bytes=36_445_475,
    zip_sha256="547994d9980ebed1288380d652999f38a14fe291a6247c157c3d33d4932534bc",
    member="enwik8",
    bytes=100_000_000,
    sha256="2b49720ec4d78c3c9fabaee6e4179a5e997302b3a70029f30f2d582218c024a8",
)


def fetch(out: Path, source: Source, progress: Progress | None = None) -> None:
    """Write the source's text to `out`, unless it is there already.

    The archive is kept beside it, named as `archive_path` has it, until the text is whole: a
    broken transfer goes on from there. Memory holds a mebibyte at most.

    Raises DownloadError if the text cannot be had or is not the one expected, OSError if it
    cannot be written.
    """
    if out.exists() and out.stat().st_size == source.bytes and sha256(out) == source.sha256:
        return
    archive = archive_path(out)
    archive.parent.mkdir(parents=True, exist_ok=True)
    download(source.url, archive, source.zip_bytes, source.zip_sha256, progress)
    try:
        write_aside(out, lambda aside: _unpack(archive, source, aside))
    except DownloadError:
        archive.unlink()
        raise
    archive.unlink()


def archive_path(out: Path) -> Path:
    """Where the archive is kept until the text `out` is whole."""
    return out.with_name(f"{out.name}.zip.part")


def _unpack(archive: Path, source: Source, aside: Path) -> None:
    """Write the archive's text to `aside`, at most one block more than it should have."""
    try:
        with (
            zipfile.ZipFile(archive) as zipped,
            zipped.open(source.member) as packed,
            open(aside, "wb") as file,
        ):
            while file.tell() <= source.bytes and (block := packed.read(BLOCK)):
                file.write(block)
    except (zipfile.BadZipFile, KeyError) as error:
        raise DownloadError(
            f"{source.url} is no zip archive with a file {source.member}; it is removed."
        ) from error
    if aside.stat().st_size > source.bytes:
        raise DownloadError(
            f"{source.member} in {source.url} is larger than {source.bytes:,} bytes; it is removed."
        )
    if sha256(aside) != source.sha256:
        raise DownloadError(
            f"{source.member} in {source.url} has the wrong checksum; it is removed."
        )
