"""A layer along time in fewer calls than a step has: through torch's own recurrences, which are
several times as fast as step by step but show hidden states alone, or in place.

The gates of torch's LSTM are had in one of two ways. On a CPU torch runs it through oneDNN, which
leaves them, for a backward pass, in a workspace: what is there is read, and nothing computed. How a
workspace is laid out is not documented, so what was read is checked: the cells that follow from it,
and the hidden states from them, must be those that oneDNN tells. Where they are not, or there is no
oneDNN, the gates are computed from the hidden states, in one product over all positions.
"""

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from gridlstm.cells import Layer, Step, Values, spread
from gridlstm.cells.arithmetic import State, carry_in_place, gates_of, tanh
from gridlstm.cells.gru import gru_gates, gru_step
from gridlstm.cells.lstm import NAMES, lstm_step

# The code of an LSTM among torch's recurrences.
_LSTM = 2
# A row of the workspace begins on a cache line, and never a kilobyte after another.
_LINE, _KILOBYTE = 16, 256
# How far what follows from the gates may be off, absolutely and by its size: wrong ones miss it by
# far more. Hidden states are compared at so many positions spread over all.
_NEAR, _COMPARED = 1e-3, 8
# i, f, o, g.
Gates = Sequence[Tensor]


def lstm_at_once(layer: Layer, dimension: str) -> dict[str, Values]:
    """As `lstm_step` at all positions, by name [T, B, U]. Nothing in it has a gradient."""
    inputs = spread(layer.inputs, layer.sequences)
    weights = layer.weights.torch_weights(layer.number)
    values = _from_workspace(inputs, weights, layer.state) if goes_through_onednn(inputs) else None
    return _named(dimension, values or _from_hidden(layer, dimension, inputs, weights))


def lstm_in_place(layer: Layer, dimension: str) -> dict[str, Values]:
    """As `lstm_step` at all positions, by name [T, B, U]; every number is computed in its place."""
    (h, c), of_hidden = layer.state, layer.of_hidden(dimension)
    sums = layer.of_inputs(dimension).contiguous()
    gates = sums.chunk(4, dim=-1)
    sigmoids = sums[..., : 3 * h.shape[-1]]
    cells, hidden = torch.empty_like(gates[0]), torch.empty_like(gates[0])
    steps = zip(sums, sigmoids, *gates, cells, hidden, strict=True)
    for of_step, of_sigmoids, i, f, o, g, cell, new in steps:
        of_step += of_hidden(h)
        of_sigmoids.sigmoid_()
        tanh(g, out=g)
        layer.clamp(f"{dimension}.forget", f)
        torch.mul(i, g, out=cell).addcmul_(f, c)
        layer.clamp(f"{dimension}.cell", cell)
        tanh(cell, out=new).mul_(o)
        h, c = new, cell
    return _named(dimension, (hidden, cells, gates))


def gru_at_once(layer: Layer, dimension: str) -> dict[str, Values]:
    """As `gru_step` at all positions: given the hidden states of torch's GRU, every gate follows
    from one product over all positions.

    The states are then those that follow from the gates: torch computes (h - g) * z + g, which
    moves a state that is to be held, z = 1, by a rounding a position."""
    (h,), inputs = layer.state, spread(layer.inputs, layer.sequences)
    weights = layer.weights.torch_weights(layer.number)
    hidden = torch.gru(inputs, h[None], weights, True, 1, 0.0, False, False, False)[0]
    before = torch.cat((h[None], hidden[:-1]))
    linear, rows = layer.weights.linear, hidden[..., 0].numel()
    of_hidden = linear(layer.number, dimension, "hidden").over(rows)(before)
    bias = layer.tensor("time.candidate_bias")
    r, z, g = gru_gates(of_hidden, layer.of_inputs(dimension), bias)
    hidden = carry_in_place(z, (1 - z) * g, h)
    return {"time.hidden": hidden, "time.reset": r, "time.update": z, "time.candidate": g}


# What does the same as a step, by what a plan calls it.
FAST: dict[str, dict[Step, Callable[[Layer, str], dict[str, Values]]]] = {
    "at once": {lstm_step: lstm_at_once, gru_step: gru_at_once},
    "in place": {lstm_step: lstm_in_place},
    "cells": {},
}


def goes_through_onednn(inputs: Tensor) -> bool:
    onednn = torch.backends.mkldnn
    on_cpu = inputs.device.type == "cpu" and inputs.dtype == torch.float32
    return bool(on_cpu and inputs.numel() > 0 and onednn.is_available() and onednn.enabled)


def _named(dimension: str, values: tuple[Tensor, Tensor, Gates]) -> dict[str, Values]:
    hidden, cells, gates = values
    return dict(zip(NAMES[dimension], (cells, hidden, *gates), strict=True))


def _from_workspace(
    inputs: Tensor, weights: list[Tensor], state: State
) -> tuple[Tensor, Tensor, Gates] | None:
    """Hidden states, cells and gates, or None where the workspace is not what is expected."""
    # It takes what it is given for contiguous.
    inputs, h, c = (values.detach().contiguous() for values in (inputs, *state))
    of_inputs, of_h, bias, bias_of_h = (weight.detach() for weight in weights)
    with torch.enable_grad():  # it keeps its workspace for a gradient alone
        hidden, _, last, workspace = torch.mkldnn_rnn_layer(
            *(inputs, of_inputs, of_h, bias, bias_of_h, h, c),
            False,
            [],
            *(_LSTM, h.shape[-1], 1),
            *(True, False, False, True),
        )
    gates = _gates_in(workspace, hidden.shape)
    if gates is None:
        return None
    i, f, o, g = gates
    cells = carry_in_place(f, i * g, c)
    some = slice(None, None, max(1, len(cells) // _COMPARED))
    follows = torch.allclose(cells[-1], last, _NEAR, _NEAR) and torch.allclose(
        o[some] * tanh(cells[some]), hidden[some], _NEAR, _NEAR
    )
    return (hidden, cells, gates) if follows else None


def _gates_in(workspace: Tensor, shape: torch.Size) -> Gates | None:
    """The gates that it begins with, [T, B, U] each, or None if it is too small for them."""
    positions, sequences, units = shape
    row = math.ceil(4 * units / _LINE) * _LINE
    if row % _KILOBYTE == 0:
        row += _LINE
    size = positions * sequences * row * torch.float32.itemsize
    if len(workspace) < size:
        return None
    rows = workspace[:size].view(torch.float32).view(positions, sequences, row)
    i, f, g, o = rows[..., : 4 * units].chunk(4, dim=-1)
    return i, f, o, g


def _from_hidden(
    layer: Layer, dimension: str, inputs: Tensor, weights: list[Tensor]
) -> tuple[Tensor, Tensor, Gates]:
    """Hidden states from torch, and the cells and gates that follow from them."""
    h, c = layer.state
    hidden = torch.lstm(inputs, (h[None], c[None]), weights, True, 1, 0.0, False, False, False)[0]
    i, f, o, g = gates = gates_of(layer.of_both(dimension, torch.cat((h[None], hidden[:-1]))))
    return hidden, carry_in_place(f, i * g, c), gates
