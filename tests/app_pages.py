"""The app driven without a browser: visits, and what is drawn and said on a page."""

import json
import re
import shutil

import app_checkpoints
import numpy as np
import pytest
from app_checkpoints import ROOT
from streamlit.proto.WidgetStates_pb2 import WidgetState
from streamlit.testing.v1 import AppTest

from dashboard.screens import reading
from dashboard.serving import loading
from gridlstm.checkpoint import load_model
from gridlstm.text import from_string
from gridlstm.trace import trace

APP = ROOT / "dashboard" / "app.py"


@pytest.fixture(scope="module")
def shipped(tmp_path_factory):
    """A folder with two good models."""
    return app_checkpoints.good_folder(tmp_path_factory.mktemp("checkpoints"))


@pytest.fixture
def folder(shipped, tmp_path):
    """A copy of it, to put more files into."""
    return shutil.copytree(shipped, tmp_path / "checkpoints")


@pytest.fixture
def visit(shipped, monkeypatch):
    """A function that begins a visit on a page, by a link with these parameters."""
    monkeypatch.setattr(reading, "SECONDS_TO_DRAW", 0)  # there is no browser to wait for

    def begin(page="text", *, folder=shipped, **link) -> AppTest:
        monkeypatch.setattr(loading, "FOLDER", folder)
        app = AppTest.from_file(APP, default_timeout=60)
        app.query_params.update(link)
        return go(checked(app.run()), page)

    return begin


def checked(app: AppTest) -> AppTest:
    assert not app.exception, app.exception[0].message
    return app


def go(app: AppTest, page: str) -> AppTest:
    return checked(app.switch_page(f"screens/{page}/view.py").run())


def plain(markdown: str) -> str:
    """What is read of it: without the escapes, and what parts a name that is not to be a link."""
    return re.sub(r"\\([!-/:-@[-`{-~])", r"\1", markdown).replace("\u2060", "")


def said(app: AppTest) -> list[str]:
    """All that the page warns of or informs about."""
    return [plain(box.value) for box in (*app.error, *app.warning, *app.info)]


def captions(app: AppTest) -> str:
    return "\n".join(plain(caption.value) for caption in app.caption)


def paste(app: AppTest, characters: str) -> AppTest:
    """Take a typed text into use, on the page Text."""
    go(app, "text").segmented_control(key="source").set_value("Type or paste").run()
    app.text_area(key="pasted").set_value(characters).run()
    return checked(app)


def press(app: AppTest, label: str) -> AppTest:
    next(button for button in app.button if button.label == label).click()
    return checked(app.run())


def mark(app: AppTest, key: str, row: int, column: str, *, by: str = "click") -> AppTest:
    """Mark a field of a table as the browser tells it, by a click, the keyboard or the header."""
    table = next(table for table in app.dataframe if table.key == key)
    marked = {"selection": {"rows": [], "columns": [], "cells": [[row, column]]}}
    app.session_state[f"{key} hand"] = {"last": by}
    # The tester's own way to choose something in a table would not tell the page of a change.
    states = app._tree.get_widget_states()
    states.widgets.append(WidgetState(id=table.proto.id, string_value=json.dumps(marked)))
    return checked(app._run(states))


def chosen_cell(app: AppTest) -> tuple:
    return tuple(app.session_state[key] for key in ("quantity", "layer", "unit"))


def upload_text(app: AppTest, name: str, data: bytes) -> AppTest:
    go(app, "text").segmented_control(key="source").set_value("Upload a file").run()
    app.file_uploader(key="upload").set_value((name, data, "text/plain"))
    return checked(app.run())


def upload_models(app: AppTest, *files: tuple[str, bytes]) -> AppTest:
    go(app, "models").file_uploader[0].set_value(
        [(name, data, "application/octet-stream") for name, data in files]
    )
    return checked(app.run())


def drawn(app: AppTest, key: str = "coloured") -> dict:
    """What a coloured text was given, unpacked as the browser does it."""
    for element in app.get("bidi_component"):
        if element.proto.id.endswith(f"-{key}"):
            packed = element.proto.bytes
            break
    else:
        raise AssertionError(f"there is no coloured text {key!r}")
    size = int.from_bytes(packed[:4], "little")
    header, body = json.loads(packed[4 : 4 + size]), packed[4 + size :]
    for name, kind, offset, count in header["arrays"]:
        header[name] = np.frombuffer(body, kind, count, offset)
    header["values"] = header["values"].reshape(len(header["rows"]), -1)
    header["characters"] = "".join(map(chr, header["codePoints"]))
    return header


def figures(app: AppTest) -> dict[str, dict]:
    """The plotly figures on the page by their keys."""
    charts = app.get("plotly_chart")
    return {c.proto.id.rsplit("-", 1)[-1]: json.loads(c.proto.spec) for c in charts}


def traced(path, characters: str):
    """The same trace, not by way of the pages."""
    return trace(load_model(path)[0], from_string(characters).data, dtype=np.float32)
