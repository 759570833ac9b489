"""A unit read as a switch: on from a threshold, and how well "on" agrees with the marks (F1).

`values` [position, unit], `marks` bool [position], `signs` +1 or -1 [unit]: with +1 a unit is on at
its threshold and above it, with -1 at its threshold and below.
"""

import numpy as np

from gridlstm.array_types import BoolArray, Float64Array, FloatArray, IntArray


def best_thresholds(
    values: FloatArray, marks: BoolArray, signs: IntArray
) -> tuple[Float64Array, Float64Array]:
    """The threshold of each unit with the highest F1, and that F1: float64 [unit] each.

    Thresholds are values of the unit; of equally good ones the strictest is taken. At least one
    position must be marked.
    """
    signed = signs * values.astype(np.float64)
    order = np.argsort(-signed, axis=0, kind="stable")
    falling = np.take_along_axis(signed, order, axis=0)
    hits = np.cumsum(marks[order], axis=0)
    on = np.arange(1, len(signed) + 1)[:, None]
    f1 = 2 * hits / (np.count_nonzero(marks) + on)
    # Equal values go on together: only the last of them is a threshold.
    f1[:-1][falling[:-1] == falling[1:]] = -1
    best = f1.argmax(axis=0)[None]
    threshold = signs * np.take_along_axis(falling, best, axis=0)[0]
    return threshold, np.take_along_axis(f1, best, axis=0)[0]


def f1_scores(
    values: FloatArray, marks: BoolArray, signs: IntArray, thresholds: FloatArray
) -> Float64Array:
    """F1 at given thresholds [unit]: 2 * hits / (marked + on), float64 [unit]."""
    on = signs * values.astype(np.float64) >= signs * thresholds
    hits = np.count_nonzero(on & marks[:, None], axis=0)
    f1: Float64Array = 2 * hits / (np.count_nonzero(marks) + np.count_nonzero(on, axis=0))
    return f1
