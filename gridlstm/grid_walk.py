"""The walk over the grid of a two-dimensional Grid LSTM, forward and back (Kalchbrenner, Danihelka
and Graves 2015, sections 3.1, 3.2, 3.5).

A grid of cells, one a layer and position. Each cell runs an LSTM along time, then one along depth
that sees the new time state ("priority", section 3.2). What does not depend on each other is done
at once: in step s the time LSTM of each layer l at position s - 2l, and its depth LSTM at position
s - 2l - 1. So one matrix product serves all layers, with tied weights it reads them once, and the
gates of both dimensions are computed together.

Shapes: L layers, T positions, B sequences, U units, S = T + 2L - 1 steps. Layers, positions and
steps count from 0 here. Dimension 0 is time, dimension 1 depth.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from gridlstm.cells import State, lstm_backward
from gridlstm.config import GATES

# Measured on CPUs: a product of a few rows with a weight of so many elements, too large for the
# near caches, takes half the time once oneDNN has put the weight in an order of its own.
LARGE_WEIGHT = 2**20


@dataclass(frozen=True)
class GridWeights:
    """Weights [W, 4U, 2U] and biases [W, 4U]; W = 1 where all layers share them, else L."""

    time_weight: Tensor
    time_bias: Tensor
    depth_weight: Tensor
    depth_bias: Tensor


@dataclass(frozen=True)
class Walk:
    """All that one pass over the grid computed, by step; where no cell is, some finite number.

    `inputs` [S+1, L+1, B, 3U]: before | h | now. In step s the time LSTM of layer l reads h | now,
    its depth LSTM before | h: `now` is what the layer below (the embedding, for layer 0) handed up
    in step s - 1, `before` what it did in step s - 2, `h` the time LSTM's own output of step s - 1.
    `gates` [S, 2, L, B, 4U]: i, f, o, g by dimension.
    `cells` [S+2, 2, L+1, B, U]: [s+2, dimension, l+1] was computed in step s; in time from
    [s+1, 0, l+1], in depth from [s, 1, l], the layer below, which for layer 0 is the memory 0.
    """

    positions: int
    inputs: Tensor
    gates: Tensor
    cells: Tensor

    @property
    def layers(self) -> int:
        return self.gates.shape[2]

    @property
    def units(self) -> int:
        return self.cells.shape[-1]

    @property
    def h(self) -> Tensor:
        """[S+1, L, B, U]: that of layer l and position t stands at [t + 2l + 1, l]."""
        return self.inputs[:, :-1, :, self.units : 2 * self.units]

    @property
    def now(self) -> Tensor:
        """[S+1, L+1, B, U]: what layer l handed up at position t stands at [t + 2l + 2, l + 1]."""
        return self.inputs[..., 2 * self.units :]

    @property
    def time_inputs(self) -> Tensor:
        """h | now [S, L, B, 2U]."""
        return self.inputs[:-1, :-1, :, self.units :]

    @property
    def depth_inputs(self) -> Tensor:
        """before | h [S, L, B, 2U]."""
        return self.inputs[:-1, :-1, :, : 2 * self.units]

    def active(self, step: int) -> slice:
        """The layers whose time LSTM has a position in this step, and depth LSTM in the next."""
        first = max(0, (step - self.positions + 2) // 2)
        return slice(first, max(first, min(self.layers, step // 2 + 1)))

    def steps(self) -> Iterator["Step"]:
        """The views that each step reads and writes."""
        units, inputs, cells = self.units, self.inputs, self.cells
        time, depth = self.gates.unflatten(-1, (4, units)).unbind(1)
        views = Step(
            h=self.h[:-1],
            now=self.now[:-1, :-1],
            time_inputs=self._rows(self.time_inputs),
            time_sums=self._rows(self.gates[:, 0]),
            depth_inputs=self._rows(self.depth_inputs, 1),
            depth_sums=self._rows(self.gates[:, 1], 1),
            sigmoids=self.gates[..., : 3 * units],
            candidates=self.gates[..., 3 * units :],
            cell=cells[1:-1, 0, 1:],
            memory=cells[:-2, 1, :-1],
            time_forget=time[..., 1, :],
            depth_forget=depth[..., 1, :],
            new_cell=cells[2:, 0, 1:],
            new_memory=cells[2:, 1, 1:],
            new_cells=cells[2:, :, 1:],
            write=self.gates[..., :units],
            time_output=time[..., 2, :],
            depth_output=depth[..., 2, :],
            new_h=self.h[1:],
            handed_up=self.now[1:, 1:],
            next_before=inputs[1:, :-1, :, :units],
        )
        return map(Step, *(x if isinstance(x, list) else x.unbind() for x in views))

    def _rows(self, by_step: Tensor, delay: int = 0) -> list[Tensor]:
        """Views of an array [S, L, B, X], one a step: the rows [n * B, X] of the n active layers.

        `delay` is 0 for the time LSTM, 1 for the depth LSTM.
        """
        batch = by_step.shape[2]
        views = list(by_step.flatten(1, 2).unbind())
        for step, of_step in enumerate(views):
            here = self.active(step - delay)
            if here.stop - here.start < self.layers:
                views[step] = of_step[here.start * batch : here.stop * batch]
        return views

    def straight(self, by_step: Tensor) -> Tensor:
        """View [layer, position, ...] of an array [step, layer, ...] that begins with a cell."""
        of_step, of_layer, *inner = by_step.stride()
        shape = self.layers, self.positions, *by_step.shape[2:]
        return by_step.as_strided(shape, (2 * of_step + of_layer, of_step, *inner))

    def quantities(self) -> dict[str, Tensor]:
        """Everything that a trace can hold, by name: views [L, T, B, U]."""
        values = {}
        for dimension, gates in (("time", self.gates[:, 0]), ("depth", self.gates[1:, 1])):
            for gate, of_gate in zip(GATES, self.straight(gates).chunk(4, dim=-1), strict=True):
                values[f"{dimension}.{gate}"] = of_gate
        values["time.cell"] = self.straight(self.cells[2:, 0, 1:])
        values["time.hidden"] = self.straight(self.h[1:])
        values["depth.cell"] = self.straight(self.cells[3:, 1, 1:])
        values["depth.hidden"] = self.straight(self.now[2:, 1:])
        return values

    def top_and_state(self) -> tuple[Tensor, Tensor, Tensor]:
        """The top layer's d [T, B, U], and h and c [L, B, U] after the last position."""
        top = self.now[2 * self.layers :, self.layers].clone()
        h = self.straight(self.h[1:])[:, -1].to(self.cells.dtype)
        return top, h.clone(), self.straight(self.cells[2:, 0, 1:])[:, -1].clone()


