"""Curves compared: who is ahead, by how much, beyond the noise of the seeds or not, and when."""

import math
from collections.abc import Collection, Hashable, Mapping, Sequence
from typing import TypeVar

import numpy as np
import pandas as pd

from gridlstm.array_types import Float64Array

# What `compare_groups` says of a difference, by its name there.
VERDICTS = {
    "baseline": "baseline",
    "beyond": "beyond noise",
    "within": "within noise",
    "unknown": "noise unknown: one seed each",
    "early": "not compared: no bytes in common",
    "apart": "not compared: no baseline on its data",
}
CONFIDENCE = 0.95
SPENT = ("update", "bytes", "seconds", "operations")


# Losses of runs that differ in nothing but their seed.
_Losses = Sequence[float] | Float64Array
_Bytes = TypeVar("_Bytes", float, "pd.Series[float]")


def training_operations(bytes_read: _Bytes, operations_per_byte: int) -> _Bytes:
    """Floating-point operations of training on so many bytes.

    A multiply-add is two operations, and a backward pass costs twice a forward pass, so a byte
    costs `2 * 3` times the multiply-adds of `ModelConfig.operations_per_token`. Only products with
    weights are counted.
    """
    return bytes_read * operations_per_byte * 2 * 3


def with_operations(frame: pd.DataFrame, operations_per_byte: int | None) -> pd.DataFrame:
    """The curve with a column `operations`: spent up to each point, NaN if it is not known."""
    spent: float | pd.Series[float] = math.nan
    if operations_per_byte is not None:
        spent = training_operations(frame["bytes"].astype(np.float64), operations_per_byte)
    return frame.assign(operations=spent)


# -- Each run -------------------------------------------------------------------------------------


def summary(
    curves: Mapping[str, pd.DataFrame],
    baselines: Collection[str],
    data: Mapping[str, Hashable] | None = None,
) -> pd.DataFrame:
    """One row a curve, by its name in `model`.

    `data` says by name what a curve was measured on: only curves with an equal entry are compared,
    all of them if it is not given. Losses are validation losses in nats per byte. Columns:
    `best_loss`, `best_update`, `last_loss`, and `updates`, `bytes`, `seconds` and `operations`
    spent so far; `common_update`, the last one that all curves on the data have a point at, with
    `common_bytes` and `common_loss` there. `difference_percent` and `common_difference_percent` are
    against the lowest such loss of those named in `baselines`: negative is better.
    `reached_update`, `reached_bytes`, `reached_seconds` and `reached_operations` tell where the
    curve's loss first was at or under that lowest best loss. NaN is what there is not, or what is
    not known.
    """
    groups: dict[Hashable, list[str]] = {}
    for name in curves:
        groups.setdefault(None if data is None else data[name], []).append(name)
    tables = [_compared({n: curves[n] for n in names}, baselines) for names in groups.values()]
    if not tables:
        return _compared({}, baselines)
    return pd.concat(tables).set_index("model").loc[list(curves)].reset_index()


def _compared(curves: dict[str, pd.DataFrame], baselines: Collection[str]) -> pd.DataFrame:
    """`summary` of curves that are all measured on the same data."""
    common = _last_common_update(list(curves.values()))
    targets = [frame["val_loss"].min() for name, frame in curves.items() if name in baselines]
    target = min(targets, default=math.nan)
    rows = []
    for name, frame in curves.items():
        best, last = frame.iloc[frame["val_loss"].argmin()], frame.iloc[-1]
        there = frame[frame["update"] == common]
        rows.append(
            {
                "model": name,
                "best_loss": best["val_loss"],
                "best_update": best["update"],
                "last_loss": last["val_loss"],
                "updates": last["update"],
                "bytes": last["bytes"],
                "seconds": last["seconds"],
                "operations": last.get("operations", math.nan),
                "common_update": common,
                "common_bytes": there["bytes"].max(),
                "common_loss": there["val_loss"].max(),
                **_first_at_or_under(frame, target),
            }
        )
    columns = ["model", "best_loss", "best_update", "last_loss", "updates", "bytes", "seconds"]
    columns += ["operations", "common_update", "common_bytes", "common_loss"]
    columns += [f"reached_{name}" for name in SPENT]
    table = pd.DataFrame(rows, columns=columns)
    for name in ("best_update", "updates"):
        # Whole numbers; missing where a run of another program does not know its updates.
        missing = table[name].isna().any()
        table[name] = table[name].astype("Int64" if missing else np.int64)
    is_baseline = table["model"].isin(list(baselines))
    for loss, difference in (
        ("best_loss", "difference_percent"),
        ("common_loss", "common_difference_percent"),
    ):
        reference = table.loc[is_baseline, loss].min()
        table.insert(
            list(table.columns).index(loss) + 1, difference, 100 * (table[loss] / reference - 1)
        )
    return table


def _first_at_or_under(frame: pd.DataFrame, loss: float) -> dict[str, float]:
    """What had been spent when the validation loss first was at or under `loss`."""
    reached = frame["val_loss"].to_numpy() <= loss
    if not reached.any():
        return {f"reached_{name}": math.nan for name in SPENT}
    there = frame.iloc[int(reached.argmax())]
    return {f"reached_{name}": float(there.get(name, math.nan)) for name in SPENT}


