"""Small files that other programs wrote, against what these programs themselves predict.

The files, the programs that wrote them and their versions are in `data/foreign`.
"""

import json
from pathlib import Path

import numpy as np
import pytest
from foreign_reference import run_indices

from gridlstm.importing.errors import ForeignModelError
from gridlstm.importing.reading import read_model

FOLDER = Path(__file__).parent / "data" / "foreign"
EXPECTED = {
    name: entry
    for file in sorted(FOLDER.glob("*.json"))
    for name, entry in json.loads(file.read_text())["models"].items()
}
REFUSED = {
    "keras3-bidirectional.keras": "bidirectional",
    "keras3-masked.keras": "mask_zero",
    "keras3-int8.keras": "quantised",
}
ANSWERS = {"keras2-lstm.weights.h5": ("gates",), "keras3-lstm.weights.h5": ("gates",)}
ANSWERS["keras3-gru.weights.h5"] = ("gates",)


def read(name: str, **options):
    path = FOLDER / name
    beside = []
    if path.parent != FOLDER:
        beside = [file for file in path.parent.iterdir() if file not in (path,)]
    return read_model([path, *beside], **options)


def probabilities(model, indices) -> np.ndarray:
    logits = run_indices(model, indices).logits
    probabilities = np.exp(logits - logits.max(1, keepdims=True))
    return probabilities / probabilities.sum(1, keepdims=True)


@pytest.mark.parametrize("name", [name for name in EXPECTED if name not in REFUSED])
def test_a_file_predicts_what_its_program_does(name):
    model, entry = read(name), EXPECTED[name]
    found = probabilities(model, entry["indices"])
    np.testing.assert_allclose(found, entry["probabilities"], atol=2e-6)


@pytest.mark.parametrize("name", [name for name in EXPECTED if name not in REFUSED])
def test_what_the_file_does_not_say_is_asked(name):
    keys = {question.key for question in read(name).questions} - {"vocabulary"}
    assert keys == set(ANSWERS.get(name, ()))


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_read_is_refused_by_name(name):
    with pytest.raises(ForeignModelError, match=REFUSED[name]):
        read(name)


def test_an_answer_changes_what_is_read():
    model = read("keras3-lstm.weights.h5", answers={"gates": "hard_sigmoid_6"})
    assert model.gates == "hard_sigmoid_6"
    assert [question.key for question in model.questions] == ["vocabulary"]


def test_hard_sigmoid_is_that_of_the_version():
    assert read("keras2-lstm.h5").gates == "hard_sigmoid"
    assert read("keras3-lstm-hard.h5").gates == "hard_sigmoid_6"


def test_layers_are_in_the_order_of_the_graph():
    model = read("keras3-functional.keras")
    assert [layer.time.weight.shape for layer in model.layers] == [(20, 8), (20, 10)]