class Step(NamedTuple):
    """Views of a walk's arrays in one step, in the order of their use: [L, B, U], those of both
    dimensions [2, L, B, U], and rows [n * B, X] of the layers that are active."""

    h: Tensor
    now: Tensor
    time_inputs: Tensor
    time_sums: Tensor
    depth_inputs: Tensor
    depth_sums: Tensor
    sigmoids: Tensor
    candidates: Tensor
    cell: Tensor
    memory: Tensor
    time_forget: Tensor
    depth_forget: Tensor
    new_cell: Tensor
    new_memory: Tensor
    new_cells: Tensor
    write: Tensor
    time_output: Tensor
    depth_output: Tensor
    new_h: Tensor
    handed_up: Tensor
    next_before: Tensor


class Affine:
    """A weight [W, O, I] and bias [W, O], ready to be applied to the layers of a step."""

    def __init__(self, weight: Tensor, bias: Tensor, dtype: torch.dtype):
        weight, self.bias = weight.to(dtype), bias.to(dtype)
        self.shared = weight.shape[0] == 1
        self.weight = weight[0].t() if self.shared else weight.transpose(1, 2)
        self.packed = None
        if self.shared and _gains_by_packing(weight):
            self.packed = torch.ops.mkldnn._reorder_linear_weight(weight[0])

    def __call__(self, rows: Tensor, layers: slice, out: Tensor) -> None:
        """out [n * B, O] = rows [n * B, I] times each layer's weight [O, I] transposed, + bias."""
        if self.packed is not None:
            product = torch.ops.mkldnn._linear_pointwise
            out.copy_(product(rows, self.packed, self.bias[0], "none", [], ""))
        elif self.shared:
            _multiply(torch.addmm, self.bias[0], rows, self.weight, out)
        else:
            count = layers.stop - layers.start
            rows, out = rows.unflatten(0, (count, -1)), out.unflatten(0, (count, -1))
            _multiply(torch.baddbmm, self.bias[layers, None], rows, self.weight[layers], out)


