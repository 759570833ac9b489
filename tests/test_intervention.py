"""Units held at a value: against the reference, many side by side, and what it does to the loss."""

import numpy as np
import pandas as pd
import pytest
import reference
import torch

from gridlstm import intervention
from gridlstm.architectures import ARCHITECTURES
from gridlstm.backends import plan as planning
from gridlstm.clamps import Clamp, ClampError
from gridlstm.config import ModelConfig
from gridlstm.intervention import InterventionError, ablate, losses, value_to_clamp
from gridlstm.model import LanguageModel
from gridlstm.progress import Cancelled
from gridlstm.sampling import SamplingError, sample
from gridlstm.text import character_losses, from_string
from gridlstm.trace import trace

KINDS = [("stacked", None), ("grid", "none"), ("grid", "depth"), ("grid", "all")]
UNITS = 5
DATA = b"[http://www.example.org] and more of it"


def numpy_tensors(model):
    return {name: tensor.detach().numpy() for name, tensor in model.to_tensors().items()}


def sets_of_holds(architecture: str) -> list[list[Clamp]]:
    time = [
        [],
        [Clamp("time.cell", 1, 0, 0.7)],
        [Clamp("time.forget", 2, 3, 1.0), Clamp("time.cell", 3, 1, -2.0)],
    ]
    depth = [
        [Clamp("depth.cell", 1, 2, 1.5)],
        [
            Clamp("depth.forget", 3, 4, 0.0),
            Clamp("depth.cell", 2, 0, 0.0),
            Clamp("time.cell", 1, 1, 1),
        ],
    ]
    return time + (depth if architecture == "grid" else [])


def expected_of(model, clamps: list[Clamp]) -> reference.Reference:
    config = model.config
    told = [(*h.quantity.split("."), h.layer - 1, h.unit, h.value) for h in clamps]
    tensors = numpy_tensors(model)
    return reference.run(config.architecture, config.layers, tensors, DATA, clamps=told)


@pytest.mark.parametrize(("architecture", "tie"), KINDS)
@pytest.mark.usefixtures("each_way")
def test_a_trace_with_holds_is_the_references(make_model, architecture, tie):
    model = make_model(architecture, 3, UNITS, tie, double=True).eval()
    for clamps in sets_of_holds(architecture):
        expected = expected_of(model, clamps)
        traced = trace(model, DATA, dtype=np.float64, clamps=clamps)
        for quantity, values in expected.values.items():
            np.testing.assert_allclose(traced.values[quantity], values, atol=1e-12, rtol=0)
        np.testing.assert_allclose(traced.loss, expected.loss, atol=1e-5, rtol=0)


@pytest.mark.parametrize(("architecture", "tie"), KINDS)
@pytest.mark.parametrize("numbers", [1, 3000, 2**26])
@pytest.mark.usefixtures("each_way")
def test_many_interventions_side_by_side(make_model, monkeypatch, architecture, tie, numbers):
    """In groups and pieces of any size: each has the loss that it has alone."""
    monkeypatch.setattr(intervention, "MAX_NUMBERS_AT_ONCE", numbers)
    monkeypatch.setattr(intervention, "SEQUENCES", 2)
    model = make_model(architecture, 3, UNITS, tie, double=True).eval()
    sets = sets_of_holds(architecture)
    found = losses(model, DATA, sets)
    for loss, clamps in zip(found, sets, strict=True):
        np.testing.assert_allclose(loss, expected_of(model, clamps).loss, atol=1e-5, rtol=0)


def in_every_layer(config) -> list[list[Clamp]]:
    """None; each quantity that can be held, in each layer; two of one layer; one of every layer."""
    kinds, layers = config.clampable, range(1, config.layers + 1)
    of_kinds = [[Clamp(kind, layer, 2, 0.8)] for kind in kinds for layer in layers]
    of_layers = [[Clamp(kind, layer, 1, 0.2) for kind in kinds] for layer in layers]
    every = [Clamp(kinds[0], layer, layer, 0.9) for layer in layers]
    return [*of_kinds, [], *reversed(of_layers), every, every[1:], [], every[::-1]]


