"""How many threads torch uses for one of several visitors: by clocks that the tests set."""

from types import SimpleNamespace

import pytest
import torch

from dashboard.serving import threads


@pytest.fixture
def machine(monkeypatch):
    """A machine on which torch has eight threads, its clocks, and the threads that are in use."""
    machine = SimpleNamespace(clock=0.0, processor=0.0, threads=8)
    monkeypatch.setattr(torch, "get_num_threads", lambda: machine.threads)
    monkeypatch.setattr(torch, "set_num_threads", lambda count: setattr(machine, "threads", count))
    monkeypatch.setattr(
        threads,
        "time",
        SimpleNamespace(monotonic=lambda: machine.clock, thread_time=lambda: machine.processor),
    )
    monkeypatch.setattr(threads, "_threads_at_first", lambda: 8)
    return machine


def used(machine, work, working: int, seconds: float, share: float) -> int:
    """The threads of work after so many seconds, for a share of which it had a processor."""
    machine.clock += seconds
    machine.processor += share * seconds
    work.share(working)
    return machine.threads


def test_threads_are_shared_out_among_those_who_work(machine):
    work = threads.Threads()
    assert [used(machine, work, working, 1, 1.0) for working in (1, 2, 3, 8, 20, 1)] == [
        8, 4, 2, 1, 1, 8,
    ]  # fmt: skip


def test_work_that_waits_for_a_processor_goes_on_with_one_thread(machine):
    work = threads.Threads()
    assert used(machine, work, 1, 1, 0.9) == 8
    assert used(machine, work, 1, 1, 0.3) == 1
    assert used(machine, work, 1, 1, 1.0) == 1
    assert used(machine, threads.Threads(), 1, 1, 1.0) == 8  # of other work nothing is known


def test_a_moment_is_not_judged_by_nor_is_a_pause(machine):
    work = threads.Threads()
    assert used(machine, work, 1, threads.SECONDS_TO_JUDGE / 2, 0.0) == 8
    machine.clock += 100
    work.resume()
    assert used(machine, work, 1, 1, 0.9) == 8


def test_one_thread_is_never_held_up_by_another(machine):
    work = threads.Threads()
    assert used(machine, work, 8, 1, 1.0) == 1
    assert used(machine, work, 8, 1, 0.2) == 1
    assert used(machine, work, 1, 1, 0.2) == 8
