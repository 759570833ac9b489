"""How often each unit has which value, over a text and inside a property of it, counted while it is
read; and what follows from these counts: AUC, Spearman's correlation, the best threshold.

All sums are of whole numbers, so they are the same however a text is cut into pieces or shared by
processes. Shapes: U units, S shifts, 256 bins (`gridlstm.analysis.bins`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from threading import Lock

import numpy as np
import torch
from torch import Tensor

from gridlstm.analysis.bins import BINS, FINE, Bins, Place, counts_of
from gridlstm.array_types import (
    BoolArray,
    Float64Array,
    FloatArray,
    IntArray,
    NumberArray,
    are_marks,
)
from gridlstm.stretches import Piece

# A number is told from others by its rank among so many.
RANKS = 1024
# A rank is taken for a polynomial of this degree in the bin, where targets are shifted.
DEGREE = 5
# In a `Target`, of a position that is not counted: no character ends there.
NOT_COUNTED = -1


@dataclass(frozen=True)
class Target:
    """What units are held against, of each position of a text: int16 [position].

    Of marks 1 inside and 0 outside; of a number its rank from 0 to 1,023. -1 where no character
    ends, or where it is not read: these positions are not counted.
    """

    weights: IntArray
    is_mark: bool

    @property
    def measure(self) -> str:
        return "auc" if self.is_mark else "rho"


def target_of(measured: NumberArray, ends: BoolArray) -> Target:
    """From what a property gives for each character that is read, bool or numbers [character];
    `ends` bool [position] says where each of them ends."""
    weights = np.asarray(measured)
    if not are_marks(weights):
        different, which = np.unique(weights, return_inverse=True)
        counts = np.bincount(which, minlength=len(different))
        middle = np.cumsum(counts) - counts / 2
        weights = (middle / len(measured) * RANKS).astype(np.int16)[which]
    of_position = np.full(len(ends), NOT_COUNTED, np.int16)
    of_position[ends] = weights
    return Target(of_position, are_marks(np.asarray(measured)))


# -- Counting --------------------------------------------------------------------------------------


class Counts:
    """Observes how often units have which value, and, if there is a target, with which sum of its
    weights: of marks that is how often inside. Also the sums of bins for shifted targets.

    By place: `every` and `inside` [U, 256]; `shifted` [5, S, U], the sums of the first to fifth
    powers of bins over what each shift marks, or weighted by it. `weights` [2] the sum of the
    target's weights and of their squares; `of_shifts` [S] the sum of each shift's.
    """

    def __init__(
        self,
        bins: Bins,
        target: Target | None = None,
        shifts: Sequence[int] = (),
        within: range = range(0),
    ) -> None:
        """Shifts move the target round the positions `within`."""
        self.bins, self.target, self.shifts, self.within = (
            bins,
            target,
            np.asarray(shifts, np.int64),
            within,
        )
        shapes = {place: (len(table) // FINE, BINS) for place, table in bins.tables.items()}
        self.every = {place: torch.zeros(of, dtype=torch.int32) for place, of in shapes.items()}
        kind = torch.int32 if target is None or target.is_mark else torch.float64
        wanted = {} if target is None else shapes
        self.inside = {place: torch.zeros(of, dtype=kind) for place, of in wanted.items()}
        self.shifted = {
            place: torch.zeros(DEGREE, len(shifts), of[0], dtype=torch.float64)
            for place, of in wanted.items()
        }
        self.weights = torch.zeros(2, dtype=torch.float64)
        self.of_shifts = torch.zeros(len(shifts), dtype=torch.float64)
        self._lock = Lock()

    @property
    def sums(self) -> list[Tensor]:
        """All tensors that are counted in, to be added up over processes, saved or put back."""
        by_place = (self.every, self.inside, self.shifted)
        return [*(t for of in by_place for t in of.values()), self.weights, self.of_shifts]

    def see(self, piece: Piece, layer: int, values: Mapping[str, Tensor]) -> None:
        here = [place for place in self.every if place[1] == layer]
        rows = self._rows(piece)
        if layer == min(of for _, of in self.every):
            squares = torch.stack((rows.weights.sum(), rows.weights.square().sum()))
            of_shifts = rows.shifted.double().sum(1)
            with self._lock:
                self.weights += squares
                self.of_shifts += of_shifts
        for place in here:
            found = self.bins.of(place, values[place[0]])
            every, inside, shifted = self._count(found, rows)
            with self._lock:
                self.every[place] += every
                if inside is not None:
                    self.inside[place] += inside
                if shifted is not None:
                    self.shifted[place] += shifted

    def _count(self, found: Tensor, rows: "_Rows") -> tuple[Tensor, Tensor | None, Tensor | None]:
        """Of bins uint8 [row, U]: how often each is there, and inside, and the shifts' sums."""
        every = counts_of(found)
        if len(rows.left_out):
            every -= counts_of(found[rows.left_out])
        inside = None
        if self.target is not None and self.target.is_mark:
            inside = counts_of(found[rows.marked]) if len(rows.marked) else None
        elif self.target is not None:
            inside = counts_of(found, rows.weights)
        shifted = None
        if len(rows.of_any):
            shifted = _sums_of_powers(found[rows.of_any], rows.shifted)
        return every, inside, shifted

    def _rows(self, piece: Piece) -> "_Rows":
        at = piece.positions.ravel()
        if self.target is None:
            none = torch.zeros(0, dtype=torch.int64)
            return _Rows(none, none.double(), none, none, torch.zeros(len(self.shifts), 0))
        weights = self.target.weights[at]
        counted = weights != NOT_COUNTED
        begin, length = self.within.start, max(1, len(self.within))
        moved = (at - begin + self.shifts[:, None]) % length + begin
        shifted = np.where(counted, np.maximum(self.target.weights[moved], 0), 0)
        of_any = np.flatnonzero(shifted.any(axis=0))
        return _Rows(
            torch.from_numpy(np.flatnonzero(~counted)),
            torch.from_numpy(np.maximum(weights, 0).astype(np.float64)),
            torch.from_numpy(np.flatnonzero(weights > 0)),
            torch.from_numpy(of_any),
            torch.from_numpy(shifted[:, of_any].astype(np.float32)),
        )


