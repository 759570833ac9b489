"""Runs that differ in their seed alone: their mean and band, and which differences are noise."""

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from gridlstm.config import ModelConfig
from gridlstm.curves import (
    VERDICTS,
    best_baseline,
    compare_groups,
    mean_over_seeds,
    noise,
    training_operations,
    with_operations,
)


def curve(losses: list[float], step: int = 100, bytes_a_step: int = 1000) -> pd.DataFrame:
    count = np.arange(1, len(losses) + 1)
    return pd.DataFrame(
        {
            "update": count * step,
            "epoch": count / 10,
            "bytes": count * bytes_a_step,
            "train_loss": np.array(losses) + 0.5,
            "val_loss": np.array(losses, dtype=float),
            "learning_rate": 0.002,
            "seconds": count * 2.0,
        }
    )


losses = st.lists(st.floats(0.1, 10), min_size=1, max_size=8)


# -- Mean and band ---------------------------------------------------------------------------------


def test_mean_and_band_by_hand():
    mean = mean_over_seeds([curve([3.0, 2.0, 1.0]), curve([2.0, 1.5])])
    np.testing.assert_array_equal(mean["update"], [100, 200, 300])
    np.testing.assert_allclose(mean["val_loss"], [2.5, 1.75, 1.0])
    np.testing.assert_allclose(mean["val_loss_low"], [2.0, 1.5, 1.0])
    np.testing.assert_allclose(mean["val_loss_high"], [3.0, 2.0, 1.0])
    np.testing.assert_array_equal(mean["seeds"], [2, 2, 1])
    np.testing.assert_allclose(mean["bytes"], [1000, 2000, 3000])


def test_seeds_validated_at_other_updates_are_interpolated_between_their_own_points():
    mean = mean_over_seeds([curve([3.0, 1.0], step=100), curve([2.0, 1.8], step=150)])
    np.testing.assert_array_equal(mean["update"], [100, 150, 200, 300])
    np.testing.assert_allclose(
        mean["val_loss"], [3.0, (2 + 2) / 2, (1 + 1.8 + 0.2 / 3 * 2) / 2, 1.8]
    )
    np.testing.assert_array_equal(mean["seeds"], [1, 2, 2, 1])


@settings(max_examples=25)
@given(losses)
def test_one_run_is_its_own_mean(values):
    frame = curve(values)
    mean = mean_over_seeds([frame])
    pd.testing.assert_frame_equal(mean[list(frame)], frame, check_dtype=False)
    np.testing.assert_array_equal(mean["val_loss_low"], frame["val_loss"])
    np.testing.assert_array_equal(mean["val_loss_high"], frame["val_loss"])


@settings(max_examples=25)
@given(st.lists(losses, min_size=1, max_size=4))
def test_the_mean_lies_in_the_band_and_the_order_of_seeds_is_nothing(several):
    frames = [curve(values, step=50 * n) for n, values in enumerate(several, start=1)]
    mean = mean_over_seeds(frames)
    assert (mean["val_loss_low"] <= mean["val_loss"] + 1e-12).all()
    assert (mean["val_loss"] <= mean["val_loss_high"] + 1e-12).all()
    pd.testing.assert_frame_equal(mean, mean_over_seeds(frames[::-1]))


def test_a_column_that_only_some_have_is_the_mean_of_those():
    answered = curve([1.0, 0.5]).assign(accuracy=[0.2, 0.4])
    mean = mean_over_seeds([curve([1.0, 0.5]), answered])
    np.testing.assert_allclose(mean["accuracy"], [0.2, 0.4])


# -- Noise -----------------------------------------------------------------------------------------

groups = st.lists(st.floats(1, 2), min_size=1, max_size=6)


@given(groups, groups)
def test_noise_is_where_students_test_of_two_means_is_at_5_percent(these, those):
    """Against scipy's own test: beyond noise just where p < 0.05."""
    around = noise(these, those)
    if len(these) + len(those) == 2:
        assert math.isnan(around)
        return
    difference = np.mean(these) - np.mean(those)
    if around < 1e-9 or abs(abs(difference) - around) < 1e-9 * around:
        return
    squares = sum(np.sum((np.array(g) - np.mean(g)) ** 2) for g in (these, those))
    freedom = len(these) + len(those) - 2
    error = math.sqrt(squares / freedom * (1 / len(these) + 1 / len(those)))
    p = 2 * stats.t.sf(abs(difference) / error, freedom)
    assert (abs(difference) > around) == (p < 0.05)
    if min(len(these), len(those)) > 1 and min(np.ptp(these), np.ptp(those)) > 1e-3:
        assert p == pytest.approx(stats.ttest_ind(these, those).pvalue, abs=1e-6)


