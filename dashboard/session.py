"""What the visitor looks at: text, model, cell, and a second model beside it.

Streamlit keeps the values of a visit under strings, those of widgets under the widgets' keys. Here
each is declared once, with its type, and read and written by its declaration; one that a single
page has for itself is declared there. Layers are counted from 1, units from 0, as in every name
and picture.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields
from typing import Generic, TypeVar

import streamlit as st

from gridlstm.config import ALPHABET
from gridlstm.text import Text

T = TypeVar("T")


@dataclass(frozen=True)
class Value(Generic[T]):
    """One value of the visit.

    `key` is its name in Streamlit's session, in links, and of the widget that shows it, if one
    does. `start` is what it is while nothing is chosen. `parse` makes it from what a link says,
    and raises ValueError; a value without it stands in no link.
    """

    key: str
    start: T | None = None
    parse: Callable[[str], T] | None = None

    @property
    def is_chosen(self) -> bool:
        return self.key in st.session_state

    @property
    def value(self) -> T:
        """What is chosen, else the start. Raises KeyError where there is neither."""
        if self.start is None:
            return st.session_state[self.key]
        return st.session_state.get(self.key, self.start)

    def get(self) -> T | None:
        """The same, None where there is neither."""
        return st.session_state.get(self.key, self.start)

    def set(self, value: T) -> None:
        """Choose it. Where a widget shows it, before that is drawn."""
        st.session_state[self.key] = value

    def set_if_new(self, make: Callable[[], T]) -> T:
        """Choose what `make` gives, unless something is chosen; returns what is chosen then."""
        if not self.is_chosen:
            self.set(make())
        return st.session_state[self.key]

    def forget(self) -> T | None:
        """Choose nothing any more; returns what was chosen. Nothing happens where nothing was."""
        return st.session_state.pop(self.key, None)


@dataclass(frozen=True)
class Cell:
    """One unit of one layer of a model, and which of its quantities is looked at."""

    quantity: str
    layer: int
    unit: int


@dataclass(frozen=True)
class CellValues:
    """The cell that is looked at, in three values: a part may be chosen without the others.

    What belongs to it on a page has keys that end in `suffix`, as those of the values do.
    """

    quantity: Value[str]
    layer: Value[int]
    unit: Value[int]
    suffix: str

    @classmethod
    def under(cls, suffix: str) -> "CellValues":
        """Under keys that end so, which tells the cells of two models apart."""
        return cls(
            Value(f"quantity{suffix}", parse=str),
            Value(f"layer{suffix}", parse=int),
            Value(f"unit{suffix}", parse=int),
            suffix,
        )

    def __iter__(self) -> Iterator[Value]:
        return iter((self.quantity, self.layer, self.unit))

    def get(self) -> Cell | None:
        """The whole cell; None where a part is not chosen."""
        chosen = self.quantity.get(), self.layer.get(), self.unit.get()
        return None if None in chosen else Cell(*chosen)

    def chosen_as(self, cell: Cell) -> dict[Value, str | int]:
        """What to choose for a cell, by value."""
        return {self.quantity: cell.quantity, self.layer: cell.layer, self.unit: cell.unit}

    def set(self, cell: Cell) -> None:
        choose(self.chosen_as(cell))

    def forget(self) -> None:
        """So that the pages find a cell anew."""
        for value in self:
            value.forget()


def _flag(text: str) -> bool:
    return text == "True"


@dataclass(frozen=True)
class Session:
    """All that several pages share, or that a link can name, in the order in which links do."""

    # The text: a shipped one by its file's name, unless the visitor has one of his own.
    sample: Value[str] = Value("sample", parse=str)
    own_text: Value[Text] = Value("own_text")
    own_title: Value[str] = Value("own_title")
    # Where the text comes from, as the page Text offers it.
    source: Value[str] = Value("source")
    # The models, by name, and the cell that is looked at in each.
    model: Value[str] = Value("model", parse=str)
    cell: CellValues = CellValues.under("")
    second_model: Value[str] = Value("beside", parse=str)
    second_cell: CellValues = CellValues.under("2")
    # How it is shown: a memory as tanh(c), c or h, a text with its blanks, and what stands below.
    memory: Value[str] = Value("memory", parse=str)
    whitespace: Value[bool] = Value("whitespace", parse=_flag)
    below: Value[str] = Value("below", parse=str)
    provenance: Value[str] = Value("provenance", parse=str)
    # What is selected in the text of the page Cells, and of the page Find a cell: the coloured
    # text's own state.
    selection: Value[dict] = Value("coloured")
    searched_selection: Value[dict] = Value("select")
    # What is searched for, and how.
    find: Value[str] = Value("find", parse=str)
    property_name: Value[str] = Value("property", parse=str)
    pattern: Value[str] = Value("pattern", parse=str)
    # The model that adds, and what it adds.
    adder: Value[str] = Value("adder", parse=str)
    first_number: Value[str] = Value("first_number", parse=str)
    second_number: Value[str] = Value("second_number", parse=str)
    # How a model writes.
    prime: Value[str] = Value("prime", "The website is [http://", str)
    temperature: Value[float] = Value("temperature", 0.8, float)
    top_p: Value[float] = Value("top_p", 1.0, float)
    top_k: Value[int] = Value("top_k", ALPHABET, int)
    written_length: Value[int] = Value("written_length", 1000, int)
    sample_seed: Value[int] = Value("sample_seed", 1, int)

    def values(self) -> Iterator[Value]:
        """All of them."""
        for field in fields(self):
            declared = getattr(self, field.name)
            yield from (declared,) if isinstance(declared, Value) else declared

    def named(self) -> list[Value]:
        """Those that a link can name."""
        return [value for value in self.values() if value.parse is not None]

    @property
    def has_own_text(self) -> bool:
        return self.own_text.is_chosen


session = Session()


def choose(chosen: dict[Value, object]) -> None:
    """Choose several values."""
    for value, content in chosen.items():
        value.set(content)
