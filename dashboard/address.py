"""The address bar holds the view, so that a copied link opens the same one.

What it can name is declared in `session`. (Streamlit can bind a widget to the address by itself,
but then writes its label there, not the name of the quantity.)
"""

import contextlib
import time
import urllib.parse

import streamlit as st

from dashboard.session import Value, session

# A value that takes more characters is left out, so that any program takes the link.
MAX_PARAMETER_CHARACTERS = 1000
# So long after the address was changed here, another one comes from the visitor's Back button. One
# that comes sooner may be the old one, from a browser that does not know of the change yet.
SETTLED_SECONDS = 1.0
NAMED = session.named()
_TAKEN: Value[bool] = Value("address_taken")
# What was named last, by key, and when.
_LEFT: Value[tuple[dict[str, str], float]] = Value("address_left")
_CARRIED_TO: Value[str] = Value("carried_to")


def take() -> bool:
    """On a visit's first run, choose what the link names. Pages check that it can be chosen.

    Returns whether a visit begins that names nothing.
    """
    if _TAKEN.is_chosen:
        return False
    _TAKEN.set(True)
    for value in NAMED:
        _choose_named(value)
    return not st.query_params


def _choose_named(value: Value) -> None:
    with contextlib.suppress(KeyError, ValueError):
        value.set(value.parse(st.query_params[value.key]))


def follow(page: str) -> None:
    """Where the visitor went back or forward on this page, choose what the address names again.

    Then it differs from what was named in it last, while nothing else has been chosen since. A text
    of the visitor's own stays.
    """
    left, at = _LEFT.get() or (None, 0)
    named = {v.key: st.query_params[v.key] for v in NAMED if v.key in st.query_params}
    stayed = _CARRIED_TO.get() == page and left == _nameable()
    if not stayed or named == left or time.monotonic() - at < SETTLED_SECONDS:
        return
    for value in NAMED:
        if value.key in named and not (value == session.sample and session.has_own_text):
            _choose_named(value)
        elif value.start is not None:
            value.forget()


def carry(page: str) -> None:
    """On the first run of another page, set again what is chosen.

    Streamlit takes that page's widgets for new ones, though their keys are the same, and would
    show what they begin with.
    """
    if _CARRIED_TO.get() == page:
        return
    for value in NAMED:
        if value.is_chosen:
            value.set(value.value)


def carried(page: str) -> None:
    """The page's widgets are there: from now on they keep what is chosen by themselves."""
    _CARRIED_TO.set(page)


def show() -> None:
    """Name in the address what is chosen now, as far as it can be named."""
    chosen = _nameable()
    new = {key: value for key, value in chosen.items() if st.query_params.get(key) != value}
    if new:
        # At one stroke: every change of the address is a step for the browser's Back button.
        st.query_params.update(new)
    for value in NAMED:
        if value.key not in chosen and value.key in st.query_params:
            del st.query_params[value.key]
    if (_LEFT.get() or (None,))[0] != chosen:
        _LEFT.set((chosen, time.monotonic()))


def _nameable() -> dict[str, str]:
    """What is chosen now and can be named in an address, by key."""
    return {value.key: str(value.value) for value in NAMED if _is_named(value)}


def _is_named(value: Value) -> bool:
    """Whether something is chosen, other than at the start, that an address can name: this is
    neither a text of the visitor's own nor anything long."""
    if not value.is_chosen or (value == session.sample and session.has_own_text):
        return False
    chosen = value.value
    is_start = value.start is not None and chosen == value.start
    return not is_start and len(urllib.parse.quote_plus(str(chosen))) <= MAX_PARAMETER_CHARACTERS
