"""Models of other programs, one of each kind, through every page in a real browser."""

import app_checkpoints
import pytest
from app_checkpoints import ROOT
from playwright.sync_api import expect
from test_bring_model_pages import TEXT, kinds, models  # noqa: F401  (a fixture)
from test_browser import (  # noqa: F401  (fixtures)
    OTHER_PAGES,
    PATIENCE,
    browser,
    characters,
    go,
    heading,
    look_inside,
    upload_text,
    window,
)

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def address(browser, models):  # noqa: F811
    script = ROOT / "dashboard" / "app.py"
    with app_checkpoints.serving(script, ROOT, GRIDLSTM_CHECKPOINTS=str(models)) as address:
        yield address


@pytest.mark.parametrize("name", kinds())
def test_one_of_each_kind_goes_through_every_page(window, name):  # noqa: F811
    page = window(f"?model={name}")
    heading(page, "A microscope for deep recurrent networks")
    upload_text(page, "signs.txt", TEXT)
    look_inside(page)
    expect(characters(page)).to_have_count(len(TEXT), timeout=PATIENCE)
    skipped = page.locator(".coloured-text .text [data-skipped]")
    expect(skipped).to_have_text(["Å", "X"], timeout=PATIENCE)
    for title in OTHER_PAGES:
        go(page, title)
        expect(page.get_by_test_id("stException")).to_have_count(0)
        expect(page.get_by_text("Traceback")).to_have_count(0)
