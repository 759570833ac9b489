"""The ways in which a layer's recurrence is read agree, and each is taken where it gains."""

import math
import os
import subprocess
import sys
from dataclasses import replace

import pytest
import torch

from gridlstm.backends import at_once
from gridlstm.backends.at_once import lstm_at_once
from gridlstm.backends.fast import FAST
from gridlstm.backends.linear import LayerWeights
from gridlstm.backends.plan import (
    MAX_ROWS_IN_FLOAT16,
    MIN_CALLS,
    MIN_LARGE_FOR_ONE_ROW,
    MIN_POSITIONS_AT_ONCE,
    Shape,
    plan,
)
from gridlstm.cells import Layer, joined
from gridlstm.cells.arithmetic import carry_in_place, carry_linearly
from gridlstm.clamps import Clamp
from gridlstm.config import ModelConfig
from gridlstm.model import LanguageModel
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
    found = carry_in_place(forget, written.clone(), before)
    torch.testing.assert_close(found, torch.stack(expected), atol=1e-14, rtol=0)


def test_memories_that_nothing_is_left_of():
    """Forget gates whose product is too small for any float do no harm."""
    forget = torch.full((400, 1, 1), 1e-30)
    found = carry_in_place(forget, torch.ones(400, 1, 1), torch.ones(1, 1))
    torch.testing.assert_close(found, torch.ones(400, 1, 1))


