"""The ways in which a layer's recurrence is read agree, and each is taken where it gains."""

import pytest
import torch

from gridlstm.config import ModelConfig
from gridlstm.model import LanguageModel
from gridlstm.networks import lstm, products
from gridlstm.networks.holds import Hold
from gridlstm.networks.layerwise import Products
from gridlstm.networks.products import LARGE_FOR_ONE_ROW, MANY_TIMES, JoinedProduct
from gridlstm.trace import trace

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


@pytest.mark.parametrize("positions", [1, 5, 40])
def test_a_gru_step_by_step_and_at_once(positions):
    torch.manual_seed(1)
    network = LanguageModel(ModelConfig("gru", 2, UNITS)).double().recurrent
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter)
    read, h = torch.randn(positions, 3, UNITS).double(), torch.randn(3, UNITS).double()
    with torch.no_grad():
        product = Products(network).of(1, "time")
        steps = zip(*network._step_by_step(1, product, read, h, None), strict=True)
        at_once = network._at_once(1, product, read, h)
    for expected, found in zip(steps, at_once, strict=True):
        torch.testing.assert_close(found, torch.stack(expected), atol=1e-12, rtol=0)


@pytest.mark.parametrize("architecture", ["stacked", "gru"])
def test_what_is_held_is_read_step_by_step(architecture, monkeypatch):
    """And all that is not is read at once, where that gains."""
    model = LanguageModel(ModelConfig(architecture, 2, UNITS))
    asked = []
    for name in ("lstm", "gru"):
        plain = getattr(torch, name)
        monkeypatch.setattr(torch, name, lambda *a, p=plain: asked.append(1) or p(*a))
    data = bytes(range(50))
    trace(model, data)
    assert len(asked) == 2
    trace(
        model,
        data,
        holds=[Hold("time.hidden" if architecture == "gru" else "time.cell", 1, 0, 0.0)],
    )
    assert len(asked) == 3
    trace(model, data[: lstm.MANY_POSITIONS - 1])
    assert len(asked) == 3


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