def _gains_by_packing(weight: Tensor) -> bool:
    return (
        weight.device.type == "cpu"
        and weight.dtype == torch.float32
        and weight.numel() >= LARGE_WEIGHT
        and torch.backends.mkldnn.is_available()
    )


def _multiply(product, bias: Tensor, rows: Tensor, weight: Tensor, out: Tensor) -> None:
    if rows.dtype == out.dtype:
        product(bias, rows, weight, out=out)
    else:
        out.copy_(product(bias, rows, weight))


def walk_grid(
    weights: GridWeights, embedded: Tensor, state: State, mask: Tensor | None, dtype: torch.dtype
) -> Walk:
    """Run the grid over `embedded` [T, B, U] from `state`, h and c [L, B, U].

    `mask` [T, L-1, B, U] multiplies what layers 1.. receive from below (dropout). Matrix products
    are done in `dtype`, everything else in the type of `embedded`.
    """
    walk = _start_walk(embedded, state[0].shape[0], dtype)
    time = Affine(weights.time_weight, weights.time_bias, dtype)
    # The depth weight's columns are [h ; d], its inputs d | h.
    depth = Affine(weights.depth_weight.roll(walk.units, dims=-1), weights.depth_bias, dtype)
    for k, step in enumerate(walk.steps()):
        here, later = walk.active(k), walk.active(k - 1)
        first = k // 2
        if k % 2 == 0 and first < walk.layers:
            step.h[first], step.cell[first] = state[0][first], state[1][first]
        if mask is not None:
            _drop(step.now[here], mask, k, here)
        if len(step.time_inputs):
            time(step.time_inputs, here, step.time_sums)
        if len(step.depth_inputs):
            depth(step.depth_inputs, later, step.depth_sums)
        step.sigmoids.sigmoid_()
        step.candidates.tanh_()
        torch.mul(step.time_forget, step.cell, out=step.new_cell)
        torch.mul(step.depth_forget, step.memory, out=step.new_memory)
        step.new_cells.addcmul_(step.write, step.candidates)
        time_squashed, depth_squashed = torch.tanh(step.new_cells)
        torch.mul(step.time_output, time_squashed, out=step.new_h)
        torch.mul(step.depth_output, depth_squashed, out=step.handed_up)
        step.next_before.copy_(step.now)
    return walk


def _start_walk(embedded: Tensor, layers: int, dtype: torch.dtype) -> Walk:
    """A walk with nothing in it but the embedded bytes."""
    positions, batch, units = embedded.shape
    steps, new = positions + 2 * layers - 1, embedded.new_zeros
    walk = Walk(
        positions,
        inputs=new(steps + 1, layers + 1, batch, 3 * units, dtype=dtype),
        gates=new(steps, 2, layers, batch, 4 * units),
        cells=new(steps + 2, 2, layers + 1, batch, units),
    )
    walk.now[:positions, 0] = embedded
    return walk


def _drop(received: Tensor, mask: Tensor, step: int, here: slice) -> None:
    """Multiply what the active layers received from below [n, B, U] by the dropout mask."""
    start = max(here.start, 1)
    if start < here.stop:
        layer = torch.arange(start, here.stop, device=mask.device)
        received[start - here.start :].mul_(mask[step - 2 * layer, layer - 1])


@dataclass(frozen=True)
class Gradients:
    """Of the sums before the gates [S, 2, L, B, 4U], embedded bytes [T, B, U], state [L, B, U]."""

    gates: Tensor
    embedded: Tensor
    state: State


