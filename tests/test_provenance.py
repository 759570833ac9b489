"""Who wrote a memory, and when: sums that must come out, plain loops, hand-made gates."""

from pathlib import Path

import numpy as np
import pytest

from gridlstm.analysis.depth_provenance import (
    depth_shares,
    depth_shares_at,
    layer_shares_frame,
    layers_survived,
    mean_depth_shares,
)
from gridlstm.analysis.provenance import ProvenanceError
from gridlstm.analysis.time_provenance import (
    by_character,
    half_life_frame,
    half_lives,
    time_shares,
)
from gridlstm.checkpoint import load_model
from gridlstm.text import from_string
from gridlstm.trace import trace

CHECKPOINTS = Path(__file__).parents[1] / "checkpoints"
TEXT = "''See'' [http://www.example.org/a?b=c Étude] and [[Links]]: {{cite|url=http://x.org}}\n" * 3


def random_gates(dimension: str, layers=3, positions=12, units=4, seed=0) -> dict[str, np.ndarray]:
    """Gates with exact zeros and ones among them."""
    random = np.random.default_rng(seed)
    gates = {}
    for quantity, low in (("input", 0), ("forget", 0), ("candidate", -1)):
        values = random.uniform(low, 1, (layers, positions, units))
        values[random.random(values.shape) < 0.15] = 0
        values[random.random(values.shape) < 0.15] = 1
        gates[f"{dimension}.{quantity}"] = values.astype(np.float32)
    return gates


@pytest.mark.parametrize("name", ["grid-3", "grid-6", "stacked-3", "stacked-6"])
def test_shares_add_up_to_the_cells_of_the_shipped_models(name):
    model, _ = load_model(CHECKPOINTS / f"{name}.safetensors")
    values = trace(model, TEXT.encode(), dtype=np.float32).values
    layers, positions, units = values["time.cell"].shape
    for layer, unit, position in ((0, 3, 200), (layers - 1, 250, positions - 1), (1, 77, 0)):
        shares = time_shares(values, layer, unit, position)
        assert shares.shape == (position + 1,)
        assert abs(shares.sum() - values["time.cell"][layer, position, unit]) < 1e-4
    if name.startswith("stacked"):
        with pytest.raises(ProvenanceError, match="nothing of a depth memory"):
            depth_shares(values, 0)
        return
    for unit in range(0, units, 15):
        total = depth_shares(values, unit).sum(axis=0)
        np.testing.assert_allclose(total, values["depth.cell"][-1, :, unit], atol=1e-4)
    for upto in range(layers):
        total = depth_shares_at(values, 100, upto).sum(axis=0)
        np.testing.assert_allclose(total, values["depth.cell"][upto, 100], atol=1e-4)


def test_depth_shares_against_a_plain_loop():
    values = random_gates("depth")
    i, f, g = (values[f"depth.{q}"] for q in ("input", "forget", "candidate"))
    for upto in range(3):
        for unit in range(4):
            shares = depth_shares(values, unit, upto)
            for position in range(12):
                for layer in range(upto + 1):
                    kept = np.prod(f[layer + 1 : upto + 1, position, unit])
                    written = i[layer, position, unit] * g[layer, position, unit]
                    assert shares[layer, position] == pytest.approx(written * kept, abs=1e-6)


def test_time_shares_against_a_plain_loop():
    values = random_gates("time")
    i, f, g = (values[f"time.{q}"] for q in ("input", "forget", "candidate"))
    for position in (0, 5, 11):
        shares = time_shares(values, 1, 2, position)
        for s in range(position + 1):
            kept = np.prod(f[1, s + 1 : position + 1, 2])
            assert shares[s] == pytest.approx(i[1, s, 2] * g[1, s, 2] * kept, abs=1e-6)


def test_mean_shares_against_a_plain_loop():
    values = random_gates("depth")
    fractions = []
    for unit in range(4):
        shares = np.abs(depth_shares(values, unit)).T
        fractions += [row / row.sum() for row in shares if row.sum() > 0]
    found = mean_depth_shares(values)
    np.testing.assert_allclose(found, np.mean(fractions, axis=0), atol=1e-6)
    assert found.sum() == pytest.approx(1)


def test_layers_that_a_write_survives():
    values = random_gates("depth", layers=4)
    forget = values["depth.forget"]
    expected = np.zeros((4, 4), int)
    for layer in range(4):
        for position in range(12):
            for unit in range(4):
                kept, survived = 1.0, 0
                for gate in forget[layer + 1 :, position, unit]:
                    kept *= gate
                    if kept <= 0.5:
                        break
                    survived += 1
                expected[layer, survived] += 1
    np.testing.assert_array_equal(layers_survived(values), expected)
    frame = layer_shares_frame(values)
    assert list(frame["layer"]) == [1, 2, 3, 4]
    np.testing.assert_array_equal(frame.filter(like="survived_"), expected)


def test_shares_of_the_bytes_of_a_character_are_added():
    text = from_string("aé€b")
    np.testing.assert_array_equal(text.last_byte, [0, 2, 5, 6])
    shares = np.arange(1.0, 8.0)
    np.testing.assert_array_equal(by_character(shares, text.last_byte), [1, 5, 15, 7])
    np.testing.assert_array_equal(by_character(shares[:3], text.last_byte), [1, 5])


def constant(forget: float, positions: int) -> dict[str, np.ndarray]:
    return {"time.forget": np.full((1, positions, 1), forget, np.float32)}


@pytest.mark.parametrize(
    ("forget", "steps"), [(0.0, 1), (0.5, 1), (0.51, 2), (0.9, 7), (0.99, 69), (0.999, 693)]
)
def test_half_life_of_a_constant_gate(forget, steps):
    """The least n with forget^n at most a half."""
    found = half_lives(constant(forget, 3000))
    assert (found.half_life.item(), found.censored.item()) == (steps, False)


def test_what_is_not_seen_to_fall_to_a_half_is_censored():
    found = half_lives(constant(1.0, 50))
    assert (found.half_life.item(), found.censored.item()) == (49, True)


def test_half_lives_in_characters_pass_the_gates_of_all_bytes_between():
    """Two bytes a character at 0.9 a byte: 0.81 a character, so 4 of them."""
    last_byte = np.arange(1, 2000, 2)
    assert half_lives(constant(0.9, 2000), last_byte).half_life.item() == 4


def test_half_life_is_the_median_of_the_writes():
    """A gate shut every 9 steps, else open: writes last 1 to 9 steps, each as often."""
    values = constant(1.0, 1000)
    values["time.forget"][:, ::9] = 0
    assert half_lives(values).half_life.item() == 5


def test_the_longest_half_lives_are_listed_first():
    forget = np.stack([np.full(200, f) for f in (0.9, 1.0, 0.5)], axis=1)[None]
    frame = half_life_frame(half_lives({"time.forget": forget.astype(np.float32)}))
    assert list(frame["unit"]) == [1, 0, 2]
    assert list(frame["censored"]) == [True, False, False]


def test_what_cannot_be_told_is_said():
    values = random_gates("depth")
    for wrong in ((values, 4), (values, 0, 3)):
        with pytest.raises(ProvenanceError, match="counted from 0"):
            depth_shares(*wrong)
    del values["depth.input"]
    with pytest.raises(ProvenanceError, match=r"does not hold 'depth\.input'"):
        depth_shares(values, 0)
    with pytest.raises(ProvenanceError, match="nothing of a time memory"):
        half_lives(values)
