"""The coloured text in a real browser: what it shows, in which colours, and what it reports."""

import io
import re
from pathlib import Path

import app_checkpoints
import numpy as np
import pytest
import streamlit as st
from PIL import Image

from dashboard.charts.theme import DIVERGING
from dashboard.coloured_text import (
    Place,
    Scale,
    Selection,
    as_selected,
    cell_scale,
    coloured_text,
    gate_scale,
    selected_in,
    surprise_scale,
)

TEXT = (
    "a <script>alert(1)</script>\n\tשלום 🇩🇪👨\u200d👩 \x00é"
    "\n\nend of the first lines, and more words to fill the width of a narrow column"
)
SHOWN = (
    "a <script>alert(1)</script> \n\tשלום 🇩🇪👨▯👩 ␀é"
    " \n \nend of the first lines, and more words to fill the width of a narrow column"
)
OTHER = "another text, of its own"
MORE = "".join(f"\nline {number} of what is written on" for number in range(60))

SCRIPT = """
import numpy as np
import streamlit as st
from dashboard.coloured_text import Likeliest, Place, cell_scale, coloured_text
from test_coloured_text import MORE, OTHER, TEXT, losses, values

text = OTHER if st.checkbox("other text") else TEXT
for longer in ("more", "still more"):
    text += MORE if st.checkbox(longer) else ""
from_end = st.checkbox("from end")
height = 160 if st.checkbox("low") else 4000
seed = 2 if st.checkbox("other values") else 1
space = st.checkbox("white space")
place = Place(6, 9, call=1) if st.checkbox("place") else None
guesses = Likeliest(
    np.tile(np.array([101, 32, 10, 0xC3, 60]), (len(text), 1)),
    np.tile(np.array([0.5, 0.25, 0.125, 0.0625, 0.03125], np.float32), (len(text), 1)),
)
selection = coloured_text(
    text, values(seed, len(text)), rows=["layer 1", "layer 2", "layer 3 (top)"], chosen_row=1,
    scale=cell_scale("tanh(c) of the depth cell"), losses=losses(len(text)), likeliest=guesses,
    show_whitespace=space, title="A <b>title</b>", key="text", place=place, height=height,
    from_end=from_end,
)
st.text(f"reported {selection}")
"""


def values(seed: int, length: int) -> np.ndarray:
    """Values [row, character] in the middle of the 256 colour steps of -1 to 1, NaN at 3."""
    steps = np.random.default_rng(seed).integers(0, 256, (3, length))
    result = (steps / 127.5 - 1).astype(np.float32)
    result[:, 3] = np.nan
    return result


def losses(length: int) -> np.ndarray:
    return np.arange(length, dtype=np.float32) / 8


def rgb(colour: str) -> str:
    return "rgb({}, {}, {})".format(*(int(colour[i : i + 2], 16) for i in (1, 3, 5)))


def colour_of(value: float) -> str:
    return rgb(DIVERGING[round((float(value) + 1) * 127.5)])


# ---------------------------------------------------------------- without a browser


@pytest.mark.parametrize(
    ("scale", "stops"),
    [
        (cell_scale("c", 3.5), (-3.5, 0, 3.5)),
        (gate_scale("f"), (0, 0.5, 1)),
        (surprise_scale(12), (0, 6, 12)),
    ],
)
def test_scales_have_their_middle_where_it_belongs(scale, stops):
    assert (scale.low, scale.middle, scale.high) == stops
    assert len(scale.colours) == 256


@pytest.mark.parametrize("stops", [(0, 0, 1), (1, 0.5, 0), (0, float("nan"), 1)])
def test_a_scale_that_does_not_rise_is_refused(stops):
    with pytest.raises(ValueError, match="rises"):
        Scale("q", ("#000000", "#ffffff"), *stops, "", "", "")


@pytest.mark.parametrize(
    "wrong",
    [
        {"values": np.zeros((2, 4))},
        {"values": np.zeros((3, 3))},
        {"chosen_row": 2},
        {"losses": np.zeros(2)},
        {"place": Place(2, 4, call=1)},
        {"place": Place(2, 2, call=1)},
    ],
)
def test_arrays_that_do_not_fit_the_text_are_refused(wrong):
    right = {"values": np.zeros((2, 3)), "chosen_row": 0, "losses": np.zeros(3)} | wrong
    with pytest.raises(ValueError):
        coloured_text("abc", rows=["1", "2"], scale=gate_scale("f"), title="t", key="k", **right)


