"""Every page, driven without a browser: what it shows, and what it makes of bad input."""

import errno
import json
import math
import os
import re
import subprocess
import sys
from types import SimpleNamespace

import app_checkpoints
import numpy as np
import pandas as pd
import pytest
import streamlit
from app_checkpoints import BROKEN, BROKEN_CURVES, GRID, NOT_FINITE, ROOT, STACKED
from app_pages import (
    APP,
    captions,
    checked,
    chosen_cell,
    drawn,
    figures,
    go,
    mark,
    paste,
    plain,
    press,
    said,
    traced,
    upload_models,
    upload_text,
)
from streamlit.runtime.memory_uploaded_file_manager import MemoryUploadedFileManager
from streamlit.testing.v1 import AppTest

from dashboard import words
from dashboard.charts import cells
from dashboard.screens import choices, first_look, reading
from dashboard.serving import loading
from dashboard.serving.shelf import Shelf, shelf
from dashboard.session import Cell, session
from gridlstm.analysis.held_out import find_cells
from gridlstm.analysis.orders import ORDERS
from gridlstm.analysis.probe import probe
from gridlstm.analysis.properties import inside_url
from gridlstm.analysis.ranking import rank_units
from gridlstm.analysis.selection import SelectionError, similar_places, units_on
from gridlstm.checkpoint import load_model, read_metadata, split
from gridlstm.errors import UserError
from gridlstm.progress import Cancelled
from gridlstm.text import from_bytes, from_string
from gridlstm.trace import trace

PAGES = ("text", "cells", "gates", "find", "provenance", "switch_off", "curves", "models")
PAGES_WITH_MODELS = ("cells", "gates", "find", "provenance", "switch_off")
SHORT = "See http://example.org/a for more."
HARD_TEXTS = {
    "one character": "x",
    "one of four bytes": "\U0001f600",
    "only a line end": "\n",
    "control characters": "a\0b\x01\x02\x1b[31mred\x7f\r\n\t\x85\u2028end",
    "right to left and emoji": "שלום עולם مرحبا 🇩🇪 👨‍👩‍👧 e\u0301 \u202eabc\u202c",
    "a script": "<script>alert(1)</script><img src=x onerror=alert(1)> http://e.org/<b>",
    "markdown": "# a *b* ![c](http://example.org/d.png) $e$ :red[f]",
    "all one address": "http://example.org/",
    "beyond Unicode 16": "\U0010ffff\ufffe\ufeff",
}


# -- Pages ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("page", PAGES)
def test_every_page_opens_without_a_complaint(visit, page):
    app = visit(page)
    assert len(app.title) == 1
    assert said(app) == []


def test_the_browser_draws_the_text_before_the_first_chart_of_a_visit(visit, monkeypatch):
    waited = []
    clock = SimpleNamespace(sleep=lambda seconds: waited.append(seconds))
    monkeypatch.setattr(reading, "time", clock)
    app = visit("cells")
    assert waited == [reading.SECONDS_TO_DRAW]
    checked(app.number_input(key="unit").set_value(1).run())
    go(go(app, "text"), "cells")
    assert len(waited) == 1
    visit("cells")
    assert len(waited) == 2


def test_pages_that_need_no_model_do_not_wait_for_torch(tmp_path):
    """On the page Text it is imported meanwhile, for the page that comes next."""
    script = f"""
import sys, threading
from streamlit.testing.v1 import AppTest
from dashboard.serving import loading
meanwhile, asked = loading.import_libraries_in_background, []
loading.import_libraries_in_background = lambda: asked.append(True)
app = AppTest.from_file({str(APP)!r}, default_timeout=60).run()
for page in ("models", "curves", "text"):
    app.switch_page(f"screens/{{page}}/view.py").run()
    assert not app.exception and len(app.title) == 1
    assert "torch" not in sys.modules, page
assert asked
before = set(threading.enumerate())
meanwhile(), meanwhile()
(importing,) = set(threading.enumerate()) - before
importing.join(60)
assert "gridlstm.trace" in sys.modules
app.switch_page("screens/cells/view.py").run()
assert not app.exception and "torch" in sys.modules
"""
    app_checkpoints.good_folder(tmp_path)
    environment = {"GRIDLSTM_CHECKPOINTS": str(tmp_path), "PYTHONPATH": str(ROOT)}
    subprocess.run(
        [sys.executable, "-c", script], env=os.environ | environment, check=True, timeout=120
    )


def test_the_first_heading_does_not_wait_for_what_is_slow_to_import(tmp_path):
    script = f"""
import sys
import streamlit as st
from streamlit.testing.v1 import AppTest
from dashboard.screens import first_look
from dashboard.session import Cell
first_look.FIRST = first_look.View("wiki-urls.txt", "grid-3", Cell("time.cell", 2, 3))
draw, slow = st.title, {{}}
def title(text):
    slow[text] = {{"pandas", "scipy", "torch"}} & set(sys.modules)
    return draw(text)
st.title = title
app = AppTest.from_file({str(APP)!r}, default_timeout=60).run()
assert not app.exception and slow == {{"Cells": set()}}, slow
"""
    app_checkpoints.good_folder(tmp_path)
    environment = {"GRIDLSTM_CHECKPOINTS": str(tmp_path), "PYTHONPATH": str(ROOT)}
    subprocess.run(
        [sys.executable, "-c", script], env=os.environ | environment, check=True, timeout=120
    )


def test_every_sample_can_be_chosen_and_is_shown(visit):
    app = visit()
    for file, sample in choices.samples().items():
        checked(app.selectbox(key="sample_choice").set_value(file).run())
        assert app.header[0].value == words.verbatim(sample.title)
        shown = (choices.SAMPLES / file).read_text(encoding="utf-8")
        assert app.code[0].value.strip() == shown[:4000].strip()
        assert app.query_params["sample"] == file


# -- Texts ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("characters", HARD_TEXTS.values(), ids=HARD_TEXTS.keys())
def test_any_text_goes_through_every_page(visit, shipped, characters):
    app = paste(visit(), characters)
    assert said(app) == []
    for below in ("layers", "units", "surprise"):
        app.session_state["below"] = below
        go(app, "cells")
        assert drawn(app)["characters"] == characters
        assert below in figures(app)
    values = traced(shipped / "grid-3.safetensors", characters).values
    chosen = app.session_state["quantity"], app.session_state["unit"]
    expected = np.tanh(values[chosen[0]][:, from_string(characters).last_byte, chosen[1]])
    np.testing.assert_allclose(drawn(app)["values"], expected, atol=2e-3)
    assert "distribution" in figures(go(app, "gates"))
    marks = inside_url(characters)
    app = go(app, "find")
    assert len(app.dataframe) == (marks.any() and not marks.all())
    assert len(app.info) == 1 - len(app.dataframe)
    for page in ("curves", "models"):
        go(app, page)


def test_an_empty_text_is_refused_and_the_one_before_stays(visit):
    app = paste(visit(), SHORT)
    paste(app, "")
    assert said(app) == ["That text is empty, so the one before stays in use."]
    assert app.code[0].value == SHORT
    upload_text(app, "nothing.txt", b"")
    assert said(app) == ["That text is empty, so the one before stays in use."]
    assert drawn(go(app, "cells"))["characters"] == SHORT
    assert said(app) == []


