"""The charts: what they show equals the arrays given, and nothing a user types becomes markup."""

import json
import re

import numpy as np
import plotly.graph_objects as go
import pytest

from dashboard.charts import theme
from dashboard.charts.cells import (
    MAX_MAP_COLUMNS,
    gates_at_character,
    layers_by_character,
    loss_by_character,
    units_by_character,
)
from dashboard.charts.theme import DIVERGING, GATE, SEQUENTIAL, SIGNED, signed
from dashboard.screens.gates.charts import gate_distribution, saturation_plot

LONG = 10_000
ATTACK = 'a<script>alert("x")</script>&amp;\n'


def values(rows: int, characters: int, seed: int = 0) -> np.ndarray:
    """Values in -1 to 1 [row, character], float16 as in a trace."""
    rng = np.random.default_rng(seed)
    return rng.uniform(-1, 1, (rows, characters)).astype(np.float16)


def strings(node) -> list[str]:
    """Every string anywhere in a figure's JSON."""
    if isinstance(node, str):
        return [node]
    if isinstance(node, dict):
        node = list(node.values())
    return [s for child in node for s in strings(child)] if isinstance(node, list) else []


def figure_strings(fig: go.Figure) -> list[str]:
    return strings(json.loads(fig.to_json()))


def test_layers_show_the_values_given_with_layer_1_at_the_bottom():
    given = values(3, 40)
    fig = layers_by_character(given, "x" * 40, "tanh(c)", SIGNED)
    shown = fig.data[0]
    assert shown.z.dtype == np.float32
    np.testing.assert_array_equal(shown.z, given.astype(np.float32))
    assert list(shown.y) == ["1", "2", "3"]
    low, high = fig.layout.yaxis.range
    assert low < high


def test_layer_hover_gives_position_character_surroundings_and_every_layer():
    given = np.array([[0.25, 0.5, -0.75], [0.125, -0.5, 1.0]], dtype=np.float16)
    fig = layers_by_character(given, "abc", "tanh(c)", SIGNED, start=100)
    points = fig.data[1]
    assert list(points.x) == [101, 102, 103]
    text, upper, lower = points.customdata[1].split("<br>")
    assert re.sub("<[^>]*>|[\u2068\u2069]", "", text) == "abc"
    assert "<u>b</u>" in text
    assert upper.startswith("layer 2") and float(upper.split(":")[1]) == -0.5
    assert lower.startswith("layer 1") and float(lower.split(":")[1]) == 0.5


def test_units_are_shown_in_the_order_given_from_the_top():
    given = values(4, 30)
    order = np.array([2, 0, 3, 1])
    fig = units_by_character(given, order, "y" * 30, "tanh(c)", SIGNED)
    np.testing.assert_array_equal(fig.data[0].z, given[order].astype(np.float32))
    assert list(fig.data[0].y) == ["2", "0", "3", "1"]
    first, last = fig.layout.yaxis.range
    assert first > last


def test_unit_hover_names_each_column_by_its_own_text():
    fig = units_by_character(values(2, 5), np.arange(2), "a\nc d", "tanh(c)", SIGNED)
    axis = fig.layout.xaxis2
    assert fig.data[0].xaxis == "x2" and axis.matches == "x"
    assert list(axis.tickvals) == [1, 2, 3, 4, 5]
    marked = [re.search("<u>(.*)</u>", text)[1] for text in axis.ticktext]
    assert marked == ["a", "⏎", "c", "␣", "d"]


@pytest.mark.parametrize("spike", [-0.9, 0.9])
def test_a_single_spike_survives_thinning(spike):
    given = np.full((2, LONG), 0.01, dtype=np.float16)
    given[1, 7_777] = spike
    fig = units_by_character(given, np.arange(2), "z" * LONG, "tanh(c)", SIGNED)
    shown = fig.data[0]
    assert shown.z.shape[1] <= MAX_MAP_COLUMNS
    width = LONG // shown.z.shape[1]
    (column,) = np.flatnonzero(np.abs(shown.z[1]) > 0.5)
    assert shown.z[1, column] == np.float32(np.float16(spike))
    assert abs(shown.x[column] - 7_778) <= width / 2
    assert not (np.abs(shown.z[0]) > 0.5).any()
    assert "farthest from zero" in fig.layout.xaxis.title.text


def test_a_gate_that_shuts_once_survives_thinning():
    given = np.full((1, LONG), 0.95, dtype=np.float16)
    given[0, 4_321] = 0.0
    fig = layers_by_character(given, "z" * LONG, "forget gate", GATE)
    assert (fig.data[0].z == 0).sum() == 1
    assert "median" in fig.layout.xaxis.title.text


def test_thinning_takes_the_largest_magnitude_of_each_run():
    given = values(3, 4_500)
    fig = units_by_character(given, np.arange(3), "q" * 4_500, "tanh(c)", SIGNED)
    runs = given.astype(np.float32).reshape(3, 1_500, 3)
    shown = fig.data[0].z
    np.testing.assert_array_equal(np.abs(shown), np.abs(runs).max(axis=2))
    assert (runs == shown[:, :, None]).any(axis=2).all()


