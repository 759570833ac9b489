"""The cells that follow a property best: found on one part of a text and judged on the other.

On the whole of a text that is too short to split.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd
import streamlit as st

from dashboard import words
from dashboard.screens.cell_table import CELL_COLUMNS, MAX_TABLE_ROWS, named
from dashboard.screens.clickable_table import table_of_cells
from dashboard.screens.property import Target
from dashboard.screens.reading import Reading
from dashboard.serving.estimates import estimate_ranking_seconds
from dashboard.serving.kept import kept
from gridlstm.analysis.held_out import Findings, HeldOutError, Part, find_cells
from gridlstm.analysis.ranking import rank_units
from gridlstm.plurals import counted


@dataclass(frozen=True)
class _Measure:
    """How well a cell follows something: its name, also with an article, and what it means."""

    name: str
    one: str
    chance: float
    meaning: str


_OF_MARKS = _Measure(
    "AUC",
    "an AUC",
    0.5,
    "Area under the ROC curve: the chance that a character inside has the higher value of a "
    "pair of one inside and one outside. 0.5 is chance, 1 is without error.",
)
_OF_NUMBERS = _Measure(
    "correlation",
    "a correlation",
    0.0,
    "Spearman's rank correlation between the unit and the number: 0 is none, 1 perfect.",
)


def measure_of(target: Target) -> _Measure:
    """By what a target is followed."""
    return _OF_MARKS if target.is_mark else _OF_NUMBERS


def show_found(reading: Reading, target: Target) -> bool:
    """The cells, to open and to download; whether they were judged on text not searched."""
    measure = measure_of(target)
    try:
        findings = _searched(find_cells, reading, target)
    except HeldOutError as error:
        cells, is_judged = _searched(rank_units, reading, target), False
        _show_ranking(cells, measure, str(error))
    else:
        cells, is_judged = findings.cells, True
        _show_findings(findings, measure)
    st.download_button(
        "These cells as CSV",
        lambda: cells.to_csv(index=False),
        file_name=f"{reading.entry.name}-cells.csv",
        icon=":material/download:",
    )
    return is_judged


def _searched(search: Callable, reading: Reading, target: Target) -> Findings | pd.DataFrame:
    """What `find_cells` or `rank_units` finds among all units, and raises."""
    at = reading.positions
    return kept(
        "findings",
        reading.entry.version,
        reading.text.data,
        lambda progress: search(
            reading.trace.values, target.values, at, top=MAX_TABLE_ROWS, progress=progress
        ),
        depends_on=(search.__name__, target.values.tobytes()),
        label="Ranking every unit …",
        seconds=estimate_ranking_seconds(reading.trace, len(reading.trace.values)),
    )


def _show_findings(findings: Findings, measure: _Measure) -> None:
    """The table of cells found on one part and judged on the other, and what chance reaches."""
    split, cells = findings.split, findings.cells
    marked = ""
    if split.held_out.marked is not None:
        marked = f" ({_marked(split.found)} and {_marked(split.held_out)} are marked)"
    st.caption(
        f"Found among {findings.units:,} units and quantities on characters "
        f"{split.found.start + 1:,} to {split.found.end:,}, judged on {split.held_out.start + 1:,} "
        f"to {split.held_out.end:,}, which the search never saw{marked}. **Click a row to open "
        "that cell.**",
        help="Cells are searched for on one part of the text and judged on another, with a gap "
        "between, so that a cell that fits the first part by luck is found out. A span is a run "
        "of marked characters.",
    )
    if split.missing_interval_reason:
        st.caption(split.missing_interval_reason)
    table = pd.DataFrame(
        {
            **named(cells),
            "Judged": cells["held_out"],
            **(
                {} if split.missing_interval_reason else {"From": cells["low"], "To": cells["high"]}
            ),
            "There it is": np.where(cells["sign"] > 0, "higher", "lower"),
            "Found": cells["found"],
        }
    )
    if measure is _OF_MARKS:
        table["F1"] = cells["f1_held_out"]
    _show_table(cells, table, measure)
    baseline = findings.baseline
    st.caption(
        f"By chance alone the best of all {findings.units:,} reaches {measure.one} of "
        f"**{baseline.quantile_95:.3f}** on the first part (95 % of {len(baseline.best)} trials in "
        "which the property was moved round the text by a random amount): what was found below "
        "that means nothing.",
        help="The marks are moved along the text, so that they fit nothing in it any more, and all "
        "are searched again: what the best of so many reaches then, it reaches by luck.",
    )


def _marked(part: Part) -> str:
    """How many characters are marked, in how many spans."""
    return f"{counted(part.marked, 'character')} in {counted(part.spans, 'span')}"


def _show_ranking(ranked: pd.DataFrame, measure: _Measure, why: str) -> None:
    """The table of a ranking on the whole of a text too short to judge on another part."""
    st.warning(
        words.verbatim(why)
        + " Below, the cells are ranked on the whole text: the best of so many look good partly by "
        "chance."
    )
    table = pd.DataFrame(
        {
            **named(ranked),
            "There it is": np.where(ranked["sign"] > 0, "higher", "lower"),
            "Found": ranked["score"],
        }
    )
    _show_table(ranked, table, measure)


def _show_table(cells: pd.DataFrame, table: pd.DataFrame, measure: _Measure) -> None:
    """A table of cells; a click on a row opens its cell."""
    columns = score_columns(measure) | CELL_COLUMNS
    table_of_cells(
        table,
        cells,
        key="ranking",
        height=420,
        columns={name: column for name, column in columns.items() if name in table},
    )


def score_columns(measure: _Measure) -> dict:
    """Streamlit's settings of the columns that say how well a cell follows the property."""
    # With these widths, in pixels, all that matters most is in sight on a narrow page.
    bounds = {"min_value": measure.chance, "max_value": 1.0, "format": "%.3f", "width": 96}
    return {
        "Judged": st.column_config.ProgressColumn(
            **bounds,
            help=f"{measure.name} on the part that the search never saw. {measure.meaning}",
        ),
        "From": st.column_config.NumberColumn(
            format="%.3f",
            help="Lower end of the 95 % interval of that: how far it would vary on other texts of "
            "the kind (bootstrap over blocks that part no span, Student's t).",
            width=56,
        ),
        "To": st.column_config.NumberColumn(format="%.3f", help="Its upper end.", width=56),
        "Found": st.column_config.ProgressColumn(
            **bounds,
            help=f"{measure.name} on the part on which the cells were searched for. "
            f"{measure.meaning}",
        ),
        "There it is": st.column_config.TextColumn(
            help="Whether the unit is higher or lower where the property holds (or is large).",
            width=74,
        ),
        "F1": st.column_config.NumberColumn(
            format="%.3f",
            help="How well one threshold, chosen on the first part, marks the characters of the "
            "other: 1 is without error (harmonic mean of precision and recall).",
        ),
    }
