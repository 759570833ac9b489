"""How open the gates are over a text (Karpathy, Johnson and Li 2015, section 4)."""

import numpy as np

from gridlstm.analysis.chunks import chunks
from gridlstm.array_types import FloatArray, IntArray


def saturation(
    gate: FloatArray, low: float = 0.1, high: float = 0.9
) -> tuple[FloatArray, FloatArray]:
    """The shares of the text in which each gate is nearly closed and nearly open.

    `gate` [layer, position, unit] -> left, right: float64 [layer, unit], the fractions of all
    positions at which the gate is left-saturated (under `low`) and right-saturated (over `high`).
    ValueError for an empty text.
    """
    layers, positions, units = gate.shape
    if not positions:
        raise ValueError("The saturation of gates over an empty text is undefined.")
    below = np.zeros((layers, units), np.int64)
    above = np.zeros((layers, units), np.int64)
    for layer in range(layers):
        for part in chunks(positions, units):
            # float16 would round the limits to its own few digits.
            values = gate[layer, part].astype(np.float32)
            below[layer] += np.count_nonzero(values < low, axis=0)
            above[layer] += np.count_nonzero(values > high, axis=0)
    return below / positions, above / positions


def gate_histogram(gate: FloatArray, bins: int = 50) -> IntArray:
    """How often a gate of a layer has each value: int64 [layer, bin], equal bins from 0 to 1.

    `gate` [layer, position, unit]. A bin holds its lower edge, the last one its upper edge too.
    """
    layers, positions, units = gate.shape
    counts = np.zeros((layers, bins), np.int64)
    for layer in range(layers):
        for part in chunks(positions, units):
            values = gate[layer, part].astype(np.float32)
            counts[layer] += np.histogram(values, bins, range=(0, 1))[0]
    return counts