def test_noise_by_hand():
    # Squares 0.02 and 0, 4 - 2 degrees of freedom, of which t(0.975) is 4.30265 in any table.
    assert noise([1.0, 1.2], [2.0, 2.0]) == pytest.approx(4.30265 * math.sqrt(0.01), rel=1e-5)
    # One run alone: the other group's scatter; t(0.975, 1) is 12.7062.
    assert noise([1.0, 1.2], [2.0]) == pytest.approx(12.7062 * math.sqrt(0.02 * 1.5), rel=1e-5)
    assert math.isnan(noise([1.0], [2.0]))
    assert noise([1.0, 1.0], [2.0]) == 0


# -- Groups against a baseline ---------------------------------------------------------------------


def compared(curves, members, baselines, equal_bytes=False) -> pd.DataFrame:
    return compare_groups(curves, members, baselines, equal_bytes).set_index("group")


def test_groups_by_hand():
    curves = {
        "s1": curve([2.0]),
        "s2": curve([2.02]),
        "s3": curve([1.98]),
        "near": curve([2.03, 2.04]),
        "far": curve([2.5, 1.5]),
        "elsewhere": curve([0.1]),
    }
    members = {"s": ["s1", "s2", "s3"]} | {n: [n] for n in ("near", "far", "elsewhere")}
    held_against = dict.fromkeys(members, "s") | {"elsewhere": None}
    table = compared(curves, members, held_against)
    assert table["runs"].tolist() == [3, 1, 1, 1]
    np.testing.assert_allclose(table["best_loss"], [2.0, 2.03, 1.5, 0.1])
    assert table["deviation"]["s"] == pytest.approx(0.02)
    assert math.isnan(table["deviation"]["near"])
    assert (table["low"]["s"], table["high"]["s"]) == (1.98, 2.02)
    np.testing.assert_allclose(table["difference_percent"], [0, 1.5, -25, math.nan])
    # t(0.975, 2) is 4.30265; the scatter of the three stands for the one, too.
    percent = 100 * 4.30265 * 0.02 * math.sqrt(1 + 1 / 3) / 2
    np.testing.assert_allclose(table["noise_percent"][["near", "far"]], percent, rtol=1e-5)
    assert table["verdict"].tolist() == ["baseline", "within", "beyond", "apart"]
    assert set(table["verdict"]) <= set(VERDICTS)


def test_with_one_seed_each_the_noise_is_unknown():
    curves = {"a": curve([2.0]), "b": curve([1.0])}
    table = compared(curves, {"a": ["a"], "b": ["b"]}, {"a": "a", "b": "a"})
    assert table["verdict"].tolist() == ["baseline", "unknown"]
    assert table["difference_percent"]["b"] == pytest.approx(-50)
    assert math.isnan(table["noise_percent"]["b"])


def test_at_equal_bytes_the_longer_run_counts_only_so_far():
    curves = {"long": curve([3.0, 2.0, 1.0]), "short": curve([2.5, 1.5])}
    members, held_against = {n: [n] for n in curves}, dict.fromkeys(curves, "long")
    table = compared(curves, members, held_against, equal_bytes=True)
    assert table["difference_percent"]["short"] == pytest.approx(-25)
    assert table["compared_bytes"].tolist() == [3000, 2000]
    assert table["best_loss"]["long"] == 1.0
    at_best = compared(curves, members, held_against)
    assert at_best["difference_percent"]["short"] == pytest.approx(50)


def test_where_there_are_no_equal_bytes_nothing_is_said():
    curves = {
        "late": curve([2.0], bytes_a_step=5000),
        "early": curve([2.0]),
        "unknown": curve([2.0]).assign(bytes=math.nan),
    }
    members, held_against = {n: [n] for n in curves}, dict.fromkeys(curves, "late")
    table = compared(curves, members, held_against, equal_bytes=True)
    assert table["verdict"].tolist() == ["baseline", "early", "early"]
    assert table["difference_percent"][["early", "unknown"]].isna().all()
    assert not compared(curves, members, held_against)["difference_percent"].isna().any()


def test_the_best_baseline_is_that_of_the_lowest_mean():
    curves = {"a1": curve([1.0]), "a2": curve([3.0]), "b": curve([2.5, 1.5])}
    assert best_baseline(curves, {"a": ["a1", "a2"], "b": ["b"]}) == "b"
    assert best_baseline(curves, {"a": ["a1"], "b": ["b"]}) == "a"
    assert best_baseline(curves, {}) is None


# -- Operations ------------------------------------------------------------------------------------


def test_operations_of_training_by_hand():
    """A stacked LSTM of 1 layer and 2 units: 8 x 4 weights, and 256 x 2 of the decoder."""
    config = ModelConfig("stacked", 1, 2)
    assert config.operations_per_token == 8 * 4 + 256 * 2
    assert training_operations(10, config.operations_per_token) == 10 * 544 * 6
    spent = with_operations(curve([2.0, 1.0]), config.operations_per_token)["operations"]
    assert spent.tolist() == [1000 * 544 * 6, 2000 * 544 * 6]
    assert with_operations(curve([2.0]), None)["operations"].isna().all()
