"""Whose work is done next: by a clock that the tests set, without waiting for anything."""

import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dashboard.serving.work_queue import WorkQueue


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


class Visitors:
    """Work in a queue, each piece by its name, as if of visitors who are there at once."""

    def __init__(self, turns: int = 1) -> None:
        self.clock = Clock()
        self.queue = WorkQueue(turns, self.clock)
        self.inside, self.places, self.needed = {}, {}, {}

    def come(self, name: str, seconds: float, *, guess: float | None = None, key: tuple = ()):
        key = key or ("work", name)
        self.inside[name] = self.queue.place(key, seconds if guess is None else guess)
        # Each in a thread of their own, as the queue knows who is within work already.
        thread = threading.Thread(target=self._enter, args=[name])
        thread.start()
        thread.join()
        self.needed[name] = seconds

    def _enter(self, name: str) -> None:
        self.places[name] = self.inside[name].__enter__()

    def leave(self, name: str) -> None:
        self.inside.pop(name).__exit__(None, None, None)
        del self.places[name]

    @property
    def working(self) -> list[str]:
        return [name for name, place in self.places.items() if place.has_turn]

    def work(self, seconds: float = 1.0) -> list[str]:
        """Let so much time go by, and all who work tell their progress; who has gone on."""
        worked = self.working
        self.clock.now += seconds
        for name in worked:
            place = self.places[name]
            done = place.done + self.clock.now - place.resumed
            self.queue.report(place, done / self.needed[name])
            if done >= self.needed[name] - 1e-9:
                self.leave(name)
        return worked

    def finished(self) -> list[str]:
        """The order in which all who are there come to their end."""
        order = []
        while self.places:
            before = list(self.places)
            self.work(0.5)
            order += [name for name in before if name not in self.places]
        return order


def test_one_works_at_a_time_in_the_order_of_coming():
    visitors = Visitors()
    for name in "abc":
        visitors.come(name, 4)
    assert visitors.working == ["a"] and [visitors.queue.before(visitors.places["c"])] == [2]
    assert visitors.finished() == ["a", "b", "c"]
    assert len(visitors.queue) == 0


def test_as_many_work_at_once_as_there_are_turns():
    visitors = Visitors(turns=2)
    for name in "abc":
        visitors.come(name, 4)
    assert visitors.working == ["a", "b"] and visitors.queue.working() == 2
    visitors.leave("a")
    assert visitors.working == ["b", "c"]


def test_the_shorter_of_those_who_wait_goes_first():
    visitors = Visitors()
    visitors.come("first", 2)
    for name, seconds in (("long", 30), ("short", 1), ("middle", 8)):
        visitors.come(name, seconds)
    assert visitors.queue.before(visitors.places["middle"]) == 2
    assert visitors.finished() == ["short", "first", "middle", "long"]


def test_long_work_gives_way_to_short_work_and_goes_on_after_it():
    visitors = Visitors()
    visitors.come("long", 20)
    assert visitors.work(5) == ["long"]
    visitors.come("short", 1)
    assert visitors.working == ["long"]  # until it tells its progress
    assert visitors.work() == ["long"] and visitors.working == ["short"]
    assert visitors.queue.before(visitors.places["long"]) == 1
    assert visitors.work() == ["short"] and visitors.working == ["long"]
    assert visitors.places["long"].done == 6


def test_work_that_is_nearly_done_does_not_give_way():
    visitors = Visitors()
    visitors.come("long", 20)
    visitors.work(19)
    visitors.come("short", 2)
    visitors.work(0.5)
    assert visitors.working == ["long"]


def test_of_those_who_work_the_one_with_most_left_gives_way():
    visitors = Visitors(turns=2)
    visitors.come("longer", 30)
    visitors.come("long", 20)
    visitors.come("short", 1)
    visitors.work()
    assert visitors.working == ["long", "short"]


def test_nobody_starves():
    """However much short work comes after it, long work waits for as much of it as it takes."""
    visitors = Visitors()
    visitors.come("long", 10)
    number, waited = 0, 0.0
    while "long" in visitors.places:
        if len(visitors.places) < 3:
            visitors.come(f"short {number}", 1)
            number += 1
        waited += "long" not in visitors.work()
        assert waited <= 15
    assert waited >= 5  # short work did go first


