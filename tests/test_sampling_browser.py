"""A model writes in a real browser: coloured characters appear, stop, and take another colour."""

import re

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


def written(page) -> str:
    return "".join(characters(page).all_text_contents())


def test_a_text_appears_coloured_stops_and_is_recoloured_without_writing_anew(window):  # noqa: F811
    page = window(PAGE)
    heading(page, "Let it write")
    length = page.get_by_role("spinbutton", name="Length in bytes")
    length.fill("5000")
    length.press("Enter")
    page.get_by_role("button", name="Write", exact=True).click()
    page.get_by_text(re.compile(r"^[1-9][\d,]* of 5,000 bytes so far")).wait_for()
    early = written(page)
    characters(page).nth(len(early) + 1).wait_for(state="attached")
    page.get_by_role("button", name="Stop", exact=True).click()
    page.get_by_role("button", name="Go on", exact=True).wait_for()
    page.get_by_role("button", name="Read this text on the other pages").wait_for()
    rest(page)
    text, first = written(page), colours(page)
    assert text.startswith(early[:-1]) and early.startswith(PRIME)
    assert set(first[: len(PRIME)]) == {PAPER}
    assert PAPER not in first[len(PRIME) :] and len(set(first)) > 3

    set_unit(page, 4)
    named_in_address(page, unit="4")
    second = recoloured(page, first)
    assert written(page) == text and set(second[: len(PRIME)]) == {PAPER}

    page.get_by_role("button", name="Read this text on the other pages").click()
    page.get_by_text("This text is in use on every page.").wait_for()
    go(page, "Cells")
    expect(characters(page)).to_have_count(len(first), timeout=PATIENCE)
    assert written(page) == text


def test_a_short_text_is_written_to_its_end_by_itself(window):  # noqa: F811
    page = window(PAGE)
    heading(page, "Let it write")
    length = page.get_by_role("spinbutton", name="Length in bytes")
    length.fill("60")
    length.press("Enter")
    page.get_by_role("button", name="Write", exact=True).click()
    page.get_by_text(re.compile(r"^60 of 60 bytes · ")).wait_for()
    page.get_by_role("button", name="Read this text on the other pages").wait_for()
    expect(page.get_by_role("button", name="Stop", exact=True)).to_be_disabled()
