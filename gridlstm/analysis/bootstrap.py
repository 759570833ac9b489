"""How far a score would vary on other texts of the kind: a block bootstrap.

Neighbouring characters are not independent, so what is drawn again and again, with replacement, is
not characters but blocks of about 100 that follow each other. That is longer than most cells
remember, so that blocks are nearly independent, and short enough for a part of 10,000 characters to
have 100 of them. The characters of one span are one event, read right or wrong together: no block
ends within a span. Each block is first summed up; a resample then costs the same however long the
blocks are.

Where few blocks hold a mark, the middle 95 % of the resamples are too narrow: few events show too
little of how they differ, and near its end a scale leaves no room on one side. So an interval is
that of Student's t, with as many events as there are such blocks, about the score on a scale
without ends (Fisher's z; of an AUC that is its log-odds), by the deviation of the resamples there.
"""

import numpy as np
from scipy.special import stdtrit

from gridlstm.analysis.ranks import centred_ranks
from gridlstm.array_types import (
    BoolArray,
    Float64Array,
    FloatArray,
    IntArray,
    NumberArray,
    are_marks,
)

BLOCK = 100
LEVEL = 0.95
BINS = 32
# Fewer do not tell how much they differ.
MIN_PLACES = 5


class Bootstrap:
    """Resamples of the positions that `target` is of: bool, or numbers, [position].

    `places` is of how many blocks it tells apart from the rest.
    """

    def __init__(self, target: NumberArray, resamples: int, seed: int):
        self.target = target
        self.block = blocks_of(target)
        self.places = places_in(target, self.block)
        self.drawn = draws(int(self.block[-1]) + 1, resamples, seed)

    def interval(self, unit: FloatArray, score: float) -> tuple[float, float]:
        """The 95 % interval of a unit's AUC (of marks) or Spearman correlation (of numbers), which
        is `score` for its values [position]. NaN for both ends where there are too few places."""
        if self.places < MIN_PLACES:
            return np.nan, np.nan
        if not are_marks(self.target):
            resampled = spearman_resampled(unit, self.target, self.block, self.drawn)
            return interval(score, resampled, self.places, 1 / len(unit))
        resampled = auc_resampled(unit, self.target, self.block, self.drawn)
        pairs = np.count_nonzero(self.target) * np.count_nonzero(~self.target)
        low, high = interval(2 * score - 1, 2 * resampled - 1, self.places, 1 / pairs)
        return (low + 1) / 2, (high + 1) / 2


