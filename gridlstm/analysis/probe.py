"""How well a mark can be read from one unit of a layer, from a few, and from all of them.

A sparse linear probe: logistic regression with an L1 penalty on the weights, not on the intercept
(as Gurnee et al. 2023, arXiv 2305.01610, look for single neurons), fitted by liblinear's coordinate
descent. If one unit reads the mark as well as the whole
layer does, it is "a cell"; if it takes many, the property is spread out. Like cells (see
`held_out`), probes are fitted on the first part of the text and judged on the second.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from gridlstm.analysis.bootstrap import Bootstrap
from gridlstm.analysis.held_out import GAP, Split, split_text
from gridlstm.analysis.ranking import auc
from gridlstm.array_types import (
    BoolArray,
    Float64Array,
    FloatArray,
    IntArray,
    NumberArray,
    are_marks,
)
from gridlstm.errors import UserError
from gridlstm.progress import Progress

# Of scikit-learn's C, the weight of the data against the penalty. On the shipped models the
# held-out AUC of a whole layer differs by less than 0.003 from 0.03 to 0.3.
STRENGTH = 0.1
# liblinear penalises the intercept as the weight of one more unit, whose value this is: by so much
# less than others. Unscaled, rare marks would seem several times as likely as they are.
INTERCEPT_SCALE = 1000.0
# Penalties from the strongest, under which no unit is used, to the one above: which unit comes in
# when says how much it is worth beside the others.
PATH = 16
# What bounds the time: fits see at most so many characters, evenly spread, so many times.
MAX_FITTED_CHARACTERS = 10_000
MAX_FIT_STEPS = 200


class ProbeError(UserError):
    """A layer or property that cannot be probed; the message is one sentence for the user."""


@dataclass(frozen=True)
class Probe:
    """What probes of one layer reach, and which units do it.

    `scores` has a row for 1, 2, 4, ... and all units: units (how many the probe may use), used (how
    many it gives a weight), found and held_out (the AUC on either part), low and high (a 95 %
    interval of held_out by `bootstrap`; NaN where `split.missing_interval_reason` says why there is
    none). `weights` has a row a unit, those with the largest weight first: unit, entered (1 for the
    unit that the penalty lets in first: a probe of k units is made of those up to k), weight (in
    the probe of all units: log-odds for a standard deviation of the unit), share (of the sum of all
    weights without their signs). `intercept` is of that probe: the log-odds of a mark where all
    units have their mean on the first part.
    """

    scores: pd.DataFrame
    weights: pd.DataFrame
    intercept: float
    split: Split


def probe(
    activations: FloatArray,
    marks: NumberArray,
    positions: IntArray,
    *,
    held_out: float = 0.5,
    gap: int = GAP,
    seed: int = 1,
    resamples: int = 1000,
    progress: Progress | None = None,
) -> Probe:
    """Read `marks` bool [character] from one layer's `activations` [position, unit].

    `positions` int [character] is the position that stands for each character (an encoded text's
    `last_token`); the text is split as by `find_cells`, whose errors this has too. Units are
    standardised by their mean and deviation on the first part. Raises ProbeError if the property is
    a number or no unit varies.
    """
    marks = np.asarray(marks)
    if not are_marks(marks):
        raise ProbeError("A probe reads marks, and this property is a number.")
    split = split_text(marks, held_out, gap)
    found, held = (
        activations[positions[part.slice]].astype(np.float64)
        for part in (split.found, split.held_out)
    )
    found_marks, held_marks = marks[split.found.slice], marks[split.held_out.slice]
    mean, scale = _standard(found)
    found, held = (found - mean) * scale, (held - mean) * scale
    thin = _thin(len(found))
    fitted, fitted_marks = found[thin], found_marks[thin]
    counts = _counts(found.shape[1])
    fits = PATH + len(counts)
    order = _order_of_entry(fitted, fitted_marks, progress, fits)
    bootstrap = None if split.missing_interval_reason else Bootstrap(held_marks, resamples, seed)
    rows = []
    for count in counts:
        units = order[:count]
        weights, intercept = _fit(fitted[:, units], fitted_marks, STRENGTH)
        read_found, read_held = found[:, units] @ weights, held[:, units] @ weights
        score = auc(read_held[:, None], held_marks)[0]
        low, high = bootstrap.interval(read_held, score) if bootstrap else (np.nan, np.nan)
        rows.append(
            {
                "units": count,
                "used": int(np.count_nonzero(weights)),
                "found": auc(read_found[:, None], found_marks)[0],
                "held_out": score,
                "low": low,
                "high": high,
            }
        )
        if progress:
            progress((PATH + len(rows)) / fits)
    return Probe(pd.DataFrame(rows), _weights_frame(order, weights), intercept, split)


def _counts(units: int) -> list[int]:
    """1, 2, 4, ... under `units`, and `units`."""
    return [2**power for power in range((units - 1).bit_length())] + [units]


def probe_weights(found: FloatArray, marks: BoolArray) -> Float64Array:
    """The weights float64 [unit] of the probe of all units, by the units' own values: what one more
    of a unit adds to the log-odds of a mark.

    `found` [character, unit] are the values on the part that it is fitted to, `marks` bool
    [character] some, not all of them. Raises ProbeError if no unit varies.
    """
    mean, scale = _standard(found)
    thin = _thin(len(found))
    weights, _ = _fit((found[thin] - mean) * scale, marks[thin], STRENGTH)
    return weights * scale


def _thin(characters: int) -> slice:
    """The characters that fits see."""
    return slice(None, None, -(-characters // MAX_FITTED_CHARACTERS))


def _standard(found: FloatArray) -> tuple[Float64Array, Float64Array]:
    """The mean of each unit [unit] on the first part [character, unit], and 1 / its deviation; 0
    where it never varies."""
    mean, deviation = found.mean(axis=0), found.std(axis=0)
    varies = (found != found[0]).any(axis=0)
    if not varies.any():
        raise ProbeError("No unit of this layer varies over the first part of the text.")
    return mean, np.divide(1, deviation, out=np.zeros_like(deviation), where=varies)


def _order_of_entry(
    values: FloatArray, marks: BoolArray, progress: Progress | None, fits: int
) -> IntArray:
    """All units, those that are used under the strongest penalty first: int64 [unit].

    Of units that come in together the one with the larger weight is first.
    """
    # Under this strength, where the intercept alone is fitted, no unit's gain outweighs its cost.
    least = 1 / np.abs(values.T @ (marks - marks.mean())).max()
    entered = np.full(values.shape[1], PATH)
    first_weight = np.zeros(values.shape[1])
    for step, strength in enumerate(np.geomspace(least, max(STRENGTH, 2 * least), PATH)):
        weights, _ = _fit(values, marks, strength)
        new = (weights != 0) & (entered == PATH)
        entered[new], first_weight[new] = step, np.abs(weights[new])
        if progress:
            progress((step + 1) / fits)
    return np.lexsort((-first_weight, entered))


def _fit(values: FloatArray, marks: BoolArray, strength: float) -> tuple[Float64Array, float]:
    """The weights [unit] of a logistic regression with an L1 penalty, and its intercept, which is
    not penalised: the sum of the weights without their signs, and `strength` times the nats spent
    on all marks, are least together."""
    from sklearn.linear_model import LogisticRegression

    model = LogisticRegression(
        C=strength,
        l1_ratio=1,
        solver="liblinear",
        intercept_scaling=INTERCEPT_SCALE,
        tol=1e-3,
        max_iter=MAX_FIT_STEPS,
        random_state=0,
    )
    model.fit(values, marks)
    return model.coef_[0], float(model.intercept_[0])


def _weights_frame(order: IntArray, weights: FloatArray) -> pd.DataFrame:
    """The `weights` of `Probe`, from the weights of all units in the order of their entry."""
    size = np.abs(weights)
    frame = pd.DataFrame(
        {
            "unit": order,
            "entered": np.arange(1, len(order) + 1),
            "weight": weights,
            "share": size / (size.sum() or 1),
        }
    )
    return frame.sort_values("share", ascending=False, kind="stable", ignore_index=True)
