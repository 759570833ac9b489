"""Both architectures against the reference, which walks one cell at a time in NumPy."""

import numpy as np
import pytest
import reference
import torch
from torch.nn import functional

from gridlstm.architectures import GATES
from gridlstm.backends import plan as planning
from gridlstm.backends.grid_walk import walk_grid
from gridlstm.config import ConfigError, ModelConfig
from gridlstm.dropout import drop, dropout_mask
from gridlstm.trace import trace

KINDS = [("stacked", None), ("grid", "none"), ("grid", "depth"), ("grid", "all")]
LAYERS = range(1, 7)
UNITS = 5
TOLERANCE = {torch.float32: 1e-5, torch.float64: 1e-12}
every_model = pytest.mark.parametrize(
    ("architecture", "tie", "layers"), [(*kind, n) for kind in KINDS for n in LAYERS]
)


def numpy_tensors(model):
    return {name: tensor.detach().numpy() for name, tensor in model.to_tensors().items()}


def random_bytes(*shape):
    return np.random.default_rng(1).integers(0, 256, shape)


def random_state(layers, sequences, dtype):
    torch.manual_seed(2)
    return tuple(torch.randn(layers, sequences, UNITS, dtype=dtype) for _ in range(2))


@every_model
@pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
def test_several_sequences_from_a_carried_state(make_model, architecture, tie, layers, dtype):
    model = make_model(architecture, layers, UNITS, tie, double=dtype == torch.float64).eval()
    inputs, state = random_bytes(7, 3), random_state(layers, 3, dtype)

    logits, (h, c) = model(torch.from_numpy(inputs[:-1]), state)
    target = torch.from_numpy(inputs[1:])
    loss = functional.cross_entropy(logits.flatten(0, 1), target.flatten(), reduction="none")
    loss = loss.view(target.shape).detach().numpy()

    tensors, close = numpy_tensors(model), {"atol": TOLERANCE[dtype], "rtol": 0}
    for sequence in range(3):
        expected = reference.run(
            architecture,
            layers,
            tensors,
            inputs[:, sequence],
            *(s[:, sequence].numpy() for s in state),
        )
        before = reference.run(
            architecture,
            layers,
            tensors,
            inputs[:-1, sequence],
            *(s[:, sequence].numpy() for s in state),
        )
        np.testing.assert_allclose(loss[:, sequence], expected.loss[1:], **close)
        np.testing.assert_allclose(h[:, sequence].detach(), before.h, **close)
        np.testing.assert_allclose(c[:, sequence].detach(), before.c, **close)


@every_model
@pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
@pytest.mark.usefixtures("each_way")
def test_every_traced_quantity(make_model, architecture, tie, layers, dtype):
    model = make_model(architecture, layers, UNITS, tie, double=dtype == torch.float64)
    data = random_bytes(9).astype(np.uint8).tobytes()
    kept = np.float64 if dtype == torch.float64 else np.float32

    traced = trace(model, data, dtype=kept)

    expected = reference.run(architecture, layers, numpy_tensors(model), data)
    assert set(traced.values) == set(expected.values) == set(model.config.quantities)
    for quantity, values in traced.values.items():
        assert values.dtype == kept
        np.testing.assert_allclose(
            values, expected.values[quantity], atol=TOLERANCE[dtype], rtol=0, err_msg=quantity
        )
    np.testing.assert_allclose(traced.loss, expected.loss, atol=1e-5, rtol=0)
    np.testing.assert_allclose(traced.next_token, expected.next_byte, atol=5e-4, rtol=0)


