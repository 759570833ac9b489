"""The architectures beside the usual grid and the stacked LSTM, against references that walk one
cell at a time in NumPy; and the registry that they stand in."""

import csv
import json
from dataclasses import replace
from typing import NamedTuple

import architecture_references as reference
import numpy as np
import pytest
import torch
from torch.nn import functional

from gridlstm import architectures
from gridlstm.architectures import ARCHITECTURES, Architecture, Memory
from gridlstm.backends import plan as planning
from gridlstm.backends.plan import Shape
from gridlstm.checkpoint import Data, Metadata, load_model, read_metadata, write_checkpoint
from gridlstm.checkpoint.metadata import parse, to_text
from gridlstm.checkpoint.writing import write_tensors
from gridlstm.clamps import Clamp, ClampError, check_clamp
from gridlstm.config import ConfigError, ModelConfig
from gridlstm.dropout import dropout_mask
from gridlstm.intervention import losses
from gridlstm.model import LanguageModel
from gridlstm.sampling import sample
from gridlstm.trace import trace
from gridlstm.training.run import train
from gridlstm.training.settings import TrainingSettings
from gridlstm.training.state import state_path


class Form(NamedTuple):
    """An architecture with options."""

    architecture: str
    tie: str | None = None
    priority: str | None = None
    depth: str | None = None
    reset: str | None = None

    def config(self, layers, units, dropout=0.0) -> ModelConfig:
        architecture, tie, priority, depth, reset = self
        return ModelConfig(architecture, layers, units, tie, dropout, priority, depth, reset)

    @property
    def options(self) -> dict[str, str]:
        """Those that the reference needs to be told."""
        named = {"priority": self.priority, "depth": self.depth, "reset": self.reset}
        return {name: value for name, value in named.items() if value}


TIES = "none", "depth", "all"
ALONE = [Form(name) for name in ARCHITECTURES if name not in ("grid", "stacked")]
GRIDS = [
    Form("grid", tie, *options)
    for options in (("none", None), ("depth", "tanh"), ("depth", "relu"), ("none", "tanh"))
    for tie in TIES
]
RESET_BEFORE = Form("gru", reset="before")
FORMS = [*ALONE, RESET_BEFORE, *GRIDS]
EVERY = [Form("stacked"), *(Form("grid", tie) for tie in TIES), *FORMS]
UNITS = 5
TOLERANCE = {torch.float32: 1e-5, torch.float64: 1e-12}
KEPT = {torch.float32: np.float32, torch.float64: np.float64}


def name_of(form: Form) -> str:
    return "-".join(part for part in form if part)


each_form = pytest.mark.parametrize("form", FORMS, ids=name_of)
# Where the ways in which layers share weights make no difference to what is tested.
each_untied = pytest.mark.parametrize(
    "form", [form for form in FORMS if form.tie in (None, "none")], ids=name_of
)
each_of_every = pytest.mark.parametrize("form", EVERY, ids=name_of)
each_dtype = pytest.mark.parametrize("dtype", TOLERANCE, ids=str)


def make(form, layers, units=UNITS, dropout=0.0, dtype=torch.float32, seed=0):
    """A model with random weights, large enough that gates open and close."""
    torch.manual_seed(seed)
    model = LanguageModel(form.config(layers, units, dropout))
    model.initialise(scale=0.8, forget_bias=1.0)
    return model.to(dtype).eval()


def numpy_tensors(model):
    return {name: tensor.detach().numpy() for name, tensor in model.to_tensors().items()}


def random_bytes(*shape):
    return np.random.default_rng(1).integers(0, 256, shape)


def random_state(model, sequences):
    torch.manual_seed(2)
    state = zip(model.config.state, model.start(sequences), strict=True)
    # An sLSTM's normaliser is a sum of what is above 0.
    return tuple(torch.rand_like(p) + 0.5 if n == "n" else torch.randn_like(p) for n, p in state)


def expected_of(model, form, data, **more):
    layers, tensors = model.config.layers, numpy_tensors(model)
    return reference.run(form.architecture, layers, tensors, data, **form.options, **more)


def observed(model, inputs, state):
    """What the decoder gets of bytes [T, B], the new state, and the quantities of each layer."""
    layers = [[] for _ in range(model.config.layers)]

    def observer(layer, start, values):
        told = layers[layer]
        assert layer == 0 or layers[layer - 1]  # from the first layer up
        assert start == sum(len(next(iter(part.values()))) for part in told)
        told.append(values)

    positions, sequences = inputs.shape
    reader = model.recurrent.reader(Shape(positions, sequences, positions))
    top, after = reader(model.embedding(inputs), state, observer)
    whole = [{q: torch.cat([part[q] for part in told]) for q in told[0]} for told in layers]
    return top, after, whole


# -- Against the references -----------------------------------------------------------------------


each_way = pytest.mark.usefixtures("each_way")


