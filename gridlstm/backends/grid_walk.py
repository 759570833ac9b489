"""The walk over the grid of a two-dimensional Grid LSTM, forward and back (Kalchbrenner, Danihelka
and Graves 2015, sections 3.1, 3.2, 3.5).

A grid of cells, one a layer and position. Each cell runs an LSTM along time, then one along depth
that sees the new time state ("priority", section 3.2). All of a step of
`gridlstm.schedules.diagonals` is done at once: so one matrix product serves all layers, with tied
weights it reads them once, and the gates of both dimensions are computed together.

Shapes: L layers, T positions, B sequences, U units, S = T + 2L - 1 steps. Layers, positions and
steps count from 0 here. Dimension 0 is time, dimension 1 depth.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import torch
from torch import Tensor

from gridlstm.backends.gates import fused_kernels, lstm_backward
from gridlstm.backends.linear import packed
from gridlstm.backends.plan import gains_by_packing
from gridlstm.cells.arithmetic import State, tanh
from gridlstm.schedules import diagonals

# An index into [2, L, ...]: of all, or of some layers of a dimension.
Part = tuple[()] | tuple[int, slice]


@dataclass(frozen=True)
class GridWeights:
    """Weights [W, 4U, 2U] and biases [W, 4U]; W = 1 where all layers share them, else L."""

    time_weight: Tensor
    time_bias: Tensor
    depth_weight: Tensor
    depth_bias: Tensor

    @property
    def units(self) -> int:
        return self.time_weight.shape[-1] // 2


@dataclass(frozen=True)
class Walk:
    """All that one pass over the grid computed, by step. Entries of no cell hold anything.

    `inputs` [S+1, L+1, B, 3U]: now | h | before. In step s the time LSTM of layer l reads now | h,
    its depth LSTM h | before: `now` is what the layer below (the embedding, for layer 0) handed up
    in step s - 1, `before` what it did in step s - 2, `h` the time LSTM's own output of step s - 1.
    `gates` [S, 2, L, B, 4U]: i, f, o, g by dimension.
    `cells` [S+2, 2, L+1, B, U]: step s reads [s, dimension, l]. It writes time cells to
    [s+1, 0, l], where the same layer reads them in the next step, and depth cells to
    [s+2, 1, l+1], where the layer above does two steps later. [:, 1, 0] is the memory 0.
    `masks` [S, L-1, B, U], or None: what layers 1.. read as `now` in each step is multiplied by it.
    """

    positions: int
    inputs: Tensor
    gates: Tensor
    cells: Tensor
    masks: Tensor | None

    @property
    def layers(self) -> int:
        return self.gates.shape[2]

    @property
    def units(self) -> int:
        return self.cells.shape[-1]

    @property
    def now(self) -> Tensor:
        """[S+1, L+1, B, U]: what layer l handed up at position t stands at [t + 2l + 2, l + 1]."""
        return self.inputs[..., : self.units]

    @property
    def h(self) -> Tensor:
        """[S+1, L, B, U]: that of layer l and position t stands at [t + 2l + 1, l]."""
        return self.inputs[:, :-1, :, self.units : 2 * self.units]

    @property
    def read(self) -> Tensor:
        """What the LSTMs of each step read, by dimension: now | h, h | before [S, 2, L, B, 2U]."""
        of_step, *inner = self.inputs.stride()
        shape = len(self.gates), 2, *self.gates.shape[2:4], 2 * self.units
        return self.inputs.as_strided(shape, (of_step, self.units, *inner))

    @property
    def outputs(self) -> Tensor:
        """Where each step writes its new h and what it hands up [S, 2, L, B, U]."""
        next_step = self.inputs[1:, :, :, self.units :]
        of_step, of_layer, *inner = next_step.stride()
        strides = of_step, of_layer - self.units, of_layer, *inner
        shape = *self.gates.shape[:4], self.units
        return next_step.as_strided(shape, strides, next_step.storage_offset())

    @property
    def new_cells(self) -> Tensor:
        """Where each step writes its cells [S, 2, L, B, U]."""
        next_step = self.cells[1:]
        of_step, of_dimension, of_layer, *inner = next_step.stride()
        strides = of_step, of_step + of_dimension + of_layer, of_layer, *inner
        shape = *self.gates.shape[:4], self.units
        return next_step.as_strided(shape, strides, next_step.storage_offset())

    @cached_property
    def order(self) -> list[tuple[slice, slice]]:
        """The layers whose time LSTM, and whose depth LSTM, have a position in each step."""
        return list(diagonals(self.layers, self.positions))

    def is_steady(self, step: int) -> bool:
        """Whether every layer has a position for its time LSTM and one for its depth LSTM."""
        return 2 * self.layers - 1 <= step < self.positions

    def parts(self, step: int) -> list[Part]:
        """Indices into [2, L, ...] of what is computed in a step: all, or layers by dimension."""
        if self.is_steady(step):
            return [()]
        return [part for part in enumerate(self.order[step]) if part[1].stop > part[1].start]

    def steps(self) -> Iterator["Step"]:
        """The views that each step reads and writes."""
        units = self.units
        write, forget, output, candidates = self.gates.chunk(4, dim=-1)
        lstms = Lstms(
            sigmoids=self.gates[..., : 3 * units],
            candidates=candidates,
            forget=forget,
            write=write,
            output=output,
            cells=self.cells[:-2, :, :-1],
            new_cells=self.new_cells,
            outputs=self.outputs,
        )
        return map(
            Step,
            self.read.unbind(),
            self.gates.unbind(),
            self.read.flatten(2, 3).unbind(),
            self.gates.flatten(2, 3).unbind(),
            map(Lstms, *(by_step.unbind() for by_step in lstms)),
            self.now[:-1, :-1].unbind(),
            self.inputs[1:, :-1, :, 2 * units :].unbind(),
        )

    def straight(self, by_step: Tensor) -> Tensor:
        """View [layer, position, ...] of an array [step, layer, ...] that begins with a cell."""
        of_step, of_layer, *inner = by_step.stride()
        shape = by_step.shape[1], self.positions, *by_step.shape[2:]
        strides = 2 * of_step + of_layer, of_step, *inner
        return by_step.as_strided(shape, strides, by_step.storage_offset())

    def top_and_state(self) -> tuple[Tensor, Tensor, Tensor]:
        """The top layer's d [T, B, U], and h and c [L, B, U] after the last position."""
        top = self.now[2 * self.layers :, self.layers].clone()
        h, c = (self.straight(x[:, 0])[:, -1] for x in (self.outputs, self.new_cells))
        return top, h.to(c.dtype, copy=True), c.clone()


