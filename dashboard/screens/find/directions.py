"""Directions of many units that follow a property: found, judged as units are, kept."""

from dataclasses import replace

import numpy as np
import pandas as pd
import streamlit as st

from dashboard import words
from dashboard.coloured_text import cell_scale, coloured_text
from dashboard.screens import choices, directions
from dashboard.screens.clickable_table import clickable_table
from dashboard.screens.find.found_cells import measure_of, score_columns
from dashboard.screens.property import Target
from dashboard.screens.reading import Reading
from dashboard.serving.estimates import estimate_ranking_seconds
from dashboard.serving.kept import kept
from dashboard.session import Value
from gridlstm.analysis.directions import (
    found_by_property,
    judge_directions,
    non_negative_factors,
    principal_components,
)
from gridlstm.analysis.held_out import split_text
from gridlstm.config import ModelConfig
from gridlstm.direction import MAX_NAME, MAX_NOTES, Direction
from gridlstm.direction_file import MAX_FILE_BYTES, from_json, to_json
from gridlstm.errors import UserError
from gridlstm.progress import Progress

ALL_LAYERS = 0
COMPONENTS = 4
PROVENANCE_PAGE = "screens/provenance/view.py"
SOURCES = {
    "probe": words.Word("Sparse probe", "the weights by which a linear probe reads the property"),
    "means": words.Word(
        "Difference of means", "each unit's mean inside the property less its mean outside"
    ),
    "components": words.Word(
        "Principal components",
        f"the {COMPONENTS} directions along which the units vary most, whatever the property",
    ),
    "factors": words.Word(
        "Non-negative factors",
        f"{COMPONENTS} parts that only add up and never cancel, whatever the property (NMF)",
    ),
}
_UPLOAD: Value = Value("direction_file")
_PROBLEM: Value[str] = Value("direction_problem")
# The name of the direction that is looked at.
_SEEN: Value[str] = Value("seen_direction")


def show_directions(reading: Reading, target: Target) -> None:
    """Find or bring directions; all of this model's, judged by the property; one of them shown."""
    st.header(
        "Directions: many units together",
        anchor=False,
        help="A direction gives each unit a weight; the sum of the units times their weights is "
        "one number a character. So it can hold what is spread over many units. Directions are "
        "found on the first part of the text and judged on the other, as cells are. A direction "
        "that tells a property is not therefore one that the model uses.",
    )
    _find(reading, target)
    _bring(reading)
    if problem := _PROBLEM.forget():
        st.warning(words.verbatim(problem))
    listed = list(directions.directions_of(reading.entry).values())
    if not listed:
        return
    try:
        judged = _judged(reading, target, listed)
    except UserError as error:
        st.info(words.verbatim(str(error)))
        return
    _show_table(judged, target)
    names = [direction.name for direction in listed]
    seen = _SEEN.get() if _SEEN.get() in names else names[-1]
    _show_one(reading, next(each for each in listed if each.name == seen))


def _find(reading: Reading, target: Target) -> None:
    """Say over which units and how, and find."""
    model: ModelConfig = reading.entry.metadata.model
    with st.container(horizontal=True, vertical_alignment="bottom"):
        quantity = st.selectbox(
            "Units of",
            [q for q in words.QUANTITIES if q in reading.memories],
            index=len(reading.memories) - 1,
            format_func=lambda q: words.QUANTITIES[q].label,
            key="direction_quantity",
            help="The memory over whose units the weights are.",
            width=260,
        )
        layer = st.selectbox(
            "Layer",
            [*range(1, model.layers + 1), ALL_LAYERS],
            index=model.layers - 1,
            format_func=lambda n: "all" if n == ALL_LAYERS else str(n),
            key="direction_layer",
            help="The layer whose units have weights; “all”: those of every layer.",
            width=100,
        )
        source = st.selectbox(
            "Found by",
            list(SOURCES),
            format_func=lambda name: SOURCES[name].label,
            help="\n\n".join(f"**{w.label}**: {w.meaning}." for w in SOURCES.values()),
            key="direction_source",
            width=240,
        )
        if st.button("Find the direction", icon=":material/explore:", help="Takes some seconds."):
            _keep_found(reading, target, quantity, None if layer == ALL_LAYERS else layer, source)


def _keep_found(
    reading: Reading, target: Target, quantity: str, layer: int | None, source: str
) -> None:
    """Find directions and put them on the list; why not, where there are none."""
    try:
        found = kept(
            "directions",
            reading.entry.version,
            reading.text.data,
            lambda progress: _found(reading, target, quantity, layer, source, progress),
            depends_on=(target.values.tobytes(), quantity, layer, source),
            label="Looking for a direction …",
            seconds=3.0,
        )
        own = directions.checksum_of(reading.entry)
        for direction in found:
            directions.keep_direction(reading.entry, replace(direction, model=own))
        _SEEN.set(found[0].name)
    except UserError as error:
        st.info(words.verbatim(str(error)))


