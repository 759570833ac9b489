"""A layer along time step by step, every number computed in its place.

An operation on so few numbers takes about a microsecond, as long as to begin it: a step is the
faster the fewer it has. Each function does the same as the step of a cell (`gridlstm.cells`) at all
positions; nothing has a gradient.
"""

from collections.abc import Callable
from itertools import repeat

import torch
from torch import Tensor

from gridlstm.cells import Layer, Values
from gridlstm.cells.arithmetic import tanh
from gridlstm.cells.lstm import NAMES


def lstm_in_place(
    layer: Layer,
    dimension: str,
    memories: Tensor | None = None,
    join: Callable[[Tensor, Tensor], object] | None = None,
) -> dict[str, Values]:
    """An LSTM, its cells carried from position to position or put on `memories` [T, B, U]; `join`
    adds to a new cell, given the one before, both [B, U]."""
    h, *carried = layer.state
    add_hidden, sums = layer.adding_hidden(dimension), layer.of_inputs(dimension).contiguous()
    gates = sums.chunk(4, dim=-1)
    sigmoids = sums[..., : 3 * h.shape[-1]]
    cells, hidden = torch.empty_like(gates[0]), torch.empty_like(gates[0])
    names = f"{dimension}.forget", f"{dimension}.cell"
    before = repeat(None) if memories is None else memories.unbind()
    c = carried[0] if carried else h  # without a memory of its own it is not read
    parts = (part.unbind() for part in (sums, sigmoids, *gates, cells, hidden))
    steps = zip(*parts, before, strict=False)
    for of_step, of_sigmoids, i, f, o, g, cell, new, memory in steps:
        add_hidden(of_step, h)
        of_sigmoids.sigmoid_()
        tanh(g, out=g)
        layer.clamp(names[0], f)
        torch.mul(i, g, out=cell).addcmul_(f, c if memory is None else memory)
        if join is not None:
            join(c, cell)
        layer.clamp(names[1], cell)
        tanh(cell, out=new).mul_(o)
        h, c = new, cell
    return dict(zip(NAMES[dimension], (cells, hidden, *gates), strict=True))


def depth_gated_in_place(
    layer: Layer, dimension: str, sums: Tensor, below: Tensor
) -> dict[str, Values]:
    """An LSTM whose cells the memory `below` joins through a gate with `sums`, [T, B, U] both."""
    gates, of_cell = sums.contiguous(), layer.tensor("depth.before")
    steps = zip(gates.unbind(), below.unbind(), strict=True)

    def join(before: Tensor, cell: Tensor) -> None:
        gate, memory = next(steps)
        gate.addcmul_(of_cell, before).sigmoid_()
        layer.clamp("depth.gate", gate)
        cell.addcmul_(gate, memory)

    return {**lstm_in_place(layer, dimension, join=join), "depth.gate": gates}


def highway_in_place(layer: Layer, dimension: str, below: Tensor) -> dict[str, Values]:
    """`y = carry * below + (1 - carry) * candidate`."""
    (y,), sums = layer.state, layer.of_inputs(dimension).contiguous()
    add_hidden, gates = layer.adding_hidden(dimension), sums.chunk(2, -1)
    cells = torch.empty_like(gates[0])
    steps = zip(*(part.unbind() for part in (sums, *gates, below, cells)), strict=True)
    for of_step, carry, candidate, memory, new in steps:
        add_hidden(of_step, y)
        carry.sigmoid_()
        tanh(candidate, out=candidate)
        layer.clamp("depth.carry", carry)
        y = torch.lerp(candidate, memory, carry, out=new)
        layer.clamp("depth.cell", y)
    return {"depth.cell": cells, "depth.carry": gates[0], "depth.candidate": gates[1]}
