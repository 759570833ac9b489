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


def lstm_forward(
    gates: Tensor,
    cell: Tensor,
    new_cell: Tensor,
    hidden: Tensor,
    *,
    bias: Tensor | None = None,
    mask: Tensor | None = None,
    copy: Tensor | None = None,
) -> None:
    """One LSTM update, `c' = f*c + i*g`, `h = o*tanh(c')`, computed in the type of the cells.

    Turns the sums before the gates [..., 4U], to which a bias is added, into gates in place; writes
    c' and h [..., U]. Gates and h can be of another type. Of arrays [D, L, B, U], the h of the last
    dimension is multiplied by a mask [L, B, U], and written to `copy` [L, B, U] too.
    """
    values = gates.to(cell.dtype)
    if bias is not None:
        values += bias
    values[..., : 3 * cell.shape[-1]].sigmoid_()
    update_lstm(values.chunk(4, dim=-1), cell, new_cell, hidden)
    if values is not gates:
        gates.copy_(values)
    if mask is not None:
        hidden[-1].mul_(mask)
    if copy is not None:
        copy.copy_(hidden[-1])


def lstm_backward(
    gates: Tensor,
    cell: Tensor,
    new_cell: Tensor,
    grad_hidden: Tensor,
    grad_new_cell: Tensor,
    grad_gates: Tensor,
    grad_cell: Tensor,
    *,
    grad_copy: Tensor | None = None,
    mask: Tensor | None = None,
) -> None:
    """Derivative of one LSTM update, `c' = f*c + i*g`, `h = o*tanh(c')`.

    Takes the gates [..., 4U], c and c', and the gradients of h and c' [..., U]; writes the
    gradients of the sums before the gates [..., 4U] and of c [..., U]. The gradient of h is the sum
    of two where `grad_copy` [..., U] is the second; a mask is that of `lstm_forward`.
    """
    i, f, o, g = gates.to(cell.dtype).chunk(4, dim=-1)
    grad_i, grad_f, grad_o, grad_g = grad_gates.chunk(4, dim=-1)
    if grad_copy is not None:
        grad_hidden = grad_hidden.to(cell.dtype) + grad_copy
    if mask is not None:
        grad_hidden[-1].mul_(mask)
    squashed = tanh(new_cell)
    sigmoid_backward, tanh_backward = torch.ops.aten.sigmoid_backward, torch.ops.aten.tanh_backward
    through = tanh_backward(grad_hidden * o, squashed).add_(grad_new_cell)
    grad_i.copy_(sigmoid_backward(through * g, i))
    grad_f.copy_(sigmoid_backward(through * cell, f))
    grad_o.copy_(sigmoid_backward(grad_hidden * squashed, o))
    grad_g.copy_(tanh_backward(through * i, g))
    torch.mul(through, f, out=grad_cell)
