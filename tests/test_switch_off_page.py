"""The page that holds units at a value and shows what is lost, and its pictures."""

import base64
import math

import app_checkpoints
import numpy as np
import pandas as pd
import pytest
from app_pages import (
    captions,
    checked,
    chosen_cell,
    drawn,
    figures,
    go,
    mark,
    paste,
    press,
    said,
    upload_models,
)

from dashboard import words
from dashboard.screens.switch_off import ablation, charts
from dashboard.screens.switch_off import samples as held_samples
from gridlstm.analysis.properties import inside_url
from gridlstm.checkpoint import load_model
from gridlstm.clamps import Clamp
from gridlstm.intervention import ablate, losses
from gridlstm.sampling import sample
from gridlstm.text import character_losses, from_string, printable_byte
from gridlstm.trace import trace

PAGE = "switch_off"
TEXT = (
    "Voilà: see http://example.org/a?b=1 for more, [http://www.é.org/ßß ünd] so on.\n"
    "A second line with www.example.net in it, and 42 words. "
)
MARKS = inside_url(TEXT)


def bits(path, characters: str, clamps: list[Clamp]) -> np.ndarray:
    """Surprise in bits [character], not by way of the page."""
    text, model = from_string(characters), load_model(path)[0]
    return character_losses(text, losses(model, text.data, [clamps])[0]) / math.log(2)


def values(path, characters: str, quantity: str, layer: int, unit: int) -> np.ndarray:
    """A unit at each character, as far as the page keeps it: float64 [character]."""
    text = from_string(characters)
    kept = trace(load_model(path)[0], text.data, [quantity]).values[quantity]
    return kept[layer - 1, text.last_byte, unit].astype(np.float64)


def opened(visit, characters: str = TEXT, **link):
    return go(paste(visit(**link), characters), PAGE)


def metrics(app) -> dict[str, str]:
    """The means by part of the text and state, in the order in which they stand on the page."""
    labels = ["As it is, bits", "Held, bits"]
    assert [metric.label for metric in app.metric] == labels * (len(app.metric) // 2)
    parts = ("Whole text", "Inside", "Outside")
    names = [f"{part}, {state}" for part in parts for state in ("as it is", "held")]
    return dict(zip(names, (metric.value for metric in app.metric), strict=False))


def select(app, start: int, end: int):
    """Select characters in the coloured text, as its component would tell it."""
    chosen = {"text": drawn(app, "change")["text"], "start": start, "end": end}
    app.session_state["change"] = {"selection": chosen}
    return checked(app.run())


def hold_at(app, at: str):
    return checked(app.segmented_control(key="held_at").set_value(at).run())


def assert_shows(app, path, clamps: list[Clamp], characters: str = TEXT, marks=MARKS) -> None:
    """The coloured text and the means are those of these holds."""
    before, after = bits(path, characters, []), bits(path, characters, clamps)
    np.testing.assert_allclose(drawn(app, "change")["values"][0], after - before, atol=2e-3)
    shown = metrics(app)
    parts = {"Whole text": np.ones_like(marks), "Inside": marks, "Outside": ~marks}
    for name, where in parts.items():
        for state, right in (("as it is", before), ("held", after)):
            mean = np.nanmean(right[where])
            assert float(shown[f"{name}, {state}"]) == pytest.approx(mean, abs=1e-3)


# -- What is lost ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("model", "quantity"), [("grid-3", "depth.cell"), ("grid-3", "time.cell"), ("stacked-2",) * 2]
)
@pytest.mark.parametrize("at", ["zero", "mean", "mean inside", "mean outside"])
def test_a_cell_held_at_each_value_costs_what_it_does_without_the_page(
    visit, shipped, model, quantity, at
):
    quantity = "time.cell" if quantity == model else quantity
    app = hold_at(opened(visit, model=model, quantity=quantity, layer="2", unit="3"), at)
    path = shipped / f"{model}.safetensors"
    kept = values(path, TEXT, quantity, 2, 3)
    value = {
        "zero": 0.0,
        "mean": kept.mean(),
        "mean inside": kept[MARKS].mean(),
        "mean outside": kept[~MARKS].mean(),
    }[at]
    assert said(app) == []
    assert_shows(app, path, [Clamp(quantity, 2, 3, value)])


