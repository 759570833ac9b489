"""A layer's recurrence over all positions with a gradient: LSTM, GRU or plain RNN.

torch's own recurrences keep what they carry in the type of their products: in bfloat16 a cell of 4
no longer grows by 0.01, since that is less than half a unit in its last place (seen with torch
2.13 on a CPU, `nn.LSTM` and `nn.RNN` under autocast). Here products alone are in that type; states,
gates and sums are in float32, as in the walk over the grid.

Shapes: T positions, B sequences, U units, G rows of a weight (4U, 3U, U).
"""

from collections.abc import Callable
from typing import Any, Protocol

import torch
from torch import Tensor

from gridlstm.backends.gates import fused_kernels, lstm_backward, lstm_forward
from gridlstm.backends.plan import multiplies_natively
from gridlstm.cells.arithmetic import State

# Derivatives by what a sigmoid or a tanh gave.
_through_sigmoid = torch.ops.aten.sigmoid_backward
_through_tanh = torch.ops.aten.tanh_backward


class Steps(Protocol):
    """What a recurrence computes at each position, forward and back.

    `sums` [T, B, G] holds what the inputs give to the gates, the biases added, and is turned into
    gates in place; `hidden` [T+1, B, U] is the state before the first position and after each.
    """

    hidden: Tensor

    @property
    def state(self) -> State:
        """What is carried on after the last position [B, U] each."""

    def forward(self, position: int, from_h: Tensor) -> None:
        """Write the gates and the new state, given what h gives to the gates [B, G]."""

    def backward(self, position: int, grad_h: Tensor) -> tuple[Tensor, Tensor | None]:
        """From the gradient of the new h [B, U]: that of what h gave to the gates [B, G], kept in
        `grad_from_h` (of what the inputs gave, in `grad_sums`), and of h where it is carried on."""


class LSTMSteps:
    """`c' = f*c + i*g`, `h' = o*tanh(c')`; gates in the order i, f, o, g."""

    def __init__(self, sums: Tensor, state: State) -> None:
        self.hidden, self.cells = (_with_room(part, len(sums)) for part in state)
        self.gates = sums

    def forward(self, position: int, from_h: Tensor) -> None:
        gates = self.gates[position].add_(from_h)
        here, after = self.cells[position : position + 2]
        fused = fused_kernels(gates)
        (fused.update if fused else lstm_forward)(gates, here, after, self.hidden[position + 1])

    @property
    def state(self) -> State:
        return self.hidden[-1], self.cells[-1]

    def begin_backward(self, grad_state: State) -> None:
        self.grad_from_h = self.grad_sums = torch.empty_like(self.gates)
        self._grad_cell = grad_state[1].clone()

    def backward(self, position: int, grad_h: Tensor) -> tuple[Tensor, None]:
        here, after = self.cells[position : position + 2]
        grad, grad_cell = self.grad_sums[position], self._grad_cell
        fused = fused_kernels(grad)
        backward = fused.update_backward if fused else lstm_backward
        backward(self.gates[position], here, after, grad_h, grad_cell, grad, grad_cell)
        return grad, None

    @property
    def grad_state(self) -> tuple[Tensor, ...]:
        """Of what is carried besides h, as it stood before the first position."""
        return (self._grad_cell,)


class GRUSteps:
    """`h' = z*h + (1 - z)*g` with `g = tanh(below + r * from h)`; gates in the order r, z, g."""

    def __init__(self, sums: Tensor, state: State) -> None:
        units = sums.shape[-1] // 3
        self.hidden = _with_room(state[0], len(sums))
        self.r, self.z, self.g = self.gates = sums.chunk(3, -1)
        self.sums, self.reset_and_update = sums, sums[..., : 2 * units]
        self.candidate_from_h = torch.empty_like(self.g)

    def forward(self, position: int, from_h: Tensor) -> None:
        both, candidate = from_h.split((2 * self.g.shape[-1], self.g.shape[-1]), -1)
        self.reset_and_update[position].add_(both).sigmoid_()
        self.candidate_from_h[position] = candidate
        g = self.g[position].addcmul_(self.r[position], candidate).tanh_()
        z, new = self.z[position], self.hidden[position + 1]
        torch.mul(z, self.hidden[position], out=new).addcmul_(1 - z, g)

    @property
    def state(self) -> State:
        return (self.hidden[-1],)

    def begin_backward(self, grad_state: State) -> None:
        self.grad_sums, self.grad_from_h = (torch.empty_like(self.sums) for _ in range(2))
        self._grads = self.grad_sums.chunk(3, -1)

    def backward(self, position: int, grad_h: Tensor) -> tuple[Tensor, Tensor]:
        r, z, g = (gate[position] for gate in self.gates)
        to_r, to_z, to_g = (grad[position] for grad in self._grads)
        to_z.copy_(_through_sigmoid(grad_h * (self.hidden[position] - g), z))
        kept = grad_h * z
        to_g.copy_(_through_tanh(grad_h - kept, g))
        to_r.copy_(_through_sigmoid(to_g * self.candidate_from_h[position], r))
        grad = self.grad_from_h[position].copy_(self.grad_sums[position])
        grad[..., 2 * r.shape[-1] :].mul_(r)
        return grad, kept

    grad_state = ()


