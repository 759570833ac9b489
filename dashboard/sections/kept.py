"""What long work on a model has given: from a shelf, or made now under a progress bar."""

from collections.abc import Callable

from dashboard.loading import ModelEntry
from dashboard.shelf import progress_bar, shelf
from gridlstm.progress import Progress

# Results that a shelf holds at a time, for all visitors together.
MOST_RESULTS = 16


def kept(name: str, entry: ModelEntry, key: tuple, label: str, make: Callable[[Progress], object]):
    """A result from the shelf of that name, or made now under a progress bar with the label.

    `key` is all that it depends on besides the model.
    """

    def with_progress():
        with progress_bar(label) as progress:
            return make(progress)

    return shelf(name, MOST_RESULTS).get((entry.path, entry.stamp, *key), with_progress)