def test_the_last_column_of_an_uneven_text_holds_the_rest():
    given = values(1, 4_001)
    given[0, -1] = 1
    fig = layers_by_character(given, "q" * 4_001, "tanh(c)", SIGNED)
    assert fig.data[0].z.shape[1] == 1_334
    assert fig.data[0].z[0, -1] == 1


@pytest.mark.parametrize("characters", [ATTACK, ATTACK * 400])
def test_text_is_escaped_wherever_it_is_shown(characters):
    count = len(characters)
    figures = [
        layers_by_character(values(2, count), characters, "<b>q</b>", SIGNED),
        units_by_character(values(2, count), np.arange(2), characters, "<b>q</b>", SIGNED),
        loss_by_character(np.ones(count), characters, [[("<script>", 0.5)]] * count),
    ]
    for fig in figures:
        text = figure_strings(fig)
        allowed = r"</?(?:b|u|br|extra)>"
        assert not [s for s in text if "<" in re.sub(allowed, "", s)]
        assert not any("<b>q" in s for s in text)
        assert any("script" in s for s in text)
        assert not any("quot;" in s for s in text)
        assert not any("\n" in s for s in text)


def test_text_of_any_kind_becomes_valid_json():
    characters = "\x00\x1b\x9b\ud800\u202eשלום👩\u200d🚀\r\t"
    fig = units_by_character(
        values(2, len(characters)), np.arange(2), characters, "tanh(c)", SIGNED
    )
    shown = "".join(figure_strings(fig))
    shown.encode("utf-8")
    assert not re.search("[\x00-\x1f\x80-\x9f\u202e]", shown)
    assert len(fig.layout.xaxis2.ticktext) == len(characters)


def test_surprise_shows_each_loss_and_its_guesses():
    loss = np.array([np.nan, 2.5, 0.25], dtype=np.float32)
    predictions = [[(" ", 0.5), ("\n", 0.25)], [("x", 0.125)], []]
    fig = loss_by_character(loss, "the", predictions)
    shown = fig.data[0]
    np.testing.assert_array_equal(shown.y, loss)
    assert list(shown.x) == [1, 2, 3]
    assert "nothing predicts it" in shown.customdata[0]
    assert "␣  50.0%" in shown.customdata[0] and "⏎  25.0%" in shown.customdata[0]
    assert "2.50 bits" in shown.customdata[1] and "x  12.5%" in shown.customdata[1]
    assert "expects" not in shown.customdata[2]


def test_surprise_of_a_very_long_text_keeps_its_peak():
    loss = np.full(35_000, 0.5, dtype=np.float32)
    loss[0], loss[12_345] = np.nan, 14
    fig = loss_by_character(loss, "e" * 35_000)
    assert len(fig.data[0].y) <= LONG
    assert not np.isnan(fig.data[0].y).any()
    assert fig.data[0].y.max() == 14
    assert "most surprising" in fig.layout.xaxis.title.text


def test_a_text_and_values_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="values"):
        layers_by_character(values(2, 5), "abcd", "tanh(c)", SIGNED)
    with pytest.raises(ValueError, match="without characters"):
        layers_by_character(values(2, 0), "", "tanh(c)", SIGNED)


def test_one_character_has_a_picture():
    assert layers_by_character(values(2, 1), "a", "tanh(c)", SIGNED).data[0].z.shape == (2, 1)
    assert len(loss_by_character(np.array([np.nan]), "a").data[0].y) == 1


@pytest.mark.parametrize("rows", [256, 1000])
def test_a_long_text_stays_under_6_megabytes(rows):
    order = np.arange(rows)
    fig = units_by_character(values(rows, LONG), order, "<&>é" * 2_500, "tanh(c)", SIGNED)
    assert len(fig.to_json().encode()) < 6_000_000
    predictions = [[("<", 0.2)] * 5] * LONG
    fig = loss_by_character(np.ones(LONG), "<&>é" * 2_500, predictions)
    assert len(fig.to_json().encode()) < 6_000_000


def test_zero_is_the_middle_of_the_diverging_scale():
    for scale in (SIGNED, signed(7.5)):
        fig = layers_by_character(values(2, 9), "a" * 9, "c", scale)
        shown = fig.data[0]
        assert (shown.zmin + shown.zmax) / 2 == 0
        positions = np.array([position for position, _ in shown.colorscale])
        np.testing.assert_allclose(positions, 1 - positions[::-1], atol=1e-12)
    middle = theme.to_oklab([DIVERGING[127], DIVERGING[128]])
    assert (np.hypot(middle[:, 1], middle[:, 2]) < 0.02).all()
    assert (middle[:, 0] > 0.94).all()


def test_a_scale_without_extent_falls_back_to_one():
    for nothing in (0.0, np.nan, np.inf):
        assert (signed(nothing).low, signed(nothing).high) == (-1, 1)