@pytest.mark.parametrize(("at", "value"), [("closed", 0.0), ("open", 1.0)])
def test_a_forget_gate_closed_or_open(visit, shipped, at, value):
    app = opened(visit, model="grid-3", quantity="depth.forget", layer="1", unit="5")
    assert "zero" not in app.segmented_control(key="held_at").options
    hold_at(app, at)
    clamp = Clamp("depth.forget", 1, 5, value)
    assert_shows(app, shipped / "grid-3.safetensors", [clamp])


def test_a_value_of_ones_own(visit, shipped):
    app = opened(visit, model="grid-3", quantity="time.cell", layer="3", unit="1")
    hold_at(app, "own")
    kept = values(shipped / "grid-3.safetensors", TEXT, "time.cell", 3, 1)
    slider = app.slider[0]
    assert (slider.min, slider.max) == (kept.min(), kept.max())
    assert slider.value == pytest.approx(kept.mean(), abs=1e-6)
    value = float(kept.min() + 0.25 * (kept.max() - kept.min()))
    checked(slider.set_value(value).run())
    clamp = Clamp("time.cell", 3, 1, value)
    assert_shows(app, shipped / "grid-3.safetensors", [clamp])
    # Another unit has another range; the value of the first is not carried over.
    checked(app.number_input(key="unit").set_value(2).run())
    other = values(shipped / "grid-3.safetensors", TEXT, "time.cell", 3, 2)
    assert (app.slider[0].min, app.slider[0].max) == (other.min(), other.max())


def test_a_unit_that_never_varies_has_no_slider_but_a_sentence(visit, folder):
    from gridlstm.checkpoint import write_checkpoint

    tensors = app_checkpoints.random_tensors(app_checkpoints.STACKED)
    zeros = {name: np.zeros_like(tensor) for name, tensor in tensors.items()}
    path = folder / "still.safetensors"
    write_checkpoint(path, zeros, app_checkpoints.about(app_checkpoints.STACKED))
    app = opened(visit, folder=folder, model="still", quantity="time.cell", layer="1", unit="0")
    hold_at(app, "own")
    assert len(app.slider) == 0 and "never varies: it is 0.000" in captions(app)
    assert set(np.nan_to_num(drawn(app, "change")["values"][0])) == {0}


def test_several_units_are_held_at_once_and_taken_off_the_list(visit, shipped):
    app = opened(visit, model="grid-3", quantity="time.cell", layer="1", unit="2")
    press(app, "Add to the list")
    checked(app.selectbox(key="quantity").set_value("depth.forget").run())
    hold_at(app, "open")
    path = shipped / "grid-3.safetensors"
    first, second = Clamp("time.cell", 1, 2, 0.0), Clamp("depth.forget", 1, 2, 1.0)
    assert_shows(app, path, [first, second])
    press(app, "Add to the list")
    checked(app.number_input(key="unit").set_value(7).run())
    third = Clamp("depth.forget", 1, 7, 1.0)
    assert_shows(app, path, [first, second, third])
    checked(app.button(key="remove_0").click().run())
    assert_shows(app, path, [second, third])
    checked(app.button(key="remove_0").click().run())
    assert_shows(app, path, [third])


def test_the_list_is_of_one_model(visit, shipped):
    app = opened(visit, model="grid-3", quantity="time.cell", layer="1", unit="2")
    press(app, "Add to the list")
    checked(app.selectbox(key="model").set_value("stacked-2").run())
    assert not any(button.label == "Remove" for button in app.button)
    checked(app.number_input(key="unit").set_value(4).run())
    clamp = Clamp("time.cell", 1, 4, 0.0)
    assert_shows(app, shipped / "stacked-2.safetensors", [clamp])
    checked(app.selectbox(key="model").set_value("grid-3").run())
    assert [button.label for button in app.button].count("Remove") == 1