def _sums_of_powers(bins: Tensor, weights: Tensor) -> Tensor:
    """Of bins uint8 [row, U], scaled to -1 to 1, the sums of each power that weights [S, row] give:
    [5, S, U]."""
    power = scaled = bins.float().mul_(2 / BINS).sub_(1)
    sums = [weights @ scaled]
    for _ in range(DEGREE - 1):
        power = power * scaled
        sums.append(weights @ power)
    return torch.stack(sums)


@dataclass(frozen=True)
class _Rows:
    """Rows of a piece: those `left_out`, as not counted, the target's `weights` of all (0 of
    these), those `marked`, those `of_any` shift, and the `shifted` weights of these [S, row]."""

    left_out: Tensor
    weights: Tensor
    marked: Tensor
    of_any: Tensor
    shifted: Tensor


# -- Scores ----------------------------------------------------------------------------------------


def auc_of_counts(every: FloatArray, inside: FloatArray) -> Float64Array:
    """The area under the ROC curve of each unit [...], from how often its values are in each bin,
    in all and inside [..., 256]; NaN where all positions are inside, or none."""
    inside = np.asarray(inside, np.float64)
    outside = every - inside
    beaten = np.cumsum(outside, axis=-1) - outside / 2
    pairs = inside.sum(-1) * outside.sum(-1)
    areas = np.full(pairs.shape, np.nan)
    np.divide((inside * beaten).sum(-1), pairs, out=areas, where=pairs > 0)
    return areas


def spearman_of_counts(
    every: FloatArray, weighted: FloatArray, weights: FloatArray
) -> Float64Array:
    """Each unit's Spearman correlation [...] with a number, from how often its values are in each
    bin, and the sums of the number's ranks there [..., 256]. `weights` [2, ...]: the sum of these
    ranks and of their squares. 0 for what never varies."""
    total = every.sum(-1)
    ranks = centred_bin_ranks(every)
    shared = (ranks * weighted).sum(-1)
    spread = (every * ranks**2).sum(-1) * centred_square(weights, total)
    scale, rho = np.sqrt(spread), np.zeros(shared.shape)
    np.divide(shared, scale, out=rho, where=scale > 0)
    return rho