def test_five_megabytes_are_cut_with_a_note(visit):
    data = ("Ärger mit http://example.org/ und so weiter.\n" * 120_000).encode()[:5_000_000]
    app = upload_text(visit(), "long.txt", data)
    note = r"The text has 5,000,000 bytes; the first (19,999|20,000) are shown\."
    assert re.fullmatch(note, said(app)[0])
    assert re.search(note, captions(go(app, "cells")))
    shown = drawn(app)["characters"]
    assert 19_999 <= len(shown.encode()) <= choices.MAX_SHOWN_BYTES
    assert data.decode().startswith(shown)
    assert len(go(app, "find").dataframe) == 1


def test_five_pasted_megabytes_are_cut_with_a_note(visit):
    app = paste(visit(), "all work and no play " * 250_000)
    assert said(app) == ["The text has 5,250,000 bytes; the first 20,000 are shown."]


@pytest.mark.parametrize(
    ("data", "note"),
    [
        (bytes(range(256)) * 8, "is not UTF-8 throughout"),
        (b"\x80\xbf\x80 " * 5 + b"\0", "is not UTF-8 throughout"),
        ("Größe und Übermaß, naïve Fälle überall".encode("cp1252"), "was read as Windows-1252"),
        ("half a file".encode("utf-16"), "was read as UTF-16"),
    ],
    ids=["binary", "lone continuation bytes", "Windows-1252", "UTF-16"],
)
def test_a_file_that_is_not_utf_8_is_shown_with_a_note(visit, data, note):
    app = upload_text(visit(), "odd (1).bin", data)
    assert len(said(app)) == 1 and note in said(app)[0] and "odd (1).bin" in said(app)[0]
    assert note in captions(go(app, "cells"))
    assert drawn(app)["characters"] == from_bytes(data).characters


def encoding_of(app):
    return next((box for box in app.selectbox if box.key == "encoding"), None)


def test_where_the_encoding_is_a_guess_the_visitor_can_choose_it(visit):
    """A text of DOS', which looks like one of Windows': the choice is in force on every page."""
    wanted = "Grüße aus München, wo die Straßen größer sind als üblich.\r\n" * 400
    app = upload_text(visit(), "dos.txt", wanted.encode("cp850"))
    looked_like = app.code[0].value
    assert looked_like != wanted[:4000]
    assert (encoding_of(app).value, encoding_of(app).options[0]) == ("", "Guessed: UTF-8")
    app = checked(encoding_of(app).set_value("cp850").run())
    assert app.code[0].value == wanted[:4000]
    assert "dos.txt was read as DOS 850 (Western), as chosen." in said(app)[0]
    assert "the first 20,000 are shown" in said(app)[0]
    read = drawn(go(app, "cells"))["characters"]
    assert wanted.startswith(read) and 19_990 <= len(read.encode()) <= 20_000
    assert "dos.txt was read as DOS 850" in captions(app)
    go(app, "text")
    assert (encoding_of(app).value, app.code[0].value) == ("cp850", wanted[:4000])
    app = checked(encoding_of(app).set_value("").run())
    assert app.code[0].value == looked_like


@pytest.mark.parametrize(
    ("data", "asked"),
    [
        (SHORT.encode(), False),
        ("Größe".encode("utf-16"), False),
        ("Größe und Übermaß".encode("utf-16-le"), True),
        (b"broken \xff here", True),
    ],
    ids=["UTF-8", "UTF-16 with a mark", "UTF-16 without one", "broken UTF-8"],
)
def test_a_visitor_is_asked_for_the_encoding_only_where_it_is_a_guess(visit, data, asked):
    app = upload_text(visit(), "a.txt", data)
    assert (encoding_of(app) is not None) == asked
    # Not of a text that comes from elsewhere.
    assert encoding_of(paste(app, SHORT)) is None


def test_another_file_is_guessed_anew(visit):
    app = upload_text(visit(), "dos.txt", "Grüße aus München".encode("cp850"))
    encoding_of(app).set_value("cp850").run()
    app = upload_text(app, "windows.txt", "Größe und Übermaß, naïve Fälle".encode("cp1252"))
    assert (encoding_of(app).value, encoding_of(app).options[0]) == ("", "Guessed: Windows-1252")
    assert app.code[0].value == "Größe und Übermaß, naïve Fälle"


def test_an_own_text_stays_until_a_sample_is_taken_and_no_other_visitor_sees_it(visit):
    app = paste(visit(), SHORT)
    for page in PAGES_WITH_MODELS:
        assert "Your text" in captions(go(app, page)), page
    assert "sample" not in app.query_params
    assert drawn(go(visit(), "cells"))["characters"] != SHORT
    go(app, "text").segmented_control(key="source").set_value("A sample").run()
    app.selectbox(key="sample_choice").set_value("code.txt").run()
    assert app.code[0].value == SHORT
    press(app, "Use this sample")
    assert app.query_params["sample"] == "code.txt"
    assert "Program code" in captions(go(app, "cells"))
    go(app, "text").segmented_control(key="source").set_value("Type or paste").run()
    assert press(app, "Use this text").code[0].value == SHORT
    assert not any(button.label == "Use this text" for button in app.button)


def test_a_file_name_is_shown_as_it_is(visit):
    name = "![a](http://example.org/b.png) *c* _d_ :red[e].txt"
    app = upload_text(visit(), name, b"text")
    assert plain(app.header[0].value) == name
    for markdown in (app.header[0].value, go(app, "cells").caption[0].value):
        assert "![" not in markdown and "*c*" not in markdown and ":red[" not in markdown


# -- Cells ----------------------------------------------------------------------------------------


def test_every_quantity_is_drawn_as_the_trace_has_it(visit, shipped):
    app = go(paste(visit(), SHORT), "cells")
    reference = traced(shipped / "grid-3.safetensors", SHORT)
    app.number_input(key="unit").set_value(3).run()
    app.selectbox(key="layer").set_value(2).run()
    quantities = [quantity for quantity in words.QUANTITIES if quantity in GRID.quantities]
    assert sorted(quantities) == sorted(GRID.quantities)
    for quantity in quantities:
        checked(app.selectbox(key="quantity").set_value(quantity).run())
        expected = reference.values[quantity][:, :, 3]
        if quantity.endswith(".cell"):
            expected = np.tanh(expected)
        picture = drawn(app)
        np.testing.assert_allclose(picture["values"], expected, atol=1e-3, err_msg=quantity)
        assert picture["chosenRow"] == 1
        assert picture["rows"] == ["layer 1", "layer 2", "layer 3 (top)"]
        gate = quantity.split(".")[1] in ("input", "forget", "output")
        assert picture["scale"]["stops"] == ([0, 0.5, 1] if gate else [-1, 0, 1])
    bits = reference.loss / math.log(2)
    np.testing.assert_allclose(drawn(app)["losses"], bits, atol=1e-5)