@each_form
@pytest.mark.parametrize("layers", [1, 2, 3, 4])
@each_dtype
@each_way
def test_several_sequences_from_a_carried_state(form, layers, dtype):
    """What training runs and what is observed, side by side, from a state that is not zeros."""
    model = make(form, layers, dtype=dtype)
    inputs, state = random_bytes(7, 3), random_state(model, 3)
    with torch.no_grad():
        logits, after = model(torch.from_numpy(inputs), state)
        top, state_seen, seen = observed(model, torch.from_numpy(inputs), state)
        decoded = model.decoder(top)
    assert len(after) == len(state_seen) == len(model.config.state)

    close = {"atol": TOLERANCE[dtype], "rtol": 0}
    np.testing.assert_allclose(decoded, logits, **close)
    for sequence in range(3):
        start = [part[:, sequence].numpy() for part in state]
        expected = expected_of(model, form, inputs[:, sequence], state=start)
        probabilities = logits[:, sequence].softmax(-1)
        np.testing.assert_allclose(probabilities, expected.next_byte, **close)
        target = torch.from_numpy(inputs[1:, sequence])
        loss = functional.cross_entropy(logits[:-1, sequence], target, reduction="none")
        np.testing.assert_allclose(loss, expected.loss[1:], **close)
        for found in (after, state_seen):
            for part, wanted in zip(found, expected.state, strict=True):
                assert part.dtype == dtype
                np.testing.assert_allclose(part[:, sequence], wanted, **close)
        assert all(set(of_layer) == set(expected.values) for of_layer in seen)
        for quantity in expected.values:
            of_sequence = [of_layer[quantity][:, sequence] for of_layer in seen]
            np.testing.assert_allclose(
                of_sequence, expected.values[quantity], **close, err_msg=quantity
            )


@each_form
@pytest.mark.parametrize("layers", [1, 2, 3, 4])
@each_dtype
@each_way
def test_every_traced_quantity(monkeypatch, form, layers, dtype):
    """Read in pieces, the last one shorter, as a long text is."""
    monkeypatch.setattr(planning, "MAX_POSITIONS", 4)
    monkeypatch.setattr(planning, "MAX_STAGGERED_POSITIONS", 8)
    model = make(form, layers, dtype=dtype)
    data = random_bytes(10).astype(np.uint8).tobytes()

    traced = trace(model, data, dtype=KEPT[dtype])

    expected, config = expected_of(model, form, data), model.config
    assert traced.quantities == config.quantities
    assert set(config.quantities) == set(expected.values)
    for quantity, values in traced.values.items():
        assert values.dtype == KEPT[dtype]
        assert values.shape == (layers, 10, config.width(quantity))
        np.testing.assert_allclose(
            values, expected.values[quantity], atol=TOLERANCE[dtype], rtol=0, err_msg=quantity
        )
    np.testing.assert_allclose(traced.loss, expected.loss, atol=1e-5, rtol=0)
    np.testing.assert_allclose(traced.next_token, expected.next_byte, atol=5e-4, rtol=0)


@pytest.mark.parametrize("layers", [1, 4])
@pytest.mark.parametrize("max_in_memory", [0, 2**30])
def test_feedback_resets_are_one_number_for_each_layer(layers, max_in_memory):
    """In memory and in files: [layer that reads, position, layer that is read]."""
    model = make(Form("gated-feedback"), layers)
    traced = trace(model, b"a cat", dtype=np.float32, max_in_memory=max_in_memory)
    assert traced.values["feedback.reset"].shape == (layers, 5, layers)
    expected = expected_of(model, Form("gated-feedback"), b"a cat").values["feedback.reset"]
    np.testing.assert_allclose(traced.values["feedback.reset"], expected, atol=1e-5)


@each_of_every
def test_memories_are_what_the_registry_says(form):
    """`cell = keep * (cell before) + written`, in the words of `Memory`, of every form there is."""
    model = make(form, 3, dtype=torch.float64)
    data = random_bytes(8).astype(np.uint8).tobytes()
    values = trace(model, data, dtype=np.float64).values
    embedded = model.embedding.weight.detach().numpy()[list(data)]
    for memory in model.config.form.memories:
        cell, keep = values[memory.cell], values[memory.keep]
        before = np.zeros_like(cell)
        if memory.along == "time":
            before[:, 1:] = cell[:, :-1]
        else:
            before[1:] = cell[:-1]
            before[0] = embedded if memory.starts else 0
        written = cell - keep * before
        if memory.candidate is not None:
            gate = 1 - keep if memory.gate is None else values[memory.gate]
            np.testing.assert_allclose(written, gate * values[memory.candidate], atol=1e-12)
        assert (keep >= 0).all() and (keep <= 1).all() and np.abs(written).max() > 0.01


# -- Gradients ------------------------------------------------------------------------------------


