"""Which model is ahead, by how much, and whether that may be luck: a sentence for each data set."""

import pandas as pd

from dashboard.runs import Group
from dashboard.words import verbatim
from gridlstm.curves import convert


def sentences(
    comparison: pd.DataFrame, groups: list[Group], baselines: dict[str, str | None], unit: str
) -> list[str]:
    """One of Markdown for each data set that several of `groups` were measured on.

    `comparison` is that of `group_comparison`, of these groups; `baselines` names the baseline of
    each group. Nothing is said of runs of which it is not known what they were measured on.
    """
    members: dict[object, list[Group]] = {}
    for group in groups:
        if group.first.data_name is not None:
            members.setdefault(group.first.data, []).append(group)
    several = {data: found for data, found in members.items() if len(found) > 1}
    rows = comparison.set_index("group")
    found = []
    for of_data in several.values():
        ranking = rows.loc[[group.label for group in of_data]].sort_values("best_loss")
        on = f"On {verbatim(of_data[0].first.data_name)}: " if len(several) > 1 else ""
        found.append(on + _sentence(ranking, baselines[ranking.index[0]], unit))
    return found


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
