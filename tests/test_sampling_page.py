"""The page on which a model writes: what it writes and shows, against the library alone."""

import threading
import time

import app_checkpoints
import numpy as np
import pytest
from app_pages import captions, checked, drawn, go, press, said, visit  # noqa: F401

from dashboard.screens.write.writing import text_of
from dashboard.session import session
from gridlstm.checkpoint import load_model
from gridlstm.sampling import Choice, write
from gridlstm.text import REPLACEMENT
from gridlstm.trace import trace

PAGE = "write"
PRIME = "Grüße [http://"
LINK = {"sample": "code.txt", "model": "grid-3", "layer": "2", "unit": "3"}


def begun(visit, prime=PRIME, length=40, **changed):  # noqa: F811
    """A page on which a model has begun to write."""
    app = visit(PAGE, **LINK | {"quantity": "time.cell"} | changed)
    app.text_area(key="prime").set_value(prime)
    app.number_input(key="written_length").set_value(length)
    return press(checked(app.run()), "Write")


def finished(app):
    """The page once the model has written all; each run of the script writes a slice."""
    for _ in range(100):
        if not app.session_state["writing"].going:
            return checked(app.run())
        checked(app.run())
    raise AssertionError("it never came to an end")


def expected(path, length=40, prime=PRIME, seed=1, **choice) -> bytes:
    model = load_model(path)[0]
    options = {"choice": Choice(**{"temperature": 0.8} | choice), "seed": seed}
    return bytes(step.token for step in write(model, prime.encode(), length, **options))


def is_disabled(app, label: str) -> bool:
    return next(button for button in app.button if button.label == label).disabled


def assert_shows(
    app, path, data: bytes, quantity="time.cell", layer=2, unit=3, *, whole=True
) -> None:
    """The text, and the unit's values on what the model has written of it."""
    shown, text = drawn(app, "written"), text_of(data, whole=whole)
    assert shown["characters"] == text.characters
    assert shown["chosenRow"] == layer - 1
    given = text.last_byte < len(PRIME.encode())
    values = trace(load_model(path)[0], text.data, [quantity], dtype=np.float32).values[quantity]
    values = values[:, text.last_byte, unit]
    values = np.tanh(values) if quantity.endswith(".cell") else values
    assert np.isnan(shown["values"][:, given]).all()
    np.testing.assert_allclose(shown["values"][:, ~given], values[:, ~given], atol=2e-3)


def test_it_writes_what_the_library_does_and_another_cell_recolours_it(visit, shipped):  # noqa: F811
    path = shipped / "grid-3.safetensors"
    app = finished(begun(visit))
    data = PRIME.encode() + expected(path)
    assert said(app) == []
    assert_shows(app, path, data)
    assert "40 of 40 bytes" in captions(app) and "temperature 0.8 · seed 1" in captions(app)
    writing = app.session_state["writing"]
    checked(app.number_input(key="unit").set_value(5).run())
    assert_shows(app, path, data, unit=5)
    checked(app.selectbox(key="quantity").set_value("depth.forget").run())
    assert_shows(app, path, data, "depth.forget", unit=5)
    assert app.session_state["writing"] is writing and bytes(writing.data) == data


def test_the_settings_are_followed(visit, shipped):  # noqa: F811
    app = visit(PAGE, **LINK)
    app.text_area(key="prime").set_value(PRIME)
    app.number_input(key="written_length").set_value(30)
    app.slider(key="temperature").set_value(1.5)
    app.slider(key="top_p").set_value(0.9)
    app.number_input(key="top_k").set_value(20)
    app.number_input(key="sample_seed").set_value(4)
    app = finished(press(checked(app.run()), "Write"))
    path = shipped / "grid-3.safetensors"
    data = expected(path, 30, seed=4, temperature=1.5, top_k=20, top_p=0.9)
    assert bytes(app.session_state["writing"].data) == PRIME.encode() + data
    assert "temperature 1.5 · top-k 20 · top-p 0.9 · seed 4" in captions(app)


@pytest.mark.parametrize("quantity", ["time.cell", "depth.forget"])
def test_while_it_writes_each_character_has_its_value(visit, shipped, monkeypatch, quantity):  # noqa: F811
    """Also where another unit is chosen meanwhile; and it goes on where it was."""
    path = shipped / "grid-3.safetensors"
    monkeypatch.setattr("dashboard.screens.write.writing.Writing.advance", by_bytes(7))
    app = begun(visit, quantity=quantity)
    data = PRIME.encode() + expected(path)
    start = len(PRIME.encode())
    checked(app.run())
    assert_shows(app, path, data[: start + 7], quantity, whole=False)
    checked(app.number_input(key="unit").set_value(5).run())
    assert_shows(app, path, data[: start + 14], quantity, unit=5, whole=False)
    assert "**14 of 40 bytes** so far" in captions(app)
    checked(app.run())
    assert_shows(app, path, data[: start + 21], quantity, unit=5, whole=False)
    assert_shows(finished(app), path, data, quantity, unit=5)