@each_form
@pytest.mark.parametrize("dropout", [0.0, 0.5])
def test_finite_differences(form, dropout):
    """Of all results, by every weight, the bytes' embedding and the state at the start."""
    whole = make(form, 2, 2, dropout, torch.float64).train()
    model, state = whole.recurrent, [part.requires_grad_() for part in random_state(whole, 2)]
    trained = dict(model.named_parameters())
    torch.manual_seed(1)
    embedded = torch.randn(2, 2, 2, dtype=torch.float64, requires_grad=True)
    carried = len(state)

    def results(embedded, *given):
        torch.manual_seed(2)  # the same mask at every call
        named = dict(zip(trained, given[carried:], strict=True))
        top, after = torch.func.functional_call(model, named, (embedded, given[:carried]))
        return top, *after

    # Fast: along random directions in place of one number after the other.
    inputs = (embedded, *state, *trained.values())
    assert all(result.requires_grad for result in results(*inputs))  # others are not checked
    assert torch.autograd.gradcheck(results, inputs, fast_mode=True)


@each_form
def test_every_weight_and_the_bytes_learn(form):
    """No tensor of the model is left without a gradient."""
    model = make(form, 3, dropout=0.2).train()
    inputs = torch.from_numpy(random_bytes(6, 2))
    logits, _ = model(inputs, random_state(model, 2))
    functional.cross_entropy(logits.flatten(0, 1), inputs.flatten()).backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad.abs().max() > 0, name


# -- Dropout --------------------------------------------------------------------------------------


def drawn_below(form, positions, layers, sequences, rate):
    """What layers from the second on have of what is below, [position, layer - 1, sequence, unit],
    in the order in which the training pass draws it."""
    like = torch.ones(positions, sequences, UNITS, dtype=torch.float64)
    if form.architecture == "gated-feedback":  # position by position
        shape = sequences, UNITS
        masks = [dropout_mask(like, shape, rate) for _ in range(positions * (layers - 1))]
        return torch.stack(masks).view(positions, layers - 1, *shape)
    return torch.stack([dropout_mask(like, like.shape, rate) for _ in range(layers - 1)], 1)


@each_form
@pytest.mark.parametrize("layers", [2, 4])
def test_dropout_is_on_what_gates_read_from_below(form, layers):
    """With the same draws, the reference with its masks gives the training pass."""
    rate, positions, sequences = 0.4, 6, 2
    model = make(form, layers, dropout=rate, dtype=torch.float64).train()
    inputs, state = torch.from_numpy(random_bytes(positions, sequences)), random_state(model, 2)

    torch.manual_seed(3)
    below = drawn_below(form, positions, layers, sequences, rate)
    top = torch.ones(positions, sequences, UNITS, dtype=torch.float64)
    top = dropout_mask(top, top.shape, rate)

    torch.manual_seed(3)
    logits, after = model(inputs, state)
    probabilities = logits.softmax(-1).detach().numpy()
    assert (below == 0).any() and (below != 0).any()
    for sequence in range(sequences):
        expected = expected_of(
            model,
            form,
            inputs[:, sequence].numpy(),
            state=[part[:, sequence].numpy() for part in state],
            below_mask=below[:, :, sequence].numpy(),
            top_mask=top[:, sequence].numpy(),
        )
        np.testing.assert_allclose(
            probabilities[:, sequence], expected.next_byte, atol=1e-12, rtol=0
        )
        for part, wanted in zip(after, expected.state, strict=True):
            np.testing.assert_allclose(part[:, sequence].detach(), wanted, atol=1e-12, rtol=0)


@pytest.mark.parametrize("dropout", [0.0, 0.9])
def test_open_carry_gates_hand_up_the_bytes_whatever_the_dropout(dropout):
    model = make(Form("highway"), 4, dropout=dropout, dtype=torch.float64).train()
    model.recurrent.initialise(50.0)
    embedded = model.embedding(torch.from_numpy(random_bytes(6, 2)))
    top, _ = model.recurrent(embedded, model.start(2))
    torch.testing.assert_close(top, embedded, atol=1e-12, rtol=0)


@pytest.mark.parametrize("dropout", [0.0, 0.9])
def test_an_open_depth_carries_up_the_memory_whatever_the_dropout(dropout):
    """Of a 1-D grid, and of a grid without depth priority, whose first layer alone writes."""
    for form in (Form("grid-1d"), Form("grid", "none", "none")):
        model = make(form, 4, dropout=dropout, dtype=torch.float64).train()
        tensors = {name: tensor.detach().clone() for name, tensor in model.to_tensors().items()}
        for layer in range(1, 4):
            for kind in ("weight", "bias"):
                tensors[f"layers.{layer}.depth.{kind}"].zero_()
            i, f, o, _ = tensors[f"layers.{layer}.depth.bias"].chunk(4)
            i[:], f[:], o[:] = -50, 50, 50
        model.load_tensors(tensors)
        inputs = torch.from_numpy(random_bytes(6, 2))
        _, _, seen = observed(model, inputs, model.start(2))
        top, _ = model.recurrent(model.embedding(inputs), model.start(2))
        torch.testing.assert_close(top, seen[0]["depth.cell"].tanh(), atol=1e-12, rtol=0)


