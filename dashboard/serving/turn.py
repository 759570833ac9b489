"""Long work of a page: it waits for its turn, tells of it, and shows its progress.

Both are shown by writing on the page, which is where Streamlit ends a script whose visitor has
changed something meanwhile or has left: the place in the queue is then given up, and nothing kept.
"""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import streamlit as st

from dashboard.serving.threads import Threads
from dashboard.serving.work_queue import WorkQueue
from dashboard.words import verbatim
from gridlstm.progress import Progress

# Between two sights of a progress bar. Each costs work here and in the browser, and is a moment at
# which the work can be ended.
SECONDS_TO_SHOW = 0.5
# Work that is thought to be shorter shows nothing at first: it would only flicker.
MIN_SECONDS_SHOWN = 0.5
# Python itself does one thing at a time, so that more than a few turns at once would gain little.
MAX_TURNS = 4


@st.cache_resource(show_spinner=False)
def work_queue() -> WorkQueue:
    """The queue of all visitors, with a turn for each processor."""
    return WorkQueue(min(MAX_TURNS, _processors()))


def begin_request() -> None:
    """A visitor's script begins: all long work that it does has come now."""
    work_queue().begin_request()


@contextmanager
def turn(
    key: tuple, label: str, seconds: float, unless: Callable[[], bool] = lambda: False
) -> Iterator[Progress]:
    """Begins when it is the turn of work that will take about so many seconds, or when `unless`
    is true; `key` as in the queue. Within, a function that is to be told the share done, shows it
    on the page under the label, and lets other work go first where that is shorter.
    """
    queue, threads = work_queue(), Threads()

    def wait(unless: Callable[[], bool] = lambda: False) -> None:
        while not queue.wait(place, SECONDS_TO_SHOW, unless) and not unless():
            sign.show_waiting(queue.before(place))
        threads.resume()
        threads.share(queue.working())

    def tell(share: float) -> None:
        sign.show_share(share)
        # Work within other work leaves it to that to tell the queue how far it is.
        if place.key == key and not queue.report(place, share):
            wait()
        threads.share(queue.working())

    with queue.place(key, seconds) as place, _sign(label, seconds) as sign:
        wait(unless)
        yield tell


class _Sign:
    """What is shown of work at one place of the page."""

    def __init__(self, label: str, seconds: float) -> None:
        self._label, self._place, self._shown = verbatim(label), st.empty(), time.monotonic()
        if seconds >= MIN_SECONDS_SHOWN:
            self._place.progress(0.0, self._label)

    def show_share(self, share: float) -> None:
        """The share done, now and then."""
        if time.monotonic() - self._shown >= SECONDS_TO_SHOW:
            self._shown = time.monotonic()
            self._place.progress(min(share, 1.0), self._label)

    def show_waiting(self, before: int) -> None:
        self._place.caption(waiting_sentence(before))

    def remove(self) -> None:
        self._place.empty()


@contextmanager
def _sign(label: str, seconds: float) -> Iterator[_Sign]:
    """A sign that is gone afterwards."""
    sign = _Sign(label, seconds)
    try:
        yield sign
    finally:
        sign.remove()


def waiting_sentence(before: int) -> str:
    """What is said to a visitor whose work waits."""
    if before < 1:
        return "Your turn comes in a moment."
    others = "One visitor's work is" if before == 1 else f"The work of {before:,} visitors is"
    return f"{others} done before yours: the shortest goes first, then in the order of coming."


def _processors() -> int:
    """How many this program may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