def test_a_chosen_unit_that_is_on_the_list_is_held_as_chosen(visit, shipped):
    app = opened(visit, model="grid-3", quantity="time.cell", layer="1", unit="2")
    press(app, "Add to the list")
    hold_at(app, "mean")
    mean = values(shipped / "grid-3.safetensors", TEXT, "time.cell", 1, 2).mean()
    clamp = Clamp("time.cell", 1, 2, mean)
    assert_shows(app, shipped / "grid-3.safetensors", [clamp])


def test_a_listed_unit_whose_value_needs_a_property_is_left_out_with_a_sentence(visit, shipped):
    app = opened(visit, model="grid-3", quantity="time.cell", layer="1", unit="2")
    hold_at(app, "mean inside")
    press(app, "Add to the list")
    checked(app.number_input(key="unit").set_value(4).run())
    checked(app.selectbox(key="property").set_value("bold").run())
    assert len(said(app)) == 1 and "holds for no character" in said(app)[0]
    assert any("unit 2 is not held" in words_of for words_of in markdown(app))
    clamp = Clamp("time.cell", 1, 4, 0.0)
    after = bits(shipped / "grid-3.safetensors", TEXT, [clamp])
    assert float(metrics(app)["Whole text, held"]) == pytest.approx(np.nanmean(after), abs=1e-3)


def markdown(app) -> list[str]:
    return [element.value.replace("\\", "") for element in app.markdown]


def test_the_cell_is_the_one_chosen_on_the_cells_page(visit):
    app = paste(visit(model="grid-3", quantity="depth.forget", layer="3", unit="6"), TEXT)
    go(app, "cells")
    go(app, PAGE)
    state = app.session_state
    assert (state["quantity"], state["layer"], state["unit"]) == ("depth.forget", 3, 6)
    assert any("Depth forget gate, layer 3, unit 6, at **0.000**" in m for m in markdown(app))
    checked(go(app, "cells").selectbox(key="quantity").set_value("depth.output").run())
    go(app, PAGE)
    assert any("Depth memory (cell c), layer 3, unit 6, at" in m for m in markdown(app))
    offered = app.selectbox(key="quantity").options
    held_ones = [f"{d}.{k}" for d in ("time", "depth") for k in ("cell", "forget")]
    assert offered == [words.QUANTITIES[q].label for q in held_ones]
    assert len(go(app, "cells").selectbox(key="quantity").options) == 12


def test_the_suggested_cell_of_one_page_is_that_of_the_next(visit):
    """Also where nobody chose it: the widgets of another page show it from their first run on."""
    app = go(paste(visit(model="grid-3"), TEXT), "cells")
    state = app.session_state
    layer, unit = state["layer"], state["unit"]
    assert (layer, unit) != (1, 0)
    label = words.QUANTITIES[state["quantity"]].label
    go(app, PAGE)
    assert any(f"{label}, layer {layer}, unit {unit}, at" in line for line in markdown(app))
    assert drawn(go(app, "cells"))["title"].endswith(f"layer {layer}, unit {unit}")


def test_a_property_that_marks_nothing_is_told_with_those_that_do_and_the_whole_is_shown(visit):
    app = opened(visit, "No address (none at all) is in here.")
    assert len(said(app)) == 1 and "holds for no character of this text" in said(app)[0]
    assert "Others that this text has: inside parentheses." in said(app)[0]
    assert set(metrics(app)) == {"Whole text, as it is", "Whole text, held"}
    assert "mean inside" not in app.segmented_control(key="held_at").options
    assert not any(button.label == "Start" for button in app.button)


