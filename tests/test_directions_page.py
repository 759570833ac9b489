"""Directions on the pages: found, judged, kept, brought in files, taken apart, followed upwards."""

import json

import numpy as np
import pytest
from app_pages import captions, checked, drawn, figures, go, paste, press, said, traced
from test_pages import long_text

from dashboard.screens import directions
from gridlstm.analysis.carried_up import carried_up
from gridlstm.analysis.directions import found_by_property, judge_directions
from gridlstm.analysis.properties import inside_url
from gridlstm.checkpoint import load_model
from gridlstm.direction import Direction
from gridlstm.direction_file import from_json, to_json
from gridlstm.text import from_string

URL = "Inside a web address"


@pytest.fixture
def searched(visit):
    """The page Find a cell, with a direction of the depth memory's top layer found."""
    app = go(paste(visit(), long_text()), "find")
    checked(app.selectbox(key="direction_quantity").set_value("depth.cell").run())
    checked(app.selectbox(key="direction_source").set_value("means").run())
    return press(app, "Find the direction")


def table_of(app):
    return next(table for table in app.dataframe if table.key == "direction_table").value


def test_a_direction_is_found_judged_and_drawn(searched, shipped):
    text = long_text()
    at, marks = from_string(text).last_byte, inside_url(text)
    values = {
        name: whole.astype(np.float16)
        for name, whole in traced(shipped / "grid-3.safetensors", text).values.items()
    }
    expected = found_by_property(values, marks, at, "depth.cell", 3, "means")
    row = table_of(searched).iloc[0]
    judged = judge_directions(values, [expected], marks, at).iloc[0]
    assert row["Direction"] == f"{URL} · difference of means · depth.cell, layer 3"
    for shown, column in (("Judged", "held_out"), ("From", "low"), ("F1", "f1_held_out")):
        assert row[shown] == pytest.approx(judged[column], abs=2e-3)
    np.testing.assert_allclose(
        drawn(searched, "along")["values"][0], expected.along(values, at), atol=0.02
    )


def test_components_are_listed_beside_it_and_removed(searched):
    checked(searched.selectbox(key="direction_source").set_value("components").run())
    press(searched, "Find the direction")
    assert len(table_of(searched)) == 5
    press(searched, "Remove")
    assert len(table_of(searched)) == 4
    checked(searched.selectbox(key="direction_layer").set_value(0).run())
    press(searched, "Find the direction")
    assert "one layer: choose one" in said(searched)[0]


def test_name_and_notes_are_kept_and_saved_in_its_file(searched, shipped):
    next(box for box in searched.text_input if box.label == "Name").set_value("<b>mine</b>")
    next(box for box in searched.text_area if box.label == "Notes").set_value("of *use*")
    press(searched, "Keep name and notes")
    assert table_of(searched)["Direction"].tolist() == ["<b>mine</b>"]
    kept = next(iter(searched.session_state["directions"].values()))["<b>mine</b>"]
    again = from_json(to_json(kept).encode())
    assert (again.name, again.notes) == ("<b>mine</b>", "of *use*")
    assert again.model == load_model(shipped / "grid-3.safetensors")[0].checksum()


def test_who_wrote_it_takes_the_direction_apart(searched):
    press(searched, "Who wrote it")
    assert searched.title[0].value == "Who wrote it"
    go(searched, "provenance")  # the tester itself does not follow
    checked(searched.segmented_control(key="provenance").set_value("depth").run())
    shown = drawn(searched, "depth-shares")
    np.testing.assert_allclose(shown["values"][:3].sum(axis=0), shown["values"][3], atol=1e-4)
    assert URL in shown["title"]
    gates = searched.dataframe[0].value
    left = gates["Wrote"] - gates[["Layer 2 took", "Layer 3 took"]].sum(axis=1)
    np.testing.assert_allclose(left, gates["Left"], atol=1e-4)
    checked(searched.selectbox(key="direction").set_value(directions.A_UNIT).run())
    assert "unit" in drawn(searched, "depth-shares")["title"]


def upload(app, document: str):
    app.file_uploader(key="direction_file").set_value(
        ("mine.json", document.encode(), "application/json")
    )
    return checked(app.run())


def test_files_are_taken_or_refused_in_a_sentence(visit):
    app = go(paste(visit(), long_text()), "find")
    own = Direction("time.cell", 2, np.arange(8.0), "mine", notes="of my own")
    upload(app, to_json(own))
    assert table_of(app)["Direction"].tolist() == ["mine"]
    for changed, message in (
        ({"vector": [1, 2]}, "has 2 weights"),
        ({"model": "ab" * 32}, "found in another model"),
        ({"format": "<script>"}, "is no direction"),
    ):
        upload(app, json.dumps(json.loads(to_json(own)) | changed))
        assert message in said(app)[0]
        assert table_of(app)["Direction"].tolist() == ["mine"]


def test_the_page_that_follows_it_up_shows_the_analysis(visit, shipped):
    text = long_text()
    app = go(paste(visit(), text), "carried_up")
    model, _ = load_model(shipped / "grid-3.safetensors")
    expected = carried_up(model, model.encode(text), inside_url(text), name=URL)
    written = figures(app)["by_layer"]["data"][0]["x"]
    shown = [metric.value for metric in app.metric]
    assert shown[0] == f"{expected.written_low.value:.0%}"
    assert "no, not here" in said(app)[0] or expected.holds
    assert f"AUC of **{expected.judged['held_out']:.3f}**"[:13] in captions(app)
    values = drawn(app, "carried")["values"]
    np.testing.assert_allclose(values[0] + values[1], values[2], atol=1e-4)
    assert len(written) == 3 or "bdata" in written


def test_a_model_without_a_depth_memory_is_told_so(visit):
    app = go(paste(visit(model="stacked-2"), long_text()), "carried_up")
    assert "Choose a Grid LSTM" in said(app)[0]
    app = go(paste(visit(), "too short: http://a.b/c d"), "carried_up")
    assert "too short to split" in said(app)[0]
