"""Addition: a model that was trained to add answers digit by digit, its memory watched."""

import re

import numpy as np
import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from dashboard import words
from dashboard.charts.cells import layers_by_character, units_by_character
from dashboard.charts.theme import plot_config
from dashboard.screens import choices
from dashboard.screens.addition import charts
from dashboard.screens.addition.carry_cells import best_follower, draw_followers, followers
from dashboard.screens.reading import Reading, read, scales, usable_models
from dashboard.screens.refusal import Refusal, refused
from dashboard.serving import loading
from dashboard.serving.estimates import estimate_reading_seconds
from dashboard.serving.kept import kept
from dashboard.serving.loading import ModelEntry
from dashboard.session import Cell, session
from gridlstm.addition import (
    END,
    MAX_BYTES_MEASURED,
    VALIDATION_SAMPLES,
    Layout,
    Sums,
    carries_of,
    layout_of,
)
from gridlstm.analysis.orders import MAX_CLUSTERED_UNITS, order
from gridlstm.errors import UserError
from gridlstm.progress import Progress
from gridlstm.text import from_bytes, printable_byte

# In pixels.
MODEL_WIDTH, NUMBERS_WIDTH = 640, 360


def usable_adders() -> dict[str, ModelEntry] | Refusal:
    """The models that were trained to add, by name."""
    models = usable_models()
    if isinstance(models, Refusal):
        return models
    found = {
        name: entry
        for name, entry in models.items()
        if layout_of(entry.metadata.training) is not None
    }
    if not found:
        return Refusal(
            "No model here was trained to add. Train one with `python -m gridlstm train --task "
            "addition`, or upload one on the Models page.",
            is_error=False,
        )
    return found


def choose_numbers(layout: Layout, places: list[DeltaGenerator]) -> tuple[int, int] | Refusal:
    """Two numbers that the visitor types."""
    typed = [
        place.text_input(label, key=number.key, max_chars=200, persist_state="session").strip()
        for place, label, number in zip(
            places,
            ("First number", "Second number"),
            (session.first_number, session.second_number),
            strict=True,
        )
    ]
    for number in typed:
        plural = "s" if layout.digits > 1 else ""
        if not re.fullmatch("[0-9]+", number):
            return Refusal("Type two numbers, each in the digits 0 to 9 alone.")
        if len(number) > layout.digits:
            return Refusal(
                f"This model was trained on numbers of at most {layout.digits} digit{plural}; "
                f"{number[:40]} has {len(number)}."
            )
    return int(typed[0]), int(typed[1])


def in_words(layout: Layout, right: bytes, answer: bytes) -> str:
    """The answer in a sentence, Markdown."""
    wrong = [n for n, pair in enumerate(zip(right, answer, strict=True), 1) if pair[0] != pair[1]]
    wanted = right.removesuffix(END).decode()
    if not wrong:
        return f"The model answers **{wanted}**: right."
    given = words.verbatim("".join(map(printable_byte, answer.removesuffix(END))))
    names = ["the end" if n == layout.answered else f"digit {n}" for n in wrong]
    return f"The model answers **{given}**, but it is **{wanted}**: wrong at {', '.join(names)}."


def draw_answer(first: int, second: int, layout: Layout, reading: Reading) -> bytes:
    """The sum as one writes it, and the model's; returns the bytes that it answers."""
    probabilities = reading.trace.next_token[-layout.answered :].astype(np.float32)
    answer = probabilities.argmax(axis=1).astype(np.uint8).tobytes()
    right = f"{first + second:0{layout.digits + 1}}".encode() + END
    st.markdown(in_words(layout, right, answer))
    operands = np.array([[int(d) for d in f"{n:0{layout.digits}}"] for n in (first, second)])
    st.plotly_chart(
        charts.written_sum(
            operands,
            carries_of(first, second, layout.digits),
            right,
            answer,
            probabilities.max(axis=1),
        ),
        config=plot_config(f"{reading.entry.name}-sum"),
        key="sum",
    )
    return answer