def blocks_of(target: NumberArray) -> IntArray:
    """The block of each position: int64 [position], from 0, all of about equal length.

    Where one would end within a span (see `spans_of`), it goes on to the span's end.
    """
    length = len(target)
    blocks = max(1, length // BLOCK)
    starts = -(-np.arange(1, blocks) * length // blocks)
    spans = spans_of(target)
    ends = np.flatnonzero(spans & ~np.append(spans[1:], False)) + 1
    within = spans[starts - 1] & spans[starts]
    starts[within] = ends[np.searchsorted(ends, starts[within], side="right")]
    first = np.zeros(length, np.int64)
    first[starts[starts < length]] = 1
    return np.cumsum(first)


def spans_of(target: NumberArray) -> BoolArray:
    """bool [position]: where the target is not as at most positions; of a number that is nowhere
    usual in this sense, none."""
    values, counts = np.unique(target, return_counts=True)
    usual = counts.argmax()
    if 2 * counts[usual] < len(target):
        return np.zeros(len(target), bool)
    unusual: BoolArray = target != values[usual]
    return unusual


def places_in(target: NumberArray, block: IntArray) -> int:
    """How many blocks hold a span, or how many hold none of it if these are fewer."""
    spans = spans_of(target)
    if not spans.any():
        return int(block[-1]) + 1
    return min(len(np.unique(block[spans])), len(np.unique(block[~spans])))


def draws(blocks: int, resamples: int, seed: int) -> IntArray:
    """How often each resample holds each block: int64 [resample, block], as many as there are."""
    return np.random.default_rng(seed).multinomial(blocks, np.full(blocks, 1 / blocks), resamples)


def auc_resampled(
    unit: FloatArray, marks: BoolArray, block: IntArray, drawn: IntArray
) -> Float64Array:
    """The exact AUC of a unit's values [position] in each of the `draws`: float64 [resample].

    NaN where all that was drawn is marked, or nothing.
    """
    won = _pairs_won(unit, marks, block)
    marked = np.bincount(block[marks], minlength=len(won))
    unmarked = np.bincount(block[~marks], minlength=len(won))
    pairs = (drawn @ marked) * (drawn @ unmarked)
    areas = np.full(len(drawn), np.nan)
    np.divide(((drawn @ won) * drawn).sum(axis=1), pairs, out=areas, where=pairs > 0)
    return areas


def spearman_resampled(
    unit: FloatArray, number: NumberArray, block: IntArray, drawn: IntArray
) -> Float64Array:
    """The Spearman correlation of values [position] with a number in each of the `draws`.

    Both are ranked anew in each resample, from 32 bins of about as many positions each, a bin's
    values counting as equal: off by less than 0.01 (0.003 at most on real text). As in `spearman`,
    0 where the unit does not vary; NaN where the number does not.
    """
    cell = (block * BINS + _bins(unit)) * BINS + _bins(number)
    tables = np.bincount(cell, minlength=drawn.shape[1] * BINS**2).reshape(drawn.shape[1], -1)
    table = (drawn.astype(np.float64) @ tables).reshape(-1, BINS, BINS)
    of_unit, of_number = table.sum(axis=2), table.sum(axis=1)
    unit_ranks, number_ranks = _binned_ranks(of_unit), _binned_ranks(of_number)
    shared = ((unit_ranks[:, None] @ table)[:, 0] * number_ranks).sum(axis=1)
    unit_spread = (of_unit * unit_ranks**2).sum(axis=1)
    number_spread = (of_number * number_ranks**2).sum(axis=1)
    scale = np.sqrt(unit_spread * number_spread)
    rho = np.where(number_spread > 0, 0, np.nan)
    np.divide(shared, scale, out=rho, where=scale > 0)
    return rho


def interval(
    score: float, resampled: FloatArray, places: int, resolution: float
) -> tuple[float, float]:
    """The 95 % interval of a score between -1 and 1, from its resamples; NaN are left out.

    `places` is the number of events; `resolution` how near to 1 or -1 a score is told from it.
    """
    most = 1 - resolution
    centre = np.arctanh(np.clip(score, -most, most))
    deviation = np.nanstd(np.arctanh(np.clip(resampled, -most, most)))
    # Resamples vary about the mean of the events drawn from, which is not that of all texts.
    reach = stdtrit(places - 1, (1 + LEVEL) / 2) * deviation * np.sqrt(places / (places - 1))
    low, high = np.tanh([centre - reach, centre + reach])
    return float(min(low, score)), float(max(high, score))


def _pairs_won(unit: FloatArray, marks: BoolArray, block: IntArray) -> Float64Array:
    """float64 [block, block]: pairs of a marked position in the first block and an unmarked one in
    the second in which the marked has the higher value, a tie counting half."""
    blocks = block[-1] + 1
    different, key = np.unique(unit, return_inverse=True)
    unmarked = np.bincount(
        key[~marks] * blocks + block[~marks], minlength=len(different) * blocks
    ).reshape(len(different), blocks)
    beaten = np.cumsum(unmarked, axis=0) - unmarked / 2
    won = np.zeros((blocks, blocks))
    present, starts = np.unique(block[marks], return_index=True)
    won[present] = np.add.reduceat(beaten[key[marks]], starts, axis=0)
    return won


def _bins(values: NumberArray) -> IntArray:
    """The bin of each value, by its rank: int64 [position]; equal values share one."""
    ranks = (centred_ranks(values[None])[0] + len(values)) / (2 * len(values))
    bins: IntArray = (ranks * BINS).astype(np.int64)
    return bins


def _binned_ranks(counts: FloatArray) -> Float64Array:
    """As `centred_ranks`, of the bins: [resample, bin] from how many values are in each."""
    upto = np.cumsum(counts, axis=1)
    return 2 * upto - counts - upto[:, -1:]
