"""Runs that differ in nothing but their seed, as one curve with its spread."""

import numpy as np
import pandas as pd

from gridlstm.curves.series import QUANTITIES


def mean_over_seeds(frames: list[pd.DataFrame]) -> pd.DataFrame:
    """The mean of several curves, and how far they lie apart.

    A row for every update that one of them has a point at; the others are interpolated between
    their own points there, and not counted before their first or after their last. The columns of
    the curves hold the mean, those of `QUANTITIES` also `NAME_low` and `NAME_high`, the smallest
    and the largest of the seeds; `seeds` is how many were there. One curve is its own mean.
    """
    updates = np.unique(np.concatenate([frame["update"] for frame in frames]))
    names = dict.fromkeys(name for frame in frames for name in frame if name != "update")
    mean = {"update": updates}
    for name in names:
        # [curve, update]
        values = np.stack([_at(frame, name, updates) for frame in frames])
        known = ~np.isnan(values)
        count = known.sum(axis=0)
        total = np.where(known, values, 0).sum(axis=0)
        mean[name] = np.divide(total, count, out=np.full(len(updates), np.nan), where=count > 0)
        if name in QUANTITIES.values():
            low = np.where(known, values, np.inf).min(axis=0)
            high = np.where(known, values, -np.inf).max(axis=0)
            mean[f"{name}_low"] = np.where(count > 0, low, np.nan)
            mean[f"{name}_high"] = np.where(count > 0, high, np.nan)
    inside = [
        (updates >= frame["update"].iloc[0]) & (updates <= frame["update"].iloc[-1])
        for frame in frames
    ]
    return pd.DataFrame(mean | {"seeds": np.sum(inside, axis=0)})


def _at(frame: pd.DataFrame, name: str, updates: np.ndarray) -> np.ndarray:
    """A column at these updates, float64; NaN where it is not known."""
    if name not in frame:
        return np.full(len(updates), np.nan)
    own = frame["update"].to_numpy(np.float64)
    return np.interp(updates, own, frame[name].to_numpy(np.float64), left=np.nan, right=np.nan)
