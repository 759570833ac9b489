"""The values of a visit: each declared once, read and written by its declaration."""

import ast
from collections import Counter
from pathlib import Path

import pytest
import streamlit

from dashboard import address
from dashboard.session import Cell, Session, Value, choose, session

DASHBOARD = Path(address.__file__).parent
TREES = {path: ast.parse(path.read_text()) for path in DASHBOARD.rglob("*.py")}
# What links of before this object was there name, an example of each, and what it opens.
LINKS = {
    "sample": ("wiki-urls.txt", "wiki-urls.txt"),
    "model": ("grid-6", "grid-6"),
    "quantity": ("time.cell", "time.cell"),
    "layer": ("6", 6),
    "unit": ("152", 152),
    "beside": ("stacked-6", "stacked-6"),
    "quantity2": ("time.forget", "time.forget"),
    "layer2": ("2", 2),
    "unit2": ("0", 0),
    "memory": ("tanh", "tanh"),
    "whitespace": ("True", True),
    "below": ("units", "units"),
    "provenance": ("half-life", "half-life"),
    "find": ("selection", "selection"),
    "property": ("url", "url"),
    "pattern": (r"\d{4}", r"\d{4}"),
    "adder": ("adder-15", "adder-15"),
    "first_number": ("0012", "0012"),
    "second_number": ("7", "7"),
    "prime": ("Once", "Once"),
    "temperature": ("0.5", 0.5),
    "top_p": ("0.9", 0.9),
    "top_k": ("5", 5),
    "written_length": ("50", 50),
    "sample_seed": ("3", 3),
}


@pytest.fixture
def state(monkeypatch) -> dict:
    """Streamlit's state of a visit that has just begun."""
    state = {}
    monkeypatch.setattr(streamlit, "session_state", state)
    return state


def keys_of(call: ast.Call) -> list[str]:
    """The fixed key that a call declares, `Value("key")`, if it is one."""
    is_value = isinstance(call.func, ast.Name) and call.func.id == "Value"
    return [a.value for a in call.args[:1] if is_value and isinstance(a, ast.Constant)]


CALLS = [node for tree in TREES.values() for node in ast.walk(tree) if isinstance(node, ast.Call)]
DECLARED = [key for call in CALLS for key in keys_of(call)]


def test_each_key_is_declared_once():
    assert len(DECLARED) > 40
    assert [key for key, times in Counter(DECLARED).items() if times > 1] == []
    keys = [value.key for value in session.values()]
    assert len(set(keys)) == len(keys)
    assert not {f"{name}{n}" for name in ("quantity", "layer", "unit") for n in ("", "2")} & set(
        DECLARED
    )


def test_nothing_else_reads_or_writes_streamlits_state():
    for path, tree in TREES.items():
        named = any(
            isinstance(node, ast.Attribute) and node.attr == "session_state"
            for node in ast.walk(tree)
        )
        assert named == (path.name == "session.py"), path


def test_a_widget_that_shows_a_declared_value_takes_its_key_from_there():
    keys = {value.key for value in session.values()} | set(DECLARED)
    for call in CALLS:
        for keyword in call.keywords:
            if keyword.arg == "key" and isinstance(keyword.value, ast.Constant):
                assert keyword.value.value not in keys


def test_a_link_names_what_it_did_before_in_the_same_order():
    assert [value.key for value in address.NAMED] == list(LINKS)


@pytest.mark.parametrize(("key", "text", "value"), [(k, *v) for k, v in LINKS.items()])
def test_what_a_link_says_is_chosen(key, text, value):
    (declared,) = (v for v in address.NAMED if v.key == key)
    found = declared.parse(text)
    assert found == value and type(found) is type(value)


def test_a_value_with_nothing_chosen(state):
    value = Value("k")
    assert not value.is_chosen and value.get() is None and value.forget() is None
    with pytest.raises(KeyError):
        _ = value.value
    assert state == {}


def test_a_value_at_its_start(state):
    value = Value("k", 5)
    assert (value.value, value.get(), value.is_chosen, state) == (5, 5, False, {})
    value.set(0)
    assert (value.value, value.get(), value.is_chosen, state) == (0, 0, True, {"k": 0})
    assert value.forget() == 0 and value.value == 5


def test_a_value_is_made_where_there_is_none(state):
    value, made = Value("k"), []
    assert value.set_if_new(list) is value.value
    value.value.append(1)
    assert value.set_if_new(lambda: made.append(True)) == [1] and made == []


def test_what_is_chosen_is_another_visits_own(state, monkeypatch):
    session.model.set("grid-6")
    monkeypatch.setattr(streamlit, "session_state", {})
    assert not session.model.is_chosen and Session().model == session.model


def test_the_cells_of_two_models_are_apart(state):
    session.cell.set(Cell("time.cell", 2, 3))
    session.second_cell.set(Cell("depth.cell", 1, 0))
    assert session.cell.get() == Cell("time.cell", 2, 3)
    assert session.second_cell.get() == Cell("depth.cell", 1, 0)
    assert state == {
        **{"quantity": "time.cell", "layer": 2, "unit": 3},
        **{"quantity2": "depth.cell", "layer2": 1, "unit2": 0},
    }


def test_a_part_of_a_cell_is_no_cell(state):
    choose({session.cell.quantity: "time.cell", session.cell.layer: 1})
    assert session.cell.get() is None
    session.cell.unit.set(0)
    assert session.cell.get() == Cell("time.cell", 1, 0)
    session.cell.forget()
    assert state == {}


def test_a_text_of_ones_own(state):
    assert not session.has_own_text
    session.own_text.set("a text")
    assert session.has_own_text
