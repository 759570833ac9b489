"""The text itself, every character coloured by one cell or gate, layer by layer."""

import streamlit as st

from dashboard import words
from dashboard.charts import cells as charts
from dashboard.charts.theme import plot_config
from dashboard.coloured_text import Selection, as_selected
from dashboard.screens import choices, first_look
from dashboard.screens.reading import (
    Reading,
    below_the_text,
    draw_coloured,
    read,
    scales,
    show_text_differences,
    text_line,
    usable_models,
)
from dashboard.screens.refusal import refused
from dashboard.serving.estimates import estimate_ranking_seconds
from dashboard.serving.kept import kept
from dashboard.session import Cell, session

NOTHING = "Nothing"
SECONDS_TO_DRAW_A_CHARACTER = 3e-5
VIEWS = {
    "layers": "This unit in every layer",
    "units": "All units of this layer",
    "surprise": "Surprise",
}


def draw_text(reading: Reading, cell: Cell, suffix: str) -> None:
    """The coloured text, and what its unit does at the selected character."""
    values = reading.of_unit(cell.quantity, cell.unit, session.memory.value)
    selection = draw_coloured(reading, cell, values, key=f"{session.selection.key}{suffix}")
    if selection is None:
        st.caption(
            "Point at a character for its values; click one to see every gate of this unit. Drag "
            "over several to find the cells that are on just there."
        )
        return
    link_to_search(reading, cell, selection, suffix)
    at = reading.positions[selection.end - 1]
    table = {
        q: reading.of_unit(q, cell.unit, "tanh")[:, selection.end - 1]
        for q in reading.trace.quantities
        if reading.trace.values[q].shape == reading.trace.values[cell.quantity].shape
    }
    at_byte = f" (byte {at + 1:,})" if reading.token_name == "byte" else ""
    st.caption(f"Unit {cell.unit} in every layer at character {selection.end:,}{at_byte}")
    st.plotly_chart(
        charts.gates_at_character(table),
        config=plot_config(f"gates-unit-{cell.unit}"),
        key=f"gates{suffix}",
    )


def link_to_search(reading: Reading, cell: Cell, selection: Selection, suffix: str) -> None:
    """From a selection to the page that searches for its cells."""
    if st.button(
        "Find the cells of this selection",
        icon=":material/search:",
        help="The cells that are on throughout what you have selected and off just outside it, and "
        "the other places in the text where they are on.",
        key=f"find_selection{suffix}",
    ):
        span = as_selected(reading.text.characters, selection.start, selection.end)
        choices.open_page(
            choices.FIND_PAGE,
            {
                session.model: reading.entry.name,
                **session.cell.chosen_as(cell),
                session.find: "selection",
                session.searched_selection: span,
            },
        )


def draw_below(reading: Reading, cell: Cell, view: str, suffix: str) -> None:
    """One of the pictures of the whole text."""
    memory_as, text = session.memory.value, reading.text
    name = words.shown_name(cell.quantity, memory_as)
    file = f"{reading.entry.name}-{cell.quantity}-layer-{cell.layer}"
    if view == "layers":
        values = reading.of_unit(cell.quantity, cell.unit, memory_as)
        _, scale = scales(cell.quantity, memory_as, values)
        figure = charts.layers_by_character(values, text.characters, name, scale)
    elif view == "units":
        # Imports SciPy's clustering, which nothing else on the page waits for.
        from gridlstm.analysis.orders import MAX_CLUSTERED_UNITS, ORDERS

        orders = [
            by for by in ORDERS if by != "similarity" or reading.trace.units <= MAX_CLUSTERED_UNITS
        ]
        by = st.selectbox(
            "Order of the units",
            orders,
            index=len(orders) - 1,
            format_func=lambda by: f"by {by}",
            help="\n\n".join(f"**By {o.name}**: {o.explanation}" for o in ORDERS.values()),
            key=f"order{suffix}",
            persist_state="session",
        )
        figure = kept(
            "pictures",
            reading.entry.version,
            text.data,
            lambda progress: units_figure(reading, cell, memory_as, by),
            depends_on=("units", cell.quantity, cell.layer, memory_as, by),
            label="Ordering the units …",
            seconds=estimate_ranking_seconds(reading.trace) / reading.trace.layers,
        )
    else:
        figure = kept(
            "pictures",
            reading.entry.version,
            text.data,
            lambda progress: surprise_figure(reading),
            depends_on=("surprise",),
            label="Drawing the surprise …",
            seconds=SECONDS_TO_DRAW_A_CHARACTER * len(text.characters),
        )
    st.plotly_chart(figure, config=plot_config(f"{file}-{view}"), key=f"{view}{suffix}")


def units_figure(reading: Reading, cell: Cell, memory_as: str, by: str):
    from gridlstm.analysis.orders import order

    values = reading.of_layer(cell.quantity, cell.layer, memory_as)
    _, scale = scales(cell.quantity, memory_as, values)
    name = words.shown_name(cell.quantity, memory_as)
    return charts.units_by_character(
        values.T, order(values, by), reading.text.characters, name, scale
    )


def surprise_figure(reading: Reading):
    characters, predictions = reading.text.characters, reading.predictions
    return charts.loss_by_character(reading.loss_bits, characters, predictions)


st.title("Cells")
introduction = st.empty()
text_line()
models = usable_models()
if refused(models):
    st.stop()
is_first_look = first_look.is_chosen(models)
if is_first_look:
    with introduction:
        first_look.introduce()
choices.keep_valid(session.second_model, [NOTHING, *models])
choices.keep_valid(session.whitespace, [False, True])
choices.keep_valid(session.below, list(VIEWS))
left, right = st.columns(2)
with left:
    entry = choices.choose_reader(models)
with right:
    compared = st.selectbox(
        "Beside it",
        [NOTHING, *models],
        format_func=lambda name: models[name].title if name in models else name,
        key=session.second_model.key,
        persist_state="session",
        help="A second model on the same text. Its units have nothing to do with the first one's.",
    )
options = st.columns([3, 2], vertical_alignment="bottom")
with options[0]:
    choices.choose_memory_shown()
options[1].toggle("Show spaces and line ends", key=session.whitespace.key, persist_state="session")

shown = [(entry, session.cell)]
if compared in models:
    shown.append((models[compared], session.second_cell))
show_text_differences([model for model, _ in shown])
places = st.columns(len(shown))
readings = []
for place, (model, values) in zip(places, shown, strict=True):
    with place:
        reading = read(model, choices.current_text())
        if refused(reading):
            continue
        if is_first_look and values is session.cell and not first_look.follows_addresses(reading):
            introduction.empty()
        cell = choices.choose_cell(model, reading.trace, reading.text, values)
        draw_text(reading, cell, values.suffix)
        readings.append((reading, cell, values.suffix))

if not readings:
    st.stop()
view = st.segmented_control(
    "Below",
    list(VIEWS),
    required=True,
    format_func=VIEWS.get,
    key=session.below.key,
    persist_state="session",
    label_visibility="collapsed",
)
with below_the_text():
    for place, (reading, cell, suffix) in zip(st.columns(len(readings)), readings, strict=True):
        with place:
            draw_below(reading, cell, view, suffix)