def walk_back(
    walk: Walk,
    weights: GridWeights,
    grad_top: Tensor,
    grad_state: State,
    mask: Tensor | None,
    dtype: torch.dtype,
) -> Gradients:
    """What flows back through a walk from the gradients of its top [T, B, U] and last state."""
    layers, positions, units = walk.layers, walk.positions, walk.units
    time_weight = weights.time_weight.to(dtype)
    depth_weight = weights.depth_weight.roll(units, dims=-1).to(dtype)
    gates = walk.inputs.new_zeros(walk.gates.shape)
    embedded, state = torch.empty_like(grad_top), tuple(map(torch.empty_like, grad_state))
    # On their way to the step before: of its outputs and its cells, by dimension. A depth memory
    # skips a step, as does what was read as `before`.
    to_outputs, to_cells = (grad_top.new_zeros(walk.gates[0, ..., :units].shape) for _ in range(2))
    to_memory, to_before = torch.zeros_like(to_cells[1]), 0
    for k in reversed(range(len(gates))):
        here, later = walk.active(k), walk.active(k - 1)
        if 0 <= k - 2 * layers + 1 < positions:
            to_outputs[1, -1] = grad_top[k - 2 * layers + 1]
        last, rest = divmod(k - positions + 1, 2)
        if rest == 0 and 0 <= last < layers:
            to_outputs[0, last] += grad_state[0][last]
            to_cells[0, last] += grad_state[1][last]
        came_in = torch.stack((walk.cells[k + 1, 0, 1:], walk.cells[k, 1, :-1]))
        new_cells = walk.cells[k + 2, :, 1:]
        gates[k], along = lstm_backward(walk.gates[k], came_in, new_cells, to_outputs, to_cells)
        to_time = _transposed(gates[k, 0, here], time_weight, here, grad_top.dtype)
        to_depth = _transposed(gates[k, 1, later], depth_weight, later, grad_top.dtype)

        to_outputs, to_cells = torch.zeros_like(to_outputs), torch.zeros_like(to_cells)
        to_outputs[0, here] = to_time[..., :units]
        to_outputs[0, later] += to_depth[..., units:]
        to_now, to_before = to_time[..., units:] + to_before, to_depth[..., :units]
        if mask is not None:
            _drop(to_now, mask, k, here)
        if k < positions:
            embedded[k], to_now = to_now[0], to_now[1:]
        below = slice(max(here.start - 1, 0), here.stop - 1)
        to_outputs[1, below] = to_now
        to_cells[0], to_cells[1, :-1], to_memory = along[0], to_memory[1:], along[1]
        first, rest = divmod(k, 2)
        if rest == 0 and first < layers:
            state[0][first], state[1][first] = to_outputs[0, first], to_cells[0, first]
            to_outputs[0, first], to_cells[0, first] = 0, 0
    return Gradients(gates, embedded, state)


def _transposed(gradient: Tensor, weight: Tensor, layers: slice, dtype: torch.dtype) -> Tensor:
    """Gradient [n, B, O] through each layer's weight [O, I]: [n, B, I]."""
    if weight.shape[0] == 1:
        return (gradient @ weight[0]).to(dtype)
    return torch.bmm(gradient, weight[layers]).to(dtype)


def weight_gradients(
    walk: Walk, gradient: Tensor, inputs: Tensor, weight: Tensor
) -> tuple[Tensor, Tensor]:
    """Gradients of a weight [W, O, I] and its bias [W, O], summed over all cells that used it."""
    if weight.shape[0] == 1:
        pairs = [(gradient.flatten(0, 2), inputs.flatten(0, 2))]
    else:
        pairs = zip(walk.straight(gradient), walk.straight(inputs), strict=True)
        pairs = [(g.flatten(0, 1), x.flatten(0, 1)) for g, x in pairs]
    products = torch.stack([g.t() @ x for g, x in pairs]).to(weight.dtype)
    sums = torch.stack([g.sum(0, dtype=weight.dtype) for g, _ in pairs])
    return products, sums
