"""What is counted for a profile while a model reads a corpus in stretches.

Shapes: T positions, B stretches, U units, K contexts, P properties.
"""

from collections.abc import Mapping, Sequence
from threading import Lock

import numpy as np
import torch
from torch import Tensor

from gridlstm.analysis.bins import BINS, Bins, Place
from gridlstm.analysis.profile.profile import (
    AFTER,
    BEFORE,
    HISTOGRAM_BINS,
    NO_VALUE,
    STEPS,
    WINDOW,
)
from gridlstm.architectures import GATE_KINDS
from gridlstm.array_types import BoolArray, Float32Array, IntArray
from gridlstm.stretches import Piece, Stretches

# The highest value of so many positions is a candidate for a context.
CANDIDATE_WINDOW = 128
ON_GATE, OFF_GATE, ON = 0.9, 0.1, 0.5
# What a property weighs where it holds in full.
LARGEST_WEIGHT = 255


def kind_of_quantity(quantity: str) -> str:
    return quantity.rsplit(".", 1)[-1]


def shown(values: Tensor, quantity: str) -> Tensor:
    """Memories as tanh, all else as it is, within -1 to 1."""
    if kind_of_quantity(quantity) == "cell":
        return values.tanh()
    return values.clamp(-1, 1)


def quantised(values: Tensor) -> Tensor:
    return (values * STEPS).round().to(torch.int8)


class Histograms:
    """Counts the shown values of all quantities in equal steps: `counts` int64 [U, 32] by place,
    `above` and `below` int64 [U], at the positions that end a character."""

    def __init__(self, places: Sequence[Place], units: int, ends: BoolArray) -> None:
        self.ends = ends
        self.counts = {of: torch.zeros(units, HISTOGRAM_BINS, dtype=torch.int64) for of in places}
        self.above = {of: torch.zeros(units, dtype=torch.int64) for of in places}
        self.below = {of: torch.zeros(units, dtype=torch.int64) for of in places}
        self._lock = Lock()

    def see(self, piece: Piece, layer: int, values: Mapping[str, Tensor]) -> None:
        counted = torch.from_numpy(np.flatnonzero(self.ends[piece.positions.ravel()]))
        for place, whole in self.counts.items():
            quantity, of = place
            if of != layer:
                continue
            is_gate = kind_of_quantity(quantity) in GATE_KINDS
            rows = shown(values[quantity], quantity).flatten(0, 1)[counted]
            low, high = (OFF_GATE, ON_GATE) if is_gate else (-ON, ON)
            part = rows if is_gate else (rows + 1) / 2
            bins = (part * HISTOGRAM_BINS).long().clamp_(0, HISTOGRAM_BINS - 1)
            units = rows.shape[1]
            at = bins + torch.arange(units) * HISTOGRAM_BINS
            found = torch.bincount(at.flatten(), minlength=units * HISTOGRAM_BINS)
            with self._lock:
                whole += found.view(units, HISTOGRAM_BINS)
                self.above[place] += (rows > high).sum(0)
                self.below[place] += (rows < low).sum(0)


class Extremes:
    """Keeps, of each unit, the places of its `count` highest values, one for each window of 128
    positions of a stretch; with the sign -1 its lowest. `values` float32 and `positions` int64
    [count, U] by place."""

    def __init__(self, places: Sequence[Place], units: int, count: int, sign: int,
                 stretches: Stretches) -> None:  # fmt: skip
        self.sign, self.stretches = sign, stretches
        self.values = {of: torch.full((count, units), -torch.inf) for of in places}
        self.positions = {of: torch.full((count, units), -1) for of in places}
        self._lock = Lock()

    def see(self, piece: Piece, layer: int, values: Mapping[str, Tensor]) -> None:
        within = piece.positions[:, 0] % self.stretches.length
        # So that a context ends before its stretch does.
        allowed = np.flatnonzero(within < self.stretches.length - AFTER)
        windows = within[allowed] // CANDIDATE_WINDOW
        parts = np.split(allowed, np.flatnonzero(np.diff(windows)) + 1)
        for place in self.values:
            if place[1] != layer:
                continue
            signed = values[place[0]] * self.sign
            for part in parts:
                if len(part):
                    best, at = signed[part[0] : part[-1] + 1].max(0)
                    first = torch.from_numpy(piece.positions[part[0]])[:, None]
                    self._merge(place, best, at + first)

    def _merge(self, place: Place, values: Tensor, positions: Tensor) -> None:
        with self._lock:
            together = torch.cat((self.values[place], values))
            at = torch.cat((self.positions[place], positions))
            best, order = together.topk(len(self.values[place]), dim=0)
            self.values[place] = best
            self.positions[place] = at.gather(0, order)


