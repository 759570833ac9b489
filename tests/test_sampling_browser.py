"""A model writes in a real browser: coloured characters appear, stop, and take another colour."""

import re
from urllib.parse import urlencode

import pytest
from playwright.sync_api import expect
from test_browser import (  # noqa: F401  (fixtures)
    PATIENCE,
    address,
    browser,
    characters,
    colours,
    folder,
    go,
    heading,
    named_in_address,
    recoloured,
    rest,
    set_unit,
    window,
)

pytestmark = pytest.mark.browser
PAGE = "write?sample=code.txt&model=grid-3&quantity=time.cell&layer=2&unit=3"
PRIME = "The website is [http://"
PAPER = "rgba(0, 0, 0, 0)"
READ = "Read this text on the other pages"


def opened(window, link=PAGE):  # noqa: F811
    page = window(link)
    heading(page, "Let it write")
    return page


def button(page, name: str):
    return page.get_by_role("button", name=name, exact=True)


def write(page, length: int | None = None) -> None:
    """Begin to write, so many bytes or as many as are set."""
    if length is not None:
        box = page.get_by_role("spinbutton", name="Length in bytes")
        box.fill(str(length))
        box.press("Enter")
    button(page, "Write").click()


def written(page) -> str:
    return "".join(characters(page).all_text_contents())


def longer_than(page, length: int) -> None:
    characters(page).nth(length).wait_for(state="attached")


def test_a_text_appears_coloured_stops_and_is_recoloured_without_writing_anew(window):  # noqa: F811
    page = opened(window)
    write(page, 5000)
    page.get_by_text(re.compile(r"^[1-9][\d,]* of 5,000 bytes so far")).wait_for()
    longer_than(page, len(PRIME))  # the text comes a moment after that line
    early = written(page)
    longer_than(page, len(early) + 1)
    button(page, "Stop").click()
    button(page, "Go on").wait_for()
    button(page, READ).wait_for()
    rest(page)
    text, first = written(page), colours(page)
    assert text.startswith(early[:-1]) and early.startswith(PRIME)
    assert set(first[: len(PRIME)]) == {PAPER}
    assert PAPER not in first[len(PRIME) :] and len(set(first)) > 3

    set_unit(page, 4)
    named_in_address(page, unit="4")
    second = recoloured(page, first)
    assert written(page) == text and set(second[: len(PRIME)]) == {PAPER}

    button(page, READ).click()
    page.get_by_text("This text is in use on every page.").wait_for()
    go(page, "Cells")
    expect(characters(page)).to_have_count(len(first), timeout=PATIENCE)
    assert written(page) == text


def pane(page, of: str) -> float:
    """A number of the pane n, taken in one step: between two the pane may leave the page."""
    (number,) = page.locator(".coloured-text .text").evaluate_all(f"all => all.map(n => {of})")
    return number


def outlined(page) -> list[int]:
    return characters(page).evaluate_all(
        "all => all.flatMap((span, i) => 'chosen' in span.dataset ? [i] : [])"
    )


def test_the_end_is_followed_while_it_writes_and_who_scrolls_back_stays_there(window):  # noqa: F811
    prime = "line\n" * 30
    page = opened(window, f"{PAGE}&written_length=5000&{urlencode({'prime': prime})}")
    write(page)
    longer_than(page, len(prime))
    characters(page).nth(16).evaluate("span => { span.kept = true; }")
    for _ in range(2):
        longer_than(page, characters(page).count() + 10)
        assert pane(page, "n.scrollTop") > 100
        assert pane(page, "n.scrollHeight - n.clientHeight - n.scrollTop") <= 2

    page.locator(".coloured-text .text").evaluate("n => { n.scrollTop = 30; }")
    characters(page).nth(16).click()
    longer_than(page, characters(page).count() + 40)
    button(page, "Stop").click()
    button(page, READ).wait_for()
    rest(page)
    assert pane(page, "n.scrollTop") == 30
    assert outlined(page) == [16]
    assert characters(page).nth(16).evaluate("span => span.kept === true")


def test_a_copied_link_opens_the_same_settings(window):  # noqa: F811
    page = opened(window)
    prime = "== Grüße & <b> ==\n?x=1#[http://"
    box = page.get_by_role("textbox", name="Text to begin with (the prime)")
    box.fill(prime)
    box.press("Control+Enter")
    page.get_by_role("slider").first.focus()
    page.keyboard.press("ArrowRight")
    named_in_address(page, prime=prime, temperature="0.85")
    other = opened(window, page.url.split("/")[-1])
    named_in_address(other, prime=prime, temperature="0.85", model="grid-3", unit="3")
    box = other.get_by_role("textbox", name="Text to begin with (the prime)")
    expect(box).to_have_value(prime, timeout=PATIENCE)
    other.get_by_test_id("stSlider").first.get_by_text("0.85", exact=True).wait_for()


def test_a_short_text_is_written_to_its_end_by_itself(window):  # noqa: F811
    page = opened(window)
    write(page, 60)
    page.get_by_text(re.compile(r"^60 of 60 bytes · ")).wait_for()
    button(page, READ).wait_for()
    expect(button(page, "Stop")).to_be_disabled()
