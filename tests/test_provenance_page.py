"""The page that tells who wrote a memory, and its pictures."""

import numpy as np
import pandas as pd
import pytest
from app_pages import captions, checked, chosen_cell, drawn, figures, go, mark, paste, said, traced

from dashboard.screens.provenance import charts
from gridlstm.analysis.depth_provenance import layers_survived, mean_depth_shares
from gridlstm.analysis.time_provenance import half_life_frame, half_lives
from gridlstm.checkpoint import load_model

SHARES = np.array([[0.5, -1.0, 0.0], [0.25, 2.0, -0.5]])
SOURCES = ["layer 1", "layer 2"]


def test_what_each_layer_wrote_adds_up_to_the_memory(visit, shipped):
    app = visit("provenance", model="grid-3", provenance="depth", layer="3", unit="2")
    shown = drawn(app, "depth-shares")
    assert shown["rows"] == [*(f"written by layer {n}" for n in (1, 2, 3)), "the memory (sum)"]
    values = shown["values"]
    np.testing.assert_allclose(values[:3].sum(axis=0), values[3], atol=1e-5)
    result = traced(shipped / "grid-3.safetensors", shown["characters"])
    at = np.cumsum([len(c.encode()) for c in shown["characters"]]) - 1
    np.testing.assert_allclose(values[3], result.values["depth.cell"][2, at, 2], atol=5e-3)


def test_a_lower_layers_memory_has_fewer_writers(visit):
    app = visit("provenance", model="grid-3", provenance="depth", layer="2", unit="0")
    assert len(drawn(app, "depth-shares")["rows"]) == 3


def test_the_whole_models_pictures_are_the_analysis(visit, shipped):
    app = visit("provenance", model="grid-3", provenance="depth")
    result = traced(shipped / "grid-3.safetensors", drawn(app, "depth-shares")["characters"])
    found = figures(app)
    text = [float(share.strip("%")) for share in found["mean_shares"]["data"][0]["text"]]
    assert text == pytest.approx(100 * mean_depth_shares(result.values), abs=0.6)
    assert len(found["survival"]["data"]) == len(layers_survived(result.values))


def test_a_time_memory_by_the_characters_that_wrote_it(visit):
    app = visit("provenance", model="stacked-2", provenance="time", layer="2", unit="3")
    assert said(app) == [] and "Stacked LSTM has no memory" in captions(app)
    cell = drawn(app, "time-memory")["values"][0]
    written = drawn(app, "time-shares")["values"][0]
    at = int(np.abs(cell).argmax())
    assert len(written) == min(at + 1, 300)
    table = app.dataframe[0].value
    assert table["Character"].iloc[0] == at + 1 - len(written) + np.abs(written).argmax() + 1
    assert table["Wrote"].abs().is_monotonic_decreasing


@pytest.mark.parametrize("name", ["grid-3", "stacked-2"])
def test_half_lives_are_the_analysis(visit, shipped, name):
    app = visit("provenance", model=name, provenance="half-life")
    table = app.dataframe[0].value
    units = load_model(shipped / f"{name}.safetensors")[0].config
    assert len(table) == units.layers * units.units
    lives = list(table["Half-life, characters"])
    assert lives == sorted(lives, reverse=True) or table["Longer than that"].any()


@pytest.mark.parametrize("name", ["grid-3", "stacked-2"])
def test_a_click_in_the_table_of_half_lives_opens_its_time_memory(visit, name):
    app = visit("provenance", model=name, provenance="half-life")
    row = app.dataframe[0].value.iloc[5]
    mark(app, "half-life-table", 5, "Longer than that")
    assert app.title[0].value == "Cells"
    assert chosen_cell(app) == ("time.cell", row["Layer"], row["Unit"])


def test_a_link_to_the_depth_view_of_a_stacked_model_shows_what_it_has(visit):
    app = visit("provenance", model="stacked-2", provenance="depth")
    assert said(app) == []
    assert app.segmented_control(key="provenance").options == [
        "Which character wrote it",
        "How long writes last",
    ]


def test_a_very_short_text(visit):
    app = paste(visit(), "é")
    for view in ("depth", "time", "half-life"):
        go(app, "provenance")
        checked(app.segmented_control(key="provenance").set_value(view).run())


# -- The pictures ---------------------------------------------------------------------------------


def test_shares_are_stacked_by_sign_and_the_line_is_their_sum():
    fig = charts.stacked_shares(SHARES, "a<b", SOURCES, start=10)
    *areas, line = fig.data
    assert [(a.stackgroup, a.legendgroup) for a in areas] == [
        ("up", "layer 1"), ("down", "layer 1"), ("up", "layer 2"), ("down", "layer 2")
    ]  # fmt: skip
    np.testing.assert_allclose(sum(np.array(a.y) for a in areas), SHARES.sum(axis=0))
    np.testing.assert_allclose(line.y, SHARES.sum(axis=0))
    assert list(line.x) == [11, 12, 13]
    assert "&lt;" in line.customdata[1] and "layer 2: +2.000" in line.customdata[1]


def test_survival_is_a_share_of_each_layers_writes():
    fig = charts.survival(np.array([[1, 1, 2], [3, 1, 0], [4, 0, 0]]))
    np.testing.assert_allclose(np.array([bar.x for bar in fig.data]).sum(axis=0), 1)
    assert fig.data[2].x[0] == 0.5


def test_half_lives_are_drawn_unit_by_unit():
    forget = np.stack([np.full(100, f) for f in (0.9, 1.0)], axis=1)[None].astype(np.float32)
    frame = half_life_frame(half_lives({"time.forget": forget}))
    fig = charts.half_lives(pd.concat([frame, frame.assign(layer=2)]), 2)
    assert [box.name for box in fig.data] == ["layer 1", "layer 2"]
    assert ["1", "more than "] in [list(map(str, row)) for row in fig.data[0].customdata]