def test_a_pattern_of_ones_own_splits_the_loss(visit, shipped):
    app = go(paste(visit(model="grid-3", quantity="time.cell", layer="1", unit="0"), TEXT), "find")
    checked(app.selectbox(key="property").set_value("pattern").run())
    checked(app.text_input(key="pattern").set_value(r"\bs\w+").run())
    go(app, PAGE)
    marks = np.zeros_like(MARKS)
    for word in ("see", "so", "second"):
        start = TEXT.index(f"{word} ") if word != "so" else TEXT.index("so on")
        marks[start : start + len(word)] = True
    clamp = Clamp("time.cell", 1, 0, 0.0)
    assert_shows(app, shipped / "grid-3.safetensors", [clamp], marks=marks)


def test_a_long_text_is_cut_with_a_caption(visit):
    app = opened(visit, "Ä long http://example.org/ text. " * 200)
    assert "cut to its first 5,000 characters" in captions(app)
    assert len(drawn(app, "change")["characters"]) == 5_000


@pytest.mark.parametrize(
    "characters",
    ["x", "\U0001f600", "\n", "a\0b\x1b[31m\x85", "<script>alert(1)</script> http://e.org/<b>"],
)
def test_any_text(visit, characters):
    app = opened(visit, characters)
    assert drawn(app, "change")["characters"] == characters
    select(app, len(characters) - 1, len(characters))
    assert "chances" in figures(app) and len(app.code) == 2
    assert len(said(app)) == (not inside_url(characters).any())


def test_a_text_that_is_all_inside_but_for_its_first_character(visit):
    app = opened(visit, "(http://a.org/b")
    shown = metrics(app)
    assert shown["Outside, held"] == "—" and shown["Inside, held"] != "—"
    press(app, "Start")
    assert said(app) == ["The property must hold of a part of the text, not of all of it."]


def test_an_uploaded_model_is_held_too(visit, tmp_path):
    config = app_checkpoints.ModelConfig("grid", 2, 6, "none")
    path = app_checkpoints.checkpoint(tmp_path / "own.safetensors", config, seed=3)
    app = upload_models(opened(visit), ("own.safetensors", path.read_bytes()))
    go(app, PAGE)
    checked(app.selectbox(key="model").set_value("own (mine)").run())
    checked(app.number_input(key="unit").set_value(5).run())
    state = app.session_state
    clamp = Clamp(state["quantity"], state["layer"], 5, 0.0)
    assert said(app) == []
    assert_shows(app, path, [clamp])


# -- At a character -------------------------------------------------------------------------------


def test_a_clicked_character_shows_the_chances_and_is_written_on_from(visit, shipped):
    app = opened(visit, model="stacked-2", quantity="time.cell", layer="1", unit="3")
    hold_at(app, "mean outside")
    at = TEXT.index("org/ß")
    select(app, at, at + 1)
    path, text = shipped / "stacked-2.safetensors", from_string(TEXT)
    model = load_model(path)[0]
    kept = values(path, TEXT, "time.cell", 1, 3)
    clamp = Clamp("time.cell", 1, 3, kept[~MARKS].mean())
    byte = int(text.last_byte[at])
    before = trace(model, text.data, ()).next_token[byte]
    after = trace(model, text.data, (), clamps=[clamp]).next_token[byte]
    bars = figures(app)["chances"]["data"]
    expected = charts.next_token_probabilities(before, after)
    for bar, right in zip(bars, expected.data, strict=True):
        assert bar["name"] == right.name
        np.testing.assert_allclose(decoded(bar["x"]), right.x, atol=1e-3)
    assert "goes on with **r**" in captions(app)
    prime = text.data[: byte + 1]
    for block, clamps in zip(app.code, ([], [clamp]), strict=True):
        right = bytes(sample(model, prime, 300, temperature=0.8, seed=1, clamps=clamps))
        assert block.value == right.decode("utf-8", "replace")
    checked(app.number_input(key="sample_seed").set_value(9).run())
    right = bytes(sample(model, prime, 300, temperature=0.8, seed=9))
    assert app.code[0].value == right.decode("utf-8", "replace")


