"""Directions found in a text: the ways in which many units say together what none says alone.

All but the user's own are found on the first part of a text alone; how well they follow a property
is judged on the second, as units are (`held_out`).
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from gridlstm.analysis.held_out import Judge, split_text
from gridlstm.analysis.probe import MAX_FITTED_CHARACTERS, probe_weights
from gridlstm.analysis.ranking import auc, measure_of, spearman, strength
from gridlstm.array_types import (
    Float64Array,
    FloatArray,
    IntArray,
    NumberArray,
    are_marks,
)
from gridlstm.direction import Direction, DirectionError

MAX_COMPONENTS = 64
MAX_FACTOR_STEPS = 300
# Ways to find one direction by a property, in the words of the field.
SOURCES = {"means": "difference of means", "probe": "sparse linear probe"}


def found_by_property(
    values: Mapping[str, FloatArray],
    target: NumberArray,
    positions: IntArray,
    quantity: str,
    layer: int | None,
    source: str = "probe",
    *,
    name: str = "",
    model: str = "",
    held_out: float = 0.5,
) -> Direction:
    """The direction of one of `SOURCES` in a layer, from 1, or in all, found on the first part.

    `values` maps quantities to [layer, position, unit], `target` is bool [character] or, for means,
    numbers [character]; `positions` int [character] as for `held_out.find_cells`, whose errors this
    has too. Raises DirectionError for another source or a quantity that is not there, ProbeError.
    """
    if source not in SOURCES:
        raise DirectionError(f"A direction is found by one of {', '.join(SOURCES)}.")
    part = split_text(np.asarray(target), held_out).found
    here, at = np.asarray(target)[part.slice], positions[part.slice]
    if source == "probe" and not are_marks(here):
        raise DirectionError("A probe reads marks, and this property is a number: choose means.")
    rows = _layer_values(values, quantity, layer)
    found: Float64Array
    if source == "means":
        found = np.stack([_difference_of_means(each[at], here) for each in rows])
    elif are_marks(here):
        # Fitted to the units of all layers together, where they are all asked for.
        together = np.concatenate([each[at].astype(np.float64) for each in rows], axis=1)
        found = probe_weights(together, here).reshape(len(rows), -1)
    origin = f"{SOURCES[source]} on the first {part.end:,} characters"
    vector = found if layer is None else found[0]
    return Direction(quantity, layer, vector, name, origin, model=model)


def _difference_of_means(values: FloatArray, target: NumberArray) -> Float64Array:
    """Each unit's mean inside less its mean outside: [unit] of values [character, unit]. Of a
    number, how much the unit rises with it (least squares) from one standard deviation below its
    mean to one above."""
    if are_marks(target):
        inside, outside = values[target], values[~target]
        difference: Float64Array = inside.mean(0, np.float64) - outside.mean(0, np.float64)
        return difference
    centred = (target - target.mean()) / target.std()
    slope: Float64Array = 2 * centred @ values.astype(np.float64) / len(values)
    return slope


def principal_components(
    values: Mapping[str, FloatArray],
    positions: IntArray,
    quantity: str,
    layer: int,
    count: int,
    *,
    model: str = "",
) -> list[Direction]:
    """The `count` orthogonal directions of a layer, from 1, along which its units vary most over
    the characters at `positions`, the first most; each of length 1. Raises DirectionError."""
    from sklearn.decomposition import PCA

    (found,) = _layer_values(values, quantity, layer)
    count = _checked_count(count, found.shape[1], len(positions))
    fitted: Any = PCA(count, svd_solver="covariance_eigh").fit(found[positions].astype(np.float64))
    return [
        Direction(
            quantity,
            layer,
            component,
            f"component {number}",
            f"principal component {number}, {share:.1%} of the variance",
            model=model,
        )
        for number, (component, share) in enumerate(
            zip(fitted.components_, fitted.explained_variance_ratio_, strict=True), start=1
        )
    ]


def non_negative_factors(
    values: Mapping[str, FloatArray],
    positions: IntArray,
    quantity: str,
    layer: int,
    count: int,
    *,
    model: str = "",
) -> list[Direction]:
    """Directions of the `count` non-negative factors of a layer's units, those first that make up
    most; each of length 1.

    Factors add up and never cancel (Lee and Seung 1999). As a memory has both signs, each unit
    stands twice in what is factored, by what is above 0 and by what is below; a factor's direction
    is the first part of its weights less the second. Fits see at most MAX_FITTED_CHARACTERS of the
    characters, evenly spread. Raises DirectionError.
    """
    import warnings

    from sklearn.decomposition import NMF
    from sklearn.exceptions import ConvergenceWarning

    (found,) = _layer_values(values, quantity, layer)
    count = _checked_count(count, found.shape[1], len(positions))
    thin = positions[:: -(-len(positions) // MAX_FITTED_CHARACTERS)]
    here = found[thin].astype(np.float64)
    parts = np.concatenate((here.clip(min=0), (-here).clip(min=0)), axis=1)
    model_of = NMF(count, init="nndsvda", max_iter=MAX_FACTOR_STEPS, random_state=0)
    with warnings.catch_warnings():
        # The last steps change the factors by little; more of them take longer than they tell.
        warnings.simplefilter("ignore", ConvergenceWarning)
        amounts = model_of.fit_transform(parts)
    above, below = np.split(model_of.components_, 2, axis=1)
    vectors = above - below
    sizes = amounts.sum(axis=0) * np.linalg.norm(vectors, axis=1)
    order = [n for n in np.argsort(-sizes, kind="stable") if sizes[n] > 0]
    return [
        Direction(
            quantity,
            layer,
            vectors[n] / np.linalg.norm(vectors[n]),
            f"factor {number}",
            f"non-negative factor {number} of {count}",
            model=model,
        )
        for number, n in enumerate(order, start=1)
    ]


def judge_directions(
    values: Mapping[str, FloatArray],
    directions: Sequence[Direction],
    target: NumberArray,
    positions: IntArray,
    *,
    held_out: float = 0.5,
    seed: int = 1,
    resamples: int = 1000,
) -> pd.DataFrame:
    """How well directions follow a target, as units are judged: a row each, in their order.

    Columns name, quantity, layer (0 for all), sign and all those of `Findings.cells` that tell how
    good a unit is. Which way it follows, and the threshold, come from the first part of the text.
    Errors as for `held_out.find_cells`, and DirectionError.
    """
    target = np.asarray(target)
    split = split_text(target, held_out)
    judge, rows = Judge(target, split, resamples, seed), []
    measure = measure_of(target)
    follow = auc if measure == "auc" else spearman
    for direction in directions:
        along = direction.along(values, positions)[:, None]
        found, held = along[split.found.slice], along[split.held_out.slice]
        measured = follow(found, target[split.found.slice])
        sign = np.where(measured >= (0.5 if measure == "auc" else 0), 1, -1)
        columns = {name: column[0] for name, column in judge(found, held, sign).items()}
        rows.append(
            {
                "name": direction.name,
                "quantity": direction.quantity,
                "layer": direction.layer or 0,
                "sign": int(sign[0]),
                "found": float(strength(measured, measure)[0]),
                **columns,
            }
        )
    return pd.DataFrame(rows)


def _layer_values(
    values: Mapping[str, FloatArray], quantity: str, layer: int | None
) -> list[FloatArray]:
    """The values [position, unit] of a layer, from 1, or of all. Raises DirectionError."""
    if quantity not in values:
        raise DirectionError(f"There is no {quantity!r} here; there is {', '.join(values)}.")
    layers = values[quantity]
    if layer is None:
        return list(layers)
    if not 1 <= layer <= len(layers):
        raise DirectionError(f"There is no layer {layer}: they are counted from 1.")
    return [layers[layer - 1]]


def _checked_count(count: int, units: int, characters: int) -> int:
    most = min(MAX_COMPONENTS, units, characters)
    if not 1 <= count <= most:
        raise DirectionError(f"Of these units there are 1 to {most} components, not {count}.")
    return count
