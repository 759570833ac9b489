"""Whose long work is done next, where several visitors want some at once. Knows no Streamlit.

The processors are shared by as many pieces of work as there are turns at a time. What has least
left goes first, so that a short text need not wait for long ones; and it grows old: work that needs
`s` seconds, and comes when `v` seconds of all work have been done, is ordered by `v + s`, so that
what comes after another `s` seconds of work stands behind it, however short it is. Work that runs
gives way, wherever it tells its progress, to what should be done before it, and goes on afterwards.
All work of one request has come when its first did, so that who has begun to be served need not
wait once more behind all others for what is left.
"""

import threading
import time
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

# Work that runs gives way only where the other is due before it by this, and by this share of its
# own seconds: estimates are never quite right, and work that has begun keeps memory.
SECONDS_TO_GAIN, SHARE_TO_GAIN = 0.25, 0.25
# From this share on, how long work takes is reckoned from how long the share took.
MIN_SHARE = 0.02
# After so many seconds of others' work what was to be done last is like any other work.
SECONDS_TO_BE_LAST = 20


@dataclass(eq=False)
class Place:
    """A piece of work in the queue. `key` tells what its result is, its first entry the kind of
    work; `guess` is how many seconds it was thought to take in all, `expected` what it is since
    it is known better; `arrived` is how many seconds of all work had been done before it came.

    `is_last`: it is done when nobody else has work, and not beside others'.

    `counted_at` is the clock when what was done was counted last, None where that begins anew.
    """

    key: tuple[Hashable, ...]
    arrived: float
    guess: float
    is_last: bool = False
    expected: float | None = None
    done: float = 0.0
    has_turn: bool = False
    counted_at: float | None = None


class WorkQueue:
    """At most `turns` pieces of work have a turn at a time.

    `clock` gives the seconds of a processor that the thread which asks has had, by which work is
    measured: by a clock on the wall all would seem longer, the more there is to do.
    """

    def __init__(self, turns: int, clock: Callable[[], float] = time.thread_time) -> None:
        self.turns, self._clock = turns, clock
        self._places: list[Place] = []  # in the order in which they came
        self._done = 0.0
        # How many times as long as guessed work took of late, by its kind.
        self._paces: dict[Hashable, float] = {}
        self._changed = threading.Condition()
        self._mine = threading.local()

    def begin_request(self) -> None:
        """What this thread does from now on is of a new request."""
        self._mine.arrived = None

    @contextmanager
    def place(
        self, key: tuple[Hashable, ...], seconds: float, is_last: bool = False
    ) -> Iterator[Place]:
        """Within, a place in the queue for work that will take about so many seconds, and after
        that none: where the work is done, and where it is given up. Of places with one key only the
        first gets a turn. Work within work, in the same thread, has the place of that.
        """
        if (mine := getattr(self._mine, "place", None)) is not None:
            yield mine
            return
        with self._changed:
            if getattr(self._mine, "arrived", None) is None:
                self._mine.arrived = self._done
            place = Place(key, self._mine.arrived, seconds, is_last)
            self._places.append(place)
            self._give_turns()
        self._mine.place = place
        try:
            yield place
        finally:
            self._mine.place = None
            with self._changed:
                self._count(place)
                self._places.remove(place)
                self._give_turns()

    def wait(
        self, place: Place, seconds: float, unless: Callable[[], bool] = lambda: False
    ) -> bool:
        """Wait for its turn, so many seconds at most, or until `unless` is true, which is asked
        whenever a place changes; returns whether it has its turn."""
        with self._changed:
            self._changed.wait_for(lambda: place.has_turn or unless(), seconds)
            self._count(place)
            return place.has_turn

    def report(self, place: Place, share: float) -> bool:
        """Tell which share of the work is done; returns whether its turn goes on. Where it does
        not, wait for the next one."""
        with self._changed:
            self._count(place)
            if share >= MIN_SHARE:
                place.expected = place.done / min(share, 1.0)
                self._paces[place.key[0]] = place.expected / place.guess
            if place.has_turn and self._should_yield(place):
                place.has_turn, place.counted_at = False, None
                self._give_turns()
            return place.has_turn

    def before(self, place: Place) -> int:
        """How many places come before one that waits."""
        with self._changed:
            order = sorted(self._places, key=lambda p: (not p.has_turn, self._due(p)))
            return order.index(place)

    def working(self) -> int:
        """How many places have a turn."""
        with self._changed:
            return len(self._with_turn())

    def __len__(self) -> int:
        with self._changed:
            return len(self._places)

    # -- Under the lock ---------------------------------------------------------------------------

    def _expected(self, place: Place) -> float:
        """The seconds that it takes in all, as far as is known by now."""
        if place.expected is not None:
            return place.expected
        return place.guess * self._paces.get(place.key[0], 1.0)

    def _due(self, place: Place) -> float:
        """Its order: the smaller, the sooner."""
        return place.arrived + self._expected(place)

    def _with_turn(self) -> list[Place]:
        return [place for place in self._places if place.has_turn]

    def _next(self) -> Place | None:
        """The place that gets the next turn, unless none waits for one. Where several want the same
        result, those after the first wait for that."""
        first = {place.key: place for place in reversed(self._places)}
        waiting = [place for place in self._places if not place.has_turn]
        able = [place for place in waiting if first[place.key] is place]
        if not all(map(self._is_last, self._places)):
            able = [place for place in able if not self._is_last(place)]
        return min(able, key=self._due, default=None)

    def _is_last(self, place: Place) -> bool:
        return place.is_last and self._done - place.arrived < SECONDS_TO_BE_LAST

    def _give_turns(self) -> None:
        while len(self._with_turn()) < self.turns and (place := self._next()) is not None:
            place.has_turn = True
        self._changed.notify_all()

    def _should_yield(self, place: Place) -> bool:
        """Whether one that waits should go on in its stead: of those with a turn the last does."""
        rival = self._next()
        if rival is None or place is not max(self._with_turn(), key=self._due):
            return False
        gained = self._due(place) - self._due(rival)
        return gained > max(SECONDS_TO_GAIN, SHARE_TO_GAIN * self._expected(place))

    def _count(self, place: Place) -> None:
        """Count what has been done of it since the last time, in the thread that does it."""
        if not place.has_turn:
            return
        now = self._clock()
        if place.counted_at is not None:
            place.done += now - place.counted_at
            self._done += now - place.counted_at
        place.counted_at = now
