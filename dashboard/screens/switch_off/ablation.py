"""Are cells that follow a property used for it? Each is held alone, beside others at random."""

import numpy as np
import pandas as pd
import streamlit as st

from dashboard import words
from dashboard.charts.theme import plot_config
from dashboard.screens import choices
from dashboard.screens.cell_table import CELL_COLUMNS, named
from dashboard.screens.clickable_table import table_of_cells
from dashboard.screens.property import Target
from dashboard.screens.reading import Reading
from dashboard.screens.switch_off.charts import cost_of_units
from dashboard.screens.switch_off.clamped_unit import HELD_AT, OF_GATES, OWN_VALUE, meanings
from dashboard.serving import loading
from dashboard.serving.estimates import estimate_reading_seconds
from dashboard.serving.kept import kept
from dashboard.session import Value
from gridlstm.analysis.ranking import rank_units
from gridlstm.curves import convert
from gridlstm.errors import UserError
from gridlstm.intervention import ablate
from gridlstm.progress import Progress

RANKED, AT_RANDOM = 5, 10
# How often the text is read at most: the ranked cells may lie in as many layers.
READINGS = RANKED * (1 + AT_RANDOM)
_HELD_AT: Value[str] = Value("ablated_at")
# What the table that is shown was asked for.
_ASKED: Value[tuple] = Value("ablated")


def show_use(reading: Reading, target: Target) -> None:
    """Whether cells that follow the property are used for it, beside cells taken at random."""
    st.header("Is the cell used, or does it only go along?", anchor=False)
    st.caption(
        f"The {RANKED} memory cells that follow the property best in this text, each held alone, "
        f"beside {AT_RANDOM} units at random of each of their layers. If a cell is used for the "
        "property, holding it costs more inside than outside, and more than holding others."
    )
    if target.values is None:
        st.caption("This needs a property that holds of a part of the text, but not of all of it.")
        return
    offered = [at for at in HELD_AT if at not in (*OF_GATES, OWN_VALUE)]
    choices.keep_valid(_HELD_AT, offered, "mean")
    with st.container(horizontal=True, vertical_alignment="bottom"):
        value = st.selectbox(
            "Each held at",
            offered,
            format_func=lambda at: HELD_AT[at].label,
            help=meanings(offered),
            key=_HELD_AT.key,
            persist_state="session",
            width=220,
        )
        try:
            rows = _requested_table(reading, target.values, value)
        except UserError as error:
            st.error(words.verbatim(str(error)))
            return
    if rows is not None:
        _show_ablation(reading, rows)


def _requested_table(reading: Reading, marks: np.ndarray, value: str) -> pd.DataFrame | None:
    """The table of `_ablated` once it has been asked for; None before. Raises UserError."""
    started = st.button(
        "Start",
        icon=":material/play_arrow:",
        type="primary",
        help="Takes a while: the model reads the text once for each of the units.",
    )
    asked = reading.entry.version, reading.text.data, marks.tobytes(), value
    if not started and _ASKED.get() != asked:
        return None
    cancel = st.empty()
    # Any press of a button ends the script where it tells its progress, and nothing is kept.
    cancel.button("Cancel", icon=":material/close:", help="Stop; nothing is kept.")
    rows = _ablated(reading, marks, value)
    cancel.empty()
    _ASKED.set(asked)
    return rows


def _ablated(reading: Reading, marks: np.ndarray, value: str) -> pd.DataFrame:
    """`ablate` for the memory cells that follow the marks best in this text, and random others.

    The dearest inside first; changes in bits per character; with a column `rank`, from 1 for the
    best cell and missing for random units. Raises UserError.
    """
    entry, text = reading.entry, reading.text

    def make(progress: Progress) -> pd.DataFrame:
        best = rank_units(reading.memories, marks, reading.positions, top=RANKED)
        options = {"random_units": AT_RANDOM, "progress": progress}
        rows = ablate(loading.model_of(entry), text, marks, best, value, **options)
        changes = ["change_inside", "change_outside"]
        rows[changes] = convert(rows[changes].to_numpy(), "bits")
        chosen = rows["kind"] == "chosen"
        rows.insert(1, "rank", chosen.cumsum().where(chosen).astype("Int64"))
        return rows.sort_values("change_inside", ascending=False, ignore_index=True)

    return kept(
        "switched off: ablated",
        entry.version,
        text.data,
        make,
        depends_on=(marks.tobytes(), value),
        label="The model reads the text with each unit held …",
        seconds=READINGS * estimate_reading_seconds(entry.metadata.model, len(text.data)),
    )


def _show_ablation(reading: Reading, rows: pd.DataFrame) -> None:
    """The chart and the table; a click on a row opens its cell."""
    st.plotly_chart(
        cost_of_units(rows),
        config=plot_config(f"{reading.entry.name}-ablation"),
        key="cost",
    )
    st.caption("**Click a row to open that cell.**")
    table_of_cells(_format_table(rows), rows, key="ablation", height=385, columns=_COLUMNS)
    st.download_button(
        "Table as CSV",
        lambda: rows.rename(columns=lambda c: f"{c}_bits" if "change" in c else c).to_csv(
            index=False
        ),
        file_name=f"{reading.entry.name}-ablation.csv",
        icon=":material/download:",
    )


def _format_table(rows: pd.DataFrame) -> pd.DataFrame:
    """The table of ablations in the words of the page."""
    return pd.DataFrame(
        {
            "Which": [f"no. {n}" if n > 0 else "at random" for n in rows["rank"].fillna(0)],
            **named(rows),
            "Held at": rows["value"],
            "Inside": rows["change_inside"],
            "Outside": rows["change_outside"],
        }
    )


def _change(where: str):
    return st.column_config.NumberColumn(
        format="%+.4f",
        help=f"How much the mean surprise {where} the property rises when this unit alone is held, "
        "in bits per character.",
    )


_COLUMNS = CELL_COLUMNS | {
    "Which": st.column_config.TextColumn(
        help="Its place among the cells that follow the property best, or a unit taken at random."
    ),
    "Held at": st.column_config.NumberColumn(
        format="%.3f", help="The value that it was held at, in the units of the quantity."
    ),
    "Inside": _change("inside"),
    "Outside": _change("outside"),
}
