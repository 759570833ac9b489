"""Directions: found in planted layers, kept in files, taken apart by who wrote them, clamped."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import reference
from hypothesis import given, settings
from hypothesis import strategies as st
from test_intervention import DATA, numpy_tensors
from test_provenance import TEXT, random_gates

from gridlstm.analysis.depth_provenance import depth_shares, depth_written, direction_shares
from gridlstm.analysis.directions import (
    found_by_property,
    judge_directions,
    non_negative_factors,
    principal_components,
)
from gridlstm.analysis.held_out import find_cells
from gridlstm.analysis.probe import probe
from gridlstm.analysis.provenance import ProvenanceError
from gridlstm.analysis.time_provenance import direction_time_shares, time_shares
from gridlstm.checkpoint import load_model
from gridlstm.clamps import AddedDirection, Clamp, ClampError, HeldDirection, RemovedShare
from gridlstm.commands import run
from gridlstm.config import ModelConfig
from gridlstm.direction import Direction, DirectionError, random_directions, unit_direction
from gridlstm.direction_file import from_json, to_json
from gridlstm.errors import UserError
from gridlstm.intervention import losses
from gridlstm.trace import trace

CHECKPOINTS = Path(__file__).parents[1] / "checkpoints"
CHARACTERS = 2400
POSITIONS = np.arange(CHARACTERS)
RANDOM = np.random.default_rng(3)
MARKS = np.repeat(RANDOM.random(CHARACTERS // 25) < 0.3, 25)
PLANTED = np.array([0.6, 0, -0.8, 0, 0, 0])


@pytest.fixture(scope="module")
def planted() -> dict[str, np.ndarray]:
    """Two layers of six units that follow the marks along `PLANTED` alone, in the second."""
    values = RANDOM.normal(size=(2, CHARACTERS, 6))
    values[1] += 3 * MARKS[:, None] * PLANTED
    return {"depth.cell": values.astype(np.float32)}


# -- Found and judged -----------------------------------------------------------------------------


@pytest.mark.parametrize("source", ["means", "probe"])
def test_a_planted_direction_is_found_and_beats_every_unit(planted, source):
    found = found_by_property(planted, MARKS, POSITIONS, "depth.cell", 2, source, name="planted")
    assert abs(found.vector @ PLANTED) / found.norm > 0.95
    row = judge_directions(planted, [found], MARKS, POSITIONS).iloc[0]
    best_unit = find_cells(planted, MARKS, POSITIONS, top=1, shifts=1).cells.iloc[0]
    assert row["held_out"] > best_unit["held_out"] + 0.02
    assert row["low"] < row["held_out"] < row["high"] and row["f1_held_out"] > 0.8


def test_the_probes_direction_reads_as_the_probe_does(planted):
    whole = probe(planted["depth.cell"][1], MARKS, POSITIONS)
    found = found_by_property(planted, MARKS, POSITIONS, "depth.cell", 2)
    row = judge_directions(planted, [found], MARKS, POSITIONS).iloc[0]
    assert row["held_out"] == pytest.approx(whole.scores["held_out"].iloc[-1], abs=1e-4)
    by_unit = whole.weights.set_index("unit")["weight"].sort_index()
    spread = planted["depth.cell"][1][: whole.split.found.end].astype(np.float64).std(axis=0)
    np.testing.assert_allclose(found.vector * spread, by_unit, atol=0.01)  # to what it is fitted


def test_a_unit_is_judged_as_a_direction_as_it_is_as_a_unit(planted):
    cell = find_cells(planted, MARKS, POSITIONS, top=1, shifts=1).cells.iloc[0]
    unit = unit_direction("depth.cell", int(cell["layer"]), int(cell["unit"]), 6)
    row = judge_directions(planted, [unit], MARKS, POSITIONS).iloc[0]
    for column in ("found", "held_out", "low", "high", "threshold", "f1_found", "f1_held_out"):
        assert row[column] == pytest.approx(cell[column], abs=1e-12), column


def test_a_direction_in_all_layers_and_one_of_a_number(planted):
    both = found_by_property(planted, MARKS, POSITIONS, "depth.cell", None, "means")
    assert both.vector.shape == (2, 6)
    expected = np.einsum("lpu,lu->p", planted["depth.cell"], both.vector)
    np.testing.assert_allclose(both.along(planted), expected, atol=1e-4)
    number = MARKS + RANDOM.normal(size=CHARACTERS) / 10
    found = found_by_property(planted, number, POSITIONS, "depth.cell", 2, "means")
    assert judge_directions(planted, [found], number, POSITIONS).iloc[0]["held_out"] > 0.6
    with pytest.raises(DirectionError, match="choose means"):
        found_by_property(planted, number, POSITIONS, "depth.cell", 2, "probe")


def test_principal_components_are_those_of_the_covariance(planted):
    found = principal_components(planted, POSITIONS, "depth.cell", 2, 3)
    covariance = np.cov(planted["depth.cell"][1].astype(np.float64), rowvar=False)
    _, vectors = np.linalg.eigh(covariance)
    for direction, expected in zip(found, vectors.T[::-1], strict=False):
        assert abs(direction.vector @ expected) == pytest.approx(1, abs=1e-6)


def test_non_negative_factors_find_what_is_added():
    """Two groups of units that go up, or down, together."""
    amounts = RANDOM.random((CHARACTERS, 2)) ** 4
    groups = np.array([[1, 1, 0, 0, 0], [0, 0, 1, -1, 0]], float)
    values = {"time.cell": (amounts @ groups)[None]}
    found = non_negative_factors(values, POSITIONS, "time.cell", 1, 2)
    alike = np.abs(np.stack([d.vector for d in found]) @ groups.T) / np.sqrt(2)
    np.testing.assert_allclose(np.sort(alike, axis=1), [[0, 1], [0, 1]], atol=0.05)
    with pytest.raises(DirectionError, match="1 to 5 components"):
        non_negative_factors(values, POSITIONS, "time.cell", 1, 9)


# -- Taken apart by who wrote it ------------------------------------------------------------------


@pytest.mark.parametrize("layer", [None, 1, 3])
def test_what_is_along_a_direction_against_a_plain_loop(layer):
    values = random_gates("depth")
    i, f, g = (values[f"depth.{q}"] for q in ("input", "forget", "candidate"))
    vector = RANDOM.normal(size=(3, 4) if layer is None else 4)
    direction = Direction("depth.cell", layer, vector)
    weights = direction.weights(3)
    found = depth_written(values, direction)
    highest = 3 if layer is None else layer
    for position in range(12):
        for writer in range(highest):
            written = i[writer, position] * g[writer, position]
            reads = [weights[n:highest].sum(axis=0) for n in range(highest)]
            assert found.written[writer, position] == pytest.approx(
                reads[writer] @ written, abs=1e-5
            )
            left, share = written, weights[writer] @ written
            for gate in range(writer + 1, highest):
                taken = left * (1 - f[gate, position])
                left = left - taken
                share += weights[gate] @ left
                told = found.taken[writer, gate, position]
                assert told == pytest.approx(reads[gate] @ taken, abs=1e-5)
            assert found.shares[writer, position] == pytest.approx(share, abs=1e-5)
    np.testing.assert_allclose(direction_shares(values, direction), found.shares, atol=1e-5)


def test_what_is_along_time_against_a_plain_loop(monkeypatch):
    from gridlstm.analysis import chunks

    values = random_gates("time")
    i, f, g = (values[f"time.{q}"] for q in ("input", "forget", "candidate"))
    vector = RANDOM.normal(size=(3, 4))
    for rows in (1, 20, 1000):  # values at a time
        monkeypatch.setattr(chunks, "CHUNK_VALUES", rows)
        shares = direction_time_shares(values, Direction("time.cell", None, vector), 9)
        for s in range(10):
            written = i[:, s] * g[:, s] * np.prod(f[:, s + 1 : 10], axis=1)
            assert shares[s] == pytest.approx((written * vector).sum(), abs=1e-5)


@pytest.mark.parametrize("name", ["grid-6", "matched-grid-6"])
def test_shares_add_up_on_the_shipped_models(name):
    model, _ = load_model(CHECKPOINTS / f"{name}.safetensors")
    values = trace(model, TEXT.encode(), dtype=np.float32).values
    layers, positions, units = values["depth.cell"].shape
    vector = np.random.default_rng(0).normal(size=units) / np.sqrt(units)
    for layer in (2, layers):
        direction = Direction("depth.cell", layer, vector)
        found = depth_written(values, direction)
        whole = values["depth.cell"][layer - 1] @ vector
        np.testing.assert_allclose(found.shares.sum(axis=0), whole, atol=1e-4)
        np.testing.assert_allclose(direction_shares(values, direction).sum(0), whole, atol=1e-4)
    direction = Direction("time.cell", 2, vector)
    shares = direction_time_shares(values, direction, positions - 1)
    assert abs(shares.sum() - values["time.cell"][1, -1] @ vector) < 1e-4
    unit = unit_direction("depth.cell", layers, 7, units)
    np.testing.assert_array_equal(direction_shares(values, unit), depth_shares(values, 7))
    unit = unit_direction("time.cell", 2, 7, units)
    np.testing.assert_array_equal(
        direction_time_shares(values, unit, 40), time_shares(values, 1, 7, 40)
    )


# -- Clamped --------------------------------------------------------------------------------------


def expected_loss(model, changes) -> np.ndarray:
    """The reference's loss with a function that changes the depth memory of a layer, by layer."""
    tensors = numpy_tensors(model)
    plain_lstm = reference.lstm
    state = {"layer": 0}

    def lstm(z, c, clamps=()):
        h, new, found = plain_lstm(z, c, clamps)
        state["layer"] = (state["layer"] + 1) % (2 * model.config.layers)
        layer, is_time = divmod(state["layer"] - 1, 2)[0], state["layer"] % 2 == 1
        if not is_time and changes is not None:
            layer = (state["layer"] - 1) // 2 if state["layer"] else model.config.layers - 1
            new = changes(layer, new, found["forget"])
            h = found["output"] * np.tanh(new)
            found = {**found, "cell": new, "hidden": h}
        return h, new, found

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reference, "lstm", lstm)
        return reference.run("grid", model.config.layers, tensors, DATA).loss


