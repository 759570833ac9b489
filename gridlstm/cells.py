"""The gated update that every LSTM here shares, and its derivative.

Gates stand in the order input, forget, output, candidate along the last axis. `U` is the number of
units. Hochreiter and Schmidhuber (1997) with the forget gate of Gers et al. (2000).
"""

from dataclasses import dataclass

import torch
from torch import Tensor

# h and c [layer, sequence, unit].
State = tuple[Tensor, Tensor]


@dataclass(frozen=True)
class Observation:
    """What an architecture did over T positions of one sequence.

    `values` holds each quantity by name, [L, T, U]; `top` is what the decoder gets, [T, 1, U];
    `state` is where the next piece goes on.
    """

    values: dict[str, Tensor]
    top: Tensor
    state: State


def activate(gates: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Turn sums [..., 4U] into gates, in place; return i, f, o, g."""
    i, f, o, g = gates.chunk(4, dim=-1)
    gates[..., : -g.shape[-1]].sigmoid_()
    return i, f, o, g.tanh_()


def lstm_backward(
    gates: Tensor, cell: Tensor, new_cell: Tensor, grad_hidden: Tensor, grad_new_cell: Tensor
) -> tuple[Tensor, Tensor]:
    """Derivative of one LSTM update, `c' = f*c + i*g`, `h = o*tanh(c')`.

    Takes the gates [..., 4U], c and c', and the gradients of h and c' [..., U]; returns the
    gradients of the sums before the gates [..., 4U] and of the memory that came in [..., U].
    """
    i, f, o, g = gates.chunk(4, dim=-1)
    squashed = torch.tanh(new_cell)
    sigmoid_backward, tanh_backward = torch.ops.aten.sigmoid_backward, torch.ops.aten.tanh_backward
    grad_cell = tanh_backward(grad_hidden * o, squashed).add_(grad_new_cell)
    grad_gates = torch.empty_like(gates)
    units = cell.shape[-1]
    for slot, gradient in enumerate(
        (
            sigmoid_backward(grad_cell * g, i),
            sigmoid_backward(grad_cell * cell, f),
            sigmoid_backward(grad_hidden * squashed, o),
            tanh_backward(grad_cell * i, g),
        )
    ):
        grad_gates[..., slot * units : (slot + 1) * units] = gradient
    return grad_gates, grad_cell * f
