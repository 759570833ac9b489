"""What long work on a model has given: from a shelf, or made when it is its turn."""

from collections.abc import Callable

from dashboard.serving.loading import ModelEntry
from dashboard.serving.shelf import from_shelf, shelf
from gridlstm.progress import Progress

# Results that a shelf holds at a time, for all visitors together.
MOST_RESULTS = 16


def kept(
    name: str,
    entry: ModelEntry,
    key: tuple,
    label: str,
    make: Callable[[Progress], object],
    seconds: float = 1.0,
):
    """A result from the shelf of that name, or made under a progress bar with the label when it is
    the turn of work that takes about so many seconds.

    `key` is all that it depends on besides the model.
    """
    full_key = (name, entry.path, entry.stamp, *key)
    return from_shelf(shelf(name, MOST_RESULTS), full_key, label, seconds, make)
