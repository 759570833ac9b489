"""Fetching a file whose size and checksum are known, going on where a transfer broke off."""

import http.client
import re
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

from gridlstm.corpora.checksum import sha256
from gridlstm.errors import UserError
from gridlstm.progress import Progress

ATTEMPTS = 5
SECONDS_OF_SILENCE = 30.0
BLOCK = 2**16


class DownloadError(UserError):
    """A file that could not be fetched; the message is one sentence for the user."""


def download(
    url: str, path: Path, size: int, checksum: str, progress: Progress | None = None
) -> None:
    """Fetch a file of `size` bytes and SHA-256 `checksum` into `path`.

    What `path` holds already is kept and only the rest is asked for; a server that cannot send a
    part sends all. A transfer that breaks off is taken up again a few times at once, and by the
    next call after that. That all is of one file is known by its size and, in the end, checksum.

    Raises DownloadError if the server cannot be reached, breaks off too often or has another file,
    which is removed, OSError if `path` cannot be written.
    """
    for _ in range(ATTEMPTS):
        if _size(path) >= size:
            break
        _transfer(url, path, size, progress)
    if _size(path) < size:
        raise DownloadError(
            f"The transfer of {url} broke off after {_size(path):,} of {size:,} bytes; the same "
            "command goes on from there."
        )
    if _size(path) > size or sha256(path) != checksum:
        path.unlink()
        raise DownloadError(f"{url} has the wrong checksum; what was fetched is removed.")


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _transfer(url: str, path: Path, size: int, progress: Progress | None) -> None:
    """Ask once for what `path` lacks and add what comes of it, at most one byte too many."""
    with _ask(url, _size(path)) as response:
        _check_offer(response, _size(path), size)
        is_rest = response.status == http.client.PARTIAL_CONTENT
        with open(path, "ab" if is_rest else "wb") as file:
            for block in _blocks(response):
                file.write(block[: size + 1 - file.tell()])
                if progress:
                    progress(min(1.0, file.tell() / size))
                if file.tell() > size:
                    break


def _ask(url: str, begin: int) -> http.client.HTTPResponse:
    """The server's answer, which holds the file from byte `begin` on, or all of it."""
    headers = {"User-Agent": "gridlstm"}
    if begin:
        headers["Range"] = f"bytes={begin}-"
    try:
        request = urllib.request.Request(url, headers=headers)
        answer: http.client.HTTPResponse = urllib.request.urlopen(
            request, timeout=SECONDS_OF_SILENCE
        )
        return answer
    except urllib.error.HTTPError as error:
        raise DownloadError(f"{url} cannot be had: {error.code} {error.reason}.") from error
    except (OSError, http.client.HTTPException) as error:
        reason = getattr(error, "reason", error)
        raise DownloadError(f"{url} cannot be reached: {reason}.") from error


def _check_offer(response: http.client.HTTPResponse, begin: int, size: int) -> None:
    """Raise DownloadError, before anything is written, if the answer is of another file.

    It may keep its size to itself.
    """
    if response.status == http.client.PARTIAL_CONTENT:
        name, expected = "Content-Range", rf"bytes {begin}-\d+/({size}|\*)"
    else:
        name, expected = "Content-Length", rf"{size}"
    offer = response.headers.get(name, "")
    if not re.fullmatch(expected, offer) and (offer or name == "Content-Range"):
        raise DownloadError(
            f"{response.url} is not the file expected, of {size:,} bytes: the server says "
            f"{name} {offer[:80]!r}."
        )


def _blocks(response: http.client.HTTPResponse) -> Iterator[bytes]:
    """What comes, as it comes, until the end or until the transfer breaks off."""
    while True:
        try:
            block = response.read1(BLOCK)
        except (OSError, http.client.HTTPException):
            return
        if not block:
            return
        yield block
