"""The ways in which a layer's LSTM along time is read agree, and each is taken where it gains."""

import pytest
import torch

from gridlstm.networks import lstm, products
from gridlstm.networks.products import LARGE_FOR_ONE_ROW, MANY_TIMES, JoinedProduct

UNITS = 6


@pytest.mark.parametrize("positions", [1, 2, 3, 4, 8, 9, 10, 50])
def test_memories_in_blocks_are_those_one_by_one(positions):
    forget, written = torch.rand(2, positions, 3, UNITS, dtype=torch.float64)
    before = torch.randn(3, UNITS, dtype=torch.float64)
    expected, memory = [], before
    for f, w in zip(forget, written, strict=True):
        memory = f * memory + w
        expected.append(memory)
    found = lstm._memories(forget, written.clone(), before)
    torch.testing.assert_close(found, torch.stack(expected), atol=1e-14, rtol=0)


def test_memories_that_nothing_is_left_of():
    """Forget gates whose product is too small for any float do no harm."""
    forget = torch.full((400, 1, 1), 1e-30)
    found = lstm._memories(forget, torch.ones(400, 1, 1), torch.ones(1, 1))
    torch.testing.assert_close(found, torch.ones(400, 1, 1))


@pytest.mark.parametrize("positions", [1, 5, 40])
def test_step_by_step_at_once_and_with_gradient(positions):
    torch.manual_seed(1)
    product = JoinedProduct(
        torch.randn(4 * UNITS, 2 * UNITS).double(), torch.randn(4 * UNITS).double()
    )
    read, state = (
        torch.randn(positions, 2, UNITS).double(),
        tuple(torch.randn(2, 2, UNITS).double()),
    )
    steps = lstm._with_gradient(read, product, state, None, 0)
    with torch.no_grad():
        by_step = lstm._step_by_step(read, product, state, None, 0)
        at_once = lstm._at_once(read, product, state)
    for kind in steps[0]:
        expected = torch.stack([step[kind] for step in steps])
        for found in (by_step[kind], at_once[kind]):
            torch.testing.assert_close(found, expected, atol=1e-12, rtol=0, msg=kind)


def test_steps_are_taken_where_an_order_made_for_their_products_gains(monkeypatch):
    def gains(weight, sequences, positions=MANY_TIMES):
        return JoinedProduct(weight, torch.zeros(len(weight))).gains_by_steps(sequences, positions)

    rows = 1024
    large = torch.randn(rows, 2 * LARGE_FOR_ONE_ROW // rows)
    assert gains(large, 2) and not gains(large, 2, MANY_TIMES - 1)
    assert not gains(large[:-1], 1) and not gains(large, 1)
    halves = large.half().float()
    assert gains(halves, 1) == products.reads_halves(halves)
    assert not gains(halves[:-1], 1)
    monkeypatch.setattr(products, "reads_halves", lambda weight: False)
    assert not gains(halves, 1) and gains(halves, 2)
