"""Training in bfloat16 means products in bfloat16: states, gates and sums stay in float32, in every
architecture, so that a memory keeps growing by what is small beside it."""

import math

import pytest
import torch

from gridlstm.backends import recurrence
from gridlstm.config import ModelConfig
from gridlstm.model import LanguageModel

STEP, POSITIONS = 0.01, 1000
SURE = 20.0  # the sum before a gate that is open to all digits of float32

COUNTERS = [
    ModelConfig("stacked", 1, 1),
    ModelConfig("stacked", 2, 1),
    ModelConfig("grid", 1, 1, "all"),
    ModelConfig("grid", 2, 1, "none", priority="none"),
    ModelConfig("grid", 2, 1, "none", depth="tanh"),
    ModelConfig("grid", 2, 1, "none", depth="relu"),
    ModelConfig("depth-gated", 2, 1),
    ModelConfig("gated-feedback", 2, 1),
]
NAMES = ["-".join(map(str, (c.architecture, c.layers, c.priority, c.depth))) for c in COUNTERS]


def model_of(config: ModelConfig, **biases: list[float]) -> LanguageModel:
    """A model whose weights are 0, but for the biases of a dimension in every layer."""
    model = LanguageModel(config)
    tensors = {name: torch.zeros_like(tensor) for name, tensor in model.to_tensors().items()}
    for dimension, bias in biases.items():
        for name in tensors:
            if name.endswith(f"{dimension}.bias"):
                tensors[name] = torch.tensor(bias)
    model.load_tensors(tensors)
    return model


def read_in_chunks(model: LanguageModel, length: int, *, gradients: bool) -> tuple:
    """The state after `POSITIONS` bytes, `length` at a time with the state carried, in bfloat16."""
    state, chunk = model.start(1), torch.zeros(length, 1, dtype=torch.int64)
    with torch.autocast("cpu", torch.bfloat16), torch.set_grad_enabled(gradients):
        for _ in range(POSITIONS // length):
            _, state = model(chunk, tuple(part.detach() for part in state))
    return state


@pytest.mark.parametrize("gradients", [True, False])
@pytest.mark.parametrize("length", [1, 50, 1000])
@pytest.mark.parametrize("config", COUNTERS, ids=NAMES)
def test_a_cell_counts(config, length, gradients):
    """Input and forget gate open, candidate 0.01: after 1,000 bytes the cell holds 10. In bfloat16
    it would stop at 4, where 0.01 is less than half a unit in the last place."""
    candidate = torch.tensor(math.atanh(STEP)).bfloat16().item()  # as the grid adds its bias
    biases = {"time": [SURE, SURE, SURE, candidate]}
    if config.architecture == "depth-gated":
        biases["depth"] = [-SURE]  # nothing comes from the layer below
    model = model_of(config, **biases)
    _, cells = read_in_chunks(model, length, gradients=gradients)
    expected = POSITIONS * math.tanh(candidate)
    torch.testing.assert_close(cells.detach(), torch.full_like(cells, expected), rtol=1e-3, atol=0)


@pytest.mark.parametrize("gradients", [True, False])
@pytest.mark.parametrize("length", [1, 50, 1000])
@pytest.mark.parametrize("layers", [1, 2])
def test_a_gru_creeps_towards_its_candidate(layers, length, gradients):
    """`h' = z h + (1 - z) g` with 1 - z = 1/1024 and g = 1: h is 1 - z^n. In bfloat16 it would
    stand still at 0.75, where a step is less than half a unit in the last place."""
    z_sum = math.log(1023)
    model = model_of(ModelConfig("gru", layers, 1), time=[0.0, z_sum, SURE])
    (h,) = read_in_chunks(model, length, gradients=gradients)
    z = 1 / (1 + math.exp(-torch.tensor(z_sum).item()))
    expected = torch.full_like(h, 1 - z**POSITIONS)
    torch.testing.assert_close(h.detach(), expected, rtol=2e-3, atol=0)


@pytest.mark.parametrize("gradients", [True, False])
def test_a_depth_memory_counts(gradients):
    """Up 64 layers of shared weights, each of which writes 0.01: the top holds 0.64. In bfloat16
    each step would be off by up to a fifth."""
    layers = 64
    candidate = torch.tensor(math.atanh(STEP)).bfloat16().item()
    config = ModelConfig("grid", layers, 1, "all")
    model = model_of(config, depth=[SURE, SURE, SURE, candidate])
    with torch.autocast("cpu", torch.bfloat16), torch.set_grad_enabled(gradients):
        embedded = model.embedding(torch.zeros(2, 1, dtype=torch.int64))
        top, _ = model.recurrent(embedded, model.start(1))
    expected = math.tanh(layers * math.tanh(candidate))
    torch.testing.assert_close(
        top.detach().float(), torch.full(top.shape, expected), rtol=2**-8, atol=0
    )


KINDS = [("stacked", torch.nn.LSTM), ("gru", torch.nn.GRU), ("rnn", torch.nn.RNN)]


@pytest.mark.parametrize("native", [True, False])
@pytest.mark.parametrize(("architecture", "module"), KINDS)
def test_a_recurrence_in_float64_is_torch_s(monkeypatch, architecture, module, native):
    """Values and gradients of the recurrence that training in bfloat16 uses, with nothing rounded:
    of inputs, weights, biases and the state at the start."""
    monkeypatch.setattr(recurrence, "multiplies_natively", lambda dtype, device: native)
    torch.manual_seed(0)
    model = LanguageModel(ModelConfig(architecture, 2, 5)).double()
    model.initialise(scale=0.8, forget_bias=1.0)
    parameters = [p for p in model.recurrent.parameters() if p.requires_grad]
    inputs = torch.randn(7, 3, 5, dtype=torch.float64, requires_grad=True)
    start = tuple(
        torch.randn(2, 3, 5, dtype=torch.float64, requires_grad=True) for _ in model.start(3)
    )

    def outcome():
        top, state = model.recurrent(inputs, start)
        weight = torch.linspace(-1, 1, top.numel(), dtype=torch.float64).view_as(top)
        loss = (top * weight).sum() + sum(part.square().sum() for part in state)
        return [top, *state, *torch.autograd.grad(loss, [inputs, *start, *parameters])]

    expected = outcome()
    with torch.autocast("cpu", torch.bfloat16):
        found = outcome()
    for ours, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-12, rtol=0)


def test_rounded_products_are_those_of_bfloat16(monkeypatch):
    """Where a processor is slow in bfloat16, the same numbers are multiplied in float32: the result
    is that of torch's product of bfloat16 but for its last bit."""
    torch.manual_seed(0)
    left, right = torch.randn(33, 65), torch.randn(65, 17)
    found = {}
    for native in (True, False):
        monkeypatch.setattr(recurrence, "multiplies_natively", lambda *_, native=native: native)
        operands = (recurrence.round_to(values, torch.bfloat16) for values in (left, right))
        found[native] = recurrence.multiply(*operands, torch.bfloat16)
        assert found[native].dtype == torch.float32
    exact = left.bfloat16().double() @ right.bfloat16().double()
    assert not torch.equal(found[False], (left @ right))
    for product in found.values():
        torch.testing.assert_close(product.double(), exact, rtol=2**-8, atol=1e-6)
