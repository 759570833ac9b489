"""Runs that differ in nothing but their seed, as one curve with its spread."""

import numpy as np
import pandas as pd

from gridlstm.array_types import Float64Array
from gridlstm.curves.series import POSITIONS, QUANTITIES, counted_by


def mean_over_seeds(frames: list[pd.DataFrame]) -> pd.DataFrame:
    """The mean of several curves, and how far they lie apart.

    A row for every update that one of them has a point at, or every epoch where the updates of one
    are not known (that is, the first of `POSITIONS` that all know); the others are interpolated
    between their own points there, and not counted before their first or after their last. The
    columns of the curves hold the mean, those of `QUANTITIES` also `NAME_low` and `NAME_high`, the
    smallest and the largest of the seeds; `seeds` is how many were there. One curve is its own
    mean.
    """
    by = max((counted_by(frame) for frame in frames), key=POSITIONS.index)
    frames = [frame[frame[by].notna()] for frame in frames]
    places = np.unique(np.concatenate([frame[by] for frame in frames]))
    names = dict.fromkeys(name for frame in frames for name in frame.columns if name != by)
    mean = {by: places}
    for name in names:
        # [curve, place]
        values = np.stack([_at(frame, name, by, places) for frame in frames])
        known = ~np.isnan(values)
        count = known.sum(axis=0)
        total = np.where(known, values, 0).sum(axis=0)
        mean[name] = np.divide(total, count, out=np.full(len(places), np.nan), where=count > 0)
        if name in QUANTITIES.values():
            low = np.where(known, values, np.inf).min(axis=0)
            high = np.where(known, values, -np.inf).max(axis=0)
            mean[f"{name}_low"] = np.where(count > 0, low, np.nan)
            mean[f"{name}_high"] = np.where(count > 0, high, np.nan)
    inside = [(places >= frame[by].iloc[0]) & (places <= frame[by].iloc[-1]) for frame in frames]
    return pd.DataFrame(mean | {"seeds": np.sum(inside, axis=0)})


def _at(frame: pd.DataFrame, name: str, by: str, places: Float64Array) -> Float64Array:
    """A column at these places of the column `by`, float64; NaN where it is not known."""
    if name not in frame:
        return np.full(len(places), np.nan)
    own = frame[by].to_numpy(np.float64)
    values = frame[name].to_numpy(np.float64)
    at: Float64Array = np.interp(places, own, values, left=np.nan, right=np.nan)
    return at
