"""`provenance` and `ablate` as a user runs them, against the functions they call."""

import json
from pathlib import Path

import numpy as np
import pytest
from app_checkpoints import GRID, STACKED, checkpoint

from gridlstm import commands
from gridlstm.analysis.properties import inside_url
from gridlstm.analysis.ranking import rank_units
from gridlstm.checkpoint import load_model
from gridlstm.text import character_losses, from_string
from gridlstm.trace import trace

TEXT = from_string("Voilà: [http://www.example.org é] and no more of it.\nOr www.example.org/b.\n")


@pytest.fixture
def grid(tmp_path):
    return str(checkpoint(tmp_path / "grid.safetensors", GRID))


@pytest.fixture
def stacked(tmp_path):
    return str(checkpoint(tmp_path / "stacked.safetensors", STACKED))


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "text.txt"
    path.write_text(TEXT.characters, encoding="utf-8")
    return str(path)


@pytest.fixture
def rows(capsys):
    """Run a command with --json; return its rows."""

    def run(*arguments: str) -> list[dict]:
        assert commands.run([*arguments, "--json"]) == 0
        return [json.loads(line) for line in capsys.readouterr().out.splitlines()]

    return run


def traced(path: str, **options):
    return trace(load_model(Path(path))[0], TEXT.data, dtype=np.float32, **options)


def test_a_unit_by_layer_adds_up_to_its_memory(rows, grid, file):
    found = rows("provenance", grid, file, "--unit", "3", "--layer", "2")
    assert "".join(row["character"] for row in found) == TEXT.characters
    memory = traced(grid).values["depth.cell"][1, TEXT.last_byte, 3]
    np.testing.assert_allclose([row["memory"] for row in found], memory, atol=1e-4)
    np.testing.assert_allclose([r["layer_1"] + r["layer_2"] for r in found], memory, atol=1e-4)
    assert "layer_3" not in found[0]


def test_a_unit_by_character_adds_up_to_its_cell(rows, stacked, file):
    found = rows("provenance", stacked, file, "--unit", "3", "--layer", "2", "--character", "30")
    assert len(found) == 31
    cell = traced(stacked).values["time.cell"][1, TEXT.last_byte[30], 3]
    assert sum(row["written"] for row in found) == pytest.approx(cell, abs=1e-4)


def test_the_whole_model(rows, grid, stacked, file):
    found = rows("provenance", grid, file)
    assert [row["layer"] for row in found] == [1, 2, 3]
    assert sum(row["mean_share"] for row in found) == pytest.approx(1)
    assert rows("provenance", stacked, file)[0].keys() == {
        "layer", "median_half_life", "longest_half_life", "units_beyond_the_text"
    }  # fmt: skip


def test_an_ablation_of_named_cells(rows, grid, file):
    found = rows("ablate", grid, file, "--cells", "depth.cell:3:4", "--value", "zero", "--random=2")
    assert [row["kind"] for row in found] == ["chosen", "random", "random"]
    from gridlstm.clamps import Clamp

    marks = inside_url(TEXT.characters)
    held = traced(grid, clamps=[Clamp("depth.cell", 3, 4, 0.0)]).loss
    change = character_losses(TEXT, held) - character_losses(TEXT, traced(grid).loss)
    assert found[0]["change_inside"] == pytest.approx(np.nanmean(change[marks]), abs=1e-4)
    assert found[0]["change_outside"] == pytest.approx(np.nanmean(change[~marks]), abs=1e-4)


def test_an_ablation_of_the_best_of_a_ranking(rows, stacked, file):
    found = rows("ablate", stacked, file, "--top", "2", "--random", "1")
    values = trace(load_model(Path(stacked))[0], TEXT.data, ["time.cell"]).values
    best = rank_units(values, inside_url(TEXT.characters), positions=TEXT.last_byte, top=2)
    chosen = [(row["layer"], row["unit"]) for row in found if row["kind"] == "chosen"]
    assert chosen == list(zip(best["layer"], best["unit"], strict=True))