@pytest.mark.parametrize("tie", ["none", "depth", "all"])
@pytest.mark.parametrize("layers", LAYERS)
def test_what_the_training_pass_over_the_grid_keeps(make_model, tie, layers):
    """The walk that training uses, several sequences at once, holds the reference's values."""
    model = make_model("grid", layers, UNITS, tie, double=True)
    inputs, state = random_bytes(6, 2), random_state(layers, 2, torch.float64)
    with torch.no_grad():
        embedded = model.embedding(torch.from_numpy(inputs))
        walk, _ = walk_grid(model.recurrent.weights, torch.float64, embedded, state, None)
    kept = {"cell": walk.new_cells, "hidden": walk.outputs}
    kept |= zip(GATES, walk.gates.chunk(4, dim=-1), strict=True)
    for sequence in range(2):
        expected = reference.run(
            "grid",
            layers,
            numpy_tensors(model),
            inputs[:, sequence],
            *(s[:, sequence].numpy() for s in state),
        )
        for kind, by_step in kept.items():
            # The depth LSTM of a cell is a step behind its time LSTM.
            for dimension, steps in (("time", by_step[:, 0]), ("depth", by_step[1:, 1])):
                np.testing.assert_allclose(
                    walk.straight(steps)[:, :, sequence],
                    expected.values[f"{dimension}.{kind}"],
                    atol=1e-12,
                    rtol=0,
                    err_msg=f"{dimension}.{kind}",
                )


@pytest.mark.parametrize("tie", ["none", "depth", "all"])
@pytest.mark.parametrize(("layers", "sequences"), [(1, 1), (4, 1), (6, 1), (5, 2), (6, 3)])
@pytest.mark.parametrize("halves", [False, True])
def test_large_weights_in_an_order_of_their_own(
    make_model, monkeypatch, tie, layers, sequences, halves
):
    """With every weight counted as a large one, be its numbers ones of float16 as in a file or not,
    the numbers are the reference's still."""
    monkeypatch.setattr(planning, "MIN_LARGE", 1)
    monkeypatch.setattr(planning, "MIN_LARGE_FOR_ONE_ROW", 1)
    model = make_model("grid", layers, UNITS, tie).eval()
    if halves:
        tensors = model.to_tensors().items()
        model.load_tensors({name: tensor.detach().half().float() for name, tensor in tensors})
    inputs = random_bytes(8, sequences)
    probabilities = model(torch.from_numpy(inputs), model.start(sequences))[0].softmax(-1).detach()
    for sequence in range(sequences):
        expected = reference.run("grid", layers, numpy_tensors(model), inputs[:, sequence])
        np.testing.assert_allclose(
            probabilities[:, sequence], expected.next_byte, atol=1e-6, rtol=0
        )


@pytest.mark.parametrize("tie", ["none", "depth", "all"])
@pytest.mark.parametrize("least", [1, planning.MIN_LARGE])
def test_weights_that_were_changed_are_read_as_they_are(make_model, monkeypatch, tie, least):
    """What is kept of them from call to call never outlives them, whichever way they change."""
    monkeypatch.setattr(planning, "MIN_LARGE", least)
    model = make_model("grid", 3, UNITS, tie).eval().requires_grad_(False)
    network = model.recurrent
    inputs = torch.from_numpy(random_bytes(8, 2))

    def probabilities():
        with torch.inference_mode():
            return model(inputs, model.start(2))[0].softmax(-1).clone()

    def check():
        chances_now, tensors = probabilities(), numpy_tensors(model)
        for sequence in range(2):
            expected = reference.run("grid", 3, tensors, inputs[:, sequence].numpy())
            np.testing.assert_allclose(
                chances_now[:, sequence], expected.next_byte, atol=1e-5, rtol=0
            )
        return chances_now

    before = check()
    assert torch.equal(probabilities(), before)
    for name, parameter in network.named_parameters():
        parameter.mul_(-0.5)
        after = check()
        assert not torch.allclose(after, before, atol=1e-4), name
        before = after
    other = make_model("grid", 3, UNITS, tie, seed=1)
    model.load_tensors({name: t.detach() for name, t in other.to_tensors().items()})
    check()
    for parameter in network.parameters():
        parameter.data = parameter.data * 0.9
        check()
    network.time_bias = torch.nn.Parameter(network.time_bias + 1, requires_grad=False)
    check()
    model.double()
    assert check().dtype == torch.float64
    model.requires_grad_(True)
    network.depth_bias.data.add_(1)
    check()
    with torch.inference_mode():
        network.time_bias = torch.nn.Parameter(network.time_bias * 2, requires_grad=False)
        check()
        network.time_bias.add_(1)
        check()


