"""Long work of a page: its turn, what is told of it, and what is kept."""

import threading
import time
from contextlib import contextmanager
from types import SimpleNamespace

import pytest

from dashboard.serving import shelf, turn
from dashboard.serving.shelf import Shelf
from dashboard.serving.work_queue import WorkQueue
from gridlstm.errors import UserError
from gridlstm.progress import Cancelled


class Page:
    """Stands in for a place on the page; what it shows ends the work, once it is at `end`."""

    def __init__(self, end: float = 2) -> None:
        self.end, self.shown, self.waited, self.gone = end, [], [], False

    def progress(self, share: float, label: str) -> None:
        self.shown.append(share)
        if share >= self.end:
            raise Cancelled

    def caption(self, sentence: str) -> None:
        self.waited.append(sentence)
        if len(self.waited) == 3:
            raise Cancelled

    def empty(self) -> None:
        self.gone = True


@pytest.fixture
def queue(monkeypatch):
    """A queue of its own with one turn at a time, where nobody waits long to be told."""
    queue = WorkQueue(1)
    monkeypatch.setattr(turn, "work_queue", lambda: queue)
    return queue


def test_a_progress_bar_is_shown_now_and_then_and_each_time_the_work_can_be_ended(
    monkeypatch, queue
):
    clock, page, done = iter(range(100)), Page(end=0.5), []
    slow = SimpleNamespace(monotonic=lambda: next(clock) * turn.SECONDS_TO_SHOW / 2.5)
    monkeypatch.setattr(turn, "time", slow)
    monkeypatch.setattr(turn.st, "empty", lambda: page)
    with pytest.raises(Cancelled), turn.turn(("work", 1), "A model reads", 9) as progress:
        for step in range(20):
            progress(step / 20)
            done.append(step / 20)
    assert page.gone and page.shown[-1] >= 0.5 > page.shown[-2] and page.shown[0] == 0
    assert 3 <= len(page.shown) < len(done)
    assert done[-1] < page.shown[-1]
    assert len(queue) == 0


def test_work_that_is_short_shows_nothing(monkeypatch, queue):
    page = Page()
    monkeypatch.setattr(turn.st, "empty", lambda: page)
    with turn.turn(("work", 1), "A model writes", turn.MIN_SECONDS_SHOWN / 2) as progress:
        progress(0.5)
    assert page.gone and page.shown == page.waited == []


def test_who_waits_is_told_how_many_come_before_and_can_leave(monkeypatch, queue):
    page = Page()
    monkeypatch.setattr(turn, "SECONDS_TO_SHOW", 0)
    monkeypatch.setattr(turn.st, "empty", lambda: page)
    first, second = (in_another_thread(queue.place(("work", n), 1)) for n in (1, 2))
    with first, second:
        with pytest.raises(Cancelled), turn.turn(("work", 3), "A model reads", 9):
            raise AssertionError("it is not its turn")
        assert len(queue) == 2
    assert page.gone and page.waited == [turn.waiting_sentence(2)] * 3
    assert "2 visitors" in page.waited[0] and "One visitor" in turn.waiting_sentence(1)


@contextmanager
def in_another_thread(context):
    """As if another visitor's script entered it."""
    thread = threading.Thread(target=context.__enter__)
    thread.start()
    thread.join()
    yield
    context.__exit__(None, None, None)


def test_what_two_visitors_want_at_once_is_made_once(monkeypatch, queue):
    results, made, begun, second = Shelf(6), [], threading.Event(), []
    monkeypatch.setattr(turn.st, "empty", Page)

    def make(progress) -> str:
        begun.set()
        made.append(0)
        # Not before the other one waits in the queue.
        while len(queue) < 2:
            time.sleep(0.001)
        return "a result"

    def want() -> None:
        second.append(shelf.from_shelf(results, ("kind", 1), "", 1, make))

    other = threading.Thread(target=lambda: begun.wait(60) and want())
    other.start()
    want()
    other.join(60)
    assert second == ["a result"] * 2 and made == [0]


def test_work_that_fails_is_not_kept_and_leaves_the_queue(monkeypatch, queue):
    results = Shelf(6)
    monkeypatch.setattr(turn.st, "empty", Page)

    def fail(progress):
        raise UserError("A sentence.")

    for _ in range(2):
        with pytest.raises(UserError):
            shelf.from_shelf(results, ("kind", 1), "", 1, fail)
    assert len(queue) == 0 and results.results() == []
    assert shelf.from_shelf(results, ("kind", 1), "", 1, lambda progress: 5) == 5
