"""The 256 bins in which the values of each unit are counted while a long text is read.

Which these are is fixed before counting starts, from the values at the beginning of each stretch,
whose positions no sum holds: most bins are to have about as many values as the others. An AUC from
bins, ties within a bin counting half, is off by at most half the largest share of outside positions
that a bin holds: 0.002 where all hold as many.

On the way there a value gets one of 2,048 fine codes, which rise with it and are nearest to each
other where gates and states differ by little but in a way that matters: towards 0, and of what is
bounded towards 1. They are read off the bits of a float32: exponent first, then the mantissa.

Shapes: T positions, B stretches, U units.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from threading import Lock

import numpy as np
import torch
from torch import Tensor

from gridlstm.architectures import GATE_KINDS
from gridlstm.array_types import Float64Array
from gridlstm.config import ModelConfig
from gridlstm.stretches import Piece

BINS = 256
FINE = 2048
# Fine codes tell magnitudes from 2^-16 to 2^16.
OCTAVES = 16
# These shares of a unit's bins, of what is bounded and of what is not, are spread evenly over the
# values seen so far and half as far again on both sides: a slow unit has seen little of its range.
EVENLY, EVENLY_UNBOUNDED, MARGIN = 0.06, 0.25, 0.5
# A quantity of a layer, counted from 0.
Place = tuple[str, int]


def places(config: ModelConfig, quantities: Sequence[str] | None = None) -> list[Place]:
    """Every quantity (of those given) in every layer."""
    return [(q, layer) for q in quantities or config.quantities for layer in range(config.layers)]


# -- Codes -----------------------------------------------------------------------------------------


def fine_codes(values: Tensor, kind: str) -> Tensor:
    """Values float32 of a kind of quantity ("forget", "hidden", "cell", ...) -> int32 of the same
    shape, from 0 to 2,047, that rise with them."""
    if kind in GATE_KINDS:
        return _magnitude(values / (1 - values), FINE // 2 // OCTAVES)
    size = values.abs()
    if _is_bounded(kind):
        # What is not bounded after all (minGRU, a ReLU) loses its order beyond 1.
        size = size.div_((1 - size).clamp_(min=2.0**-OCTAVES))
    codes = _magnitude(size, FINE // 4 // OCTAVES)
    # All bits of a negative number's sign are set, and turn n into -n - 1.
    return codes.bitwise_xor_(values.contiguous().view(torch.int32) >> 31).add_(FINE // 2)


def _is_bounded(kind: str) -> bool:
    return kind in (*GATE_KINDS, "hidden", "candidate")


def _magnitude(sizes: Tensor, an_octave: int) -> Tensor:
    """Codes from 0 of positive numbers from 2^-16 to 2^16, so many an octave (a power of 2)."""
    bits = an_octave.bit_length() - 1
    codes = sizes.contiguous().view(torch.int32).bitwise_right_shift_(23 - bits)
    lowest = (127 - OCTAVES) << bits
    return codes.sub_(lowest).clamp_(0, 2 * OCTAVES * an_octave - 1)


def fine_values(kind: str) -> Float64Array:
    """The lowest value of each fine code: float64 [code], rising."""
    if kind in GATE_KINDS:
        odds = _sizes(FINE // 2 // OCTAVES)
        gates: Float64Array = odds / (1 + odds)
        return gates
    size = _sizes(FINE // 4 // OCTAVES)
    if _is_bounded(kind):
        size = size / (1 + size)
    # Code n of the negative ones holds -size[n + 1] to -size[n]: its lowest value is the former.
    return np.concatenate((-np.append(size[1:], np.inf)[::-1], size))


def _sizes(an_octave: int) -> Float64Array:
    exponent, part = np.divmod(np.arange(2 * OCTAVES * an_octave), an_octave)
    sizes: Float64Array = 2.0 ** (exponent - OCTAVES) * (1 + part / an_octave)
    sizes[0] = 0
    return sizes


# -- Bins ------------------------------------------------------------------------------------------


class Calibration:
    """Observes how often units have which fine code, to fix their bins."""

    def __init__(self, config: ModelConfig, quantities: Sequence[str] | None = None) -> None:
        self.config = config
        self.counts = {
            (q, layer): torch.zeros(config.width(q) * FINE, dtype=torch.int16)
            for q, layer in places(config, quantities)
        }
        self._lock = Lock()

    def see(self, piece: Piece, layer: int, values: Mapping[str, Tensor]) -> None:
        for (quantity, of), counts in self.counts.items():
            if of == layer:
                found = _counted(_fine_places(quantity, values[quantity]), len(counts))
                with self._lock:
                    counts += found

    def bins(self) -> "Bins":
        """The bins that follow. The counts are given up: they take more room than all else."""
        tables = {}
        for place in list(self.counts):
            counts = self.counts.pop(place).view(-1, FINE)
            tables[place] = bin_tables(counts, _kind(place[0]))
        return Bins(tables)


def bin_tables(counts: Tensor, kind: str) -> Tensor:
    """The bin of each fine code: uint8 [unit * 2,048], from how often each unit had it
    [unit, 2,048]."""
    seen = counts.float()
    widths = torch.ones(FINE)
    if not _is_bounded(kind):
        widths = torch.from_numpy(np.diff(fine_values(kind), append=2.0**OCTAVES)).float()
        widths[0] = widths[-1]
    at = widths.cumsum(0)
    first, last = (at[index] for index in ((seen > 0).int().argmax(1), _last(seen > 0)))
    margin = MARGIN * (last - first)
    evenly = widths * ((at >= (first - margin)[:, None]) & (at <= (last + margin)[:, None]))
    spread = EVENLY if _is_bounded(kind) else EVENLY_UNBOUNDED
    share = seen * ((1 - spread) / seen.sum(1, keepdim=True))
    share += evenly * (spread / evenly.sum(1, keepdim=True))
    middle = share.cumsum(1) - share / 2
    return (middle * BINS).clamp_(0, BINS - 1).to(torch.uint8).flatten()


def _last(seen: Tensor) -> Tensor:
    return FINE - 1 - seen.flip(1).int().argmax(1)


@dataclass(frozen=True)
class Bins:
    """The bins of every unit: of each place a table uint8 [unit * 2,048] (see `bin_tables`)."""

    tables: dict[Place, Tensor]

    def of(self, place: Place, values: Tensor) -> Tensor:
        """Values [T, B, U] -> uint8 [T * B, U]: the bin of each."""
        fine = _fine_places(place[0], values)
        return self.tables[place].index_select(0, fine.flatten()).view(fine.shape)

    def chosen(self, units: Mapping[Place, Sequence[int]]) -> "Bins":
        """Those of some units alone, for values [T, B, chosen unit]."""
        return Bins(
            {
                place: self.tables[place].view(-1, FINE)[list(of)].flatten()
                for place, of in units.items()
            }
        )

    def lowest_values(self, place: Place, unit: int) -> Float64Array:
        """The lowest value of each bin of a unit: float64 [256], rising; of a bin that none falls
        in, that of the next. What lies under the first counts in it."""
        table = self.tables[place].view(-1, FINE)[unit].numpy()
        lowest = fine_values(_kind(place[0]))
        first = np.searchsorted(table, np.arange(BINS))
        return np.append(lowest, np.inf)[first]


def _kind(quantity: str) -> str:
    return quantity.rsplit(".", 1)[-1]


def _fine_places(quantity: str, values: Tensor) -> Tensor:
    """[T, B, U] -> int32 [T * B, U]: fine codes, plus 2,048 for each unit before."""
    rows = values.flatten(0, 1)
    units = torch.arange(rows.shape[1], dtype=torch.int32, device=rows.device)
    return fine_codes(rows, _kind(quantity)).add_(units * FINE)


def _counted(fine_places: Tensor, length: int) -> Tensor:
    return torch.bincount(fine_places.flatten(), minlength=length).to("cpu", torch.int16)


def counts_of(bins: Tensor, weights: Tensor | None = None) -> Tensor:
    """How often each bin of each unit is in `bins` uint8 [row, unit]: int64 [unit, 256]; or the sum
    of the `weights` float64 [row] of its rows, float64."""
    rows, units = bins.shape
    first = torch.arange(units, dtype=torch.int32, device=bins.device) * BINS
    at = bins.to(torch.int32).add_(first).flatten()
    if weights is not None:
        weights = weights[:, None].expand(rows, units).flatten()
    return torch.bincount(at, weights, minlength=units * BINS).view(units, BINS)