def by_bytes(count: int):
    """Slices of so many bytes, not of so many seconds."""

    def advance(writing, seconds: float) -> None:
        for _, step in zip(range(count), writing._steps, strict=False):
            writing._keep(step)
        writing.going = not writing.is_done

    return advance


def test_what_is_written_stays_when_it_is_stopped_and_it_can_go_on(visit, shipped, monkeypatch):  # noqa: F811
    path = shipped / "grid-3.safetensors"
    monkeypatch.setattr("dashboard.screens.write.writing.Writing.advance", by_bytes(7))
    app = begun(visit)
    assert not is_disabled(app, "Stop")
    press(app, "Stop")
    assert is_disabled(app, "Stop")
    data = PRIME.encode() + expected(path)
    start = len(PRIME.encode())
    for _ in range(3):
        assert_shows(app, path, data[: start + 7])
        checked(app.run())
    press(app, "Go on")
    assert_shows(finished(app), path, data)
    assert "Go on" not in [button.label for button in app.button]


def test_once_stopped_not_a_byte_is_added_by_a_slice_in_the_making(visit, shipped):  # noqa: F811
    """As when Stop is clicked: the page runs anew beside the thread that still writes."""
    writing = begun(visit, length=5000).session_state["writing"]
    with writing._one_at_a_time:
        stopping = threading.Thread(target=writing.set_running, args=[False])
        stopping.start()
        written = writing.written
        writing._advance(time.perf_counter())
        assert writing.written == written + 1 and writing.going
    stopping.join()
    stopped_at = writing.written
    writing.advance(0.05)
    assert not writing.going and writing.written == stopped_at


def test_it_becomes_the_text_of_the_other_pages(visit, shipped):  # noqa: F811
    app = finished(begun(visit))
    characters = drawn(app, "written")["characters"]
    press(app, "Read this text on the other pages")
    assert is_disabled(app, "Read this text on the other pages")
    go(app, "cells")
    assert drawn(app)["characters"] == characters
    assert "Written by Grid LSTM, 3 layers, 8 units" in captions(app)
    assert drawn(go(app, PAGE), "written")["characters"] == characters


def test_another_model_stops_it_and_reads_it(visit, shipped):  # noqa: F811
    app = begun(visit)
    data = bytes(app.session_state["writing"].data)
    checked(app.selectbox(key="model").set_value("stacked-2").run())
    assert not app.session_state["writing"].going
    assert_shows(app, shipped / "stacked-2.safetensors", data)
    assert "The colours are of Stacked LSTM" in captions(app)


def test_nothing_to_begin_with_is_a_sentence_and_keeps_the_text_before(visit):  # noqa: F811
    app = finished(begun(visit))
    before = drawn(app, "written")["characters"]
    app.text_area(key="prime").set_value("")
    app = press(app, "Write")
    assert said(app) == ["Give the model at least one character to begin with."]
    assert drawn(app, "written")["characters"] == before


def test_a_prime_of_many_bytes_is_cut_and_said(visit):  # noqa: F811
    app = begun(visit, prime="😀" * 400)
    assert drawn(app, "written")["characters"].startswith("😀" * 250)
    assert len(app.session_state["writing"].prime) == 1000
    assert "The text has 1,600 bytes; the first 1,000 are shown." in captions(app)


def test_a_model_whose_chances_are_not_finite_is_a_sentence(visit, folder):  # noqa: F811
    from gridlstm.checkpoint import write_checkpoint

    tensors = app_checkpoints.random_tensors(app_checkpoints.STACKED)
    tensors["decoder.bias"] = np.full(256, 3.4e38, np.float32)
    tensors["decoder.weight"] = np.full((256, 8), 3.4e38, np.float32)
    tensors["decoder.weight"][::2] *= -1
    path = folder / "huge.safetensors"
    write_checkpoint(path, tensors, app_checkpoints.about(app_checkpoints.STACKED))
    app = begun(visit, folder=folder, model="huge")
    assert any("not finite numbers" in sentence for sentence in said(app))
    assert not app.session_state["writing"].going


# -- The address ----------------------------------------------------------------------------------

SETTINGS = {
    "prime": "== Grüße ==\n<b>&?#[http://",
    "temperature": "1.15",
    "top_p": "0.9",
    "top_k": "20",
    "written_length": "30",
    "sample_seed": "4",
}


