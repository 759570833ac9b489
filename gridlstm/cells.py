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


def double_candidate(sums: Tensor, dim: int) -> Tensor:
    """A copy of weights, biases or sums whose axis `dim` holds the gates [4U], candidate doubled.

    As tanh(z) = 2 sigmoid(2z) - 1, one sigmoid then serves all four gates.
    """
    doubled = sums.clone()
    units = sums.shape[dim] // 4
    doubled.narrow(dim, 3 * units, units).mul_(2)
    return doubled


def activate(gates: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Turn sums [..., 4U], the candidate's doubled, into gates, in place; return i, f, o, g."""
    i, f, o, g = gates.sigmoid_().chunk(4, dim=-1)
    g.mul_(2).sub_(1)
    return i, f, o, g


def lstm(gates: Tensor, cell: Tensor, new_cell: Tensor, hidden: Tensor) -> None:
    """One LSTM update: `c' = f*c + i*g`, `h = o*tanh(c')`.

    `gates` [..., 4U] holds the sums, the candidate's doubled, and is left holding the gates;
    `cell` [..., U] is the memory that comes in; `new_cell` and `hidden` [..., U] are written.
    """
    i, f, o, g = activate(gates)
    torch.mul(f, cell, out=new_cell)
    new_cell.addcmul_(i, g)
    torch.tanh(new_cell, out=hidden)
    hidden.mul_(o)


def lstm_backward(
    gates: Tensor, cell: Tensor, new_cell: Tensor, grad_hidden: Tensor, grad_new_cell: Tensor
) -> tuple[Tensor, Tensor]:
    """Derivative of `lstm`.

    Takes what `lstm` left behind and the gradients of its two outputs [..., U]; returns the
    gradients of the pre-activations [..., 4U] and of the memory that came in [..., U].
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
