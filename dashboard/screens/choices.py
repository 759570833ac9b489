"""What the visitor is looking at: text, model, quantity, layer, unit.

What is chosen lies in `session`; here it is kept valid, and the selectors that several pages share
are drawn.
"""

import json
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import streamlit as st

from dashboard import words
from dashboard.screens.tokens import positions_of
from dashboard.serving import loading
from dashboard.serving.estimates import estimate_ranking_seconds
from dashboard.serving.kept import kept
from dashboard.serving.loading import ModelEntry
from dashboard.session import Cell, CellValues, Value, choose, session
from gridlstm.analysis.properties import PROPERTIES
from gridlstm.config import ModelConfig
from gridlstm.corpora.known import Kind, kind_of
from gridlstm.progress import Progress
from gridlstm.text import Text, from_bytes, truncate

SAMPLES = Path(__file__).parents[1] / "samples"
# A longer text is cut, with a note: the pages answer at once, and a trace stays a few hundred MB.
MAX_SHOWN_BYTES = 20_000
# Of all visitors together.
MAX_SUGGESTED_CELLS = 64
# Of the seeds that a visitor can choose.
MAX_SEED = 2**31
CELLS_PAGE = "screens/cells/view.py"
FIND_PAGE = "screens/find/view.py"
TEXT_PAGE = "screens/text/view.py"
# Where a text comes from, as the visitor chooses it.
A_SAMPLE, TYPED, UPLOADED = "A sample", "Type or paste", "Upload a file"
# The property to begin with and what it marks in words, by what a model was trained on.
LOOKED_FOR = {"wiki": ("url", "web addresses"), "code": ("c-comment", "comments")}
# The property that was chosen for the visitor, as it suits the model.
_SUITED_PROPERTY: Value[str] = Value("suited_property")
_PAGE_TO_OPEN: Value[tuple[str, dict[Value, object]]] = Value("page_to_open")
# What else is worth looking for in code, before all that is found in prose and markup.
OF_CODE = ("c-comment", "c-string", "parentheses", "parenthesis-depth", "indentation")


@dataclass(frozen=True)
class Sample:
    """A text shipped with the program; `kind` is what is written in it, if one thing."""

    file: str
    title: str
    description: str
    kind: Kind | None


@dataclass(frozen=True)
class Suggestion:
    """The cell to look at where none has been chosen: how it is found, and what it is in words."""

    find: Callable[[], Cell]
    meaning: str


@st.cache_data(show_spinner=False)
def samples() -> dict[str, Sample]:
    """The shipped texts by file name."""
    listing = json.loads((SAMPLES / "index.json").read_text(encoding="utf-8"))
    return {row["file"]: Sample(**row) for row in listing}


@st.cache_data(show_spinner=False)
def _sample_text(file: str) -> Text:
    return truncate(from_bytes((SAMPLES / file).read_bytes(), file), MAX_SHOWN_BYTES)


def choose_default_sample() -> None:
    """See to it that one of the shipped texts is chosen: at first one of the kind that the model of
    a link was trained on."""
    if session.sample.get() not in samples():
        about = loading.shipped_metadata(session.model.get() or "")
        session.sample.set(sample_of(about and kind_of(about.data)).file)


def sample_of(kind: Kind | None) -> Sample:
    """The first shipped text of a kind; of all if none is given."""
    return next(sample for sample in samples().values() if kind in (None, sample.kind))


def keep_valid(value: Value, allowed, default=None) -> None:
    """See to it that what is chosen is an allowed one, else `default`, else the first."""
    _keep_valid_or_find(value, allowed, lambda: allowed[0] if default is None else default)


def keep_between(value: Value, low: float, high: float) -> None:
    """See to it that a number lies between two, else that it is what it is at the start. Shares are
    rounded as they are shown: a slider may give 0.8500000000000001."""
    number = round(value.value, 2) if low <= value.value <= high else value.start
    if not value.is_chosen or value.value != number:
        value.set(number)


def _keep_valid_or_find(value: Value, allowed, find: Callable[[], object]) -> None:
    """The same with a default that takes time to find, which is found only where it is needed."""
    if value.get() not in allowed:
        value.set(find())


def current_text() -> Text:
    """The visitor's own text if there is one, else the chosen sample."""
    return session.own_text.get() or _sample_text(session.sample.value)


def current_title() -> str:
    """What the text is called on the pages."""
    if session.has_own_text:
        return session.own_title.value
    return samples()[session.sample.value].title


def use_text(text: Text, title: str) -> None:
    """Take a text of the visitor's own, from now on and on every page of this visit."""
    session.own_text.set(truncate(text, MAX_SHOWN_BYTES))
    session.own_title.set(title)


def use_sample(file: str) -> None:
    """Go back to a shipped text."""
    session.own_text.forget()
    session.sample.set(file)


