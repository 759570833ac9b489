"""Curves: read as they were logged, bad files get one sentence, the picture hides nothing."""

import io
import json
import math
import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from dashboard.screens.curves.charts import Look, Run, count_hidden_lines, curves_figure
from dashboard.screens.curves.cost_chart import CostPoint, cost_figure
from gridlstm.curves import (
    AXES,
    COLUMNS,
    CurveError,
    convert,
    curve_series,
    mean_over_seeds,
    read_curve,
    read_published,
    reading,
    smooth,
    summary,
    with_operations,
)
from gridlstm.errors import UserError
from gridlstm.training.curve_log import CurvePoint, write_curve

ROOT = Path(__file__).parents[1]
HEADER = ",".join(COLUMNS)
ROWS = ["100,0.5,4096,2.5,2.25,0.002,10.5", "200,1.0,8192,2.0,1.75,0.002,21"]
GOOD = "\n".join([HEADER, *ROWS, ""])


def csv_bytes(*rows: str, header: str = HEADER) -> bytes:
    return "\n".join([header, *rows, ""]).encode()


def curve(losses: list[float], step: int = 100, train: float = 0.5) -> pd.DataFrame:
    """A frame as `read_curve` returns it; the training loss lies `train` above the other."""
    updates = np.arange(1, len(losses) + 1) * step
    return pd.DataFrame(
        {
            "update": updates,
            "epoch": updates / 1000,
            "bytes": updates * 4096,
            "train_loss": np.array(losses) + train,
            "val_loss": np.array(losses, dtype=float),
            "learning_rate": 0.002,
            "seconds": updates * 0.5,
        }
    )


# -- Reading ---------------------------------------------------------------------------------------


def test_a_curve_is_read_as_it_is_written(tmp_path):
    frame = read_curve(GOOD.encode())
    assert list(frame.columns) == list(COLUMNS)
    assert frame["update"].dtype == np.int64 and frame["bytes"].dtype == np.int64
    assert frame.to_numpy().tolist() == [[float(x) for x in row.split(",")] for row in ROWS]
    path = tmp_path / "a.csv"
    path.write_text(GOOD)
    for source in (path, str(path), io.BytesIO(GOOD.encode())):
        pd.testing.assert_frame_equal(read_curve(source), frame)


@pytest.mark.parametrize(
    "data",
    [
        b"\xef\xbb\xbf" + GOOD.encode(),
        GOOD.replace("\n", "\r\n").encode(),
        GOOD.replace("\n", "\n\n").encode(),
        GOOD.replace(HEADER, HEADER.replace(",", ", ")).encode(),
        GOOD.replace("100,", "100.0,").replace("4096", '"4096"').encode(),
        "\n".join(
            f"{row},{more}" for row, more in zip([HEADER, *ROWS], ("note", "a", ""), strict=True)
        ).encode(),
    ],
    ids=["BOM", "CRLF", "blank lines", "spaces in header", "other spellings", "one more column"],
)
def test_harmless_differences_are_no_fault(data):
    pd.testing.assert_frame_equal(read_curve(data), read_curve(GOOD.encode()))


def test_shares_of_right_answers_are_read_where_a_task_has_them(tmp_path):
    points = [
        CurvePoint(10, 1.0, 500, 2.0, 1.5, 0.001, 3.0, accuracy=0.25, digit_accuracy=0.5),
        CurvePoint(20, 2.0, 1000, 2.0, 1.5, 0.001, 6.0),
    ]
    write_curve(tmp_path / "sums.csv", points)
    frame = read_curve(tmp_path / "sums.csv")
    np.testing.assert_array_equal(frame["accuracy"], [0.25, math.nan])
    np.testing.assert_array_equal(frame["digit_accuracy"], [0.5, math.nan])
    with pytest.raises(CurveError, match=r"accuracy holds '1.5' in line 2.*not from 0 to 1"):
        read_curve(csv_bytes(ROWS[0] + ",1.5", header=HEADER + ",accuracy"))


def test_columns_may_stand_in_any_order():
    data = read_curve(GOOD.encode())[list(COLUMNS[::-1])].to_csv(index=False).encode()
    pd.testing.assert_frame_equal(read_curve(data), read_curve(GOOD.encode()))


def row(**changes: str) -> bytes:
    """A curve whose second row (line 3) has some cells changed."""
    cells = dict(zip(COLUMNS, ROWS[1].split(","), strict=True)) | changes
    return csv_bytes(ROWS[0], ",".join(cells.values()))