@pytest.mark.parametrize(
    ("link", "right"), [("7", 7), ("-5", 1), ("99999999999", 1), ("no number", 1)]
)
def test_a_seed_in_a_link_is_taken_if_it_can_be_chosen(visit, link, right):
    app = opened(visit, model="stacked-2", sample_seed=link)
    assert app.number_input(key="sample_seed").value == right


def decoded(array) -> np.ndarray:
    """A list of numbers in plotly's JSON: plain, or in base64."""
    if isinstance(array, dict):
        return np.frombuffer(base64.b64decode(array["bdata"]), array["dtype"])
    return np.array(array)


def test_without_a_click_it_writes_on_from_the_beginning(visit, shipped):
    characters = "All in ASCII, see http://example.org/ for it. " * 9
    app = opened(visit, characters, model="grid-3")
    model = load_model(shipped / "grid-3.safetensors")[0]
    prime = characters.encode()[:200]
    right = bytes(sample(model, prime, 300, temperature=0.8, seed=1))
    assert app.code[0].value == right.decode("utf-8", "replace")
    assert "chances" not in figures(app)


def test_what_is_read_before_writing_begins_between_two_characters():
    text = from_string("ab" + "é" * 300)
    assert held_samples.prime_of(text, 1) == b"ab"
    assert held_samples.prime_of(text, 301) == "é".encode() * 100
    odd = from_string("x" + "é" * 99 + "y" + "é" * 50)
    assert held_samples.prime_of(odd, 150) == ("é" * 49 + "y" + "é" * 50).encode()[-199:]
    assert held_samples.prime_of(text, None) == ("ab" + "é" * 99).encode()


# -- Used, or only going along --------------------------------------------------------------------


def test_the_table_is_that_of_the_best_cells_and_others_at_random(visit, shipped):
    app = opened(visit, model="grid-3")
    assert len(app.dataframe) == 0
    press(app, "Start")
    assert said(app) == []
    shown = app.dataframe[0].value
    best = of_the_ranking(shown)
    assert list(best["Which"]) == [f"no. {n}" for n in range(1, 6)]
    cells = pd.DataFrame(
        {
            "layer": best["Layer"],
            "quantity": [quantity_of(label) for label in best["Quantity"]],
            "unit": best["Unit"],
        }
    )
    model, text = load_model(shipped / "grid-3.safetensors")[0], from_string(TEXT)
    right = ablate(model, text, MARKS, cells.reset_index(drop=True), "mean")
    right = right.sort_values("change_inside", ascending=False)
    assert shown["Inside"].is_monotonic_decreasing and len(shown) == len(right)
    np.testing.assert_allclose(shown["Inside"], right["change_inside"] / math.log(2), atol=1e-5)
    np.testing.assert_allclose(
        np.sort(shown["Outside"]), np.sort(right["change_outside"]) / math.log(2), atol=1e-5
    )
    points = {trace["name"]: trace for trace in figures(app)["cost"]["data"]}
    assert len(decoded(points["top of the ranking"]["x"])) == 5
    # It stays while something else is chosen, and goes with another text.
    assert len(checked(app.number_input(key="sample_seed").set_value(2).run()).dataframe) == 1
    assert len(checked(app.selectbox(key="ablated_at").set_value("zero").run()).dataframe) == 0


def of_the_ranking(table: pd.DataFrame) -> pd.DataFrame:
    return table[table["Which"] != "at random"].sort_values("Which")


def quantity_of(label: str) -> str:
    return next(q for q, word in words.QUANTITIES.items() if word.label == label)


def test_the_best_cells_are_those_of_the_ranking_of_memories(visit, shipped):
    from gridlstm.analysis.ranking import rank_units

    app = press(opened(visit, model="stacked-2"), "Start")
    text = from_string(TEXT)
    cell = trace(load_model(shipped / "stacked-2.safetensors")[0], text.data, ["time.cell"]).values
    right = rank_units(cell, MARKS, text.last_byte, top=5)
    best = of_the_ranking(app.dataframe[0].value)
    assert list(zip(best["Layer"], best["Unit"], strict=True)) == list(
        zip(right["layer"], right["unit"], strict=True)
    )


