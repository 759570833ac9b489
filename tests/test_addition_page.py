"""The page Addition: what a model that adds answers, and its memory meanwhile."""

import app_checkpoints
import numpy as np
import pytest
from app_pages import captions, checked, chosen_cell, figures, go, mark, press, said

from dashboard import words
from dashboard.charts.cells import layers_by_character
from dashboard.charts.theme import SIGNED
from dashboard.screens.addition import charts
from gridlstm import carry
from gridlstm.addition import MAX_BYTES_MEASURED, Layout, Sums, carries_of
from gridlstm.carry import rank_by_carry
from gridlstm.checkpoint import load_model
from gridlstm.config import ModelConfig
from gridlstm.trace import trace
from gridlstm.training.tasks import validate_addition

PAGE = "addition"
ADDS = {"task": "addition", "digits": 3, "length": 14}
CONFIG = ModelConfig("grid", 2, 8, "all")


@pytest.fixture
def adder(folder):
    """A model with random weights that says that it was trained to add."""
    return app_checkpoints.checkpoint(folder / "adder.safetensors", CONFIG, 5, training=ADDS)


def opened(visit, folder, first="123", second="899", **link):
    app = visit(PAGE, folder=folder, **link)
    app.text_input(key="first_number").set_value(first)
    app.text_input(key="second_number").set_value(second)
    return checked(app.run())


def written(figure: dict) -> list[str]:
    """The signs in a written sum, line by line."""
    lines: dict[float, list] = {}
    for note in figure["layout"]["annotations"]:
        lines.setdefault(note["y"], []).append((note["x"], note["text"]))
    return [" ".join(text for _, text in sorted(lines[y]) if text) for y in sorted(lines)]


def test_the_answer_is_the_model_s(visit, folder, adder):
    app = opened(visit, folder)
    assert said(app) == []
    probabilities = trace(load_model(adder)[0], b"--123+899=----", ()).next_token[-5:]
    lines = written(figures(app)["sum"])
    assert lines[:4] == ["1 1 1", "1 2 3", "8 9 9", "1 0 2 2 ⏎"]
    assert lines[5] == " ".join(f"{chance:.0%}" for chance in probabilities.max(axis=1))
    right = list(b"1022\n")
    wrong = (probabilities.argmax(axis=1) != right).sum()
    assert wrong and lines[6] == " ".join(["wrong"] * wrong)
    sentence = next(m.value for m in app.markdown if "model answers" in m.value)
    assert "**1022**" in sentence and "wrong at" in sentence


def test_a_short_number_gets_leading_zeros(visit, folder, adder):
    app = opened(visit, folder, " 7", "50")
    assert written(figures(app)["sum"])[1:4] == ["0 0 7", "0 5 0", "0 0 5 7 ⏎"]


def test_the_memory_is_that_of_the_trace(visit, folder, adder):
    app = opened(visit, folder, quantity="time.cell", layer="2", unit="3")
    values = trace(load_model(adder)[0], b"--123+899=----", ["time.cell"]).values["time.cell"]
    layers = figures(app)["layers"]
    shown = layers["data"][0]["z"]
    assert np.shape(values[:, :, 3]) == (2, 14)
    np.testing.assert_allclose(
        unpacked(shown), np.tanh(values[:, :, 3].astype(np.float32)), atol=1e-3
    )
    ticks = layers["layout"]["xaxis"]["ticktext"]
    assert [tick.split("<br>")[0] for tick in ticks] == list("--123+899=----")
    assert [tick.endswith("carry") for tick in ticks] == [False] * 9 + [True] * 3 + [False] * 2
    units = figures(app)["units"]
    assert units["layout"]["xaxis"]["ticktext"] == ticks
    assert unpacked(units["data"][0]["z"]).shape == (8, 14)


def unpacked(array) -> np.ndarray:
    """An array in plotly's JSON: plain, or in base64."""
    import base64

    if not isinstance(array, dict):
        return np.array(array)
    flat = np.frombuffer(base64.b64decode(array["bdata"]), array["dtype"])
    return flat.reshape([int(size) for size in array["shape"].split(",")])