class Lstms(NamedTuple):
    """What the LSTMs of a step are after their matrix product: [2, L, B, U], or a part of that.

    `sigmoids` [..., 3U] holds the gates i, f, o together.
    """

    sigmoids: Tensor
    candidates: Tensor
    forget: Tensor
    write: Tensor
    output: Tensor
    cells: Tensor
    new_cells: Tensor
    outputs: Tensor

    def at(self, part: Part) -> "Lstms":
        return Lstms(*(view[part] for view in self)) if part else self

    def update(self) -> None:
        """From sums to gates, in place, then `c' = f*c + i*g` and `h = o*tanh(c')`."""
        self.sigmoids.sigmoid_()
        tanh(self.candidates, out=self.candidates)
        torch.mul(self.forget, self.cells, out=self.new_cells)
        self.new_cells.addcmul_(self.write, self.candidates)
        torch.mul(self.output, tanh(self.new_cells), out=self.outputs)


class Step(NamedTuple):
    """Views of a walk's arrays in one step: [2, L, B, ...], as rows [2, L * B, ...], [L, B, U]."""

    read: Tensor
    sums: Tensor
    read_rows: Tensor
    sum_rows: Tensor
    lstms: Lstms
    now: Tensor
    next_before: Tensor


class Affine:
    """The time and the depth weights, ready to be applied to what the LSTMs of a step read.

    To make them ready costs more than to read one byte.
    """

    def __init__(self, weights: GridWeights, dtype: torch.dtype, rows: int):
        """Weights and biases in `dtype`, the type of the products, which have up to so many
        `rows`: all layers of all sequences."""
        self.dtype = dtype
        # A weight's columns are [h ; d], what the time LSTM reads is d | h.
        both = weights.time_weight.roll(weights.units, dims=-1), weights.depth_weight
        self.weights = [weight.to(dtype).transpose(1, 2) for weight in both]
        self.biases = [bias.to(dtype)[:, None] for bias in (weights.time_bias, weights.depth_bias)]
        self.joint = self.packed = None
        if all(len(weight) == 1 for weight in self.weights):
            size, weight = self.weights[0].numel(), self.weights[0]
            if gains_by_packing(size, rows, weight.device.type, weight.dtype):
                pairs = zip(self.weights, self.biases, strict=True)
                self.packed = [packed(weight[0].t(), bias[0, 0], rows) for weight, bias in pairs]
            else:
                self.joint = torch.cat(self.biases), torch.cat(self.weights)

    def __call__(self, step: Step, part: Part) -> None:
        """Write the sums before the gates of a part of a step's LSTMs, as `Walk.parts` has it."""
        if part:
            dimension, layers = part
            self._one(dimension, layers, step.read[part], step.sums[part])
        elif self.joint:
            bias, weight = self.joint
            _multiply(torch.baddbmm, bias, step.read_rows, weight, step.sum_rows)
        else:
            for dimension in range(2):
                self._one(dimension, slice(None), step.read[dimension], step.sums[dimension])

    def _one(self, dimension: int, layers: slice, read: Tensor, sums: Tensor) -> None:
        """The sums [n, B, 4U] of one dimension's n active layers, which read [n, B, 2U]."""
        weight, bias, rows = self.weights[dimension], self.biases[dimension], read.flatten(0, 1)
        if len(weight) > 1:
            _multiply(torch.baddbmm, bias[layers], read, weight[layers], sums)
        elif self.packed:
            sums.copy_(self.packed[dimension](rows).view_as(sums))
        else:
            _multiply(torch.addmm, bias[0], rows, weight[0], sums.flatten(0, 1))


