"""Every backend under every schedule equals the cells; what is particular to the newer cells."""

import numpy as np
import pytest
import torch

from gridlstm import network as networks
from gridlstm import schedules
from gridlstm.architectures import ARCHITECTURES
from gridlstm.backends.plan import Plan, Shape, plan
from gridlstm.clamps import Clamp, clamps_of
from gridlstm.config import ModelConfig
from gridlstm.model import LanguageModel
from gridlstm.trace import trace

LAYERS, UNITS, POSITIONS, SEQUENCES = 3, 5, 11, 2
CONFIGS = (
    {
        name: ModelConfig(name, LAYERS, UNITS, "all" if name == "grid" else None)
        for name in ARCHITECTURES
    }
    | {
        f"{name}-narrow": ModelConfig(name, LAYERS, UNITS, embedding_size=3)
        for name in ("stacked", "gru", "depth-gated", "gated-feedback", "grid-1d")
    }
    | {
        "stacked-hard": ModelConfig("stacked", LAYERS, UNITS, gates="hard_sigmoid"),
        "gru-before": ModelConfig("gru", LAYERS, UNITS, reset="before"),
        "grid-tanh": ModelConfig("grid", LAYERS, UNITS, "all", depth="tanh"),
        "grid-no-priority": ModelConfig("grid", LAYERS, UNITS, "all", priority="none"),
    }
)
ORDERS = ["layer by layer", "position by position", "staggered", "together"]
RECURRENCES = ["cells", "in place", "at once"]


def make(config, dtype=torch.float64):
    torch.manual_seed(0)
    model = LanguageModel(config)
    model.initialise(scale=0.8, forget_bias=1.0)
    return model.to(dtype).eval()


def follows(config, order: str) -> bool:
    """Whether an order gives an architecture all that it reads."""
    if order == "staggered":
        return config.tie == "all"
    if order == "together":
        return config.form.feedback
    return order == "position by position" or not config.form.feedback


TABLE = [
    (name, order, recurrence)
    for name, config in CONFIGS.items()
    for order in ORDERS
    for recurrence in RECURRENCES
    if follows(config, order)
]


def read(model, monkeypatch, order, recurrence, clamps=None):
    """All quantities of all layers, the top and the new state, by a plan."""
    made = Plan(order, (recurrence,) * LAYERS, (), block=4)
    monkeypatch.setattr(networks, "plan", lambda *arguments, **more: made)
    torch.manual_seed(1)
    embedded = torch.randn(POSITIONS, SEQUENCES, model.config.input_size, dtype=torch.float64)
    state = tuple(torch.rand_like(part) for part in model.start(SEQUENCES))
    told = [{} for _ in range(LAYERS)]

    def observer(layer, start, values):
        for quantity, of in values.items():
            told[layer].setdefault(quantity, []).append(of)

    with torch.no_grad():
        reader = model.recurrent.reader(Shape(POSITIONS, SEQUENCES, POSITIONS))
        top, after = reader(embedded, state, observer, clamps)
    return top, after, [{q: torch.cat(parts) for q, parts in of.items()} for of in told]


@pytest.mark.parametrize(("name", "order", "recurrence"), TABLE)
def test_every_backend_under_every_schedule_equals_the_cells(monkeypatch, name, order, recurrence):
    """`tests/architecture_references.py` holds the cells to their papers."""
    model = make(CONFIGS[name])
    first = ORDERS[1] if CONFIGS[name].form.feedback else ORDERS[0]
    expected = read(model, monkeypatch, first, "cells")
    found = read(model, monkeypatch, order, recurrence)
    torch.testing.assert_close(found, expected, atol=1e-12, rtol=0)


@pytest.mark.parametrize("name", [n for n, c in CONFIGS.items() if not c.form.feedback])
def test_clamped_units_in_place_and_by_the_cells(monkeypatch, name):
    model, config = make(CONFIGS[name]), CONFIGS[name]
    asked = [[Clamp(quantity, 2, 1, 0.5) for quantity in config.clampable], []]
    clamps = clamps_of(asked, config, model.decoder.weight)
    found, expected = (
        read(model, monkeypatch, "layer by layer", how, clamps) for how in ("in place", "cells")
    )
    torch.testing.assert_close(found, expected, atol=1e-12, rtol=0)


@pytest.mark.parametrize("name", CONFIGS)
def test_what_trains_equals_the_cells(monkeypatch, name):
    """Walk, torch's module and recurrence of our own: outputs, states and gradients."""
    model = make(CONFIGS[name])
    first = ORDERS[1] if CONFIGS[name].form.feedback else ORDERS[0]
    torch.manual_seed(1)
    embedded = torch.randn(
        POSITIONS, SEQUENCES, model.config.input_size, dtype=torch.float64, requires_grad=True
    )
    state = tuple(torch.rand_like(part) for part in model.start(SEQUENCES))
    parameters = [p for p in model.recurrent.parameters() if p.requires_grad]

    def outcome(forward):
        top, after = forward(embedded, state)
        loss = top.square().sum() + sum(part.sum() for part in after)
        return top, *after, *torch.autograd.grad(loss, [embedded, *parameters])

    found = outcome(model.recurrent)
    made = Plan(first, ("cells",) * LAYERS, ())
    monkeypatch.setattr(networks, "plan", lambda *arguments, **more: made)
    reader = model.recurrent.reader(Shape(POSITIONS, SEQUENCES, POSITIONS))
    torch.testing.assert_close(found, outcome(reader), atol=1e-10, rtol=0)


