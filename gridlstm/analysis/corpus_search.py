"""Cells that follow a property of a text of any length: found on its first half, judged on its
second, in one pass.

As `gridlstm.analysis.held_out`, from counts instead of values: the model reads the stretches of the
first half, all units are ranked, and while it reads those of the second only the best are counted,
block by block, so that an interval follows from resampling these.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from threading import Lock
from typing import cast

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from gridlstm.analysis.bins import BINS, Bins, Calibration, Place, places
from gridlstm.analysis.bootstrap import MIN_PLACES, draws, interval
from gridlstm.analysis.held_out import Baseline, Findings, HeldOutError, Part, Split
from gridlstm.analysis.histograms import (
    NOT_COUNTED,
    Counts,
    Target,
    auc_of_counts,
    best_thresholds_of_counts,
    f1_of_counts,
    shifted_scores,
    spearman_of_counts,
)
from gridlstm.analysis.ranking import best_first, strength, unit_rows
from gridlstm.array_types import Float64Array, FloatArray, IntArray
from gridlstm.stretches import WARM_UP, Corpus, Group, Piece, Stretches, groups_of
from gridlstm.training.workers import ALONE, Workers

# Bins are fixed by the values of these positions of each stretch; before them all are still near 0.
CALIBRATED_FROM = 125
# Parts of a stretch that are drawn with replacement for an interval.
BLOCKS = 8
# A target is moved by at least so many positions.
LEAST_SHIFT = 100


@dataclass
class Search:
    """A search in progress: which half is read, how far, and the sums so far.

    `target` is of the positions of the corpus. Of the units the `top` best are judged, or the best
    of each quantity and layer. Processes share the stretches of a half. Raises HeldOutError if in
    one of the halves all or no positions are marked, or the number never varies.
    """

    corpus: Corpus
    target: Target
    quantities: Sequence[str] | None = None
    top: int = 20
    by_layer: bool = False
    seed: int = 1
    resamples: int = 1000
    shifts: int = 20
    workers: Workers = ALONE
    counts: Counts | None = None
    held: "ChosenCounts | None" = None
    groups: list[Group] = field(default_factory=list)
    split: Split = field(init=False)

    def __post_init__(self) -> None:
        self.split = split_stretches(self.corpus, self.target)

    @property
    def tokens(self) -> int:
        """How many tokens this process reads in all."""
        mine = sum(len(group.stretches) for half in (0, 1) for group in self._share(half))
        return mine * self.corpus.stretches.length

    @property
    def tokens_left(self) -> int:
        """How many of them it has not read yet."""
        length = self.corpus.stretches.length
        here = sum(len(group.stretches) * (length - group.read) for group in self.groups)
        if self.held is not None:
            return here
        if self.counts is None:
            return self.tokens
        return here + length * sum(len(group.stretches) for group in self._share(1))

    def run(self, after_round: Callable[[int], None] | None = None) -> Findings:
        """Read on to the end. What `after_round` raises goes through; then `run` goes on later."""
        length = self.corpus.stretches.length
        if self.counts is None:
            self.groups = self._share(0)
            self.begin(self._calibrated(after_round))
        assert self.counts is not None
        if self.held is None:
            self.corpus.read(self.groups, length, [self.counts], after_round)
            self.workers.add(self.counts.sums)
            self.judge()
        assert self.held is not None
        self.corpus.read(self.groups, WARM_UP, [], after_round)
        self.corpus.read(self.groups, length, [self.held], after_round)
        self.workers.add(self.held.sums)
        return self._findings()

    @property
    def places(self) -> list[Place]:
        return places(self.corpus.model.config, self.quantities)

    def begin(self, bins: Bins) -> None:
        """Have counts of the first half, none yet, in these bins."""
        within = range(self.corpus.stretches.halves[0].stop * self.corpus.stretches.length)
        random = np.random.default_rng(self.seed)
        shifts = random.integers(LEAST_SHIFT, len(within) - LEAST_SHIFT, self.shifts)
        if self.by_layer:
            shifts = shifts[:0]
        self.counts = Counts(bins, self.target, shifts.tolist(), within)
        self.groups = self.groups or self._share(0)

    def judge(self) -> None:
        """Go over to the second half, with the best units of the first."""
        assert self.counts is not None
        half = self.corpus.stretches.halves[1]
        self.held = ChosenCounts(
            self._chosen(), self.counts.bins, self.target, self.corpus.stretches, half
        )
        self.groups = self._share(1)

    def _share(self, half: int) -> list[Group]:
        """The groups of a half that this process reads."""
        groups = groups_of(self.corpus.model, self.corpus.stretches.halves[half])
        return groups[self.workers.rank :: self.workers.count]

    def _calibrated(self, after_round: Callable[[int], None] | None) -> Bins:
        calibration = Calibration(self.corpus.model.config, self.quantities)
        self.corpus.read(self.groups, CALIBRATED_FROM, [], after_round)
        self.corpus.read(self.groups, WARM_UP, [calibration], after_round)
        self.workers.add(list(calibration.counts.values()))
        return calibration.bins()

    def _measured(self) -> dict[Place, Float64Array]:
        """The AUC or correlation of each unit on the first half."""
        assert self.counts is not None
        counts, weights = self.counts, self.counts.weights.numpy()
        scores = {}
        for place, every in counts.every.items():
            arrays = every.numpy(), counts.inside[place].numpy()
            is_mark = self.target.is_mark
            scores[place] = (
                auc_of_counts(*arrays) if is_mark else spearman_of_counts(*arrays, weights)
            )
        return scores

    def _chosen(self) -> pd.DataFrame:
        measured = self._measured().items()
        rows = [unit_rows(q, layer + 1, of, self.target.measure) for (q, layer), of in measured]
        if self.by_layer:
            return pd.concat([best_first([of], top=1) for of in rows], ignore_index=True)
        return best_first(rows, self.top)

    def _findings(self) -> Findings:
        assert self.counts is not None and self.held is not None
        counts, cells = self.counts, self.held.cells
        measured = judged(self.held, self.split, self.resamples, self.seed)
        if self.target.is_mark:
            measured |= switches(counts, self.held)
        cells = cells[["layer", "quantity", "unit", "sign", "score"]]
        cells = cells.rename(columns={"score": "found"}).join(pd.DataFrame(measured))
        best = np.zeros(max(1, len(counts.shifts)))
        for place in counts.every if len(counts.shifts) else ():
            scores = strength(shifted_scores(counts, place), self.target.measure)
            best = np.maximum(best, scores.max(axis=1))
        units = sum(len(every) for every in counts.every.values())
        return Findings(cells, Baseline(best), self.split, self.target.measure, units)


class ChosenCounts:
    """Observes some units, block by block of the stretches of a half.

    `cells` are rows of a ranking; `every` and `inside` [block, cell, 256] as in `Counts`, and
    `weights` [2, block].
    """

    def __init__(
        self, cells: pd.DataFrame, bins: Bins, target: Target, stretches: Stretches, half: range
    ) -> None:
        self.cells, self.target, self.stretches, self.half = cells, target, stretches, half
        self.rows: dict[Place, IntArray] = {}
        for key, rows in cells.groupby(["quantity", "layer"], sort=False):
            quantity, layer = cast("tuple[str, int]", key)
            self.rows[quantity, layer - 1] = np.array(rows.index)
        units = cells["unit"].to_numpy()
        self.units = {place: units[rows].tolist() for place, rows in self.rows.items()}
        self.bins = bins.chosen(self.units)
        shape = BLOCKS * len(half), len(cells), BINS
        self.every, self.inside = (torch.zeros(shape, dtype=torch.float64) for _ in range(2))
        self.weights = torch.zeros(2, shape[0], dtype=torch.float64)
        self._lock = Lock()

    @property
    def sums(self) -> list[Tensor]:
        return [self.every, self.inside, self.weights]

    def see(self, piece: Piece, layer: int, values: Mapping[str, Tensor]) -> None:
        at = piece.positions.ravel()
        weights = self.target.weights[at]
        counted = np.flatnonzero(weights != NOT_COUNTED)
        block, local = np.unique(
            blocks_of(self.stretches, at[counted]) - BLOCKS * self.half.start, return_inverse=True
        )
        sums = torch.from_numpy(weights[counted].astype(np.float64))
        if layer == 0:
            squares = [np.bincount(local, of, len(block)) for of in (sums, sums.square())]
            with self._lock:
                self.weights[:, block] += torch.from_numpy(np.stack(squares))
        rows = torch.from_numpy(counted)
        for place, cells in self.rows.items():
            if place[1] == layer:
                found = self.bins.of(place, values[place[0]][..., self.units[place]])[rows]
                every, inside = (
                    _by_block(found, torch.from_numpy(local), len(block), of) for of in (None, sums)
                )
                with self._lock:
                    self.every[np.ix_(block, cells)] += every
                    self.inside[np.ix_(block, cells)] += inside


def _by_block(bins: Tensor, block: Tensor, blocks: int, weights: Tensor | None) -> Tensor:
    """As `counts_of` in each block: [block, unit, 256], given the block of each row."""
    units = bins.shape[1]
    first = (block[:, None] * units + torch.arange(units)) * BINS
    at = (first + bins).flatten()
    if weights is not None:
        weights = weights[:, None].expand_as(bins).flatten()
    return torch.bincount(at, weights, minlength=blocks * units * BINS).view(blocks, units, BINS)


def blocks_of(stretches: Stretches, positions: IntArray) -> IntArray:
    """The block that each position is in, counted over the whole text: each stretch is cut in
    eight, without its first 500 positions."""
    stretch, within = np.divmod(positions, stretches.length)
    part = (within - WARM_UP) * BLOCKS // (stretches.length - WARM_UP)
    blocks: IntArray = stretch * BLOCKS + part
    return blocks


def split_stretches(corpus: Corpus, target: Target) -> Split:
    """The halves of a text in stretches; HeldOutError where one does not tell positions apart."""
    stretches, counted = corpus.stretches, target.weights != NOT_COUNTED
    if stretches.count < 2:
        raise HeldOutError(
            f"The text of {stretches.positions:,} positions is too short to be found on one "
            "stretch and judged on another."
        )
    upto = np.concatenate(([0], np.cumsum(counted, dtype=np.int64)))
    found, held_out = (
        _part(stretches, target, upto, half, name)
        for half, name in zip(
            stretches.halves,
            ("first half, on which cells are found", "second half, on which cells are judged"),
            strict=True,
        )
    )
    event = f"each eighth of a stretch of {stretches.length:,} positions is one"
    return Split(found, held_out, event)


def _part(stretches: Stretches, target: Target, upto: IntArray, half: range, name: str) -> Part:
    """A half, once it is sure that the target tells its positions apart; `upto` counts characters
    before each position."""
    positions = np.arange(half.start * stretches.length, half.stop * stretches.length)
    positions = positions[positions % stretches.length >= WARM_UP]
    weights = target.weights[positions]
    positions, weights = (of[weights != NOT_COUNTED] for of in (positions, weights))
    if not len(weights) or (weights == weights[0]).all():
        raise HeldOutError(
            f"The property tells nothing apart in the text's {name}: choose a longer text or "
            "another."
        )
    start, end = (int(upto[stretch * stretches.length]) for stretch in (half.start, half.stop))
    if not target.is_mark:
        return Part(start, end, None, None, BLOCKS * len(half))
    rises = (np.diff(weights, prepend=0) == 1) | (np.diff(positions, prepend=0) > WARM_UP)
    inside = weights == 1
    blocks = blocks_of(stretches, positions)
    places = min(len(np.unique(blocks[inside])), len(np.unique(blocks[~inside])))
    return Part(start, end, int(inside.sum()), int((rises & inside).sum()), places)


# -- What the second half says ---------------------------------------------------------------------


def judged(held: ChosenCounts, split: Split, resamples: int, seed: int) -> dict[str, Float64Array]:
    """The measure of each cell on the second half, turned round with its sign, and its interval by
    resampling blocks; NaN where there is none."""
    every, inside, weights = (sums.numpy() for sums in held.sums)
    signs, is_mark = held.cells["sign"].to_numpy(), held.target.is_mark
    low, high = np.full((2, len(signs)), np.nan)
    scores = _signed(_score(is_mark, *(sums.sum(-3 if sums.ndim > 2 else -1) for sums in
                                       (every, inside, weights))), signs, is_mark)  # fmt: skip
    if not split.missing_interval_reason and split.held_out.places >= MIN_PLACES:
        drawn = draws(len(every), resamples, seed)
        for cell, sign in enumerate(signs):
            sums = drawn @ every[:, cell], drawn @ inside[:, cell], (drawn @ weights.T).T
            resampled = _signed(_score(is_mark, *sums), sign, is_mark)
            low[cell], high[cell] = _interval(
                scores[cell], resampled, split.held_out.places, every[:, cell].sum(), is_mark
            )
    return {"held_out": scores, "low": low, "high": high}


def _score(
    is_mark: bool, every: FloatArray, inside: FloatArray, weights: FloatArray
) -> Float64Array:
    return auc_of_counts(every, inside) if is_mark else spearman_of_counts(every, inside, weights)


def _signed(scores: Float64Array, signs: IntArray, is_mark: bool) -> Float64Array:
    turned = 1 - scores if is_mark else -scores
    return np.where(signs > 0, scores, turned)


def _interval(
    score: float, resampled: Float64Array, places: int, positions: float, is_mark: bool
) -> tuple[float, float]:
    """As `bootstrap.Bootstrap.interval`, from resampled scores."""
    if not is_mark:
        return interval(score, resampled, places, 1 / positions)
    low, high = interval(2 * score - 1, 2 * resampled - 1, places, 1 / positions)
    return (low + 1) / 2, (high + 1) / 2


def switches(counts: Counts, held: ChosenCounts) -> dict[str, Float64Array]:
    """The best threshold of each cell on the first half, and F1 with it on both."""
    signs = held.cells["sign"].to_numpy()
    first_every, first_inside = np.zeros((2, len(signs), BINS))
    for place, rows in held.rows.items():
        first_every[rows] = counts.every[place][held.units[place]].numpy()
        first_inside[rows] = counts.inside[place][held.units[place]].numpy()
    bins, found = best_thresholds_of_counts(first_every, first_inside, signs)
    thresholds = np.empty(len(signs))
    for place, rows in held.rows.items():
        for row, unit in zip(rows, held.units[place], strict=True):
            lowest = counts.bins.lowest_values(place, unit)
            # Up to a bin means under the next one's lowest value.
            at = bins[row] if signs[row] > 0 else bins[row] + 1
            thresholds[row] = lowest[min(at, BINS - 1)]
    every, inside = (sums.sum(0).numpy() for sums in (held.every, held.inside))
    held_out = f1_of_counts(every, inside, signs, bins)
    return {"threshold": thresholds, "f1_found": found, "f1_held_out": held_out}
