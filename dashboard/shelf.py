"""Results that took long, kept for all visitors.

Unlike `st.cache_resource`, what makes a result may show its progress on the page, and so be ended
by Streamlit when the visitor changes something meanwhile; then nothing is kept.
"""

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager

import streamlit as st

from gridlstm.progress import Progress

# Between two sights of a progress bar. Each costs work here and in the browser, and is a moment at
# which the work can be ended.
SECONDS_TO_SHOW = 0.5


class Shelf:
    """The latest results; when there are more than `most`, the one unused longest goes."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._results: OrderedDict[Hashable, object] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: Hashable, make: Callable[[], object]):
        """The result under `key`, made now if it is not there."""
        with self._lock:
            if key in self._results:
                self._results.move_to_end(key)
                return self._results[key]
        made = make()
        with self._lock:
            self._results[key] = made
            while len(self._results) > self._most:
                self._results.popitem(last=False)
        return made

    def results(self) -> list:
        """The results that are there."""
        with self._lock:
            return list(self._results.values())


@st.cache_resource(show_spinner=False)
def shelf(name: str, most: int) -> Shelf:
    """The shelf of that name, one for the whole program."""
    return Shelf(most)


@contextmanager
def progress_bar(label: str) -> Iterator[Progress]:
    """Within, a function that shows the share done on the page; the bar is gone afterwards."""
    bar, shown = st.progress(0.0, label), time.monotonic()

    def show(share: float) -> None:
        nonlocal shown
        if time.monotonic() - shown >= SECONDS_TO_SHOW:
            shown = time.monotonic()
            bar.progress(min(share, 1.0), label)

    try:
        yield show
    finally:
        bar.empty()