@each_form
def test_there_is_no_dropout_in_evaluation(form):
    with_dropout, without = make(form, 3, dropout=0.5), make(form, 3)
    inputs = torch.from_numpy(random_bytes(5, 2))
    logits, _ = with_dropout(inputs, with_dropout.start(2))
    torch.testing.assert_close(logits, without(inputs, without.start(2))[0], atol=0, rtol=0)
    assert not torch.equal(with_dropout.train()(inputs, with_dropout.start(2))[0], logits)


# -- The 1-D grid and Highway layers --------------------------------------------------------------


def highway_and_its_grid(scale):
    """A highway network and the 1-D grid of the same gates and candidates, whose candidates are
    `scale` times as steep."""
    road = make(Form("highway"), 4, dtype=torch.float64)
    tensors = {name: tensor.detach().clone() for name, tensor in road.to_tensors().items()}
    given = dict(tensors)
    for layer in range(4):
        own = f"layers.{layer}.depth"
        for kind in ("weight", "bias"):
            carry, candidate = tensors[f"{own}.{kind}"].chunk(2)
            candidate *= scale
            if layer == 0 and kind == "bias":
                carry[:] = -50
            opened = torch.full_like(carry, 50 if kind == "bias" else 0)
            given[f"{own}.{kind}"] = torch.cat((-carry, carry, opened, candidate))
    road.load_tensors(tensors)
    grid = make(Form("grid-1d"), 4, dtype=torch.float64)
    grid.load_tensors(given)
    return road, grid


def test_a_one_dimensional_grid_is_a_highway_of_small_values():
    """The Grid LSTM paper, section 3.3, calls its 1-D grid the same idea as Highway layers.

    Let a 1-D grid's input gate be `i = 1 - f` (the sums of one gate those of the other negated) and
    its output gate be open. Then `m = f * m_below + (1 - f) * g`, a Highway layer's
    `y = C * y_below + (1 - C) * H` with m for y, f for the carry gate C and g for H. Two things are
    left. A highway carries up the byte's embedding, a grid 0: they agree from the first layer on if
    that carries nothing (C = f = 0), so that both have `1 * g` there. And gates and candidates read
    y in a highway, `tanh(m) = m - m^3 / 3 + ...` in a grid. So with candidates of scale s, which
    makes m and y of order s:
    - what is handed up, tanh(m) against y, differs by order s^3: a tenth of the scale makes the
      difference a thousandth;
    - the memories, m against y, differ by what the reading of tanh(m) for m does to gates and
      candidates, order s^3, times the s of the candidates: a tenth makes a ten-thousandth.
    """
    data = random_bytes(12).astype(np.uint8).tobytes()
    differences = {}
    for scale in (0.1, 0.01):
        road, grid = highway_and_its_grid(scale)
        ys = trace(road, data, dtype=np.float64).values
        ms = trace(grid, data, dtype=np.float64).values
        assert np.abs(ys["depth.cell"]).max() > scale / 2
        np.testing.assert_allclose(ms["depth.input"], 1 - ms["depth.forget"], atol=1e-12)
        np.testing.assert_allclose(ms["depth.hidden"], np.tanh(ms["depth.cell"]), atol=1e-12)
        np.testing.assert_allclose(ms["depth.forget"], ys["depth.carry"], atol=scale**3)
        differences[scale] = [
            np.abs(ms[quantity] - ys["depth.cell"]).max()
            for quantity in ("depth.hidden", "depth.cell")
        ]
    handed_up, memories = np.divide(differences[0.1], differences[0.01])
    assert handed_up == pytest.approx(1000, rel=0.1)
    assert memories == pytest.approx(10_000, rel=0.1)


# -- Holds ----------------------------------------------------------------------------------------


def told(clamps):
    return [(h.quantity, h.layer - 1, h.unit, h.value) for h in clamps]


def sets_of_holds(config) -> list[list[Clamp]]:
    """Each quantity that can be held, in each layer, alone; and all of them together."""
    alone = [
        Clamp(quantity, layer, (layer + n) % UNITS, 0.3 if layer == 2 else float(layer == 3))
        for n, quantity in enumerate(config.clampable)
        for layer in range(1, config.layers + 1)
    ]
    return [[], *([clamp] for clamp in alone), alone]


