"""The command that compares curves, as a user runs it."""

import json
import math
from pathlib import Path

import numpy as np
import pytest

from gridlstm import commands
from gridlstm.checkpoint import Data, Metadata, split, write_checkpoint
from gridlstm.config import ModelConfig
from gridlstm.curves import read_curve, summary
from gridlstm.training.curve_log import CurvePoint, write_curve

# Validation losses in nats per byte after updates 100, 200, ...
LOSSES = {
    "stacked-3": [2.5, 2.0, 2.1],
    "stacked-6": [2.6, 2.4],
    "grid-3": [2.5, 1.9, 1.8, 1.95],
}
BITS = 1 / math.log(2)


def add_curve(folder, name, losses):
    points = [
        CurvePoint(100 * n, n / 10, 250_000 * n, loss + 0.1, loss, 0.001, 5.0 * n)
        for n, loss in enumerate(losses, start=1)
    ]
    write_curve(folder / f"{name}.csv", points)


def add_checkpoint(folder, name, architecture, sha256="a" * 64):
    config = ModelConfig(architecture, 2, 2, "all" if architecture == "grid" else None)
    tensors = {key: np.zeros(shape, np.float16) for key, shape in config.tensor_shapes().items()}
    data = Data("some|text.txt", sha256, 1000, 0.95, 3.0)
    write_checkpoint(folder / f"{name}.safetensors", tensors, Metadata(config, data))


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The folder to work in, with three curves."""
    monkeypatch.chdir(tmp_path)
    for name, losses in LOSSES.items():
        add_curve(tmp_path, name, losses)
    return tmp_path


def compared(capsys, *arguments) -> list[dict]:
    assert commands.run(["compare", "--json", *arguments]) == 0
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_the_objects_by_hand(folder, capsys):
    rows = compared(capsys, *(f"{name}.csv" for name in LOSSES))
    assert [row["curve"] for row in rows] == list(LOSSES)
    assert [row["updates"] for row in rows] == [300, 200, 400]
    assert [row["bytes"] for row in rows] == [750_000, 500_000, 1_000_000]
    assert [row["best_loss"] for row in rows] == [2.0, 2.4, 1.8]
    assert [row["best_bits"] for row in rows] == pytest.approx([2 * BITS, 2.4 * BITS, 1.8 * BITS])
    assert [row["best_update"] for row in rows] == [200, 200, 300]
    assert [row["difference_percent"] for row in rows] == pytest.approx([0, 20, -10])
    assert [row["common_update"] for row in rows] == [200, 200, 200]
    assert [row["common_bytes"] for row in rows] == [500_000] * 3
    assert [row["common_loss"] for row in rows] == [2.0, 2.4, 1.9]
    assert [row["common_bits"] for row in rows] == pytest.approx([2 * BITS, 2.4 * BITS, 1.9 * BITS])
    assert [row["common_difference_percent"] for row in rows] == pytest.approx([0, 20, -5])
    assert [row["reached_update"] for row in rows] == [200, None, 200]
    assert [row["reached_bytes"] for row in rows] == [500_000, None, 500_000]
    assert [row["reached_seconds"] for row in rows] == [10, None, 10]
    assert {row["parameters"] for row in rows} == {row["operations"] for row in rows} == {None}


def test_the_table_holds_what_the_objects_do(folder, capsys):
    rows = compared(capsys, *(f"{name}.csv" for name in LOSSES))
    assert commands.run(["compare", *(f"{name}.csv" for name in LOSSES)]) == 0
    lines = capsys.readouterr().out.splitlines()
    table = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    assert {len(cells) for cells in table} == {len(table[0])}
    assert all(set(cell) <= set("-:") for cell in table[1])
    cells = [dict(zip(table[0], row, strict=True)) for row in table[2:]]
    for cell, row in zip(cells, rows, strict=True):
        assert cell["curve"] == row["curve"]
        assert cell["architecture"] == f"{row['architecture']} (by its name)"
        assert cell["updates"] == str(row["updates"])
        assert cell["bytes"] == f"{row['bytes']:,}"
        assert float(cell["best, nats per byte"]) == row["best_loss"]
        assert float(cell["best, bits per byte"]) == pytest.approx(row["best_bits"], abs=1e-4)
        assert cell["last common update"] == "200"
        reached = row["reached_update"]
        expected = "not reached" if reached is None else str(reached)
        assert cell["best stacked loss reached at update"] == expected
        assert float(cell["nats there"]) == row["common_loss"]
        assert cell["measured on"] == "–"
    assert [cell["against the best stacked"] for cell in cells] == [
        "+0.00 %",
        "+20.00 %",
        "-10.00 %",
    ]
    assert cells[2]["against the best stacked there"] == "-5.00 %"


def test_a_checkpoint_says_more_than_a_name(folder, capsys):
    """What is stacked, and which curves were measured on the same data."""
    add_checkpoint(folder, "grid-3", "stacked")
    add_checkpoint(folder, "stacked-3", "grid")
    add_checkpoint(folder, "stacked-6", "stacked", sha256="b" * 64)
    rows = compared(capsys, *(f"{name}.csv" for name in LOSSES))
    assert [row["architecture"] for row in rows] == ["grid", "stacked", "stacked"]
    assert {row["told_by"] for row in rows} == {"checkpoint"}
    assert {row["data"] for row in rows} == {"some|text.txt"}
    assert [row["difference_percent"] for row in rows] == pytest.approx([100 / 9, 0, 0])
    assert [row["common_update"] for row in rows] == [300, 200, 300]
    config = ModelConfig("stacked", 2, 2)
    assert rows[2]["parameters"] == config.parameters
    assert rows[2]["operations"] == 1_000_000 * config.operations_per_token * 6
    commands.run(["compare", "grid-3.csv"])
    assert r"some\|text.txt" in capsys.readouterr().out


def test_a_checkpoint_in_shards_is_found(folder, capsys):
    add_checkpoint(folder, "grid-3", "stacked")
    split(folder / "grid-3.safetensors", folder)
    (folder / "grid-3.safetensors").unlink()
    assert compared(capsys, "grid-3.csv")[0]["told_by"] == "checkpoint"


@pytest.mark.parametrize(
    ("name", "architecture"),
    [
        ("wiki-stacked-6", "stacked"),
        ("Grid_6_depth", "grid"),
        ("gridiron", "unknown"),
        ("grid-1d-3", "grid-1d"),
        ("small_depth_gated_6", "depth-gated"),
        ("gru6-seed-2", "gru"),
        ("stacked-against-grid", "unknown"),
    ],
)
def test_architectures_by_name(folder, capsys, name, architecture):
    add_curve(folder, name, [2.0])
    assert compared(capsys, f"{name}.csv")[0]["architecture"] == architecture


def test_what_cannot_be_compared_is_left_open(folder, capsys):
    """A curve without a checkpoint is not taken to be of a checkpoint's data."""
    add_checkpoint(folder, "stacked-3", "stacked")
    stacked, grid = compared(capsys, "stacked-3.csv", "grid-3.csv")
    assert stacked["difference_percent"] == 0
    assert grid["difference_percent"] is grid["common_difference_percent"] is None
    assert commands.run(["compare", "grid-3.csv"]) == 0
    assert capsys.readouterr().out.count("–") == 9


