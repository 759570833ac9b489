"""Real models of other programs: their reference losses and cells, from their files alone."""

import re
import time
import tracemalloc

import foreign_models
import pytest
from foreign_models import CELLS, NAMES, needs_models
from foreign_reference import run

from gridlstm.importing import ForeignModelError, read_model

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