BAD = {
    "empty file": (b"", ["empty"]),
    "only blank": (b" \n\n", ["empty"]),
    "no rows": (csv_bytes(), ["no rows"]),
    "no header": ("\n".join(ROWS).encode(), ["update", "first line"]),
    "one column missing": (csv_bytes("1,2", header="update,epoch"), ["bytes", "val_loss"]),
    "semicolons": (GOOD.replace(",", ";").encode(), ["update", "commas"]),
    "a column twice": (
        csv_bytes(ROWS[0] + ",1", header=HEADER + ",val_loss"),
        ["val_loss", "more than once"],
    ),
    "short row": (csv_bytes(ROWS[0], "200,1.0,8192"), ["line 3 is 3", "7 columns"]),
    "long row": (csv_bytes(ROWS[0] + ",9"), ["line 2 is 8", "7 columns"]),
    "text for a number": (row(val_loss="good"), ["val_loss", "line 3", "'good'", "not a number"]),
    "text in a whole number": (row(update="two"), ["update", "line 3", "'two'", "not a number"]),
    "underscores": (row(bytes="8_192"), ["bytes", "line 3", "not a number"]),
    "empty cell": (row(train_loss=" "), ["train_loss", "line 3", "empty"]),
    "NaN": (row(val_loss="nan"), ["val_loss", "line 3", "not a finite number"]),
    "infinity": (row(train_loss="-inf"), ["train_loss", "line 3", "not a finite number"]),
    "past float64": (row(seconds="1e999"), ["seconds", "line 3", "not a finite number"]),
    "negative loss": (row(val_loss="-0.5"), ["val_loss", "line 3", "-0.5", "below zero"]),
    "negative time": (row(seconds="-1"), ["seconds", "line 3", "below zero"]),
    "half an update": (row(update="150.5"), ["update", "line 3", "not a whole number"]),
    "huge update": (row(update="1e300"), ["update", "line 3", "too large"]),
    "same update twice": (row(update="100"), ["update", "line 3", "order"]),
    "updates going back": (row(update="50"), ["update", "line 3", "order"]),
    "bytes going back": (row(bytes="4000"), ["bytes", "line 3", "goes back"]),
    "long cell": (row(val_loss="x" * 500), ["val_loss", "line 3", "…"]),
    "not UTF-8": (GOOD.encode() + b"300,\xff\xfe", ["Line 4", "UTF-8"]),
    "UTF-16": (GOOD.encode("utf-16"), ["binary"]),
    "binary": (bytes(range(256)) * 4, ["binary"]),
    "a cell past all measure": (csv_bytes("1" * 200_000), ["Line 2"]),
    "an open quote": (csv_bytes('"100,1'), ["line"]),
}


@pytest.mark.parametrize(("data", "expected"), BAD.values(), ids=BAD.keys())
def test_a_bad_curve_gets_one_sentence_that_says_where(data, expected):
    with pytest.raises(CurveError) as caught:
        read_curve(data)
    sentence = str(caught.value)
    assert isinstance(caught.value, UserError)
    assert sentence.endswith(".") and "\n" not in sentence and len(sentence) < 250
    for word in expected:
        assert word in sentence


def test_a_huge_file_is_refused_without_being_read_whole(monkeypatch):
    monkeypatch.setattr(reading, "MAX_LOG_BYTES", 1000)
    endless = io.BytesIO(GOOD.encode() * 100)
    with pytest.raises(CurveError, match="larger than"):
        read_curve(endless)
    assert endless.tell() == 1001


def test_files_that_are_not_there_or_not_files_get_a_sentence(tmp_path):
    with pytest.raises(CurveError, match=r"no file gone\.csv"):
        read_curve(tmp_path / "gone.csv")
    with pytest.raises(CurveError, match="cannot be read"):
        read_curve(tmp_path)


# -- What the trainer writes -----------------------------------------------------------------------

POINTS = [
    CurvePoint(250, 0.1062022, 1024000, 3.631567, 3.59792, 0.002, 112.698),
    CurvePoint(500, 0.2124044, 2048000, 3.245023, 3.024366, 0.002, 223.5745),
]


