"""The sparse probe: planted layers of which one unit, or only several together, know the mark."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from gridlstm.analysis.held_out import HeldOutError
from gridlstm.analysis.probe import MOST_CHARACTERS, STRENGTH, ProbeError, probe
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


def test_all_units_against_a_pipeline_of_scikit_learn(spread_out):
    layer, marks = spread_out
    found = probe(layer, marks, POSITIONS)
    regression = LogisticRegression(
        C=STRENGTH, l1_ratio=1, solver="liblinear", tol=1e-8, max_iter=10_000
    )
    pipeline = make_pipeline(StandardScaler(), regression).fit(layer[FIRST], marks[FIRST])
    row = found.scores.iloc[-1]
    for name, part in (("found", FIRST), ("held_out", SECOND)):
        expected = roc_auc_score(marks[part], pipeline.decision_function(layer[part]))
        assert row[name] == pytest.approx(expected, abs=1e-3)
    weights = found.weights.sort_values("unit")["weight"]
    assert weights.to_numpy() == pytest.approx(regression.coef_[0], abs=0.01)
    assert row["used"] == np.count_nonzero(found.weights["weight"])
    assert found.weights["share"].sum() == pytest.approx(1)


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
    characters = 2 * (MOST_CHARACTERS + 1500) + 200
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
