"""Two numbers are typed in a real browser: a trained model's answer, its memory, and what is no
number."""

import re

import numpy as np
import pytest
from accessibility import faults
from app_checkpoints import ROOT
from playwright.sync_api import expect
from test_browser import (  # noqa: F401  (fixtures)
    PATIENCE,
    address_of_shipped,
    browser,
    click_row,
    heading,
    named_in_address,
    rest,
    set_unit,
    window,
)

from dashboard import words
from gridlstm.addition import END, layout_of
from gridlstm.carry import rank_by_carry
from gridlstm.checkpoint import load_model
from gridlstm.trace import trace

pytestmark = pytest.mark.browser
NAME = "addition-grid-tied"
PAGE = f"addition?adder={NAME}"


@pytest.fixture(scope="module")
def address(address_of_shipped):  # noqa: F811
    return address_of_shipped


@pytest.fixture(scope="module")
def adder():
    """The model and how it lays out a sum."""
    model, metadata = load_model(ROOT / "checkpoints" / f"{NAME}.safetensors")
    return model, layout_of(metadata.training), metadata.data.train_fraction


def answer_of(adder, first: int, second: int) -> str:
    """What the model answers, not by way of the page."""
    model, layout, _ = adder
    probabilities = trace(model, layout.question(first, second), ()).next_token[-layout.answered :]
    return probabilities.argmax(axis=1).astype(np.uint8).tobytes().removesuffix(END).decode()


def opened(window):  # noqa: F811
    page = window(PAGE)
    heading(page, "Addition")
    page.get_by_text(re.compile("^The model answers")).wait_for()
    return page


def type_number(page, which: str, number: str) -> None:
    box = page.get_by_role("textbox", name=f"{which} number")
    box.fill(number)
    box.press("Enter")


def plot(page, number: int):
    """The sum, the units of a layer, or a unit in every layer."""
    return page.get_by_test_id("stPlotlyChart").nth(number)


def digits(page) -> list[str]:
    """The signs of the written sum, line by line from the top."""
    return plot(page, 0).locator(".annotation-text").all_text_contents()


def test_two_numbers_are_typed_and_answered(window, adder):  # noqa: F811
    page = opened(window)
    type_number(page, "First", "47")
    type_number(page, "Second", "85")
    answer = answer_of(adder, 47, 85)
    assert answer == "132"
    page.get_by_text("The model answers 132: right.", exact=True).wait_for()
    named_in_address(page, first_number="47", second_number="85", adder=NAME)
    expect(plot(page, 0).locator(".annotation-text").first).to_be_attached(timeout=PATIENCE)
    shown = [sign for sign in digits(page) if sign.strip()]
    assert shown[:14] == list("11") + list("4785") + list("132⏎") + list("132⏎")
    assert "wrong" not in shown


def test_a_digit_tells_how_it_is_remembered(window):  # noqa: F811
    """A click on a digit of the written sum does nothing; the memory under it can be read."""
    page = opened(window)
    type_number(page, "Second", "9")
    page.get_by_text("The model answers 064: right.", exact=True).wait_for()
    rest(page)
    # The browser draws the sum some time after it has it.
    six = plot(page, 0).locator(".annotation-text").filter(has_text="6").first
    six.wait_for()
    before = digits(page)
    assert before
    six.click(force=True)
    rest(page)
    assert digits(page) == before
    layers = plot(page, 2)
    layers.scroll_into_view_if_needed()
    # The fifth of nine characters: 55+09=---
    box = layers.locator(".nsewdrag").bounding_box()
    page.mouse.move(box["x"] + box["width"] * 4.5 / 9, box["y"] + box["height"] / 2)
    label = layers.locator(".hoverlayer")
    expect(label).to_contain_text("layer 4", timeout=PATIENCE)
    expect(label).to_contain_text("character 5")


def test_a_click_on_a_row_chooses_its_cell_and_another_can_be_chosen_after(window, adder):  # noqa: F811
    model, layout, fraction = adder
    best = rank_by_carry(model, layout, fraction).head(8)
    page = opened(window)
    table = page.get_by_test_id("stDataFrame").first
    table.locator("#glide-cell-2-3").wait_for(state="attached")
    for row, x in ((1, 200), (3, 20), (2, 900)):
        click_row(page, table, row, x)
        cell = best.iloc[row]
        layer, unit = str(cell["layer"]), str(cell["unit"])
        named_in_address(page, quantity=cell["quantity"], layer=layer, unit=unit)
        expect(page.get_by_label("Unit", exact=True)).to_have_value(unit, timeout=PATIENCE)
        page.get_by_text(f"Unit {unit} in every layer", exact=True).wait_for()
        label = words.QUANTITIES[cell["quantity"]].label
        assert page.get_by_role("combobox", name="Quantity").input_value() == label
    other = (int(unit) + 1) % model.config.units
    set_unit(page, other)
    named_in_address(page, unit=str(other))
    page.get_by_text(f"Unit {other} in every layer", exact=True).wait_for()
    rest(page)
    named_in_address(page, unit=str(other))


HOSTILE = {
    "twelve": "digits 0 to 9",
    "-5": "digits 0 to 9",
    "": "digits 0 to 9",
    "1.5": "digits 0 to 9",
    "<img src=x onerror='window.harmed = 1'>": "digits 0 to 9",
    "123": "at most 2 digits; 123 has 3",
    "9" * 200: "at most 2 digits; " + "9" * 40 + " has 200",
}


@pytest.mark.parametrize("which", ["First", "Second"])
def test_what_is_no_number_is_one_sentence_and_the_page_goes_on(window, which):  # noqa: F811
    page = opened(window)
    for typed, sentence in HOSTILE.items():
        type_number(page, which, typed)
        alert = page.get_by_test_id("stAlert")
        expect(alert).to_contain_text(sentence, timeout=PATIENCE)
        rest(page)
        assert alert.count() == 1
        expect(page.get_by_test_id("stPlotlyChart")).to_have_count(0, timeout=PATIENCE)
    assert page.evaluate("window.harmed") is None
    type_number(page, which, "08")
    page.get_by_text(re.compile("^The model answers 0?[67][34]: right.$")).wait_for()
    expect(page.get_by_test_id("stAlert")).to_have_count(0, timeout=PATIENCE)


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_nothing_on_the_page_is_hard_to_see_or_without_a_name(window, theme):  # noqa: F811
    page = window(PAGE, theme=theme)
    heading(page, "Addition")
    assert faults(page) == []
