"""The browser's Back and Forward buttons within a page: the address goes back, and so does the
view. (A run of the page after Back is one with another address and the same widgets.)"""

import pytest
from app_pages import checked, chosen_cell, go, paste, shipped, visit  # noqa: F401

from dashboard import address
from dashboard.session import session

LINK = {"model": "grid-3", "quantity": "time.cell", "layer": "2", "unit": "3"}


@pytest.fixture
def settled(monkeypatch):
    """The browser is taken to know of every change of the address at once."""
    monkeypatch.setattr(address, "SETTLED_SECONDS", 0.0)


def back(app, kept: dict):
    app.query_params.clear()
    app.query_params.update(kept)
    return checked(app.run())


def choose_unit(app, unit: int):
    app.number_input(key="unit").set_value(unit)
    return checked(app.run())


def test_back_opens_the_view_before_and_forward_the_one_after(visit, settled):  # noqa: F811
    app = visit("cells", **LINK)
    first = dict(app.query_params)
    choose_unit(app, 1)
    second = dict(app.query_params)
    assert second == first | {"unit": "1"}
    assert chosen_cell(back(app, first)) == ("time.cell", 2, 3)
    assert dict(app.query_params) == first
    assert chosen_cell(back(app, second)) == ("time.cell", 2, 1)
    choose_unit(app, 2)
    assert app.query_params["unit"] == "2"


def test_a_browser_that_does_not_know_of_the_change_yet_undoes_nothing(visit, monkeypatch):  # noqa: F811
    monkeypatch.setattr(address, "SETTLED_SECONDS", 1e9)
    app = visit("cells", **LINK)
    first = dict(app.query_params)
    choose_unit(app, 1)
    assert chosen_cell(back(app, first)) == ("time.cell", 2, 1)
    assert app.query_params["unit"] == "1"


def test_what_is_chosen_now_goes_before_an_old_address(visit, settled):  # noqa: F811
    app = visit("cells", **LINK)
    first = dict(app.query_params)
    choose_unit(app, 1)
    app.query_params.update(first)
    assert choose_unit(app, 2) and chosen_cell(app) == ("time.cell", 2, 2)


def test_back_to_where_something_had_its_first_value(visit, settled):  # noqa: F811
    app = visit("write", **LINK)
    first = dict(app.query_params)
    app.slider(key="temperature").set_value(0.5)
    checked(app.run())
    assert app.query_params["temperature"] == "0.5"
    back(app, first)
    assert app.slider(key="temperature").value == session.temperature.start
    assert "temperature" not in app.query_params


def test_a_text_of_ones_own_is_not_lost(visit, settled):  # noqa: F811
    app = visit("cells", **LINK, sample="code.txt")
    first = dict(app.query_params)
    go(paste(app, "a text of one's own"), "cells")
    choose_unit(app, 1)
    assert chosen_cell(back(app, first)) == ("time.cell", 2, 3)
    assert app.session_state["own_text"].characters == "a text of one's own"


def test_an_address_that_names_what_there_is_not(visit, settled):  # noqa: F811
    app = visit("cells", **LINK)
    back(app, dict(app.query_params) | {"unit": "many", "layer": "99", "model": "<b>"})
    assert app.session_state["model"] in ("grid-3", "stacked-2")
    assert 1 <= app.session_state["layer"] <= 3
