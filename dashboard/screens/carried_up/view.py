"""Is a property written low in a Grid LSTM and carried up? Followed along a direction."""

import streamlit as st

from dashboard import words
from dashboard.charts.theme import plot_config
from dashboard.screens import choices
from dashboard.screens.carried_up import charts
from dashboard.screens.carried_up.answer import show_answer
from dashboard.screens.carried_up.follow import choose_settings, follow
from dashboard.screens.carried_up.written import show_written
from dashboard.screens.property import choose_property
from dashboard.screens.reading import read, text_line, usable_models
from dashboard.screens.refusal import refused
from gridlstm.analysis.carried_up import check_followed
from gridlstm.errors import UserError

st.title("Is it written low and carried up?")
st.markdown(
    "A Grid LSTM has a **depth memory**, which goes from layer to layer. The guess with which this "
    "program began: a low layer notes “inside a web address” there, the **forget gates** above let "
    "it pass, and the top reads it. No single unit need hold it, so it is followed along a "
    "**direction**: weights over all units of the top memory, found on one part of the text and "
    "followed on the other."
)
text_line()
models = usable_models()
if refused(models):
    st.stop()
entry = choices.choose_reader(models)
try:
    check_followed(entry.metadata.model)
except UserError as error:
    st.info(words.verbatim(f"{error} Choose a Grid LSTM."))
    st.stop()
target = choose_property(entry, choices.current_text())
if refused(target):
    st.stop()
settings = choose_settings(entry)
reading = read(entry, choices.current_text())
if refused(reading):
    st.stop()
found = follow(reading, target, settings)
if refused(found):
    st.stop()
show_answer(found, target)
left, right = st.columns(2)
with left:
    st.header(
        "Which layers wrote it",
        anchor=False,
        help="Each layer's part of what sets the inside of the property apart from the outside in "
        "the top memory, along the direction. The parts add up to 100 %. The bars are the 95 % "
        "interval: how far it would vary with other spans of the kind.",
    )
    st.plotly_chart(
        charts.written_by_layer(found), config=plot_config("written-by-layer"), key="by_layer"
    )
with right:
    st.header(
        "What is lost without it",
        anchor=False,
        help="What the lowest layers wrote is taken out of the top memory, along this direction "
        "alone, at every character: how much the surprise rises inside the property and outside. "
        "Beside it the same along random directions, as much moved along random ones, and all that "
        "is along a direction, whoever wrote it.",
    )
    st.plotly_chart(charts.losses(found), config=plot_config("losses"), key="losses")
show_written(reading, found)