def test_who_has_begun_to_be_served_is_served_to_the_end():
    """What is left of a request has come when its first work did, before others that came
    meanwhile; a new request of the same visitor comes after them."""
    visitors = Visitors()
    queue, clock = visitors.queue, visitors.clock
    with queue.place(("trace", 1), 10) as trace:
        clock.now = 2
        queue.report(trace, 0.2)
        visitors.come("other", 10)
        visitors.come("third", 10)
        clock.now = 10
    assert visitors.working == ["other"]
    with queue.place(("rest", 1), 2) as rest:
        visitors.leave("other")
        assert rest.has_turn
    queue.begin_request()
    visitors.leave("third")
    visitors.come("fourth", 10)
    visitors.come("fifth", 10)
    with queue.place(("rest", 2), 11) as rest:
        visitors.leave("fourth")
        assert not rest.has_turn and visitors.working == ["fifth"]


def test_equal_work_is_not_interrupted_though_it_takes_longer_than_was_guessed():
    visitors = Visitors()
    for name in "abcd":
        visitors.come(name, 10, guess=1)
    begun = []
    while visitors.places:
        begun += [name for name in visitors.work() if name not in begun[-1:]]
    assert begun == ["a", "b", "c", "d"]


def test_work_that_takes_longer_than_was_guessed_loses_its_place():
    visitors = Visitors()
    visitors.come("sly", 60, guess=1, key=("sly", 1))
    visitors.come("short", 5)
    visitors.work(3)
    assert visitors.working == ["short"]


def test_what_is_wanted_twice_is_done_once():
    visitors, key = Visitors(turns=2), ("trace", "the same")
    visitors.come("first", 4, key=key)
    visitors.come("second", 4, key=key)
    assert visitors.working == ["first"]
    second = visitors.places["second"]
    assert not visitors.queue.wait(second, 60, unless=lambda: True)  # its result is there
    visitors.leave("first")
    assert visitors.working == ["second"]


def test_one_who_leaves_while_working_or_waiting_has_no_place_any_more():
    visitors = Visitors()
    for name in "abc":
        visitors.come(name, 4)
    visitors.leave("b")
    assert visitors.queue.before(visitors.places["c"]) == 1
    visitors.leave("a")
    assert visitors.working == ["c"]
    visitors.leave("c")
    visitors.come("d", 1)
    assert visitors.working == ["d"] and len(visitors.queue) == 1


def test_who_is_cancelled_or_fails_leaves_the_queue():
    queue = WorkQueue(1)
    for error in (ValueError, KeyboardInterrupt):
        with pytest.raises(error), queue.place(("work", 1), 1) as place:
            assert queue.wait(place, 60)
            raise error
    assert len(queue) == 0 and queue.working() == 0


def test_work_within_work_does_not_wait_for_itself():
    queue = WorkQueue(1)
    with queue.place(("outer", 1), 1) as outer, queue.place(("inner", 1), 1) as inner:
        assert inner is outer and queue.wait(inner, 60)
    with queue.place(("next", 1), 1) as place:
        assert queue.wait(place, 60)
    assert len(queue) == 0


def test_who_waits_is_woken():
    queue, got = WorkQueue(1), []

    def wait() -> None:
        with queue.place(("work", 2), 1) as place:
            got.append(queue.wait(place, 60))

    with queue.place(("work", 1), 1) as place:
        assert queue.wait(place, 60)
        waiting = threading.Thread(target=wait)
        waiting.start()
    waiting.join(60)
    assert got == [True] and len(queue) == 0


@given(
    st.lists(
        st.tuples(st.integers(1, 9), st.floats(0.5, 20), st.floats(0.1, 40)),
        min_size=1,
        max_size=12,
    ),
    st.integers(1, 3),
)
def test_all_work_is_done_and_no_turn_is_left_idle(works, turns):
    visitors, coming = Visitors(turns), list(enumerate(works))
    while coming or visitors.places:
        if coming:
            name, (after, seconds, guess) = coming.pop(0)
            for _ in range(after):
                visitors.work(0.5)
            visitors.come(str(name), seconds, guess=guess)
        else:
            visitors.work(0.5)
        assert len(visitors.working) == min(turns, len(visitors.places))
    assert len(visitors.queue) == 0
