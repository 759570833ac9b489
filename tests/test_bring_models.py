"""Models of other programs brought to the page Models: asked about, kept, refused in a sentence."""

import io
import json
import pickle

import numpy as np
import pytest
import torch
from app_checkpoints import ROOT
from app_pages import (  # noqa: F401
    captions,
    checked,
    go,
    paste,
    plain,
    press,
    said,
    shipped,
    upload_models,
    visit,
)
from safetensors.numpy import save
from test_import_command import CharRNN
from test_own_vocabularies import SIGNS, text_of

from dashboard.serving import loading

FOREIGN = ROOT / "tests" / "data" / "foreign"
# All of the signs, in lower case.
TRAINING_TEXT = text_of(900) + SIGNS


def state_dict(seed: int = 2) -> bytes:
    """A state dict of PyTorch's without a vocabulary, random weights over 14 tokens."""
    torch.manual_seed(seed)
    file = io.BytesIO()
    torch.save(CharRNN().state_dict(), file)
    return file.getvalue()


def answer(app, name: str, data: bytes):
    """Give a vocabulary, or the training text where that was chosen."""
    app.file_uploader[1].set_value([(name, data, "application/octet-stream")])
    return checked(app.run())


def choose_training_text(app):
    app.radio[0].set_value("The text it was trained on").run()
    return checked(app)


def brought(app):
    return app.session_state["brought_model"]


def kept(app) -> loading.ModelEntry:
    """The model in the visitor's own folder."""
    path = app.session_state["uploads"].path / f"{brought(app).title}.safetensors"
    return loading.load_model(path)


def found(app) -> dict:
    """What was recognised, by what it is."""
    return brought(app).recognised


def test_a_vocabulary_beside_it_leaves_nothing_to_ask(visit):  # noqa: F811
    vocabulary = json.dumps(list(SIGNS)).encode()
    app = paste(visit(), TRAINING_TEXT)
    app = upload_models(app, ("my.pt", state_dict()), ("chars.json", vocabulary))
    assert found(app)["Vocabulary"] == "14 characters, of which 5 need several bytes"
    assert "".join(kept(app)[0].vocabulary.tokens) == SIGNS
    assert len(app.file_uploader) == 1
    # Its bytes are let go, as nothing will be asked.
    assert brought(app).files == [] and not brought(app).asked
    labels = [metric.label for metric in app.metric]
    assert labels == ["This model", "Frequencies alone", "Knowing nothing"]
    assert float(app.metric[2].value) == pytest.approx(np.log2(14), abs=5e-4)
    # Its weights are random.
    assert any("untrained, or" in s or "is untrained" in s for s in said(app))


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("v.json", json.dumps({sign: n for n, sign in enumerate(SIGNS)}).encode()),
        ("v.pkl", pickle.dumps(list(SIGNS))),
    ],
)
def test_a_vocabulary_is_asked_for_and_taken(visit, name, data):  # noqa: F811
    app = upload_models(visit(), ("my.pt", state_dict()))
    assert brought(app).name == "" and not app.metric
    assert any("Which characters its **14 tokens** stand for" in m.value for m in app.markdown)
    app = answer(app, name, data)
    assert brought(app).name == "my (mine)"
    assert "".join(kept(app)[0].vocabulary.tokens) == SIGNS
    # Another vocabulary may still be given.
    assert brought(app).files and not app.error
    app = answer(app, name, json.dumps(list(SIGNS[::-1])).encode())
    assert "".join(kept(app)[0].vocabulary.tokens) == SIGNS[::-1]


def test_a_training_text_gives_its_characters_in_lower_case_if_asked(visit):  # noqa: F811
    app = choose_training_text(upload_models(visit(), ("my.pt", state_dict())))
    upper = "".join(c.upper() if n % 2 and c != "\n" else c for n, c in enumerate(TRAINING_TEXT))
    app = answer(app, "corpus.txt", upper.encode())
    # Too many characters, as it was put in lower case first.
    (fault,) = said(app)
    assert "14" in fault and brought(app).name == ""
    app.toggle[0].set_value(True).run()
    checked(app)
    assert "".join(kept(app)[0].vocabulary.tokens) == "".join(sorted(set(upper.lower())))
    assert not app.error


@pytest.mark.parametrize(
    "name, data",
    [
        ("v.json", b"[1, 2"),
        ("v.json", b"{}"),
        ("v.json", json.dumps(["a"] * 14).encode()),
        ("v.json", json.dumps(list(SIGNS[1:])).encode()),
        ("v.pkl", b"\x80\x04cos\nsystem\n(S'true'\ntR."),
        ("v.pkl", b""),
        ("v.png", b"\x89PNG\r\n\x1a\n" + bytes(99)),
    ],
)
def test_a_file_that_is_no_vocabulary_is_a_sentence_and_asked_again(visit, name, data):  # noqa: F811
    app = answer(upload_models(visit(), ("my.pt", state_dict())), name, data)
    (fault,) = said(app)
    assert fault.endswith(".") and "Traceback" not in fault
    assert brought(app).name == ""
    app = answer(app, "right.json", json.dumps(list(SIGNS)).encode())
    assert not app.error and brought(app).name == "my (mine)"


