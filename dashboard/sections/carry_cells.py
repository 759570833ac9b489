"""The cells of a model that adds which follow the carry."""

import pandas as pd
import streamlit as st

from dashboard import choices, loading, words
from dashboard.choices import Telling
from dashboard.clickable_table import clickable_table
from dashboard.loading import ModelEntry
from gridlstm.addition import Layout

LISTED = 8


@st.cache_resource(max_entries=8, show_spinner="Looking for the carry …")
def followers(path, stamp, layout: Layout, _entry: ModelEntry) -> pd.DataFrame:
    """The memories that follow the carry best."""
    from gridlstm.carry import rank_by_carry

    model, fraction = loading.model_of(_entry), _entry.metadata.data.train_fraction
    return rank_by_carry(model, layout, fraction).head(LISTED)


def best_follower(entry: ModelEntry, layout: Layout) -> Telling:
    """The cell to begin with: the one that follows the carry best."""
    return Telling(
        lambda: choices.cell_of(followers(entry.path, entry.stamp, layout, entry).iloc[0]),
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
    best = followers(entry.path, entry.stamp, layout, entry)
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
        lambda row: choices.choose(choices.cell_of(best.iloc[row])),
        key="followers",
        action="Look at the cell of the marked row above",
        columns={"Follows the carry": st.column_config.NumberColumn(format="%.3f")},
    )