def test_what_the_trainer_writes_is_read_back(tmp_path):
    path = tmp_path / "run.csv"
    write_curve(path, POINTS)
    frame = read_curve(path)
    for point, row in zip(POINTS, frame.itertuples(index=False), strict=True):
        assert row == tuple(getattr(point, name) for name in COLUMNS)


def test_a_failure_in_mid_write_leaves_the_old_curve_and_no_litter(tmp_path, monkeypatch):
    path = tmp_path / "run.csv"
    write_curve(path, POINTS[:1])
    before = path.read_bytes()

    def failing_points():
        yield POINTS[0]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_curve(path, failing_points())

    def no_space(*_):
        raise OSError("No space left on device")

    monkeypatch.setattr(os, "replace", no_space)
    with pytest.raises(OSError, match="No space"):
        write_curve(path, POINTS)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_the_old_curve_stands_until_the_new_one_is_whole(tmp_path, monkeypatch):
    path = tmp_path / "run.csv"
    write_curve(path, POINTS[:1])
    seen = []
    replace = os.replace

    def watched(aside, target):
        seen.append((len(read_curve(path)), len(read_curve(aside)), Path(aside).parent == tmp_path))
        replace(aside, target)

    monkeypatch.setattr(os, "replace", watched)
    write_curve(path, POINTS)
    assert seen == [(1, 2, True)]
    assert len(read_curve(path)) == 2


# -- Published curves ------------------------------------------------------------------------------


def test_the_published_curves_are_those_of_the_experiment():
    published = read_published(ROOT / "checkpoints" / "published_curves.csv")
    assert set(published) == {"stacked-3", "stacked-6", "grid-3", "grid-6"}
    last = {name: frame["val_loss"].iloc[-1] for name, frame in published.items()}
    # At the end, about 90,000 updates, as the experiment's author's picture has them.
    expected = {"stacked-3": 1.137, "stacked-6": 1.138, "grid-3": 1.100, "grid-6": 1.084}
    assert last == pytest.approx(expected, abs=0.005)
    for frame in published.values():
        assert list(frame.columns) == ["update", "val_loss"]
        assert (np.diff(frame["update"]) > 0).all()


def test_bad_published_curves_get_a_sentence(tmp_path):
    path = tmp_path / "published.csv"
    path.write_text("model,update,val_loss\ngrid-3,1000,low\n")
    with pytest.raises(CurveError, match=r"val_loss holds 'low' in line 2"):
        read_published(path)


# -- Numbers ---------------------------------------------------------------------------------------


def test_smoothing_by_hand():
    # Weights of 3, 1, 2 at the last: 1/4, 1/2, 1 of 7/4 in all.
    expected = [3, (3 / 2 + 1) / (3 / 2), (3 / 4 + 1 / 2 + 2) / (7 / 4)]
    np.testing.assert_allclose(smooth(np.array([3.0, 1.0, 2.0]), 0.5), expected, rtol=1e-15)


def test_smoothing_is_tensorboards():
    values = np.random.default_rng(0).normal(2, 1, 200)
    for weight in (0.1, 0.9, 0.99):
        running, expected = 0.0, []
        for count, value in enumerate(values, start=1):
            running = running * weight + (1 - weight) * value
            expected.append(running / (1 - weight**count))
        np.testing.assert_allclose(smooth(values, weight), expected, rtol=1e-10)


def test_no_smoothing_changes_nothing_and_a_constant_stays():
    values = np.random.default_rng(1).normal(size=50)
    np.testing.assert_array_equal(smooth(values, 0.0), values)
    np.testing.assert_allclose(smooth(np.full(50, 1.7), 0.97), 1.7, rtol=1e-12)
    assert smooth(np.array([]), 0.5).shape == (0,)


@pytest.mark.parametrize("weight", [-0.01, 1, 1.5, math.nan])
def test_smoothing_weights_lie_under_1(weight):
    with pytest.raises(ValueError, match="under 1"):
        smooth(np.ones(3), weight)


def test_nats_and_bits():
    assert convert(math.log(256), "bits") == pytest.approx(8)
    assert convert(1.5, "nats") == 1.5
    with pytest.raises(ValueError, match="hartleys"):
        convert(1.0, "hartleys")


