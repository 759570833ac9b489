"""Which units tell marked positions of a text from the others: every unit's exact ROC AUC."""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from gridlstm.analysis.chunks import chunks
from gridlstm.progress import Progress


def auc(values: np.ndarray, marks: np.ndarray) -> np.ndarray:
    """The area under each unit's ROC curve: float64 [unit], exact, ties counted half.

    It is the chance that a marked position has the higher value of a random pair of a marked and
    an unmarked one (Mann-Whitney). `values` [position, unit], `marks` bool [position]. Radix sort
    makes float16 the fast case. ValueError if all positions are marked or none, if a value is
    NaN, or if the shapes differ.
    """
    marks = _checked(marks, len(values))
    marked, unmarked = np.flatnonzero(marks), np.flatnonzero(~marks)
    # The chance is a count of pairs: the few are looked up among the many, either way round.
    few, many = sorted((marked, unmarked), key=len)
    doubled = np.empty(values.shape[1], np.int64)
    for units in chunks(values.shape[1], len(values)):
        keys = _sortable(np.ascontiguousarray(values[:, units].T))
        doubled[units] = _doubled_pairs(_sorted(keys[:, few]), _sorted(keys[:, many]))
    pairs = 2 * len(few) * len(many)
    return (doubled if few is marked else pairs - doubled) / pairs


def rank_units(
    values: Mapping[str, np.ndarray],
    marks: np.ndarray,
    positions: np.ndarray | None = None,
    top: int | None = None,
    progress: Progress | None = None,
) -> pd.DataFrame:
    """All units of all layers and quantities, those that follow `marks` best first.

    `values` maps each quantity to [layer, position, unit]. `marks` is bool [position], or bool
    [character] with `positions` int [character], the position that stands for each character (a
    text's `last_byte`). `top` keeps that many rows. ValueError as for `auc`.

    Columns: layer (from 1), quantity, unit, auc, score = max(auc, 1 - auc), sign (+1: higher on
    marked positions, -1: lower).
    """
    found = []
    total = sum(len(layers) for layers in values.values())
    for quantity, layers in values.items():
        for layer, activations in enumerate(layers, start=1):
            chosen = activations if positions is None else activations[positions]
            areas = auc(chosen, marks)
            found.append(_rows(layer, quantity, areas))
            if progress:
                progress(len(found) / total)
    ranking = pd.concat(found, ignore_index=True)
    ranking = ranking.sort_values("score", ascending=False, kind="stable", ignore_index=True)
    return ranking if top is None else ranking.head(top)


def _rows(layer: int, quantity: str, areas: np.ndarray) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "layer": layer,
            "quantity": quantity,
            "unit": np.arange(len(areas)),
            "auc": areas,
            "score": np.maximum(areas, 1 - areas),
            "sign": np.where(areas >= 0.5, 1, -1),
        }
    )


def _checked(marks: np.ndarray, positions: int) -> np.ndarray:
    marks = np.asarray(marks, bool)
    if marks.shape != (positions,):
        raise ValueError(f"There are {positions} positions but marks of shape {marks.shape}.")
    if not marks.any():
        raise ValueError("Units cannot be ranked: no position of the text is marked.")
    if marks.all():
        raise ValueError("Units cannot be ranked: every position of the text is marked.")
    return marks


def _sortable(values: np.ndarray) -> np.ndarray:
    """The values, float16 ones as uint16 of the same order, which NumPy sorts by radix."""
    if np.isnan(values).any():
        raise ValueError("Units cannot be ranked: a value is not a number (NaN).")
    if values.dtype != np.float16:
        return values
    bits = values.view(np.uint16)
    # Positive numbers get the top bit; negative ones are inverted, as the larger their magnitude
    # the earlier they come. Whole-number arithmetic here is several times as fast as a choice.
    negative = bits >> 15
    keys = bits ^ (negative * np.uint16(0x7FFF) | np.uint16(0x8000))
    keys[keys == 0x7FFF] = 0x8000  # -0 is the same as 0
    return keys


def _sorted(keys: np.ndarray) -> np.ndarray:
    """The keys [unit, position] in order; for 16 bits "stable" is NumPy's name of radix sort."""
    return np.sort(keys, kind="stable" if keys.dtype == np.uint16 else None)


def _doubled_pairs(few: np.ndarray, many: np.ndarray) -> np.ndarray:
    """int64 [unit]: twice the pairs in which `few` [unit, a] is above `many` [unit, b].

    Both are sorted. A tie counts as half a pair, hence the doubling.
    """
    return np.array(
        [
            np.searchsorted(others, some, "left").sum()
            + np.searchsorted(others, some, "right").sum()
            for some, others in zip(few, many, strict=True)
        ],
        np.int64,
    )
