"""What a first visit opens on: the cell of docs/url-cell.md, in a text full of web addresses."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import streamlit as st

from dashboard.screens import choices
from dashboard.serving import loading
from dashboard.serving.loading import ModelEntry
from dashboard.session import Cell, Value, session
from gridlstm.analysis.properties import inside_url
from gridlstm.checkpoint import Metadata

if TYPE_CHECKING:
    from dashboard.screens.reading import Reading


@dataclass(frozen=True)
class View:
    """A cell of a model in a shipped text."""

    sample: str
    model: str
    cell: Cell


FIRST = View("wiki-urls.txt", "grid-6", Cell("time.cell", 6, 152))
# A model of this name that has been trained anew may have its address cell elsewhere.
MIN_AUC = 0.9
# That the visit has just begun with it.
_IS_NEW: Value[bool] = Value("first_look")


def open_if_present() -> None:
    """Go to the cell, unless its model is not in the folder or has no such cell."""
    if _has_cell(loading.shipped_metadata(FIRST.model)):
        session.sample.set(FIRST.sample)
        session.model.set(FIRST.model)
        session.cell.set(FIRST.cell)
        _IS_NEW.set(True)
        st.switch_page(choices.CELLS_PAGE)


def is_chosen(models: dict[str, ModelEntry]) -> bool:
    """Whether it is this cell in this text that is looked at."""
    if session.has_own_text or FIRST.model not in models:
        return False
    looked_at = View(session.sample.get(), session.model.get(), session.cell.get())
    return looked_at == FIRST and _has_cell(models[FIRST.model].metadata)


def _has_cell(metadata: Metadata | None) -> bool:
    if metadata is None:
        return False
    config, cell = metadata.model, FIRST.cell
    return (
        cell.quantity in config.quantities
        and cell.layer <= config.layers
        and cell.unit < config.units
    )


def introduce() -> None:
    """What is seen, and where to go next."""
    with st.container(border=True):
        st.markdown(
            "**This cell knows when it is inside a web address.** Every character stands on the "
            "colour of one memory cell of a network that has learnt, from Wikipedia, to guess the "
            "next byte: the cell turns brown at the colon of `http:` and lets go around the end "
            "of the address. Nobody told it what an address is."
        )
        with st.container(horizontal=True, vertical_alignment="center"):
            if st.button("Put in a text of your own", icon=":material/notes:", type="tertiary"):
                choices.open_page(choices.TEXT_PAGE, {session.source: choices.TYPED})
            for page, label, icon in (
                ("screens/find/view.py", "Find the cell of something else", "search"),
                ("screens/provenance/view.py", "Who wrote its memory", "history_edu"),
                ("screens/carried_up/view.py", "Is it written low and carried up?", "move_up"),
                ("screens/switch_off/view.py", "Switch it off", "power_settings_new"),
            ):
                st.page_link(page, label=label, icon=f":material/{icon}:", width="content")


def follows_addresses(reading: "Reading") -> bool:
    """Whether the cell does follow the addresses of the text; of a first visit's model that has
    none there, the page chooses the cell as for any other text."""
    # Imports pandas, which the first heading does not wait for.
    from gridlstm.analysis.ranking import auc

    is_new, cell = _IS_NEW.forget(), FIRST.cell
    values = reading.of_unit(cell.quantity, cell.unit, "c")[cell.layer - 1]
    follows = auc(values[:, None], inside_url(reading.text.characters))[0] >= MIN_AUC
    if is_new and not follows:
        session.cell.forget()
    return bool(follows)
