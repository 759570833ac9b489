"""What is drawn of a curve: a quantity along an axis, in a unit, smoothed."""

import math
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import pandas as pd

from gridlstm.array_types import Float64Array

AXES = ("update", "epoch", "bytes", "seconds", "operations")
# By name: the column of a curve. The accuracies are shares, of tasks that have answers.
QUANTITIES = {
    "validation": "val_loss",
    "training": "train_loss",
    "accuracy": "accuracy",
    "digits": "digit_accuracy",
}
UNITS = ("bits", "nats")
# What tells how far a run was at a point: the first of them that it knows. Only runs of other
# programs may not know the updates.
POSITIONS = ("update", "epoch", "seconds")


_Losses = TypeVar("_Losses", float, Float64Array, "pd.Series[float]")


@dataclass(frozen=True)
class Series:
    """One line of the picture: every logged point, in the order of the updates.

    All float64 [point]: `x` along the chosen axis, `update` as logged, `raw` and `smoothed` in the
    chosen unit, `seeds` how many runs a point is the mean of. Where the frame is that of several
    seeds, `low` and `high` bound them, smoothed alike; else they are None.
    """

    x: Float64Array
    update: Float64Array
    raw: Float64Array
    smoothed: Float64Array
    seeds: Float64Array
    low: Float64Array | None = None
    high: Float64Array | None = None


def counted_by(frame: pd.DataFrame) -> str:
    """Which of `POSITIONS` tells how far the run was: the first that its points know."""
    return next((n for n in POSITIONS if n in frame and frame[n].notna().any()), "update")


def smooth(values: Float64Array, weight: float) -> Float64Array:
    """Exponential moving average, debiased, as TensorBoard draws it: float64 [point].

    Each value is the weighted mean of all points so far, one that lies `k` points back counting
    `weight ** k`. Raises ValueError unless `weight` is at least 0 and under 1.
    """
    if not 0 <= weight < 1:
        raise ValueError(f"The smoothing weight must be at least 0 and under 1, not {weight!r}.")
    smoothed = np.empty(len(values))
    total = count = 0.0
    for index, value in enumerate(np.asarray(values, dtype=np.float64)):
        total = weight * total + value
        count = weight * count + 1
        smoothed[index] = total / count
    return smoothed


def convert(nats: _Losses, unit: str) -> _Losses:
    """Losses in nats as `unit`, `"nats"` or `"bits"`."""
    if unit not in UNITS:
        raise ValueError(f"A loss is given in {' or '.join(UNITS)}, not in {unit!r}.")
    return nats / math.log(2) if unit == "bits" else nats


def is_loss(quantity: str) -> bool:
    """Whether one of `QUANTITIES` is a loss, in nats per byte; else it is a share."""
    return QUANTITIES[quantity].endswith("loss")


def curve_series(
    frame: pd.DataFrame, axis: str, quantity: str, unit: str, smoothing: float = 0.0
) -> Series:
    """What to draw of a curve, or of the mean of several (`mean_over_seeds`).

    `axis` is one of `AXES`, `quantity` of `QUANTITIES`, `unit` of `UNITS`, for losses. Points at
    which the quantity or the place on the axis is not known are left out.
    """
    column = QUANTITIES[quantity]
    nothing = np.full(len(frame), np.nan)

    def numbers(name: str) -> Float64Array:
        return frame[name].to_numpy(np.float64) if name in frame else nothing

    known = ~np.isnan(numbers(axis)) & ~np.isnan(numbers(column))

    def measured(name: str) -> Float64Array:
        values = numbers(name)[known]
        return convert(values, unit) if is_loss(quantity) else values

    bounds = {}
    if f"{column}_low" in frame:
        for end in ("low", "high"):
            bounds[end] = smooth(measured(f"{column}_{end}"), smoothing)
    raw = measured(column)
    return Series(
        x=numbers(axis)[known],
        update=numbers("update")[known],
        raw=raw,
        smoothed=smooth(raw, smoothing),
        seeds=numbers("seeds")[known] if "seeds" in frame else np.ones(len(raw)),
        **bounds,
    )
