"""Real models of other programs: their reference losses and cells, from their files alone."""

import json
import re
import time
import tracemalloc

import foreign_models
import numpy as np
import pytest
from foreign_models import CELLS, NAMES, needs_models
from foreign_reference import run

from gridlstm import commands
from gridlstm.checkpoint import load_model, write_checkpoint
from gridlstm.importing import ForeignModelError, read_model, to_model
from gridlstm.sampling import sample
from gridlstm.trace import trace

KINDS = {"c": "cell", "h": "hidden"}
MODELS = NAMES or [pytest.param(None, marks=needs_models)]


@pytest.fixture(scope="module", params=MODELS)
def name(request):
    return request.param


@pytest.fixture(scope="module")
def model(name):
    return read_model(foreign_models.files(name))


@pytest.fixture(scope="module")
def reading(model, name):
    return run(model, foreign_models.sample(name))


def test_a_model_is_recognised(model, name):
    cell, layers, units = foreign_models.layers_and_units(name)
    assert (model.cell, len(model.layers), model.units) == (cell, layers, units)
    size, several = (
        re.match(r"(\d+)", foreign_models.LOSSES[name][4]),
        foreign_models.LOSSES[name][5],
    )
    assert model.vocabulary_size == int(size[1])
    assert model.vocabulary.of_bytes == ("bytes" in foreign_models.LOSSES[name][4])
    assert model.vocabulary.of_bytes or model.vocabulary.several_bytes == int(several)
    width = re.match(r"embedding (\d+)", foreign_models.LOSSES[name][3])
    assert (model.embedding is None) == (width is None)
    assert width is None or model.embedding.shape[1] == int(width[1])
    assert not model.questions


def test_its_loss_is_that_of_its_program(reading, name):
    assert reading.loss == pytest.approx(foreign_models.loss(name), abs=1e-5)


def test_its_cells_are_those_of_its_program(reading, name):
    own = [row for row in CELLS if row[0] == name]
    assert own
    for _, what, layer, unit, position, _, value in own:
        found = getattr(reading, KINDS[what])[int(layer), int(position), int(unit)]
        assert found == pytest.approx(float(value), abs=1e-5)


def test_reading_takes_no_half_second(name):
    files = foreign_models.files(name)
    seconds = []
    for _ in range(3):
        begin = time.process_time()
        read_model(files)
        seconds.append(time.process_time() - begin)
    assert min(seconds) < 0.5


def test_memory_is_no_more_than_three_times_the_files(name):
    files = foreign_models.files(name)
    tracemalloc.start()
    try:
        read_model(files)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 3 * sum(file.stat().st_size for file in files)


def test_a_real_file_cut_short_is_refused(name):
    path, *beside = foreign_models.files(name)
    data = path.read_bytes()
    for part in (1, 10, 25, 40, 49):
        with pytest.raises(ForeignModelError):
            read_model([(path.name, data[: len(data) * part // 50]), *beside])


# -- Through a checkpoint of ours ------------------------------------------------------------------


@pytest.fixture(scope="module")
def saved(model, tmp_path_factory):
    made, metadata = to_model(model, "a test")
    path = tmp_path_factory.mktemp("saved") / "model.safetensors"
    write_checkpoint(path, {n: t.numpy() for n, t in made.to_tensors().items()}, metadata)
    return path


def test_a_checkpoint_of_it_gives_its_loss_and_cells(saved, name):
    loaded, about = load_model(saved)
    text = foreign_models.sample(name)
    traced = trace(loaded, text, dtype=np.float32)
    assert traced.text.is_exact and about.vocabulary == loaded.vocabulary
    assert traced.nats_per_token == pytest.approx(foreign_models.loss(name), abs=1e-4)
    for _, what, layer, unit, position, _, value in (row for row in CELLS if row[0] == name):
        found = traced.values[f"time.{KINDS[what]}"][int(layer), int(position), int(unit)]
        assert found == pytest.approx(float(value), abs=1e-4)


def test_a_checkpoint_of_it_is_evaluated_to_its_loss(saved, name, capsys):
    text = (foreign_models.FOLDER / name).parent / "sample.txt"
    assert commands.run(["evaluate", str(saved), str(text)]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed["nats_per_character"] == pytest.approx(foreign_models.loss(name), abs=1e-4)
    assert printed["uniform"] == pytest.approx(float(foreign_models.LOSSES[name][6]), abs=1e-5)
    assert printed["characters"] == int(foreign_models.LOSSES[name][7]) - 1
    text = foreign_models.sample(name)
    nats = printed["nats_per_character"] * printed["characters"]
    assert printed["nats_per_byte"] * len(text[1:].encode()) == pytest.approx(nats)
    assert not any(printed[kind] for kind in ("unknown", "skipped", "lowered"))


def test_its_files_may_be_given_to_every_command(name, capsys):
    path = foreign_models.FOLDER / name
    assert commands.run(["evaluate", str(path), str(path.parent / "sample.txt")]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed["nats_per_character"] == pytest.approx(foreign_models.loss(name), abs=1e-4)


def test_it_writes_its_own_characters_alone(saved):
    loaded, _ = load_model(saved)
    begin = loaded.vocabulary.bytes_of(np.flatnonzero(loaded.vocabulary.writable)[-1])
    written = list(sample(loaded, begin, 200, temperature=30.0))
    assert loaded.vocabulary.writable[written].all() and len(set(written)) > 20
