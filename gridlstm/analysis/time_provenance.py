"""When a time memory was written, `c_t = sum_s (prod_{s<r<=t} f_r) * i_s * g_s`, and how long
writes last.

The memory starts at 0 before the text, so the sum is all of it. A position is a token; what is
counted in characters says so. Shares add up to the cell of the same trace within 1e-4 if the trace
is in float32.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from gridlstm.analysis.chunks import chunks
from gridlstm.analysis.provenance import LSTM_TIME, carried, check_direction, check_index, held
from gridlstm.architectures import Memory
from gridlstm.array_types import BoolArray, Float32Array, FloatArray, IntArray
from gridlstm.direction import Direction, unit_direction
from gridlstm.progress import Progress

# Halves are told to a billionth: sums of logarithms of gates are not exact.
TOLERANCE = 1e-9


@dataclass(frozen=True)
class HalfLives:
    """`half_life` int64 [layer, unit]; where `censored` bool [layer, unit], it is longer than that.

    Counted in the steps that `half_lives` was asked for: tokens or characters.
    """

    half_life: IntArray
    censored: BoolArray


def time_shares(
    values: Mapping[str, FloatArray],
    layer: int,
    unit: int,
    position: int,
    memory: Memory = LSTM_TIME,
) -> Float32Array:
    """What each position so far wrote of a memory's value at `position`: float32 [position + 1].

    `values` are a trace's; `layer`, `unit` and `position` are indices from 0. Each share is signed
    and in the units of the memory, to which they add up. `memory` says which quantities make
    it, the LSTM's unless given. Raises ProvenanceError if the trace lacks
    a gate of the time memory, or there is no such layer, unit or position.
    """
    layers, _, units = carried(values, memory).keep.shape
    check_index("layer", layer, layers)
    check_index("unit", unit, units)
    of_unit = unit_direction(memory.cell, layer + 1, unit, units)
    return direction_time_shares(values, of_unit, position, memory)


def direction_time_shares(
    values: Mapping[str, FloatArray],
    direction: Direction,
    position: int,
    memory: Memory = LSTM_TIME,
) -> Float32Array:
    """What each position so far wrote of what is along a direction at `position`: float32
    [position + 1], which add up to it. Of a direction in all layers, added up over these. Arguments
    and errors as for `time_shares`; ProvenanceError if the direction is not over this memory.
    """
    parts = carried(values, memory)
    weights, units = check_direction(direction, parts, memory)
    check_index("position", position, parts.keep.shape[1])
    shares = np.zeros(position + 1)
    for layer in map(int, np.flatnonzero(weights.any(axis=1))):
        left = weights[layer].astype(np.float64)  # of what a position writes, at the last one
        for part in reversed(list(chunks(position + 1, len(left)))):
            kept = parts.kept((layer, part, units))
            before = np.zeros_like(kept)  # the memory that each position gets
            before[max(0, 1 - part.start) :] = parts.value(
                (layer, slice(max(0, part.start - 1), part.stop - 1), units)
            )
            written = parts.written((layer, part, units), before)
            passed = np.cumprod(np.vstack((left, kept[::-1])), axis=0)[::-1]
            shares[part] += (written * passed[1:]).sum(axis=1)
            left = passed[0]
    return shares.astype(np.float32)


def by_character(
    shares: FloatArray, last_token: IntArray, skipped: BoolArray | None = None
) -> FloatArray:
    """What each character wrote, the sum over its tokens: [character], up to that of the position,
    0 of those that are `skipped` bool [character].

    `shares` [position + 1] are of `time_shares`, `last_token` int [character] is the text's. What
    the token before a text wrote, if the model has one, counts as the first character's.
    """
    is_read = np.ones(len(last_token), bool) if skipped is None else ~skipped
    first = last_token.copy()
    first[is_read] = np.concatenate(([0], last_token[is_read][:-1] + 1))
    until = np.count_nonzero(first < len(shares))
    first, is_read = first[:until], is_read[:until]
    written = np.zeros(until, shares.dtype)
    if is_read.any():
        written[is_read] = np.add.reduceat(shares, first[is_read])
    return written


def half_lives(
    values: Mapping[str, FloatArray],
    positions: IntArray | None = None,
    progress: Progress | None = None,
    memory: Memory = LSTM_TIME,
) -> HalfLives:
    """After how many steps half of a write is left, for every unit of every layer.

    For a write at one place of the text it is the least number of following steps, at least 1, over
    which the product of the forget gates is a half or less. A unit's half-life is the median over
    all places. Steps are tokens, or characters if `positions` int [character] gives the position
    that stands for each (an encoded text's `last_token`); the gates of all between are passed
    then.

    A write near the end of the text may not be seen to fall to a half. It counts among those that
    last for as far as it is seen, and not after: the median is that of the Kaplan-Meier estimate
    (1958) of how long writes last. If that stays above a half, the unit is censored, and its
    half-life is longer than the number given, the most steps over which a write was seen. How much
    is written does not matter.

    Needs what keeps the memory only, in float32: in float16 a gate within 0.00025 of 1 is rounded
    to 1, and half-lives of more than a few hundred steps are not to be trusted. Raises
    ProvenanceError if the trace does not hold it.
    """
    forget = held(values, memory.keep)
    layers, length, units = forget.shape
    half_life = np.zeros((layers, units), np.int64)
    censored = np.zeros((layers, units), bool)
    for layer in range(layers):
        for part in chunks(units, length):
            decay = _decay(forget[layer, :, part])
            places = decay if positions is None else decay[:, positions]
            for unit, of_unit in enumerate(places, start=part.start):
                half_life[layer, unit], censored[layer, unit] = _half_life(of_unit)
            if progress:
                progress((layer + part.stop / units) / layers)
    return HalfLives(half_life, censored)


def half_life_frame(found: HalfLives) -> pd.DataFrame:
    """A row a unit, the longest half-lives first: layer (from 1), unit, half_life, censored.

    Censored units, which last longer than `half_life` says, come before all others.
    """
    layers, units = found.half_life.shape
    frame = pd.DataFrame(
        {
            "layer": np.repeat(np.arange(1, layers + 1), units),
            "unit": np.tile(np.arange(units), layers),
            "half_life": found.half_life.ravel(),
            "censored": found.censored.ravel(),
        }
    )
    return frame.sort_values(
        ["censored", "half_life"], ascending=False, kind="stable", ignore_index=True
    )


def _decay(forget: FloatArray) -> FloatArray:
    """What all gates so far take, in logarithms: float64 [unit, position] of [position, unit].

    A gate under a half halves whatever comes, so it counts as a half: no logarithm is infinite.
    """
    decay = np.ascontiguousarray(forget.T, dtype=np.float64)
    np.maximum(decay, 0.5, out=decay)
    np.log(decay, out=decay)
    np.cumsum(decay, axis=1, out=decay)
    return np.negative(decay, out=decay)


def _half_life(decay: FloatArray) -> tuple[int, bool]:
    """The half-life of one unit, and whether it is longer, from its decay [place]."""
    places = len(decay)
    halved_at = np.searchsorted(decay, decay + (np.log(2) - TOLERANCE))
    seen_to_halve = np.searchsorted(halved_at, places)  # as many of the first places
    lasted = np.minimum(halved_at, places - 1) - np.arange(places)
    halved = np.bincount(lasted[:seen_to_halve], minlength=lasted.max() + 1)
    still_seen = np.cumsum(np.bincount(lasted)[::-1])[::-1]
    surviving = np.cumprod(1 - halved / still_seen)
    reached = np.flatnonzero(surviving <= 0.5 + TOLERANCE)
    return (int(reached[0]), False) if len(reached) else (int(lasted.max()), True)
