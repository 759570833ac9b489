"""Which model is ahead, by how much, and whether that may be luck: a sentence for each data set."""

import pandas as pd
import streamlit as st

from dashboard.screens.curves.baseline import Baseline
from dashboard.screens.curves.runs import Group
from dashboard.words import verbatim
from gridlstm.curves import convert

NOISE_HELP = (
    "Runs that differ in nothing but their **seed** show how much is luck. The difference of two "
    "mean best losses is called **within noise** if it is no larger than half the width of its "
    "95 % confidence interval (Student's t): t(0.975, n + m − 2) · s · √(1/n + 1/m), for n runs of "
    "the model and m of the baseline; s² is the sum of their squared deviations, each from the "
    "mean of its own group, over n + m − 2. So a group with one run is taken to scatter as the "
    "other does. With **one seed each** nothing tells how large the noise is, and no difference "
    "can be called real."
)


def show_verdict(
    comparison: pd.DataFrame, groups: list[Group], baseline: Baseline, unit: str
) -> None:
    """A sentence for each data set that several of `groups` were measured on.

    `comparison` is that of `group_comparison`. Nothing is said of runs of which it is not known
    what they were measured on.
    """
    members: dict[object, list[Group]] = {}
    for group in groups:
        if group.first.data_name is not None:
            members.setdefault(group.first.data, []).append(group)
    several = {data: found for data, found in members.items() if len(found) > 1}
    rows = comparison.set_index("group")
    for of_data in several.values():
        ranking = rows.loc[[group.label for group in of_data]].sort_values("best_loss")
        on = f"On {verbatim(of_data[0].first.data_name)}: " if len(several) > 1 else ""
        sentence = _sentence(ranking, baseline.of[ranking.index[0]], unit)
        st.markdown(on + sentence, help=NOISE_HELP)


def _sentence(ranking: pd.DataFrame, baseline: str | None, unit: str) -> str:
    """Of groups measured on the same data, the one with the lowest loss first."""
    first = ranking.index[0]
    loss = float(convert(ranking["best_loss"].iloc[0], unit))
    ahead = f"**{verbatim(first)}** has the lowest loss, **{loss:.3f} {unit} per byte**"
    if first == baseline:
        second = ranking.iloc[1]
        if second.isna()["difference_percent"]:
            return f"{ahead}. It is the baseline; none has read enough to be compared with it."
        return (
            f"{ahead}. It is the baseline; the next, {verbatim(ranking.index[1])}, is "
            f"{_distance(second)} it. {_luck(second)}"
        )
    if ranking.isna()["difference_percent"].iloc[0]:
        return f"{ahead}. It cannot be compared with a baseline."
    distance = _distance(ranking.iloc[0])
    return f"{ahead}, {distance} the baseline, {verbatim(baseline)}. {_luck(ranking.iloc[0])}"


def _distance(row: pd.Series) -> str:
    """How far a group lies from the baseline, as it is compared in the table below."""
    percent = row["difference_percent"]
    return f"**{abs(percent):.1f} % {'below' if percent < 0 else 'above'}**"


def _luck(row: pd.Series) -> str:
    if row["verdict"] == "unknown":
        return "With one seed each, nobody can tell how much of that is luck."
    noise = f"the noise of the seeds, ±{row['noise_percent']:.1f} %"
    if row["verdict"] == "within":
        return f"That is **within** {noise}: it may be luck."
    return f"That is **more than** {noise}."
