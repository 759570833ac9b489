"""What arrays hold, for annotations: shapes stand in the docstrings."""

from typing import TypeGuard

import numpy as np
import numpy.typing as npt

BoolArray = npt.NDArray[np.bool_]
ByteArray = npt.NDArray[np.uint8]
IntArray = npt.NDArray[np.integer]
Float32Array = npt.NDArray[np.float32]
Float64Array = npt.NDArray[np.float64]
# Of any precision: a trace's float32, or what was computed from it in float64.
FloatArray = npt.NDArray[np.floating]
# Marks, counts or measurements: what a property can tell of each position.
NumberArray = npt.NDArray[np.bool_ | np.number]


def are_marks(target: NumberArray) -> TypeGuard[BoolArray]:
    """Whether a property's values mark positions, instead of being numbers."""
    return target.dtype == bool