@each_form
@each_way
def test_a_trace_with_holds_is_the_references(form):
    model, data = make(form, 3, dtype=torch.float64), b"a cat on a mat"
    for clamps in sets_of_holds(model.config):
        traced = trace(model, data, dtype=np.float64, clamps=clamps)
        expected = expected_of(model, form, data, clamps=told(clamps))
        for clamp in clamps:
            held = traced.values[clamp.quantity][clamp.layer - 1, :, clamp.unit]
            assert (held == clamp.value).all()
        for quantity, values in expected.values.items():
            np.testing.assert_allclose(
                traced.values[quantity], values, atol=1e-12, rtol=0, err_msg=f"{quantity}, {clamps}"
            )
        np.testing.assert_allclose(traced.loss, expected.loss, atol=1e-5, rtol=0)


@each_form
def test_many_interventions_side_by_side(form):
    model, data = make(form, 3, dtype=torch.float64), b"a cat on a mat"
    sets = sets_of_holds(model.config)
    for loss, clamps in zip(losses(model, data, sets), sets, strict=True):
        expected = expected_of(model, form, data, clamps=told(clamps))
        np.testing.assert_allclose(loss, expected.loss, atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    ("form", "clampable"),
    [
        (Form("gru"), ("time.hidden", "time.update")),
        (RESET_BEFORE, ("time.hidden", "time.update")),
        (Form("min-gru"), ("time.hidden", "time.update")),
        (Form("min-lstm"), ("time.hidden", "time.forget")),
        (Form("slstm"), ("time.cell", "time.forget")),
        (Form("rnn"), ("time.hidden",)),
        (Form("highway"), ("depth.cell", "depth.carry")),
        (Form("grid-1d"), ("depth.cell", "depth.forget")),
        (Form("depth-gated"), ("time.cell", "time.forget", "depth.gate")),
        (Form("gated-feedback"), ("time.cell", "time.forget")),
        (Form("stacked"), ("time.cell", "time.forget")),
        (
            Form("grid", "all", "none"),
            ("time.cell", "time.forget", "depth.cell", "depth.forget"),
        ),
        (Form("grid", "all", "depth", "relu"), ("time.cell", "time.forget")),
    ],
    ids=str,
)
def test_what_can_be_held_is_memories_and_what_keeps_them(form, clampable):
    config = form.config(2, UNITS)
    assert config.clampable == clampable
    for quantity in (*config.quantities, "depth.cell", "feedback.reset", "nonsense", ""):
        clamp = Clamp(quantity, 1, 0, 0.5)
        if quantity in clampable:
            check_clamp(clamp, config)
            continue
        with pytest.raises(ClampError) as caught:
            check_clamp(clamp, config)
        assert str(caught.value) == f"What can be held is {', '.join(clampable)}, not {quantity!r}."


@pytest.mark.parametrize(
    ("form", "quantity"),
    [
        (Form("gru"), "time.update"),
        (Form("highway"), "depth.carry"),
        (Form("depth-gated"), "depth.gate"),
        (Form("depth-gated"), "time.forget"),
        (Form("grid-1d"), "depth.forget"),
    ],
    ids=str,
)
def test_gates_are_held_between_closed_and_open(form, quantity):
    config = form.config(2, UNITS)
    for value in (0, 1):
        check_clamp(Clamp(quantity, 1, 0, value), config)
    for value in (-0.01, 1.01):
        with pytest.raises(ClampError) as caught:
            check_clamp(Clamp(quantity, 1, 0, value), config)
        assert str(caught.value) == f"The gate {quantity} lies between 0 (closed) and 1 (open)."


def test_memories_are_held_at_any_finite_value():
    for form, quantity in ((Form("gru"), "time.hidden"), (Form("highway"), "depth.cell")):
        config = form.config(2, UNITS)
        check_clamp(Clamp(quantity, 2, UNITS - 1, -7.5), config)
        for wrong, message in (
            (Clamp(quantity, 3, 0, 0), "There is no layer 3: layers are counted from 1."),
            (Clamp(quantity, 1, UNITS, 0), "There is no unit 5: units are counted from 0."),
            (Clamp(quantity, 1, 0, np.inf), "A unit cannot be held at a value that is not finite."),
        ):
            with pytest.raises(ClampError) as caught:
                check_clamp(wrong, config)
            assert str(caught.value) == message


# -- The registry and checkpoints -----------------------------------------------------------------

DATA = Data(name="text.xz", sha256="ab" * 32, bytes=1000, train_fraction=0.95, byte_entropy=3.2)


@each_of_every
@pytest.mark.parametrize("layers", [1, 3])
def test_tensors_have_the_checkpoint_s_names_and_shapes(form, layers):
    model = make(form, layers)
    tensors = numpy_tensors(model)
    shapes = {name: tensor.shape for name, tensor in tensors.items()}
    assert shapes == model.config.tensor_shapes()
    assert model.config.parameters == sum(tensor.size for tensor in tensors.values())