def test_an_empty_text_and_a_lone_surrogate_are_no_error():
    for text in ("", "\ud800"):
        shape = (1, len(text))
        options = {"rows": ["1"], "chosen_row": 0, "scale": gate_scale("f"), "title": "t"}
        assert coloured_text(text, np.zeros(shape), key="k", **options) is None


def reported(**changed) -> dict:
    """What the browser reports where "bc" is selected in "abc"."""
    return {"selection": as_selected("abc", 1, 3)["selection"] | {"length": 3} | changed}


def test_a_selection_holds_for_the_text_it_was_made_in_and_what_that_grows_into():
    st.session_state["k"] = reported()
    assert selected_in("k", "abc") == selected_in("k", "abcde") == Selection(1, 3)
    for other in ("ab", "abd", "abdef", "zabc", ""):
        assert selected_in("k", other) is None


@pytest.mark.parametrize(
    "wrong",
    [
        {"length": 2},
        {"length": 4},
        {"length": -1},
        {"length": 1e9},
        {"length": "3"},
        {"length": None},
        {"start": -1},
        {"start": 3},
        {"end": 4},
        {"end": 2.5},
        {"text": None},
        {"text": "another"},
    ],
    ids=str,
)
def test_a_selection_that_cannot_be_is_none(wrong):
    st.session_state["k"] = reported(**wrong)
    assert selected_in("k", "abc") is None and selected_in("k", "abcde") is None


# ---------------------------------------------------------------- in the browser


@pytest.fixture(scope="module")
def browser():
    with app_checkpoints.launched() as browser:
        yield browser


@pytest.fixture(scope="module")
def address(browser, tmp_path_factory):
    """The address of a Streamlit server that shows SCRIPT."""
    folder = tmp_path_factory.mktemp("app")
    (folder / "app.py").write_text(SCRIPT, encoding="utf-8")
    with app_checkpoints.serving(
        folder / "app.py", folder, PYTHONPATH=str(Path(__file__).parent)
    ) as address:
        yield address


@pytest.fixture
def page(browser, address):
    """The app in a fresh window; no dialog may open and no script may fail in it."""
    page = browser.new_page(viewport={"width": 900, "height": 1000}, color_scheme="light")
    problems = []
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("dialog", lambda dialog: (problems.append(dialog.message), dialog.dismiss()))
    page.goto(address)
    page.wait_for_selector(".coloured-text .text span", timeout=60_000)
    page.wait_for_function("document.body.innerText.includes('reported')")
    yield page
    page.close()
    assert problems == []


def characters(page):
    return page.locator(".coloured-text .text .block > span")


def style(page, name: str) -> list[str]:
    return characters(page).evaluate_all(f"all => all.map(s => getComputedStyle(s).{name})")


def outlined(page, mark: str = "chosen") -> list[int]:
    """The positions of the characters that are drawn as selected, or as the place to show."""
    chosen = characters(page).evaluate_all("(all, mark) => all.map(s => mark in s.dataset)", mark)
    return [i for i, c in enumerate(chosen) if c]


def tick(page, label: str) -> None:
    page.get_by_text(label, exact=True).click()


def wait_for_report(page, selection: str) -> None:
    page.get_by_text(f"reported {selection}", exact=True).wait_for(timeout=20_000)


def expected_colours(row: np.ndarray) -> list[str]:
    return ["rgba(0, 0, 0, 0)" if np.isnan(v) else colour_of(v) for v in row]


@pytest.mark.browser
def test_every_character_is_shown_as_itself(page):
    shown = characters(page).all_text_contents()
    assert len(shown) == len(TEXT)
    assert "".join(shown) == SHOWN
    assert page.locator(".title").text_content() == "A <b>title</b>"
    assert page.locator(".coloured-text script, .coloured-text b").count() == 0


@pytest.mark.browser
def test_characters_stand_in_their_order_whatever_their_writing_direction(page):
    boxes = characters(page).evaluate_all(
        "all => all.map(s => { const b = s.getClientRects()[0]; return [b.top, b.left, b.width]; })"
    )
    start = TEXT.index("ש")
    line = boxes[start : TEXT.index("\n", start)]
    lefts = [left for _, left, _ in line]
    assert lefts == sorted(lefts)
    assert len(set(lefts)) == len(lefts)
    assert min(width for _, _, width in line) > 2


@pytest.mark.browser
def test_colours_are_those_of_the_chosen_row(page):
    assert style(page, "backgroundColor") == expected_colours(values(1, len(TEXT))[1])