def test_summary_by_hand():
    curves_by_name = {
        "stacked-3": curve([2.5, 2.0, 2.1]),
        "stacked-6": curve([2.6, 2.4]),
        "grid-3": curve([2.5, 1.9, 1.8, 1.95]),
        "grid-6": curve([2.2]),
    }
    table = summary(curves_by_name, {"stacked-3", "stacked-6"}).set_index("model")
    assert list(table.index) == list(curves_by_name)
    assert table["best_loss"].tolist() == [2.0, 2.4, 1.8, 2.2]
    assert table["best_update"].tolist() == [200, 200, 300, 100]
    assert table["last_loss"].tolist() == [2.1, 2.4, 1.95, 2.2]
    assert table["difference_percent"].tolist() == pytest.approx([0, 20, -10, 10])
    assert table["bytes"].tolist() == [300 * 4096, 200 * 4096, 400 * 4096, 100 * 4096]
    assert table["seconds"].tolist() == [150, 100, 200, 50]


def test_the_last_common_update_by_hand():
    curves_by_name = {
        "stacked-3": curve([2.5, 2.0, 2.1]),
        "stacked-6": curve([2.4, 2.2], step=150),
        "grid-6": curve([2.6, 2.3, 1.9, 1.8, 1.7, 1.6], step=50),
    }
    table = summary(curves_by_name, {"stacked-3", "stacked-6"}).set_index("model")
    assert table["updates"].tolist() == [300, 300, 300]
    assert table["common_update"].tolist() == [300, 300, 300]
    assert table["common_bytes"].tolist() == [300 * 4096] * 3
    assert table["common_loss"].tolist() == [2.1, 2.2, 1.6]
    assert table["common_difference_percent"].tolist() == pytest.approx(
        [0, 100 * (2.2 / 2.1 - 1), 100 * (1.6 / 2.1 - 1)]
    )
    assert table["difference_percent"].tolist() == pytest.approx([0, 10, -20])


def test_curves_without_a_common_update():
    table = summary(
        {"stacked-3": curve([2.5, 2.0]), "grid-3": curve([2.4], step=70)}, ["stacked-3"]
    )
    assert table[["common_update", "common_loss", "common_bytes"]].isna().all(axis=None)
    assert table["common_difference_percent"].isna().all()
    assert table["difference_percent"].tolist() == pytest.approx([0, 20])


def test_only_curves_on_the_same_data_are_compared():
    curves_by_name = {
        "grid-w": curve([2.5, 1.8]),
        "stacked-k": curve([1.5, 1.25, 1.2]),
        "stacked-w": curve([2.5, 2.0]),
        "grid-k": curve([1.4]),
        "grid-elsewhere": curve([1.0]),
    }
    data = {name: name.split("-")[1] for name in curves_by_name}
    table = summary(curves_by_name, {"stacked-k", "stacked-w"}, data).set_index("model")
    assert list(table.index) == list(curves_by_name)
    np.testing.assert_allclose(table["difference_percent"], [-10, 0, 0, 100 / 6, math.nan])
    assert table["common_update"].tolist() == [200, 100, 200, 100, 100]
    np.testing.assert_allclose(
        table["common_difference_percent"], [-10, 0, 0, 100 * (1.4 / 1.5 - 1), math.nan]
    )


def test_where_the_baselines_best_loss_is_first_reached_by_hand():
    curves_by_name = {
        "stacked": curve([2.5, 2.0, 2.1]),
        "worse": curve([2.6, 2.4]),
        "equal": curve([2.5, 2.2, 2.3, 2.0, 1.9]),
        "at once": with_operations(curve([1.8, 1.9]), 7),
        "other": curve([1.0]),
    }
    data = {name: name == "other" for name in curves_by_name}
    table = summary(curves_by_name, {"stacked"}, data).set_index("model")
    np.testing.assert_array_equal(table["reached_update"], [200, math.nan, 400, 100, math.nan])
    assert table["reached_bytes"]["equal"] == 400 * 4096
    assert table["reached_seconds"]["equal"] == 200
    assert math.isnan(table["reached_operations"]["equal"])
    assert table["reached_operations"]["at once"] == 100 * 4096 * 7 * 6
    assert table["operations"]["at once"] == 200 * 4096 * 7 * 6


def test_without_a_stacked_model_there_is_no_difference():
    table = summary({"grid-3": curve([2.0])}, {"stacked-3"})
    assert table["difference_percent"].isna().all()
    assert len(summary({}, set())) == 0