@each_of_every
def test_a_saved_model_is_traced_the_same(tmp_path, form):
    model, data = make(form, 3, dropout=0.25), b"a cat sat on a mat"
    path, written = tmp_path / "model.safetensors", numpy_tensors(model)
    write_checkpoint(path, written, Metadata(model=model.config, data=DATA))
    loaded, metadata = load_model(path)
    assert metadata.model == model.config and not loaded.training
    for name, tensor in loaded.to_tensors().items():
        np.testing.assert_array_equal(tensor.numpy(), written[name], err_msg=name)
    found, expected = (trace(m, data, dtype=np.float32) for m in (loaded, model))
    for quantity, values in expected.values.items():
        # torch's second biases, which are only ever added, come back as their sum.
        np.testing.assert_allclose(found.values[quantity], values, atol=2e-6, rtol=0)
    np.testing.assert_allclose(found.loss, expected.loss, atol=1e-5, rtol=0)


@pytest.mark.parametrize("tie", TIES)
def test_a_grid_s_checkpoint_from_before_there_were_more_options(tmp_path, make_model, tie):
    model = make_model("grid", 2, UNITS, tie).eval()
    metadata = Metadata(model=model.config, data=DATA, validation_loss=1.25)
    document = json.loads(to_text(metadata))
    for newer in ("priority", "depth"):
        del document["model"][newer]
    assert parse(json.dumps(document)) == metadata
    path = tmp_path / "old.safetensors"
    write_tensors(path, numpy_tensors(model), json.dumps(document))
    loaded, found = load_model(path)
    assert (found.model.priority, found.model.depth) == ("depth", "lstm")
    np.testing.assert_array_equal(trace(loaded, b"a cat").loss, trace(model, b"a cat").loss)


def test_the_options_are_seen_in_the_checkpoint_and_do_matter():
    """Each form of the grid reads its own way: not one is another under a different name."""
    data, spent = b"a cat sat", []
    for priority in ("depth", "none"):
        for depth in ("lstm", "tanh", "relu"):
            spent.append(trace(make(Form("grid", "all", priority, depth), 2), data).loss[1:].sum())
    assert len(set(spent)) == 6


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            {"architecture": "lstm"},
            "Unknown architecture 'lstm'; known are grid, stacked, depth-gated, gated-feedback, "
            "highway, grid-1d, gru, rnn, min-gru, min-lstm, slstm.",
        ),
        (
            {"architecture": "gru", "tie": "all"},
            "tie is an option of the grid, not of 'gru'.",
        ),
        (
            {"architecture": "highway", "priority": "depth"},
            "priority is an option of the grid, not of 'highway'.",
        ),
        (
            {"architecture": "grid-1d", "depth": "lstm"},
            "depth is an option of the grid, not of 'grid-1d'.",
        ),
        (
            {"architecture": "grid", "tie": "all", "priority": "time"},
            "A grid's priority must be one of depth, none, not 'time'.",
        ),
        (
            {"architecture": "grid", "tie": "all", "depth": ["lstm"]},
            "A grid's depth must be one of lstm, tanh, relu, not ['lstm'].",
        ),
        ({"architecture": "grid"}, "A grid's tie must be one of none, depth, all, not None."),
        (
            {"architecture": "gru", "layers": 0},
            "The number of layers must be from 1 to 64, not 0.",
        ),
        (
            {"architecture": "rnn", "units": "8"},
            "The number of units must be from 1 to 8192, not '8'.",
        ),
        (
            {"architecture": "rnn", "dropout": 1},
            "Dropout must be at least 0 and under 1, not 1.",
        ),
    ],
)
def test_what_makes_no_model_is_one_sentence(arguments, message):
    with pytest.raises(ConfigError) as caught:
        ModelConfig(**{"layers": 2, "units": 4, **arguments})
    assert str(caught.value) == message


@pytest.mark.parametrize("wrong", [["gru"], {"a": 1}, None, 3, "x" * 5000])
def test_an_architecture_that_is_no_name(wrong):
    with pytest.raises(ConfigError) as caught:
        ModelConfig(wrong, 2, 4)
    assert str(caught.value).startswith("Unknown architecture ") and len(str(caught.value)) < 200