@pytest.mark.browser
def test_text_can_be_read_on_every_colour(page):
    def luminance(colour):
        parts = np.array([int(p) for p in re.findall(r"\d+", colour)[:3]]) / 255
        linear = np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)
        return linear @ [0.2126, 0.7152, 0.0722]

    pairs = zip(style(page, "backgroundColor"), style(page, "color"), strict=True)
    for background, ink in pairs:
        if background != "rgba(0, 0, 0, 0)":
            dark, light = sorted([luminance(background), luminance(ink)])
            assert (light + 0.05) / (dark + 0.05) > 4.5


@pytest.mark.browser
def test_new_values_recolour_the_same_characters_and_keep_the_selection(page):
    characters(page).nth(5).click()
    characters(page).nth(9).click(modifiers=["Shift"])
    wait_for_report(page, "Selection(start=5, end=10)")
    characters(page).nth(0).evaluate("span => { span.kept = true; }")
    tick(page, "other values")
    wanted = expected_colours(values(2, len(TEXT))[1])
    first = wanted[0]
    assert first != expected_colours(values(1, len(TEXT))[1])[0]
    page.wait_for_function(
        "([span, colour]) => getComputedStyle(span).backgroundColor === colour",
        arg=[characters(page).nth(0).element_handle(), first],
    )
    assert style(page, "backgroundColor") == wanted
    assert characters(page).nth(0).evaluate("span => span.kept === true")
    assert outlined(page) == [5, 6, 7, 8, 9]
    wait_for_report(page, "Selection(start=5, end=10)")


@pytest.mark.browser
def test_selecting_by_dragging(page):
    characters(page).nth(14).hover()
    page.mouse.down()
    characters(page).nth(8).hover()
    page.mouse.up()
    wait_for_report(page, "Selection(start=8, end=15)")


@pytest.mark.browser
def test_selecting_with_the_keyboard(page):
    characters(page).nth(4).click()
    wait_for_report(page, "Selection(start=4, end=5)")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Shift+ArrowRight")
    page.keyboard.press("Shift+ArrowRight")
    wait_for_report(page, "Selection(start=5, end=8)")
    assert outlined(page) == [5, 6, 7]
    page.keyboard.press("End")
    wait_for_report(page, f"Selection(start={len(TEXT) - 1}, end={len(TEXT)})")
    page.keyboard.press("Escape")
    wait_for_report(page, "None")
    assert outlined(page) == []


@pytest.mark.browser
def test_arrow_down_goes_to_the_character_below(page):
    characters(page).nth(TEXT.index("שלום") + 1).click()
    page.keyboard.press("ArrowUp")
    boxes = characters(page).evaluate_all("all => all.map(s => s.getClientRects()[0].left)")
    left = boxes[TEXT.index("שלום") + 1]
    first_line = boxes[: TEXT.index("\n") + 1]
    above = int(np.argmin(np.abs(np.array(first_line) - left)))
    wait_for_report(page, f"Selection(start={above}, end={above + 1})")


@pytest.mark.browser
def test_another_text_has_no_selection(page):
    characters(page).nth(5).click()
    wait_for_report(page, "Selection(start=5, end=6)")
    tick(page, "other text")
    wait_for_report(page, "None")
    assert "".join(characters(page).all_text_contents()) == OTHER
    assert page.locator(".text [data-chosen]").count() == 0
    characters(page).nth(5).click()
    wait_for_report(page, "Selection(start=5, end=6)")


def wait_for_length(page, length: int) -> None:
    page.wait_for_function(
        "([text, length]) => text.querySelectorAll('.block > span').length === length",
        arg=[page.locator(".coloured-text .text").element_handle(), length],
    )


def all_kept(page) -> int:
    """How many of the characters' elements carry the mark of `mark_all`."""
    return characters(page).evaluate_all("all => all.filter(span => span.kept).length")


def block_lengths(page) -> list[int]:
    return page.locator(".text .block").evaluate_all("all => all.map(b => b.childNodes.length)")


def mark_all(page) -> None:
    characters(page).evaluate_all("all => all.forEach(span => { span.kept = true; })")


@pytest.mark.browser
def test_a_text_that_grows_keeps_its_characters_and_takes_its_new_colours(page):
    mark_all(page)
    longer = TEXT + MORE + MORE
    for label, length in (("more", len(TEXT + MORE)), ("still more", len(longer))):
        tick(page, label)
        wait_for_length(page, length)
        assert all_kept(page) == len(TEXT)
    shown = "".join(characters(page).all_text_contents())
    assert shown == SHOWN + (MORE + MORE).replace("\n", " \n")
    grown = block_lengths(page)
    assert style(page, "backgroundColor") == expected_colours(values(1, len(longer))[1])
    tick(page, "more")
    tick(page, "white space")
    page.get_by_text("→", exact=False).first.wait_for()
    assert all_kept(page) == 0
    tick(page, "more")
    wait_for_length(page, len(longer))
    assert block_lengths(page) == grown and len(grown) == 3


