"""How well each model predicts, while it learns: all validation curves in one picture."""

import streamlit as st

from dashboard.screens.curves.baseline import choose_baseline, group_comparison
from dashboard.screens.curves.bring_runs import bring_runs
from dashboard.screens.curves.costs import choose_cost, show_costs
from dashboard.screens.curves.look import BITS_HELP, choose_drawing
from dashboard.screens.curves.picture import draw, explain
from dashboard.screens.curves.runs import all_runs, grouped, groups_of
from dashboard.screens.curves.selection import by_text, choose_data, choose_runs, each_text
from dashboard.screens.curves.styles import styles
from dashboard.screens.curves.tables import (
    offer_downloads,
    run_summary,
    show_groups,
    show_reached,
    show_runs,
)
from dashboard.screens.curves.verdict import show_verdict

# A run in training writes its curve after every validation, which is minutes apart.
SECONDS_BETWEEN_LOOKS = 5


@st.fragment(run_every=SECONDS_BETWEEN_LOOKS)
def live_curves() -> None:
    """All that changes while a model is in training."""
    everything, problems = all_runs()
    # In a place of their own: were the widgets below to move, their binding to the address is lost.
    with st.container():
        for problem in problems:
            st.warning(problem)
    if not everything:
        st.info(
            "There are no curves yet. Train a model with `python -m gridlstm train`, bring the "
            "`.csv` of one on the page **Models**, or other people's runs below: their curves "
            "appear here by themselves."
        )
        return
    with st.container(horizontal=True, gap="medium"):
        everything, measured = choose_data(everything)
        runs = choose_runs(measured)
    # What is drawn later stands first: the answer, and the picture between its widgets.
    ahead, above, picture, below = (st.container() for _ in range(4))
    drawing = choose_drawing(runs, above, below)
    unit = drawing.look.unit

    st.header("Against the baseline", anchor=False)
    all_groups = grouped(everything)
    baseline = choose_baseline(all_groups)
    groups = groups_of(runs, all_groups)
    comparison = group_comparison(all_groups, baseline, groups)
    with ahead:
        show_verdict(comparison, groups, baseline, unit)
    parts = by_text(runs, groups)
    # Styles are those of all runs on the data, so that hiding some changes none.
    styled = groups_of(measured, all_groups)
    with picture:
        explain(parts, drawing)
        for part in each_text(parts):
            draw(part, styled, drawing, baseline.runs)
    for part in each_text(parts):
        show_groups(comparison, part.groups, unit)

    st.header("What each got for its cost", anchor=False)
    cost = choose_cost()
    style = styles(styled, drawing.colour_by)
    for part in each_text(parts):
        show_costs(part, style, cost, unit)

    summed = run_summary(everything, baseline.runs, runs)
    st.header("Who reaches the baseline's best loss, and when", anchor=False)
    for part in each_text(parts):
        show_reached(summed, part.runs, baseline.name)
    st.header("Every run", anchor=False)
    for part in each_text(parts):
        show_runs(summed, part.runs, unit)
    offer_downloads(summed, comparison, runs)


st.title("Curves")
st.markdown(
    "A **validation curve** shows how badly a model guesses text it was not trained on, while it "
    "learns: **lower is better**. The loss is in **bits per byte**: what the model still lacks, on "
    "average, to know the next byte. A model in training moves by itself.",
    help=BITS_HELP,
)
live_curves()
bring_runs()