FORMS = [
    *((name, {}) for name in ARCHITECTURES if name != "grid"),
    *(("grid", {"tie": tie}) for tie in ("none", "depth", "all")),
    *(("grid", {"tie": "depth", "depth": depth}) for depth in ("tanh", "relu")),
    *(("grid", {"tie": "none", "priority": "none", "depth": depth}) for depth in ("lstm", "tanh")),
]


@pytest.mark.parametrize(("architecture", "options"), FORMS)
def test_each_is_as_if_it_were_alone(monkeypatch, architecture, options):
    """In every architecture, wherever it holds what: as a trace with the same holds."""
    monkeypatch.setattr(intervention, "SEQUENCES", 7)
    monkeypatch.setattr(intervention, "MAX_NUMBERS_AT_ONCE", 7 * UNITS * intervention.NUMBERS * 20)
    monkeypatch.setattr(planning, "MIN_LARGE", 1)
    torch.manual_seed(1)
    model = LanguageModel(ModelConfig(architecture, 4, UNITS, **options))
    model.initialise(0.8, 1.0)
    model.eval()
    sets = in_every_layer(model.config)
    found = losses(model, DATA, sets)
    plain = trace(model, DATA, []).loss
    for loss, clamps in zip(found, sets, strict=True):
        np.testing.assert_allclose(loss, trace(model, DATA, [], clamps=clamps).loss, atol=2e-5)
        # Below the first layer there may be no memory that a gate of it could keep.
        if any(clamp.layer > 1 for clamp in clamps):
            assert np.nanmax(abs(loss - plain)) > 1e-4


@pytest.mark.parametrize(("architecture", "tie"), KINDS)
def test_a_forget_gate_held_open_keeps_all(make_model, architecture, tie):
    model = make_model(architecture, 3, UNITS, tie).eval()
    traced = trace(model, DATA, dtype=np.float32, clamps=[Clamp("time.forget", 2, 1, 1.0)]).values
    written = traced["time.input"] * traced["time.candidate"]
    kept = np.cumsum(written[1, :, 1], dtype=np.float64)
    np.testing.assert_allclose(traced["time.cell"][1, :, 1], kept, atol=1e-5)


def test_the_model_is_not_changed(make_model):
    model = make_model("grid", 3, UNITS, "all").eval()
    before = {name: tensor.clone() for name, tensor in model.to_tensors().items()}
    plain = trace(model, DATA).loss
    trace(model, DATA, clamps=[Clamp("depth.cell", 1, 0, 3.0)])
    losses(model, DATA, sets_of_holds("grid"))
    assert all(torch.equal(before[name], tensor) for name, tensor in model.to_tensors().items())
    np.testing.assert_array_equal(trace(model, DATA).loss, plain)


@pytest.mark.parametrize(
    ("architecture", "clamp", "message"),
    [
        ("stacked", Clamp("depth.cell", 1, 0, 0), "What can be held"),
        ("grid", Clamp("time.hidden", 1, 0, 0), "What can be held"),
        ("grid", Clamp("time.cell", 0, 0, 0), "no layer 0"),
        ("grid", Clamp("time.cell", 4, 0, 0), "no layer 4"),
        ("grid", Clamp("time.cell", 1, UNITS, 0), "no unit 5"),
        ("grid", Clamp("time.cell", 1, 0, float("nan")), "not finite"),
        ("grid", Clamp("depth.forget", 1, 0, 1.5), "between 0"),
    ],
)
def test_holds_that_the_model_does_not_allow(make_model, architecture, clamp, message):
    model = make_model(architecture, 3, UNITS, "all" if architecture == "grid" else None)
    with pytest.raises(ClampError, match=message):
        trace(model, DATA, clamps=[clamp])
    with pytest.raises(ClampError, match=message):
        losses(model, DATA, [[clamp]])


def test_it_can_be_cancelled(make_model):
    def cancel(share: float) -> None:
        assert 0 <= share <= 1
        raise Cancelled

    with pytest.raises(Cancelled):
        losses(make_model("grid", 2, UNITS, "all"), DATA, [[]], cancel)