def _last_common_update(frames: list[pd.DataFrame]) -> float:
    """The last update that all of the curves have a point at; NaN if there is none."""
    updates = [set(frame["update"].dropna()) for frame in frames]
    shared = set.intersection(*updates) if updates else ()
    return float(max(shared, default=math.nan))


# -- Groups of runs that differ in nothing but their seed ------------------------------------------


def noise(these: _Losses, those: _Losses) -> float:
    """How far apart the means of two groups of losses may lie by the luck of the seeds alone.

    Half the width of the 95 % confidence interval of the difference of two means (Student's t, with
    the pooled variance): `t(0.975, n + m - 2) * s * sqrt(1/n + 1/m)`, where `s**2` is the sum of
    squared deviations of both groups, each from its own mean, over `n + m - 2`. It is taken that
    seeds scatter alike in both groups, so that a group of one run has the other's scatter. A
    difference no larger than this is within noise. NaN if both groups have one run only: then
    nothing tells how seeds scatter.
    """
    freedom = len(these) + len(those) - 2
    if freedom < 1:
        return math.nan
    from scipy.special import stdtrit

    squares = sum(float(np.sum((np.asarray(g) - np.mean(g)) ** 2)) for g in (these, those))
    widths = math.sqrt(squares / freedom * (1 / len(these) + 1 / len(those)))
    return float(stdtrit(freedom, (1 + CONFIDENCE) / 2)) * widths


def best_baseline(
    curves: Mapping[str, pd.DataFrame], groups: Mapping[str, Sequence[str]]
) -> str | None:
    """The group, of the runs it names, with the lowest mean of best losses; None of none."""
    means = {g: np.mean([curves[run]["val_loss"].min() for run in groups[g]]) for g in groups}
    return min(means, key=lambda group: means[group], default=None)


def compare_groups(
    curves: Mapping[str, pd.DataFrame],
    groups: Mapping[str, Sequence[str]],
    baselines: Mapping[str, str | None],
    equal_bytes: bool,
) -> pd.DataFrame:
    """One row a group of runs that differ in their seed alone, held against its baseline.

    `groups` names the runs of each group, `baselines` the group that each is held against, itself
    if it is the baseline, None if there is none on the same data. Losses are in nats per byte, each
    run counting with its best validation loss; with `equal_bytes` a comparison looks only at what
    was measured while no run of either group had read more than the one of them that read least.

    Columns: `group`; `runs`; `best_loss`, the mean, with `deviation` (standard deviation over the
    seeds, n - 1), `low` and `high`; `difference_percent`, of the group's mean from the baseline's,
    negative is better; `noise_percent`, what `noise` says in percent of the baseline's mean;
    `compared_bytes`, up to where both were looked at; `verdict`, one of `VERDICTS`. NaN is what
    there is not: with `equal_bytes` no difference is told if the bytes of a run are not known, or
    one had no point so early.
    """
    rows = []
    for group, runs in groups.items():
        losses = [curves[run]["val_loss"].min() for run in runs]
        baseline = baselines[group]
        others = None if baseline is None else groups.get(baseline)
        rows.append(
            {
                "group": group,
                "runs": len(runs),
                "best_loss": float(np.mean(losses)),
                "deviation": float(np.std(losses, ddof=1)) if len(runs) > 1 else math.nan,
                "low": min(losses),
                "high": max(losses),
                **_against(curves, runs, others, equal_bytes),
            }
        )
        if baseline == group:
            rows[-1]["verdict"] = "baseline"
    columns = ["group", "runs", "best_loss", "deviation", "low", "high", "difference_percent"]
    columns += ["noise_percent", "compared_bytes", "verdict"]
    return pd.DataFrame(rows, columns=columns)


def _against(
    curves: Mapping[str, pd.DataFrame],
    runs: Sequence[str],
    others: Sequence[str] | None,
    equal_bytes: bool,
) -> dict[str, float | str]:
    """A group's comparison with its baseline, `others`."""
    nothing: dict[str, float | str] = {
        "difference_percent": math.nan,
        "noise_percent": math.nan,
        "verdict": "apart",
    }
    if others is None:
        return nothing | {"compared_bytes": math.nan}
    bytes_read = [curves[run]["bytes"].iloc[-1] for run in (*runs, *others)]
    # Not `min`, which passes over what is not known.
    limit = float(np.min(bytes_read)) if equal_bytes else math.inf
    these, those = (np.array([_best(curves[run], limit) for run in g]) for g in (runs, others))
    compared = limit if equal_bytes else float(np.max(bytes_read))
    if np.isnan(these).any() or np.isnan(those).any():
        return nothing | {"compared_bytes": compared, "verdict": "early"}
    difference, around = these.mean() - those.mean(), noise(these, those)
    verdict = "unknown"
    if not math.isnan(around):
        verdict = "within" if abs(difference) <= around else "beyond"
    return {
        "difference_percent": 100 * difference / those.mean(),
        "noise_percent": 100 * around / those.mean(),
        "compared_bytes": compared,
        "verdict": verdict,
    }


def _best(frame: pd.DataFrame, max_bytes: float) -> float:
    """The lowest validation loss up to so many bytes read, NaN if none was measured so early."""
    if max_bytes == math.inf:
        return float(frame["val_loss"].min())
    return float(frame.loc[frame["bytes"] <= max_bytes, "val_loss"].min())