def test_a_series_is_the_logged_column():
    frame = with_operations(curve([2.0, 1.5, 1.75]), 100)
    for axis in AXES:
        series = curve_series(frame, axis, "training", "nats", 0.5)
        np.testing.assert_array_equal(series.x, frame[axis])
        np.testing.assert_array_equal(series.update, frame["update"])
        np.testing.assert_array_equal(series.raw, frame["train_loss"])
        np.testing.assert_array_equal(series.smoothed, smooth(frame["train_loss"], 0.5))
    bits = curve_series(frame, "update", "validation", "bits").raw
    np.testing.assert_allclose(bits, frame["val_loss"] / math.log(2), rtol=1e-15)


# -- The picture -----------------------------------------------------------------------------------


def traces(fig) -> dict:
    return {trace.name: trace for trace in fig.data}


def test_the_picture_shows_every_logged_point_of_every_run():
    losses = 2 + np.random.default_rng(2).normal(size=20_000) ** 2
    runs = [Run("long", curve(list(losses), step=1), 0, 0), Run("short", curve([2.0, 1.9]), 1, 1)]
    fig = curves_figure(runs, Look(unit="nats"))
    assert list(traces(fig)) == ["long", "short"]
    for run, line in zip(runs, fig.data, strict=True):
        assert line.type == "scatter" and line.line.simplify is False
        np.testing.assert_array_equal(line.x, run.frame["update"])
        np.testing.assert_array_equal(line.y, run.frame["val_loss"])
        np.testing.assert_array_equal(line.customdata[:, :2], run.frame[["update", "val_loss"]])
    assert fig.data[1].mode == "lines+markers"


def test_the_pointer_gets_every_runs_own_update_and_both_losses():
    frame = curve([2.0, 1.5, 1.75])
    fig = curves_figure([Run("a", frame, 0, 0)], Look(axis="bytes", unit="nats", smoothing=0.6))
    line = traces(fig)["a"]
    assert (fig.layout.hovermode, fig.layout.hoverdistance) == ("x unified", -1)
    np.testing.assert_array_equal(line.x, frame["bytes"])
    np.testing.assert_array_equal(line.y, smooth(frame["val_loss"], 0.6))
    np.testing.assert_array_equal(line.customdata[:, :2], frame[["update", "val_loss"]])
    for shown in ("%{customdata[0]", "%{customdata[1]", "%{y", "%{fullData.name}"):
        assert shown in line.hovertemplate


def test_the_unsmoothed_line_stays_faint_below_the_smoothed_one():
    frame = curve([2.0, 1.5, 1.75])
    faint, line = curves_figure([Run("a", frame, 0, 0)], Look(unit="nats", smoothing=0.9)).data
    np.testing.assert_array_equal(faint.y, frame["val_loss"])
    assert faint.opacity < 0.5 and line.opacity is None
    assert faint.hoverinfo == "skip" and faint.showlegend is False
    assert len(curves_figure([Run("a", frame, 0, 0)], Look()).data) == 1


def test_training_has_its_models_colour_and_models_differ_in_colour_and_dash():
    runs = [Run(name, curve([2.0, 1.9]), place, place) for place, name in enumerate("abcd")]
    lines = traces(curves_figure(runs, Look(training=True, unit="nats")))
    for name in "abcd":
        validation, training = lines[name].line, lines[f"{name}, training"].line
        assert validation.color == training.color and validation.width > training.width
        np.testing.assert_allclose(lines[f"{name}, training"].y, [2.5, 2.4])
    assert len({lines[name].line.color for name in "abcd"}) == 4
    assert len({lines[name].line.dash for name in "abcd"}) == 4


def test_a_model_keeps_its_colour_when_others_are_hidden():
    frame = curve([2.0])
    together = curves_figure([Run("a", frame, 0, 0), Run("b", frame, 1, 1)], Look()).data[1]
    alone = curves_figure([Run("b", frame, 1, 1)], Look()).data[0]
    assert together.line == alone.line


@pytest.mark.parametrize("log_y", [False, True])
def test_the_reference_line_lies_at_the_entropy_in_the_chosen_unit(log_y):
    look = Look(unit="bits", log_y=log_y)
    fig = curves_figure([Run("a", curve([2.0]), 0, 0)], look, {"Single-byte entropy": math.log(32)})
    line, note = fig.layout.shapes[0], fig.layout.annotations[0]
    assert line.y0 == line.y1 == pytest.approx(5)
    assert note.y == pytest.approx(math.log10(5) if log_y else 5)
    assert note.text == "Single-byte entropy: 5.000 bits"
    assert fig.layout.yaxis.type == ("log" if log_y else "linear")


