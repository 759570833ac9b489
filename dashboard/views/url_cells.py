"""Which cells follow a property of the text: first, being inside a web address."""

import numpy as np
import pandas as pd
import streamlit as st

from dashboard import choices, words
from dashboard.charts.theme import SEQUENTIAL
from dashboard.choices import Cell
from dashboard.coloured_text import Scale, coloured_text
from dashboard.reading import Reading, models_or_stop, read, text_line
from dashboard.shelf import progress_bar, shelf
from gridlstm.analysis.properties import PROPERTIES
from gridlstm.analysis.ranking import rank_units

SHOWN = 50
MOST_RANKINGS = 16


def ranking(reading: Reading, marks: np.ndarray) -> pd.DataFrame:
    """Every unit of every layer and quantity against the marks, the best first."""

    def make() -> pd.DataFrame:
        with progress_bar("Ranking every unit …") as progress:
            return rank_units(
                reading.trace.values,
                marks,
                positions=reading.text.last_byte,
                progress=progress,
            )

    entry = reading.entry
    key = entry.path, entry.stamp, reading.text.data, marks.tobytes()
    return shelf("rankings", MOST_RANKINGS).get(key, make)


def as_shown(ranked: pd.DataFrame) -> pd.DataFrame:
    """The top of a ranking in the words of the page."""
    top = ranked.head(SHOWN)
    return pd.DataFrame(
        {
            "Quantity": [words.QUANTITIES[q].label for q in top["quantity"]],
            "Layer": top["layer"],
            "Unit": top["unit"],
            "Score": top["score"],
            "AUC": top["auc"],
            "Inside a web address it is": np.where(top["sign"] > 0, "higher", "lower"),
        }
    )


inside = PROPERTIES["url"]
st.title("URL cells")
st.markdown(
    "Which cells know that they are inside a web address? Every unit of every layer is ranked by "
    "how well its value, at a single character, tells inside from outside."
)
text_line()
models = models_or_stop()
entry = choices.choose_model("model", "Model", models)
text = choices.current_text()
marks = inside.measure(text.characters)
if marks.all() or not marks.any():
    where = "Every character" if marks.all() else "No character"
    st.info(
        f"{where} of this text lies inside a web address, so there is nothing to tell apart. "
        "Choose a text that has some, such as the sample “Wikipedia: web addresses”."
    )
    st.stop()

reading = read(entry, text)
ranked = ranking(reading, marks)
st.caption(
    f"{int(marks.sum()):,} of {len(marks):,} characters lie inside a web address. Ranked: "
    f"{len(ranked):,} units and quantities. **Click a row to open that cell.**"
)
table = as_shown(ranked)
chosen = st.dataframe(
    table,
    hide_index=True,
    on_select="rerun",
    selection_mode="single-row",
    key="ranking",
    height=420,
    column_config={
        "Score": st.column_config.ProgressColumn(
            "Score",
            format="%.3f",
            min_value=0.5,
            max_value=1.0,
            help="The larger of AUC and 1 - AUC: 0.5 is chance, 1 tells inside from outside "
            "without error.",
        ),
        "AUC": st.column_config.NumberColumn(
            format="%.3f",
            help="Area under the ROC curve: the chance that a character inside has a higher value "
            "than one outside. Near 0 is as telling as near 1: the sign is turned round.",
        ),
        "Layer": st.column_config.NumberColumn(help="1 reads the bytes; the last is the top."),
        "Unit": st.column_config.NumberColumn(help="Counted from 0."),
    },
)
st.caption(
    "The best of so many candidates looks good partly by chance: open the cell, then try it on "
    "another text."
)
st.download_button(
    "Whole ranking as CSV",
    lambda: ranked.to_csv(index=False),
    file_name=f"{entry.name}-url-ranking.csv",
    icon=":material/download:",
)
if chosen.selection.rows:
    row = ranked.iloc[chosen.selection.rows[0]]
    choices.open_cell(Cell(row["quantity"], int(row["layer"]), int(row["unit"])))

st.subheader("What counts as inside", anchor=False)
st.caption(inside.explanation)
coloured_text(
    text.characters,
    marks[None].astype(np.float32),
    rows=["inside a web address"],
    chosen_row=0,
    scale=Scale(
        "inside a web address", (SEQUENTIAL[0], SEQUENTIAL[110]), 0, 0.5, 1, "outside", "", "inside"
    ),
    title="Characters inside web addresses",
    key="marks",
    height=260,
)