def test_a_link_opens_the_settings_it_names(visit, shipped):  # noqa: F811
    app = visit(PAGE, **LINK | SETTINGS)
    assert said(app) == []
    app = finished(press(app, "Write"))
    options = {"seed": 4, "temperature": 1.15, "top_k": 20, "top_p": 0.9}
    prime = SETTINGS["prime"]
    written = expected(shipped / "grid-3.safetensors", 30, prime=prime, **options)
    assert bytes(app.session_state["writing"].data) == prime.encode() + written
    for page in (PAGE, "cells", PAGE):
        go(app, page)
        assert SETTINGS.items() <= app.query_params.items(), page
    assert app.slider(key="temperature").value == 1.15
    assert app.text_area(key="prime").value == prime


def test_the_address_names_what_is_not_as_at_the_start(visit):  # noqa: F811
    app = visit(PAGE, **LINK)
    assert not SETTINGS.keys() & dict(app.query_params).keys()
    app.text_area(key="prime").set_value(SETTINGS["prime"])
    app.slider(key="top_p").set_value(0.9)
    checked(app.number_input(key="sample_seed").set_value(4).run())
    named = {key: SETTINGS[key] for key in ("prime", "top_p", "sample_seed")}
    assert SETTINGS.keys() & dict(app.query_params).keys() == named.keys()
    assert named.items() <= app.query_params.items()
    app.slider(key="top_p").set_value(1.0)
    checked(app.number_input(key="sample_seed").set_value(1).run())
    assert SETTINGS.keys() & dict(app.query_params).keys() == {"prime"}


def test_a_share_is_named_as_it_is_shown(visit):  # noqa: F811
    app = visit(PAGE, **LINK, temperature="0.8500000000000001")
    assert app.query_params["temperature"] == "0.85"


@pytest.mark.parametrize(
    ("prime", "is_named"),
    [("x" * 1000, True), ("é" * 166, True), ("é" * 167, False), ("&" * 334, False), ("", True)],
    ids=["1000 x", "166 é", "167 é", "334 &", "none"],
)
def test_a_prime_that_makes_the_link_long_is_left_out(visit, prime, is_named):  # noqa: F811
    app = visit(PAGE, **LINK, prime="a short one")
    assert app.query_params["prime"] == "a short one"
    checked(app.text_area(key="prime").set_value(prime).run())
    assert app.query_params.get("prime") == (prime if is_named else None)
    assert app.text_area(key="prime").value == prime


HOSTILE = {
    "prime": ["x" * 1001, "😀" * 1001],
    "temperature": ["nan", "inf", "-0.1", "2.01", "1e999", "-inf", "hot", ""],
    "top_p": ["nan", "0", "0.04", "1.0001", "-1", "<b>"],
    "top_k": ["0", "257", "-1", "9" * 5000, "9" * 4000, "1.5", "1e2"],
    "written_length": ["0", "5001", "-1", "9" * 4000, "a lot"],
    "sample_seed": ["-1", str(2**31 + 1), "9" * 4000, "0x1"],
}


@pytest.mark.parametrize("number", range(max(map(len, HOSTILE.values()))))
def test_a_hostile_link_opens_what_is_there_at_the_start(visit, number):  # noqa: F811
    wrong = {key: values[number % len(values)] for key, values in HOSTILE.items()}
    app = visit(PAGE, **LINK | wrong)
    assert said(app) == []
    for value in session.named():
        assert value.start is None or app.session_state[value.key] == value.start
    assert not wrong.keys() & dict(app.query_params).keys()
    app = press(app, "Write")
    assert said(app) == [] and app.session_state["writing"].length == 1000


def test_the_least_temperature_of_a_link_is_none(visit):  # noqa: F811
    """One that makes every logarithm infinite would leave no chances to draw from."""
    app = press(visit(PAGE, **LINK, temperature="1e-320", written_length="5"), "Write")
    assert said(app) == [] and app.session_state["writing"].choice.temperature == 0


# -- Bytes as a text ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "characters", "last_byte"),
    [
        (b"", "", []),
        ("aß€😀z".encode(), "aß€😀z", [0, 2, 5, 9, 10]),
        (b"a\xc3\xffb", f"a{REPLACEMENT * 2}b", [0, 1, 2, 3]),
        (b"a\xe2\x82", f"a{REPLACEMENT * 2}", [0, 1, 2]),
        ("\ufffdb".encode(), f"{REPLACEMENT}b", [2, 3]),
        (b"\xed\xa0\x80", REPLACEMENT * 3, [0, 1, 2]),
    ],
)
def test_bytes_as_a_text(data, characters, last_byte):
    text = text_of(data)
    assert (text.data, text.characters, list(text.last_byte)) == (data, characters, last_byte)


def test_a_last_character_that_is_not_whole_waits():
    text = text_of(b"a\xff\xe2\x82", whole=False)
    assert (text.data, text.characters) == (b"a\xff", f"a{REPLACEMENT}")
    assert text_of("a€".encode(), whole=False).characters == "a€"
    assert text_of(b"\xe2", whole=False).characters == ""
