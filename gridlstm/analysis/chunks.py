"""Walking a long array in parts, so that a memory-mapped trace need never be in memory whole."""

from collections.abc import Iterator

CHUNK_VALUES = 2**20


def chunks(length: int, width: int) -> Iterator[slice]:
    """Slices that cover `length` rows in order, each of about a million values of rows `width`."""
    rows = max(1, CHUNK_VALUES // max(1, width))
    for start in range(0, length, rows):
        yield slice(start, min(start + rows, length))
