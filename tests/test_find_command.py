"""`python -m gridlstm find`: what it prints is what the library gives."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest

from gridlstm import commands
from gridlstm.analysis.held_out import best_by_layer, find_cells
from gridlstm.analysis.properties import measure_named
from gridlstm.analysis.ranking import auc
from gridlstm.checkpoint import Data, Metadata, write_checkpoint
from gridlstm.commands.find import MAX_EXACT_BYTES
from gridlstm.importing.opening import open_model
from gridlstm.text import from_bytes
from gridlstm.trace import trace

TEXT = "Grüße aus http://example.org/42, a cat sat.\nAnd a rat (7) sat on it, it is said. " * 30
FIND = ["find", "model.safetensors", "text.txt"]
ROW = [
    *["measure", "layer", "quantity", "unit", "sign", "found", "held_out", "low", "high"],
    *["threshold", "f1_found", "f1_held_out"],
]


@pytest.fixture
def folder(tmp_path, make_model, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "text.txt").write_text(TEXT, encoding="utf-8")
    (tmp_path / "long.txt").write_text(TEXT * 18, encoding="utf-8")
    model = make_model("grid", 2, 4, "depth")
    tensors = {name: tensor.detach().numpy() for name, tensor in model.to_tensors().items()}
    data = Data("text.txt", "", len(TEXT), 0.75, 3.0)
    write_checkpoint(tmp_path / "model.safetensors", tensors, Metadata(model.config, data))
    return tmp_path


@pytest.fixture
def library(make_model):
    """The text, and the trace of its cells."""
    text = from_bytes(TEXT.encode())
    model = make_model("grid", 2, 4, "depth")
    return text, trace(model, text.data, ["time.cell", "depth.cell"]).values


def printed(capsys, *arguments):
    """Standard output and standard error, without the bars of progress."""
    assert commands.run([*FIND, *arguments]) == 0
    return capsys.readouterr()


CELLS = ["--quantities", "time.cell", "depth.cell"]


@pytest.mark.parametrize("name", ["url", "line-position", r"pattern:sat"])
def test_json_lines_are_the_findings(folder, library, capsys, name):
    text, values = library
    findings = find_cells(values, measure_named(name, text.characters), text.last_byte, top=5)
    out, err = printed(capsys, "--property", name, *CELLS, "--top", "5", "--json")
    rows = [json.loads(line) for line in out.splitlines()]
    assert rows == [
        {"measure": findings.measure, **row} for row in findings.cells.to_dict(orient="records")
    ]
    assert list(rows[0]) == ROW[: len(rows[0])]
    assert f"{findings.baseline.maximum:.3f}" in err
    assert f"{findings.split.held_out.start:,} to {findings.split.held_out.end:,}" in err
    assert "best of 16 units" in err


def test_the_table_is_aligned_and_says_the_same(folder, library, capsys):
    text, values = library
    findings = find_cells(values, measure_named("url", text.characters), text.last_byte, top=3)
    out, _ = printed(capsys, "--property", "url", *CELLS, "--top", "3")
    head, *lines = out.splitlines()
    assert len({len(line) for line in [head, *lines]}) == 1
    for title in ("AUC found", "AUC held out", "95 % interval", "F1 found", "F1 held out"):
        assert title in head
    for line, row in zip(lines, findings.cells.itertuples(), strict=True):
        assert line.split() == [
            *[str(row.layer), row.quantity, str(row.unit), "higher" if row.sign > 0 else "lower"],
            *[f"{row.found:.3f}", f"{row.held_out:.3f}"],
            *[f"{row.low:.3f}", "to", f"{row.high:.3f}"],
            *[f"{number:.3f}" for number in (row.threshold, row.f1_found, row.f1_held_out)],
        ]


FEW = "A cat sat on it. " * 60 + "http://example.org/42 it " + "A cat sat on it. " * 80


@pytest.mark.parametrize("second", ["http://example.org/42", "www.example.com/a/b?c=d"])
def test_one_place_in_each_half_has_no_interval(folder, capsys, second):
    """Intervals from one address would exclude those from another in its place."""
    (folder / "few.txt").write_text(f"{FEW}{second}{' A cat sat on it.' * 20}")
    find = ["find", "model.safetensors", "few.txt", "--property", "url", *CELLS, "--top", "2"]
    assert commands.run(find) == 0
    out, err = capsys.readouterr()
    assert [line.split()[6] for line in out.splitlines()[1:]] == ["none", "none"]
    assert "in 1 span)" in err and "spans" not in err
    assert "no 95 % interval: the property sets apart only 1 place of the text's first part" in err
    assert commands.run([*find, "--json"]) == 0
    for line in capsys.readouterr().out.splitlines():
        row = json.loads(line, parse_constant=pytest.fail)
        assert row["low"] is row["high"] is None and row["unit"] in range(4)


def test_a_number_has_correlations(folder, capsys):
    out, err = printed(capsys, "--property", "line-position", *CELLS, "--top", "2")
    head = out.splitlines()[0]
    assert "rho held out" in head and "as it grows" in head and "F1" not in head
    assert "reaches rho found" in err and "marked" not in err


def test_by_layer(folder, library, capsys):
    text, values = library
    best = best_by_layer(values, measure_named("url", text.characters), text.last_byte)
    out, err = printed(capsys, "--property", "url", *CELLS, "--by-layer", "--json")
    rows = [json.loads(line) for line in out.splitlines()]
    assert rows == [{"measure": "auc", **row} for row in best.to_dict(orient="records")]
    assert "by chance" not in err


def test_all_quantities_unless_some_are_named(folder, capsys):
    out, _ = printed(capsys, "--property", "url", "--top", "1000", "--json")
    assert len({json.loads(line)["quantity"] for line in out.splitlines()}) == 12


def test_as_much_is_read_as_is_wished(folder, capsys):
    _, shorter = printed(capsys, "--property", "url", *CELLS, "--bytes", "2400")
    assert "the first 2,400 are shown" in shorter


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["--property", "nonsense"], "no such property"),
        (["--property", "wiki-link"], "tells nothing apart"),
        (["--property", "span:0-50"], "second part"),
        (["--property", "pattern:("], "not understood"),
        (["--property", "url", "--bytes", "500"], "too short to split"),
        (["--property", "url", "--quantities", "depth.tide"], "no 'depth.tide'"),
    ],
)
def test_a_mistake_is_one_line_and_status_2(folder, capsys, arguments, message):
    assert commands.run([*FIND, *arguments]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("gridlstm find: ") and err.count("\n") == 1
    assert message in err


@pytest.mark.parametrize("option", ["--top", "--bytes"])
@pytest.mark.parametrize("number", ["0", "-3", "many"])
def test_counts_are_checked(folder, capsys, option, number):
    with pytest.raises(SystemExit) as exit:
        commands.run([*FIND, "--property", "url", f"{option}={number}"])
    assert exit.value.code == 2
    assert "no number from 1 on" in capsys.readouterr().err


def test_help_lists_the_properties(capsys):
    with pytest.raises(SystemExit):
        commands.run(["find", "--help"])
    help = capsys.readouterr().out
    assert "wiki-link            Inside a wiki link" in help
    assert "pattern:REGEX" in help
    assert f"more than {MAX_EXACT_BYTES:,}" in " ".join(help.split())


def test_every_number_is_finite(folder, capsys):
    out, _ = printed(capsys, "--property", "url", "--top", "1000", "--json")
    for line in out.splitlines():
        numbers = [value for value in json.loads(line).values() if isinstance(value, float)]
        assert np.isfinite(numbers).all()


# -- Long texts ------------------------------------------------------------------------------------

LONG = ["find", "model.safetensors", "long.txt", "--property", "url", *CELLS, "--top", "4"]


def rows_of(out):
    return [json.loads(line) for line in out.splitlines()]


def test_a_long_text_is_read_in_stretches_with_nearly_the_exact_scores(folder, capsys):
    """Exact are those of the same stretches, each traced alone. This text repeats: of its few
    different values several share a bin, so that scores are further off than on others."""
    assert len((folder / "long.txt").read_bytes()) > MAX_EXACT_BYTES
    assert commands.run([*LONG, "--json"]) == 0
    out, err = capsys.readouterr()
    rows = rows_of(out)
    assert list(rows[0]) == ROW
    assert "Read as 11 texts of" in err and "first 500 positions" in err
    data = (folder / "long.txt").read_bytes()
    characters = data.decode()
    ends = np.append((np.frombuffer(data, np.uint8)[1:] & 0xC0) != 0x80, True)
    marks = np.zeros(len(data), bool)
    marks[ends] = measure_named("url", characters)
    length = len(data) // 11
    model, _ = open_model(folder / "model.safetensors")
    traces = [
        trace(model, data[n * length : (n + 1) * length], ["time.cell", "depth.cell"],
              dtype=np.float32).values
        for n in range(11)
    ]  # fmt: skip
    for row in rows:
        scores = []
        for half in (range(5), range(5, 11)):
            at = [slice(n * length + 500, (n + 1) * length) for n in half]
            of_unit = [
                traces[n][row["quantity"]][row["layer"] - 1, 500:, row["unit"]] for n in half
            ]
            kept = np.concatenate([ends[part] for part in at])
            values = np.concatenate(of_unit)[kept, None]
            area = auc(values, np.concatenate([marks[part] for part in at])[kept]).item()
            scores.append(area if row["sign"] > 0 else 1 - area)
        np.testing.assert_allclose([row["found"], row["held_out"]], scores, atol=0.006)
        assert row["low"] <= row["held_out"] <= row["high"]


def test_two_processes_find_what_one_finds(folder, capsys):
    assert commands.run([*LONG, "--json"]) == 0
    alone, _ = capsys.readouterr()
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    both = subprocess.run(
        [*torchrun, "--nproc-per-node", "2", "-m", "gridlstm", *LONG, "--json"],
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        cwd=folder,
        capture_output=True,
        text=True,
        check=True,
    )
    assert rows_of(both.stdout) == rows_of(alone)


def test_numbers_and_the_best_of_each_layer_of_a_long_text(folder, capsys):
    number = [*LONG[:3], "--property", "line-position", *CELLS, "--by-layer", "--json"]
    assert commands.run(number) == 0
    rows = rows_of(capsys.readouterr()[0])
    assert [(row["quantity"], row["layer"]) for row in rows] == [
        (quantity, layer) for quantity in ("time.cell", "depth.cell") for layer in (1, 2)
    ]
    assert all(row["measure"] == "rho" and 0 <= row["found"] <= 1 for row in rows)


@pytest.mark.parametrize("more, message", [
    (["--quantities", "depth.tide"], "no 'depth.tide'"),
    (["--resume"], "nothing to go on from"),
    (["--property", "span:30-50"], "half"),
])  # fmt: skip
def test_what_cannot_be_done_with_a_long_text_is_one_sentence(folder, capsys, more, message):
    assert commands.run([*LONG, *more]) == 2
    assert message in capsys.readouterr()[1]