def test_a_memory_is_shown_as_asked_and_the_picture_says_how(visit, shipped):
    app = go(paste(visit(quantity="depth.cell", unit="3"), SHORT), "cells")
    values = traced(shipped / "grid-3.safetensors", SHORT).values
    cell = values["depth.cell"][:, :, 3]
    expected = {"tanh": np.tanh(cell), "c": cell, "h": values["depth.hidden"][:, :, 3]}
    for shown_as, right in expected.items():
        checked(app.segmented_control(key="memory").set_value(shown_as).run())
        picture = drawn(app)
        np.testing.assert_allclose(picture["values"], right, rtol=1e-3, atol=1e-3)
        name = f"{words.MEMORY_SHOWN_AS[shown_as].label} of the depth memory"
        assert picture["scale"]["quantity"] == name
        assert name in json.dumps(figures(app)["layers"], ensure_ascii=False)
    assert np.abs(expected["c"]).max() > 1  # so that the scale had to grow


def test_units_can_be_ordered_in_every_way(visit):
    app = go(visit(below="units"), "cells")
    for name in ORDERS:
        checked(app.selectbox(key="order").set_value(name).run())
        assert "units" in figures(app)


def test_two_models_side_by_side_each_with_its_own_cell(visit, shipped):
    app = go(paste(visit(), SHORT), "cells")
    checked(app.selectbox(key="beside").set_value("stacked-2").run())
    offered = app.selectbox(key="quantity2").options
    assert len(offered) == 6 and not any("Depth" in label for label in offered)
    app.number_input(key="unit").set_value(1)
    app.number_input(key="unit2").set_value(6)
    app.selectbox(key="quantity2").set_value("time.forget")
    checked(app.run())
    assert drawn(app)["title"].startswith("Grid LSTM, 3 layers")
    beside = drawn(app, "coloured2")
    assert beside["title"].startswith("Stacked LSTM, 2 layers") and beside["title"].endswith("6")
    reference = traced(shipped / "stacked-2.safetensors", SHORT).values["time.forget"]
    np.testing.assert_allclose(beside["values"], reference[:, :, 6], atol=1e-3)
    for below in ("layers", "units", "surprise"):
        checked(app.segmented_control(key="below").set_value(below).run())
        assert {below, f"{below}2"} <= set(figures(app))


def test_another_model_keeps_what_it_also_has_of_the_choice(visit):
    app = visit("cells", model="grid-3", quantity="time.forget", layer="3", unit="7")
    checked(app.selectbox(key="model").set_value("stacked-2").run())
    state = app.session_state
    assert (state["quantity"], state["unit"]) == ("time.forget", 7)
    assert state["layer"] in (1, 2)
    checked(app.selectbox(key="model").set_value("grid-3").run())
    app.selectbox(key="quantity").set_value("depth.output").run()
    checked(app.selectbox(key="model").set_value("stacked-2").run())
    assert state["quantity"].startswith("time.")


def test_the_suggested_cell_is_the_best_of_the_ranking(visit, shipped):
    app = go(paste(visit(), SHORT), "cells")
    reference = traced(shipped / "grid-3.safetensors", SHORT)
    memories = {q: v for q, v in reference.values.items() if q.endswith(".cell")}
    best = rank_units(memories, inside_url(SHORT), top=1).iloc[0]
    suggested = best["quantity"], best["layer"], best["unit"]
    state = app.session_state
    assert (state["quantity"], state["layer"], state["unit"]) == suggested
    app.number_input(key="unit").set_value((suggested[2] + 1) % 8)
    app.selectbox(key="quantity").set_value("time.output")
    app.run()
    press(app, "Suggest a cell")
    assert (state["quantity"], state["layer"], state["unit"]) == suggested


def test_pressing_suggest_a_cell_twice_in_a_row_is_pressing_it_once(monkeypatch):
    """The second press can come before the page has found the cell anew."""
    state = {"quantity": "time.cell", "layer": 1, "sample": "a"}
    monkeypatch.setattr(streamlit, "session_state", state)
    for _ in range(2):
        session.cell.forget()
    assert state == {"sample": "a"}


def test_models_with_the_same_title_can_be_told_apart(visit, folder):
    other = app_checkpoints.checkpoint(folder / "grid-3-untied.safetensors", GRID, seed=7)
    app = visit("cells", folder=folder, model="grid-3")
    labels = app.selectbox(key="model").options
    assert len(set(labels)) == len(labels) == 3
    for page in (*PAGES_WITH_MODELS, "cells"):
        go(app, page)
        assert app.session_state["model"] == "grid-3", page
    app.selectbox(key="model").set_value("grid-3-untied").run()
    go(app, "find")
    go(app, "cells")
    assert app.session_state["model"] == "grid-3-untied"
    go(app, "models").selectbox(key="described").set_value("grid-3-untied").run()
    assert app.session_state["described"] == "grid-3-untied"
    assert checked(app.run()).session_state["described"] == other.stem


# -- The first visit -------------------------------------------------------------------------------

FIRST = {"sample": "wiki-urls.txt", "model": "grid-3", "quantity": "time.cell"}


@pytest.fixture
def first_visit(shipped, monkeypatch):
    """A function that begins a visit by a link, with this cell as the one to open on."""

    def begin(min_auc: float, model="grid-3", layer=2, unit=3, **link) -> AppTest:
        view = first_look.View("wiki-urls.txt", model, Cell("time.cell", layer, unit))
        monkeypatch.setattr(loading, "FOLDER", shipped)
        monkeypatch.setattr(first_look, "FIRST", view)
        monkeypatch.setattr(first_look, "MIN_AUC", min_auc)
        app = AppTest.from_file(APP, default_timeout=60)
        app.query_params.update(link)
        return checked(app.run())

    return begin


def introduced(app: AppTest) -> bool:
    return any("This cell knows" in markdown.value for markdown in app.markdown)


def test_a_first_visit_opens_on_the_address_cell(first_visit):
    app = first_visit(min_auc=0.0)
    assert app.title[0].value == "Cells" and introduced(app) and said(app) == []
    assert drawn(app)["title"].endswith("layer 2, unit 3")
    assert "http://" in drawn(app)["characters"]
    assert FIRST.items() | {("layer", "2"), ("unit", "3")} <= app.query_params.items()
    assert app.title[0].value == go(app, "cells").title[0].value and introduced(app)
    app.number_input(key="unit").set_value(4).run()
    assert not introduced(checked(app))
    assert go(app, "text").title[0].value.startswith("A microscope")


def test_from_the_first_page_it_is_one_click_to_a_text_of_ones_own(first_visit):
    app = first_visit(min_auc=0.0)
    own = next(button for button in app.button if button.label == "Put in a text of your own")
    assert checked(own.click().run()).title[0].value.startswith("A microscope")
    assert app.text_area(key="pasted").label == "Your text"


def test_where_the_cell_does_not_follow_addresses_the_visit_opens_on_one_that_does(first_visit):
    app = first_visit(min_auc=1.1)
    assert app.title[0].value == "Cells" and not introduced(app)
    chosen = [app.session_state[key] for key in ("quantity", "layer", "unit")]
    press(app, "Suggest a cell")
    assert chosen == [app.session_state[key] for key in ("quantity", "layer", "unit")]


@pytest.mark.parametrize(
    "other",
    [{"model": "grid-6"}, {"layer": 4}, {"unit": 8}, {"sample": "code.txt"}, {"nonsense": "1"}],
    ids=str,
)
def test_without_that_cell_or_with_a_link_a_visit_opens_on_the_text(first_visit, other):
    app = first_visit(min_auc=0.0, **other)
    assert app.title[0].value.startswith("A microscope") and said(app) == []
    assert app.session_state["sample"] == other.get("sample", "wiki-urls.txt")