def centred_bin_ranks(every: FloatArray) -> Float64Array:
    """Twice the mean rank of the values in each bin, less its mean [..., 256]: as
    `gridlstm.analysis.ranks.centred_ranks`."""
    counts = np.asarray(every, np.float64)
    upto = np.cumsum(counts, axis=-1)
    ranks: Float64Array = 2 * upto - counts - upto[..., -1:]
    return ranks


def best_thresholds_of_counts(
    every: FloatArray, inside: FloatArray, signs: IntArray
) -> tuple[IntArray, Float64Array]:
    """The bin [unit] from which each unit is on (with the sign -1: up to which), so that F1 is
    highest, and that F1; of equally good ones the strictest."""
    turn = (signs == -1)[:, None]
    falling = [np.where(turn, counts, counts[:, ::-1]).cumsum(1) for counts in (every, inside)]
    on, hits = falling
    f1 = 2 * hits / (inside.sum(1, keepdims=True) + on)
    best = f1.argmax(axis=1)
    bins = np.where(signs == -1, best, BINS - 1 - best)
    return bins, np.take_along_axis(f1, best[:, None], axis=1)[:, 0]


def f1_of_counts(
    every: FloatArray, inside: FloatArray, signs: IntArray, bins: IntArray
) -> Float64Array:
    """F1 [unit] of being on from those bins (with the sign -1: up to them)."""
    order = np.arange(BINS)
    is_on = np.where(signs[:, None] == -1, order <= bins[:, None], order >= bins[:, None])
    on, hits = ((counts * is_on).sum(1) for counts in (every, inside))
    f1: Float64Array = 2 * hits / (inside.sum(1) + on)
    return f1


def shifted_scores(counts: Counts, place: Place) -> Float64Array:
    """What each unit would score for each shifted target: the AUC or correlation [S, U].

    A rank is taken for the polynomial of the bin that fits the ranks of all values best: so no
    histogram is needed of each shift. (Off by less than 0.02, and the best unit's by less than
    0.01, on shipped models.)
    """
    every = counts.every[place].numpy().astype(np.float64)
    total, ranks = every.sum(1), centred_bin_ranks(every) / 2
    powers = (np.arange(BINS) * (2 / BINS) - 1)[:, None] ** np.arange(DEGREE + 1)
    products = (every @ (powers[:, :, None] * powers[:, None]).reshape(BINS, -1)).reshape(
        -1, DEGREE + 1, DEGREE + 1
    )
    # A unit in one bin has no polynomial; the least of ridges leaves it none.
    products += 1e-9 * total[:, None, None] * np.eye(DEGREE + 1)
    fit = np.linalg.solve(products, ((every * ranks) @ powers)[..., None])[..., 0]
    weight = counts.of_shifts.numpy()[:, None]
    shared = weight * fit[:, 0] + np.einsum("dsu,ud->su", counts.shifted[place].numpy(), fit[:, 1:])
    assert counts.target is not None
    if counts.target.is_mark:
        areas: Float64Array = 0.5 + shared / np.maximum(weight * (total - weight), 1)
        return np.clip(areas, 0, 1)
    spread = (every * ranks**2).sum(1) * centred_square(counts.weights.numpy(), total)
    scale, rho = np.broadcast_to(np.sqrt(spread), shared.shape), np.zeros(shared.shape)
    np.divide(shared, scale, out=rho, where=scale > 0)
    return rho


def centred_square(sums: FloatArray, total: FloatArray) -> Float64Array:
    """The sum of squares about the mean, from the sums of numbers and of their squares [2, ...]."""
    square: Float64Array = np.maximum(sums[1] - sums[0] ** 2 / np.maximum(total, 1), 0)
    return square