def test_the_value_to_hold():
    values, marks = np.array([1, 2, 6, 7.0]), np.array([True, False, False, True])
    found = {name: value_to_clamp(values, marks, name) for name in intervention.VALUES}
    assert found == {
        "zero": 0, "mean": 4, "mean inside": 4, "mean outside": 4, "closed": 0, "open": 1
    }  # fmt: skip
    assert value_to_clamp(values, np.array([True, True, False, False]), "mean inside") == 1.5
    for marks, name in ((None, "mean inside"), (np.zeros(4, bool), "mean inside"), (None, "x")):
        with pytest.raises(InterventionError):
            value_to_clamp(values, marks, name)


def test_ablation_splits_the_loss_by_the_property(make_model):
    """The table against one trace a row."""
    model = make_model("grid", 3, 12, "all").eval()
    text = from_string("Voilà http://é.org and [http://www.example.org more] ünd")
    marks = np.array([c.isascii() for c in text.characters])
    cells = pd.DataFrame(
        {"layer": [1, 3], "quantity": ["time.cell", "depth.cell"], "unit": [2, 7], "auc": [1, 1]}
    )
    table = ablate(model, text, marks, cells, "mean inside", random_units=3, seed=5)
    assert list(table["kind"]) == ["chosen"] * 2 + ["random"] * 6
    assert not {2} & set(table[(table["kind"] == "random") & (table["layer"] == 1)]["unit"])
    plain = character_losses(text, trace(model, text.data).loss)
    for row in table.itertuples():
        clamp = Clamp(row.quantity, row.layer, row.unit, row.value)
        change = character_losses(text, trace(model, text.data, clamps=[clamp]).loss) - plain
        assert row.change_inside == pytest.approx(np.nanmean(change[marks]), abs=1e-5)
        assert row.change_outside == pytest.approx(np.nanmean(change[~marks]), abs=1e-5)
    again = ablate(model, text, marks, cells, "mean inside", random_units=3, seed=5)
    assert table.equals(again)
    for wrong in (np.zeros_like(marks), np.ones_like(marks)):
        with pytest.raises(InterventionError):
            ablate(model, text, wrong, cells)


@pytest.mark.parametrize(("architecture", "tie"), KINDS)
def test_sampling_carries_the_state(make_model, architecture, tie):
    """Each byte is drawn from the distribution that a trace of all before it ends in."""
    model = make_model(architecture, 2, UNITS, tie, double=True).eval()
    written = bytes(sample(model, b"Begin", 12, temperature=0.7, seed=3))
    numbers = np.random.default_rng(3).random(12)
    for n, byte in enumerate(written):
        tensors = numpy_tensors(model)
        probabilities = reference.run(architecture, 2, tensors, b"Begin" + written[:n]).next_byte[
            -1
        ]
        probabilities = probabilities ** (1 / 0.7)
        edges = np.cumsum(probabilities / probabilities.sum())
        assert edges[byte - 1] - 1e-9 <= numbers[n] < edges[byte] + 1e-9 or byte == 0


def test_samples_with_and_without_holds_share_their_random_numbers(make_model):
    model = make_model("grid", 2, UNITS, "all").eval()
    plain = bytes(sample(model, b"x", 40))
    assert bytes(sample(model, b"x", 40)) == plain
    assert bytes(sample(model, b"x", 40, seed=2)) != plain
    held = bytes(sample(model, b"x", 40, clamps=[Clamp("time.cell", 1, 0, 50.0)]))
    assert len(held) == 40


def test_temperature_0_takes_the_likeliest(make_model):
    model = make_model("stacked", 2, UNITS, None).eval()
    written = bytes(sample(model, b"ab", 5, temperature=0))
    for n, byte in enumerate(written):
        assert trace(model, b"ab" + written[:n]).likeliest(1)[0][-1, 0] == byte


def test_what_cannot_be_sampled(make_model):
    model = make_model("stacked", 1, UNITS, None)
    for prime, options in ((b"", {}), (b"x", {"temperature": -1}), (b"x", {"temperature": np.nan})):
        with pytest.raises(SamplingError):
            sample(model, prime, 1, **options)