@pytest.mark.usefixtures("each_way")
def test_clamps_of_directions_are_the_references(make_model):
    """Held, added, and what the first layers wrote taken out: alone, and side by side."""
    model = make_model("grid", 3, 5, "none", double=True).eval()
    w = RANDOM.normal(size=5)
    direction = Direction("depth.cell", 3, w)
    below = replace(direction, layer=2)
    followed = {}

    def held(layer, m, f):
        return m + (0.3 - w @ m) * w / (w @ w) if layer == 1 else m

    def added(layer, m, f):
        return m + 1.7 * w if layer == 2 else m

    def removed(layer, m, f):
        followed["left"] = m if layer == 0 else followed["left"] * f
        return m - (w @ followed["left"]) * w / (w @ w) if layer == 2 else m

    def both(layer, m, f):
        return removed(layer, held(layer, m, f), f)

    sets = {
        held: [HeldDirection(below, 0.3)],
        added: [AddedDirection(direction, 1.7)],
        removed: [RemovedShare(direction, upto=1)],
        both: [HeldDirection(below, 0.3), RemovedShare(direction, upto=1)],
    }
    together = losses(model, DATA, [[], *sets.values(), [Clamp("depth.cell", 1, 0, 0.5)]])
    np.testing.assert_allclose(together[0], expected_loss(model, None), atol=1e-5)
    for found, (change, clamps) in zip(together[1:], sets.items(), strict=False):
        expected = expected_loss(model, change)
        np.testing.assert_allclose(found, expected, atol=1e-5, err_msg=change.__name__)
        alone = trace(model, DATA, dtype=np.float64, clamps=clamps)
        np.testing.assert_allclose(alone.loss, expected, atol=1e-5, err_msg=change.__name__)
        assert np.abs(expected - together[0])[1:].max() > 1e-3


