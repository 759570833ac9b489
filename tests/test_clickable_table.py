"""A table in which a click anywhere in a row counts, on a page of its own."""

import pytest
from app_pages import checked, mark
from streamlit.testing.v1 import AppTest

LABEL = "Take the marked row"


def page() -> None:
    import pandas as pd
    import streamlit as st

    from dashboard.screens.clickable_table import clickable_table

    rows = st.number_input("rows", value=4, key="rows")
    clickable_table(
        pd.DataFrame({"name": list("dbca"), "size": [3, 1, 2, 4]}).head(rows),
        st.session_state.setdefault("taken", []).append,
        key="table",
        action="Take the marked row",
        columns={},
    )


@pytest.fixture
def app():
    return checked(AppTest.from_function(page).run())


def taken(app) -> list[int]:
    return app.session_state["taken"]


def marked(app) -> list:
    return app.session_state["table"]["selection"]["cells"]


def offered(app) -> bool:
    return LABEL in [button.label for button in app.button]


def test_a_click_in_any_column_counts_once(app):
    mark(app, "table", 2, "size")
    assert taken(app) == [2] and marked(app) == [(2, "size")] and not offered(app)
    mark(app, "table", 0, "name")
    assert taken(app) == [2, 0]
    checked(app.run())
    assert taken(app) == [2, 0]


def test_a_row_stays_marked_only_until_something_else_is_done(app):
    mark(app, "table", 1, "size")
    checked(app.number_input(key="rows").set_value(3).run())
    assert taken(app) == [1] and marked(app) == []
    mark(app, "table", 1, "size")
    assert taken(app) == [1, 1]


def test_what_the_keyboard_marks_is_taken_by_the_button_alone(app):
    for row in (0, 1, 2):
        mark(app, "table", row, "name", by="keyboard")
        assert taken(app) == [] and offered(app)
    app.button(key="table offered").click()
    checked(app.run())
    assert taken(app) == [2] and marked(app) == [] and not offered(app)


def test_the_offer_goes_when_something_else_is_done(app):
    mark(app, "table", 3, "name", by="keyboard")
    checked(app.number_input(key="rows").set_value(2).run())
    assert not offered(app) and marked(app) == []
    mark(app, "table", 1, "name")
    assert taken(app) == [1] and not offered(app)


def test_a_click_on_the_header_takes_and_offers_nothing(app):
    mark(app, "table", 0, "name", by="header")
    assert taken(app) == [] and marked(app) == [] and not offered(app)
    mark(app, "table", 0, "name")
    assert taken(app) == [0]
    mark(app, "table", 0, "size", by="header")
    assert taken(app) == [0] and marked(app) == [] and not offered(app)


@pytest.mark.parametrize("by", ["click", "keyboard", "header"])
def test_a_table_without_rows_has_nothing_to_take(app, by):
    checked(app.number_input(key="rows").set_value(0).run())
    mark(app, "table", 0, "name", by=by)
    assert taken(app) == [] and not offered(app)
