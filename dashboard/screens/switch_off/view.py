"""Switch a unit off: hold it at a value while the model reads, and see what the model loses."""

import streamlit as st

from dashboard.screens import choices
from dashboard.screens.property import choose_mark
from dashboard.screens.reading import read, text_line, usable_models
from dashboard.screens.refusal import refused
from dashboard.screens.switch_off.ablation import show_use
from dashboard.screens.switch_off.changed_text import show_change, show_probabilities
from dashboard.screens.switch_off.clamp_list import choose_clamps
from dashboard.screens.switch_off.clamped_unit import choose_clampable, choose_value
from dashboard.screens.switch_off.losses import compare, show_losses
from dashboard.screens.switch_off.samples import show_samples
from gridlstm.text import Text, truncate

# The model reads the text again for every choice, and some fifty times for the table.
MAX_COMPARED_CHARACTERS = 5_000


def beginning(text: Text) -> Text:
    """As much of a text as this page reads, with a caption where that is not all."""
    if len(text.characters) <= MAX_COMPARED_CHARACTERS:
        return text
    st.caption(
        f"For this page the text is cut to its first {MAX_COMPARED_CHARACTERS:,} characters, as "
        "the model "
        "reads it again for every choice."
    )
    return truncate(text, int(text.last_byte[MAX_COMPARED_CHARACTERS - 1]) + 1)


st.title("Switch off")
st.markdown(
    "Hold a unit at a value while the model reads, and see what the model loses. A cell may follow "
    "something in the text without being used for it: this tells the two apart."
)
text_line()
models = usable_models()
if refused(models):
    st.stop()
text = beginning(choices.current_text())
left, right = st.columns(2)
with left:
    entry = choices.choose_reader(models)
with right:
    target = choose_mark(entry, text)
reading = read(entry, text)
if refused(reading):
    st.stop()
cell = choose_clampable(reading)
chosen = choose_value(reading, cell, target.values)
clamps = choose_clamps(reading, chosen, target.values)
if refused(clamps):
    st.stop()
comparison = compare(reading, clamps)
if refused(comparison):
    st.stop()
show_losses(comparison, target)
clicked = show_change(comparison)
if clicked is not None:
    show_probabilities(comparison, clicked)
show_samples(comparison, clicked)
show_use(reading, target)
