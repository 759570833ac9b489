"""The pages in a real browser as axe-core judges them: contrast, headings, names of what can be
used."""

import pytest
from axe_playwright_python.sync_playwright import Axe
from test_browser import (  # noqa: F401  (fixtures)
    address,
    address_of_shipped,
    browser,
    folder,
    heading,
    rest,
    window,
)

pytestmark = pytest.mark.browser
# Streamlit's own: the place where a file is dropped has a name, though it cannot be focused, and a
# piece of code that scrolls cannot be either.
OF_STREAMLIT = {
    "presentation-role-conflict": "stFileUploaderDropzone",
    "scrollable-region-focusable": "<pre class=",
}
PAGES = {
    "text": "A microscope for deep recurrent networks",
    "cells": "Cells",
    "gates": "Forget gates",
    "find": "Find a cell",
    "provenance": "Who wrote it",
    "switch_off": "Switch off",
    "write": "Let it write",
    "addition": "Addition",
    "curves": "Curves",
    "models": "Models",
}


@pytest.mark.parametrize("path", PAGES)
def test_nothing_on_a_page_is_hard_to_see_or_without_a_name(path, request, window):  # noqa: F811
    sample = "?sample=wiki-urls.txt"
    if path == "addition":  # only a model that adds fills it
        page = window(path, at=request.getfixturevalue("address_of_shipped"))
    else:
        page = window(sample if path == "text" else path + sample)
    heading(page, PAGES[path])
    page.wait_for_timeout(1000)  # what fades in is pale until it is there
    rest(page)
    found = Axe().run(page, options={"resultTypes": ["violations"]}).response["violations"]
    told = [
        (fault["id"], node["html"], node["failureSummary"])
        for fault in found
        for node in fault["nodes"]
        if OF_STREAMLIT.get(fault["id"], "\0") not in node["html"]
    ]
    assert told == []
