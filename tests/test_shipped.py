"""What is shipped in checkpoints/: true about itself, and comparable."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from dashboard.screens.curves.runs import settings_without_seed
from gridlstm.checkpoint import load_model, read_metadata
from gridlstm.corpus import byte_entropy, read_corpus
from gridlstm.curves import read_curve, read_published
from gridlstm.evaluation import evaluate
from gridlstm.training.presets import PRESETS

FOLDER = Path(__file__).parents[1] / "checkpoints"
NAMES = ("grid-3", "grid-6", "stacked-3", "stacked-6")
KERNEL = tuple(f"kernel-{name}" for name in NAMES)
COOLED, COOLED_KERNEL = (tuple(f"cooled-{name}" for name in names) for names in (NAMES, KERNEL))


@pytest.fixture(scope="module")
def corpus():
    return read_corpus(FOLDER / "data" / "wiki-markup.txt.xz", 0.95)


@pytest.mark.parametrize("name", [*NAMES, *COOLED])
def test_a_model_is_trained_on_the_shipped_data(name, corpus):
    metadata = read_metadata(FOLDER / f"{name}.safetensors")
    assert metadata.data.sha256 == corpus.sha256
    assert metadata.data.bytes == len(corpus.data)
    assert metadata.data.train_fraction == corpus.train_fraction
    assert metadata.data.byte_entropy == pytest.approx(byte_entropy(corpus.validation))
    *_, architecture, layers = name.split("-")
    assert metadata.model.architecture == architecture
    assert metadata.model.layers == int(layers)


MATCHED = [path.stem for path in sorted(FOLDER.glob("matched-*.safetensors"))]


def test_some_are_matched():
    assert len(MATCHED) >= 4


@pytest.mark.parametrize("name", MATCHED)
def test_the_matched_differ_in_the_architecture_alone(name):
    """In parameters within 5 %, in data, bytes, batch, seed and settings not at all; but what is
    named so has another seed."""
    preset, *seed = name.split("-seed-")
    metadata = read_metadata(FOLDER / f"{name}.safetensors")
    four = read_metadata(FOLDER / "stacked-3.safetensors")
    assert metadata.model == PRESETS[preset].model
    assert abs(metadata.model.parameters / four.model.parameters - 1) < 0.05
    assert metadata.data == four.data
    may_differ = {"precision", "bytes", "task", "digits"}
    if seed:
        may_differ.add("seed")
        assert metadata.training["seed"] == int(seed[0])
    for setting, value in four.training.items():
        assert setting in may_differ or metadata.training[setting] == value, setting
    curve = read_curve(FOLDER / f"{name}.csv")
    assert len(curve) >= 20
    assert curve["bytes"].iloc[-1] == -(-10_000_000 // 2048) * 2048
    assert (FOLDER / f"{name}.safetensors").stat().st_size < 8_000_000


@pytest.mark.parametrize(
    "names", [NAMES, COOLED, KERNEL, COOLED_KERNEL], ids=lambda names: names[0]
)
def test_the_four_are_comparable(names):
    models = [read_metadata(FOLDER / f"{name}.safetensors") for name in names]
    curves = [read_curve(FOLDER / f"{name}.csv") for name in names]
    assert len({metadata.model.units for metadata in models}) == 1
    assert len({metadata.model.dropout for metadata in models}) == 1
    settings = [{**metadata.training, "begun_from": None} for metadata in models]
    assert all(own == settings[0] for own in settings)
    assert len({curve["bytes"].iloc[-1] for curve in curves}) == 1


@pytest.mark.parametrize("name", [*NAMES, *KERNEL])
def test_a_cooled_model_goes_on_from_the_one_of_its_name(name):
    before = read_metadata(FOLDER / f"{name}.safetensors")
    cooled = read_metadata(FOLDER / f"cooled-{name}.safetensors")
    assert cooled.training["begun_from"] == f"{name}.safetensors"
    assert cooled.model == before.model and cooled.data == before.data
    curve, past = (read_curve(FOLDER / f"{stem}.csv") for stem in (f"cooled-{name}", name))
    past = past[past["update"] <= before.updates]
    pd.testing.assert_frame_equal(curve[: len(past)], past)
    assert curve["learning_rate"].iloc[-1] < 0.01 * before.training["learning_rate"]
    assert cooled.validation_loss < before.validation_loss


OTHER_SEEDS = [path.stem for path in sorted(FOLDER.glob("cooled-*-seed-*.safetensors"))]


@pytest.mark.parametrize("name", OTHER_SEEDS)
def test_another_seed_of_a_cooled_model_differs_in_its_seed_alone(name):
    first, seed = name.split("-seed-")
    one, other = (read_metadata(FOLDER / f"{stem}.safetensors") for stem in (first, name))
    assert other.model == one.model and other.data == one.data
    assert settings_without_seed(other.training) == settings_without_seed(one.training)
    assert other.training["seed"] == int(seed) != one.training["seed"]
    assert other.validation_bytes == one.validation_bytes
    curves = [read_curve(FOLDER / f"{stem}.csv") for stem in (first, name)]
    assert curves[0]["bytes"].iloc[-1] == curves[1]["bytes"].iloc[-1]


def test_there_are_other_seeds():
    assert len(OTHER_SEEDS) >= 3


def stated_and_measured(name, corpus, max_bytes=None) -> tuple[float, float]:
    """The loss of the weights by the curve, and measured here, on as many bytes unless fewer."""
    model, metadata = load_model(FOLDER / f"{name}.safetensors")
    curve = read_curve(FOLDER / f"{name}.csv")
    assert np.diff(curve["update"]).min() > 0
    stated = curve.loc[curve["update"] == metadata.updates, "val_loss"].item()
    assert stated == curve["val_loss"].min()
    max_bytes = max_bytes or metadata.training["validation_bytes"]
    return stated, evaluate(model, corpus.validation, max_bytes).nats_per_byte


@pytest.mark.parametrize("name", NAMES)
def test_a_curve_states_what_the_weights_give(name, corpus):
    stated, measured = stated_and_measured(name, corpus)
    assert measured == pytest.approx(stated, rel=0.005)


@pytest.mark.parametrize("name", [*MATCHED, *COOLED])
def test_a_model_is_that_of_its_curve(name, corpus):
    """On an eighth of the bytes, which takes seconds less for each and scatters by some percent."""
    stated, measured = stated_and_measured(name, corpus, 8192)
    assert measured == pytest.approx(stated, rel=0.05)


def test_the_stated_loss_is_that_of_the_whole_validation_part(corpus):
    model, metadata = load_model(FOLDER / "stacked-3.safetensors")
    measured = evaluate(model, corpus.validation)
    assert measured.bytes == metadata.validation_bytes
    assert measured.nats_per_byte == pytest.approx(metadata.validation_loss, rel=0.005)


def test_the_published_curves_are_the_experiment_s():
    curves = read_published(FOLDER / "published_curves.csv")
    assert set(curves) == set(NAMES)
    lowest = min(curve["val_loss"].min() for curve in curves.values())
    assert lowest == curves["grid-6"]["val_loss"].min() == pytest.approx(1.084, abs=0.004)