# -- Forget gates, finding cells -------------------------------------------------------------------


def test_forget_gates_of_every_dimension_the_model_has(visit):
    app = visit("gates")
    assert set(figures(app)) == {"distribution", "time", "depth"}
    assert len(figures(app)["depth"]["data"]) == GRID.layers
    checked(app.selectbox(key="model").set_value("stacked-2").run())
    assert set(figures(app)) == {"distribution", "time"}
    assert len(figures(app)["time"]["data"]) == STACKED.layers


def long_text(seed: int = 0) -> str:
    """Some 3,000 characters in which web addresses come at random places."""
    random = np.random.default_rng(seed)
    pieces = ("http://example.org/path?q=1", "www.example.com/x", "a word", "and more of it,", "é")
    return " ".join(random.choice(pieces, 300))


def test_cells_are_found_on_one_part_and_judged_on_the_other(visit, shipped):
    text = long_text()
    app = go(paste(visit(), text), "find")
    assert said(app) == []
    values = traced(shipped / "grid-3.safetensors", text).values
    at, marks = from_string(text).last_byte, inside_url(text)
    expected = find_cells(values, marks, at, top=50)
    shown = app.dataframe[0].value
    assert f"{expected.units:,} units and quantities" in captions(app)
    held_out = expected.split.held_out
    told = f"{held_out.marked:,} characters in {held_out.spans:,} spans are marked"
    assert told in captions(app) and "no 95 % interval" not in captions(app)
    assert len(shown) == 50 and shown["Found"].is_monotonic_decreasing
    np.testing.assert_allclose(shown["Found"], expected.cells["found"], atol=5e-3)
    assert ((shown["From"] <= shown["Judged"]) & (shown["Judged"] <= shown["To"])).mean() > 0.9
    chance = float(re.search(r"reaches an AUC of \*\*([0-9.]+)", captions(app))[1])
    assert chance == pytest.approx(expected.baseline.quantile_95, abs=0.02)
    assert list(drawn(app, "marks")["values"][0]) == list(marks.astype(float))
    lines = figures(app)["by_layer"]["data"]
    assert [line["name"].split(": ")[1] for line in lines] == ["time memory", "depth memory"]


def test_few_places_have_no_interval_and_the_page_says_why(visit):
    text = (f"{'a word ' * 160}http://example.org/path?q=1 " * 2) + "and more " * 30
    app = go(paste(visit(), text), "find")
    assert said(app) == []
    assert "27 characters in 1 span are marked" in captions(app)
    why = "There is no 95 % interval: the property sets apart only 1 place"
    assert captions(app).count(why) == 1
    assert {"From", "To"}.isdisjoint(app.dataframe[0].value)
    drawn_lines = figures(app)["by_layer"]["data"]
    assert {told for line in drawn_lines for _, told in line["customdata"]} == {"no 95 % interval"}
    checked(app.toggle(key="probe").set_value(True).run())
    assert captions(app).count(why) == 2


def shown_cell(app: AppTest, row: int, place: int = 0) -> tuple:
    """The cell that a row of a table is about, as it is shown."""
    return tuple(app.dataframe[place].value.iloc[row][["Quantity", "Layer", "Unit"]])


def assert_open(app: AppTest, cell: tuple) -> None:
    assert app.title[0].value == "Cells"
    quantity, layer, unit = chosen_cell(app)
    assert (words.QUANTITIES[quantity].label, layer, unit) == cell
    assert drawn(app)["title"].endswith(f"layer {layer}, unit {unit}")


def test_a_click_in_the_ranking_opens_its_cell_once(visit):
    app = go(paste(visit(), long_text()), "find")
    cell = shown_cell(app, 5)
    mark(app, "ranking", 5, "From")
    assert_open(app, cell)
    other = (cell[2] + 1) % GRID.units
    checked(app.number_input(key="unit").set_value(other).run())
    go(app, "find")
    checked(app.run())
    assert app.title[0].value == "Find a cell" and chosen_cell(app)[2] == other
    mark(app, "ranking", 5, "From")
    assert_open(app, cell)


def test_a_ranking_on_the_whole_text_is_clicked_too(visit):
    text = "A word, http://example.org/path?q=1 and www.example.com/x too; no more. "
    app = go(paste(visit(), text), "find")
    cell = shown_cell(app, 2)
    mark(app, "ranking", 2, "Unit")
    assert_open(app, cell)


def test_the_keyboard_passes_the_ranking_and_opens_a_cell_with_a_button(visit):
    app = go(paste(visit(), long_text()), "find")
    mark(app, "ranking", 0, "Quantity", by="keyboard")
    assert app.title[0].value == "Find a cell"
    mark(app, "ranking", 4, "Quantity", by="keyboard")
    cell = shown_cell(app, 4)
    press(app, "Open the cell of the marked row")
    assert_open(app, cell)


def test_models_side_by_side_layer_by_layer(visit):
    app = go(paste(visit(), long_text()), "find")
    checked(app.multiselect(key="find_beside").set_value(["stacked-2"]).run())
    names = [line["name"] for line in figures(app)["by_layer"]["data"]]
    assert len(names) == 3 and names[2].startswith("Stacked LSTM")


def test_a_probe_of_a_layer(visit, shipped):
    text = long_text()
    app = go(paste(visit(), text), "find")
    app.selectbox(key="probe_layer").set_value(2).run()
    checked(app.toggle(key="probe").set_value(True).run())
    values = traced(shipped / "grid-3.safetensors", text).values
    expected = probe(
        values["time.cell"][1].astype(np.float16), inside_url(text), from_string(text).last_byte
    )
    held_out = figures(app)["probe_curve"]["data"][0]
    assert list(expected.scores["units"]) == [1, 2, 4, 8]
    assert held_out["name"] == "judged on the second part"
    table = app.dataframe[1].value
    assert set(table["Unit"]) == set(expected.weights.query("weight != 0")["unit"])


def test_a_text_too_short_to_judge_on_is_ranked_whole_with_a_warning(visit, shipped):
    text = "A word, http://example.org/path?q=1 and www.example.com/x too; no more. "
    app = go(paste(visit(), text), "find")
    assert len(said(app)) == 1 and "too short to split" in said(app)[0]
    best = rank_units(traced(shipped / "grid-3.safetensors", text).values, inside_url(text))
    shown = app.dataframe[0].value
    np.testing.assert_allclose(shown["Found"], best["score"][:50], atol=5e-3)
    assert "Judged" not in shown and "by_layer" not in figures(app)


def test_a_number_is_followed_by_correlation(visit):
    app = go(paste(visit(), long_text().replace("word ", "word\n")), "find")
    checked(app.selectbox(key="property").set_value("line-position").run())
    assert said(app) == [] and "F1" not in app.dataframe[0].value
    assert "reaches a correlation of" in captions(app)


