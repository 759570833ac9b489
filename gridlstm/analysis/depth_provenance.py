"""Which layer wrote what is in a depth memory: `m_L = sum_k (prod_{j>k} f_j) * i_k * g_k`.

The memory of a Grid LSTM starts at 0 below the first layer, so the sum is all of it (paper, section
3.2, with the depth dimension's gates); where another does not, what is left of its start is a share
too. `memory` says which quantities make it, the Grid LSTM's unless given. Shares add up to the cell
of the same trace within 1e-4 if the trace is in float32; in float16 they are as rough as its gates.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from gridlstm.analysis.chunks import chunks
from gridlstm.analysis.provenance import (
    LSTM_DEPTH,
    Carried,
    Index,
    carried,
    check_direction,
    check_index,
    held,
)
from gridlstm.architectures import Memory
from gridlstm.array_types import Float32Array, Float64Array, FloatArray, IntArray
from gridlstm.direction import Direction, unit_direction
from gridlstm.progress import Progress

# A write survives as long as more than this part of it is kept.
SURVIVES = 0.5


@dataclass(frozen=True)
class Written:
    """What is along a direction in a depth memory, taken apart by who wrote it.

    All in the units of the direction's sum, signed. `written` float32 [layer, position] is what
    each layer wrote; `taken` float32 [layer, gate, position] what of this the gate that keeps the
    memory, in layer `gate` (both from 0), took on the way up: 0 where `gate` is not above the
    layer. `shares` float32 [layer, position] is what is left, and adds up to the direction's sum,
    with `start` float32 [position], what is left of the memory's start, where there is one.
    """

    written: Float32Array
    taken: Float32Array
    shares: Float32Array
    start: Float32Array | None


def depth_written(
    values: Mapping[str, FloatArray],
    direction: Direction,
    memory: Memory = LSTM_DEPTH,
    progress: Progress | None = None,
) -> Written:
    """Who wrote what is along a direction of a depth memory, over the text.

    `values` are a trace's. Of a direction in all layers it is the sum of what is told of each.
    Raises ProvenanceError if the trace lacks a gate of the memory or the direction is not over it.
    """
    parts = carried(values, memory)
    weights, units = check_direction(direction, parts, memory)
    # The gate of a layer takes from all memories at and above it that the direction reads.
    read_above = np.cumsum(weights[::-1], axis=0, dtype=np.float32)[::-1]
    layers, positions = len(weights), parts.keep.shape[1]
    written = np.zeros((layers, positions), np.float32)
    taken = np.zeros((layers, layers, positions), np.float32)
    for part in chunks(positions, weights.size):
        where = part, units
        sent = np.zeros((layers, part.stop - part.start, weights.shape[1]), np.float32)
        for layer in range(layers):
            gate = 1 - parts.kept((layer, *where))
            for writer in range(layer):
                lost = sent[writer] * gate
                taken[writer, layer, part] = lost @ read_above[layer]
                sent[writer] -= lost
            sent[layer] = parts.written((layer, *where), _below(parts, layer, where))
            written[layer, part] = sent[layer] @ read_above[layer]
        if progress:
            progress(part.stop / positions)
    start = direction_start(values, direction, memory) if memory.starts else None
    return Written(written, taken, written - taken.sum(axis=1), start)


def direction_shares(
    values: Mapping[str, FloatArray],
    direction: Direction,
    memory: Memory = LSTM_DEPTH,
    progress: Progress | None = None,
) -> Float32Array:
    """The `shares` of `depth_written` alone: float32 [layer, position], up to the highest layer
    that the direction is over. Arguments and errors as there."""
    parts = carried(values, memory)
    weights, units = check_direction(direction, parts, memory)
    positions = parts.keep.shape[1]
    shares = np.zeros((len(weights), positions), np.float32)
    for part in chunks(positions, weights.size):
        shares[:, part] = _shares(parts, weights, (part, units)).sum(axis=-1)
        if progress:
            progress(part.stop / positions)
    return shares


def direction_start(
    values: Mapping[str, FloatArray], direction: Direction, memory: Memory
) -> Float32Array:
    """What is left, along a direction, of what the memory was below the first layer: float32
    [position]. For a memory with a start other than 0; arguments and errors as there."""
    parts = carried(values, memory)
    weights, units = check_direction(direction, parts, memory)
    found = np.zeros(parts.keep.shape[1], np.float32)
    for part in chunks(len(found), weights.shape[1]):
        where = part, units
        left = parts.held_cell[0, *where] - parts.written((0, *where))
        for layer, of_layer in enumerate(weights):
            if layer > 0:
                left = left * parts.kept((layer, *where))
            found[part] += left @ of_layer
    return found


def depth_shares(
    values: Mapping[str, FloatArray],
    unit: int,
    upto_layer: int | None = None,
    memory: Memory = LSTM_DEPTH,
) -> Float32Array:
    """What each layer wrote of one unit's depth memory, over the text: float32 [layer, position].

    `values` are a trace's; `upto_layer` is the index, from 0, of the layer whose memory is taken
    apart (the top, unless given), and the last of those returned. Each share is signed and in the
    units of the memory, to which they add up, with `depth_start` where there is one. Raises
    ProvenanceError if the trace lacks a gate of the memory, or there is no such unit or layer.
    """
    return direction_shares(values, _of_unit(values, unit, upto_layer, memory), memory)


def depth_start(
    values: Mapping[str, FloatArray], unit: int, upto_layer: int | None, memory: Memory
) -> Float32Array:
    """What is left, in one layer's memory, of what it was below the first: float32 [position].

    For a memory that has a start other than 0; arguments and errors as for `depth_shares`.
    """
    return direction_start(values, _of_unit(values, unit, upto_layer, memory), memory)


def _of_unit(
    values: Mapping[str, FloatArray], unit: int, upto_layer: int | None, memory: Memory
) -> Direction:
    """A unit of a layer's memory, the top's unless given, as a direction."""
    parts = carried(values, memory)
    units = parts.keep.shape[2]
    check_index("unit", unit, units)
    return unit_direction(memory.cell, _layers(parts, upto_layer), unit, units)


def depth_shares_at(
    values: Mapping[str, FloatArray],
    position: int,
    upto_layer: int | None = None,
    memory: Memory = LSTM_DEPTH,
) -> Float32Array:
    """As `depth_shares`, for all units at one position: float32 [layer, unit]."""
    parts = carried(values, memory)
    check_index("position", position, parts.keep.shape[1])
    whole = _of_top(_layers(parts, upto_layer))
    return _shares(parts, whole, (position, slice(None))).astype(np.float32)


def mean_depth_shares(
    values: Mapping[str, FloatArray],
    upto_layer: int | None = None,
    progress: Progress | None = None,
    memory: Memory = LSTM_DEPTH,
) -> Float64Array:
    """How much of a layer's depth memory each layer wrote on the whole: float64 [layer], sum 1.

    The mean, over all units and positions, of |share of the layer| / sum of all layers' |shares|,
    so that shares of opposite sign do not cancel. Memories in which nothing was written are left
    out; NaN if there are no others. `upto_layer` and errors as for `depth_shares`.
    """
    parts = carried(values, memory)
    layers = _layers(parts, upto_layer)
    total, memories = np.zeros(layers), 0
    positions, units = parts.keep.shape[1:]
    for part in chunks(positions, layers * units):
        sizes = np.abs(_shares(parts, _of_top(layers), (part, slice(None))))
        whole = sizes.sum(axis=0)
        something = whole > 0
        memories += int(np.count_nonzero(something))
        fractions = np.divide(sizes, whole, out=sizes, where=something)
        total += fractions.sum(axis=(1, 2), where=something, dtype=np.float64)
        if progress:
            progress(part.stop / positions)
    return total / memories if memories else np.full(layers, np.nan)


def layers_survived(
    values: Mapping[str, FloatArray],
    progress: Progress | None = None,
    memory: Memory = LSTM_DEPTH,
) -> IntArray:
    """How many layers further up writes survive: counts int64 [writing layer, layers survived].

    A write is one layer's at one position of one unit, however small; it survives the layers above
    for as long as the product of their forget gates is above 0.5. The text's positions times the
    units are counted in each row. Under the top, a layer's writes cannot survive more layers than
    there are above it: its last count that can be above 0 holds what reaches the top, the top
    layer's own first. Needs what keeps the memory only; ProvenanceError if the trace lacks it.
    """
    forget = held(values, memory.keep)
    layers, positions, units = forget.shape
    at_least = np.zeros((layers, layers + 1), np.int64)
    at_least[:, 0] = positions * units
    for part in chunks(positions, layers * units):
        gates = forget[:, part].astype(np.result_type(forget, np.float32))
        for layer in range(layers):
            kept = np.ones(gates.shape[1:], gates.dtype)
            for survived, gate in enumerate(gates[layer + 1 :], start=1):
                kept *= gate
                at_least[layer, survived] += np.count_nonzero(kept > SURVIVES)
        if progress:
            progress(part.stop / positions)
    return at_least[:, :-1] - at_least[:, 1:]


def layer_shares_frame(
    values: Mapping[str, FloatArray],
    progress: Progress | None = None,
    memory: Memory = LSTM_DEPTH,
) -> pd.DataFrame:
    """The whole model, a row a layer: layer (from 1), mean_share, survived_0, survived_1, ...

    `mean_share` is that of `mean_depth_shares` in the top layer's memory, `survived_n` the counts
    of `layers_survived`. Errors as for `depth_shares`.
    """
    first = (lambda share: progress(share / 2)) if progress else None
    second = (lambda share: progress(0.5 + share / 2)) if progress else None
    shares = mean_depth_shares(values, progress=first, memory=memory)
    counts = layers_survived(values, second, memory)
    frame = pd.DataFrame({"layer": np.arange(1, len(shares) + 1), "mean_share": shares})
    return frame.join(pd.DataFrame(counts).add_prefix("survived_"))


def _layers(parts: Carried, upto_layer: int | None) -> int:
    """The number of layers that have a share in a layer's memory, the top's unless given."""
    layers = len(parts.keep)
    if upto_layer is None:
        return layers
    check_index("layer", upto_layer, layers)
    return upto_layer + 1


def _of_top(layers: int) -> Float32Array:
    """Weights [layer] of the memory of the highest of so many layers alone."""
    weights = np.zeros(layers, np.float32)
    weights[-1] = 1
    return weights


def _shares(parts: Carried, weights: Sequence[FloatArray] | FloatArray, where: Index) -> FloatArray:
    """Shares [layer, ...] in the layers' memories times their `weights` [layer] or [layer, unit],
    added up; at an index into [position, unit], from the highest layer downwards."""
    kept: FloatArray | float = 0.0
    shares = []
    for layer in reversed(range(len(weights))):
        here = layer, *where
        kept = kept + weights[layer]
        shares.append(parts.written(here, _below(parts, layer, where)) * kept)
        kept = kept * parts.kept(here)
    return np.stack(shares[::-1])


def _below(parts: Carried, layer: int, where: Index) -> FloatArray | float:
    """The memory that a layer gets from below, where what it writes cannot be told without it."""
    return parts.value((layer - 1, *where)) if layer > 0 else 0.0