# For 2 layers of 3 units: of embedding and decoder 256*3 numbers each and 256 biases, so 1792; the
# decoder multiplies 256*3 times, so 768. A sum of [h ; below] for each of 3 units is 3*6 = 18
# products and 3 biases.
@pytest.mark.parametrize(
    ("form", "parameters", "operations"),
    [
        (Form("rnn"), 2 * (18 + 3), 2 * 18),
        (Form("gru"), 2 * (3 * 21 + 3), 2 * 3 * 18),
        (RESET_BEFORE, 2 * 3 * 21, 2 * 3 * 18),
        # What is below alone is read: 3*3 products and 3 biases.
        (Form("min-gru"), 2 * 2 * 12, 2 * 2 * 9),
        (Form("min-lstm"), 2 * 3 * 12, 2 * 3 * 9),
        (Form("slstm"), 2 * 4 * 21, 2 * 4 * 18),
        (Form("highway"), 2 * 2 * 21, 2 * 2 * 18),
        (Form("grid-1d"), 2 * 4 * 21, 2 * 4 * 18),
        (Form("stacked"), 2 * 4 * 21, 2 * 4 * 18),
        # The second layer's depth gate: 3*3 products with what is below, a bias, two peepholes.
        (Form("depth-gated"), 2 * 4 * 21 + 9 + 3 + 3 + 3, 2 * 4 * 18 + 9),
        # A candidate reads both layers' 3 units and 3 below; so do two resets, one number each.
        (Form("gated-feedback"), 2 * (3 * 21 + 3 * 9 + 3 + 2 * 9), 2 * (3 * 18 + 3 * 9 + 2 * 9)),
        (Form("grid", "none"), 2 * 8 * 21, 2 * 8 * 18),
        (Form("grid", "depth"), (2 * 4 + 4) * 21, 2 * 8 * 18),
        (Form("grid", "all"), 8 * 21, 2 * 8 * 18),
        (Form("grid", "all", "none"), 8 * 21, 2 * 8 * 18),
        (Form("grid", "none", "depth", "tanh"), 2 * 5 * 21, 2 * 5 * 18),
        (Form("grid", "depth", "depth", "relu"), (2 * 4 + 1) * 21, 2 * 5 * 18),
        (Form("grid", "all", "none", "tanh"), 5 * 21, 2 * 5 * 18),
    ],
    ids=str,
)
def test_sizes_counted_by_hand(form, parameters, operations):
    config = form.config(2, 3)
    assert config.parameters == 1792 + parameters
    assert config.operations_per_token == 768 + operations


def test_titles_say_which_form_it_is():
    titles = {form.config(2, 3).title for form in EVERY if form.tie in (None, "all")}
    assert titles == {
        f"{name}, 2 layers, 3 units"
        for name in (
            "Grid LSTM",
            "Grid LSTM without depth priority",
            "Grid LSTM with tanh in depth",
            "Grid LSTM with relu in depth",
            "Grid LSTM without depth priority with tanh in depth",
            "Stacked LSTM",
            "Depth-gated LSTM",
            "Gated feedback LSTM",
            "Highway RNN",
            "1-D Grid LSTM",
            "GRU",
            "GRU with the reset before",
            "RNN",
            "minGRU",
            "minLSTM",
            "sLSTM",
        )
    }


@each_form
def test_sampling_carries_the_state(form):
    """Each byte is drawn from the distribution that the reference has after all before it."""
    model = make(form, 2, dtype=torch.float64)
    written = bytes(sample(model, b"Begin", 6, temperature=0, seed=3))
    for n, byte in enumerate(written):
        assert expected_of(model, form, b"Begin" + written[:n]).next_byte[-1].argmax() == byte


# -- Trained --------------------------------------------------------------------------------------


@each_untied
def test_bfloat16_products_stay_close_to_float32(form):
    model = make(form, 3, 32)
    model.initialise(scale=0.2, forget_bias=1.0)
    inputs, target = (torch.from_numpy(rows) for rows in random_bytes(2, 12, 4))

    def outcome():
        logits, state = model(inputs, random_state(model, 4))
        loss = functional.cross_entropy(logits.float().flatten(0, 1), target.flatten())
        gradients = torch.autograd.grad(loss, list(model.parameters()))
        return loss, state, gradients

    loss, state, gradients = outcome()
    with torch.autocast("cpu", torch.bfloat16):
        low_loss, low_state, low_gradients = outcome()
    assert low_loss.item() == pytest.approx(loss.item(), rel=0.01)
    for low, exact in zip(low_state, state, strict=True):
        assert low.dtype == torch.float32
        # bfloat16 has 8 bits: one rounding is off by at most 1 part in 256.
        torch.testing.assert_close(low, exact, atol=0.05, rtol=0.05)
    for low, exact in zip(low_gradients, gradients, strict=True):
        assert low.dtype == torch.float32
        assert (low - exact).norm() < 0.1 * exact.norm()


@each_untied
@pytest.mark.parametrize("optimiser", [torch.optim.RMSprop, torch.optim.Adam])
def test_what_was_trained_is_what_is_saved(form, optimiser):
    """Also where torch keeps a second bias, which is trained as well and only ever added."""
    model = make(form, 2, dtype=torch.float64).train()
    steps = optimiser(model.parameters(), lr=0.05)
    inputs = torch.from_numpy(random_bytes(8, 3))
    for _ in range(4):
        logits, _ = model(inputs[:-1], model.start(3))
        functional.cross_entropy(logits.flatten(0, 1), inputs[1:].flatten()).backward()
        steps.step()
        steps.zero_grad()
    saved = make(form, 2, dtype=torch.float64, seed=1)
    saved.load_tensors({name: t.detach().clone() for name, t in model.to_tensors().items()})
    state = random_state(model, 3)
    expected, after = model.eval()(inputs, state)
    found, found_after = saved(inputs, state)
    torch.testing.assert_close(found, expected, atol=1e-12, rtol=0)
    torch.testing.assert_close(found_after, after, atol=1e-12, rtol=0)