@pytest.mark.parametrize("positions", [1, 2, 7])
def test_the_gradient_of_memories_carried_linearly(positions):
    keep, written = torch.rand(2, positions, 3, 2, dtype=torch.float64).requires_grad_()
    before = torch.randn(3, 2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(carry_linearly, (keep, written, before))


def random_layer(positions, sequences, units, dtype=torch.float64, architecture="stacked"):
    """A layer, its cell, what it reads, its weights and its state, of random numbers."""
    torch.manual_seed(1)
    model = LanguageModel(ModelConfig(architecture, 1, units)).to(dtype).eval()
    for parameter in model.recurrent.parameters():
        torch.nn.init.normal_(parameter, std=units**-0.5)
    weights = LayerWeights(model.recurrent, Shape(positions, sequences, positions))
    inputs = torch.randn(positions, sequences, units, dtype=dtype)
    names = tuple(model.config.form.state.values())
    state = tuple(torch.randn(len(names), sequences, units, dtype=dtype))
    return model.recurrent.cell, Layer(0, weights, inputs, None, state, names)


def read(cell, layer, recurrence="cells") -> dict[str, torch.Tensor]:
    """Its quantities [T, B, U] by what a plan calls a recurrence: "cells" are the equations."""
    layer = replace(layer, fast=FAST[recurrence])
    with torch.inference_mode():
        return {quantity: joined(values) for quantity, values in cell.read(layer).items()}


# Rows of a workspace are filled up to cache lines, and those of 64 and 256 units by one more.
SHAPES = [(1, 1, 3), (40, 2, 1), (33, 3, 5), (70, 2, 16), (50, 1, 63), (35, 4, 64), (40, 2, 256)]


@pytest.mark.parametrize("onednn", [True, False], ids=["workspace", "hidden states"])
@pytest.mark.parametrize("shape", SHAPES)
def test_a_layer_is_the_same_from_the_workspace_and_from_hidden_states(shape, onednn, monkeypatch):
    if not onednn:
        monkeypatch.setattr(at_once, "uses_onednn", lambda read: False)
    layer = random_layer(*shape, torch.float32)
    torch.testing.assert_close(read(*layer, "at once"), read(*layer), atol=2e-5, rtol=0)


def test_what_is_not_contiguous_is_read_as_it_is():
    cell, layer = random_layer(40, 3, 16, torch.float32)
    expected = read(cell, layer)
    strided = tuple(part.T.contiguous().T for part in layer.state)
    apart = layer.inputs.transpose(0, 1).contiguous().transpose(0, 1)
    assert not (apart.is_contiguous() or strided[0].is_contiguous())
    found = read(cell, replace(layer, inputs=apart, state=strided), "at once")
    torch.testing.assert_close(found, expected, atol=2e-5, rtol=0)


def test_nothing_that_is_read_at_once_has_a_gradient():
    _, layer = random_layer(40, 2, 16, torch.float32)
    layer.inputs.requires_grad_()
    with torch.no_grad():
        found = lstm_at_once(layer, "time")
    assert not any(values.requires_grad for values in found.values())


PROBE = """
import torch
from test_recurrences import SHAPES, random_layer
from gridlstm.backends.at_once import _from_workspace
with torch.inference_mode():
    layers = [random_layer(*shape, torch.float32)[1] for shape in SHAPES]
    read = [_from_workspace(l.inputs, l.weights.torch_weights(0), l.state) for l in layers]
    print([values is not None for values in read])
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
    expected, plain, asked = read(*layer), torch.mkldnn_rnn_layer, []

    def otherwise(*arguments):
        *rest, workspace = plain(*arguments)
        asked.append(len(workspace))
        return *rest, spoil(workspace)

    monkeypatch.setattr(torch, "mkldnn_rnn_layer", otherwise)
    found = read(*layer, "at once")
    assert len(asked) == 1
    torch.testing.assert_close(found, expected, atol=2e-5, rtol=0)


def test_a_gru_holds_a_unit_whose_update_gate_is_open():
    """Over 5,000 bytes in float32 z = 1 holds it exactly, at once and step by step alike, as
    `z h + (1 - z) g` does; torch's `(h - g) z + g` moves it by a rounding a position."""
    torch.manual_seed(0)
    model = LanguageModel(ModelConfig("gru", 2, 32))
    model.initialise(scale=0.5, forget_bias=1.0)
    with torch.no_grad():
        model.recurrent.torch.bias_ih_l0[32] = 40.0  # the update gate of layer 0's first unit
    state = (torch.full((2, 1, 32), 0.123),)
    weights = LayerWeights(model.recurrent, Shape(5000, 1, 5000))
    below = state[0][0]
    layer = Layer(0, weights, torch.randn(5000, 1, 32), None, (below,), ("time.hidden",))
    at_once, step_by_step = (read(model.recurrent.cell, layer, how) for how in ("at once", "cells"))
    torch.testing.assert_close(at_once, step_by_step, atol=3e-6, rtol=0)
    for values in (at_once, step_by_step):
        hidden = values["time.hidden"]
        assert torch.equal(hidden[..., 0], below[:, 0].expand(5000, 1))


@pytest.mark.parametrize("architecture", ["stacked", "gru"])
def test_what_is_held_is_read_step_by_step(architecture, monkeypatch):
    """And all that is not is read at once, where that gains."""
    model = LanguageModel(ModelConfig(architecture, 2, UNITS))
    asked = []
    monkeypatch.setattr(at_once, "uses_onednn", lambda read: False)
    for name in ("lstm", "gru"):
        plain = getattr(torch, name)
        monkeypatch.setattr(torch, name, lambda *a, p=plain: asked.append(1) or p(*a))
    data = bytes(range(50))
    trace(model, data)
    assert len(asked) == 2
    trace(
        model,
        data,
        clamps=[Clamp("time.hidden" if architecture == "gru" else "time.cell", 1, 0, 0.0)],
    )
    assert len(asked) == 3
    trace(model, data[: MIN_POSITIONS_AT_ONCE - 1])
    assert len(asked) == 3


def recurrence_of(architecture, units, sequences, positions, float16, tie=None):
    """What the plan has for a layer along time."""
    config, shape = ModelConfig(architecture, 2, units, tie), Shape(positions, sequences, positions)
    chosen = plan(config, shape, "cpu", gradients=False, in_float16=lambda: float16)
    return chosen.recurrences[0]


@pytest.mark.parametrize(
    ("large", "sequences", "positions", "float16", "expected"),
    [
        (True, 2, MIN_CALLS, False, "in place"),
        (True, 2, MIN_CALLS - 1, False, "at once"),
        (True, 1, MIN_CALLS, False, "at once"),
        (True, 1, MIN_CALLS, True, "in place"),
        (False, 1, MIN_CALLS, True, "at once"),
        (False, 2, MIN_POSITIONS_AT_ONCE - 1, True, "in place"),
    ],
)
def test_a_gru_takes_steps_where_an_order_made_for_its_products_gains(
    large, sequences, positions, float16, expected
):
    units = math.isqrt(MIN_LARGE_FOR_ONE_ROW // 3) + large
    assert recurrence_of("gru", units, sequences, positions, float16) == expected


@pytest.mark.parametrize(
    ("large", "sequences", "float16", "tie", "expected"),
    [
        (True, 2, True, None, "in place"),
        (True, MAX_ROWS_IN_FLOAT16, True, None, "in place"),
        (True, MAX_ROWS_IN_FLOAT16 + 1, True, None, "at once"),
        (True, 1, True, None, "at once"),
        (True, 1, True, "all", "in place"),  # staggered, as two sequences
        (True, 1, False, "all", "at once"),
        (True, 2, False, None, "at once"),
        (False, 2, True, None, "at once"),
    ],
)
def test_an_lstm_goes_step_by_step_where_a_large_weight_is_read_in_float16(
    large, sequences, float16, tie, expected
):
    units = math.isqrt(MIN_LARGE_FOR_ONE_ROW // 4) - 1 + large
    architecture = "grid" if tie else "stacked"
    assert recurrence_of(architecture, units, sequences, 1000, float16, tie) == expected


@pytest.mark.parametrize("float16", [True, False])
@pytest.mark.parametrize("recurrence", ["in place", "at once"])
def test_large_layers_are_the_same_whatever_their_weights_are_read_in(float16, recurrence):
    """Twice, as weights are made ready when they are first asked for."""
    cell, layer = random_layer(MIN_CALLS, 3, 512, torch.float32)
    network = layer.weights._network
    if float16:
        tensors = network.to_tensors().items()
        network.load_tensors({name: tensor.detach().half().float() for name, tensor in tensors})
    wide = LanguageModel(network.config).double().recurrent
    wide.load_tensors({name: t.detach().double() for name, t in network.to_tensors().items()})
    exact = replace(
        layer,
        weights=LayerWeights(wide, layer.weights._shape),
        inputs=layer.inputs.double(),
        state=tuple(part.double() for part in layer.state),
    )
    expected = read(cell, exact)
    for _ in range(2):
        for quantity, values in read(cell, layer, recurrence).items():
            torch.testing.assert_close(values.double(), expected[quantity], atol=2e-5, rtol=0)
