"""What a first visit opens on: the cell of docs/url-cell.md, in a text full of web addresses."""

from typing import TYPE_CHECKING

import streamlit as st

from dashboard.screens import choices
from dashboard.serving import loading
from dashboard.serving.loading import ModelEntry
from gridlstm.analysis.properties import inside_url
from gridlstm.checkpoint import Metadata

if TYPE_CHECKING:
    from dashboard.screens.reading import Reading

CHOSEN = {
    "sample": "wiki-urls.txt",
    "model": "grid-6",
    "quantity": "time.cell",
    "layer": 6,
    "unit": 152,
}
# A model of this name that has been trained anew may have its address cell elsewhere.
LEAST_AUC = 0.9


def open_if_there() -> None:
    """Go to the cell, unless its model is not in the folder or has no such cell."""
    if _has_cell(loading.shipped_metadata(CHOSEN["model"])):
        st.session_state.update(CHOSEN, first_look=True)
        st.switch_page(choices.CELLS_PAGE)


def is_chosen(models: dict[str, ModelEntry]) -> bool:
    """Whether it is this cell in this text that is looked at."""
    state = st.session_state
    as_chosen = all(state.get(key) == value for key, value in CHOSEN.items())
    if not as_chosen or "own_text" in state or CHOSEN["model"] not in models:
        return False
    return _has_cell(models[CHOSEN["model"]].metadata)


def _has_cell(metadata: Metadata | None) -> bool:
    if metadata is None:
        return False
    config = metadata.model
    return (
        CHOSEN["quantity"] in config.quantities
        and CHOSEN["layer"] <= config.layers
        and CHOSEN["unit"] < config.units
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
                choices.open_page(choices.TEXT_PAGE, source=choices.TYPED)
            for page, label, icon in (
                ("screens/find/view.py", "Find the cell of something else", "search"),
                ("screens/provenance/view.py", "Who wrote its memory", "history_edu"),
                ("screens/switch_off/view.py", "Switch it off", "power_settings_new"),
            ):
                st.page_link(page, label=label, icon=f":material/{icon}:", width="content")


def holds(reading: "Reading") -> bool:
    """Whether the cell does follow the addresses of the text; of a first visit's model that has
    none there, the page chooses the cell as for any other text."""
    # Imports pandas, which the first heading does not wait for.
    from gridlstm.analysis.ranking import auc

    first = st.session_state.pop("first_look", False)
    values = reading.of_unit(CHOSEN["quantity"], CHOSEN["unit"], "c")[CHOSEN["layer"] - 1]
    follows = auc(values[:, None], inside_url(reading.text.characters))[0] >= LEAST_AUC
    if first and not follows:
        for key in ("quantity", "layer", "unit"):
            del st.session_state[key]
    return bool(follows)
