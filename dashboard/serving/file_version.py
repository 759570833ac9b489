"""Which state of a file a result was made of: files change while the program runs."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class FileVersion:
    """A file as it is at a moment; another one as soon as the file, or a part of it, changes.

    `time` is the latest change in nanoseconds and `size` the bytes of it and its parts; both are 0
    where there is no such file.
    """

    path: Path
    time: int = 0
    size: int = 0

    @classmethod
    def of(cls, path: Path, *parts: Path) -> "FileVersion":
        """The version there is now of a file and of what belongs to it."""
        own = _time_and_size(path)
        if own == (0, 0):
            return cls(path)
        times, sizes = zip(own, *map(_time_and_size, parts), strict=True)
        return cls(path, max(times), sum(sizes))

    @property
    def exists(self) -> bool:
        return (self.time, self.size) != (0, 0)


def _time_and_size(path: Path) -> tuple[int, int]:
    try:
        status = path.stat()
    except OSError:
        return 0, 0
    return status.st_mtime_ns, status.st_size
