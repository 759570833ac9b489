"""The address bar holds the view, so that a copied link opens the same one.

What is chosen lives in the session under these keys, most of them widgets' own. (Streamlit can bind
a widget to the address by itself, but then writes its label there, not the name of the quantity.)
"""

import contextlib
import time
import urllib.parse
from collections.abc import Callable

import streamlit as st

from gridlstm.config import ALPHABET

# A value that takes more characters is left out, so that any program takes the link.
MOST_CHARACTERS = 1000
# So long after the address was changed here, another one comes from the visitor's Back button. One
# that comes sooner may be the old one, from a browser that does not know of the change yet.
SETTLED_SECONDS = 1.0
# What the page "Let it write" starts with: this is not named in the address.
STARTS = {
    "prime": "The website is [http://",
    "temperature": 0.8,
    "top_p": 1.0,
    "top_k": ALPHABET,
    "written_length": 1000,
    "sample_seed": 1,
}


def _flag(text: str) -> bool:
    return text == "True"


_CELL: dict[str, Callable] = {"quantity": str, "layer": int, "unit": int}
KEYS: dict[str, Callable] = {
    "sample": str,
    "model": str,
    **_CELL,
    "beside": str,
    **{f"{name}2": kind for name, kind in _CELL.items()},
    "memory": str,
    "whitespace": _flag,
    "below": str,
    "provenance": str,
    "find": str,
    "property": str,
    "pattern": str,
    "adder": str,
    "first_number": str,
    "second_number": str,
    **{key: type(start) for key, start in STARTS.items()},
}


def take() -> bool:
    """On a visit's first run, choose what the link names. Pages check that it can be chosen.

    Returns whether a visit begins that names nothing.
    """
    if "address_taken" in st.session_state:
        return False
    st.session_state["address_taken"] = True
    for key in KEYS:
        _choose_named(key)
    return not st.query_params


def _choose_named(key: str) -> None:
    with contextlib.suppress(KeyError, ValueError):
        st.session_state[key] = KEYS[key](st.query_params[key])


def follow(page: str) -> None:
    """Where the visitor went back or forward on this page, choose what the address names again.

    Then it differs from what was named in it last, while nothing else has been chosen since. A text
    of the visitor's own stays.
    """
    state = st.session_state
    left, at = state.get("address_left", (None, 0))
    named = {key: st.query_params[key] for key in KEYS if key in st.query_params}
    stayed = state.get("carried_to") == page and left == _nameable()
    if not stayed or named == left or time.monotonic() - at < SETTLED_SECONDS:
        return
    for key in KEYS:
        if key in named and not (key == "sample" and "own_text" in state):
            _choose_named(key)
        elif key in STARTS and key in state:
            del state[key]


def carry(page: str) -> None:
    """On the first run of another page, set again what is chosen.

    Streamlit takes that page's widgets for new ones, though their keys are the same, and would
    show what they begin with.
    """
    if st.session_state.get("carried_to") == page:
        return
    for key in KEYS:
        if key in st.session_state:
            st.session_state[key] = st.session_state[key]


def carried(page: str) -> None:
    """The page's widgets are there: from now on they keep what is chosen by themselves."""
    st.session_state["carried_to"] = page


def show() -> None:
    """Name in the address what is chosen now, as far as it can be named."""
    chosen = _nameable()
    new = {key: value for key, value in chosen.items() if st.query_params.get(key) != value}
    if new:
        # At one stroke: every change of the address is a step for the browser's Back button.
        st.query_params.update(new)
    for key in KEYS:
        if key not in chosen and key in st.query_params:
            del st.query_params[key]
    if st.session_state.get("address_left", (None,))[0] != chosen:
        st.session_state["address_left"] = chosen, time.monotonic()


def _nameable() -> dict[str, str]:
    """What is chosen now and can be named in an address, by key."""
    return {key: str(st.session_state[key]) for key in KEYS if _is_named(key)}


def _is_named(key: str) -> bool:
    """Whether something is chosen, other than at the start, that an address can name: this is
    neither a text of the visitor's own nor anything long."""
    if key not in st.session_state or (key == "sample" and "own_text" in st.session_state):
        return False
    value = st.session_state[key]
    is_start = key in STARTS and value == STARTS[key]
    return not is_start and len(urllib.parse.quote_plus(str(value))) <= MOST_CHARACTERS
