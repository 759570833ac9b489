"""What the equations of the cells are made of: gates, tanh, and a memory carried linearly.

Gates stand in the order input, forget, output, candidate along the last axis. `U` is the number of
units.
"""

import math
from collections.abc import Callable, Sequence
from functools import partial

import torch
from torch import Tensor

# What a network carries: each [layer, sequence, U], of one layer [sequence, U].
State = tuple[Tensor, ...]
# Measured on CPUs: torch computes the sigmoids of so many values in a sixth of the time of tanh.
MIN_FAST_TANH = 8192
_MINUS_ONE = torch.tensor(-1.0)


def tanh(values: Tensor, out: Tensor | None = None) -> Tensor:
    """tanh, written to `out` if given; of many values on a CPU, where no gradient is recorded, as
    `2 sigmoid(2x) - 1`, which is off by up to 2e-7."""
    fast = values.device.type == "cpu" and values.numel() >= MIN_FAST_TANH
    if not fast or torch.is_grad_enabled():
        return torch.tanh(values, out=out)
    out = torch.mul(values, 2.0, out=out).sigmoid_()
    return torch.add(_MINUS_ONE, out, alpha=2, out=out)


def hard_sigmoid(values: Tensor, width: float) -> Tensor:
    """0 and 1 beyond ±width / 2, and straight between: with 5 that of Keras 1 and 2, with 6 that of
    Keras 3."""
    return (values / width + 0.5).clamp(0, 1)


# By the names that an architecture's option `gates` takes.
GATE_ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "sigmoid": torch.sigmoid,
    "hard_sigmoid": partial(hard_sigmoid, width=5),
    "hard_sigmoid_6": partial(hard_sigmoid, width=6),
}


def gates_of(sums: Tensor, activation: str = "sigmoid") -> Sequence[Tensor]:
    """i, f, o, g from the sums before them [..., 4U], in their place if no gradient is recorded."""
    units = sums.shape[-1] // 4
    if activation != "sigmoid":
        gates = GATE_ACTIVATIONS[activation](sums[..., : 3 * units])
        return *gates.chunk(3, dim=-1), sums[..., 3 * units :].tanh()
    if torch.is_grad_enabled():
        return *sums[..., : 3 * units].sigmoid().chunk(3, dim=-1), sums[..., 3 * units :].tanh()
    sums[..., : 3 * units].sigmoid_()
    i, f, o, g = sums.chunk(4, dim=-1)
    return i, f, o, tanh(g, out=g)


def swap_gates(tensor: Tensor) -> Tensor:
    """i, f, o, g <-> i, f, g, o, torch's order, along the first axis [4U, ...]."""
    i, f, third, fourth = tensor.chunk(4)
    return torch.cat((i, f, fourth, third))


def carry_linearly(keep: Tensor, written: Tensor, before: Tensor) -> Tensor:
    """`c_t = keep_t * c_t-1 + written_t` over all positions [T, B, U], from `before` [B, U]."""
    if torch.is_grad_enabled():
        return _LinearRecurrence.apply(keep, written, before)
    return carry_in_place(keep, written.clone(), before)


def carry_in_place(keep: Tensor, written: Tensor, before: Tensor) -> Tensor:
    """As `carry_linearly`, in the place of `written`.

    In blocks: in all of them at once, position by position, what is written in a block; then, block
    by block, what is left of the memory before it.
    """
    length = math.isqrt(len(written))
    left = keep.clone()
    for position in range(1, length):
        here, last = slice(position, None, length), slice(position - 1, None, length)
        blocks = len(written[here])
        written[here].addcmul_(keep[here], written[last][:blocks])
        left[here] *= left[last][:blocks]
    for block, of_left in zip(written.split(length), left.split(length), strict=True):
        before = block.addcmul_(of_left, before)[-1]
    return written


class _LinearRecurrence(torch.autograd.Function):
    """With its gradient, which is such a recurrence, too, from the last position to the first."""

    @staticmethod
    def forward(ctx, keep, written, before):
        cells = carry_in_place(keep, written.clone(), before)
        ctx.save_for_backward(keep, torch.cat((before[None], cells[:-1])))
        return cells

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, grad):
        keep, cells_before = ctx.saved_tensors
        later = torch.cat((keep[1:], torch.zeros_like(keep[:1]))).flip(0)
        grad = carry_in_place(later, grad.flip(0), torch.zeros_like(keep[0])).flip(0)
        return grad * cells_before, grad, grad[0] * keep[0]