def test_a_direction_projected_out_is_gone(make_model):
    model = make_model("stacked", 2, 5)
    direction = Direction("time.cell", 1, RANDOM.normal(size=5))
    traced = trace(model, DATA, dtype=np.float32, clamps=[HeldDirection(direction)])
    assert np.abs(direction.along(traced.values)).max() < 1e-5


def test_clamps_that_are_refused(make_model):
    grid, stacked = make_model("grid", 2, 4, "all"), make_model("stacked", 2, 4)
    depth = Direction("depth.cell", 2, np.ones(4))
    time = replace(depth, quantity="time.cell")
    for model, clamp, message in (
        (grid, HeldDirection(replace(depth, vector=np.ones(5))), "has 5 weights"),
        (grid, HeldDirection(replace(depth, layer=3)), "of layer 3"),
        (grid, HeldDirection(Direction("depth.cell", None, np.ones((2, 4)))), "one layer at a"),
        (grid, HeldDirection(replace(depth, quantity="depth.forget")), "is a gate"),
        (grid, HeldDirection(depth, np.inf), "not finite"),
        (grid, RemovedShare(depth, upto=2), "layers below it"),
        (grid, RemovedShare(time), "of a Grid LSTM"),
        (stacked, RemovedShare(time), "of a Grid LSTM"),
        (stacked, HeldDirection(depth), "not 'depth.cell'"),
    ):
        with pytest.raises((ClampError, DirectionError), match=message):
            losses(model, DATA, [[clamp]])


