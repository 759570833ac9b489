"""The cells of a model that adds which follow the carry."""

import pandas as pd
import streamlit as st

from dashboard import words
from dashboard.screens import choices
from dashboard.screens.choices import Suggestion
from dashboard.screens.clickable_table import clickable_table
from dashboard.serving import loading
from dashboard.serving.kept import kept
from dashboard.serving.loading import ModelEntry
from dashboard.session import session
from gridlstm.addition import Layout
from gridlstm.progress import Progress

LISTED = 8


def followers(entry: ModelEntry, layout: Layout) -> pd.DataFrame:
    """The memories that follow the carry best. Raises UserError."""

    def make(progress: Progress) -> pd.DataFrame:
        from gridlstm.carry import rank_by_carry

        model, fraction = loading.model_of(entry), entry.metadata.data.train_fraction
        return rank_by_carry(model, layout, fraction, progress=progress).head(LISTED)

    return kept(
        "addition",
        entry.version,
        None,
        make,
        depends_on=("followers", layout),
        label="Looking for the carry …",
    )


def best_follower(entry: ModelEntry, layout: Layout) -> Suggestion:
    """The cell to begin with: the one that follows the carry best."""
    return Suggestion(
        lambda: choices.cell_of(followers(entry, layout).iloc[0]),
        "the memory cell that follows the carry best",
    )


def draw_followers(entry: ModelEntry, layout: Layout) -> None:
    """The cells that follow the carry best; a click chooses one."""
    st.header("Cells that follow the carry", anchor=False)
    st.caption(
        "How well a memory's value alone tells, where a digit of the sum is answered, whether 1 is "
        "carried into it (ROC AUC on sums that the model was not trained on: 1 always, 0.5 not at "
        "all). **Click a row to look at that cell above.**"
    )
    best = followers(entry, layout)
    table = pd.DataFrame(
        {
            "Quantity": [words.QUANTITIES[quantity].label for quantity in best["quantity"]],
            "Layer": best["layer"],
            "Unit": best["unit"],
            "Follows the carry": best["score"],
            "With a carry it is": ["higher" if sign > 0 else "lower" for sign in best["sign"]],
        }
    )
    clickable_table(
        table,
        lambda row: session.cell.set(choices.cell_of(best.iloc[row])),
        key="followers",
        action="Look at the cell of the marked row above",
        columns={"Follows the carry": st.column_config.NumberColumn(format="%.3f")},
    )
