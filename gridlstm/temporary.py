"""Temporary files and folders, of which those that a killed process has left are removed.

Each name holds the number of its process, for people. Whether that process is still there is told
by a lock on the file or folder (`flock`), which ends with the process however it ends: a number may
belong to another by now, or to a process in another container that shares the disk.
"""

import functools
import os
import re
import shutil
import tempfile
import weakref
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows: nothing is locked there, and nothing removed
    fcntl = None  # type: ignore[assignment]  # mypy checks as on Linux

# What `tempfile` puts after a prefix.
RANDOM = "[a-z0-9_]{8}"


FOLDER_PREFIX = "gridlstm-"


@contextmanager
def temporary_file(folder: Path, prefix: str) -> Iterator[Path]:
    """Within, an empty file of one's own in `folder`; it is removed afterwards if it is still
    there under its name. Raises OSError."""
    lock = None
    while True:
        handle, name = tempfile.mkstemp(dir=folder, prefix=_with_process(prefix))
        os.close(handle)
        path = Path(name)
        try:
            lock = _lock(path)
            yield path
            return
        except _TakenAwayError:
            continue
        finally:
            path.unlink(missing_ok=True)
            _unlock(lock)


class TemporaryFolder(tempfile.TemporaryDirectory[str]):
    """A folder for files of a `kind`, one word, that goes when the object does. Raises OSError."""

    def __init__(self, kind: str) -> None:
        remove_left_folders()
        while True:
            super().__init__(prefix=_with_process(f"{FOLDER_PREFIX}{kind}-"))
            try:
                lock = _lock(Path(self.name))
                break
            except _TakenAwayError:
                continue
        weakref.finalize(self, _unlock, lock)


@functools.cache
def remove_left_folders() -> None:
    """Remove, once in a process, the temporary folders that killed processes have left."""
    _remove_left(Path(tempfile.gettempdir()), re.escape(FOLDER_PREFIX) + "[a-z]+-")


def remove_left_files(folder: Path, prefix: str) -> None:
    """Remove what killed processes have left in `folder` of `temporary_file` with this prefix."""
    _remove_left(folder, re.escape(prefix))


def _with_process(prefix: str) -> str:
    return f"{prefix}{os.getpid()}."


# -- Locks ----------------------------------------------------------------------------------------


class _TakenAwayError(Exception):
    """A file was taken for left over between its creation and its lock."""


def _lock(path: Path) -> int | None:
    """Lock a new file or folder against removal; None where the file system has no locks."""
    if fcntl is None:
        return None
    try:
        lock = os.open(path, os.O_RDONLY)
    except FileNotFoundError as error:
        raise _TakenAwayError from error
    try:
        fcntl.flock(lock, fcntl.LOCK_SH)
    except OSError:
        os.close(lock)
        return None
    if not path.exists():
        os.close(lock)
        raise _TakenAwayError
    return lock


def _unlock(lock: int | None) -> None:
    if lock is not None:
        os.close(lock)


def _remove_left(folder: Path, prefix: str) -> None:
    """Remove what no process holds of the names made here; `prefix` is a regular expression. What
    cannot be removed stays."""
    if fcntl is None:
        return
    made_here = re.compile(rf"{prefix}[0-9]+\.{RANDOM}", re.DOTALL)
    with suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            if made_here.fullmatch(entry.name):
                with suppress(OSError):
                    _remove_if_left(Path(entry.path))


def _remove_if_left(path: Path) -> None:
    """Remove a file or folder of this user's that no process holds. Raises OSError."""
    lock = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    try:
        if os.fstat(lock).st_uid == os.geteuid():
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    finally:
        os.close(lock)