# -- In files -------------------------------------------------------------------------------------


def test_a_file_holds_the_whole_direction():
    own = Direction("time.cell", None, RANDOM.normal(size=(2, 3)), "ä <b>", "means", "mine", "ab")
    again = from_json(to_json(own).encode())
    assert again == own and hash(again) == hash(own)
    assert again != replace(own, vector=2 * own.vector)


def test_a_direction_of_another_model_or_length_is_refused(make_model):
    one, other = make_model("grid", 2, 4, "all"), make_model("grid", 2, 4, "all", seed=1)
    assert one.checksum() == make_model("grid", 2, 4, "all").checksum()
    own = Direction("depth.cell", 1, np.ones(4), "mine", model=one.checksum())
    own.check(one.config, one.checksum())
    with pytest.raises(DirectionError, match="another model"):
        own.check(other.config, other.checksum())
    with pytest.raises(DirectionError, match="has 4 weights, and the model's .* 6 weights"):
        own.check(ModelConfig("grid", 2, 6, "all"))


GOOD = json.loads(to_json(Direction("time.cell", 1, np.ones(3), "good")))


@pytest.mark.parametrize(
    "changed",
    [
        {"format": "other"},
        {"version": 2},
        {"vector": [1, float("nan"), 2]},
        {"vector": [1, True]},
        {"vector": [0, 0]},
        {"vector": []},
        {"vector": [10**400]},
        {"vector": [[1, 2]]},
        {"vector": "123"},
        {"layer": 0},
        {"layer": True},
        {"layer": None},
        {"layer": None, "vector": [[1, 2], [1]]},
        {"name": 7},
        {"name": "n" * 101},
    ],
)
def test_bad_files_are_refused_in_a_sentence(changed):
    with pytest.raises(DirectionError) as error:
        from_json(json.dumps(GOOD | changed).encode())
    assert str(error.value).endswith(".") and "\n" not in str(error.value)


@settings(max_examples=30)
@given(st.binary(max_size=60) | st.text(max_size=40).map(lambda t: f'{{"format": {t}'.encode()))
def test_any_bytes_are_a_direction_or_a_sentence(data):
    with pytest.raises(UserError):
        from_json(data)


def test_deep_json_is_refused():
    with pytest.raises(DirectionError):
        from_json(b"[" * 200_000)


