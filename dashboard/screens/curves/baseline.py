"""What all models are held against: the best stacked LSTM, or one that is chosen."""

from dataclasses import dataclass

import pandas as pd
import streamlit as st

from dashboard.screens.curves.runs import CurveRun, Group
from gridlstm.curves import best_baseline, compare_groups

BEST_STACKED = "The best stacked LSTM"


@dataclass(frozen=True)
class Baseline:
    """What groups are held against, and how.

    `name` is what a sentence calls it. `of` is the label of the baseline of each group by the
    group's, None where there is none on its data; `runs` are those of all baselines. With
    `equal_bytes` a comparison looks only at how far both have read.
    """

    name: str
    of: dict[str, str | None]
    runs: list[CurveRun]
    equal_bytes: bool


def choose_baseline(groups: list[Group]) -> Baseline:
    """Selectors of the baseline, of all `groups`, and of how they are compared."""
    with st.container(horizontal=True, gap="medium", vertical_alignment="bottom"):
        chosen = st.selectbox(
            "Baseline",
            [BEST_STACKED, *(group.label for group in groups)],
            help="What all others are held against. The best stacked LSTM is, on each data set, "
            "the one with the lowest mean of best losses. Imported and watched runs are compared "
            "only with others of the same file, since it is not known what they were measured on.",
            key="baseline",
            bind="query-params",
            width=460,
        )
        compared = st.segmented_control(
            "Compared",
            ["at equal bytes", "at their best"],
            default="at equal bytes",
            required=True,
            help="**At equal bytes**: of both only what was measured up to where the one that read "
            "less had come. **At their best**: the lowest losses, however much each has read, "
            "which favours the longer run.",
            key="compared",
            bind="query-params",
        )
    of = baselines(groups, chosen)
    return Baseline(
        name="the best stacked LSTM" if chosen == BEST_STACKED else "the baseline",
        of=of,
        runs=[run for group in groups if group.label in of.values() for run in group.runs],
        equal_bytes=compared == "at equal bytes",
    )


def baselines(groups: list[Group], chosen: str) -> dict[str, str | None]:
    """The label of the baseline of each group, by the group's label."""
    by_label = {group.label: group for group in groups}
    if chosen in by_label:
        data = by_label[chosen].first.data
        return {g.label: chosen if g.first.data == data else None for g in groups}
    curves = {run.label: run.curve for group in groups for run in group.runs}
    best = {
        data: best_baseline(
            curves,
            {
                group.label: [run.label for run in group.runs]
                for group in groups
                if group.first.data == data
                and group.first.config
                and group.first.config.architecture == "stacked"
            },
        )
        for data in {group.first.data for group in groups}
    }
    return {group.label: best[group.first.data] for group in groups}


def group_comparison(
    everything: list[Group], baseline: Baseline, groups: list[Group]
) -> pd.DataFrame:
    """`compare_groups` of all groups by their labels: the rows of `groups`."""
    curves = {run.label: run.curve for group in everything for run in group.runs}
    members = {group.label: [run.label for run in group.runs] for group in everything}
    table = compare_groups(curves, members, baseline.of, baseline.equal_bytes)
    return table[table["group"].isin([group.label for group in groups])]