@pytest.mark.parametrize(("architecture", "tie"), KINDS)
def test_reading_in_pieces_is_reading_at_once(make_model, architecture, tie):
    model = make_model(architecture, 3, UNITS, tie, double=True).eval()
    inputs = torch.from_numpy(random_bytes(9, 2))
    whole, (h, c) = model(inputs, model.start(2))
    pieces, state = [], model.start(2)
    for length in (1, 2, 6):
        piece, inputs = inputs[:length], inputs[length:]
        logits, state = model(piece, state)
        pieces.append(logits)
    torch.testing.assert_close(torch.cat(pieces), whole, atol=1e-12, rtol=0)
    torch.testing.assert_close(state, (h, c), atol=1e-12, rtol=0)


@pytest.mark.parametrize(("architecture", "tie"), KINDS)
@pytest.mark.parametrize("layers", [1, 2, 4])
def test_dropout_is_where_the_design_puts_it(make_model, architecture, tie, layers):
    """With the same draws, the reference with its two masks gives the training pass."""
    rate, positions, sequences = 0.4, 6, 2
    model = make_model(architecture, layers, UNITS, tie, dropout=rate, double=True).train()
    inputs = torch.from_numpy(random_bytes(positions, sequences))
    top = torch.ones(positions, sequences, UNITS, dtype=torch.float64)

    torch.manual_seed(3)
    if architecture == "grid":
        shape = positions, layers - 1, sequences, UNITS
        below = dropout_mask(top, shape, rate) if layers > 1 else None
    else:
        drawn = [dropout_mask(top, top.shape, rate) for _ in range(layers - 1)]
        below = torch.stack(drawn, 1) if drawn else None
    top = dropout_mask(top, top.shape, rate)

    torch.manual_seed(3)
    logits, (h, c) = model(inputs, model.start(sequences))
    probabilities = logits.softmax(-1).detach().numpy()
    for sequence in range(sequences):
        expected = reference.run(
            architecture,
            layers,
            numpy_tensors(model),
            inputs[:, sequence].numpy(),
            below_mask=None if below is None else below[:, :, sequence].numpy(),
            top_mask=top[:, sequence].numpy(),
        )
        np.testing.assert_allclose(
            probabilities[:, sequence], expected.next_byte, atol=1e-12, rtol=0
        )
        np.testing.assert_allclose(h[:, sequence].detach(), expected.h, atol=1e-12, rtol=0)
        np.testing.assert_allclose(c[:, sequence].detach(), expected.c, atol=1e-12, rtol=0)


def test_dropout_in_half_precision_scales_by_the_unrounded_factor():
    """1 / 0.75 is 0.2 % too much as a number of bfloat16."""
    torch.manual_seed(4)
    values = torch.rand(500, 1000).add(0.5).bfloat16()
    dropped = drop(values, 0.25)
    assert dropped.dtype == torch.bfloat16
    kept = dropped != 0
    scale = dropped[kept].double().mean() / values[kept].double().mean()
    assert float(scale) == pytest.approx(1 / 0.75, rel=2e-4)


@pytest.mark.parametrize("rate", [0.1, 0.25, 0.5, 0.9])
def test_the_dropout_mask_keeps_the_right_share_at_the_right_scale(rate):
    torch.manual_seed(4)
    mask = dropout_mask(torch.zeros(1), (50, 5, 8, 50), rate)
    assert mask.shape == (50, 5, 8, 50)
    kept = mask[mask != 0]
    torch.testing.assert_close(kept, torch.full_like(kept, 1 / (1 - rate)))
    # 100,000 draws: four standard deviations are at most 0.0064.
    assert float((mask == 0).double().mean()) == pytest.approx(rate, abs=0.0064)
    # Neighbouring draws come from one random number, and are still independent.
    dropped = (mask == 0).double().flatten()
    assert float((dropped[:-1] * dropped[1:]).mean()) == pytest.approx(rate**2, abs=0.0064)