def test_a_probe_of_every_layer_or_one(rows, grid, tmp_path):
    from gridlstm.analysis.probe import probe

    text = from_string("so: http://example.org/path and a word, é www.example.com/x more " * 50)
    path = tmp_path / "long.txt"
    path.write_text(text.characters, encoding="utf-8")
    found = rows("probe", grid, str(path), "--property", "url", "--quantity", "depth.cell")
    assert [row["layer"] for row in found] == [1] * 4 + [2] * 4 + [3] * 4
    values = trace(load_model(Path(grid))[0], text.data, ["depth.cell"]).values["depth.cell"]
    expected = probe(values[1], inside_url(text.characters), text.last_byte).scores
    np.testing.assert_allclose([r["held_out"] for r in found[4:8]], expected["held_out"], atol=1e-6)
    one = rows("probe", grid, str(path), "--property=url", "--quantity=depth.cell", "--layer=2")
    assert one == found[4:8]


def test_a_probe_of_few_places_says_why_it_has_no_interval(capsys, grid, tmp_path):
    path = tmp_path / "few.txt"
    path.write_text(("a word " * 130 + "www.example.com/x ") * 2 + "more " * 80, encoding="utf-8")
    assert commands.run(["probe", grid, str(path), "--property", "url", "--layer=1", "--json"]) == 0
    out, err = capsys.readouterr()
    rows = [json.loads(line, parse_constant=pytest.fail) for line in out.splitlines()]
    assert [row["low"] for row in rows] == [None] * 4
    assert "There is no 95 % interval" in err and "only 1 place" in err


def test_the_help_of_a_probe_says_its_solver_and_strength(capsys):
    from gridlstm.analysis.probe import STRENGTH

    with pytest.raises(SystemExit):
        commands.run(["probe", "--help"])
    help = " ".join(capsys.readouterr().out.split())
    assert f"not on the intercept; liblinear, C = {STRENGTH:g})" in help


def test_a_table_for_people(capsys, grid, file):
    assert commands.run(["provenance", grid, file]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 4 and "median_half_life" in lines[0]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["provenance", "GRID", "FILE", "--layer", "9", "--unit", "0"], "no layer 9"),
        (["provenance", "GRID", "FILE", "--unit", "99"], "no unit 99"),
        (["provenance", "GRID", "FILE", "--layer", "1"], "--unit"),
        (["provenance", "GRID", "FILE", "--unit", "1", "--character", "999"], "no character 999"),
        (["provenance", "STACKED", "FILE", "--unit", "1"], "carries no memory along depth"),
        (["provenance", "GRID", "EMPTY"], "empty"),
        (["ablate", "GRID", "EMPTY"], "empty"),
        (["probe", "GRID", "EMPTY", "--property", "url"], "empty"),
        (["probe", "GRID", "FILE", "--property", "url"], "too short"),
        (["probe", "GRID", "FILE", "--property", "nonsense"], "property"),
        (["ablate", "GRID", "FILE", "--property", "nonsense"], "property"),
        (["ablate", "GRID", "FILE", "--property", "line-position"], "not a number"),
        (["ablate", "GRID", "FILE", "--cells", "time.cell"], "QUANTITY:LAYER:UNIT"),
        (["ablate", "GRID", "FILE", "--cells", "time.input:1:1"], "can be held"),
        (["ablate", "GRID", "FILE", "--value", "seven"], "held at one of"),
    ],
)
def test_a_mistake_is_one_line_and_status_2(
    capsys, tmp_path, grid, stacked, file, arguments, message
):
    (tmp_path / "empty.txt").write_bytes(b"")
    names = {"GRID": grid, "STACKED": stacked, "FILE": file, "EMPTY": str(tmp_path / "empty.txt")}
    assert commands.run([names.get(word, word) for word in arguments]) == 2
    output = capsys.readouterr()
    assert output.out == "" and len(output.err.splitlines()) == 1 and message in output.err
