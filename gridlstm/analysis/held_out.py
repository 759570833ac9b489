"""Cells found on one part of a text and judged on another, and what chance alone would find.

The text is cut in two with a gap between. Units are ranked on the first part, and all that is said
of how good they are comes from the second, which the ranking never saw: of thousands of units the
best on any text is partly lucky there. The parts are contiguous because characters picked at random
would put half of each URL in either, so that what was learnt by heart would pass for knowledge. The
gap is longer than nearly every marked span, so none is in both parts, and than most cells remember.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import cast

import numpy as np
import pandas as pd

from gridlstm.analysis.bootstrap import BLOCK, MIN_PLACES, Bootstrap, blocks_of, places_in
from gridlstm.analysis.ranking import (
    auc,
    best_first,
    measure_of,
    measure_units,
    spearman,
    strength,
    unit_rows,
)
from gridlstm.analysis.thresholds import best_thresholds, f1_scores
from gridlstm.array_types import BoolArray, FloatArray, IntArray, NumberArray, are_marks
from gridlstm.errors import UserError
from gridlstm.plurals import counted
from gridlstm.progress import Progress

GAP = 200
MIN_PART_CHARACTERS = 10 * BLOCK
# The share of the time that ranking takes.
RANKING_SHARE = 0.9


class HeldOutError(UserError):
    """A text that cannot be searched on one part and judged on another; one sentence."""


@dataclass(frozen=True)
class Part:
    """Characters `start`, …, `end` - 1 of the text; of a mark, how many are marked, in how many
    spans without a gap (both None for a number); and in how many `places`, blocks of about 100
    characters, the target is not as at most characters."""

    start: int
    end: int
    marked: int | None
    spans: int | None
    places: int

    @property
    def slice(self) -> slice:
        return slice(self.start, self.end)


@dataclass(frozen=True)
class Split:
    """The part that cells are found on, and the part that they are judged on; what counts as one
    place, in words."""

    found: Part
    held_out: Part
    event: str = f"what lies within some {BLOCK} characters is one"

    @property
    def missing_interval_reason(self) -> str:
        """In one sentence, why no interval can be given; empty if it can."""
        for part, name in ((self.found, "first"), (self.held_out, "second")):
            if part.places < MIN_PLACES:
                return (
                    "There is no 95 % interval: the property sets apart only "
                    f"{counted(part.places, 'place')} of the text's {name} part "
                    f"({self.event}), and it takes {MIN_PLACES}."
                )
        return ""


@dataclass(frozen=True)
class Baseline:
    """What the best of all units reaches by chance, on the part that cells are found on.

    `best` float64 [shift]: the highest score of any unit against the target moved round the part
    (circularly) by a random amount of at least a block. That keeps the target's share, the lengths
    of its spans and its autocorrelation, and breaks only its tie to the text. Characters shuffled
    one by one would make chance look far weaker than it is. (A property that recurs with one fixed
    period makes it look stronger.)
    """

    best: FloatArray

    @property
    def maximum(self) -> float:
        return float(self.best.max())

    @property
    def quantile_95(self) -> float:
        return float(np.quantile(self.best, 0.95))


@dataclass(frozen=True)
class Findings:
    """The best cells, and what to hold them against.

    `measure` is "auc" (for marks) or "rho" (Spearman's correlation, for numbers). `cells` has the
    columns layer (from 1), quantity, unit, sign (+1: higher where the target is, -1: lower), found
    and held_out (the measure on either part, turned round where the sign is -1: found is never
    under 0.5 for an AUC or 0 for a correlation, held_out is where the unit does not hold what it
    promised), low and high (a 95 % interval of held_out by `bootstrap`; NaN where
    `split.missing_interval_reason` says why there is none), and for marks threshold (from which the
    unit is on, the best one on the first part), f1_found, f1_held_out.
    `units` is how many were ranked.
    """

    cells: pd.DataFrame
    baseline: Baseline
    split: Split
    measure: str
    units: int


def find_cells(
    values: Mapping[str, FloatArray],
    target: NumberArray,
    positions: IntArray,
    *,
    top: int = 20,
    held_out: float = 0.5,
    gap: int = GAP,
    seed: int = 1,
    resamples: int = 1000,
    shifts: int = 20,
    progress: Progress | None = None,
) -> Findings:
    """The `top` units that follow `target` best on the first part of a text, judged on the second.

    `values` maps each quantity to [layer, position, unit]; `target` is bool [character] (marks) or
    numbers [character]; `positions` int [character] is the position that stands for each character
    (an encoded text's `last_token`). The second part has the share `held_out` of the characters
    that `gap` leaves. `resamples` are those of the bootstrap, `shifts` those of the baseline (at
    least 1).

    Raises HeldOutError if the text is too short to split, or if in one of the parts all or no
    characters are marked or the number never varies.
    """
    target = _checked(target, positions)
    split = split_text(target, held_out, gap)
    moved = _shifted(target[split.found.slice], shifts, seed)
    measure, rows, best = measure_of(target), [], np.zeros(shifts)
    for quantity, layer, measured in measure_units(
        values, moved, positions[split.found.slice], _part_of(progress, 0, RANKING_SHARE)
    ):
        rows.append(unit_rows(quantity, layer, measured[:, 0], measure))
        best = np.maximum(best, strength(measured[:, 1:], measure).max(axis=0))
    chosen = best_first(rows, top)
    cells = _judged(values, target, positions, split, chosen, resamples, seed, _rest_of(progress))
    return Findings(cells, Baseline(best), split, measure, sum(len(units) for units in rows))


def best_by_layer(
    values: Mapping[str, FloatArray],
    target: NumberArray,
    positions: IntArray,
    *,
    held_out: float = 0.5,
    gap: int = GAP,
    seed: int = 1,
    resamples: int = 1000,
    progress: Progress | None = None,
) -> pd.DataFrame:
    """Of each quantity and layer the unit that follows `target` best on the first part.

    Arguments, columns and errors as for `find_cells`; in the order of the quantities, then layers.
    """
    target = _checked(target, positions)
    split = split_text(target, held_out, gap)
    measure = measure_of(target)
    rows = [
        best_first([unit_rows(quantity, layer, measured, measure)], top=1)
        for quantity, layer, measured in measure_units(
            values,
            target[split.found.slice],
            positions[split.found.slice],
            _part_of(progress, 0, RANKING_SHARE),
        )
    ]
    chosen = pd.concat(rows, ignore_index=True)
    return _judged(values, target, positions, split, chosen, resamples, seed, _rest_of(progress))


def split_text(target: NumberArray, held_out: float = 0.5, gap: int = GAP) -> Split:
    """Where a text is cut, from the `target` [character]; errors as for `find_cells`."""
    if not 0 < held_out < 1:
        raise HeldOutError("The share that is held out must lie between 0 and 1.")
    if gap < 0:
        raise HeldOutError("The gap between the parts cannot be less than 0 characters.")
    characters = len(target)
    second = round(max(0, characters - gap) * held_out)
    first = max(0, characters - gap - second)
    if min(first, second) < MIN_PART_CHARACTERS:
        raise HeldOutError(
            f"The text of {characters:,} characters is too short to split: cells would be found on "
            f"{first:,} and judged on {second:,}, and either part needs {MIN_PART_CHARACTERS:,}."
        )
    return Split(
        _part(target, 0, first, "first", "found"),
        _part(target, characters - second, characters, "second", "judged"),
    )


def _part(target: NumberArray, start: int, end: int, name: str, use: str) -> Part:
    """A part, once it is sure that the target tells its characters apart."""
    here = target[start:end]
    if (here == here[0]).all():
        if target.dtype == bool:
            what = f"marks {'every' if here[0] else 'no'} character"
        else:
            what = f"is {here[0]:g} at every character"
        raise HeldOutError(
            f"The property {what} of the text's {name} part, on which cells are {use} "
            f"(characters {start:,} to {end:,}): choose a longer text or another."
        )
    places = places_in(here, blocks_of(here))
    if not are_marks(here):
        return Part(start, end, None, None, places)
    spans = int(here[0]) + int(np.count_nonzero(here[1:] & ~here[:-1]))
    return Part(start, end, int(np.count_nonzero(here)), spans, places)


def _shifted(target: NumberArray, shifts: int, seed: int) -> NumberArray:
    """The target itself and moved round by random amounts: [character, 1 + shift]."""
    amounts = np.random.default_rng(seed).integers(BLOCK, len(target) - BLOCK, shifts)
    return np.stack([target, *(np.roll(target, amount) for amount in amounts)], axis=1)


def _judged(
    values: Mapping[str, FloatArray],
    target: NumberArray,
    positions: IntArray,
    split: Split,
    chosen: pd.DataFrame,
    resamples: int,
    seed: int,
    progress: Progress | None,
) -> pd.DataFrame:
    """The `cells` of `Findings` for `chosen` rows of a ranking, in their order."""
    judge = Judge(target, split, resamples, seed)
    judged, done = [], 0
    for key, rows in chosen.groupby(["quantity", "layer"], sort=False):
        quantity, layer = cast("tuple[str, int]", key)
        signs, units = rows["sign"].to_numpy(), rows["unit"].to_numpy()
        found, held = (
            values[quantity][layer - 1][np.ix_(positions[part.slice], units)]
            for part in (split.found, split.held_out)
        )
        judged.append(pd.DataFrame(judge(found, held, signs), index=rows.index))
        done += len(rows)
        if progress:
            progress(done / len(chosen))
    cells = chosen[["layer", "quantity", "unit", "sign", "score"]].rename(
        columns={"score": "found"}
    )
    return cells.join(pd.concat(judged))


class Judge:
    """Judges, on the second part of a text, what was found on the first to follow a target."""

    def __init__(self, target: NumberArray, split: Split, resamples: int, seed: int) -> None:
        self.found, self.held = target[split.found.slice], target[split.held_out.slice]
        self.bootstrap = (
            None if split.missing_interval_reason else Bootstrap(self.held, resamples, seed)
        )

    def __call__(
        self, found: FloatArray, held: FloatArray, signs: IntArray
    ) -> dict[str, FloatArray]:
        """The columns held_out, low, high and, of marks, threshold, f1_found and f1_held_out of
        `Findings`, from the values on both parts [character, unit] and their signs [unit]."""
        found, held = found.astype(np.float64), held.astype(np.float64)
        columns = _scores(signs * held, self.held, self.bootstrap)
        if are_marks(self.found) and are_marks(self.held):
            columns |= _switches(found, self.found, held, self.held, signs)
        return columns


def _scores(
    signed: FloatArray, target: NumberArray, bootstrap: Bootstrap | None
) -> dict[str, FloatArray]:
    """The measure of `signed` values [character, unit] on the held-out part, and its interval, NaN
    without a bootstrap."""
    scores = auc(signed, target) if target.dtype == bool else spearman(signed, target)
    intervals = np.full((len(scores), 2), np.nan)
    if bootstrap:
        intervals[:] = [
            bootstrap.interval(unit, score) for unit, score in zip(signed.T, scores, strict=True)
        ]
    low, high = intervals.T
    return {"held_out": scores, "low": low, "high": high}


def _switches(
    found: FloatArray,
    found_marks: BoolArray,
    held: FloatArray,
    held_marks: BoolArray,
    signs: IntArray,
) -> dict[str, FloatArray]:
    """The best threshold of units on the first part, and F1 with it on both."""
    thresholds, f1 = best_thresholds(found, found_marks, signs)
    return {
        "threshold": thresholds,
        "f1_found": f1,
        "f1_held_out": f1_scores(held, held_marks, signs, thresholds),
    }


def _checked(target: NumberArray, positions: IntArray) -> NumberArray:
    target = np.asarray(target)
    if target.shape != positions.shape:
        raise ValueError(f"There are {len(positions)} characters; the target is {target.shape}.")
    return target


def _part_of(progress: Progress | None, start: float, share: float) -> Progress | None:
    """A progress function for the share of the whole that begins at `start`."""
    return (lambda done: progress(start + share * done)) if progress else None


def _rest_of(progress: Progress | None) -> Progress | None:
    return _part_of(progress, RANKING_SHARE, 1 - RANKING_SHARE)