class Sampled:
    """Keeps the values at chosen positions, rising: by place float32 [position, U]."""

    def __init__(self, places: Sequence[Place], units: int, positions: IntArray) -> None:
        self.positions = positions
        self.values = {of: torch.zeros(len(positions), units) for of in places}

    def see(self, piece: Piece, layer: int, values: Mapping[str, Tensor]) -> None:
        for column, (first, last) in enumerate(piece.positions[[0, -1]].T):
            low, high = np.searchsorted(self.positions, (first, last + 1))
            rows = torch.from_numpy(self.positions[low:high] - first)
            for (quantity, of), whole in self.values.items():
                if of == layer:
                    whole[low:high] = values[quantity][rows, column]


class ContextValues:
    """Keeps the values round each context: int8 [U, K, 81] by place, of `contexts` int [U, K]."""

    def __init__(self, contexts: Mapping[Place, IntArray], stretches: Stretches) -> None:
        self.stretches = stretches
        self.values: dict[Place, IntArray] = {}
        self._sorted: dict[Place, tuple[IntArray, IntArray]] = {}
        for place, of in contexts.items():
            self.values[place] = np.full((*of.shape, WINDOW), NO_VALUE, np.int8)
            order = np.argsort(of, axis=None, kind="stable")
            self._sorted[place] = of.ravel()[order], order

    def see(self, piece: Piece, layer: int, values: Mapping[str, Tensor]) -> None:
        for place, (positions, order) in self._sorted.items():
            quantity, of = place
            if of != layer:
                continue
            codes = quantised(shown(values[quantity], quantity)).numpy()
            kept = self.values[place].reshape(-1, WINDOW)
            contexts = self.values[place].shape[1]
            for column, (first, last) in enumerate(piece.positions[[0, -1]].T):
                # Of this stretch alone, though the text goes on without a gap.
                stretch = int(first) // self.stretches.length
                begin = max(int(first) - AFTER, stretch * self.stretches.length)
                end = min(int(last) + BEFORE, (stretch + 1) * self.stretches.length - 1)
                low, high = np.searchsorted(positions, (begin, end + 1))
                at = positions[low:high, None] - BEFORE + np.arange(WINDOW)
                row, offset = np.nonzero((at >= first) & (at <= last))
                which = order[low:high][row]
                kept[which, offset] = codes[at[row, offset] - first, column, which // contexts]


class RankSums:
    """Sums, inside each property or weighted by it, the ranks that units' values have among all of
    a half: float64 [(1 + shifts) * P, U] by place, first of the properties as they are, then of all
    moved by each shift along the text. `ranks` float32 [U, 256] are those of each bin, `weights`
    uint8 [P, position] of each property from 0 to 255, `ends` those positions that count.
    """

    def __init__(
        self,
        bins: Bins,
        ranks: Mapping[Place, Float32Array],
        weights: IntArray,
        shifts: Sequence[int],
        ends: BoolArray,
    ) -> None:
        self.bins, self.weights, self.ends = bins, weights, ends
        self.moves = (0, *shifts)
        self.ranks = {place: torch.from_numpy(of).flatten() for place, of in ranks.items()}
        rows = len(weights) * len(self.moves)
        self.sums = {
            place: torch.zeros(rows, len(of), dtype=torch.float64) for place, of in ranks.items()
        }
        # Of each row the sum of its weights and of their squares.
        self.weight, self.square = torch.zeros(2, rows, dtype=torch.float64)
        self._lock = Lock()

    def see(self, piece: Piece, layer: int, values: Mapping[str, Tensor]) -> None:
        at = piece.positions.ravel()
        counted = np.flatnonzero(self.ends[at])
        moved = [(at[counted] + move) % self.weights.shape[1] for move in self.moves]
        whole = np.concatenate([self.weights[:, of] for of in moved])
        weights = torch.from_numpy(whole.astype(np.float32) / LARGEST_WEIGHT)
        if layer == min(of for _, of in self.sums):
            with self._lock:
                self.weight += weights.double().sum(1)
                self.square += weights.double().square().sum(1)
        rows = torch.from_numpy(counted)
        for place, sums in self.sums.items():
            if place[1] != layer:
                continue
            bins = self.bins.of(place, values[place[0]])[rows].int()
            first = torch.arange(bins.shape[1], dtype=torch.int32) * BINS
            ranks = self.ranks[place][(bins + first).long()]
            found = (weights @ ranks).double()
            with self._lock:
                sums += found