class RNNSteps:
    """`h' = tanh(below + from h)`."""

    def __init__(self, sums: Tensor, state: State) -> None:
        self.hidden, self.sums = _with_room(state[0], len(sums)), sums

    def forward(self, position: int, from_h: Tensor) -> None:
        torch.tanh(self.sums[position].add_(from_h), out=self.hidden[position + 1])

    @property
    def state(self) -> State:
        return (self.hidden[-1],)

    def begin_backward(self, grad_state: State) -> None:
        self.grad_from_h = self.grad_sums = torch.empty_like(self.sums)

    def backward(self, position: int, grad_h: Tensor) -> tuple[Tensor, None]:
        grad = self.grad_sums[position]
        return grad.copy_(_through_tanh(grad_h, self.hidden[position + 1])), None

    grad_state = ()


def read_recurrence(
    kind: Callable[[Tensor, State], Steps],
    inputs: Tensor,
    weights: tuple[Tensor, Tensor, Tensor, Tensor | None],
    state: State,
    dtype: torch.dtype,
) -> tuple[Tensor, State]:
    """Run a layer over `inputs` [T, B, I] from `state` [B, U] each -> h [T, B, U], new state.

    `weights`: of the inputs [G, I] and of h [G, U], the bias [G], and the bias that is added to
    what h alone gives [G], if any. Matrix products are in `dtype`.
    """
    # Torch's `apply` has no types.
    given = kind, dtype, inputs, *weights, *state
    hidden, *after = _Recurrence.apply(*given)  # type: ignore[no-untyped-call]
    return hidden, tuple(after)


class _Recurrence(torch.autograd.Function):
    """The steps with their gradient; what all positions need of a weight is one product."""

    @staticmethod
    def forward(
        ctx: Any,
        kind: Callable[[Tensor, State], Steps],
        dtype: torch.dtype,
        inputs: Tensor,
        of_inputs: Tensor,
        of_h: Tensor,
        bias: Tensor,
        bias_of_h: Tensor | None,
        *state: Tensor,
    ) -> tuple[Tensor, ...]:
        below, recurrent = (round_to(weight, dtype) for weight in (of_inputs, of_h))
        rows = round_to(inputs, dtype)
        sums = multiply(rows.flatten(0, 1), below.t(), dtype).view(*inputs.shape[:2], -1)
        steps = kind(sums.add_(bias), state)
        transposed = recurrent.t()
        for position in range(len(inputs)):
            from_h = multiply(round_to(steps.hidden[position], dtype), transposed, dtype)
            steps.forward(position, from_h if bias_of_h is None else from_h.add_(bias_of_h))
        ctx.save_for_backward(rows, below, recurrent)
        ctx.steps, ctx.dtype, ctx.has_bias_of_h = steps, dtype, bias_of_h is not None
        return steps.hidden[1:], *(part.clone() for part in steps.state)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad_hidden: Tensor, *grad_state: Tensor) -> tuple[Tensor | None, ...]:
        rows, below, recurrent = ctx.saved_tensors
        steps, dtype = ctx.steps, ctx.dtype
        steps.begin_backward(grad_state)
        grad_h = grad_state[0]
        for position in reversed(range(len(grad_hidden))):
            grad, carried = steps.backward(position, grad_h + grad_hidden[position])
            grad_h = multiply(round_to(grad, dtype), recurrent, dtype)
            grad_h = grad_h if carried is None else grad_h.add_(carried)
        grad_sums, grad_from_h = (
            round_to(grad.flatten(0, 1), dtype) for grad in (steps.grad_sums, steps.grad_from_h)
        )
        before = round_to(steps.hidden[:-1].flatten(0, 1), dtype)
        return (
            None,
            None,
            multiply(grad_sums, below, dtype).view_as(rows),
            multiply(grad_sums.t(), rows.flatten(0, 1), dtype),
            multiply(grad_from_h.t(), before, dtype),
            steps.grad_sums.sum((0, 1)),
            steps.grad_from_h.sum((0, 1)) if ctx.has_bias_of_h else None,
            grad_h,
            *steps.grad_state,
        )


def round_to(values: Tensor, dtype: torch.dtype) -> Tensor:
    """Values rounded to `dtype`; kept in float32 where the processor does not multiply that."""
    if values.dtype == torch.float64:
        return values
    rounded = values.to(dtype)
    return rounded if multiplies_natively(dtype, values.device) else rounded.to(torch.float32)


def multiply(left: Tensor, right: Tensor, dtype: torch.dtype) -> Tensor:
    """The product of two matrices that are rounded to `dtype`, summed in float32 and rounded to it
    once more: a new float32 tensor."""
    product = left @ right
    if product.dtype == torch.float64 or dtype == torch.float32:
        return product
    return product.to(dtype).to(torch.float32)


def _with_room(first: Tensor, positions: int) -> Tensor:
    """[B, U] -> [T+1, B, U] that begins with it."""
    values = first.new_empty(positions + 1, *first.shape)
    values[0] = first
    return values
