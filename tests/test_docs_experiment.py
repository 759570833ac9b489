"""The scripts that docs/experiment.md names."""

import re
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import numpy as np
import pytest
import torch

from gridlstm.checkpoint import load_model
from gridlstm.config import ModelConfig
from gridlstm.corpus import read_corpus
from gridlstm.evaluation import evaluate
from gridlstm.model import LanguageModel
from gridlstm.trace import trace
from gridlstm.training.run import train
from gridlstm.training.settings import TrainingSettings

FOLDER = Path(__file__).parents[1] / "docs" / "experiment"


def script(name: str):
    spec = spec_from_file_location(name, FOLDER / f"{name}.py")
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A text, and a checkpoint of a small model that has read some of it."""
    folder = tmp_path_factory.mktemp("trained")
    text, checkpoint = folder / "text.txt", folder / "model.safetensors"
    text.write_bytes(np.random.default_rng(1).integers(97, 105, 60_000).astype(np.uint8).tobytes())
    settings = TrainingSettings(sequences=4, length=8, updates=40, validate_every=20)
    train(ModelConfig("grid", 2, 6, "all"), settings, read_corpus(text, 0.95), checkpoint)
    return text, checkpoint


def test_the_loss_at_a_distance_is_that_of_a_trace():
    torch.manual_seed(1)
    distance, model = script("distance"), LanguageModel(ModelConfig("stacked", 2, 6))
    streams = torch.randint(256, (3, 2000), dtype=torch.uint8)
    found = distance.loss_at(model, streams, 700)
    read = streams[:, 700 - distance.WARM_UP : 700 + distance.COUNTED].numpy()
    losses = [trace(model, row.tobytes()).loss[-distance.COUNTED :] for row in read]
    assert found == pytest.approx(np.mean(losses), rel=1e-5)


def test_distances_are_from_where_the_training_stood(trained, capsys, monkeypatch):
    text, checkpoint = trained
    distance, asked = script("distance"), []
    monkeypatch.setattr(distance, "DISTANCES", (-8, 0, 640))
    monkeypatch.setattr(distance, "loss_at", lambda _, streams, begin: asked.append(begin) or 1.0)
    distance.main(str(text), str(checkpoint))
    stood = load_model(checkpoint)[1].updates * 8
    assert asked == [stood - 8, stood, stood + 640]
    assert capsys.readouterr().out == "model -8 1.000\nmodel +0 1.000\nmodel +640 1.000\n"


def test_a_few_updates_more_begin_with_the_model_of_the_file(trained, capsys, monkeypatch):
    text, checkpoint = trained
    slower = script("slower")
    for name, value in {"UPDATES": 4, "BETWEEN": 2, "BYTES": 500}.items():
        monkeypatch.setattr(slower, name, value)
    slower.main(str(text), str(checkpoint))
    lines = capsys.readouterr().out.splitlines()
    assert [re.match(r"model (\d+): training ", line)[1] for line in lines] == ["0", "2", "4"]
    losses = [float(line.split()[-1]) for line in lines]
    validation = read_corpus(text, 0.95).validation
    as_shipped = evaluate(load_model(checkpoint)[0], validation, 500).nats_per_byte
    assert losses[0] == pytest.approx(as_shipped, abs=1e-3)
    assert len(set(losses)) == 3
