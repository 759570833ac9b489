"""Layers that share their weights, read side by side, each a block of positions behind the layer
below it.

While layer l reads block b, layer l + 1 reads block b - 1, which layer l handed up before. To the
recurrence they are sequences of one layer: its weights are read once a position for all layers,
where layer above layer reads them once for each.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional

from gridlstm.config import ModelConfig
from gridlstm.networks.cells import Observer, State
from gridlstm.networks.lstm import joined
from gridlstm.networks.products import LARGE_FOR_ONE_ROW, needs_plain_products

if TYPE_CHECKING:
    from gridlstm.networks.layerwise import LayerwiseNetwork, Products

# Positions at most. Shorter blocks cost more for what is made ready for each, longer ones for the
# steps at both ends in which not every layer has a block.
BLOCK = 64
# Numbers computed at a time, in float32.
MOST_SIDE_BY_SIDE = 2**23
# What layers side by side read, and the memory carried up to them, if any [T, rows, U].
Below = tuple[Tensor, Tensor | None]


def staggers(config: ModelConfig) -> bool:
    """Whether a model's layers share all their weights, these are too large for the near caches
    (smaller ones take no time to be read again), and side by side they take little memory."""
    weight = 4 * config.units * 2 * config.units
    side_by_side = config.layers * BLOCK * config.values_a_layer
    return (
        config.tie == "all"
        and config.layers > 1
        and weight >= LARGE_FOR_ONE_ROW
        and side_by_side <= MOST_SIDE_BY_SIDE
    )


def gains_by_staggering(config: ModelConfig, embedded: Tensor) -> bool:
    """Whether such a model is to read `embedded` [T, B, U] so: side by side it must take less than
    three quarters of the positions, one after the other, that it takes layer above layer."""
    blocks, block = _blocks(len(embedded))
    positions = (blocks + config.layers - 1) * block
    gains = 4 * positions < 3 * config.layers * len(embedded)
    return staggers(config) and gains and not needs_plain_products(embedded.device.type)


def read_staggered(
    network: LayerwiseNetwork,
    products: Products,
    embedded: Tensor,
    state: State,
    observer: Observer | None,
) -> tuple[Tensor, State]:
    """Read `embedded` [T, B, U] on from `state` [L, B, U], without dropout or holds: what the top
    hands up [T, B, U], and the new state."""
    layers, (end, sequences, _) = network.config.layers, embedded.shape
    count, block = _blocks(end)
    padded = functional.pad(embedded, (0, 0, 0, 0, 0, count * block - end))
    blocks, top = padded.split(block), torch.empty_like(padded)
    state, below = tuple(part.clone() for part in state), None
    for step in range(len(blocks) + layers - 1):
        lowest, above = max(0, step - len(blocks) + 1), min(layers, step + 1)
        if lowest == 0:
            below = _beside((blocks[step], network.first_memory(blocks[step])), below)
        rows = tuple(part[lowest:above].flatten(0, 1) for part in state)
        values = network.read_layer(lowest, products, *below, rows, None)
        values = {name: joined(of_name) for name, of_name in values.items()}
        for layer in range(lowest, above):
            start, row = (step - layer) * block, (layer - lowest) * sequences
            of_layer = {q: v[: end - start, row : row + sequences] for q, v in values.items()}
            if observer is not None:
                observer(layer, start, of_layer)
            for part, new in zip(state, network.carried_on(of_layer), strict=True):
                part[layer] = new
        below = network.handed_up(values)
        if above == layers:
            start = (step - layers + 1) * block
            top[start : start + block] = below[0][:, -sequences:]
            below = tuple(None if part is None else part[:, :-sequences] for part in below)
    return top[:end], state


def _blocks(positions: int) -> tuple[int, int]:
    """How many blocks so many positions make, and how many positions each has, as evenly as can be:
    only the last has fewer."""
    count = max(1, math.ceil(positions / BLOCK))
    return count, math.ceil(positions / count)


def _beside(lowest: Below, others: Below | None) -> Below:
    """What the lowest layer gets, and then the others."""
    if others is None:
        return lowest
    pairs = zip(lowest, others, strict=True)
    return tuple(None if first is None else torch.cat((first, rest), 1) for first, rest in pairs)
