"""Blocks of layers computed by several threads at once."""

import threading

import numpy as np
import pytest
import torch

from gridlstm.backends.parallel import Work, results_of
from gridlstm.backends.plan import MIN_PARALLEL_BLOCK, Shape, plan
from gridlstm.clamps import Clamp, clamps_of
from gridlstm.config import ModelConfig
from gridlstm.model import LanguageModel
from gridlstm.progress import Cancelled
from gridlstm.trace import trace

WORKERS = [1, 2, 3]
CONFIGS = {
    "stacked": ModelConfig("stacked", 3, 12),
    "gru": ModelConfig("gru", 2, 12),
    "grid": ModelConfig("grid", 4, 12, "none"),
}
TEXT = bytes(range(32, 127)) * 4


@pytest.fixture
def threads():
    """A function that sets torch's threads, which are as before afterwards."""
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


@pytest.mark.parametrize("workers", WORKERS)
def test_results_come_in_order_after_what_they_need(workers):
    """Sums along both sides of a square: each needs what is above it and what is to the left."""
    works, at = [], {}
    for row, column in np.ndindex(5, 7):
        needs = [at[place] for place in ((row - 1, column), (row, column - 1)) if place in at]

        def paths(needs=needs):
            return sum(totals[id(needed)] for needed in needs) or 1

        works.append(Work(paths, needs))
        at[row, column] = works[-1]
    totals = {}
    for work in works:

        def keep(compute=work.compute, work=work):
            totals[id(work)] = compute()
            return totals[id(work)]

        work.compute = keep
    found = list(results_of(works, workers))
    assert found[-1] == 210 and found == [totals[id(work)] for work in works]
    assert not any(work.result for work in works)  # what was taken is not kept


@pytest.mark.parametrize("workers", WORKERS)
def test_a_failure_is_raised_and_no_thread_is_left(workers):
    def fail():
        raise ValueError("no")

    alive = threading.active_count()
    first = Work(lambda: 1)
    second = Work(fail, [first])
    works = [first, second, Work(lambda: 3, [second])]
    results = results_of(works, workers)
    assert next(results) == 1
    with pytest.raises(ValueError, match="no"):
        next(results)
    assert threading.active_count() == alive


@pytest.mark.parametrize("workers", WORKERS)
def test_no_more_is_begun_once_the_caller_stops(workers):
    begun, alive = [], threading.active_count()
    works = [Work(lambda: begun.append(1))]
    for _ in range(50):
        works.append(Work(lambda: begun.append(1), works[-1:]))
    results = results_of(works, workers)
    next(results)
    results.close()
    assert len(begun) <= len(works) and threading.active_count() == alive
    assert all(work.done.is_set() for work in works[len(begun) :])


def test_threads_share_torch_s_and_give_them_back(threads):
    threads(4)
    found = list(results_of([Work(torch.get_num_threads) for _ in range(8)], 2))
    assert found == [2] * 8 and torch.get_num_threads() == 4


@pytest.mark.parametrize("name", CONFIGS)
def test_a_trace_by_several_threads_is_that_by_one(name, threads):
    torch.manual_seed(0)
    model = LanguageModel(CONFIGS[name]).eval()
    model.initialise(scale=0.4, forget_bias=1.0)
    threads(1)
    expected = trace(model, TEXT, dtype=np.float32)
    threads(3)
    found = trace(model, TEXT, dtype=np.float32)
    for quantity, values in expected.values.items():
        np.testing.assert_allclose(found.values[quantity], values, atol=1e-5)
    np.testing.assert_allclose(found.loss, expected.loss, atol=1e-5)


def test_a_trace_by_several_threads_can_be_cancelled(threads):
    """Progress is told in the thread that asked, where pages show it."""
    threads(2)
    shares = []

    def progress(share):
        assert threading.current_thread() is threading.main_thread()
        shares.append(share)
        if share > 0.4:
            raise Cancelled

    alive = threading.active_count()
    with pytest.raises(Cancelled):
        trace(LanguageModel(CONFIGS["stacked"]).eval(), TEXT, progress=progress)
    assert shares == sorted(shares) and threading.active_count() == alive


@pytest.mark.parametrize(
    ("threads", "positions", "sequences", "layers", "clamped", "expected"),
    [
        (2, 1000, 1, 3, False, 2),
        (8, 1000, 1, 3, False, 3),
        (1, 1000, 1, 3, False, 1),
        (2, 1000, 1, 1, False, 1),
        (2, 2 * MIN_PARALLEL_BLOCK - 1, 1, 3, False, 1),
        (2, 1000, 50, 3, False, 1),
        (2, 1000, 1, 3, True, 1),
    ],
)
def test_layers_are_given_to_threads_where_it_gains(
    threads, positions, sequences, layers, clamped, expected
):
    config = ModelConfig("stacked", layers, 12)
    clamps = (
        clamps_of([[Clamp("time.cell", 1, 0, 0.0)]], config, torch.zeros(1)) if clamped else None
    )
    shape = Shape(positions, sequences, positions)
    made = plan(config, shape, "cpu", gradients=False, clamps=clamps, threads=threads)
    assert made.workers == expected
    assert any(f"{expected} threads" in reason for reason in made.reasons) == (expected > 1)
