from unittest.mock import patch

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import spearmanr
from sklearn.metrics import roc_auc_score

from gridlstm.analysis import ranks
from gridlstm.analysis.ranking import RankingError, auc, rank_units, spearman
from gridlstm.progress import Cancelled


def auc_by_pairs(values, marks):
    """The definition: the share of pairs won, a tie being half a win."""
    won = [
        (inside > outside) + 0.5 * (inside == outside)
        for inside in values[marks]
        for outside in values[~marks]
    ]
    return sum(won) / len(won)


@st.composite
def marked_values(draw):
    positions = draw(st.integers(2, 12))
    number = draw(st.sampled_from([np.float16, np.float32, np.float64]))
    # Few different numbers make ties; both zeros, infinities and subnormals are among them.
    chosen = st.sampled_from([-np.inf, -2.5, -6e-8, -0.0, 0.0, 6e-8, 0.1, 2.5, 6e4, np.inf])
    column = st.lists(chosen, min_size=positions, max_size=positions)
    columns = draw(st.lists(column, min_size=1, max_size=4))
    marks = draw(st.lists(st.booleans(), min_size=positions, max_size=positions))
    marks[0], marks[1] = True, False
    return np.array(columns).T.astype(number), np.array(marks)


# Numbers of float16 are sorted where they are few, and counted where they are many.
sorted_and_counted = pytest.mark.parametrize("many", [ranks.MIN_COUNTED_POSITIONS, 0])


@sorted_and_counted
@given(case=marked_values())
def test_auc_is_the_share_of_pairs(many, case):
    values, marks = case
    expected = [auc_by_pairs(unit, marks) for unit in values.T]
    with patch.object(ranks, "MIN_COUNTED_POSITIONS", many):
        assert auc(values, marks) == pytest.approx(expected, rel=1e-14)


@sorted_and_counted
@pytest.mark.parametrize("number", [np.float16, np.float32])
@pytest.mark.parametrize("share", [0.02, 0.5, 0.98])
def test_auc_agrees_with_scikit_learn(monkeypatch, many, number, share):
    monkeypatch.setattr(ranks, "MIN_COUNTED_POSITIONS", many)
    random = np.random.default_rng(7)
    marks = random.random(700) < share
    values = np.tanh(random.normal(size=(700, 40)) * 3 + marks[:, None]).astype(number)
    expected = [roc_auc_score(marks, unit.astype(np.float64)) for unit in values.T]
    assert auc(values, marks) == pytest.approx(expected, abs=1e-12)


def test_more_units_than_one_chunk_holds():
    random = np.random.default_rng(8)
    values = random.normal(size=(2000, 1100)).astype(np.float16)
    marks = random.random(2000) < 0.1
    chosen = [0, 523, 524, 525, 1099]
    assert auc(values, marks)[chosen] == pytest.approx(auc(values[:, chosen], marks), abs=0)


def test_extremes():
    marks = np.array([True, True, False, False])
    values = np.array([[3, 1, 5], [2, 2, 5], [1, 3, 5], [-1, 4, 5]], np.float16)
    assert auc(values, marks).tolist() == [1, 0, 0.5]


@sorted_and_counted
def test_negative_zero_ties_with_zero(monkeypatch, many):
    monkeypatch.setattr(ranks, "MIN_COUNTED_POSITIONS", many)
    values = np.array([[-0.0], [0.0]], np.float16)
    assert auc(values, np.array([True, False])).tolist() == [0.5]


@pytest.mark.parametrize(
    "marks, message",
    [
        ([True, True], "every position"),
        ([False, False], "no position"),
        ([True, False, True], "2 positions"),
    ],
)
def test_marks_that_rank_nothing(marks, message):
    with pytest.raises(ValueError, match=message):
        auc(np.zeros((2, 3), np.float16), np.array(marks))


@pytest.mark.parametrize("number", [np.float16, np.float32])
def test_nan_is_refused(number):
    values = np.array([[0.5], [np.nan]], number)
    with pytest.raises(ValueError, match="NaN"):
        auc(values, np.array([True, False]))


def test_several_targets_at_once():
    random = np.random.default_rng(10)
    values = random.normal(size=(200, 30)).astype(np.float16)
    marks = random.random((200, 4)) < 0.3
    numbers = random.integers(0, 9, (200, 4)).astype(np.float64)
    for follow, targets in ((auc, marks), (spearman, numbers)):
        expected = np.stack([follow(values, target) for target in targets.T], axis=1)
        assert follow(values, targets) == pytest.approx(expected, abs=1e-14)
    marks[:, 2] = False
    with pytest.raises(RankingError, match="no position"):
        auc(values, marks)


