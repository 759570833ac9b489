"""The directions that a visitor has found or brought: kept for each model as long as the visit."""

import streamlit as st

from dashboard.serving import loading
from dashboard.serving.file_version import FileVersion
from dashboard.serving.kept import kept
from dashboard.serving.loading import ModelEntry
from dashboard.session import Value
from gridlstm.direction import Direction, DirectionError

MAX_DIRECTIONS = 50
A_UNIT = ""
# By the model and the direction's name.
_DIRECTIONS: Value[dict[FileVersion, dict[str, Direction]]] = Value("directions")
_CHOSEN: Value[str] = Value("direction")


def directions_of(entry: ModelEntry) -> dict[str, Direction]:
    """Those of a model, by name, in the order in which they came."""
    return _DIRECTIONS.set_if_new(dict).setdefault(entry.version, {})


def keep_direction(entry: ModelEntry, direction: Direction) -> None:
    """Put one on the model's list, in the place of one of the same name. Raises DirectionError if
    the list is full."""
    listed = directions_of(entry)
    if direction.name not in listed and len(listed) >= MAX_DIRECTIONS:
        raise DirectionError(f"There are {MAX_DIRECTIONS} directions already: remove one first.")
    listed[direction.name] = direction


def checksum_of(entry: ModelEntry) -> str:
    """The checksum of the model's weights, which says whose a direction is."""
    return kept(
        "checksums",
        entry.version,
        None,
        lambda progress: loading.model_of(entry).checksum(),
        label="Reading the weights …",
    )


def choose_direction(entry: ModelEntry, quantities: tuple[str, ...]) -> Direction | None:
    """A selector of a direction over one of these quantities; None for a single unit, which alone
    is offered where there is no direction."""
    offered = {d.name: d for d in directions_of(entry).values() if d.quantity in quantities}
    if not offered:
        return None
    if _CHOSEN.get() not in (A_UNIT, *offered):
        _CHOSEN.set(A_UNIT)
    name = st.selectbox(
        "Of",
        [A_UNIT, *offered],
        format_func=lambda name: name or "A single unit",
        help="A single unit, or a **direction**: weights over many units, whose sum is taken apart "
        "as a unit's memory is. Directions are found, or brought in a file, on the page “Find a "
        "cell”.",
        key=_CHOSEN.key,
        persist_state="session",
        width=420,
    )
    return offered.get(name)


def chosen_as(direction: Direction) -> dict[Value, str]:
    """What to choose, so that the next page shows it."""
    return {_CHOSEN: direction.name}
