"""Find the cells that follow a property of the text, or that are on in a selection of it."""

import streamlit as st

from dashboard.screens import choices
from dashboard.screens.find.by_layer import show_by_layer
from dashboard.screens.find.directions import show_directions
from dashboard.screens.find.found_cells import show_found
from dashboard.screens.find.probe import show_probe
from dashboard.screens.find.similar_places import show_places
from dashboard.screens.find.units_on import select_in_text, show_units
from dashboard.screens.property import choose_property, show_property
from dashboard.screens.reading import read, text_line, usable_models
from dashboard.screens.refusal import refused
from dashboard.session import session

VIEWS = {"property": "By what is true of the text", "selection": "By a selection in the text"}

st.title("Find a cell")
st.markdown(
    "Which cells know that they are inside a web address, a quotation, a comment? Say what shall "
    "hold of the text, or select a piece of it, and every unit of every layer is searched."
)
text_line()
models = usable_models()
if refused(models):
    st.stop()
entry = choices.choose_reader(models)
choices.keep_valid(session.find, list(VIEWS))
view = st.segmented_control(
    "How to search",
    list(VIEWS),
    required=True,
    format_func=VIEWS.get,
    key=session.find.key,
    persist_state="session",
    label_visibility="collapsed",
)
text = choices.current_text()
if view == "property":
    target = choose_property(entry, text)
    if refused(target):
        st.stop()
reading = read(entry, text)
if refused(reading):
    st.stop()
if view == "property":
    is_judged = show_found(reading, target)
    if is_judged:
        show_by_layer(models, reading, target)
    if is_judged and target.is_mark:
        show_probe(reading, target)
    if is_judged:
        show_directions(reading, target)
    show_property(text, target)
else:
    cell = choices.choose_cell(entry, reading.trace, text)
    selected = select_in_text(reading, cell)
    units = show_units(reading, selected)
    if units is not None:
        show_places(reading, units, selected)