SETTINGS = TrainingSettings(
    sequences=4,
    length=5,
    learning_rate=0.02,
    train_fraction=0.9,
    validate_every=10,
    validation_bytes=100,
    precision="float32",
    updates=20,
)


def validation_losses(out):
    with open(out.with_suffix(".csv"), newline="") as file:
        return [float(row["val_loss"]) for row in csv.DictReader(file)]


@each_untied
def test_a_short_run_and_the_same_run_resumed(tmp_path, corpus, form):
    config = form.config(2, 6, dropout=0.3)
    straight, parts = tmp_path / "straight.safetensors", tmp_path / "parts.safetensors"
    train(config, SETTINGS, corpus, straight)
    train(config, replace(SETTINGS, updates=7), corpus, parts)
    train(config, SETTINGS, corpus, parts, resume=True)

    curve = validation_losses(straight)
    assert curve[-1] < curve[0]
    assert validation_losses(parts)[-2:] == curve
    found, expected = read_metadata(parts), read_metadata(straight)
    assert found.model == expected.model == config
    assert found.validation_loss == expected.validation_loss
    assert state_path(parts).exists()
    (model, _), (wanted, _) = load_model(parts), load_model(straight)
    for name, tensor in wanted.to_tensors().items():
        assert torch.equal(model.to_tensors()[name], tensor), name


# -- One more architecture ------------------------------------------------------------------------

TOY = """
from gridlstm.cells import Cell, spread


class Leaky(Cell):
    outputs = "time.cell"
    forget = (("time.leak", 0),)

    def read(self, layer):
        (cell,), cells, keeps = layer.state, [], []
        for below in spread(layer.inputs, layer.sequences):
            keep = layer.tensor("time.leak").sigmoid().expand_as(cell).clone()
            keeps.append(layer.clamp("time.forget", keep))
            cell = layer.clamp("time.cell", keeps[-1] * cell + below)
            cells.append(cell)
        return {"time.cell": cells, "time.forget": keeps}
"""


class Leaky(Architecture):
    def layer(self, config, layer):
        return {"time.leak": (config.units,)}


@pytest.fixture
def toy(tmp_path, monkeypatch):
    """A leaky sum, `c' = keep * c + below`: one file with its network, and one entry."""
    (tmp_path / "leaky_network.py").write_text(TOY)
    monkeypatch.syspath_prepend(tmp_path)
    entry = Leaky(
        "Leaky sum",
        "leaky_network:Leaky",
        ("time.cell", "time.forget"),
        (Memory("time", "time.cell", "time.forget"),),
        {"c": "time.cell"},
    )
    monkeypatch.setitem(architectures.ARCHITECTURES, "leaky", entry)
    return Form("leaky")


def test_a_new_architecture_takes_one_file_and_one_entry(tmp_path, corpus, toy):
    """It is made, traced, held, trained, resumed, saved and loaded as those that are there."""
    out = tmp_path / "leaky.safetensors"
    config = toy.config(2, 4)
    assert config.title == "Leaky sum, 2 layers, 4 units"
    assert config.parameters == 256 * 4 * 2 + 256 + 2 * 4
    assert config.clampable == ("time.cell", "time.forget")
    train(config, replace(SETTINGS, updates=10), corpus, out)
    train(config, SETTINGS, corpus, out, resume=True)
    model, metadata = load_model(out)
    assert metadata.model == config and metadata.updates > 0
    held = Clamp("time.cell", 1, 2, 0.5)
    for clamps in ([], [held]):
        found = trace(model, b"abca", dtype=np.float32, clamps=clamps)
        below = model.embedding.weight.numpy()[list(b"abca")]
        for layer in range(2):
            keep = 1 / (1 + np.exp(-model.to_tensors()[f"layers.{layer}.time.leak"].numpy()))
            cell, expected = np.zeros(4), []
            for row in below:
                cell = keep * cell + row
                if clamps and layer == 0:
                    cell[2] = 0.5
                expected.append(cell.copy())
            below = np.array(expected)
            np.testing.assert_allclose(found.values["time.cell"][layer], below, atol=1e-5)
        np.testing.assert_allclose(losses(model, b"abca", [clamps])[0], found.loss, atol=1e-5)
    assert len(list(sample(model, b"a", 5))) == 5


def test_the_new_architecture_is_named_among_those_known(toy):
    with pytest.raises(ConfigError, match=r"slstm, leaky\."):
        ModelConfig("nothing", 1, 1)
