"""The ways in which a layer's recurrence is read agree, and each is taken where it gains."""

import os
import subprocess
import sys

import pytest
import torch

from gridlstm.config import ModelConfig
from gridlstm.model import LanguageModel
from gridlstm.networks import lstm, lstm_at_once, products
from gridlstm.clamps import Hold
from gridlstm.networks.layerwise import Products
from gridlstm.networks.products import FEW_ROWS, LARGE_FOR_ONE_ROW, MANY_TIMES, JoinedProduct
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
    found = lstm_at_once.memories(forget, written.clone(), before)
    torch.testing.assert_close(found, torch.stack(expected), atol=1e-14, rtol=0)


def test_memories_that_nothing_is_left_of():
    """Forget gates whose product is too small for any float do no harm."""
    forget = torch.full((400, 1, 1), 1e-30)
    found = lstm_at_once.memories(forget, torch.ones(400, 1, 1), torch.ones(1, 1))
    torch.testing.assert_close(found, torch.ones(400, 1, 1))


def random_layer(positions: int, sequences: int, units: int, dtype=torch.float64):
    """What a layer reads, its weights and its state, in one type each."""
    torch.manual_seed(1)
    weight = torch.randn(4 * units, 2 * units, dtype=dtype) / units**0.5
    product = JoinedProduct(weight, torch.randn(4 * units, dtype=dtype))
    read = torch.randn(positions, sequences, units, dtype=dtype)
    return read, product, tuple(torch.randn(2, sequences, units, dtype=dtype))


def by_equations(read, product, state) -> dict[str, torch.Tensor]:
    steps = lstm._with_gradient(read, product, state, None, 0)
    return {kind: torch.stack([step[kind] for step in steps]) for kind in steps[0]}


@pytest.mark.parametrize("positions", [1, 5, 40])
def test_step_by_step_at_once_and_with_gradient(positions):
    layer = random_layer(positions, 2, UNITS)
    expected = by_equations(*layer)
    with torch.no_grad():
        for found in (lstm._step_by_step(*layer, None, 0), lstm_at_once.lstm_at_once(*layer)):
            torch.testing.assert_close(found, expected, atol=1e-12, rtol=0)


# Rows of a workspace are filled up to cache lines, and those of 64 and 256 units by one more.
SHAPES = [(1, 1, 3), (40, 2, 1), (33, 3, 5), (70, 2, 16), (50, 1, 63), (35, 4, 64), (40, 2, 256)]


@pytest.mark.parametrize("onednn", [True, False], ids=["workspace", "hidden states"])
@pytest.mark.parametrize("shape", SHAPES)
def test_a_layer_is_the_same_from_the_workspace_and_from_hidden_states(shape, onednn, monkeypatch):
    if not onednn:
        monkeypatch.setattr(lstm_at_once, "_goes_through_onednn", lambda read: False)
    layer = random_layer(*shape, torch.float32)
    expected = by_equations(*layer)
    with torch.inference_mode():
        found = lstm_at_once.lstm_at_once(*layer)
    torch.testing.assert_close(found, expected, atol=2e-5, rtol=0)


def test_what_is_not_contiguous_is_read_as_it_is():
    read, product, state = random_layer(40, 3, 16, torch.float32)
    expected = by_equations(read, product, state)
    strided = [part.T.contiguous().T for part in state]
    apart = read.transpose(0, 1).contiguous().transpose(0, 1)
    assert not (apart.is_contiguous() or strided[0].is_contiguous())
    with torch.inference_mode():
        found = lstm_at_once.lstm_at_once(apart, product, strided)
    torch.testing.assert_close(found, expected, atol=2e-5, rtol=0)


def test_nothing_that_is_read_at_once_has_a_gradient():
    read, product, state = random_layer(40, 2, 16, torch.float32)
    with torch.no_grad():
        found = lstm_at_once.lstm_at_once(read.requires_grad_(), product, state)
    assert not any(values.requires_grad for values in found.values())


PROBE = """
import torch
from test_recurrences import SHAPES, random_layer
from gridlstm.networks.lstm_at_once import _from_workspace
with torch.inference_mode():
    print([_from_workspace(*random_layer(*shape, torch.float32)) is not None for shape in SHAPES])
"""


@pytest.mark.skipif(not torch.backends.mkldnn.is_available(), reason="torch is without oneDNN here")
@pytest.mark.parametrize("instructions", ["SSE41", "AVX2", "DEFAULT"])
def test_the_workspace_is_laid_out_as_expected_on_every_kind_of_processor(instructions):
    """Where it is not, nothing is wrong but the speed: with another torch this test tells."""
    environment = {**os.environ, "ONEDNN_MAX_CPU_ISA": instructions}
    here = os.path.dirname(__file__)
    told = subprocess.run(
        [sys.executable, "-c", PROBE], env=environment, cwd=here, capture_output=True, text=True
    )
    assert told.stdout.strip() == str([True] * len(SHAPES)), told.stderr


def spoilt(*part: slice):
    """A function that turns round, in time, a part of the gates of 40 positions, 2 sequences and
    16 units [position, gate of a unit of a sequence]."""

    def spoil(workspace):
        size = 40 * 2 * 4 * 16 * torch.float32.itemsize
        gates = workspace[:size].clone().view(torch.float32).view(40, -1)
        gates[part] = gates[part].flip(0)
        return torch.cat((gates.flatten().view(torch.uint8), workspace[size:]))

    return spoil


