"""A table of rows to click: a click anywhere in a row is told with the row's number.

Streamlit tells which field of a table is marked, but not by what: by a click, by the keyboard,
which marks every field on its way through the page, or by a click on the header, to sort, which
marks the first field. So the browser also tells which of the three was last. What the keyboard
marks is offered on a button below the table, and what the header marks does not count.
"""

from collections.abc import Callable

import pandas as pd
import streamlit as st

from dashboard.screens import choices
from dashboard.session import Value

_NOTHING_MARKED = {"selection": {"rows": [], "columns": [], "cells": []}}
# It tells only of what is done in the table, and only changes: what it would tell as a visitor
# leaves for another page could reach Streamlit too late, and that page would be empty.
_HAND = """
const tables = new WeakMap();
const HEADER_HEIGHT = 36; // in pixels, with its border

function isAboveRows(container, event) {
  const top = container.querySelector("canvas")?.getBoundingClientRect().top ?? 0;
  return event.clientY < top + HEADER_HEIGHT;
}

/** Streamlit calls this at first and again whenever the theme changes; `data` names the table. */
export default function ({ data, parentElement, setStateValue }) {
  const table = tables.get(parentElement) ?? { told: "click" };
  tables.set(parentElement, table);
  table.end?.abort();
  table.end = new AbortController();
  let last = table.told;
  const tell = (event) => {
    const container = event.target.closest?.(`.st-key-${data}`);
    if (event.type === "keydown") last = "keyboard";
    if (event.type === "pointerdown")
      last = container && isAboveRows(container, event) ? "header" : "click";
    if (last === table.told || !container) return;
    table.told = last;
    setStateValue("last", last);
  };
  // Before the table itself hears of it.
  const options = { capture: true, signal: table.end.signal };
  for (const type of ["keydown", "pointerdown", "focusin"])
    document.addEventListener(type, tell, options);
  return () => table.end.abort();
}
"""
_hand = st.components.v2.component("click_keyboard_or_header", js=_HAND)


def clickable_table(
    table: pd.DataFrame,
    on_click: Callable[[int], None],
    *,
    key: str,
    action: str,
    columns: dict,
    height: int | str = "auto",
) -> None:
    """Draw a table; a click in a row calls `on_click`, before the page is drawn anew, with the
    position of the row in `table`, however the visitor has sorted it. It stays marked until the
    page is drawn for another reason.

    `action` says on a button what a click does, for those who mark a row with the keyboard;
    `columns` are Streamlit's settings of the columns.
    """
    by_keyboard = _new_mark(key).forget()
    if by_keyboard is None:
        _remove_mark(key)
    # Without a gap, as the listener is not seen.
    with st.container(gap=None, key=f"clickable-{key}"):
        _listen(_hand_key(key), f"clickable-{key}")
        st.dataframe(
            table,
            hide_index=True,
            on_select=lambda: _note_mark(key, len(table), on_click),
            # To mark a whole row, one would have to hit the small box in front of it.
            selection_mode="single-cell",
            key=key,
            height=height,
            column_config=columns,
        )
    row = _marked_row(key, len(table))
    if by_keyboard and row is not None:
        st.button(
            action,
            icon=":material/keyboard_return:",
            key=f"{key} offered",
            on_click=on_click,
            args=[row],
        )


def table_of_cells(
    table: pd.DataFrame, cells: pd.DataFrame, *, key: str, columns: dict, height: int | str = "auto"
) -> None:
    """Draw a table of which a click in a row opens its cell, that of the same row of `cells`."""
    clickable_table(
        table,
        lambda row: choices.note_cell(choices.cell_of(cells.iloc[row])),
        key=key,
        action="Open the cell of the marked row",
        columns=columns,
        height=height,
    )


# What the browser tells draws this alone anew.
@st.fragment
def _listen(key: str, container: str) -> None:
    _hand(
        data=container,
        key=key,
        default={"last": "click"},
        on_last_change=lambda: None,
    )


def _hand_key(key: str) -> str:
    return f"{key} hand"


def _new_mark(key: str) -> Value[bool]:
    """That the table has a new mark, until it is drawn: whether by keyboard."""
    return Value(f"{key} marked by keyboard")


def _marked(key: str) -> Value[dict]:
    """What is marked in the table, its own state."""
    return Value(key)


def _note_mark(key: str, rows: int, on_click: Callable[[int], None]) -> None:
    """Something else is marked in the table: tell of it where that was a click."""
    row = _marked_row(key, rows)
    last = Value(_hand_key(key)).value["last"]
    if row is None or last == "header":
        return
    by_keyboard = last == "keyboard"
    _new_mark(key).set(by_keyboard)
    if not by_keyboard:
        on_click(row)


def _remove_mark(key: str) -> None:
    """Something was chosen elsewhere since: the mark would be out of date, and a click on the same
    field would not count as one."""
    marked = _marked(key)
    if marked.is_chosen and marked.value["selection"]["cells"]:
        marked.set(_NOTHING_MARKED)


def _marked_row(key: str, rows: int) -> int | None:
    """The marked row of a table of so many rows; None where there is none, or no such row: a table
    without rows has a field that says so."""
    cells = _marked(key).value["selection"]["cells"]
    return cells[0][0] if cells and cells[0][0] < rows else None
