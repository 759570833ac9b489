"""The sparse probe: planted layers of which one unit, or only several together, know the mark."""

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.special import expit
from sklearn.metrics import roc_auc_score

from gridlstm.analysis import probe as probe_module
from gridlstm.analysis.held_out import HeldOutError
from gridlstm.analysis.probe import MAX_FITTED_CHARACTERS, STRENGTH, ProbeError, probe
from gridlstm.progress import Cancelled

CHARACTERS = 3000
FIRST, SECOND = slice(0, 1400), slice(1600, 3000)
POSITIONS = np.arange(CHARACTERS)


def marked(random, characters=CHARACTERS):
    return np.repeat(random.random(characters // 25 + 1) < 0.3, 25)[:characters]


@pytest.fixture
def one_cell():
    """A layer [position, unit 12] of which unit 7 alone knows the marks, by being low, in float16
    and on a scale of its own; unit 4 never varies."""
    random = np.random.default_rng(1)
    marks = marked(random)
    layer = random.normal(size=(CHARACTERS, 12))
    layer[:, 7] = 50 - 8 * (layer[:, 7] + 4 * marks)
    layer[:, 4] = 0.5
    return layer.astype(np.float16), marks


@pytest.fixture
def spread_out():
    """A layer of which units 0, 3, 6 and 9 each know a little, with noise of their own."""
    random = np.random.default_rng(2)
    marks = marked(random)
    layer = random.normal(size=(CHARACTERS, 12))
    layer[:, [0, 3, 6, 9]] += 1.2 * marks[:, None]
    return layer, marks


def test_one_cell_reads_as_well_as_the_layer(one_cell):
    layer, marks = one_cell
    found = probe(layer, marks, POSITIONS)
    assert found.scores["units"].tolist() == [1, 2, 4, 8, 12]
    first, whole = found.scores.iloc[0], found.scores.iloc[-1]
    assert first["held_out"] > 0.98
    assert whole["held_out"] - first["held_out"] < 0.01
    best = found.weights.iloc[0]
    assert (best["unit"], best["entered"]) == (7, 1)
    assert best["weight"] < 0
    assert best["share"] > 0.7


def test_a_spread_mark_takes_several_units(spread_out):
    layer, marks = spread_out
    found = probe(layer, marks, POSITIONS)
    scores = found.scores.set_index("units")["held_out"]
    assert scores[1] < 0.85 < 0.9 < scores[4]
    assert scores[12] - scores[4] < 0.02
    assert set(found.weights["unit"][:4]) == {0, 3, 6, 9}
    assert set(found.weights.sort_values("entered")["unit"][:4]) == {0, 3, 6, 9}


def test_one_unit_reads_what_it_says_itself(one_cell):
    layer, marks = one_cell
    row = probe(layer, marks, POSITIONS).scores.iloc[0]
    for name, part in (("found", FIRST), ("held_out", SECOND)):
        assert row[name] == pytest.approx(roc_auc_score(marks[part], -layer[part, 7]))
    assert row["low"] < row["held_out"] < row["high"]


def penalised_least(values, marks, strength):
    """The weights and the intercept with the least penalty and loss, by another optimiser: each
    weight is the difference of two numbers that are not negative, so that all is smooth."""
    signs, units = np.where(marks, 1, -1), values.shape[1]

    def cost(numbers):
        up, down, intercept = np.split(numbers, [units, 2 * units])
        margin = signs * (values @ (up - down) + intercept)
        slope = -strength * signs * expit(-margin)
        gradient = values.T @ slope
        total = up.sum() + down.sum() + strength * np.logaddexp(0, -margin).sum()
        return total, np.concatenate((1 + gradient, 1 - gradient, [slope.sum()]))

    bounds = [(0, None)] * 2 * units + [(None, None)]
    options = {"maxiter": 10_000, "maxfun": 100_000, "ftol": 1e-14, "gtol": 1e-9}
    found = minimize(cost, np.zeros(2 * units + 1), jac=True, bounds=bounds, options=options)
    return found.x[:units] - found.x[units:-1], found.x[-1]


def probabilities(found, layer):
    """What the probe of all units gives for each character of both parts."""
    scaled = (layer - layer[FIRST].mean(axis=0)) / layer[FIRST].std(axis=0)
    weights = found.weights.sort_values("unit")["weight"].to_numpy()
    return expit(scaled @ weights + found.intercept)


@pytest.mark.parametrize("share", [0.3, 0.01])
def test_all_units_against_another_optimiser(share):
    random = np.random.default_rng(2)
    marks = random.random(CHARACTERS) < share
    layer = random.normal(size=(CHARACTERS, 12))
    layer[:, [0, 3, 6, 9]] += 1.2 * marks[:, None]
    found = probe(layer, marks, POSITIONS)
    scaled = (layer - layer[FIRST].mean(axis=0)) / layer[FIRST].std(axis=0)
    expected, intercept = penalised_least(scaled[FIRST], marks[FIRST], STRENGTH)
    weights = found.weights.sort_values("unit")["weight"]
    assert weights.to_numpy() == pytest.approx(expected, abs=0.01)
    assert found.intercept == pytest.approx(intercept, abs=0.02)
    row = found.scores.iloc[-1]
    for name, part in (("found", FIRST), ("held_out", SECOND)):
        area = roc_auc_score(marks[part], scaled[part] @ expected)
        assert row[name] == pytest.approx(area, abs=1e-3)
    assert row["used"] == np.count_nonzero(found.weights["weight"])
    assert found.weights["share"].sum() == pytest.approx(1)


@pytest.mark.parametrize("share", [0.3, 0.01])
def test_marks_are_expected_as_often_as_they_are(share):
    """A penalty on the intercept drew the chances of rare marks to one half."""
    random = np.random.default_rng(8)
    marks = random.random(CHARACTERS) < share
    layer = random.normal(size=(CHARACTERS, 12))
    layer[:, [0, 3]] += 1.0 * marks[:, None]
    expected = probabilities(probe(layer, marks, POSITIONS), layer)
    assert expected[FIRST].mean() == pytest.approx(marks[FIRST].mean(), rel=0.01)
    assert expected[SECOND].mean() == pytest.approx(marks[SECOND].mean(), rel=0.25)


def test_the_strongest_penalty_of_the_path_lets_no_unit_in(monkeypatch):
    """And the next lets one in: the path begins where units begin to be used."""
    random = np.random.default_rng(9)
    marks = random.random(CHARACTERS) < 0.05
    layer = random.normal(size=(CHARACTERS, 12))
    layer[:, 5] += 2 * marks
    used = []
    fit = probe_module._fit

    def counted(values, marks, strength):
        weights, intercept = fit(values, marks, strength)
        used.append(np.count_nonzero(weights))
        return weights, intercept

    monkeypatch.setattr(probe_module, "_fit", counted)
    probe(layer, marks, POSITIONS)
    path = used[: probe_module.PATH]
    assert path[:2] == [0, 1] and path[-1] > 1


def test_what_was_learnt_by_heart_is_exposed():
    """Noise that happens to fit the first part does not read the second."""
    random = np.random.default_rng(4)
    marks = marked(random)
    layer = random.normal(size=(CHARACTERS, 8))
    layer[: FIRST.stop, 5] += 3 * marks[: FIRST.stop]
    row = probe(layer, marks, POSITIONS).scores.iloc[0]
    assert row["found"] > 0.95
    assert row["low"] < 0.55 and row["held_out"] < 0.6


def test_a_character_shows_the_value_at_its_last_byte(one_cell):
    layer, marks = one_cell
    stretched = np.repeat(layer, 2, axis=0)
    stretched[::2] = marks[:, None]
    expected = probe(layer, marks, POSITIONS)
    found = probe(stretched, marks, 2 * POSITIONS + 1)
    assert found.scores.equals(expected.scores)
    assert found.weights.equals(expected.weights)


def test_a_long_text_is_fitted_on_some_of_its_characters():
    """Where the characters that are left out hold the opposite, the fit does not see it."""
    random = np.random.default_rng(5)
    characters = 2 * (MAX_FITTED_CHARACTERS + 1500) + 200
    marks = marked(random, characters)
    layer = random.normal(size=(characters, 2))
    seen = np.arange(characters) % 2 == 0
    layer[:, 1] += np.where(seen, 2, -6) * marks
    found = probe(layer, marks, np.arange(characters), resamples=20)
    assert found.weights.set_index("unit")["weight"][1] > 0.5


def test_a_layer_of_one_unit(one_cell):
    layer, marks = one_cell
    found = probe(layer[:, 7:8], marks, POSITIONS)
    assert found.scores["units"].tolist() == [1]
    assert found.weights["share"].tolist() == [1]


def test_what_cannot_be_probed(one_cell):
    layer, marks = one_cell
    with pytest.raises(ProbeError, match="is a number"):
        probe(layer, POSITIONS.astype(float), POSITIONS)
    with pytest.raises(ProbeError, match="No unit of this layer varies"):
        probe(np.ones_like(layer), marks, POSITIONS)
    with pytest.raises(HeldOutError, match="marks no character"):
        probe(layer, np.zeros_like(marks), POSITIONS)
    with pytest.raises(HeldOutError, match="too short"):
        probe(layer[:900], marks[:900], POSITIONS[:900])


def test_progress_rises_to_one_and_cancels(one_cell):
    layer, marks = one_cell
    told = []
    probe(layer, marks, POSITIONS, progress=told.append)
    assert told == sorted(told) and told[-1] == 1

    def stop(_):
        raise Cancelled

    with pytest.raises(Cancelled):
        probe(layer, marks, POSITIONS, progress=stop)
