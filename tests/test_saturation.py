import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gridlstm.analysis import chunks as chunking
from gridlstm.analysis import orders
from gridlstm.analysis.orders import ORDERS, order
from gridlstm.analysis.saturation import gate_histogram, saturation

GATE = st.sampled_from([np.float16, np.float32])


@pytest.fixture
def gate():
    """[layer 2, position 41, unit 3], with values on and beside the limits and the bins' edges."""
    values = np.random.default_rng(3).random((2, 41, 3)).astype(np.float16)
    values[0, :10, 0] = [0, 0.1, 0.0999, 0.1001, 0.9, 0.8999, 0.901, 1, 0.02, 0.98]
    values[1, :, 2] = 1
    return values


@pytest.fixture
def small_chunks(monkeypatch):
    monkeypatch.setattr(chunking, "CHUNK_VALUES", 20)


def saturation_by_loop(gate, low, high):
    layers, positions, units = gate.shape
    left, right = np.zeros((layers, units)), np.zeros((layers, units))
    for layer, position, unit in itertools.product(*map(range, gate.shape)):
        value = float(gate[layer, position, unit])
        left[layer, unit] += (value < low) / positions
        right[layer, unit] += (value > high) / positions
    return left, right


@pytest.mark.parametrize("low, high", [(0.1, 0.9), (0.25, 0.5)])
def test_saturation_is_the_share_of_positions(gate, small_chunks, low, high):
    left, right = saturation(gate, low, high)
    expected_left, expected_right = saturation_by_loop(gate, low, high)
    assert left == pytest.approx(expected_left, abs=1e-12)
    assert right == pytest.approx(expected_right, abs=1e-12)


def test_the_limits_are_not_saturated_yet():
    gate = np.array([0.1, 0.9], np.float32).reshape(1, 2, 1)
    left, right = saturation(gate)
    assert (left.tolist(), right.tolist()) == ([[0]], [[0]])


def test_no_saturation_over_nothing():
    with pytest.raises(ValueError, match="empty"):
        saturation(np.zeros((2, 0, 3), np.float16))


@pytest.mark.parametrize("bins", [1, 7, 50])
def test_every_value_is_in_its_bin(gate, small_chunks, bins):
    edges = np.linspace(0, 1, bins + 1)
    expected = np.zeros((2, bins), int)
    for layer, position, unit in itertools.product(*map(range, gate.shape)):
        value = float(gate[layer, position, unit])
        bin_ = next(b for b in reversed(range(bins)) if edges[b] <= value)
        expected[layer, bin_] += 1
    counts = gate_histogram(gate, bins)
    assert counts.dtype == np.int64
    assert counts.tolist() == expected.tolist()


def test_a_memory_mapped_gate_is_read_as_any_other(gate, small_chunks, tmp_path):
    np.save(tmp_path / "gate.npy", gate)
    mapped = np.load(tmp_path / "gate.npy", mmap_mode="r")
    assert np.array_equal(gate_histogram(mapped), gate_histogram(gate))
    assert np.array_equal(saturation(mapped), saturation(gate))


@given(st.integers(0, 5000), st.integers(0, 3_000_000))
def test_chunks_cover_everything_once_and_are_small(length, width):
    parts = list(chunking.chunks(length, width))
    assert [row for part in parts for row in range(part.start, part.stop)] == list(range(length))
    assert all(
        part.stop - part.start == 1 or (part.stop - part.start) * width <= 2**20 for part in parts
    )


@pytest.mark.parametrize("by", ORDERS)
@given(st.integers(1, 6), st.integers(1, 6), st.integers(0, 9), GATE)
def test_every_order_is_a_permutation(by, positions, units, seed, number):
    values = np.random.default_rng(seed).integers(0, 2, (positions, units)).astype(number)
    before = values.tobytes()
    assert sorted(order(values, by)) == list(range(units))
    assert values.tobytes() == before


# [position, unit]: mean 4, 1, 2, 5/3; variance in the order 3, 2, 1, 0; peaks at 0, 2, 1, 0.
VALUES = np.array([[4, 0.5, 0, 5], [4, 1, 4, 0], [4, 1.5, 2, 0]], np.float16)


@pytest.mark.parametrize(
    "by, expected",
    [
        ("index", [0, 1, 2, 3]),
        ("mean", [1, 3, 2, 0]),
        ("variance", [3, 2, 1, 0]),
        ("time of the peak", [0, 3, 2, 1]),
    ],
)
def test_orders_by_hand(by, expected):
    assert order(VALUES, by).tolist() == expected


def test_variance_of_a_long_text(small_chunks):
    values = np.random.default_rng(4).normal(size=(300, 6)).astype(np.float16)
    expected = np.argsort(-values.astype(np.float64).var(axis=0))
    assert order(values, "variance").tolist() == expected.tolist()


def test_similar_units_stand_side_by_side_and_constant_ones_last():
    random = np.random.default_rng(5)
    kinds = np.array([0, 1, 2, 0, 1, 2, 0, 1, 2, 3])
    sources = np.column_stack((random.normal(size=(500, 3)), np.zeros(500)))
    noise = 0.1 * random.normal(size=(500, 10)) * (kinds < 3)
    found = kinds[order((sources[:, kinds] + noise + 1).astype(np.float16), "similarity")]
    assert [kind for kind, _ in itertools.groupby(found)][-1] == 3
    assert len(list(itertools.groupby(found))) == 4


def test_opposite_units_are_not_similar():
    wave = np.sin(np.arange(200))
    values = np.column_stack((wave, -wave, 2 * wave, -3 * wave)).astype(np.float32)
    found = order(values, "similarity").tolist()
    assert {frozenset(found[:2]), frozenset(found[2:])} == {frozenset({0, 2}), frozenset({1, 3})}


def test_orders_that_cannot_be_found():
    with pytest.raises(ValueError, match="Unknown order"):
        order(VALUES, "beauty")
    with pytest.raises(ValueError, match="empty"):
        order(VALUES[:0], "mean")
    with pytest.raises(ValueError, match=str(orders.MAX_CLUSTERED_UNITS)):
        order(np.zeros((2, orders.MAX_CLUSTERED_UNITS + 1), np.float16), "similarity")
