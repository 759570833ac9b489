"""A unit that is held while a model reads: which one, and at which value."""

from dataclasses import dataclass

import numpy as np
import streamlit as st

from dashboard import words
from dashboard.screens import choices
from dashboard.screens.reading import Reading
from dashboard.serving.loading import ModelEntry
from dashboard.session import Cell, Value, session
from dashboard.words import Word
from gridlstm.clamps import Clamp
from gridlstm.intervention import value_to_clamp

OWN_VALUE = "own"
HELD_AT = {
    "zero": Word("Zero", "The memory holds nothing, at any character."),
    "closed": Word("Closed (0)", "The gate wipes the memory at every step."),
    "open": Word("Open (1)", "The gate keeps all of the memory at every step."),
    "mean": Word("Its mean", "What the unit is on average over this text: it tells nothing more."),
    "mean inside": Word(
        "Its mean inside", "As if the property held of every character: the mean where it does."
    ),
    "mean outside": Word(
        "Its mean outside", "As if the property never held: the mean where it does not."
    ),
    OWN_VALUE: Word("A value I choose", "Set with the slider, in the units of the quantity."),
}
OF_GATES, OF_OTHERS = ("closed", "open"), ("zero",)
NEEDS_MARKS = ("mean inside", "mean outside")
_HELD_AT: Value[str] = Value("held_at")


@dataclass(frozen=True)
class ClampedUnit:
    """A unit to hold: at one of `HELD_AT`, or at the visitor's own value."""

    cell: Cell
    at: str
    own: float | None = None

    @property
    def name(self) -> str:
        label = words.QUANTITIES[self.cell.quantity].label
        return f"{label}, layer {self.cell.layer}, unit {self.cell.unit}"

    def clamp(self, reading: Reading, marks: np.ndarray | None) -> Clamp:
        """With the value that it has in this text. Raises UserError if it has none."""
        cell = self.cell
        if self.at == OWN_VALUE:
            value = self.own
        else:
            value = value_to_clamp(_values_of(reading, cell), marks, self.at)
        return Clamp(cell.quantity, cell.layer, cell.unit, value)


def choose_clampable(reading: Reading) -> Cell:
    """Selectors of a cell among those that can be held."""
    entry = reading.entry
    _keep_clampable(entry)
    offered = entry.metadata.model.clampable
    cell = choices.choose_cell(entry, reading.trace, reading.text, offered=offered)
    _warn_of_no_effect(entry, cell)
    return cell


def choose_value(reading: Reading, cell: Cell, marks: np.ndarray | None) -> ClampedUnit:
    """Selectors of the value at which a unit is held; `marks` bool [character], if there are any:
    of which characters the property holds."""
    is_gate = words.is_gate(cell.quantity)
    offered = [at for at in HELD_AT if at not in (OF_OTHERS if is_gate else OF_GATES)]
    if marks is None:
        offered = [at for at in offered if at not in NEEDS_MARKS]
    choices.keep_valid(_HELD_AT, offered)
    at = st.segmented_control(
        "Held at",
        offered,
        required=True,
        format_func=lambda at: HELD_AT[at].label,
        help=meanings(offered),
        key=_HELD_AT.key,
        persist_state="session",
    )
    if at != OWN_VALUE:
        return ClampedUnit(cell, at)
    return ClampedUnit(cell, at, _choose_number(_values_of(reading, cell), is_gate))


def meanings(offered: list[str]) -> str:
    """What these of `HELD_AT` mean, Markdown."""
    return "\n\n".join(f"**{HELD_AT[at].label}**: {HELD_AT[at].meaning}" for at in offered)


def _keep_clampable(entry: ModelEntry) -> None:
    """Where the cell chosen so far cannot be held, choose the memory that it belongs to."""
    config, quantity = entry.metadata.model, session.cell.quantity.get()
    if quantity in config.quantities and quantity not in config.clampable:
        memory = config.memory(quantity.split(".")[0])
        session.cell.quantity.set(memory.cell if memory else config.cells[0])


def _warn_of_no_effect(entry: ModelEntry, cell: Cell) -> None:
    """Say so where the chosen gate keeps a memory that is always 0."""
    memory = entry.metadata.model.memory("depth")
    if memory and not memory.starts and (cell.quantity, cell.layer) == (memory.keep, 1):
        st.caption(
            "Holding this gate changes nothing: there is no memory below the first layer that it "
            "could keep. In the layers above it can."
        )


def _values_of(reading: Reading, cell: Cell) -> np.ndarray:
    """What a unit is at each character while nothing is held: float [character]."""
    values = reading.trace.values[cell.quantity]
    return values[cell.layer - 1, reading.positions, cell.unit]


def _choose_number(values: np.ndarray, is_gate: bool) -> float:
    """A slider over the range of a unit's `values` [character], or of a gate, 0 to 1."""
    least, most = float(values.min()), float(values.max())
    low, high = (0.0, 1.0) if is_gate else (least, most)
    if low == high:
        st.caption(f"In this text the unit never varies: it is {low:.3f} at every character.")
        return low
    number = st.slider(
        "Value",
        low,
        high,
        float(np.clip(values.mean(dtype=np.float64), low, high)),
        step=(high - low) / 200,
        format="%.3f",
        # Another range is another slider: a value kept from one could lie outside of the other.
        key=f"held_value {low} {high}",
        help=f"In the units of the quantity itself. In this text the unit goes from {least:.3f} "
        f"to {most:.3f}; its mean is where the slider stands at first.",
        width=420,
    )
    return float(np.clip(number, low, high))