def _multiply(
    product: Callable[..., Tensor], bias: Tensor, rows: Tensor, weight: Tensor, out: Tensor
) -> None:
    if rows.dtype == out.dtype:
        product(bias, rows, weight, out=out)
    else:
        out.copy_(product(bias, rows, weight))


def walk_grid(affine: Affine, embedded: Tensor, state: State, mask: Tensor | None) -> Walk:
    """Run the grid over `embedded` [T, B, U] from `state`, h and c [L, B, U].

    `mask` [T, L-1, B, U] multiplies what layers 1.. receive from below (dropout). Matrix products
    are done in the type of `affine`, everything else in the type of `embedded`.
    """
    walk = _start_walk(embedded, state, mask, affine.dtype)
    fused = fused_kernels(embedded)
    for k, step in enumerate(walk.steps()):
        if mask is not None:
            _drop(step.now[walk.order[k][0]], walk, k)
        for part in walk.parts(k):
            affine(step, part)
            lstms = step.lstms.at(part)
            if fused:
                fused.update(step.sums[part], lstms.cells, lstms.new_cells, lstms.outputs)
            else:
                lstms.update()
        step.next_before.copy_(step.now)
    return walk


def _start_walk(embedded: Tensor, state: State, mask: Tensor | None, dtype: torch.dtype) -> Walk:
    """A walk with nothing in it but where it begins."""
    positions, batch, units = embedded.shape
    layers = state[0].shape[0]
    steps, new = positions + 2 * layers - 1, embedded.new_empty
    walk = Walk(
        positions,
        inputs=new(steps + 1, layers + 1, batch, 3 * units, dtype=dtype),
        gates=new(steps, 2, layers, batch, 4 * units),
        cells=new(steps + 2, 2, layers + 1, batch, units),
        masks=None if mask is None else new(steps, *mask.shape[1:]),
    )
    # What no cell reads still meets the gradients, which are 0 there: it has to be finite.
    walk.inputs[: 2 * layers] = 0
    walk.inputs[positions:] = 0
    walk.now[:positions, 0] = embedded
    walk.cells[:, 1, 0] = 0
    layer = torch.arange(layers, device=embedded.device)
    walk.h[2 * layer, layer], walk.cells[2 * layer, 0, layer] = state[0].to(dtype), state[1]
    if mask is not None and walk.masks is not None:
        walk.straight(walk.masks[2:]).copy_(mask.transpose(0, 1))
    return walk


def _drop(received: Tensor, walk: Walk, step: int) -> None:
    """Multiply what a step's active layers received from below [n, B, U] by the step's mask."""
    here, _ = walk.order[step]
    start = max(here.start, 1)
    if start < here.stop and walk.masks is not None:
        received[start - here.start :].mul_(walk.masks[step, start - 1 : here.stop - 1])


@dataclass(frozen=True)
class Gradients:
    """Of the sums before the gates [2, S, L, B, 4U], embedded bytes [T, B, U], state [L, B, U]."""

    gates: Tensor
    embedded: Tensor
    state: State