def draw_memory(reading: Reading, cell: Cell, answer: bytes, carries: np.ndarray) -> None:
    """All units of a layer along the sum, and the chosen one in every layer."""
    name = words.shown_name(cell.quantity, "tanh")
    values = reading.of_layer(cell.quantity, cell.layer, "tanh")
    _, scale = scales(cell.quantity, "tanh", values)
    by = "similarity" if reading.trace.units <= MAX_CLUSTERED_UNITS else "index"
    file = f"{reading.entry.name}-{cell.quantity}"
    characters = reading.text.characters
    units = units_by_character(values.T, order(values, by), characters, name, scale)
    layers = layers_by_character(
        reading.of_unit(cell.quantity, cell.unit, "tanh"), characters, name, scale
    )
    ordered = "those that go together side by side" if by == "similarity" else "by number"
    st.caption(f"All units of layer {cell.layer}, {ordered}")
    st.plotly_chart(
        charts.name_places(units, characters, answer, carries),
        config=plot_config(f"{file}-layer-{cell.layer}"),
        key="units",
    )
    st.caption(f"Unit {cell.unit} in every layer")
    st.plotly_chart(
        charts.name_places(layers, characters, answer, carries),
        config=plot_config(f"{file}-unit-{cell.unit}"),
        key="layers",
    )


def accuracy(entry: ModelEntry, layout: Layout) -> tuple[float, float, int]:
    """Shares of sums and of digits that are right, and of how many sums, not trained on.

    Raises UserError.
    """

    def make(progress: Progress) -> tuple[float, float, int]:
        from gridlstm.training.tasks import validate_addition

        operands = Sums(layout, entry.metadata.data.train_fraction).validation(samples)
        laid_out = layout.lay_out(operands)
        found = validate_addition(loading.model_of(entry), *laid_out, layout, progress)
        return found.accuracy, found.digit_accuracy, len(operands)

    samples = layout.samples_within(VALIDATION_SAMPLES, MAX_BYTES_MEASURED)
    seconds = estimate_reading_seconds(entry.metadata.model, samples * layout.length)
    return kept(
        "addition",
        entry.version,
        None,
        make,
        depends_on=("accuracy", layout),
        label="The model adds …",
        seconds=seconds,
    )


st.title("Addition")
st.markdown(
    "A model that was trained to add reads two numbers digit by digit and then answers their sum, "
    "from its first digit on. Its answers are not put back into it: **a carry must be kept in its "
    "memory** (Grid LSTM paper, section 4.2)."
)
adders = usable_adders()
if refused(adders):
    st.stop()
# In a narrow window the numbers go to a line of their own.
with st.container(horizontal=True):
    with st.container(width=MODEL_WIDTH):
        entry = choices.choose_model(session.adder, "Model that adds", adders)
    number_places = st.container(width=NUMBERS_WIDTH).columns(2)
layout = layout_of(entry.metadata.training)
for number, start in ((session.first_number, "5"), (session.second_number, "6")):
    if not isinstance(number.get(), str):
        number.set(start * layout.digits)
numbers = choose_numbers(layout, number_places)
if refused(numbers):
    st.stop()
first, second = numbers
reading = read(entry, from_bytes(layout.question(first, second)))
if refused(reading):
    st.stop()
answer = draw_answer(first, second, layout, reading)
try:
    right, digits, sums = accuracy(entry, layout)
    followers(entry, layout)
except UserError as error:
    st.error(words.verbatim(str(error)))
    st.stop()
st.caption(
    f"Of {sums:,} sums of other numbers than it was trained on it has {right:.1%} right in every "
    f"digit, and {digits:.1%} of the single digits."
)
st.header("Its memory", anchor=False)
cell = choices.choose_cell(
    entry, reading.trace, reading.text, suggestion=best_follower(entry, layout)
)
draw_memory(reading, cell, answer, carries_of(first, second, layout.digits))
draw_followers(entry, layout)
