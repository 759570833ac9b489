"""Orders of the units of a layer for a heat map, so that what belongs together stands together."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.cluster import hierarchy
from scipy.spatial.distance import squareform

from gridlstm.analysis.chunks import chunks
from gridlstm.array_types import Float64Array, FloatArray, IntArray

MAX_CLUSTERED_UNITS = (
    2048  # the time and memory of the clustering grow with the square of the units
)
POSITIONS_COMPARED = 4096


@dataclass(frozen=True)
class Order:
    """A way to order units; `find` takes values [position, unit] and returns int [unit]."""

    name: str
    explanation: str
    find: Callable[[FloatArray], IntArray]


def order(values: FloatArray, by: str) -> IntArray:
    """The units of `values` [position, unit] in the order named `by`: int [unit], a permutation.

    ValueError for an unknown name, for no positions, or for more units than can be clustered.
    """
    if by not in ORDERS:
        raise ValueError(f"Unknown order {by!r}; known are {', '.join(ORDERS)}.")
    if not len(values):
        raise ValueError("Units cannot be ordered over an empty text.")
    return ORDERS[by].find(values)


def _by_index(values: FloatArray) -> IntArray:
    return np.arange(values.shape[1])


def _by_mean(values: FloatArray) -> IntArray:
    return np.argsort(_mean(values), kind="stable")


def _by_variance(values: FloatArray) -> IntArray:
    mean = _mean(values)
    squares = np.zeros(values.shape[1])
    for part in chunks(*values.shape):
        squares += ((values[part] - mean) ** 2).sum(axis=0)
    return np.argsort(-squares, kind="stable")


def _by_peak(values: FloatArray) -> IntArray:
    return np.argsort(np.argmax(values, axis=0), kind="stable")


def _by_similarity(values: FloatArray) -> IntArray:
    """Leaves of the tree of average-linkage clustering by 1 - correlation; constant units last."""
    units = values.shape[1]
    if units > MAX_CLUSTERED_UNITS:
        raise ValueError(f"At most {MAX_CLUSTERED_UNITS} units can be ordered by similarity.")
    every = -(-len(values) // POSITIONS_COMPARED)
    centred = values[::every].astype(np.float64)
    varies = np.ptp(centred, axis=0) > 0
    varying, constant = np.flatnonzero(varies), np.flatnonzero(~varies)
    if len(varying) < 2:
        return np.concatenate((varying, constant))
    centred = centred[:, varying]
    centred -= centred.mean(axis=0)
    centred /= np.linalg.norm(centred, axis=0)
    distance = 1 - centred.T @ centred
    tree = hierarchy.average(squareform(np.clip(distance, 0, 2), checks=False))
    return np.concatenate((varying[hierarchy.leaves_list(tree)], constant))


def _mean(values: FloatArray) -> Float64Array:
    mean: Float64Array = values.mean(axis=0, dtype=np.float64)
    return mean


ORDERS: dict[str, Order] = {
    found.name: found
    for found in (
        Order("index", "As the units stand in the model.", _by_index),
        Order("mean", "From the lowest mean over the text to the highest.", _by_mean),
        Order("variance", "Those that change most over the text first.", _by_variance),
        Order("time of the peak", "By where in the text each unit is highest.", _by_peak),
        Order(
            "similarity",
            "Units that rise and fall together side by side (hierarchical clustering by "
            "correlation).",
            _by_similarity,
        ),
    )
}
