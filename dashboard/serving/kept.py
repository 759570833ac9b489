"""What long work on a model has given: kept by checkpoint and text, or made when it is its turn."""

from collections.abc import Callable, Hashable

from dashboard.serving.file_version import FileVersion
from dashboard.serving.shelf import from_shelf, shelf
from gridlstm.progress import Progress

# Results of one kind that are kept at a time, for all visitors together.
MAX_RESULTS = 16


def kept(
    kind: str,
    checkpoint: FileVersion,
    data: bytes | None,
    make: Callable[[Progress], object],
    *,
    label: str,
    depends_on: tuple[Hashable, ...] = (),
    seconds: float = 1.0,
    max_results: int = MAX_RESULTS,
):
    """The result of this kind for a checkpoint and the text `data` that it reads: one kept, or what
    `make` makes under a progress bar with the label, when it is the turn of work that takes about
    so many seconds. Nothing is kept where `make` raises.

    `data` is None where no text is read; `depends_on` is all else that the result depends on.
    """
    key = (kind, checkpoint, data, *depends_on)
    return from_shelf(shelf(kind, max_results), key, label, seconds, make)
