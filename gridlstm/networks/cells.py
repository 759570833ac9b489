"""The gated update that every LSTM here shares, and its derivative.

Gates stand in the order input, forget, output, candidate along the last axis. `U` is the number of
units. Hochreiter and Schmidhuber (1997) with the forget gate of Gers et al. (2000).
"""

from collections.abc import Callable, Sequence
from types import ModuleType

import torch
from torch import Tensor

# h and c [layer, sequence, unit].
State = tuple[Tensor, Tensor]
# Is given what each layer, from 0, did, as soon as it is known: the layer, the position, from 0, at
# which it begins, and its quantities from there on [T, B, U] by name. A layer's positions come in
# their order, all at once or some at a time, and no position before the layer below has told it.
Observer = Callable[[int, int, dict[str, Tensor]], None]
# Reads embedded bytes [T, B, U] on from a state, without dropout, telling an Observer, if any, what
# happens inside, and with Holds, if any -> what the decoder gets [T, B, U], the new state. It is
# for many calls: what it makes ready of the weights it keeps.
Reader = Callable[..., tuple[Tensor, State]]


# Measured on CPUs: torch computes the sigmoids of so many values in a sixth of the time of tanh.
MANY_VALUES = 8192
_MINUS_ONE = torch.tensor(-1.0)


def tanh(values: Tensor, out: Tensor | None = None) -> Tensor:
    """tanh, written to `out` if given; of many values on a CPU, where no gradient is recorded, as
    `2 sigmoid(2x) - 1`, which is off by up to 2e-7."""
    fast = values.device.type == "cpu" and values.numel() >= MANY_VALUES
    if not fast or torch.is_grad_enabled():
        return torch.tanh(values, out=out)
    out = torch.mul(values, 2.0, out=out).sigmoid_()
    return torch.add(_MINUS_ONE, out, alpha=2, out=out)


def gates_of(sums: Tensor) -> Sequence[Tensor]:
    """i, f, o, g from the sums before them [..., 4U], in their place if no gradient is recorded."""
    units = sums.shape[-1] // 4
    if torch.is_grad_enabled():
        return *sums[..., : 3 * units].sigmoid().chunk(3, dim=-1), sums[..., 3 * units :].tanh()
    sums[..., : 3 * units].sigmoid_()
    i, f, o, g = sums.chunk(4, dim=-1)
    return i, f, o, tanh(g, out=g)


def swap_gates(tensor: Tensor) -> Tensor:
    """i, f, o, g <-> i, f, g, o along the first axis [4U, ...]."""
    i, f, third, fourth = tensor.chunk(4)
    return torch.cat((i, f, fourth, third))


# Set to False where they were measured to be wrong or slow (`gridlstm.training.ways`).
fused_kernels_allowed = True


def fused_kernels(like: Tensor) -> ModuleType | None:
    """The kernels that compute an LSTM's update and its derivative in one pass where a tensor is on
    a GPU and they are allowed, else None."""
    if not (like.is_cuda and fused_kernels_allowed):
        return None
    from gridlstm.networks import fused_gates

    return fused_gates


def lstm_forward(gates: Tensor, cell: Tensor, new_cell: Tensor, hidden: Tensor) -> None:
    """One LSTM update, `c' = f*c + i*g`, `h = o*tanh(c')`.

    Turns the sums before the gates [..., 4U] into gates in place; writes c' and h [..., U]. h can
    be of another type.
    """
    gates[..., : 3 * cell.shape[-1]].sigmoid_()
    i, f, o, g = gates.chunk(4, dim=-1)
    tanh(g, out=g)
    torch.mul(f, cell, out=new_cell).addcmul_(i, g)
    torch.mul(o, tanh(new_cell), out=hidden)


def lstm_backward(
    gates: Tensor,
    cell: Tensor,
    new_cell: Tensor,
    grad_hidden: Tensor,
    grad_new_cell: Tensor,
    grad_gates: Tensor,
    grad_cell: Tensor,
) -> None:
    """Derivative of one LSTM update, `c' = f*c + i*g`, `h = o*tanh(c')`.

    Takes the gates [..., 4U], c and c', and the gradients of h and c' [..., U]; writes the
    gradients of the sums before the gates [..., 4U] and of c [..., U].
    """
    i, f, o, g = gates.chunk(4, dim=-1)
    grad_i, grad_f, grad_o, grad_g = grad_gates.chunk(4, dim=-1)
    squashed = tanh(new_cell)
    sigmoid_backward, tanh_backward = torch.ops.aten.sigmoid_backward, torch.ops.aten.tanh_backward
    through = tanh_backward(grad_hidden * o, squashed).add_(grad_new_cell)
    grad_i.copy_(sigmoid_backward(through * g, i))
    grad_f.copy_(sigmoid_backward(through * cell, f))
    grad_o.copy_(sigmoid_backward(grad_hidden * squashed, o))
    grad_g.copy_(tanh_backward(through * i, g))
    torch.mul(through, f, out=grad_cell)