def test_the_accuracy_is_measured_on_sums_not_trained_on(visit, folder, adder):
    layout = Layout(3, 14)
    questions = Sums(layout, 0.95).validation()
    found = validate_addition(load_model(adder)[0], *layout.lay_out(questions), layout)
    shown = captions(opened(visit, folder))
    assert "Of 1,000 sums" in shown and f"{found.accuracy:.1%} right" in shown
    assert f"{found.digit_accuracy:.1%} of the single digits" in shown


def test_the_cell_at_first_follows_the_carry_best(visit, folder, adder):
    app = opened(visit, folder)
    best = rank_by_carry(load_model(adder)[0], Layout(3, 14), 0.95)
    table = app.dataframe[0].value
    assert list(table["Unit"]) == list(best["unit"][:8])
    assert list(table["Quantity"]) == [words.QUANTITIES[q].label for q in best["quantity"][:8]]
    assert chosen_cell(app) == cell_in(best, 0)


def cell_in(table, row: int) -> tuple:
    return tuple(table.iloc[row][["quantity", "layer", "unit"]])


def test_a_click_in_a_row_chooses_its_cell_and_another_can_be_chosen_after(visit, folder, adder):
    app = opened(visit, folder)
    best = rank_by_carry(load_model(adder)[0], Layout(3, 14), 0.95)
    mark(app, "followers", 3, "Follows the carry")
    assert app.title[0].value == "Addition" and chosen_cell(app) == cell_in(best, 3)
    quantity, layer, unit = cell_in(best, 3)
    checked(app.number_input(key="unit").set_value((unit + 1) % 8).run())
    assert chosen_cell(app) == (quantity, layer, (unit + 1) % 8)
    mark(app, "followers", 3, "Follows the carry")
    assert chosen_cell(app) == cell_in(best, 3)


def test_the_suggested_cell_is_the_one_that_follows_the_carry_and_the_button_says_so(
    visit, folder, adder
):
    app = opened(visit, folder, quantity="depth.cell", layer="1", unit="6")
    assert chosen_cell(app) == ("depth.cell", 1, 6)
    button = app.button(key="suggest")
    assert "follows the carry" in button.help and "web address" not in button.help
    press(app, "Suggest a cell")
    best = rank_by_carry(load_model(adder)[0], Layout(3, 14), 0.95)
    assert chosen_cell(app) == cell_in(best, 0)
    assert "web addresses" in go(app, "cells").button(key="suggest").help


def test_a_cell_that_the_model_does_not_have_is_replaced_by_the_suggested_one(visit, folder, adder):
    app = opened(visit, folder, quantity="time.chess", layer="99", unit="-1")
    best = rank_by_carry(load_model(adder)[0], Layout(3, 14), 0.95)
    assert chosen_cell(app) == cell_in(best, 0)


BAD = ["", "12a", "1234", "-5", "1.5", "٣", "½", "<b>1</b>", "1 2", "9" * 200, "\0", "0x1", "1e2"]


def test_what_is_no_number_is_one_sentence(visit, folder, adder):
    app = opened(visit, folder)
    for number, typed in enumerate(BAD):
        key = ("first_number", "second_number")[number % 2]
        checked(app.text_input(key=key).set_value(typed).run())
        assert len(said(app)) == 1 and len(said(app)[0]) < 150, typed
        assert "sum" not in figures(app)
        app.text_input(key=key).set_value("12")
    assert "sum" in figures(checked(app.run()))


def test_what_a_file_says_of_its_sums_does_not_set_how_much_is_read(visit, folder):
    """The longest sums that there can be: as many of them as have so many bytes together."""
    training = {"task": "addition", "digits": 100, "length": 1000}
    app_checkpoints.checkpoint(folder / "adder.safetensors", CONFIG, 5, training=training)
    app = opened(visit, folder, "9" * 100, "1")
    assert said(app) == [] and f"Of {MAX_BYTES_MEASURED // 1000} sums" in captions(app)
    assert Layout(2, 9).samples_within(1000, MAX_BYTES_MEASURED) == 1000
    assert Layout(2, 9).samples_within(1000, 8) == 1


def test_without_a_model_that_adds_it_is_one_sentence(visit, folder):
    app = visit(PAGE, folder=folder)
    assert len(said(app)) == 1 and "--task addition" in said(app)[0]


WRONG = [{"digits": 10**9}, {"digits": "3"}, {"length": 5}, {"task": "chess"}, {"digits": None}]