@pytest.mark.parametrize(
    ("pattern", "sentence"),
    [("(", "pattern"), ("zzzz", "pattern"), ("", "Write a pattern"), ("(?s).", "every")],
)
def test_a_pattern_that_marks_nothing_is_one_sentence(visit, pattern, sentence):
    app = go(visit("find"), "find")
    checked(app.selectbox(key="property").set_value("pattern").run())
    checked(app.text_input(key="pattern").set_value(pattern).run())
    assert len(said(app)) == 1 and sentence in said(app)[0]
    assert len(app.dataframe) == 0


def test_a_pattern_of_ones_own(visit):
    app = go(paste(visit(), long_text()), "find")
    checked(app.selectbox(key="property").set_value("pattern").run())
    checked(app.text_input(key="pattern").set_value(r"w\w+").run())
    shown = drawn(app, "marks")
    marked = "".join(c for c, v in zip(shown["characters"], shown["values"][0], strict=True) if v)
    assert set(marked.replace("www", "").replace("word", "")) == set()
    assert app.query_params["pattern"] == r"w\w+" and len(app.dataframe) == 1


@pytest.mark.parametrize(
    ("text", "sentence"),
    [("no address here", "no character"), ("http://a.org/b", "every character")],
)
def test_without_a_difference_there_is_no_ranking_but_a_sentence(visit, text, sentence):
    app = go(paste(visit(), text), "find")
    assert len(app.dataframe) == 0
    assert len(said(app)) == 1 and sentence in said(app)[0].lower()


def select(app: AppTest, key: str, start: int, end: int) -> AppTest:
    """Select characters in a coloured text, as its component would tell it."""
    text = drawn(app, key)["text"]
    app.session_state[key] = {"selection": {"text": text, "start": start, "end": end}}
    return checked(app.run())


def test_a_selection_leads_to_its_cells_and_to_its_like(visit, shipped):
    text = long_text()
    app = go(paste(visit(), text), "find")
    checked(app.segmented_control(key="find").set_value("selection").run())
    start = text.index("http")
    select(app, "select", start, start + 7)
    values = traced(shipped / "grid-3.safetensors", text).values
    memories = {q: v for q, v in values.items() if q.endswith(".cell")}
    try:
        expected = units_on(memories, from_string(text).last_byte, start, start + 7)
    except SelectionError as error:
        assert said(app) == [str(error)]
        return
    shown = app.dataframe[0].value
    assert list(shown["Unit"]) == list(expected["unit"])[: len(shown)]


@pytest.fixture
def searched(visit, shipped):
    """Find, with a selection that has cells and its like; and the places of these, [place, 2]."""
    text = long_text()
    # As the pages keep it: what is on in a place can hang on the last digit.
    values = trace(load_model(shipped / "grid-3.safetensors")[0], from_string(text).data).values
    memories = {q: v for q, v in values.items() if q.endswith(".cell")}
    at, places = from_string(text).last_byte, ()
    start = 100
    while len(places) < 3:
        start += 1
        try:
            units = units_on(memories, at, start, start + 2)
        except SelectionError:
            continue
        places = similar_places(memories, at, units.head(50), start, start + 2)
    app = go(paste(visit(), text), "find")
    checked(app.segmented_control(key="find").set_value("selection").run())
    select(app, "select", start, start + 2)
    assert said(app) == [] and len(app.dataframe[1].value) == len(places)
    return app, places[["start", "end"]].to_numpy()


def test_a_click_in_the_cells_of_a_selection_opens_one(searched):
    app, _ = searched
    last = len(app.dataframe[0].value) - 1
    cell = shown_cell(app, last)
    mark(app, "units_on", last, "Clear by")
    assert_open(app, cell)


def test_a_click_in_the_places_shows_one_in_the_text_above_until_another_is_selected(searched):
    app, places = searched
    calls = []
    for row in (1, 2, 1):
        mark(app, "places", row, "Before")
        place = drawn(app, "select")["place"]
        assert [place["start"], place["end"]] == places[row].tolist()
        calls.append(place["call"])
    assert calls == sorted(set(calls))
    checked(app.slider(key="margin").set_value(0).run())
    assert drawn(app, "select")["place"]["call"] == calls[-1]
    press(app, f"Open characters {places[1][0] + 1:,} to {places[1][1]:,} on the page Cells")
    assert app.title[0].value == "Cells"
    start, end = places[1].tolist()
    assert drawn(app)["selection"] == {"start": start, "end": end}
    go(app, "find")
    select(app, "select", 4, 9)
    assert drawn(app, "select")["place"] is None


def test_a_selection_on_the_cells_page_is_searched_for(visit):
    app = go(paste(visit(), SHORT), "cells")
    checked(app.selectbox(key="beside").set_value("stacked-2").run())
    app.number_input(key="unit2").set_value(6).run()
    select(app, "coloured2", 4, 9)
    press(app, "Find the cells of this selection")
    assert app.title[0].value == "Find a cell"
    shown = drawn(app, "select")
    assert shown["selection"] == {"start": 4, "end": 9} and shown["place"] is None
    assert shown["title"].startswith("Stacked LSTM") and shown["title"].endswith("unit 6")
    assert app.query_params["model"] == "stacked-2" and app.query_params["find"] == "selection"


# -- What is computed -----------------------------------------------------------------------------


@pytest.fixture
def traces(monkeypatch):
    """The texts of all traces made from now on, in their order, but those with units held."""
    made = []

    def counted(model, data, *arguments, **options):
        if not options.get("clamps"):
            made.append(data)
        return trace(model, data, *arguments, **options)

    monkeypatch.setattr("gridlstm.trace.trace", counted)
    return made


def test_nothing_is_computed_again_that_was_not_changed(visit, folder, traces):
    app = go(paste(visit(folder=folder), SHORT), "cells")
    assert traces == [SHORT.encode()]
    app.number_input(key="unit").set_value(5).run()
    app.selectbox(key="layer").set_value(1).run()
    app.selectbox(key="quantity").set_value("depth.forget").run()
    app.segmented_control(key="memory").set_value("c").run()
    app.toggle(key="whitespace").set_value(True).run()
    for page in PAGES:
        go(app, page)
    assert traces == [SHORT.encode()]
    go(paste(app, "another text"), "cells")
    assert traces == [SHORT.encode(), b"another text"]
    go(paste(app, SHORT), "cells")
    assert traces == [SHORT.encode(), b"another text"]
    app.selectbox(key="model").set_value("stacked-2").run()
    assert traces == [SHORT.encode(), b"another text", SHORT.encode()]