@pytest.mark.browser
def test_a_text_that_grows_keeps_what_is_selected_and_pointed_at(page):
    characters(page).nth(5).click()
    characters(page).nth(9).click(modifiers=["Shift"])
    wait_for_report(page, "Selection(start=5, end=10)")
    page.locator(".text").focus()
    tick(page, "more")
    wait_for_length(page, len(TEXT + MORE))
    wait_for_report(page, "Selection(start=5, end=10)")
    assert outlined(page) == [5, 6, 7, 8, 9]
    page.locator(".text").focus()
    page.keyboard.press("Shift+ArrowRight")
    wait_for_report(page, "Selection(start=5, end=11)")
    tick(page, "more")
    wait_for_length(page, len(TEXT))
    wait_for_report(page, "None")
    assert outlined(page) == []


@pytest.mark.browser
def test_a_character_that_is_pointed_at_stays_so_while_the_text_grows(page):
    page.locator("input[aria-label=more]").focus()
    characters(page).nth(12).hover()
    page.keyboard.press("Space")
    wait_for_length(page, len(TEXT + MORE))
    assert outlined(page, "pointed") == [12]
    assert "character 13" in page.locator(".tooltip").text_content()
    assert page.locator(".tooltip").is_visible()


def to_end_of_strips(page) -> float:
    return page.locator(".strips .scroller").evaluate(
        "n => n.scrollWidth - n.clientWidth - n.scrollLeft"
    )


def scrolled(page) -> tuple[float, float]:
    """How far the text is scrolled, and how far it is from its end."""
    return page.locator(".coloured-text .text").evaluate(
        "n => [n.scrollTop, n.scrollHeight - n.clientHeight - n.scrollTop]"
    )


@pytest.mark.browser
def test_a_text_that_grows_is_followed_to_its_end_by_those_who_were_there(page):
    strips = page.locator(".strips .scroller")
    strips.evaluate("n => { n.scrollLeft = n.scrollWidth; }")
    tick(page, "low")
    tick(page, "more")
    wait_for_length(page, len(TEXT + MORE))
    top, below = scrolled(page)
    assert top > 500 and abs(below) <= 1
    assert abs(to_end_of_strips(page)) <= 1

    page.locator(".coloured-text .text").evaluate("n => { n.scrollTop = 300; }")
    strips.evaluate("n => { n.scrollLeft = 500; }")
    tick(page, "still more")
    wait_for_length(page, len(TEXT + MORE + MORE))
    top, below = scrolled(page)
    assert top == 300 and below > 1000
    assert strips.evaluate("n => n.scrollLeft") == 500


@pytest.mark.browser
def test_another_text_begins_at_its_start(page):
    tick(page, "low")
    tick(page, "more")
    wait_for_length(page, len(TEXT + MORE))
    assert scrolled(page)[0] > 0
    tick(page, "other text")
    wait_for_length(page, len(OTHER + MORE))
    assert scrolled(page)[0] == 0
    assert page.locator(".strips .scroller").evaluate("n => n.scrollLeft") == 0


@pytest.mark.browser
def test_another_text_begins_at_its_end_where_that_is_asked_for(page):
    tick(page, "low")
    tick(page, "from end")
    tick(page, "more")
    tick(page, "other text")
    wait_for_length(page, len(OTHER + MORE))
    top, below = scrolled(page)
    assert top > 500 and abs(below) <= 1
    assert abs(to_end_of_strips(page)) <= 1


@pytest.mark.browser
def test_the_page_stays_where_it_is_while_a_text_grows_down_it(page):
    tick(page, "more")
    wait_for_length(page, len(TEXT + MORE))
    main = page.get_by_test_id("stMain")
    main.evaluate("n => { n.scrollTop = 400; }")
    page.locator("input[aria-label='still more']").evaluate("box => box.click()")
    wait_for_length(page, len(TEXT + MORE + MORE))
    assert main.evaluate("n => n.scrollTop") == 400
    assert scrolled(page) == [0, 0]


