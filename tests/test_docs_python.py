"""The code of docs/python.md runs as it stands there, and gives what is said beside it."""

import re
import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from gridlstm.checkpoint import load_model

ROOT = Path(__file__).parents[1]
BLOCKS = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "python.md").read_text(), re.DOTALL)


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    """What the page's code leaves behind, run where the reader would run it."""
    folder = tmp_path_factory.mktemp("repository")
    for path in ("checkpoints/cooled-grid-6.safetensors", "dashboard/samples/wiki-urls.txt"):
        (folder / path).parent.mkdir(parents=True)
        shutil.copy(ROOT / path, folder / path)
    characters = "abenort .\n"
    text = np.random.default_rng(1).choice(list(characters), 2000)
    (folder / "my-text.txt").write_text("".join(text))
    net = SimpleNamespace(
        embedding=nn.Embedding(10, 4), lstm=nn.LSTM(4, 16, 2), decoder=nn.Linear(16, 10)
    )
    names = {"net": net, "characters": characters}
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for block in BLOCKS:
            exec(block, names)
        names["saved"], names["about_saved"] = load_model("checkpoints/mine.safetensors")
    return SimpleNamespace(**names)


def test_there_is_code():
    assert len(BLOCKS) == 7


def test_the_trace_and_the_marks(told):
    positions = len(told.text.data)
    assert told.seen.values["time.cell"].shape == (6, positions, 256)
    assert told.marks.shape == (len(told.text.characters),) and told.marks.any()


def test_the_best_cell_is_there(told):
    best = told.findings.cells.iloc[0]
    assert best.quantity == "time.cell" and best.held_out > 0.9
    assert not told.findings.split.missing_interval_reason and best.low < best.held_out < best.high


def test_a_probe_of_all_units_does_better_than_of_one(told):
    scores = told.found.scores["held_out"]
    assert scores.iloc[0] < scores.iloc[-1]


def test_parts_add_up_to_their_memory(told):
    depth, time = (
        told.seen.values[name].astype(np.float32) for name in ("depth.cell", "time.cell")
    )
    np.testing.assert_allclose(told.by_layer.sum(0), depth[5, :, 53], atol=0.02)
    np.testing.assert_allclose(told.by_position.sum(), time[5, 200, 152], atol=0.02)


def test_switching_off_changes_what_is_expected(told):
    assert np.abs(told.without - told.as_it_is)[1:].max() > 0.01
    np.testing.assert_allclose(told.as_it_is[1:], told.seen.loss[1:], atol=1e-4)


def test_the_imported_model_was_saved(told):
    assert told.about_saved.training == {"trained_by": "my own program"}
    assert torch.equal(told.saved.embedding.weight, told.mine.embedding.weight)