def test_curves_of_one_name_are_told_apart(folder, capsys):
    (folder / "other").mkdir()
    add_curve(folder / "other", "grid-3", [1.5])
    rows = compared(capsys, "grid-3.csv", "other/grid-3.csv")
    assert [row["curve"] for row in rows] == ["grid-3.csv", "other/grid-3.csv"]


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ([], "CURVE.csv"),
        (["nowhere.csv"], "nowhere.csv"),
        (["grid-3.csv", "bad.csv"], "bad.csv"),
        (["grid-3.csv", "grid-3.csv"], "more than once"),
        (["stacked-3.csv"], "stacked-3.safetensors"),
    ],
)
def test_a_mistake_is_one_line(folder, capsys, arguments, named):
    (folder / "bad.csv").write_text("update,loss\n1,2\n")
    (folder / "stacked-3.safetensors").write_bytes(b"no checkpoint")
    try:
        status = commands.run(["compare", *arguments])
    except SystemExit as exit:
        status = exit.code
    printed = capsys.readouterr()
    assert (status, printed.out) == (2, "")
    assert len(printed.err.splitlines()) == 1 and named in printed.err


def test_the_shipped_curves_are_compared_as_the_dashboard_does(capsys):
    folder = Path(__file__).parents[1] / "checkpoints"
    names = ["stacked-3", "stacked-6", "grid-3", "grid-6"]
    rows = compared(capsys, *(str(folder / f"{name}.csv") for name in names))
    table = summary({name: read_curve(folder / f"{name}.csv") for name in names}, names[:2])
    for column in ("best_loss", "difference_percent", "common_difference_percent"):
        assert [row[column] for row in rows] == pytest.approx(table[column].tolist())
