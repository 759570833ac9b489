"""Cells found on one part of a text and judged on the other: planted units and plain loops."""

import numpy as np
import pytest
from scipy.signal import lfilter
from scipy.stats import norm, spearmanr
from sklearn.metrics import f1_score, roc_auc_score

from gridlstm.analysis import bootstrap
from gridlstm.analysis.held_out import (
    GAP,
    HeldOutError,
    best_by_layer,
    find_cells,
    split_text,
)
from gridlstm.analysis.ranking import auc, rank_units, strength
from gridlstm.analysis.thresholds import best_thresholds, f1_scores
from gridlstm.progress import Cancelled

CHARACTERS = 4000
FIRST, SECOND = slice(0, 1900), slice(2100, 4000)
TRUE = (1, "time.cell", 3)
LUCKY = (2, "depth.cell", 5)
CONSTANT = (2, "time.cell", 0)


def spans(random, characters, share=0.2, length=30):
    """Marks in runs, about as a text has them: bool [character]."""
    return np.repeat(random.random(characters // length + 1) < share, length)[:characters]


@pytest.fixture
def planted():
    """Two quantities [layer 2, position, unit 6] of noise, marks, and positions: each character has
    two bytes, of which the first holds nonsense. One unit follows the marks, by being low, on the
    whole text; another follows them better, but on the first half only; one never varies."""
    random = np.random.default_rng(3)
    marks = spans(random, CHARACTERS)
    values = {q: random.normal(size=(2, CHARACTERS, 6)) for q in ("time.cell", "depth.cell")}
    half = CHARACTERS // 2
    values["time.cell"][0, :, 3] -= 2.5 * marks
    values["depth.cell"][1, :half, 5] += 4 * marks[:half]
    values["time.cell"][1, :, 0] = 0.25
    stretched = {q: np.repeat(v, 2, axis=1).astype(np.float16) for q, v in values.items()}
    for layers in stretched.values():
        layers[:, ::2] = 9 * np.resize(marks, CHARACTERS)[None, :, None]
    return stretched, marks, np.arange(1, 2 * CHARACTERS, 2)


def unit_of(row):
    return row.layer, row.quantity, row.unit


def series(values, positions, row):
    return values[row.quantity][row.layer - 1, positions, row.unit].astype(np.float64)


def test_a_unit_that_was_only_lucky_is_exposed(planted):
    values, marks, positions = planted
    findings = find_cells(values, marks, positions, top=5)
    lucky, true = list(findings.cells.itertuples())[:2]
    assert (unit_of(lucky), unit_of(true)) == (LUCKY, TRUE)
    assert (lucky.sign, true.sign) == (1, -1)
    assert lucky.found > 0.99 and lucky.low < 0.5 < lucky.high
    assert true.low > 0.9 and abs(true.found - true.held_out) < 0.05
    assert true.f1_held_out > 0.7 > 0.5 > lucky.f1_held_out
    assert findings.baseline.maximum < true.found
    assert findings.units == 24


def test_every_number_agrees_with_scikit_learn(planted):
    values, marks, positions = planted
    findings = find_cells(values, marks, positions, top=24)
    assert findings.measure == "auc"
    assert len(findings.cells) == 24
    for row in findings.cells.itertuples():
        unit = row.sign * series(values, positions, row)
        on = unit >= row.sign * row.threshold
        assert row.found == pytest.approx(roc_auc_score(marks[FIRST], unit[FIRST]))
        assert row.held_out == pytest.approx(roc_auc_score(marks[SECOND], unit[SECOND]))
        assert row.f1_found == pytest.approx(f1_score(marks[FIRST], on[FIRST]))
        assert row.f1_held_out == pytest.approx(f1_score(marks[SECOND], on[SECOND]))
        assert row.found >= 0.5
        assert row.low <= row.held_out <= row.high
    worst = findings.cells.iloc[-1]
    assert (worst["layer"], worst["quantity"], worst["unit"]) == CONSTANT
    assert worst[["found", "held_out", "low", "high"]].tolist() == [0.5] * 4


def test_the_ranking_never_sees_the_rest(planted):
    values, marks, positions = planted
    before = find_cells(values, marks, positions)
    marks, changed = marks.copy(), {q: v.copy() for q, v in values.items()}
    marks[FIRST.stop :] = ~marks[FIRST.stop :]
    for layers in changed.values():
        layers[:, 2 * FIRST.stop :] = layers[:, 2 * FIRST.stop :][:, ::-1]
    after = find_cells(changed, marks, positions)
    columns = ["layer", "quantity", "unit", "sign", "found", "threshold", "f1_found"]
    assert before.cells[columns].equals(after.cells[columns])
    assert (before.baseline.best == after.baseline.best).all()
    assert not before.cells["held_out"].equals(after.cells["held_out"])


def test_the_baseline_is_the_best_of_all_units_against_a_moved_target(planted):
    values, marks, positions = planted
    findings = find_cells(values, marks, positions, shifts=6, seed=5)
    amounts = np.random.default_rng(5).integers(bootstrap.BLOCK, 1900 - bootstrap.BLOCK, 6)
    best = [
        rank_units(values, np.roll(marks[FIRST], amount), positions[FIRST])["score"].max()
        for amount in amounts
    ]
    assert findings.baseline.best == pytest.approx(best)
    assert findings.baseline.maximum == max(findings.baseline.best)
    assert findings.baseline.quantile_95 <= findings.baseline.maximum


def test_numbers(planted):
    values, _, positions = planted
    lengths = np.random.default_rng(12).integers(10, 100, CHARACTERS // 10)
    number = np.concatenate([np.arange(length) for length in lengths])[:CHARACTERS].astype(float)
    values["time.cell"][0, 1::2, 2] -= (number / 20).astype(np.float16)
    findings = find_cells(values, number, positions, top=3)
    assert findings.measure == "rho"
    assert "threshold" not in findings.cells
    row = next(findings.cells.itertuples())
    unit = row.sign * series(values, positions, row)
    assert (unit_of(row), row.sign) == ((1, "time.cell", 2), -1)
    assert row.found == pytest.approx(spearmanr(unit[FIRST], number[FIRST]).statistic)
    assert row.held_out == pytest.approx(spearmanr(unit[SECOND], number[SECOND]).statistic)
    assert 0.6 < row.low < row.held_out < row.high
    constant = find_cells(values, number, positions, top=24).cells.iloc[-1]
    assert (constant["layer"], constant["quantity"], constant["unit"]) == CONSTANT
    assert constant[["found", "held_out", "low", "high"]].tolist() == [0] * 4
    assert findings.baseline.maximum < 0.4 < row.found


def test_best_by_layer(planted):
    values, marks, positions = planted
    best = best_by_layer(values, marks, positions)
    everything = find_cells(values, marks, positions, top=24).cells
    expected = everything.groupby(["quantity", "layer"], sort=False).head(1)
    order = [("time.cell", 1), ("time.cell", 2), ("depth.cell", 1), ("depth.cell", 2)]
    assert list(zip(best["quantity"], best["layer"], strict=True)) == order
    expected = expected.set_index(["quantity", "layer"]).loc[order].reset_index()
    assert best.equals(expected[best.columns])


# -- The bootstrap and the thresholds -------------------------------------------------------------


def resampled_positions(block, drawn):
    """For each resample the positions it holds, block by block."""
    for counts in drawn:
        yield np.repeat(np.arange(len(block)), counts[block])


def test_blocks_cover_the_text_evenly():
    """Of a number that is nowhere usual."""
    for length in (1, 99, 100, 1000, 1234):
        number = np.arange(float(length))
        block = bootstrap.blocks_of(number)
        sizes = np.bincount(block)
        assert len(sizes) == max(1, length // 100) == bootstrap.places_in(number, block)
        assert sizes.max() - sizes.min() <= 1


def spans_at(length, *spans):
    marks = np.zeros(length, bool)
    for start, end in spans:
        marks[start:end] = True
    return marks


@pytest.mark.parametrize(
    ("spans", "sizes", "places"),
    [
        ([(10, 20)], [100] * 5, 1),
        ([(90, 100), (110, 120), (130, 140)], [100] * 5, 2),  # a block ends where a span does
        ([(90, 101)], [101, 99, 100, 100, 100], 1),
        ([(0, 1), (150, 350), (499, 500)], [100, 250, 50, 100], 3),  # two ends in one span
        ([(420, 500)], [100] * 5, 1),
        ([(399, 500)], [100, 100, 100, 200], 1),
        ([(0, 90), (95, 500)], [100] * 5, 1),  # nearly all is marked: the rest is a span
    ],
)
def test_no_block_ends_within_a_span(spans, sizes, places):
    marks = spans_at(500, *spans)
    block = bootstrap.blocks_of(marks)
    assert np.bincount(block).tolist() == sizes
    assert bootstrap.places_in(marks, block) == places
    # A number that mostly has one value has spans as well.
    number = np.where(marks, np.arange(500.0), -1) if marks.mean() < 0.5 else marks * 7.0
    assert (bootstrap.blocks_of(number) == block).all()
    assert bootstrap.places_in(number, block) == places


def test_auc_of_resamples_against_a_plain_loop():
    random = np.random.default_rng(4)
    marks = spans(random, 1530)
    unit = np.round(random.normal(size=1530) + marks, 1)
    block = bootstrap.blocks_of(marks)
    drawn = bootstrap.draws(block[-1] + 1, 40, seed=6)
    assert (drawn.sum(axis=1) == block[-1] + 1).all()
    expected = [roc_auc_score(marks[p], unit[p]) for p in resampled_positions(block, drawn)]
    found = bootstrap.auc_resampled(unit, marks, block, drawn)
    assert found == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("slope", [0, 0.4, 3])
def test_correlation_of_resamples_against_a_plain_loop(slope):
    """Binned, hence the stated error."""
    random = np.random.default_rng(5)
    number = np.arange(2540.0) % 83
    unit = random.normal(size=2540) + slope * number / 40
    block = bootstrap.blocks_of(number)
    drawn = bootstrap.draws(25, 60, seed=7)
    expected = [spearmanr(unit[p], number[p]).statistic for p in resampled_positions(block, drawn)]
    found = bootstrap.spearman_resampled(unit, number, block, drawn)
    assert np.abs(found - expected).max() < 0.01


def test_resamples_without_a_mark_are_left_out():
    marks = spans_at(1000, (0, 50))
    unit = marks + np.random.default_rng(6).normal(0, 0.5, 1000)
    block, drawn = bootstrap.blocks_of(marks), bootstrap.draws(10, 200, seed=8)
    areas = bootstrap.auc_resampled(unit, marks, block, drawn)
    assert (np.isnan(areas) == (drawn[:, 0] == 0)).all()
    low, high = bootstrap.interval(0.5, areas, 8, 1e-4)
    assert -1 < low < 0.5 < high < 1


def test_an_interval_is_students_on_a_scale_without_ends():
    """By hand: Fisher's z is log((1 + r) / (1 - r)) / 2; of 5 events t is 2.776."""
    resampled = np.tanh([0.9, 1.1, np.nan, 1.3, 0.7])
    low, high = bootstrap.interval(np.tanh(1), resampled, 5, 1e-4)
    reach = 2.776 * np.sqrt(0.05) * np.sqrt(5 / 4)
    assert np.arctanh([low, high]) == pytest.approx([1 - reach, 1 + reach], abs=1e-3)


def test_an_interval_without_any_variation_is_the_score():
    assert bootstrap.interval(1.0, np.ones(9), 5, 1e-3)[1] == 1
    assert bootstrap.interval(1.0, np.ones(9), 5, 1e-3)[0] == pytest.approx(0.999)
    assert bootstrap.interval(0.0, np.zeros(9), 5, 1e-3) == (0, 0)


AREA = 0.9


def text_of_known_area(random, places):
    """A unit [position] that follows marks with an AUC of 0.9 over all such texts: its values are
    correlated from position to position, and each span is read better or worse as a whole."""
    characters, longest = 2400, 60
    marks = np.zeros(characters, bool)
    unit = lfilter([1], [1, -0.8], random.normal(0, 0.6, characters + 100))[100:]
    for start in random.choice(characters // longest, places, replace=False) * longest:
        span = slice(start, start + random.integers(10, longest))
        marks[span] = True
        # Of a difference d whose deviation is s, the AUC is that of a normal value up to d / s.
        unit[span] += np.sqrt(3) * norm.ppf(AREA) + random.normal()
    return unit, marks


@pytest.mark.parametrize(("places", "width"), [(6, 0.5), (12, 0.27), (30, 0.13)])
def test_intervals_hold_the_truth_as_often_as_they_say(places, width):
    """Of fixed blocks, the middle 95 % of the resamples hold it in four of five texts, or fewer."""
    random = np.random.default_rng(places)
    intervals = []
    for _ in range(100):
        unit, marks = text_of_known_area(random, places)
        resamples = bootstrap.Bootstrap(marks, 100, seed=1)
        if resamples.places >= bootstrap.MIN_PLACES:
            intervals.append(resamples.interval(unit, auc(unit[:, None], marks)[0]))
    low, high = np.transpose(intervals)
    assert len(low) > 90
    assert np.mean((low <= AREA) & (high >= AREA)) >= 0.9
    assert np.mean(high - low) < width


@pytest.mark.parametrize(
    ("first", "second", "told"),
    [(1, 9, "only 1 place of the text's first part"), (9, 4, "only 4 places of the text's second")],
)
def test_few_marked_places_have_no_interval(first, second, told):
    starts = [100 + 200 * n for n in range(first)] + [2300 + 200 * n for n in range(second)]
    marks = spans_at(4400, *[(start, start + 30) for start in starts])
    values = np.random.default_rng(10).normal(size=(1, 4400, 5)) + 2.0 * marks[None, :, None]
    split = split_text(marks)
    assert told in split.missing_interval_reason
    for cells in (
        find_cells({"time.cell": values}, marks, np.arange(4400)).cells,
        best_by_layer({"time.cell": values}, marks, np.arange(4400)),
    ):
        assert cells[["low", "high"]].isna().all(axis=None)
        assert cells["held_out"].min() > 0.8


def test_spans_that_lie_together_are_one_place():
    marks = spans_at(4400, *[(start, start + 5) for start in range(100, 2000, 100)])
    marks |= spans_at(4400, *[(start, start + 5) for start in range(3000, 3090, 10)])
    assert split_text(marks).held_out.spans == 9
    assert "only 1 place of the text's second part" in split_text(marks).missing_interval_reason


def test_thresholds_against_all_of_them():
    random = np.random.default_rng(7)
    marks = random.random(300) < 0.2
    signs = np.array([1, -1] * 4)
    values = np.round(random.normal(size=(300, 8)) + np.outer(marks, signs), 1)
    thresholds, f1 = best_thresholds(values, marks, signs)
    for unit, sign, threshold, best in zip(values.T, signs, thresholds, f1, strict=True):
        candidates = {t: f1_score(marks, sign * unit >= sign * t) for t in set(unit)}
        assert best == pytest.approx(max(candidates.values()))
        assert candidates[threshold] == pytest.approx(best)
    assert f1_scores(values, marks, signs, thresholds) == pytest.approx(f1)


# -- What cannot be split, and progress -----------------------------------------------------------


def test_parts_and_the_gap_between():
    marks = np.zeros(5000, bool)
    marks[100:150] = marks[900:910] = marks[4990:] = True
    split = split_text(marks, 0.25, gap=600)
    assert (split.found.start, split.found.end) == (0, 3300)
    assert (split.held_out.start, split.held_out.end) == (3900, 5000)
    assert (split.found.marked, split.found.spans) == (60, 2)
    assert (split.held_out.marked, split.held_out.spans) == (10, 1)


def alternating(characters):
    return np.arange(characters) % 7 == 0


@pytest.mark.parametrize(
    "target, message",
    [
        (alternating(2000 + GAP - 1), "too short to split"),
        (alternating(10), "too short to split"),
        (np.zeros(3000, bool), "marks no character of the text's first part"),
        (np.ones(3000, bool), "marks every character of the text's first part"),
        (alternating(3000) & (np.arange(3000) < 1500), "marks no character of the text's second"),
        (alternating(3000) | (np.arange(3000) > 1500), "marks every character of the text's seco"),
        (np.full(3000, 2.0), "is 2 at every character of the text's first part"),
    ],
)
def test_targets_that_cannot_be_judged(target, message):
    values = {"time.cell": np.zeros((1, len(target), 2), np.float16)}
    for search in (find_cells, best_by_layer):
        with pytest.raises(HeldOutError, match=message):
            search(values, target, np.arange(len(target)))


@pytest.mark.parametrize("options", [{"held_out": 0}, {"held_out": 1}, {"gap": -1}])
def test_options_out_of_range(options):
    with pytest.raises(HeldOutError):
        split_text(alternating(3000), **options)


def test_progress_rises_to_one_and_cancels(planted):
    values, marks, positions = planted
    told = []
    find_cells(values, marks, positions, progress=told.append)
    assert told == sorted(told) and told[-1] == pytest.approx(1)

    def stop(_):
        raise Cancelled

    with pytest.raises(Cancelled):
        find_cells(values, marks, positions, progress=stop)


def test_chance_finds_nothing_in_noise():
    """The interval of the best of many noisy units holds 0.5, and its score is the baseline's."""
    random = np.random.default_rng(11)
    marks = spans(random, CHARACTERS)
    values = {"time.cell": random.normal(size=(1, CHARACTERS, 200)).astype(np.float16)}
    findings = find_cells(values, marks, np.arange(CHARACTERS), top=200)
    cells = findings.cells
    assert cells["found"][0] == pytest.approx(findings.baseline.maximum, abs=0.03)
    clamps = (cells["low"] <= 0.5) & (cells["high"] >= 0.5)
    assert 0.9 < clamps.mean() < 0.99
    assert strength(cells["held_out"], "auc").mean() < 0.52
