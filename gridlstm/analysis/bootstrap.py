"""How far a score would vary on other texts of the kind: a block bootstrap.

Neighbouring characters are not independent, so what is drawn again and again, with replacement, is
not characters but blocks of about 100 that follow each other. That is longer than nearly every
marked span and than most cells remember, so that blocks are nearly independent, and short enough
for a part of 10,000 characters to have 100 of them. Under some 20 blocks, or where few blocks hold
a mark, intervals come out too narrow.

Each block is first summed up; a resample then costs the same however long the blocks are.
"""

import numpy as np

from gridlstm.analysis.ranks import centred_ranks

BLOCK = 100
LEVEL = 0.95
BINS = 32


def blocks_of(length: int) -> np.ndarray:
    """The block of each position: int64 [position], from 0, all blocks of nearly equal length."""
    return np.arange(length) * max(1, length // BLOCK) // length


def draws(blocks: int, resamples: int, seed: int) -> np.ndarray:
    """How often each resample holds each block: int64 [resample, block], as many as there are."""
    return np.random.default_rng(seed).multinomial(blocks, np.full(blocks, 1 / blocks), resamples)


def auc_resampled(unit: np.ndarray, marks: np.ndarray, drawn: np.ndarray) -> np.ndarray:
    """The exact AUC of a unit's values [position] in each of the `draws`: float64 [resample].

    NaN where all that was drawn is marked, or nothing.
    """
    block = blocks_of(len(unit))
    won = _pairs_won(unit, marks, block)
    marked = np.bincount(block[marks], minlength=len(won))
    unmarked = np.bincount(block[~marks], minlength=len(won))
    pairs = (drawn @ marked) * (drawn @ unmarked)
    areas = np.full(len(drawn), np.nan)
    np.divide(((drawn @ won) * drawn).sum(axis=1), pairs, out=areas, where=pairs > 0)
    return areas


def spearman_resampled(unit: np.ndarray, number: np.ndarray, drawn: np.ndarray) -> np.ndarray:
    """The Spearman correlation of values [position] with a number in each of the `draws`.

    Both are ranked anew in each resample, from 32 bins of about as many positions each, a bin's
    values counting as equal: off by less than 0.01 (0.003 at most on real text). As in `spearman`,
    0 where the unit does not vary; NaN where the number does not.
    """
    block = blocks_of(len(unit))
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
    return np.divide(shared, scale, out=rho, where=scale > 0)


def interval(resampled: np.ndarray) -> tuple[float, float]:
    """The middle 95 % of a score's resamples; those that are NaN are left out."""
    outside = (1 - LEVEL) / 2
    low, high = np.nanquantile(resampled, (outside, 1 - outside))
    return float(low), float(high)


def _pairs_won(unit: np.ndarray, marks: np.ndarray, block: np.ndarray) -> np.ndarray:
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


def _bins(values: np.ndarray) -> np.ndarray:
    """The bin of each value, by its rank: int64 [position]; equal values share one."""
    ranks = (centred_ranks(values[None])[0] + len(values)) / (2 * len(values))
    return (ranks * BINS).astype(np.int64)


def _binned_ranks(counts: np.ndarray) -> np.ndarray:
    """As `centred_ranks`, of the bins: [resample, bin] from how many values are in each."""
    upto = np.cumsum(counts, axis=1)
    return 2 * upto - counts - upto[:, -1:]