def walk_back(
    walk: Walk,
    weights: GridWeights,
    grad_top: Tensor,
    grad_state: State,
    dtype: torch.dtype,
) -> Gradients:
    """What flows back through a walk from the gradients of its top [T, B, U] and last state."""
    layers, positions, units = walk.layers, walk.positions, walk.units
    time_weight, depth_weight = weights.time_weight.to(dtype), weights.depth_weight.to(dtype)
    new_cells, fused = walk.new_cells, fused_kernels(walk.gates)
    backward = fused.update_backward if fused else lstm_backward
    # By dimension first: those of a weight lie together for its product.
    grads = walk.gates.new_empty(walk.gates.transpose(0, 1).shape, dtype=dtype)
    embedded, state = torch.empty_like(grad_top), tuple(map(torch.empty_like, grad_state))
    # On their way to the step before: of its outputs and its cells, by dimension. A depth memory
    # skips a step, as does what was read as `before`.
    to_outputs, to_cells = (grad_top.new_zeros(walk.gates[0, ..., :units].shape) for _ in range(2))
    to_memory = torch.zeros_like(to_cells[1])
    to_before: Tensor | int = 0
    for k in reversed(range(len(walk.gates))):
        here, later = walk.order[k]
        if 0 <= k - 2 * layers + 1 < positions:
            to_outputs[1, -1] = grad_top[k - 2 * layers + 1]
        last, rest = divmod(k - positions + 1, 2)
        if rest == 0 and 0 <= last < layers:
            to_outputs[0, last].add_(grad_state[0][last])
            to_cells[0, last].add_(grad_state[1][last])
        if not walk.is_steady(k):
            grads[:, k] = 0
        to_came_in = torch.zeros_like(to_cells)
        for part in walk.parts(k):
            values = walk.gates[k], walk.cells[k, :, :-1], new_cells[k], to_outputs, to_cells
            backward(*(x[part] for x in (*values, grads[:, k], to_came_in)))
        to_time = _transposed(grads[0, k, here], time_weight, here, grad_top.dtype)
        to_depth = _transposed(grads[1, k, later], depth_weight, later, grad_top.dtype)

        to_outputs, to_cells = torch.zeros_like(to_outputs), torch.zeros_like(to_cells)
        to_outputs[0, here] = to_time[..., :units]
        to_outputs[0, later].add_(to_depth[..., :units])
        to_now, to_before = to_time[..., units:] + to_before, to_depth[..., units:]
        if walk.masks is not None:
            _drop(to_now, walk, k)
        if k < positions:
            embedded[k], to_now = to_now[0], to_now[1:]
        to_outputs[1, max(here.start - 1, 0) : here.stop - 1] = to_now
        to_cells[0], to_cells[1, :-1], to_memory = to_came_in[0], to_memory[1:], to_came_in[1]
        first, rest = divmod(k, 2)
        if rest == 0 and first < layers:
            state[0][first], state[1][first] = to_outputs[0, first], to_cells[0, first]
    return Gradients(grads, embedded, state)


def _transposed(gradient: Tensor, weight: Tensor, layers: slice, dtype: torch.dtype) -> Tensor:
    """Gradient [n, B, O] through each layer's weight [O, I]: [n, B, I]."""
    if weight.shape[0] == 1:
        return (gradient @ weight[0]).to(dtype)
    return torch.bmm(gradient, weight[layers]).to(dtype)


def weight_gradients(
    walk: Walk, gates: Tensor, weights: GridWeights
) -> list[tuple[Tensor, Tensor]]:
    """Gradients of weight [W, 4U, 2U] and bias [W, 4U], by dimension, from those of the sums."""
    read = walk.read
    time = _of_weight(walk, gates[0], read[:, 0], weights.time_weight)
    depth = _of_weight(walk, gates[1, 1:], read[1:, 1], weights.depth_weight)
    return [(time[0].roll(walk.units, dims=-1), time[1]), depth]


def _of_weight(walk: Walk, gradient: Tensor, read: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    """Gradients of one weight [W, O, I] and its bias [W, O], summed over all cells that used it."""
    if weight.shape[0] == 1:
        pairs = [(gradient.flatten(0, 2), read.flatten(0, 2))]
    else:
        by_layer = zip(walk.straight(gradient), walk.straight(read), strict=True)
        pairs = [(g.flatten(0, 1), x.flatten(0, 1)) for g, x in by_layer]
    products = torch.stack([g.t() @ x for g, x in pairs]).to(weight.dtype)
    # In the type of the products: torch widens all of a gradient before it sums it in another.
    sums = torch.stack([g.sum(0) for g, _ in pairs]).to(weight.dtype)
    return products, sums
