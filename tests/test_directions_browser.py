"""Directions in a real browser: found, listed, and taken apart on the page Who wrote it."""

import pytest
from test_browser import (  # noqa: F401  (fixtures)
    address,
    browser,
    folder,
    heading,
    rest,
    window,
)

pytestmark = pytest.mark.browser


def test_a_direction_is_found_and_followed(window):  # noqa: F811
    page = window("find?sample=wiki-urls.txt&model=grid-3&property=url")
    heading(page, "Find a cell")
    page.get_by_role("button", name="Find the direction").click()
    page.get_by_role("textbox", name="Notes").wait_for()
    rest(page)
    page.get_by_role("button", name="Who wrote it").click()
    heading(page, "Who wrote it")
    page.get_by_text("What the depth memory holds along “Inside a web address").wait_for()
    page.get_by_test_id("stSidebarNav").get_by_text("Carried up?", exact=True).click()
    heading(page, "Is it written low and carried up?")
    page.get_by_text("Of that arrives").wait_for()
