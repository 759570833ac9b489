"""The update of an LSTM and its derivative, written where they are told to: what training needs
beside the equations of `gridlstm.cells.lstm`. Gates stand in the order i, f, o, g."""

from types import ModuleType

import torch
from torch import Tensor

from gridlstm.cells.arithmetic import tanh, update_lstm

# Set to False where they were measured to be wrong or slow (`gridlstm.training.ways`).
fused_kernels_allowed = True


def fused_kernels(like: Tensor) -> ModuleType | None:
    """The kernels that compute an LSTM's update and its derivative in one pass where a tensor is on
    a GPU and they are allowed, else None."""
    if not (like.is_cuda and fused_kernels_allowed):
        return None
    from gridlstm.backends import fused_gates

    return fused_gates


def lstm_forward(gates: Tensor, cell: Tensor, new_cell: Tensor, hidden: Tensor) -> None:
    """One LSTM update, `c' = f*c + i*g`, `h = o*tanh(c')`.

    Turns the sums before the gates [..., 4U] into gates in place; writes c' and h [..., U]. h can
    be of another type.
    """
    gates[..., : 3 * cell.shape[-1]].sigmoid_()
    update_lstm(gates.chunk(4, dim=-1), cell, new_cell, hidden)


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