def test_traces_beyond_what_memory_is_allowed_lie_on_disk(visit, monkeypatch):
    shelf.clear()
    traces = shelf("traces", loading.MAX_TRACES)
    app = go(paste(visit(), SHORT), "cells")
    (first,) = traces.results()
    size = sum(values.nbytes for values in first.values.values())
    assert first.storage is None and size > 0
    monkeypatch.setattr(loading, "MAX_ALL_TRACES_BYTES", size + size // 2)
    go(paste(app, SHORT[::-1]), "cells")
    assert traces.results()[0] is first
    second = traces.results()[1]
    assert bytes(second.tokens.tolist()) == SHORT[::-1].encode() and second.storage is not None


def test_traces_in_the_making_share_the_memory_that_is_allowed(monkeypatch):
    monkeypatch.setattr(loading, "_traces", lambda: Shelf(6))
    monkeypatch.setattr(loading, "MAX_TRACE_BYTES", 60)
    monkeypatch.setattr(loading, "MAX_ALL_TRACES_BYTES", 100)
    memory = loading.reserve_trace_memory
    with memory() as first, memory() as second, memory() as third:
        assert (first, second, third) == (60, 40, 0)
    with pytest.raises(Cancelled), memory() as again:
        assert again == 60
        raise Cancelled
    with memory() as last:
        assert last == 60


def test_a_full_disk_is_one_sentence_and_a_shorter_text_goes_on(visit, monkeypatch):
    def full(*_, **__):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    shelf.clear()
    traces = shelf("traces", loading.MAX_TRACES)
    monkeypatch.setattr("gridlstm.trace.open_memmap", full)
    monkeypatch.setattr(loading, "MAX_TRACE_BYTES", 5000)
    app = go(paste(visit(), SHORT * 50), "cells")
    assert "No space left on device" in app.error[0].value and not traces.results()
    monkeypatch.setattr(loading, "MAX_TRACE_BYTES", 2**29)
    go(paste(app, SHORT), "cells")
    assert not app.error and len(traces.results()) == 1


@pytest.mark.parametrize("broken", ["grid-3", "stacked-2"])
def test_beside_a_model_that_cannot_read_the_text_the_other_is_shown(visit, monkeypatch, broken):
    def traced_or_not(entry, data):
        if entry.name == broken:
            raise UserError("This one cannot.")
        return whole(entry, data)

    whole = loading.traced
    monkeypatch.setattr(loading, "traced", traced_or_not)
    app = visit("cells", model="grid-3", beside="stacked-2")
    assert said(app) == [f"{broken}: This one cannot."]
    shown = {key for key in figures(app) if key.startswith("layers")}
    assert shown == ({"layers2"} if broken == "grid-3" else {"layers"})


def test_where_no_model_can_read_the_text_nothing_is_asked_further(visit, monkeypatch):
    def fail(entry, data):
        raise UserError("It cannot.")

    monkeypatch.setattr(loading, "traced", fail)
    app = visit("cells", model="grid-3")
    assert said(app) == ["grid-3: It cannot."]
    assert not figures(app) and "below" not in {box.key for box in app.get("button_group")}


def test_a_picture_that_does_not_depend_on_the_unit_is_not_drawn_again(visit, monkeypatch):
    drawings = []
    draw = cells.loss_by_character
    monkeypatch.setattr(cells, "loss_by_character", lambda *all: drawings.append(0) or draw(*all))
    app = go(paste(visit(below="surprise"), "a text that was not drawn before"), "cells")
    picture = figures(app)["surprise"]
    app.number_input(key="unit").set_value(5).run()
    checked(app.selectbox(key="quantity").set_value("depth.forget").run())
    assert len(drawings) == 1
    assert figures(app)["surprise"] == picture
    checked(app.selectbox(key="model").set_value("stacked-2").run())
    assert len(drawings) == 2
    assert figures(app)["surprise"] != picture


def test_a_checkpoint_that_changed_is_read_anew(visit, folder, traces):
    app = go(paste(visit(folder=folder, quantity="time.cell", unit="0"), SHORT), "cells")
    before = drawn(app)["values"]
    app_checkpoints.checkpoint(folder / "grid-3.safetensors", GRID, seed=99)
    checked(app.run())
    assert len(traces) == 2
    assert not np.allclose(drawn(app)["values"], before)


# -- Links ----------------------------------------------------------------------------------------

LINK = {
    "sample": "code.txt",
    "model": "stacked-2",
    "quantity": "time.forget",
    "layer": "2",
    "unit": "5",
    "beside": "grid-3",
    "quantity2": "depth.cell",
    "layer2": "3",
    "unit2": "7",
    "memory": "h",
    "whitespace": "True",
    "below": "surprise",
}


def test_a_link_opens_the_view_it_names(visit):
    app = visit("cells", **LINK)
    assert "Program code" in captions(app)
    picture, beside = drawn(app), drawn(app, "coloured2")
    assert picture["title"] == "Stacked LSTM, 2 layers, 8 units · layer 2, unit 5"
    assert picture["scale"]["quantity"] == "Time forget gate"
    assert picture["showWhitespace"] is True
    assert beside["title"] == "Grid LSTM, 3 layers, 8 units · layer 3, unit 7"
    assert beside["scale"]["quantity"] == "h = o·tanh(c) of the depth memory"
    assert set(figures(app)) == {"surprise", "surprise2"}
    assert app.query_params == LINK
    for page in PAGES:
        assert LINK.items() <= go(app, page).query_params.items(), page


def test_the_address_follows_every_choice(visit):
    app = visit("cells", **LINK)
    app.number_input(key="unit").set_value(1).run()
    assert app.query_params == LINK | {"unit": "1"}
    app.selectbox(key="quantity").set_value("time.cell").run()
    app.segmented_control(key="below").set_value("layers").run()
    assert app.query_params == LINK | {"unit": "1", "quantity": "time.cell", "below": "layers"}
    app.toggle(key="whitespace").set_value(False).run()
    kept = dict(app.query_params)
    assert kept["whitespace"] == "False"
    for page in (*PAGES, "cells"):
        now = dict(go(app, page).query_params)
        for own in ("provenance", "find", "property"):
            now.pop(own, None)  # a choice of one page alone, there once that has been opened
        assert now == kept, page


def test_the_address_is_the_same_on_every_page(visit):
    app = visit("cells")
    kept = dict(app.query_params)
    assert set(kept) == set(LINK) - {"quantity2", "layer2", "unit2"}
    for page in (*PAGES, "cells"):
        now = dict(go(app, page).query_params)
        for own in ("provenance", "find", "property"):
            now.pop(own, None)  # a choice of one page alone, there once that has been opened
        assert now == kept, page


@pytest.mark.parametrize(
    "wrong",
    [
        {"sample": "../../README.md"},
        {"model": "nobody"},
        {"quantity": "depth.memory"},
        {"quantity": "depth.cell", "model": "stacked-2"},
        {"layer": "0"},
        {"layer": "three"},
        {"layer": "3.0"},
        {"unit": "8"},
        {"unit": "-1"},
        {"unit": "9" * 5000},
        {"unit": ""},
        {"beside": "nobody"},
        {"beside": "stacked-2", "quantity2": "depth.cell", "layer2": "9", "unit2": "1e9"},
        {"memory": "sinh"},
        {"whitespace": "maybe"},
        {"below": "<script>"},
        {"nonsense": "1"},
    ],
    ids=lambda wrong: "&".join(f"{k}={v[:16]}" for k, v in wrong.items()),
)
def test_a_link_that_cannot_be_followed_is_no_error(visit, wrong):
    app = visit("cells", **wrong)
    assert said(app) == []
    state = app.session_state
    assert state["model"] in ("grid-3", "stacked-2")
    assert state["quantity"] in GRID.quantities
    assert 1 <= state["layer"] <= 3 and 0 <= state["unit"] < 8
    for key in set(wrong) - {"nonsense", "model", "beside"}:
        assert app.query_params.get(key) != wrong[key]
    for page in PAGES:
        go(app, page)


# -- The folder of checkpoints --------------------------------------------------------------------


@pytest.mark.parametrize("there", [True, False])
def test_without_models_each_page_says_so(visit, tmp_path, there):
    folder = tmp_path / "checkpoints"
    if there:
        folder.mkdir()
    app = visit(folder=folder)
    assert said(app) == []
    for page in PAGES_WITH_MODELS:
        assert said(go(app, page))[0].startswith("There is no model yet."), page
    assert said(go(app, "models")) == ["There is no model in the folder `checkpoints/` yet."]
    assert said(go(app, "curves"))[0].startswith("There are no curves yet.")


@pytest.mark.parametrize("kind", BROKEN)
def test_a_broken_checkpoint_is_named_and_the_good_ones_load(visit, folder, kind):
    make, sentence = BROKEN[kind]
    make(folder / "broken.safetensors")
    app = visit("models", folder=folder)
    assert len(said(app)) == 1
    assert said(app)[0].startswith("broken.safetensors: ") and sentence in said(app)[0]
    assert said(app)[0].endswith(".")
    assert list(app.dataframe[0].value["File"]) == ["grid-3.safetensors", "stacked-2.safetensors"]


def test_all_broken_files_together_keep_no_page_from_working(visit, folder):
    for number, (make, _) in enumerate(BROKEN.values()):
        make(folder / f"broken-{number}.safetensors")
    for number, data in enumerate(BROKEN_CURVES.values()):
        (folder / f"curve-{number}.csv").write_bytes(data)
    (folder / "odd.safetensors").mkdir()
    (folder / "lost.safetensors").symlink_to("nowhere")
    app = visit(folder=folder)
    for page in ("cells", "gates", "find", "curves", "models"):
        complaints = said(go(app, page))
        assert len(complaints) == len(BROKEN) + len(BROKEN_CURVES), page
    assert len(go(app, "cells").selectbox(key="model").options) == 2
    assert drawn(app)["rows"]


def test_weights_that_are_not_finite_are_refused_where_they_are_used(visit, folder):
    app_checkpoints.not_finite(folder / "a-broken.safetensors")
    app = visit(folder=folder)
    for page in PAGES_WITH_MODELS:
        go(app, page).selectbox(key="model").set_value("a-broken").run()
        assert len(said(checked(app))) == 1, page
        assert "a-broken" in said(app)[0] and NOT_FINITE in said(app)[0]
        checked(app.selectbox(key="model").set_value("grid-3").run())
        assert said(app) == []


@pytest.mark.parametrize("data", BROKEN_CURVES.values(), ids=BROKEN_CURVES.keys())
def test_a_broken_curve_is_named_and_its_model_stays(visit, folder, data):
    (folder / "grid-3.csv").write_bytes(data)
    app = visit("curves", folder=folder)
    assert [sentence.split(":")[0] for sentence in said(app)] == ["grid-3.csv"]
    assert "curves" in figures(app)
    assert len(app.multiselect(key="runs").options) == 1
    assert len(go(app, "models").dataframe[0].value) == 2


# -- Models ---------------------------------------------------------------------------------------


def test_every_figure_of_the_table_is_the_files_own(visit, shipped):
    table = visit("models").dataframe[0].value
    for _, row in table.iterrows():
        own = read_metadata(shipped / row["File"])
        assert row["Model"] == own.model.title
        assert row["Nats per byte"] == own.validation_loss
        assert row["Bits per byte"] == pytest.approx(own.validation_loss / math.log(2))
        assert row["Million bytes seen"] == own.bytes_seen / 1e6
        assert row["Updates"] == own.updates
        assert row["Minutes"] == own.seconds / 60
        assert row["Parameters"] == own.model.parameters
        assert row["Machine"] == own.machine
        assert row["Name"] == row["File"].removesuffix(".safetensors")
        shared = row["Weights shared"]
        assert (shared if isinstance(shared, str) else None) == own.model.tie
    assert len(table) == 2


def details(app: AppTest) -> dict[str, str]:
    tables = [table.value for table in app.table]
    return {plain(str(k)): plain(str(row.iloc[0])) for t in tables for k, row in t.iterrows()}


def test_the_details_are_the_files_own(visit, folder):
    app_checkpoints.checkpoint(
        folder / "new.safetensors",
        STACKED,
        validation_loss=math.nan,
        machine="![m](http://example.org/m.png)",
    )
    app = visit("models", folder=folder)
    facts = details(app)
    assert facts["Data"] == "a text.xz"
    assert facts["Validation loss"] == "1.8034 bits per byte"
    assert facts["Measured on"] == "49 bytes of the rest"
    assert facts["learning rate"] == "0.001" and facts["dropout"] == "0.25"
    assert "minutes" not in facts
    app.selectbox(key="described").set_value("new").run()
    assert details(checked(app))["Validation loss"] == "not measured"
    assert details(app)["Machine"] == "![m](http://example.org/m.png)"
    assert not any("![" in str(value) for t in app.table for value in t.value.to_numpy().flat)


@pytest.mark.parametrize(
    ("training", "said"),
    [
        ({"begun_from": "grid-6.safetensors", "cooldown": 1200}, "in its last 1,200 updates"),
        ({"begun_from": "grid-6.safetensors"}, "went on from **grid\\-6**."),
        ({"begun_from": 7, "cooldown": "no number"}, None),
    ],
)
def test_it_is_said_which_model_a_model_went_on_from(visit, folder, training, said):
    app_checkpoints.checkpoint(folder / "later.safetensors", STACKED, training=training)
    app = visit("models", folder=folder)
    origin = app.dataframe[0].value.set_index("Name").loc["later", "Went on from"]
    assert origin == "grid-6" if said else pd.isna(origin)
    choice = app.selectbox(key="described")
    assert "went on from" not in choice.help
    choice.set_value("later").run()
    told = checked(app).selectbox(key="described").help
    assert said in told if said else "went on from" not in told


def test_of_a_model_of_another_program_it_is_said_what_is_not_known(visit, folder):
    app_checkpoints.checkpoint(
        folder / "foreign.safetensors",
        STACKED,
        training={"trained_by": "a script of mine"},
        updates=0,
        bytes_seen=0,
        seconds=0.0,
        machine="",
        libraries={},
    )
    app = visit("models", folder=folder)
    table = app.dataframe[0].value.set_index("Name")
    names = ["Parameters", "Updates", "Million bytes seen", "Minutes", "Machine"]
    unknown = table.loc["foreign", names]
    perhaps = ["Weights shared", "Went on from"]
    assert unknown.isna().all() and table.loc["grid-3"].drop(perhaps).notna().all()
    app.selectbox(key="described").set_value("foreign").run()
    facts = details(checked(app))
    assert facts["trained by"] == "a script of mine"
    assert (facts["Machine"], facts["Libraries"]) == ("not known", "not known")


@pytest.fixture
def mine(tmp_path):
    """A visitor's own files: (name, bytes) of a checkpoint and of its curve."""
    config = app_checkpoints.ModelConfig("grid", 2, 6, "none")
    checkpoint = app_checkpoints.checkpoint(tmp_path / "own.safetensors", config, seed=3)
    curve = app_checkpoints.curve(tmp_path / "own.csv", 1.1)
    return [(path.name, path.read_bytes()) for path in (checkpoint, curve)]


def test_a_checkpoint_in_shards_is_one_model_like_the_others(visit, folder):
    index = split(folder / "grid-3.safetensors", folder, 14_000)
    assert len(list(folder.glob("grid-3-*.safetensors"))) > 1
    (folder / "grid-3.safetensors").unlink()
    app = visit("models", folder=folder)
    assert said(app) == []
    assert list(app.dataframe[0].value["File"]) == [index.name, "stacked-2.safetensors"]
    checked(go(app, "cells").selectbox(key="model").set_value("grid-3").run())
    assert said(app) == []


def test_an_uploaded_shard_says_how_to_join(visit, tmp_path):
    whole = app_checkpoints.checkpoint(tmp_path / "own.safetensors", GRID)
    split(whole, tmp_path, 14_000)
    shard = min(tmp_path.glob("own-*.safetensors"))
    app = upload_models(visit(), (shard.name, shard.read_bytes()))
    assert len(said(app)) == 1 and "gridlstm join" in said(app)[0]


def test_an_uploaded_model_is_used_on_every_page_and_seen_by_no_one_else(visit, shipped, mine):
    app = upload_models(visit(), *mine)
    title = "Grid LSTM, 2 layers, 6 units (mine)"
    assert said(app) == []
    assert list(app.dataframe[0].value["Name"])[-1] == "own (mine)"
    for page in PAGES_WITH_MODELS:
        go(app, page)
        assert title in app.selectbox(key="model").options, page
        checked(app.selectbox(key="model").set_value("own (mine)").run())
        assert said(app) == []
    assert drawn(go(app, "cells"))["rows"] == ["layer 1", "layer 2 (top)"]
    assert title in go(app, "curves").multiselect(key="runs").options
    link = dict(app.query_params)
    assert link["model"] == "own (mine)"
    other = visit("cells", **link)
    assert title not in other.selectbox(key="model").options
    assert other.session_state["model"] == "grid-3"
    assert title not in go(other, "curves").multiselect(key="runs").options
    upload_models(other, ("theirs.safetensors", mine[0][1]))
    assert list(other.dataframe[0].value["File"])[2:] == ["theirs.safetensors"]
    assert sorted(p.name for p in shipped.iterdir()) == [
        "grid-3.csv",
        "grid-3.safetensors",
        "stacked-2.csv",
        "stacked-2.safetensors",
    ]


def test_the_same_model_uploaded_stands_beside_the_shipped_one(visit, shipped):
    path = shipped / "grid-3.safetensors"
    app = upload_models(visit(), (path.name, path.read_bytes()))
    table = app.dataframe[0].value
    assert len(table) == 3 and table["Name"].is_unique
    checked(go(app, "cells").selectbox(key="beside").set_value("grid-3 (mine)").run())
    np.testing.assert_array_equal(drawn(app)["codePoints"], drawn(app, "coloured2")["codePoints"])


@pytest.mark.parametrize("kind", [*BROKEN, "not finite"])
def test_a_bad_upload_is_one_sentence_and_the_rest_is_kept(visit, tmp_path, mine, kind):
    path = tmp_path / "bad.safetensors"
    make, sentence = BROKEN.get(kind, (app_checkpoints.not_finite, NOT_FINITE))
    make(path)
    app = upload_models(visit(), ("bad.safetensors", path.read_bytes()), *mine)
    assert len(said(app)) == 1
    assert said(app)[0].startswith("bad.safetensors: ") and sentence in said(app)[0]
    assert list(app.dataframe[0].value["File"])[2:] == ["own.safetensors"]
    checked(app.run())


@pytest.mark.parametrize("data", BROKEN_CURVES.values(), ids=BROKEN_CURVES.keys())
def test_a_bad_curve_is_one_sentence_and_the_one_before_stays(visit, mine, data):
    app = upload_models(visit(), *mine)
    upload_models(app, ("own.csv", data))
    assert [sentence.split(":")[0] for sentence in said(app)] == ["own.csv"]
    assert len(go(app, "curves").multiselect(key="runs").options) == 3
    assert said(app) == []


def test_a_visitor_s_models_have_a_most_and_can_be_taken_away(visit, mine, monkeypatch):
    (_, weights), (_, points) = mine
    size = len(weights) + len(points)
    monkeypatch.setattr(loading, "MAX_UPLOADED_BYTES", 2 * size)
    app = upload_models(visit(), *mine, ("second.safetensors", weights))
    assert said(app) == []
    upload_models(app, ("third.safetensors", weights), ("own.safetensors", weights))
    assert len(said(app)) == 1 and said(app)[0].startswith("third.safetensors: ")
    assert "1 GB" in said(app)[0]
    assert list(app.dataframe[0].value["File"])[2:] == ["own.safetensors", "second.safetensors"]
    assert f"own.csv · {len(points) / 1e6:,.1f} MB" in [plain(m.value) for m in app.markdown]
    # The files are listed by name: own.csv, own.safetensors, second.safetensors.
    checked(app.button(key="take away model 1").click().run())
    assert list(app.dataframe[0].value["File"])[2:] == ["second.safetensors"]
    upload_models(app, ("third.safetensors", weights))
    assert said(app) == []
    assert list(app.dataframe[0].value["File"])[2:] == ["second.safetensors", "third.safetensors"]
    monkeypatch.setattr(loading, "MAX_UPLOADED_FILES", 3)
    upload_models(app, ("fourth.csv", points))
    assert len(said(app)) == 1 and "3 files" in said(app)[0]


def test_what_was_brought_is_not_kept_in_memory_too(visit, mine):
    app = visit()
    freed = []
    with pytest.MonkeyPatch.context() as patch:
        manager = MemoryUploadedFileManager.remove_file
        patch.setattr(
            MemoryUploadedFileManager,
            "remove_file",
            lambda self, session, file: freed.append(file) or manager(self, session, file),
        )
        upload_models(app, *mine)
    assert len(freed) == 2 and said(app) == []


def test_file_names_of_uploads(visit, mine):
    (_, weights), (_, points) = mine
    app = upload_models(
        visit(),
        ("UPPER.SAFETENSORS", weights),
        ("UPPER.CSV", points),
        ("../../outside.safetensors", weights),
        ("x" * 300 + ".safetensors", weights),
        (".safetensors", weights),
        ("run.state.safetensors", weights),
        ("![p](http://example.org/p.png).safetensors", b"no"),
    )
    files = list(app.dataframe[0].value["File"])
    assert files[2:] == ["UPPER.safetensors", "outside.safetensors"]
    faults = [fault.split(": ")[0] for fault in said(app)]
    assert faults == [
        "x" * 300 + ".safetensors",
        ".safetensors",
        "run.state.safetensors",
        "![p](http://example.org/p.png).safetensors",
    ]
    assert "![p]" not in app.error[3].value
    assert len(go(app, "curves").multiselect(key="runs").options) == 3


def test_a_run_without_weights_is_on_the_curves_page_alone(visit, folder):
    app_checkpoints.curve(folder / "running.csv", 2.0)
    app = visit("curves", folder=folder)
    assert any("running" in label for label in app.multiselect(key="runs").options)
    assert len(go(app, "cells").selectbox(key="model").options) == 2
    assert isinstance(go(app, "models").dataframe[0].value, pd.DataFrame)
    assert len(app.dataframe[0].value) == 2