SPOILT = {
    "too short": lambda workspace: workspace[:64],
    "no whole number": lambda workspace: workspace[:61],
    "shifted": lambda workspace: workspace.roll(64),
    "nothing there": torch.zeros_like,
    "the first half": spoilt(slice(20)),
    "output gates": spoilt(slice(None), slice(48, 64)),
}


@pytest.mark.skipif(not torch.backends.mkldnn.is_available(), reason="torch is without oneDNN here")
@pytest.mark.parametrize("spoil", SPOILT.values(), ids=SPOILT)
def test_a_workspace_that_is_laid_out_otherwise_is_not_believed(spoil, monkeypatch):
    layer = random_layer(40, 2, 16, torch.float32)
    expected, plain, asked = by_equations(*layer), torch.mkldnn_rnn_layer, []

    def otherwise(*arguments):
        *rest, workspace = plain(*arguments)
        asked.append(len(workspace))
        return *rest, spoil(workspace)

    monkeypatch.setattr(torch, "mkldnn_rnn_layer", otherwise)
    with torch.inference_mode():
        found = lstm_at_once.lstm_at_once(*layer)
    assert len(asked) == 1
    torch.testing.assert_close(found, expected, atol=2e-5, rtol=0)


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


def test_a_gru_holds_a_unit_whose_update_gate_is_open():
    """Over 5,000 bytes in float32 z = 1 holds it exactly, at once and step by step alike, as
    `z h + (1 - z) g` does; torch's `(h - g) z + g` moves it by a rounding a position."""
    torch.manual_seed(0)
    model = LanguageModel(ModelConfig("gru", 2, 32))
    model.initialise(scale=0.5, forget_bias=1.0)
    with torch.no_grad():
        model.recurrent.torch.bias_ih_l0[32] = 40.0  # the update gate of layer 0's first unit
    state = (torch.full((2, 1, 32), 0.123),)
    network, inputs = model.recurrent, torch.randn(5000, 1, 32)
    product = Products(network).of(0, "time")
    with torch.no_grad():
        below = state[0][0]
        at_once = network._at_once(0, product, inputs, below)
        steps = zip(*network._step_by_step(0, product, inputs, below, None), strict=True)
        step_by_step = [torch.stack(values) for values in steps]
    for found, expected in zip(at_once, step_by_step, strict=True):
        torch.testing.assert_close(found, expected, atol=3e-6, rtol=0)
    for hidden in (at_once[0], step_by_step[0]):
        assert torch.equal(hidden[..., 0], below[:, 0].expand(5000, 1))


@pytest.mark.parametrize("architecture", ["stacked", "gru"])
def test_what_is_held_is_read_step_by_step(architecture, monkeypatch):
    """And all that is not is read at once, where that gains."""
    model = LanguageModel(ModelConfig(architecture, 2, UNITS))
    asked = []
    monkeypatch.setattr(lstm_at_once, "_goes_through_onednn", lambda read: False)
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


def test_an_lstm_goes_step_by_step_where_a_large_weight_is_read_in_float16():
    units = 512
    full = torch.randn(4 * units, 2 * units) / units**0.5
    halves, small = full.half().float(), full[: 4 * units - 4, : 2 * units - 2].half().float()

    def gains(weight, sequences=2, side_by_side=False):
        product = JoinedProduct(weight, torch.zeros(len(weight)))
        product.side_by_side = side_by_side
        return product.gains_by_halves(sequences)

    assert gains(halves) == gains(halves, FEW_ROWS) == products.reads_halves(halves)
    assert gains(halves, 1, side_by_side=True) == products.reads_halves(halves)
    assert not (gains(halves, 1) or gains(halves, FEW_ROWS + 1) or gains(full, 1, True))
    assert not (gains(full) or gains(small))


@pytest.mark.parametrize("halves", [True, False])
def test_large_layers_are_the_same_whatever_their_weights_are_read_in(halves, monkeypatch):
    """Twice, as weights are made ready the more they are asked for."""
    torch.manual_seed(1)
    units, sequences = 512, 3
    weight, read = torch.randn(4 * units, 2 * units), torch.randn(MANY_TIMES, sequences, units)
    weight = (weight / units).half().float() if halves else weight / units
    product, state = JoinedProduct(weight, torch.randn(4 * units)), torch.randn(2, sequences, units)
    wide = JoinedProduct(weight.double(), product._bias.double())
    at_once = []
    plain = lstm.lstm_at_once
    monkeypatch.setattr(lstm, "lstm_at_once", lambda *a: at_once.append(1) or plain(*a))
    expected = by_equations(read.double(), wide, state.double().unbind())
    with torch.inference_mode():
        for _ in range(2):
            found = lstm.lstm_over_time(read, product, state.unbind(), None, 0)
            for kind, values in expected.items():
                torch.testing.assert_close(
                    found[f"time.{kind}"].double(), values, atol=2e-6, rtol=0
                )
    assert bool(at_once) != (halves and products.reads_halves(weight))
