"""A layer along time at all positions at once: through torch's own recurrences, which are several
times as fast as step by step but show hidden states alone.

The gates of torch's LSTM are had in one of two ways. On a CPU torch runs it through oneDNN, which
leaves them, for a backward pass, in a workspace: what is there is read, and nothing computed. How a
workspace is laid out is not documented, so what was read is checked: the cells that follow from it,
and the hidden states from them, must be those that oneDNN tells. Where they are not, or there is no
oneDNN, the gates are computed from the hidden states, in one product over all positions.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from gridlstm.cells import Layer, Values
from gridlstm.cells.arithmetic import State, carry_in_place, gates_of, tanh
from gridlstm.cells.gru import gru_gates
from gridlstm.cells.lstm import NAMES
from gridlstm.sequences import spread

# To torch's recurrences: with biases, one layer, no dropout, not in training, in one direction, and
# positions come first.
_ONE_LAYER = True, 1, 0.0, False, False, False
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
    inputs, weights = _inputs_and_weights(layer)
    values = _from_workspace(inputs, weights, layer.state) if uses_onednn(inputs) else None
    hidden, cells, gates = values or _from_hidden(layer, dimension, inputs, weights)
    return dict(zip(NAMES[dimension], (cells, hidden, *gates), strict=True))


def rnn_at_once(layer: Layer, dimension: str) -> dict[str, Values]:
    """As the step of a plain RNN at all positions."""
    inputs, weights = _inputs_and_weights(layer)
    (h,) = layer.state
    return {"time.hidden": torch.rnn_tanh(inputs, h[None], weights, *_ONE_LAYER)[0]}


def gru_at_once(layer: Layer, dimension: str) -> dict[str, Values]:
    """As `gru_step` at all positions: given the hidden states of torch's GRU, every gate follows
    from one product over all positions.

    The states are then those that follow from the gates: torch computes (h - g) * z + g, which
    moves a state that is to be held, z = 1, by a rounding a position."""
    inputs, weights = _inputs_and_weights(layer)
    (h,) = layer.state
    hidden = torch.gru(inputs, h[None], weights, *_ONE_LAYER)[0]
    before = torch.cat((h[None], hidden[:-1]))
    linear, rows = layer.weights.linear, hidden[..., 0].numel()
    of_hidden = linear(layer.number, dimension, "hidden").over(rows)(before)
    bias = layer.tensor("time.candidate_bias")
    r, z, g = gru_gates(of_hidden, layer.of_inputs(dimension), bias)
    hidden = carry_in_place(z, (1 - z) * g, h)
    return {"time.hidden": hidden, "time.reset": r, "time.update": z, "time.candidate": g}


def uses_onednn(inputs: Tensor) -> bool:
    onednn = torch.backends.mkldnn
    on_cpu = inputs.device.type == "cpu" and inputs.dtype == torch.float32
    return bool(on_cpu and inputs.numel() > 0 and onednn.is_available() and onednn.enabled)


def _inputs_and_weights(layer: Layer) -> tuple[Tensor, list[Tensor]]:
    inputs = spread(layer.inputs, layer.sequences)
    return inputs, layer.weights.torch_weights(layer.number)


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
    hidden = torch.lstm(inputs, (h[None], c[None]), weights, *_ONE_LAYER)[0]
    i, f, o, g = gates = gates_of(layer.of_both(dimension, torch.cat((h[None], hidden[:-1]))))
    return hidden, carry_in_place(f, i * g, c), gates