def test_a_steep_beginning_is_cut_off_at_first():
    """All that is logged after a seventh of the way, and every level line, stays in sight."""
    losses = [9.0, 5.0, *np.linspace(2.2, 2.0, 20)]
    runs = [Run("a", curve(losses), 0, 0), Run("b", curve([8.0]), 1, 1)]
    assert curves_figure(runs, Look(unit="nats")).layout.yaxis.range is None, "one has just begun"
    low, high = curves_figure(runs[:1], Look(unit="nats")).layout.yaxis.range
    assert low < 2.0 and 2.2 < high < 5.0
    low, high = curves_figure(runs[:1], Look(unit="nats"), {"level": 1.0}).layout.yaxis.range
    assert low < 1.0 and 2.2 < high < 5.0
    gentle = [Run("a", curve([2.2, 2.1, 2.0]), 0, 0)]
    assert curves_figure(gentle, Look(unit="nats")).layout.yaxis.range is None
    assert curves_figure(runs[:1], Look(log_y=True)).layout.yaxis.range is None


def test_long_published_curves_and_a_log_axis_leave_the_beginning_in_sight():
    runs = [Run("a", curve([9.0, 5.0, *np.linspace(2.2, 2.0, 20)]), 0, 0)]
    published = {"Published": curve([1.9, 1.5], step=10_000)[["update", "val_loss"]]}
    low, high = curves_figure(runs, Look(unit="nats"), None, published).layout.yaxis.range
    assert low < 1.5 and 2.2 < high < 5.0
    log_x = Look(unit="nats", log_x=True)
    assert curves_figure(runs, log_x, None, published).layout.yaxis.range is None
    stuck = Run("stuck", curve([40.0] * 20), 1, 1)
    assert 9.0 < curves_figure([*runs, *runs, stuck], log_x).layout.yaxis.range[1] < 40.0


def test_a_line_far_above_the_others_is_named_and_not_in_sight_at_first():
    learnt = [Run(name, curve(np.linspace(2.6, 2.0, 20)), 0, 0) for name in "ab"]
    stuck = Run("<stuck>", curve([5.2] * 20), 1, 1)
    figure = curves_figure([*learnt, stuck], Look(unit="nats"))
    low, high = figure.layout.yaxis.range
    assert low < 2.0 and 2.4 < high < 5.2
    assert count_hidden_lines(figure) == ["<stuck>"]
    alone = curves_figure([stuck], Look(unit="nats"))
    assert alone.layout.yaxis.range is None and count_hidden_lines(alone) == []


def test_a_level_line_is_labelled_where_no_curve_is():
    runs = [Run("a", curve([3.0, 2.0]), 0, 0)]
    notes = curves_figure(runs, Look(unit="nats"), {"low": 2.0, "high": 3.5}).layout.annotations
    assert [(note.x, note.yanchor) for note in notes] == [(0, "top"), (1, "bottom")]


def test_published_curves_are_dotted_and_shown_against_updates_only():
    published = {"Published grid-6": curve([1.3, 1.2], step=1000)[["update", "val_loss"]]}
    runs = [Run("a", curve([2.0]), 0, 0)]
    line = traces(curves_figure(runs, Look(unit="nats"), None, published))["Published grid-6"]
    assert line.line.dash == "dot"
    np.testing.assert_array_equal(line.x, [1000, 2000])
    np.testing.assert_array_equal(line.y, [1.3, 1.2])
    for axis in ("epoch", "bytes", "seconds"):
        assert len(curves_figure(runs, Look(axis=axis), None, published).data) == 1


def test_a_mean_of_seeds_lies_in_a_band_of_its_colour():
    frame = mean_over_seeds([curve([2.0, 1.5]), curve([2.2, 1.7]), curve([2.4])])
    band, line = curves_figure([Run("a", frame, 3, 0)], Look(unit="nats")).data
    np.testing.assert_allclose(line.y, [2.2, 1.6])
    np.testing.assert_array_equal(line.customdata[:, 2], [3, 2])
    np.testing.assert_allclose(band.x, [100, 200, 200, 100])
    np.testing.assert_allclose(band.y, [2.0, 1.5, 1.7, 2.4])
    red, green, blue = (int(line.line.color[i : i + 2], 16) for i in (1, 3, 5))
    assert band.fillcolor.startswith(f"rgba({red}, {green}, {blue},") and not band.showlegend
    assert len(curves_figure([Run("a", mean_over_seeds([curve([2.0])]), 0, 0)], Look()).data) == 1