# -- Schedules ------------------------------------------------------------------------------------


@pytest.mark.parametrize("layers", [1, 2, 5])
@pytest.mark.parametrize("positions", [1, 3, 4, 9, 30])
def test_schedules_cover_every_cell_once_and_after_what_it_reads(layers, positions):
    every = {(layer, position) for layer in range(layers) for position in range(positions)}
    orders = (
        schedules.layer_by_layer(layers, positions),
        schedules.position_by_position(layers, positions),
        schedules.staggered(layers, positions, 4),
    )
    for order in orders:
        done = set()
        for step in order:
            here = {(b.layer, p) for b in step for p in range(b.start, b.stop)}
            own = {block.layer: set(range(block.start, block.stop)) for block in step}
            assert not here & done
            for layer, position in here:
                assert layer == 0 or (layer - 1, position) in done
                before = position - 1
                assert before < 0 or before in own[layer] or (layer, before) in done
            done |= here
        assert done == every


@pytest.mark.parametrize(("layers", "positions"), [(1, 1), (1, 4), (3, 1), (3, 2), (4, 9)])
def test_diagonals_cover_a_grid_once_and_after_what_each_cell_reads(layers, positions):
    done = {"time": set(), "depth": set()}
    for step, (time, depth) in enumerate(schedules.diagonals(layers, positions)):
        now = {
            "time": {(n, step - 2 * n) for n in range(layers)[time]},
            "depth": {(n, step - 2 * n - 1) for n in range(layers)[depth]},
        }
        for layer, position in now["time"]:
            assert position == 0 or (layer, position - 1) in done["time"]
            assert layer == 0 or (layer - 1, position) in done["depth"]
        for layer, position in now["depth"]:
            assert (layer, position) in done["time"]
            assert layer == 0 or (layer - 1, position) in done["depth"]
        for along, cells in now.items():
            assert not cells & done[along]
            done[along] |= cells
    every = {(layer, position) for layer in range(layers) for position in range(positions)}
    assert done == {"time": every, "depth": every}


# -- Newer cells ----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["min-gru", "min-lstm", "slstm", "gru-before"])
@pytest.mark.parametrize("gradients", [False, True])
def test_a_text_whole_in_chunks_and_step_by_step(name, gradients):
    model = make(CONFIGS[name])
    torch.manual_seed(2)
    bytes_read = torch.randint(256, (70, SEQUENCES))
    with torch.set_grad_enabled(gradients):
        whole, after = model(bytes_read, model.start(SEQUENCES))
        for length in (1, 7, 64):
            parts, state = [], model.start(SEQUENCES)
            for chunk in bytes_read.split(length):
                logits, state = model(chunk, state)
                parts.append(logits)
            torch.testing.assert_close(torch.cat(parts), whole, atol=1e-12, rtol=0)
            torch.testing.assert_close(state, after, atol=1e-12, rtol=0)


def test_the_reset_before_is_char_rnn_s():
    """Its own equations, `h' = z g + (1 - z) h`, with the rows of its z turned round."""
    model = make(CONFIGS["gru-before"])
    tensors = {name: tensor.detach().numpy() for name, tensor in model.to_tensors().items()}
    weight, bias = tensors["layers.0.time.weight"].copy(), tensors["layers.0.time.bias"].copy()
    update = slice(UNITS, 2 * UNITS)
    weight[update], bias[update] = -weight[update], -bias[update]
    h, found = np.zeros(UNITS), trace(model, b"char", dtype=np.float64).values["time.hidden"][0]
    for byte, expected in zip(b"char", found, strict=True):
        x = tensors["embedding.weight"][byte]
        both = weight[: 2 * UNITS] @ np.concatenate((h, x)) + bias[: 2 * UNITS]
        r, z = np.split(1 / (1 + np.exp(-both)), 2)
        u, w = np.split(weight[2 * UNITS :], 2, axis=1)
        g = np.tanh(w @ x + u @ (r * h) + bias[2 * UNITS :])
        h = z * g + (1 - z) * h
        np.testing.assert_allclose(h, expected, atol=1e-12)


@pytest.mark.parametrize("far", [50.0, 1000.0])
def test_the_exponential_gate_of_an_slstm_does_not_overflow(far):
    """Without its stabiliser exp(1000) would be infinite; with it the loss and every gradient are
    finite, and gates lie in 0..1."""
    model = make(ModelConfig("slstm", 1, UNITS), torch.float32).train()
    with torch.no_grad():
        bias = model.recurrent.of(0, "time.bias")
        bias[: UNITS // 2] += far
        bias[UNITS // 2 : UNITS] -= far
    logits, _ = model(torch.arange(40)[:, None], model.start(1))
    logits.square().mean().backward()
    assert logits.isfinite().all()
    assert all(parameter.grad.isfinite().all() for parameter in model.parameters())
    values = trace(model.eval(), bytes(range(40)), dtype=np.float32).values
    for gate in ("time.input", "time.forget"):
        assert (values[gate] >= 0).all() and (values[gate] <= 1).all()
    assert np.abs(values["time.stabiliser"]).max() > far / 2
    assert (values["time.normaliser"] > 0).all()


@pytest.mark.parametrize("name", CONFIGS)
def test_a_plan_says_why(name):
    for gradients in (False, True):
        for shown in (False, True):
            made = plan(CONFIGS[name], Shape(50, 2, 50), "cpu", gradients, shown=shown)
            assert made.reasons and all(reason.endswith(".") for reason in made.reasons)
            assert len(made.recurrences) == LAYERS
