"""Real models of other programs: their reference losses and cells, from their files alone."""

import re
import time

import foreign_models
import pytest
from foreign_models import CELLS, NAMES, needs_models
from foreign_reference import run

from gridlstm.importing.reading import read_model

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
    assert model.tokens.of_bytes == ("bytes" in foreign_models.LOSSES[name][4])
    assert model.tokens.of_bytes or model.tokens.several_bytes == int(several)
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