@pytest.mark.parametrize(("architecture", "tie"), KINDS)
def test_there_is_no_dropout_in_evaluation(make_model, architecture, tie):
    with_dropout = make_model(architecture, 3, UNITS, tie, dropout=0.5).eval()
    without = make_model(architecture, 3, UNITS, tie).eval()
    inputs = torch.from_numpy(random_bytes(5, 2))
    logits, _ = with_dropout(inputs, with_dropout.start(2))
    torch.testing.assert_close(logits, without(inputs, without.start(2))[0], atol=0, rtol=0)
    logits_trained, _ = with_dropout.train()(inputs, with_dropout.start(2))
    assert not torch.equal(logits_trained, logits)


@every_model
def test_tensors_have_the_checkpoint_s_names_and_shapes(make_model, architecture, tie, layers):
    model = make_model(architecture, layers, UNITS, tie)
    shapes = {name: tuple(tensor.shape) for name, tensor in model.to_tensors().items()}
    assert shapes == model.config.tensor_shapes()
    assert shapes["layers.0.time.weight"] == (4 * UNITS, 2 * UNITS)
    counts = {d: sum(f".{d}.weight" in name for name in shapes) for d in ("time", "depth")}
    own_depth = {None: 0, "none": layers, "depth": 1, "all": 1}[tie]
    assert counts == {"time": 1 if tie == "all" else layers, "depth": own_depth}


@pytest.mark.parametrize(("architecture", "tie"), KINDS)
def test_tensors_make_the_round_trip(make_model, architecture, tie):
    model = make_model(architecture, 3, UNITS, tie, seed=0).eval()
    other = make_model(architecture, 3, UNITS, tie, seed=1).eval()
    other.load_tensors({name: t.detach().clone() for name, t in model.to_tensors().items()})
    for name, tensor in other.to_tensors().items():
        assert torch.equal(tensor, model.to_tensors()[name]), name
    inputs = torch.from_numpy(random_bytes(5, 2))
    assert torch.equal(other(inputs, other.start(2))[0], model(inputs, model.start(2))[0])


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"architecture": "transformer"}, "architecture"),
        ({"layers": 0}, "layers"),
        ({"layers": 2.0}, "layers"),
        ({"layers": True}, "layers"),
        ({"units": 10**9}, "units"),
        ({"tie": "some"}, "tie"),
        ({"tie": None}, "tie"),
        ({"architecture": "stacked"}, "tie"),
        ({"dropout": 1.0}, "Dropout"),
        ({"dropout": float("nan")}, "Dropout"),
        ({"dropout": "0.5"}, "Dropout"),
    ],
)
def test_a_wrong_setting_is_named_in_one_sentence(wrong, named):
    right = {"architecture": "grid", "layers": 2, "units": 4, "tie": "all", "dropout": 0.5}
    ModelConfig(**right)
    with pytest.raises(ConfigError) as caught:
        ModelConfig(**right | wrong)
    assert named in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="this machine has no CUDA GPU")
@pytest.mark.parametrize(("architecture", "tie"), KINDS)
def test_a_gpu_gives_the_same_numbers(make_model, architecture, tie):
    model = make_model(architecture, 3, UNITS, tie).eval()
    inputs = torch.from_numpy(random_bytes(8, 2))
    expected, (h, c) = model(inputs, model.start(2))
    model.cuda()
    found, state = model(inputs.cuda(), model.start(2))
    for here, there in zip((found, *state), (expected, h, c), strict=True):
        torch.testing.assert_close(here.cpu(), there, atol=1e-4, rtol=0)