@pytest.mark.browser
def test_a_place_is_outlined_beside_the_selection_until_it_is_called_for_no_more(page):
    characters(page).nth(12).click()
    wait_for_report(page, "Selection(start=12, end=13)")
    tick(page, "place")
    page.locator(".text [data-place=first]").wait_for()
    assert outlined(page, "place") == [6, 7, 8]
    assert outlined(page) == [12]
    status = page.locator(".status").text_content()
    assert status.startswith("Shown: Characters 7 to 9. Character 13 selected")
    tick(page, "white space")
    page.get_by_text("·", exact=False).first.wait_for()
    assert outlined(page, "place") == [6, 7, 8]
    tick(page, "place")
    page.locator(".text [data-place]").first.wait_for(state="detached")
    assert outlined(page) == [12]
    assert page.locator(".status").text_content().startswith("Character 13 selected")


@pytest.mark.browser
def test_hovering_tells_value_loss_and_likeliest_next_characters(page):
    place = TEXT.index("\n")
    characters(page).nth(place).hover()
    tooltip = page.locator(".tooltip")
    assert "U+000A newline" in tooltip.text_content()
    assert f"character {place + 1}" in tooltip.text_content()
    value = f"{values(1, len(TEXT))[1, place]:.3f}".replace("-", "−")
    assert tooltip.locator(".value").text_content() == value
    assert tooltip.locator(".loss").text_content() == f"{place / 8:.2f} bits"
    assert tooltip.locator(".byte").all_text_contents() == ["e", "space", "⏎", "0xC3", "<"]
    assert tooltip.locator(".share").all_text_contents()[:2] == ["50.0 %", "25.0 %"]


@pytest.mark.browser
@pytest.mark.parametrize("width", [420, 900])
def test_the_tooltip_stays_inside_the_component(page, width):
    page.set_viewport_size({"width": width, "height": 1000})
    for place in (0, 26, len(TEXT) - 1):
        characters(page).nth(place).hover()
        inside = page.evaluate(
            """([tip, root]) => {
              const [a, b] = [tip.getBoundingClientRect(), root.getBoundingClientRect()];
              return a.width > 100 && a.left >= b.left - 0.5 && a.right <= b.right + 0.5
                && a.top >= 0 && a.bottom <= window.innerHeight;
            }""",
            [page.locator(part).element_handle() for part in (".tooltip", ".coloured-text")],
        )
        assert inside, place


@pytest.mark.browser
def test_white_space_is_shown_on_request(page):
    tick(page, "white space")
    page.wait_for_function(
        "span => span.getRootNode().querySelector('.text').textContent.includes('⏎')",
        arg=page.locator(".coloured-text .text").element_handle(),
    )
    shown = [c.replace("\u200b", "") for c in characters(page).all_text_contents()]
    assert shown[1] == "·"
    assert shown[TEXT.index("\n")] == "⏎\n"
    assert shown[TEXT.index("\t")] == "→\t"


@pytest.mark.browser
def test_strips_show_every_row_with_the_top_layer_on_top(page):
    labels = page.locator(".strips .labels div").all_text_contents()
    assert labels == ["layer 3 (top)", "layer 2", "layer 1"]
    # A corner of the box of character 8 in each line: 18 pixels axis, boxes of 18 by 24.
    corners = page.locator(".strips canvas").evaluate(
        """canvas => [0, 1, 2].map(line => [...canvas.getContext('2d')
          .getImageData(8 * 18 + 1, 18 + line * 24 + 4, 1, 1).data])"""
    )
    wanted = [colour_of(values(1, len(TEXT))[row, 8]) for row in (2, 1, 0)]
    assert ["rgb({}, {}, {})".format(*corner) for corner in corners] == wanted


@pytest.mark.browser
def test_the_strips_select_and_follow(page):
    page.locator(".strips canvas").click(position={"x": 10 * 18 + 9, "y": 18 + 12})
    wait_for_report(page, "Selection(start=10, end=11)")
    characters(page).nth(len(TEXT) - 1).hover()
    assert abs(to_end_of_strips(page)) <= 1


@pytest.mark.browser
def test_the_picture_has_the_colours_of_the_text(page):
    with page.expect_download() as waiting:
        page.get_by_text("Save as picture").click()
    assert waiting.value.suggested_filename == "a-b-title-b.png"
    picture = Image.open(io.BytesIO(Path(waiting.value.path()).read_bytes())).convert("RGB")
    found = {"rgb({}, {}, {})".format(*colour) for _, colour in picture.getcolors(10**7)}
    row = values(1, len(TEXT))[1]
    assert {colour_of(v) for v in row if not np.isnan(v)} <= found