def test_the_table_of_a_model_whose_memory_is_its_hidden_state(visit, folder):
    config = app_checkpoints.ModelConfig("gru", 2, 8)
    app_checkpoints.checkpoint(folder / "gru.safetensors", config, seed=4)
    app = press(opened(visit, folder=folder, model="gru"), "Start")
    assert said(app) == []
    quantities = {quantity_of(label) for label in app.dataframe[0].value["Quantity"]}
    assert quantities == {"time.hidden"}


def test_a_click_in_the_table_opens_its_cell(visit):
    app = press(opened(visit, model="grid-3"), "Start")
    row = app.dataframe[0].value.iloc[7]
    mark(app, "ablation", 7, "Inside")
    assert app.title[0].value == "Cells"
    assert chosen_cell(app)[1:] == (row["Layer"], row["Unit"])
    assert words.QUANTITIES[chosen_cell(app)[0]].label == row["Quantity"]


def test_a_cancelled_table_is_not_kept(visit, monkeypatch):
    """A visitor who presses a button ends the script where it tells how far it is."""
    from streamlit.runtime.scriptrunner_utils.exceptions import StopException

    def pressed(*arguments, progress, **options):
        progress(0.5)
        raise StopException

    with monkeypatch.context() as patched:
        patched.setattr(ablation, "ablate", pressed)
        app = press(opened(visit, f"{TEXT} Not read before.", model="grid-3"), "Start")
        assert len(app.dataframe) == 0
        assert any(button.label == "Cancel" for button in app.button)
    assert len(checked(app.run()).dataframe) == 0
    assert not any(button.label == "Cancel" for button in app.button)
    assert len(press(app, "Start").dataframe) == 1


# -- The pictures ---------------------------------------------------------------------------------


def test_the_chances_are_of_the_likeliest_bytes_of_either():
    before, after = np.zeros(256), np.zeros(256)
    before[[60, 32, 200]] = 0.6, 0.3, 0.1
    after[[38, 32]] = 0.8, 0.2
    fig = charts.next_token_probabilities(before, after, 4)
    assert list(fig.layout.yaxis.ticktext) == ["&amp;", "&lt;", printable_byte(32), "byte C8"]
    np.testing.assert_allclose(fig.data[0].x, [0, 0.6, 0.3, 0.1])
    np.testing.assert_allclose(fig.data[1].x, [0.8, 0, 0.2, 0])
    assert [bar.name for bar in fig.data] == ["as it is", "held"]
    low, high = fig.layout.yaxis.range
    assert low > high  # the first is on top


ROWS = pd.DataFrame(
    {
        "kind": ["chosen", "random", "random"],
        "layer": [1, 1, 1],
        "quantity": ["time.cell"] * 3,
        "unit": [3, 4, 5],
        "change_inside": [0.5, -0.1, 0.02],
        "change_outside": [0.2, 0.0, 0.01],
    }
)


def test_units_stand_at_what_they_cost():
    fig = charts.cost_of_units(ROWS)
    points = {found.name: found for found in fig.data}
    assert list(points["top of the ranking"].x) == [0.2]
    assert list(points["top of the ranking"].y) == [0.5]
    assert list(points["at random, same layers"].y) == [-0.1, 0.02]
    assert list(points["top of the ranking"].customdata[0]) == ["time.cell", "1", "3"]
    diagonal = fig.layout.shapes[-1]
    assert (diagonal.x0, diagonal.x1) == (diagonal.y0, diagonal.y1) == (0, 0.2)


def test_a_picture_without_units_at_random():
    fig = charts.cost_of_units(ROWS.iloc[:1])
    assert [len(found.x) for found in fig.data] == [0, 1]