@pytest.mark.parametrize("changed", WRONG, ids=str)
def test_a_checkpoint_that_tells_nonsense_is_not_offered(visit, folder, changed):
    app_checkpoints.checkpoint(folder / "adder.safetensors", CONFIG, training=ADDS | changed)
    assert "--task addition" in said(visit(PAGE, folder=folder))[0]


def test_other_pages_read_with_a_model_that_adds(visit, folder, adder):
    app = go(visit(folder=folder, model="adder"), "cells")
    assert app.selectbox(key="model").value == "adder" and not app.exception


@pytest.mark.parametrize("config", [CONFIG, ModelConfig("stacked", 3, 5)], ids=["grid", "stacked"])
@pytest.mark.parametrize("values", [1, 2**22])
@pytest.mark.usefixtures("each_way")
def test_who_follows_the_carry(make_model, monkeypatch, config, values):
    """Against each pair read alone, and the chance that a carry has the higher value."""
    monkeypatch.setattr(carry, "MAX_VALUES_AT_ONCE", values)
    monkeypatch.setattr(carry, "SAMPLES_AT_ONCE", 25 if values == 1 else 128)
    model = make_model(config.architecture, config.layers, config.units, config.tie)
    layout, samples = Layout(2, 9), 60
    table = rank_by_carry(model, layout, 0.95, samples)
    quantities = [f"{dimension}.cell" for dimension in config.dimensions]
    marks, values = [], []
    for pair in Sums(layout, 0.95).validation(samples):
        first, second = (int("".join(map(str, number))) for number in pair)
        traced = trace(model, layout.question(first, second), quantities, dtype=np.float32)
        # The tens of the sum are answered at the first byte of padding.
        values.append([traced.values[quantity][:, 6] for quantity in quantities])
        marks.append(carries_of(first, second, 2)[1])
    values, marks = np.array(values), np.array(marks)
    assert 10 < marks.sum() < 50 and len(table) == values[0].size
    for _, row in table.iterrows():
        of_unit = values[:, quantities.index(row["quantity"]), row["layer"] - 1, row["unit"]]
        higher = of_unit[marks][:, None] - of_unit[~marks][None]
        expected = ((higher > 0) + 0.5 * (higher == 0)).mean()
        assert row["auc"] == pytest.approx(expected, abs=0.01)
    assert table["score"].is_monotonic_decreasing


def test_a_written_sum():
    answer, right = b"1<22\n", b"1022\n"
    figure = charts.written_sum(
        np.array([[1, 2, 3], [8, 9, 9]]),
        np.array([True, True, True, False]),
        right,
        answer,
        np.array([1, 0.5, 0.25, 1, 1]),
    )
    assert written(figure.to_dict()) == [
        "1 1 1",
        "1 2 3",
        "8 9 9",
        "1 0 2 2 ⏎",
        "1 &lt; 2 2 ⏎",
        "100% 50% 25% 100% 100%",
        "wrong",
    ]
    colours = [shape.fillcolor for shape in figure.layout.shapes if shape.type == "rect"]
    assert colours == [charts.RIGHT, charts.WRONG, *[charts.RIGHT] * 3]


@pytest.mark.parametrize("answer", [b"1022\n", b"1023\n"])
def test_every_sign_of_a_written_sum_is_in_the_picture_which_ends_with_the_last(answer):
    operands, carries = np.array([[1, 2, 3], [8, 9, 9]]), np.array([True, True, True, False])
    figure = charts.written_sum(operands, carries, b"1022\n", answer, np.ones(5))
    below, above = figure.layout.yaxis.range
    rows = [note.y for note in figure.layout.annotations]
    assert above < min(rows) and max(rows) < below < max(rows) + 1


def test_carries_are_framed():
    carries = carries_of(5, 15, 2)
    figure = charts.name_places(
        layers_by_character(np.zeros((2, 9)), "05+15=---", "tanh(c)", SIGNED),
        "05+15=---",
        b"020\n",
        carries,
    )
    frames = [(shape.x0, shape.x1) for shape in figure.layout.shapes]
    assert frames == [(6.5, 7.5)]
    assert figure.layout.xaxis.ticktext[5:] == (
        "=<br>0<br> ",
        "-<br>2<br>carry",
        "-<br>0<br> ",
        "-<br>⏎<br> ",
    )