def _found(
    reading: Reading,
    target: Target,
    quantity: str,
    layer: int | None,
    source: str,
    progress: Progress,
) -> list[Direction]:
    values, at = reading.trace.values, reading.positions
    where = f"{quantity}, {'all layers' if layer is None else f'layer {layer}'}"
    if source in ("probe", "means"):
        name = f"{target.title} · {SOURCES[source].label.lower()} · {where}"[:MAX_NAME]
        return [found_by_property(values, target.values, at, quantity, layer, source, name=name)]
    if layer is None:
        raise UserError("Components and factors are those of one layer: choose one.")
    find = {"components": principal_components, "factors": non_negative_factors}[source]
    first = at[split_text(target.values).found.slice]
    found = find(values, first, quantity, layer, COMPONENTS)
    return [replace(each, name=f"{each.name} · {where}") for each in found]


def _bring(reading: Reading) -> None:
    with st.expander("A direction from a file", icon=":material/upload:"):
        st.file_uploader(
            "A file as this page saves it, or of your own making: its layout is in docs/formats.md",
            type="json",
            key=_UPLOAD.key,
            on_change=_take_file,
            args=[reading],
            max_upload_size=MAX_FILE_BYTES >> 20,
        )


def _take_file(reading: Reading) -> None:
    file = _UPLOAD.get()
    if file is None:
        return
    try:
        direction = from_json(file.getvalue())
        direction.check(reading.entry.metadata.model, directions.checksum_of(reading.entry))
        named = direction if direction.name else replace(direction, name=file.name[:MAX_NAME])
        directions.keep_direction(reading.entry, named)
        _SEEN.set(named.name)
    except UserError as error:
        _PROBLEM.set(f"{file.name}: {error}")


def _judged(reading: Reading, target: Target, listed: list[Direction]) -> pd.DataFrame:
    return kept(
        "findings",
        reading.entry.version,
        reading.text.data,
        lambda progress: judge_directions(
            reading.trace.values, listed, target.values, reading.positions
        ),
        depends_on=("directions", tuple(listed), target.values.tobytes()),
        label="Judging the directions …",
        seconds=estimate_ranking_seconds(reading.trace) + 0.2 * len(listed),
    )


def _show_table(judged: pd.DataFrame, target: Target) -> None:
    """The directions with the columns of the table of cells; a click shows one below."""
    measure = measure_of(target)
    table = pd.DataFrame(
        {
            "Direction": judged["name"],
            "Judged": judged["held_out"],
            "From": judged["low"],
            "To": judged["high"],
            "There it is": np.where(judged["sign"] > 0, "higher", "lower"),
            "Found": judged["found"],
        }
    )
    if target.is_mark:
        table["F1"], table["Threshold"] = judged["f1_held_out"], judged["threshold"]
    columns = {
        **score_columns(measure),
        "Direction": st.column_config.TextColumn(
            help="What it follows, how it was found, over which units.", width=300
        ),
        "Threshold": st.column_config.NumberColumn(
            format="%.3g", help="From which sum on it is read as inside, chosen on the first part."
        ),
    }
    st.caption("Directions of this model, judged by the property above. **Click one to see it.**")
    clickable_table(
        table,
        lambda row: _SEEN.set(judged["name"].iloc[row]),
        key="direction_table",
        action="Show the marked direction below",
        columns={name: column for name, column in columns.items() if name in table},
    )


def _show_one(reading: Reading, direction: Direction) -> None:
    """The text coloured by a direction, its name and notes, and what can be done with it."""
    along = direction.along(reading.trace.values, reading.positions)
    coloured_text(
        reading.text.characters,
        along[None],
        rows=[direction.place],
        chosen_row=0,
        scale=cell_scale("sum along the direction", max(1e-6, float(np.abs(along).max()))),
        title=f"{reading.entry.title} · {direction.name}",
        key="along",
        height=260,
    )
    if direction.origin:
        st.caption(words.verbatim(f"How it was found: {direction.origin}."))
    listed = directions.directions_of(reading.entry)
    with st.form("about_direction", border=False):
        name = st.text_input("Name", direction.name, max_chars=MAX_NAME)
        notes = st.text_area("Notes", direction.notes, max_chars=MAX_NOTES, height=80)
        is_kept = st.form_submit_button("Keep name and notes") and name
        if is_kept and name != direction.name and name in listed:
            st.warning("Another direction has this name: choose a different one.")
        elif is_kept:
            listed.pop(direction.name)
            listed[name] = replace(direction, name=name, notes=notes)
            _SEEN.set(name)
            st.rerun()
    with st.container(horizontal=True):
        st.download_button(
            "This direction as a file",
            lambda: to_json(direction),
            file_name=f"{reading.entry.name}-direction.json",
            mime="application/json",
            icon=":material/download:",
        )
        memories = {m.cell for m in reading.entry.metadata.model.form.memories}
        if direction.quantity in memories and st.button(
            "Who wrote it", icon=":material/history_edu:", help="Which layer, which character."
        ):
            choices.open_page(PROVENANCE_PAGE, directions.chosen_as(direction))
        st.button(
            "Remove",
            icon=":material/close:",
            help="Take this direction off the list.",
            on_click=lambda: listed.pop(direction.name, None),
        )