def test_a_training_text_of_other_characters_is_a_sentence(visit):  # noqa: F811
    app = choose_training_text(upload_models(visit(), ("my.pt", state_dict())))
    app = answer(app, "empty.txt", b"")
    assert said(app) and brought(app).name == ""
    app = answer(app, "other.txt", b"abc" * 100)
    (fault,) = said(app)
    assert "3" in fault and "14" in fault


def test_what_a_keras_file_does_not_say_is_asked(visit):  # noqa: F811
    weights = (FOREIGN / "keras3-gru.weights.h5").read_bytes()
    app = upload_models(visit(), ("keras.weights.h5", weights))
    questions = {q.key: q for q in brought(app).asked if q.choices}
    assert questions and len(app.selectbox) >= len(questions)
    key, question = next(iter(questions.items()))
    box = next(box for box in app.selectbox if plain(box.label) == question.text)
    other = next(c for c in question.choices if c != question.default)
    box.set_value(other).run()
    checked(app)
    assert brought(app).answers[key] == other


@pytest.mark.parametrize(
    "name, data",
    [
        ("picture.png", b"\x89PNG\r\n\x1a\n" + bytes(500)),
        ("letter.docx", b"PK\x03\x04" + bytes(100)),
        ("empty.pt", b""),
        ("zeros.t7", bytes(100_000)),
        ("../../<b>x</b>.pt", b"no model"),
        ("other.safetensors", save({"a": np.zeros((3, 3), np.float32)})),
    ],
)
def test_files_that_are_no_model_are_one_sentence(visit, name, data):  # noqa: F811
    app = upload_models(visit(), (name, data))
    (fault,) = said(app)
    assert fault.startswith(name) and fault.endswith(".")
    assert "brought_model" not in app.session_state


def test_models_of_one_name_do_not_take_each_others_place(visit):  # noqa: F811
    vocabulary = "chars.json", json.dumps(list(SIGNS)).encode()
    app = upload_models(visit(), ("my.pt", state_dict(2)), vocabulary)
    app = upload_models(app, ("my.pt", state_dict(3)), vocabulary)
    kept_files = [name for name, _ in sorted(app.session_state["uploads"].sizes().items())]
    assert kept_files == ["my 2.safetensors", "my.safetensors"]


@pytest.mark.parametrize(
    ("name", "title"),
    [
        ("run.state.pt", "run.state model"),
        ("m-00001-of-00002.pt", "m-00001-of-00002 model"),
        ("..pt", "model"),
        ("x" * 300 + ".pt", "x" * 60),
        ("<i>&.pt", "_i__"),
    ],
)
def test_an_odd_name_becomes_a_title(visit, name, title):  # noqa: F811
    vocabulary = "chars.json", json.dumps(list(SIGNS)).encode()
    app = upload_models(visit(), (name, state_dict()), vocabulary)
    assert brought(app).title == title and brought(app).name == f"{title} (mine)"


def test_it_may_be_taken_away_while_it_is_shown(visit):  # noqa: F811
    app = upload_models(visit(), ("my.pt", state_dict()))
    app = answer(app, "v.json", json.dumps(list(SIGNS)).encode())
    press(app, "Take away")
    checked(app.run())
    assert not app.metric and not app.error
    assert not any("Recognised" in h.value for h in app.subheader)


@pytest.mark.parametrize("page", ["cells", "gates", "find", "provenance", "switch_off", "write"])
def test_a_text_of_which_it_knows_nothing_is_a_sentence_on_every_page(visit, page):  # noqa: F811
    vocabulary = "chars.json", json.dumps(list(SIGNS)).encode()
    app = paste(visit(), "XYZ12345XYZ")
    app = upload_models(app, ("my.pt", state_dict()), vocabulary)
    app = go(app, page)
    app.selectbox(key="model").set_value("my (mine)")
    app = checked(app.run())
    # A property that the text does not have is said, too.
    faults = [s for s in said(app) if not s.startswith("The property")]
    assert all("know" in s and s.endswith(".") for s in faults) and len(faults) <= 1, faults
    assert faults or page == "find"


def test_our_own_files_are_told_from_other_programs():
    checkpoint = next((ROOT / "checkpoints").glob("*.safetensors")).read_bytes()
    assert loading.is_own_upload("a.safetensors", checkpoint)
    # A cut one is told to be no whole checkpoint, rather than no model of anyone's.
    assert loading.is_own_upload("A.SAFETENSORS", checkpoint[:40])
    assert loading.is_own_upload("curve.CSV", b"")
    assert loading.is_own_upload("m.safetensors.index.json", b"{}")
    assert loading.is_own_upload("m-00001-of-00002.safetensors", b"")
    assert not loading.is_own_upload("a.safetensors", save({"w": np.zeros(3, np.float32)}))
    assert not loading.is_own_upload("model.json", b"{}")
    assert not loading.is_own_upload("a.pt", checkpoint)