def choose_model(value: Value[str], label: str, models: dict[str, ModelEntry]) -> ModelEntry:
    """A selector of a model with weights; `models` must not be empty."""
    keep_valid(value, list(models))
    chosen = models[value.value]
    name = st.selectbox(
        label,
        list(models),
        format_func=lambda name: models[name].title,
        help="The texts that these models were trained on, told by the checksums in their files: "
        + "; ".join(dict.fromkeys(f"**{words.verbatim(e.text)}**" for e in models.values()))
        + ". Losses of models that were trained on different texts cannot be compared."
        + _describe_initialisation(chosen),
        key=value.key,
        persist_state="session",
    )
    return models[name]


def _describe_initialisation(entry: ModelEntry) -> str:
    """A paragraph (Markdown) on the model whose training a model's own went on from, if it did."""
    if entry.initialised_from is None:
        return ""
    names = (
        f"**{words.verbatim(entry.name)}** went on from "
        f"**{words.verbatim(entry.initialised_from)}**"
    )
    cooldown = entry.metadata.training.get("cooldown")
    if type(cooldown) is not int:
        return f"\n\n{names}."
    return f"\n\n{names}: in its last {cooldown:,} updates the learning rate fell to 0."


def choose_reader(models: dict[str, ModelEntry]) -> ModelEntry:
    """The selector of the model that reads the text in use. If that is a sample of another kind
    than the model was trained on, one of its own is offered."""
    entry = choose_model(session.model, "Model", models)
    used = samples()[session.sample.value]
    if session.has_own_text or None in (used.kind, entry.kind):
        return entry
    if used.kind != entry.kind:
        suited = sample_of(entry.kind)
        with st.container(horizontal=True, vertical_alignment="center", gap="small"):
            st.caption(
                f"This model was trained on **{words.verbatim(entry.text)}**, the text is another "
                "kind.",
                width="content",
            )
            st.button(
                f"Read “{suited.title}”",
                icon=":material/notes:",
                type="tertiary",
                help="A text of the kind that this model was trained on, from the part that it was "
                "not trained on, and the cell that tells most of it.",
                on_click=_read_sample,
                args=[suited.file],
            )
    return entry


def _read_sample(file: str) -> None:
    """A shipped text, with the cell suggested for each model in it."""
    use_sample(file)
    session.cell.forget()
    session.second_cell.forget()


def keep_property(entry: ModelEntry, allowed: Collection[str]) -> list[str]:
    """See to it that an allowed property is chosen: one that suits the model, until the visitor
    chooses another. Returns the allowed ones, those that suit the model first."""
    suited, _ = LOOKED_FOR[entry.kind or "wiki"]
    chosen = session.property_name.get()
    if chosen not in allowed or chosen == _SUITED_PROPERTY.get():
        session.property_name.set(suited)
        _SUITED_PROPERTY.set(suited)
    first = [name for name in OF_CODE if name in allowed] if entry.kind == "code" else []
    return [*first, *(name for name in allowed if name not in first)]


def choose_memory_shown() -> None:
    """A selector of how a memory is shown."""
    keep_valid(session.memory, list(words.MEMORY_SHOWN_AS))
    st.segmented_control(
        "Memory shown as",
        list(words.MEMORY_SHOWN_AS),
        required=True,
        format_func=lambda name: words.MEMORY_SHOWN_AS[name].label,
        help="\n\n".join(f"**{w.label}**: {w.meaning}" for w in words.MEMORY_SHOWN_AS.values()),
        key=session.memory.key,
        persist_state="session",
        width="content",
    )


def choose_cell(
    entry: ModelEntry,
    trace,
    text: Text,
    values: CellValues = session.cell,
    offered: Collection[str] | None = None,
    suggestion: Suggestion | None = None,
) -> Cell:
    """Selectors of quantity, layer and unit of a model, which are chosen in `values`.

    `offered` are the quantities to choose from, all that the model has unless given; the memories
    must be among them. Until the visitor chooses, the cell is that of the `suggestion`: unless
    given, what is suggested for the text and its trace.
    """
    config = entry.metadata.model
    known = config.quantities if offered is None else offered
    offered = {q: word for q, word in words.QUANTITIES.items() if q in known}
    suggestion = suggestion or suggest_cell(entry, trace, text)
    _keep_valid_or_find(values.quantity, list(offered), lambda: suggestion.find().quantity)
    _keep_valid_or_find(values.layer, range(1, config.layers + 1), lambda: suggestion.find().layer)
    with st.container(horizontal=True, vertical_alignment="bottom"):
        quantity = st.selectbox(
            "Quantity",
            list(offered),
            format_func=lambda q: words.QUANTITIES[q].label,
            help="\n\n".join(
                [
                    *(f"**{word.label}**: {word.meaning}" for word in offered.values()),
                    "How each is computed stands on the page Models.",
                ]
            ),
            key=values.quantity.key,
            persist_state="session",
            width=260,
        )
        units = config.width(quantity)
        _keep_valid_or_find(
            values.unit, range(units), lambda: min(suggestion.find().unit, units - 1)
        )
        layer, unit = _layer_and_unit(config.layers, units, values)
        st.button(
            "Suggest a cell",
            icon=":material/auto_awesome:",
            help=f"Choose {suggestion.meaning}.",
            key=f"suggest{values.suffix}",
            on_click=values.forget,
        )
    return Cell(quantity, layer, unit)