def test_a_share_of_right_answers_is_drawn_without_what_belongs_to_losses():
    frame = curve([2.0, 1.5, 1.0]).assign(accuracy=[0.0, math.nan, 0.75])
    published = {"Published": curve([1.3])[["update", "val_loss"]]}
    runs = [Run("a", frame, 0, 0), Run("no answers", curve([2.0]), 1, 1)]
    fig = curves_figure(runs, Look(quantity="accuracy", training=True), {"Entropy": 3}, published)
    (line,) = fig.data
    np.testing.assert_array_equal(line.x, [100, 300])
    np.testing.assert_array_equal(line.y, [0, 0.75])
    assert not fig.layout.shapes and "higher is better" in fig.layout.yaxis.title.text


def test_a_run_of_which_the_axis_is_not_known_is_left_out():
    runs = [Run(n, with_operations(curve([2.0]), per), 0, 0) for n, per in (("a", 9), ("b", None))]
    (line,) = curves_figure(runs, Look(axis="operations")).data
    np.testing.assert_array_equal(line.x, [100 * 4096 * 9 * 6])
    imported = curve([2.0]).assign(seconds=math.nan)
    assert not curves_figure([Run("a", imported, 0, 0)], Look(axis="seconds")).data


def test_best_losses_against_their_cost():
    points = [
        CostPoint("a", 1e6, math.log(4), math.log(2), math.log(8), 0, 0),
        CostPoint("b", 2e6, math.log(4), math.log(4), math.log(4), 0, 1),
        CostPoint("<b>c", 3e6, math.log(16), math.log(16), math.log(16), 1, 0),
    ]
    fig = cost_figure(points, "parameters", "bits")
    assert [t.x[0] for t in fig.data] == [1e6, 2e6, 3e6]
    assert [t.y[0] for t in fig.data] == pytest.approx([2, 2, 4])
    bars = [t.error_y for t in fig.data]
    assert (bars[0].array[0], bars[0].arrayminus[0]) == pytest.approx((1, 1))
    assert [bar.visible for bar in bars] == [True, False, False]
    assert [t.name for t in fig.data if t.showlegend] == ["a", "b", "&lt;b&gt;c"]
    assert fig.data[0].marker.color == fig.data[1].marker.color != fig.data[2].marker.color
    assert fig.data[0].marker.symbol != fig.data[1].marker.symbol
    np.testing.assert_allclose(cost_figure(points, "seconds", "bits").data[0].x, 1e6 / 60)


def test_a_model_far_above_the_others_is_named_and_not_in_sight_at_first():
    points = [CostPoint(name, 1e6, loss, loss, loss, 0, 0) for name, loss in
              (("a", 1.4), ("b", 1.5), ("c", 1.6), ("stuck", 3.6))]  # fmt: skip
    low, high = cost_figure(points, "parameters", "nats").layout.yaxis.range
    assert low < 1.4 and 1.6 < high < 3.6
    assert count_hidden_lines(cost_figure(points, "parameters", "nats")) == ["stuck"]
    for together in (points[:3], points[3:]):
        figure = cost_figure(together, "parameters", "nats")
        assert figure.layout.yaxis.range is None and count_hidden_lines(figure) == []


def test_wall_time_is_given_in_minutes_or_hours():
    short, long = curve([2.0, 1.9], step=600), curve([2.0, 1.9], step=36_000)
    fig = curves_figure([Run("a", short, 0, 0)], Look(axis="seconds"))
    np.testing.assert_allclose(fig.data[0].x, [5, 10])
    assert "minutes" in fig.layout.xaxis.title.text
    fig = curves_figure([Run("a", short, 0, 0), Run("b", long, 1, 1)], Look(axis="seconds"))
    np.testing.assert_allclose(fig.data[1].x, [5, 10])
    assert "hours" in fig.layout.xaxis.title.text


def test_names_become_no_markup():
    attack = '<script>alert("x")</script>'
    look = Look(training=True, smoothing=0.5)
    text = curves_figure([Run(attack, curve([2.0]), 0, 0)], look, {attack: 3.5}).to_json()
    assert "alert" in text
    assert "<script" not in json.dumps(json.loads(text))
