"""Ranks of every unit's values over a text: what AUC and Spearman's correlation are made of."""

from typing import Literal

import numpy as np
import numpy.typing as npt

from gridlstm.array_types import BoolArray, Float64Array, FloatArray, NumberArray

# To count 2^16 possible keys takes as long as to sort so many.
MIN_COUNTED_POSITIONS = 8192


def centred_ranks(values: NumberArray) -> Float64Array:
    """Twice each value's rank, less its mean: float64 [unit, position], whole numbers.

    For each value of `values` [unit, position], the number of positions with a lower value less
    that of positions with a higher one; equal values share their mean rank. ValueError if a value
    is NaN.
    """
    _check_numbers(values)
    if values.dtype != np.float16:
        return _sorted(values)
    keys = _whole(values)
    if values.shape[1] < MIN_COUNTED_POSITIONS:
        return _sorted(keys, "stable")  # of 16 bits that is a radix sort
    return _counted(keys)


def pairs_won(values: FloatArray, marks: BoolArray) -> Float64Array:
    """How many pairs of a marked and an unmarked position the marked one wins, less those it loses.

    It wins where its value is the higher one, of `values` [unit, position]; `marks` is bool
    [position], or [position, target]. Returns float64 [unit] or [unit, target], whole numbers.
    ValueError if a value is NaN.
    """
    if values.dtype == np.float16 and marks.ndim == 1 and values.shape[1] < MIN_COUNTED_POSITIONS:
        _check_numbers(values)
        return _won_by_sorting(_whole(values), marks)
    # Against each other the marked ones win as many as they lose.
    won: Float64Array = centred_ranks(values) @ marks.astype(np.float64)
    return won


def _won_by_sorting(keys: npt.NDArray[np.uint16], marks: BoolArray) -> Float64Array:
    """As `pairs_won`, of uint16 keys: each is sorted with its mark as one number of 32 bits, of
    which a processor compares many at a time. For ranks it would have to sort places."""
    units, positions = keys.shape
    marked = np.count_nonzero(marks)
    sorted_at = np.zeros(units)
    # Of equal keys the marked ones come last and then first, so that ties are half won, half lost.
    for bit_of_marked, bits in ((1, marks), (0, ~marks)):
        pairs = np.sort(keys.astype(np.uint32) << 1 | bits, axis=1)
        found = np.flatnonzero((pairs & 1) == bit_of_marked).reshape(units, marked)
        sorted_at += found.sum(axis=1) - marked * positions * np.arange(units)
    # The places of the marked ones, less those that they would have if they were the lowest, count
    # the pairs that they win.
    won_twice = sorted_at - marked * (marked - 1)
    won: Float64Array = won_twice - marked * (positions - marked)
    return won


def _check_numbers(values: NumberArray) -> None:
    if np.isnan(values).any():
        raise ValueError("Units cannot be ranked: a value is not a number (NaN).")


def _whole(values: NumberArray) -> npt.NDArray[np.uint16]:
    """The float16 values as uint16 of the same order."""
    bits = values.view(np.uint16)
    # Positive numbers get the top bit; negative ones are inverted, as the larger their magnitude
    # the earlier they come. Whole-number arithmetic here is several times as fast as a choice.
    negative = bits >> np.uint16(15)
    keys = bits ^ (negative * np.uint16(0x7FFF) | np.uint16(0x8000))
    keys[keys == 0x7FFF] = 0x8000  # -0 is the same as 0
    return keys


def _counted(keys: npt.NDArray[np.uint16]) -> Float64Array:
    """As `centred_ranks`, of uint16 keys: they are few enough to be counted, without sorting."""
    ranks = np.empty(keys.shape)
    for own, of_unit in zip(keys, ranks, strict=True):
        index = (own - own.min()).astype(np.intp)
        # In float64 every count is exact. Lower are `upto - equal`, higher are `all - upto`.
        equal = np.bincount(index).astype(np.float64)
        of_key = np.cumsum(equal)
        of_key *= 2
        of_key -= equal
        of_key -= len(index)
        # "clip" only spares a check: every index is in the table.
        np.take(of_key, index, out=of_unit, mode="clip")
    return ranks


def _sorted(values: NumberArray, kind: Literal["stable"] | None = None) -> Float64Array:
    """As `centred_ranks`, by sorting; several times as fast as SciPy's `rankdata`."""
    ranks = np.empty(values.shape)
    for own, of_unit in zip(values, ranks, strict=True):
        order = np.argsort(own, kind=kind)
        rising = own[order]
        starts = np.flatnonzero(np.concatenate(([True], rising[1:] != rising[:-1])))
        equal = np.diff(starts, append=len(own))
        # Lower are `starts`, higher are `all - starts - equal`.
        of_unit[order] = np.repeat(2 * starts + equal - len(own), equal)
    return ranks
