"""Who wrote a memory: which layer below, which earlier character, and how long writes last."""

import streamlit as st

from dashboard.screens import choices, directions
from dashboard.screens.provenance.by_character import show_by_character
from dashboard.screens.provenance.by_layer import show_by_layer
from dashboard.screens.provenance.half_lives import show_half_lives
from dashboard.screens.reading import read, text_line, usable_models
from dashboard.screens.refusal import refused
from dashboard.session import session
from gridlstm.direction import unit_direction

VIEWS = {
    "depth": "Which layer wrote it",
    "time": "Which character wrote it",
    "half-life": "How long writes last",
}
# Along which dimension a memory must be carried for a view.
NEEDS = {"depth": "depth", "time": "time", "half-life": "time"}

st.title("Who wrote it")
st.markdown(
    "A memory is carried **linearly**: at each step a forget gate keeps a part of it and something "
    "is added. So what it holds can be taken apart, exactly, into what was written when and where."
)
text_line()
models = usable_models()
if refused(models):
    st.stop()
entry = choices.choose_reader(models)
reading = read(entry, choices.current_text())
if refused(reading):
    st.stop()
model = entry.metadata.model
views = [view for view, along in NEEDS.items() if model.memory(along)]
if not views:
    st.info(
        f"The {model.form.title} carries nothing linearly: at every step all that it holds passes "
        "a squashing function, so what was written when cannot be told apart."
    )
    st.stop()
choices.keep_valid(session.provenance, views)
view = st.segmented_control(
    "What to show",
    views,
    required=True,
    format_func=VIEWS.get,
    key=session.provenance.key,
    persist_state="session",
    label_visibility="collapsed",
)
if not model.memory("depth"):
    st.caption(
        f"Layer by layer it cannot be told: the {model.form.title} has no memory that is carried "
        "up through its layers; what rises is squashed at each."
    )
if not model.memory("time"):
    st.caption(
        f"Character by character it cannot be told: the {model.form.title} has no memory that is "
        "carried from character to character; what it knows of them passes a squashing function."
    )
if view == "half-life":
    show_half_lives(reading)
else:
    of = directions.choose_direction(entry, (model.memory(view).cell,))
    is_unit = of is None
    if of is None:
        layer, unit = choices.choose_unit(entry, reading.trace, reading.text)
        of = unit_direction(model.memory(view).cell, layer, unit, model.units)
    if view == "depth":
        show_by_layer(reading, of, is_unit)
    else:
        show_by_character(reading, of, is_unit)
