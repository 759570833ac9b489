"""Where else in the text the cells of a selection are on; a click shows the place in the text."""

import pandas as pd
import streamlit as st

from dashboard.coloured_text import Place, Selection, as_selected, selected_in
from dashboard.screens import choices
from dashboard.screens.clickable_table import clickable_table
from dashboard.screens.reading import Reading
from dashboard.serving.estimates import estimate_ranking_seconds
from dashboard.serving.kept import kept
from dashboard.session import Value, session
from gridlstm.analysis.selection import similar_places
from gridlstm.plurals import counted
from gridlstm.text import Text

# The place that was clicked last, for a text and what was selected in it, and how many were.
_PLACE: Value[tuple[bytes, tuple[int, int], Place]] = Value("place")
_CALLS: Value[int] = Value("place_calls", 0)
SURROUNDINGS = 30


def show_places(reading: Reading, units: pd.DataFrame, selected: Selection) -> None:
    """The places where at least half of the units are on, and the way to one on the page Cells."""
    st.header(
        "The same cells elsewhere",
        anchor=False,
        help="Runs of characters of similar length at which at least half of these cells are on.",
    )
    text, span = reading.text, (selected.start, selected.end)
    cells = tuple(map(tuple, units[["quantity", "layer", "unit", "direction"]].to_numpy()))
    places = kept(
        "selections",
        reading.entry.version,
        text.data,
        lambda progress: similar_places(
            reading.memories, reading.positions, units, *span, progress=progress
        ),
        depends_on=("places", span, cells, tuple(units["threshold"])),
        label="Looking for them elsewhere …",
        seconds=estimate_ranking_seconds(reading.trace) * len(units) / reading.trace.units,
    )
    if places.empty:
        st.caption("Nowhere else in this text are half of them on together.")
        return
    st.caption(
        f"{counted(len(places), 'place')}, the likest first. **Click one to see it in the text "
        "above.**",
        help="At most 20 are listed.",
    )
    clickable_table(
        _format_table(places, text.characters),
        lambda row: _note_place(places.iloc[row], text, span),
        key="places",
        action="Show the marked place in the text above",
        columns=_PLACE_COLUMNS,
    )
    place = place_to_show(text)
    if place and st.button(
        f"Open characters {place.start + 1:,} to {place.end:,} on the page Cells",
        icon=":material/grid_view:",
        help="With this place selected there, and every gate of the unit at its end.",
    ):
        chosen = as_selected(text.characters, place.start, place.end)
        choices.open_page(choices.CELLS_PAGE, {session.selection: chosen})


def _format_table(places: pd.DataFrame, characters: str) -> pd.DataFrame:
    """The table of places, each with what stands around it."""
    return pd.DataFrame(
        {
            "Characters": [f"{r.start + 1:,}–{r.end:,}" for r in places.itertuples()],
            "Before": [characters[max(0, s - SURROUNDINGS) : s] for s in places["start"]],
            "Place": [characters[r.start : r.end] for r in places.itertuples()],
            "After": [characters[e : e + SURROUNDINGS] for e in places["end"]],
            "Cells on": places["share"],
        }
    )


_PLACE_COLUMNS = {
    "Characters": st.column_config.TextColumn(help="Where it is in the text, counted from 1."),
    "Before": st.column_config.TextColumn(help="What stands just before it."),
    "Place": st.column_config.TextColumn(help="The characters at which these cells are on."),
    "After": st.column_config.TextColumn(help="What follows it."),
    "Cells on": st.column_config.ProgressColumn(
        format="percent",
        min_value=0,
        max_value=1,
        help="The share of the cells that are on, in the mean over the place.",
    ),
}


def _note_place(row: pd.Series, text: Text, span: tuple[int, int]) -> None:
    """Keep the place of a row, to be shown in the text while `span` is selected in it."""
    call = _CALLS.value + 1
    _CALLS.set(call)
    place = Place(int(row["start"]), int(row["end"]), call)
    _PLACE.set((text.data, span, place))


def place_to_show(text: Text) -> Place | None:
    """The place that has been clicked, unless the text or the selection has changed since."""
    data, span, place = _PLACE.get() or (None, None, None)
    selected = selected_in(session.searched_selection.key, text.characters)
    if data != text.data or selected is None or (selected.start, selected.end) != span:
        return None
    return place
