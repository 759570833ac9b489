"""Long work of a page: it waits for its turn, tells of it, and shows its progress.

Both are shown by writing on the page, which is where Streamlit ends a script whose visitor has
changed something meanwhile or has left: the place in the queue is then given up, and nothing kept.
"""

import functools
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import streamlit as st

from dashboard.work_queue import Place, WorkQueue
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


@contextmanager
def turn(
    key: tuple, label: str, seconds: float, unless: Callable[[], bool] = lambda: False
) -> Iterator[Progress]:
    """Begins when it is the turn of work that will take about so many seconds, or when `unless`
    is true; `key` as in the queue. Within, a function that is to be told the share done, shows it
    on the page under the label, and lets other work go first where that is shorter.
    """
    queue = work_queue()
    with (
        queue.place(key, seconds) as place,
        _sign(label, at_once=seconds >= MIN_SECONDS_SHOWN) as (
            show_share,
            show_waiting,
        ),
    ):

        def wait(unless: Callable[[], bool] = lambda: False) -> None:
            while not queue.wait(place, SECONDS_TO_SHOW, unless) and not unless():
                show_waiting(queue.before(place))
            _share_processors(queue.working())

        def tell(share: float) -> None:
            show_share(share)
            if _is_within_other(place, key) or queue.report(place, share):
                _share_processors(queue.working())
            else:
                wait()

        wait(unless)
        yield tell


def _is_within_other(place: Place, key: tuple) -> bool:
    """Whether work is a part of other work, which alone tells the queue how far it is."""
    return place.key != key


@contextmanager
def _sign(
    label: str, *, at_once: bool
) -> Iterator[tuple[Callable[[float], None], Callable[[int], None]]]:
    """Within, two functions that show on the page the share done, now and then, and how many come
    before; nothing of it is left afterwards."""
    place, shown = st.empty(), time.monotonic()
    if at_once:
        place.progress(0.0, label)

    def show_share(share: float) -> None:
        nonlocal shown
        if time.monotonic() - shown >= SECONDS_TO_SHOW:
            shown = time.monotonic()
            place.progress(min(share, 1.0), label)

    try:
        yield show_share, lambda count: place.caption(waiting_sentence(count))
    finally:
        place.empty()


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


@functools.cache
def _threads_at_first() -> int:
    import torch

    return torch.get_num_threads()


def _share_processors(working: int) -> None:
    """Let torch use no more threads here than are this work's share of all: where two compute with
    two threads each on two processors, they wait for each other at every product."""
    import torch

    share = max(1, _threads_at_first() // max(1, working))
    # It is a setting of each thread.
    if torch.get_num_threads() != share:
        torch.set_num_threads(share)