def test_scales_are_even_and_order_by_lightness():
    assert len(DIVERGING) == len(SEQUENTIAL) == 256
    for colours in (DIVERGING[:128], DIVERGING[128:], SEQUENTIAL):
        assert all(re.fullmatch("#[0-9a-f]{6}", colour) for colour in colours)
        lab = theme.to_oklab(colours)
        steps = np.linalg.norm(lab[8:] - lab[:-8], axis=1)
        assert steps.max() < 1.6 * steps.min()
    lightness = theme.to_oklab(DIVERGING)[:, 0]
    np.testing.assert_allclose(lightness, lightness[::-1], atol=0.03)
    assert (np.diff(theme.to_oklab(SEQUENTIAL)[:, 0]) < 0.002).all()


def test_oklab_agrees_with_its_published_example_and_inverts():
    # Ottosson 2020: white is (1, 0, 0); sRGB red is (0.628, 0.225, 0.126).
    expected = [[1, 0, 0], [0.628, 0.225, 0.126]]
    np.testing.assert_allclose(theme.to_oklab(["#ffffff", "#ff0000"]), expected, atol=1e-3)
    colours = ["#123456", "#fedcba", "#00ff7f"]
    assert theme.from_oklab(theme.to_oklab(colours)) == colours


def test_models_differ_in_colour_and_in_pattern():
    styles = [tuple(theme.model_style(i).values()) for i in range(24)]
    assert len(set(styles)) == 24
    assert len({dash for _, dash in styles[:6]}) == 6


@pytest.mark.parametrize("layers", [1, 2, 6, 12])
def test_counts_darken_and_have_no_colour_of_a_layer(layers):
    colours = theme.count_colours(layers)
    assert len(set(colours)) == layers
    assert (np.diff(theme.to_oklab(colours)[:, 0]) < 0).all()
    assert not set(colours) & set(theme.layer_colours(layers))


def test_saturation_points_lead_to_their_unit():
    rng = np.random.default_rng(1)
    left, right, _ = np.moveaxis(rng.dirichlet([1, 1, 1], (3, 17)), 2, 0)
    fig = saturation_plot(right, left, "depth")
    assert len(fig.data) == 3
    for trace in fig.data:
        for x, y, (layer, unit) in zip(trace.x, trace.y, trace.customdata, strict=True):
            assert x == pytest.approx(left[layer, unit], abs=1e-6)
            assert y == pytest.approx(right[layer, unit], abs=1e-6)
    line = fig.layout.shapes[0]
    assert line.x0 + line.y0 == line.x1 + line.y1 == 1
    assert len({trace.marker.symbol for trace in fig.data}) == 3
    assert "depth" in fig.layout.xaxis.title.text


def test_gate_distribution_shows_every_count_and_the_shares_at_the_ends():
    counts = {
        "time": np.array([[10, 0, 0, 0, 0, 0, 0, 0, 30, 60], [50, 0, 0, 0, 50, 0, 0, 0, 0, 0]]),
        "depth": np.array([[0] * 9 + [7], [0] * 10]),
    }
    fig = gate_distribution(counts)
    assert len(fig.data) == 4
    shown = [trace.customdata[:, 0] for trace in fig.data]
    expected = [row / max(row.sum(), 1) for histogram in counts.values() for row in histogram]
    np.testing.assert_allclose(shown, expected)
    for trace in fig.data[:3]:
        assert trace.y.max() == 1
        np.testing.assert_allclose(trace.x, np.arange(0.05, 1, 0.1))
    notes = [note.text for note in fig.layout.annotations]
    assert notes.count("10% shut") == 1 and notes.count("60% open") == 1
    assert notes.count("50% shut") == 1 and notes.count("100% open") == 1


def test_gates_at_a_character_show_the_values_given():
    rng = np.random.default_rng(2)
    names = ["input", "forget", "output", "candidate", "cell", "hidden"]
    given = {f"{d}.{n}": rng.uniform(0, 1, 3) for d in ("time", "depth") for n in names}
    fig = gates_at_character(given)
    shown = {}
    for trace, dimension in zip(fig.data, ["time", "time", "depth", "depth"], strict=True):
        shown |= {f"{dimension}.{n}": column for n, column in zip(trace.x, trace.z.T, strict=True)}
    assert shown.keys() == given.keys()
    for name, column in given.items():
        np.testing.assert_array_equal(shown[name], column.astype(np.float32))


def test_a_stacked_model_has_one_table():
    fig = gates_at_character({"time.forget": np.ones(6), "time.cell": np.zeros(6)})
    assert {tuple(trace.x) for trace in fig.data} == {("forget",), ("cell",)}


def test_downloads_are_named_and_nothing_is_sent_away():
    config = theme.plot_config("cell layers", "svg")
    assert config["toImageButtonOptions"] == {
        "format": "svg",
        "filename": "cell layers",
        "scale": 2,
    }
    assert config["showSendToCloud"] is False and config["displaylogo"] is False
