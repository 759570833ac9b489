"""The property that cells shall follow, or by which a loss is split: chosen, and shown.

A pattern that the visitor writes is one too.
"""

from dataclasses import dataclass

import numpy as np
import streamlit as st

from dashboard import words
from dashboard.charts.theme import SEQUENTIAL
from dashboard.coloured_text import Scale, coloured_text
from dashboard.screens import choices
from dashboard.screens.refusal import Refusal, refused
from dashboard.serving.loading import ModelEntry
from dashboard.session import session
from gridlstm.analysis.properties import PROPERTIES, measure_named
from gridlstm.errors import UserError
from gridlstm.text import Text

OWN = "pattern"


@dataclass(frozen=True)
class Target:
    """A property in words, and what it is at each character: bool or float64 [character].

    `values` is None where it tells no two characters of the text apart.
    """

    title: str
    values: np.ndarray | None

    @property
    def is_mark(self) -> bool:
        return self.values.dtype == bool


def choose_property(entry: ModelEntry, text: Text) -> Target | Refusal:
    """Any property, or a pattern to write."""
    with st.container(horizontal=True, vertical_alignment="bottom"):
        name = _select(entry, [*PROPERTIES, OWN], width=340)
        if name == OWN:
            _write_pattern()
    if name == OWN and not session.pattern.get():
        return Refusal("Write a pattern, and press Enter.", is_error=False)
    _explain(name)
    values = _measured(name, text, list(PROPERTIES))
    return values if isinstance(values, Refusal) else Target(_title(name), values)


def choose_mark(entry: ModelEntry, text: Text) -> Target:
    """A property that holds of a character or does not, or the pattern if one is written; where it
    tells nothing apart, that is said, and the target has no values."""
    offered = [name for name, found in PROPERTIES.items() if found.kind == "mark"]
    pattern = session.pattern.get()
    if pattern:
        offered.append(OWN)
    name = _select(
        entry,
        offered,
        help="The loss is shown inside and outside of it. A pattern of your own can be written on "
        "the page “Find a cell”.",
    )
    if name == OWN:
        st.caption(words.verbatim(pattern))
    _explain(name)
    values = _measured(name, text, offered)
    if refused(values):
        values = None
    return Target(_title(name), values)


def _select(entry: ModelEntry, offered: list[str], **look) -> str:
    """A selector of a property, by name; `look` is Streamlit's."""
    return st.selectbox(
        "Property",
        choices.keep_property(entry, offered),
        format_func=lambda n: PROPERTIES[n].title if n in PROPERTIES else "A pattern of my own",
        key=session.property_name.key,
        persist_state="session",
        **look,
    )


def _write_pattern() -> None:
    st.text_input(
        "Pattern",
        key=session.pattern.key,
        placeholder=r"such as \d{4}",
        help="A regular expression (of the Python package regex); what it matches is "
        "marked. ^ and $ match at the ends of each line.",
        persist_state="session",
        width=340,
    )


def _title(name: str) -> str:
    return "Matched by your pattern" if name == OWN else PROPERTIES[name].title


def _explain(name: str) -> None:
    if name != OWN:
        st.caption(PROPERTIES[name].explanation)


def _measured(name: str, text: Text, offered: list[str]) -> np.ndarray | Refusal:
    """What the property is at each character of the text; where it tells nothing apart, why not,
    and which of those offered do."""
    full_name = f"pattern:{session.pattern.value}" if name == OWN else name
    try:
        return measure_named(full_name, text.characters)
    except UserError as error:
        titles = [PROPERTIES[n].title for n in offered if n in PROPERTIES and _tells(n, text)]
        telling = ", ".join(title[0].lower() + title[1:] for title in titles)
        others = f" Others that this text has: {telling}." if telling else ""
        return Refusal(words.verbatim(f"{error}{others}"), is_error=False)


def _tells(name: str, text: Text) -> bool:
    """Whether a property tells characters of the text apart."""
    try:
        measure_named(name, text.characters)
    except UserError:
        return False
    return True


def show_property(text: Text, target: Target) -> None:
    """The text, coloured by the property itself."""
    st.header("What the property marks", anchor=False)
    values = target.values.astype(np.float32)
    if target.is_mark:
        scale = Scale(
            target.title, (SEQUENTIAL[0], SEQUENTIAL[110]), 0, 0.5, 1, "outside", "", "inside"
        )
    else:
        low, high = float(values.min()), float(values.max())
        middle = (low + high) / 2
        labels = (f"{low:g}", f"{middle:g}", f"{high:g}")
        scale = Scale(target.title, tuple(SEQUENTIAL), low, middle, high, *labels)
    coloured_text(
        text.characters,
        values[None],
        rows=[target.title],
        chosen_row=0,
        scale=scale,
        title=f"Characters: {target.title}",
        key="marks",
        height=260,
    )
