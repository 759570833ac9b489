"""In which order the layers of a network read a text: generators that know no arithmetic.

Each yields steps; a step is what can be computed at once, as blocks of positions of some layers,
the lowest layer first. Layers and positions count from 0.
"""

import math
from collections.abc import Iterator
from typing import NamedTuple


class Block(NamedTuple):
    """Positions from `start` up to `stop` of a layer."""

    layer: int
    start: int
    stop: int


Schedule = Iterator[list[Block]]


def layer_by_layer(layers: int, positions: int) -> Schedule:
    """Each layer reads all positions before the one above begins."""
    for layer in range(layers):
        yield [Block(layer, 0, positions)]


def together(layers: int, positions: int) -> Schedule:
    """All positions of all layers in one step: for what computes all layers side by side."""
    yield [Block(layer, 0, positions) for layer in range(layers)]


def position_by_position(layers: int, positions: int) -> Schedule:
    """All layers read a position before the next one: for what reads upper layers, too."""
    for position in range(positions):
        for layer in range(layers):
            yield [Block(layer, position, position + 1)]


def staggered(layers: int, positions: int, longest: int) -> Schedule:
    """Each layer a block of positions behind the layer below it: where they share a weight, it is
    read once a position for all layers."""
    count, length = split_evenly(positions, longest)
    for step in range(count + layers - 1):
        yield [
            Block(layer, start, min(start + length, positions))
            for layer in range(max(0, step - count + 1), min(layers, step + 1))
            for start in [(step - layer) * length]
        ]


def split_evenly(positions: int, longest: int) -> tuple[int, int]:
    """How many blocks so many positions make, and how many positions each has, as evenly as can be:
    only the last has fewer."""
    count = max(1, math.ceil(positions / longest))
    return count, math.ceil(positions / count)


def diagonals(layers: int, positions: int) -> Iterator[tuple[slice, slice]]:
    """For a grid: the layers whose LSTM along time, and whose LSTM along depth, have a position in
    each step. In step s the time LSTM of each layer l is at position s - 2l, and its depth LSTM at
    position s - 2l - 1: so none of a step depends on another."""
    steps = range(-1, positions + 2 * layers - 1)
    active = [
        slice(first, max(first, min(layers, step // 2 + 1)))
        for step in steps
        for first in [max(0, (step - positions + 2) // 2)]
    ]
    yield from zip(active[1:], active, strict=False)