def test_random_directions_are_as_long_and_repeat():
    like = Direction("time.cell", 1, np.array([3.0, 4.0]))
    found = random_directions(like, 4, seed=1)
    assert [d.norm for d in found] == pytest.approx([5] * 4)
    assert len({d.vector[0] for d in found}) == 4
    again = random_directions(like, 4, seed=1)
    np.testing.assert_array_equal(found[3].vector, again[3].vector)


def test_who_wrote_a_direction_over_something_else_is_not_told():
    values = random_gates("depth")
    with pytest.raises(ProvenanceError, match="is over time.cell"):
        depth_written(values, Direction("time.cell", 1, np.ones(4)))
    with pytest.raises(ProvenanceError, match="another number of units"):
        depth_written(values, Direction("depth.cell", 1, np.ones(5)))


# -- Commands -------------------------------------------------------------------------------------


@pytest.fixture
def files(make_model, tmp_path):
    """A small model, and a text in which addresses come at random places."""
    import app_checkpoints

    app_checkpoints.checkpoint(tmp_path / "grid.safetensors", app_checkpoints.GRID)
    pieces = ("http://example.org/path?q=1", "www.example.com/x", "a word", "and more of it,", "é")
    text = " ".join(np.random.default_rng(0).choice(pieces, 300))
    (tmp_path / "text.txt").write_text(text, encoding="utf-8")
    return tmp_path


def run_json(capsys, *arguments) -> list[dict]:
    assert run([*map(str, arguments), "--json"]) == 0
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_a_direction_is_found_taken_apart_and_held_by_commands(files, capsys, monkeypatch):
    checkpoint, text, out = files / "grid.safetensors", files / "text.txt", files / "url.json"
    common = checkpoint, text, "--property", "url"
    (found,) = run_json(capsys, "direction", *common, "--source", "means", "--out", out)
    assert found["held_out"] > 0.5 and found["name"] == "url"
    (again,) = run_json(capsys, "direction", *common, "--direction", out)
    assert again["held_out"] == pytest.approx(found["held_out"])
    rows = run_json(capsys, "provenance", checkpoint, text, "--direction", out)
    for row in rows[::500]:
        shares = sum(row[f"layer_{n}"] for n in (1, 2, 3))
        left = sum(row[f"written_{n}"] - row[f"taken_{n}"] for n in (1, 2, 3))
        assert shares == pytest.approx(row["along"], abs=1e-4) == left
    held = run_json(capsys, "ablate", *common, "--direction", out, "--random", 3)
    assert [row["kind"] for row in held] == ["chosen", *["random"] * 3]
    assert {row["value"] for row in held} == {0.0}
    (followed,) = run_json(capsys, "carried-up", *common, "--random", 3)
    assert sum(followed[f"written_{n}"] for n in (1, 2, 3)) == pytest.approx(1, abs=1e-3)
    assert followed["holds"] in ("yes", "no")


def test_wrong_commands_are_refused_in_a_sentence(files, capsys):
    checkpoint, text, own = files / "grid.safetensors", files / "text.txt", files / "own.json"
    own.write_text(to_json(Direction("depth.cell", 3, np.ones(5), "own")))
    stacked = CHECKPOINTS / "stacked-3.safetensors"
    url = "--property", "url"
    for arguments, message in (
        (("provenance", checkpoint, text, "--direction", own), "has 5 weights"),
        (("provenance", checkpoint, text, "--direction", text), "is not valid JSON"),
        (("provenance", checkpoint, text, "--direction", own, "--unit", 1), "leave out"),
        (("ablate", checkpoint, text, "--direction", own), "has 5 weights"),
        (("direction", checkpoint, text, *url, "--layer", 9), "no layer 9"),
        (
            ("direction", checkpoint, text, *url, "--source", "factors", "--layer", "all"),
            "one layer",
        ),
        (("carried-up", stacked, text, *url), "carries no memory up"),
        (("carried-up", checkpoint, text, *url, "--lowest", 3), "not 3"),
        (("carried-up", checkpoint, text, *url, "--random", 0), "1 to 1,000"),
    ):
        assert run([*map(str, arguments)]) == 2
        told = capsys.readouterr().err.strip().splitlines()[-1]
        assert message in told, arguments
