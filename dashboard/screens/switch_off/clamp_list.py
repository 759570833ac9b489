"""The units that are held together: the chosen one, and those that the visitor has put on a list.

A model's list lasts as long as the visit.
"""

import numpy as np
import streamlit as st

from dashboard import words
from dashboard.screens.reading import Reading
from dashboard.screens.refusal import Refusal
from dashboard.screens.switch_off.clamped_unit import HELD_AT, ClampedUnit
from dashboard.serving.file_version import FileVersion
from dashboard.serving.loading import ModelEntry
from dashboard.session import Cell, Value
from gridlstm.clamps import Clamp
from gridlstm.errors import UserError

# By the model.
_LISTS: Value[dict[FileVersion, dict[Cell, ClampedUnit]]] = Value("held_units")


def choose_clamps(
    reading: Reading, chosen: ClampedUnit, marks: np.ndarray | None
) -> tuple[Clamp, ...] | Refusal:
    """The chosen unit, if it has a value, and those on the list, shown."""
    listed = _list_of(reading.entry)
    try:
        clamps = [chosen.clamp(reading, marks)]
    except UserError as error:
        return Refusal(words.verbatim(str(error)))
    with st.container(border=True, gap="xsmall"):
        st.markdown("**Held while the model reads:**")
        with st.container(horizontal=True, vertical_alignment="center"):
            st.markdown(
                _described(chosen, clamps[0]) + " *(chosen above)*",
                help="The value that the unit has at every character while the model reads, in "
                "the units of its quantity.",
            )
            st.button(
                "Add to the list",
                icon=":material/add:",
                type="tertiary",
                help="Keep this unit held while you choose another one to hold as well.",
                disabled=listed.get(chosen.cell) == chosen,
                on_click=lambda: listed.update({chosen.cell: chosen}),
            )
        for number, unit in enumerate(listed.values()):
            if clamp := _show_listed(
                unit, number, reading, marks, is_chosen=unit.cell == chosen.cell
            ):
                clamps.append(clamp)
    return tuple(sorted(clamps, key=lambda h: (h.quantity, h.layer, h.unit)))


def _list_of(entry: ModelEntry) -> dict[Cell, ClampedUnit]:
    """The units that the visitor has put on the list for this model."""
    lists = _LISTS.set_if_new(dict)
    return lists.setdefault(entry.version, {})


def _described(unit: ClampedUnit, clamp: Clamp) -> str:
    """One line on a unit that is held, Markdown."""
    how = HELD_AT[unit.at].label
    return f"{words.verbatim(unit.name)}, at **{clamp.value:.3f}** ({how[0].lower()}{how[1:]})"


def _show_listed(
    unit: ClampedUnit, number: int, reading: Reading, marks: np.ndarray | None, *, is_chosen: bool
) -> Clamp | None:
    """A line of the list with its button, and the hold; None, and the reason said, if there is
    none: the unit has no such value in this text, or is held as chosen instead."""
    listed = _list_of(reading.entry)
    with st.container(horizontal=True, vertical_alignment="center"):
        clamp = None
        try:
            if is_chosen:
                st.markdown(words.verbatim(unit.name) + " *(as chosen above)*")
            else:
                clamp = unit.clamp(reading, marks)
                st.markdown(_described(unit, clamp))
        except UserError as error:
            st.markdown(words.verbatim(f"{unit.name} is not held: {error}"))
        st.button(
            "Remove",
            icon=":material/close:",
            type="tertiary",
            key=f"remove_{number}",
            help="Take this unit off the list.",
            on_click=lambda: listed.pop(unit.cell, None),
        )
    return clamp