def choose_unit(entry: ModelEntry, trace, text: Text) -> tuple[int, int]:
    """Selectors of layer and unit alone, at first those of `choose_cell`."""
    config, suggestion = entry.metadata.model, suggest_cell(entry, trace, text)
    _keep_valid_or_find(
        session.cell.layer, range(1, config.layers + 1), lambda: suggestion.find().layer
    )
    _keep_valid_or_find(session.cell.unit, range(config.units), lambda: suggestion.find().unit)
    with st.container(horizontal=True, vertical_alignment="bottom"):
        return _layer_and_unit(config.layers, config.units, session.cell)


def _layer_and_unit(layers: int, units: int, values: CellValues) -> tuple[int, int]:
    layer = st.selectbox(
        "Layer",
        range(1, layers + 1),
        help=f"1 reads the text, {layers} is the top: the prediction is made from it.",
        key=values.layer.key,
        persist_state="session",
        width=100,
    )
    unit = st.number_input(
        "Unit",
        min_value=0,
        max_value=units - 1,
        help=f"Which of the layer's {units} cells, counted from 0.",
        key=values.unit.key,
        persist_state="session",
        width=150,
    )
    return int(layer), int(unit)


def suggest_cell(entry: ModelEntry, trace, text: Text) -> Suggestion:
    """The memory cell that tells most of the text in use, to a model of its kind."""
    name, plural = LOOKED_FOR[entry.kind or "wiki"]

    def find() -> Cell:
        config = entry.metadata.model
        positions = positions_of(entry, text, trace.text)
        return kept(
            "suggested cells",
            entry.version,
            text.data,
            lambda progress: _best_memory_cell(
                name, trace.values, positions, text, config, progress
            ),
            depends_on=(name,),
            label="Looking for a cell to suggest …",
            seconds=estimate_ranking_seconds(trace, len(config.cells)),
            max_results=MAX_SUGGESTED_CELLS,
        )

    return Suggestion(
        find,
        f"the memory cell that follows {plural} best in the text in use or, where there are none, "
        "the one that changes most",
    )


def suggest_top_cell(entry: ModelEntry) -> Suggestion:
    """A cell of the top layer, for where there is no text to tell cells apart by."""
    config = entry.metadata.model
    cell = Cell(config.cells[0], config.layers, 0)
    return Suggestion(lambda: cell, "the first memory cell of the top layer")


def _best_memory_cell(
    name: str,
    values: dict[str, np.ndarray],
    positions: np.ndarray,
    text: Text,
    config: ModelConfig,
    progress: Progress,
) -> Cell:
    """The memory cell to open when none has been chosen: the best for the property of that name."""
    # Imports pandas, which the first heading does not wait for.
    from gridlstm.analysis.ranking import rank_units

    memories = {q: values[q] for q in config.cells}
    marks = PROPERTIES[name].measure(text.characters)
    if marks.any() and not marks.all():
        ranked = rank_units(memories, marks, positions, top=1, progress=progress)
        return cell_of(ranked.iloc[0])
    quantity = list(memories)[-1]
    spread = np.tanh(memories[quantity].astype(np.float32)).std(axis=1)
    layer, unit = np.unravel_index(spread.argmax(), spread.shape)
    return Cell(quantity, int(layer) + 1, int(unit))


def cell_of(row) -> Cell:
    """The cell that a row is about, of a frame with the columns quantity, layer and unit."""
    return Cell(row["quantity"], int(row["layer"]), int(row["unit"]))


def open_cell(cell: Cell) -> None:
    """Go to the cells page with this cell chosen."""
    open_page(CELLS_PAGE, session.cell.chosen_as(cell))


def note_cell(cell: Cell) -> None:
    """The same, as what a click calls: after that a new run begins by itself."""
    _note_page(CELLS_PAGE, session.cell.chosen_as(cell))


def open_page(page: str, chosen: dict[Value, object]) -> None:
    """Go to a page with something chosen there.

    Selectors that are drawn cannot be set, so the page is noted, and opened as a new run begins.
    """
    _note_page(page, chosen)
    st.rerun()


def _note_page(page: str, chosen: dict[Value, object]) -> None:
    _PAGE_TO_OPEN.set((page, chosen))


def open_noted_page() -> None:
    """Go to the page that has been noted, if there is one."""
    if _PAGE_TO_OPEN.is_chosen:
        page, chosen = _PAGE_TO_OPEN.forget()
        choose(chosen)
        st.switch_page(page)