@pytest.mark.parametrize("number", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("different", [2, 7, 500])
def test_spearman_agrees_with_scipy(number, different):
    """With ties in the units and in the number."""
    random = np.random.default_rng(different)
    target = random.integers(0, different, 500).astype(np.float64)
    slopes = np.linspace(-1, 1, 20)
    values = np.round(random.normal(size=(500, 20)) + np.outer(target / different, slopes), 1)
    values[:, 3], values[:, 4] = target, -target
    values = values.astype(number)
    expected = [spearmanr(unit.astype(np.float64), target).statistic for unit in values.T]
    found = spearman(values, target)
    assert found == pytest.approx(expected, abs=1e-12)
    assert found[[3, 4]].tolist() == [1, -1]


def test_a_unit_that_never_varies_is_worth_nothing(trace):
    values, marks = trace
    values["time.cell"][0, :, 2] = 0.25
    ranking = rank_units(values, marks)
    assert ranking.iloc[-1][["layer", "quantity", "unit"]].tolist() == [1, "time.cell", 2]
    assert ranking.iloc[-1]["auc"] == 0.5
    ranking = rank_units(values, np.arange(300.0))
    assert ranking.iloc[-1][["layer", "quantity", "unit"]].tolist() == [1, "time.cell", 2]
    assert ranking.iloc[-1]["rho"] == 0


def test_a_number_that_never_varies_is_refused():
    with pytest.raises(RankingError, match="same at every position"):
        spearman(np.zeros((5, 3), np.float16), np.full(5, 2.0))


@pytest.fixture
def trace():
    """Two quantities of [layer 2, position 300, unit 5]; two units follow the marks."""
    random = np.random.default_rng(9)
    marks = np.repeat([False, True, False], 100)
    values = {
        quantity: random.normal(size=(2, 300, 5)).astype(np.float16)
        for quantity in ("time.cell", "depth.forget")
    }
    values["time.cell"][1, :, 3] += 3 * marks
    values["depth.forget"][0, :, 4] -= (20 * marks).astype(np.float16)
    return values, marks


def test_the_units_that_follow_the_marks_come_first(trace):
    values, marks = trace
    ranking = rank_units(values, marks)
    assert list(ranking.columns) == ["layer", "quantity", "unit", "auc", "score", "sign"]
    assert len(ranking) == 2 * 2 * 5
    first = ranking.loc[:1, ["layer", "quantity", "unit", "sign"]].values.tolist()
    assert first == [[1, "depth.forget", 4, -1], [2, "time.cell", 3, 1]]
    assert ranking["score"].is_monotonic_decreasing


def test_every_row_is_the_auc_of_its_unit(trace):
    values, marks = trace
    for row in rank_units(values, marks).itertuples():
        unit = values[row.quantity][row.layer - 1, :, row.unit].astype(np.float64)
        assert row.auc == pytest.approx(roc_auc_score(marks, unit), abs=1e-12)
        assert row.score == max(row.auc, 1 - row.auc)
        assert row.sign == (1 if row.auc >= 0.5 else -1)


def test_numbers_are_ranked_by_correlation(trace):
    values, _ = trace
    number = np.arange(300) % 40
    values["depth.forget"][1, :, 0] -= (number / 10).astype(np.float16)
    ranking = rank_units(values, number)
    assert list(ranking.columns) == ["layer", "quantity", "unit", "rho", "score", "sign"]
    first = ranking.loc[0, ["layer", "quantity", "unit", "sign"]].tolist()
    assert first == [2, "depth.forget", 0, -1]
    for row in ranking.itertuples():
        unit = values[row.quantity][row.layer - 1, :, row.unit].astype(np.float64)
        assert row.rho == pytest.approx(spearmanr(unit, number).statistic, abs=1e-12)
        assert row.score == abs(row.rho)
        assert row.sign == (1 if row.rho >= 0 else -1)


def test_top_is_the_beginning_of_the_whole(trace):
    values, marks = trace
    pd.testing.assert_frame_equal(rank_units(values, marks, top=3), rank_units(values, marks)[:3])


def test_positions_stand_for_characters(trace):
    values, marks = trace
    positions = np.arange(1, 300, 3)
    chosen = {quantity: layers[:, positions] for quantity, layers in values.items()}
    pd.testing.assert_frame_equal(
        rank_units(values, marks[positions], positions), rank_units(chosen, marks[positions])
    )


def test_the_activations_are_never_changed(trace):
    values, marks = trace
    values["time.cell"][0, :9] = -0.0
    before = {quantity: layers.tobytes() for quantity, layers in values.items()}
    for layers in values.values():
        layers.flags.writeable = False
    marks.flags.writeable = False
    rank_units(values, marks)
    rank_units(values, marks, np.arange(300))
    assert {quantity: layers.tobytes() for quantity, layers in values.items()} == before


def test_progress_rises_to_one(trace):
    values, marks = trace
    told = []
    rank_units(values, marks, progress=told.append)
    assert told == [0.25, 0.5, 0.75, 1.0]


def test_the_caller_can_cancel(trace):
    values, marks = trace
    told = []

    def stop(fraction):
        told.append(fraction)
        raise Cancelled

    with pytest.raises(Cancelled):
        rank_units(values, marks, progress=stop)
    assert told == [0.25]
