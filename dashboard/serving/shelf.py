"""Results that took long, kept for all visitors.

Unlike `st.cache_resource`, what makes a result waits for its turn and shows its progress on the
page, and so is ended by Streamlit when the visitor changes something meanwhile; then nothing is
kept.
"""

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable

import streamlit as st

from dashboard.serving.turn import turn
from gridlstm.progress import Progress


class Shelf:
    """The latest results; when there are more than `most`, the one unused longest goes."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._results: OrderedDict[Hashable, object] = OrderedDict()
        self._lock = threading.Lock()

    def __contains__(self, key: Hashable) -> bool:
        with self._lock:
            return key in self._results

    def find(self, key: Hashable):
        """The result under `key`, None if it is not there."""
        with self._lock:
            if key in self._results:
                self._results.move_to_end(key)
            return self._results.get(key)

    def keep(self, key: Hashable, result: object) -> None:
        """Put a result there, which is not None."""
        with self._lock:
            self._results[key] = result
            while len(self._results) > self._most:
                self._results.popitem(last=False)

    def results(self) -> list:
        """The results that are there."""
        with self._lock:
            return list(self._results.values())


@st.cache_resource(show_spinner=False)
def shelf(name: str, most: int) -> Shelf:
    """The shelf of that name, one for the whole program."""
    return Shelf(most)


def from_shelf(
    results: Shelf,
    key: tuple[Hashable, ...],
    label: str,
    seconds: float,
    make: Callable[[Progress], object],
):
    """The result under `key`, whose first entry is the kind of work: from the shelf, or made by
    `make` when it is its turn, which about so many seconds of work have to wait for.

    What several visitors want at once is made for the first, and taken by the others.
    """
    # Kept in a name, as it may be gone from the shelf a moment later.
    if (found := results.find(key)) is not None:
        return found
    with turn(key, label, seconds, unless=lambda: key in results) as progress:
        if (found := results.find(key)) is None:
            found = make(progress)
            results.keep(key, found)
    return found
