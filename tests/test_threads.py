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
    monkeypatch.setattr(threads, "_again", 0.0)
    return machine


def used(machine, work, working: int, share: float, seconds: float = 1) -> int:
    """The threads of work after so many seconds, for a share of which it had a processor."""
    machine.clock += seconds
    machine.processor += share * seconds
    work.share(working)
    return machine.threads


def begun(machine) -> threads.Threads:
    """Work in a new thread."""
    machine.threads, work = 8, threads.Threads()
    work.share(1)
    return work


def test_threads_are_shared_out_among_those_who_work(machine):
    work = begun(machine)
    assert machine.threads == 8
    assert [used(machine, work, working, 1.0) for working in (1, 2, 3, 8, 20, 1)] == [
        8, 4, 2, 1, 1, 8,
    ]  # fmt: skip


def test_work_has_one_thread_where_no_processor_is_to_spare(machine):
    work = begun(machine)
    assert used(machine, work, 8, 1.0) == 1
    assert [used(machine, work, 1, share) for share in (0.5, 0.8, 0.95)] == [1, 1, 8]


def test_threads_that_wait_for_a_processor_are_too_many_for_a_while_for_all(machine):
    work = begun(machine)
    assert [used(machine, work, 1, share) for share in (1.0, 0.8, 0.3, 1.0)] == [8, 8, 1, 1]
    other = begun(machine)
    assert machine.threads == 1
    assert used(machine, other, 1, 1.0) == 1
    assert used(machine, other, 1, 1.0, threads.SECONDS_TO_REST) == 8


def test_a_moment_is_not_judged_by_nor_is_a_pause(machine):
    work = begun(machine)
    assert used(machine, work, 1, 0.0, threads.SECONDS_TO_JUDGE / 2) == 8
    machine.clock += 100
    work.resume()
    assert used(machine, work, 1, 0.9) == 8
