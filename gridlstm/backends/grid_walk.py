"""The walk over the grid of a two-dimensional Grid LSTM, forward and back (Kalchbrenner, Danihelka
and Graves 2015, sections 3.1, 3.2, 3.5).

A grid of cells, one a layer and position. Each cell runs an LSTM along time, then one along depth
that sees the new time state ("priority", section 3.2). All of a step of
`gridlstm.schedules.diagonals` is done at once: so one matrix product serves all layers, with tied
weights it reads them once, and the gates of both dimensions are computed together.

Shapes: L layers, T positions, B sequences, U units, S = T + 2L - 1 steps. Layers, positions and
steps count from 0 here. Dimension 0 is time, dimension 1 depth.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from gridlstm.backends.gates import fused_kernels, lstm_backward, lstm_forward
from gridlstm.backends.linear import packed
from gridlstm.backends.plan import gains_by_packing
from gridlstm.cells.arithmetic import State
from gridlstm.schedules import diagonals

# An index into [2, L, ...]: dimensions, and their layers, that are computed at once.
Part = tuple[slice, slice]
TIME, DEPTH, BOTH = slice(0, 1), slice(1, 2), slice(0, 2)


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

    `inputs` [S+2, L+1, B, 3U]: now | h | before. In step s the time LSTM of layer l reads now | h,
    its depth LSTM h | before: `now` is what the layer below (the embedding, for layer 0) handed up
    in step s - 1, `before` what it did in step s - 2, `h` the time LSTM's own output of step s - 1.
    `gates` [S, 2, L, B, 4U]: i, f, o, g by dimension.
    `cells` [S+2, 2, L+1, B, U]: step s reads [s, dimension, l]. It writes time cells to
    [s+1, 0, l], where the same layer reads them in the next step, and depth cells to
    [s+2, 1, l+1], where the layer above does two steps later. [:, 1, 0] is the memory 0.
    `masks` [S, L, B, U], or None: what the depth LSTMs of each step hand up is multiplied by it.
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
        """[S+2, L+1, B, U]: what layer l handed up at position t stands at [t + 2l + 2, l + 1]."""
        return self.inputs[..., : self.units]

    @property
    def h(self) -> Tensor:
        """[S+2, L, B, U]: that of layer l and position t stands at [t + 2l + 1, l]."""
        return self.inputs[:, :-1, :, self.units : 2 * self.units]

    @property
    def before(self) -> Tensor:
        """[S+2, L+1, B, U]: what layer l handed up at position t stands at [t + 2l + 3, l + 1]."""
        return self.inputs[..., 2 * self.units :]

    @property
    def read(self) -> Tensor:
        """What the LSTMs of each step read, by dimension: now | h, h | before [S, 2, L, B, 2U]."""
        of_step, *inner = self.inputs.stride()
        shape = len(self.gates), 2, *self.gates.shape[2:4], 2 * self.units
        return self.inputs.as_strided(shape, (of_step, self.units, *inner))

    @property
    def outputs(self) -> Tensor:
        """Where each step writes its new h and what it hands up [S, 2, L, B, U]."""
        return _by_dimension(self.h[1:], self.now[1:, 1:], len(self.gates))

    @property
    def copies(self) -> Tensor:
        """Where each step writes what it hands up once more [S, L, B, U]."""
        return self.before[2:, 1:]

    @property
    def cells_read(self) -> Tensor:
        """The cells that each step reads [S, 2, L, B, U]."""
        return self.cells[:-2, :, :-1]

    @property
    def new_cells(self) -> Tensor:
        """Where each step writes its cells [S, 2, L, B, U]."""
        return new_cells(self.cells)

    @cached_property
    def order(self) -> list[tuple[slice, slice]]:
        """The layers whose time LSTM, and whose depth LSTM, have a position in each step."""
        return list(diagonals(self.layers, self.positions))

    def parts(self, step: int) -> list[Part]:
        """What is computed in a step: both dimensions at once where the same layers are."""
        time, depth = self.order[step]
        if time == depth:
            return [(BOTH, time)]
        parts = (TIME, time), (DEPTH, depth)
        return [part for part in parts if part[1].stop > part[1].start]

    def straight(self, by_step: Tensor) -> Tensor:
        """View [layer, position, ...] of an array [step, layer, ...] that begins with a cell."""
        of_step, of_layer, *inner = by_step.stride()
        shape = by_step.shape[1], self.positions, *by_step.shape[2:]
        strides = 2 * of_step + of_layer, of_step, *inner
        return by_step.as_strided(shape, strides, by_step.storage_offset())

    def top_and_state(self) -> tuple[Tensor, Tensor, Tensor]:
        """The top layer's d [T, B, U], and h and c [L, B, U] after the last position."""
        first = 2 * self.layers
        top = self.now[first : first + self.positions, self.layers].clone()
        h, c = (self.straight(x[:, 0])[:, -1] for x in (self.outputs, self.new_cells))
        return top, h.to(c.dtype, copy=True), c.clone()


def new_cells(cells: Tensor) -> Tensor:
    """Where each step writes to an array that is as `Walk.cells` [S, 2, L, B, U]."""
    return _by_dimension(cells[1:, 0, :-1], cells[2:, 1, 1:], len(cells) - 2)


def _by_dimension(time: Tensor, depth: Tensor, steps: int) -> Tensor:
    """View [steps, 2, ...] of two views [step, ...] of one array, of which the second begins later
    and has the same strides."""
    of_step, *inner = time.stride()
    apart = depth.storage_offset() - time.storage_offset()
    shape = steps, 2, *time.shape[1:]
    return time.as_strided(shape, (of_step, apart, *inner), time.storage_offset())


class Affine:
    """The time and the depth weights, ready to be applied to what the LSTMs of a step read, and to
    the gradients of their sums.

    To make them ready costs more than to read one byte.
    """

    def __init__(
        self, weights: GridWeights, dtype: torch.dtype, rows: int, *, adds_bias: bool = True
    ):
        """Weights and biases in `dtype`, the type of the products, which have up to so many
        `rows`: all layers of all sequences. A bias may be left to the kernel that follows."""
        self.dtype, self.adds_bias = dtype, adds_bias
        # A weight's columns are [h ; d], what the time LSTM reads is d | h.
        own = weights.time_weight.to(dtype).roll(weights.units, dims=-1), weights.depth_weight
        self.weights = [weight.to(dtype).transpose(1, 2) for weight in own]
        biases = weights.time_bias, weights.depth_bias
        self.biases = [bias.to(dtype)[:, None] for bias in biases] if adds_bias else []
        self.joint = self.packed = None
        if all(len(weight) == 1 for weight in self.weights):
            size, weight = self.weights[0].numel(), self.weights[0]
            if gains_by_packing(size, rows, weight.device.type, weight.dtype):
                pairs = zip(self.weights, self.biases, strict=True)
                self.packed = [packed(weight[0].t(), bias[0, 0], rows) for weight, bias in pairs]
            else:
                joint = torch.cat([weight.transpose(1, 2) for weight in self.weights])
                self.joint = joint.transpose(1, 2)
                self.weights = list(self.joint.split(1))
                self.joint_bias = torch.cat(self.biases) if adds_bias else None

    def __call__(self, read: Tensor, sums: Tensor, part: Part) -> None:
        """Write the sums before the gates [D, n, B, 4U] of a part that reads [D, n, B, 2U]."""
        dimensions, layers = part
        if self.joint is not None and dimensions == BOTH:
            rows, out = read.flatten(1, 2), sums.flatten(1, 2)
            self._multiply(torch.baddbmm, self.joint_bias, rows, self.joint, out)
        else:
            for dimension, *arrays in zip(range(2)[dimensions], read, sums, strict=True):
                self._one(dimension, layers, *arrays)

    def _one(self, dimension: int, layers: slice, inputs: Tensor, sums: Tensor) -> None:
        """The sums [n, B, 4U] of one dimension's n active layers, which read [n, B, 2U]."""
        weight, rows = self.weights[dimension], inputs.flatten(0, 1)
        bias = self.biases[dimension] if self.adds_bias else None
        if len(weight) > 1:
            bias = None if bias is None else bias[layers]
            self._multiply(torch.baddbmm, bias, inputs, weight[layers], sums)
        elif self.packed:
            sums.copy_(self.packed[dimension](rows).view_as(sums))
        else:
            bias = None if bias is None else bias[0]
            self._multiply(torch.addmm, bias, rows, weight[0], sums.flatten(0, 1))

    def _multiply(
        self,
        product: Callable[..., Tensor],
        bias: Tensor | None,
        rows: Tensor,
        weight: Tensor,
        out: Tensor,
    ) -> None:
        if bias is None:
            torch.matmul(rows, weight, out=out)
        elif rows.dtype == out.dtype:
            product(bias, rows, weight, out=out)
        else:
            out.copy_(product(bias, rows, weight))

    def backward(self, grad_sums: Tensor, grad_read: Tensor, part: Part) -> None:
        """Write the gradients of what a part read [D, n, B, 2U] from those of its sums
        [D, n, B, 4U], all in the type of the products."""
        dimensions, layers = part
        if self.joint is not None and dimensions == BOTH:
            rows, weight = grad_sums.flatten(1, 2), self.joint.transpose(1, 2)
            torch.bmm(rows, weight, out=grad_read.flatten(1, 2))
            return
        for dimension, grad, out in zip(range(2)[dimensions], grad_sums, grad_read, strict=True):
            weight = self.weights[dimension].transpose(1, 2)
            if len(weight) > 1:
                torch.bmm(grad, weight[layers], out=out)
            else:
                torch.mm(grad.flatten(0, 1), weight[0], out=out.flatten(0, 1))


def walk_grid(
    weights: GridWeights,
    dtype: torch.dtype,
    embedded: Tensor,
    state: State,
    mask: Tensor | None,
) -> tuple[Walk, Affine]:
    """Run the grid over `embedded` [T, B, U] from `state`, h and c [L, B, U].

    `mask` [T, L-1, B, U] multiplies what layers 1.. receive from below (dropout). Matrix products
    are done in `dtype`, everything else in the type of `embedded`. The kernels of a GPU read sums
    and leave gates in `dtype`: half the bytes, and products round sums to it anyway.
    """
    fused = fused_kernels(embedded)
    affine = Affine(weights, dtype, rows=state[0][..., 0].numel(), adds_bias=fused is None)
    walk = _start_walk(embedded, state, mask, dtype, dtype if fused else embedded.dtype)
    update = fused.update if fused else lstm_forward
    bias = None if fused is None else _biases(weights, walk)
    of_update = walk.gates, walk.cells_read, walk.new_cells, walk.outputs
    read, copies = walk.read, walk.copies
    for k in range(len(walk.gates)):
        for part in walk.parts(k):
            gates, *others = (array[k][part] for array in of_update)
            affine(read[k][part], gates, part)
            dimensions, layers = part
            hands_up = dimensions != TIME
            update(
                gates,
                *others,
                bias=None if bias is None else bias[part],
                mask=walk.masks[k, layers] if hands_up and walk.masks is not None else None,
                copy=copies[k, layers] if hands_up else None,
            )
    return walk, affine


def _biases(weights: GridWeights, walk: Walk) -> Tensor:
    """View of the biases of each dimension and layer, for all sequences [2, L, B, 4U]."""
    layers, sequences = walk.gates.shape[2:4]
    biases = [bias.expand(layers, -1) for bias in (weights.time_bias, weights.depth_bias)]
    return torch.stack(biases)[:, :, None].expand(-1, -1, sequences, -1)


def _start_walk(
    embedded: Tensor,
    state: State,
    mask: Tensor | None,
    dtype: torch.dtype,
    gate_dtype: torch.dtype,
) -> Walk:
    """A walk with nothing in it but where it begins."""
    positions, batch, units = embedded.shape
    layers = state[0].shape[0]
    steps, new = positions + 2 * layers - 1, embedded.new_empty
    walk = Walk(
        positions,
        inputs=new(steps + 2, layers + 1, batch, 3 * units, dtype=dtype),
        gates=new(steps, 2, layers, batch, 4 * units, dtype=gate_dtype),
        cells=new(steps + 2, 2, layers + 1, batch, units),
        masks=None if mask is None else new(steps, layers, batch, units),
    )
    walk.now[:positions, 0] = embedded
    walk.before[1 : positions + 1, 0] = embedded
    walk.cells[:, 1, 0] = 0
    layer = torch.arange(layers, device=embedded.device)
    walk.h[2 * layer, layer], walk.cells[2 * layer, 0, layer] = state[0].to(dtype), state[1]
    if mask is not None and walk.masks is not None:
        walk.straight(walk.masks[1:])[:-1].copy_(mask.transpose(0, 1))
        walk.masks[:, -1] = 1
    return walk


class SumGradients:
    """Gradients of the sums before the gates, `rows` [2, C, B, 4U], of the C = L * T cells alone,
    in the order of steps and then of layers."""

    def __init__(self, walk: Walk, dtype: torch.dtype) -> None:
        self._walk, self._starts = walk, [0]
        for time, _ in walk.order:
            self._starts.append(self._starts[-1] + time.stop - time.start)
        _, _, *inner = walk.gates.shape[1:]
        self.rows = walk.gates.new_empty(2, self._starts[-1], *inner, dtype=dtype)

    def at(self, step: int, part: Part) -> Tensor:
        """View of those of a part of a step [D, n, B, 4U]."""
        dimensions, layers = part
        # The depth LSTMs of a step are those of the cells whose time LSTM was in the step before.
        starts = [self._starts[step], self._starts[step - 1]][dimensions]
        count = layers.stop - layers.start
        views: list[Tensor] = []
        for rows, start in zip(self.rows[dimensions], starts, strict=True):
            views.append(rows[start : start + count])
        if len(views) == 1:
            return views[0][None]
        apart = views[1].storage_offset() - views[0].storage_offset()
        shape, strides = (2, *views[0].shape), (apart, *views[0].stride())
        return views[0].as_strided(shape, strides, views[0].storage_offset())

    def of_layer(self, dimension: int, layer: int) -> Tensor:
        """Those of a layer, position after position [T * B, 4U]."""
        steps = range(2 * layer, 2 * layer + self._walk.positions)
        of_steps = [self._starts[k] + layer - self._walk.order[k][0].start for k in steps]
        return torch.cat([self.rows[dimension, row] for row in of_steps])


@dataclass(frozen=True)
class Gradients:
    """Of the sums before the gates, embedded bytes [T, B, U], state [L, B, U]."""

    sums: SumGradients
    embedded: Tensor
    state: State


def walk_back(walk: Walk, affine: Affine, grad_top: Tensor, grad_state: State) -> Gradients:
    """What flows back through a walk from the gradients of its top [T, B, U] and last state.

    Each step writes the gradients of what it read and of its cells to where the steps before read
    them: `to_read` [S+2, 2, L+1, B, 2U], `to_cells` as `Walk.cells`.
    """
    layers, positions, units = walk.layers, walk.positions, walk.units
    steps, _, _, sequences, _ = walk.gates.shape
    new = grad_top.new_empty
    to_read = new(steps + 2, 2, layers + 1, sequences, 2 * units, dtype=affine.dtype)
    to_cells = torch.empty_like(walk.cells)
    # After the last cells: the top's, which no layer reads, and those of the last position.
    to_read[2 * layers : 2 * layers + positions, 0, -1, :, :units] = grad_top
    to_read[2 * layers + 1 :, 1, -1, :, units:] = 0
    to_cells[:, 1, -1] = 0
    layer = torch.arange(layers, device=grad_top.device)
    last, first = 2 * layer + positions, 2 * layer
    to_read[last, 0, layer, :, units:] = grad_state[0].to(affine.dtype)
    to_cells[last, 0, layer] = grad_state[1]

    # h is read by the time LSTM and the depth LSTM of the next step; what is handed up by the time
    # LSTM above in the next step, and by its depth LSTM in the one after.
    of_time, of_depth = to_read[:, 0], to_read[:, 1]
    to_outputs = _by_dimension(of_time[1:, :-1, :, units:], of_time[1:, 1:, :, :units], steps)
    to_copies = _by_dimension(of_depth[1:, :-1, :, :units], of_depth[2:, 1:, :, units:], steps)
    fused = fused_kernels(walk.cells)
    backward: Callable[..., None] = fused.update_backward if fused else lstm_backward
    sums = SumGradients(walk, affine.dtype)
    given = walk.gates, walk.cells_read, walk.new_cells, to_outputs, new_cells(to_cells)
    to_cells_read, to_read_here = to_cells[:-2, :, :-1], to_read[:, :, :-1]
    for k in reversed(range(steps)):
        for part in walk.parts(k):
            dimensions, here = part
            of_sums = sums.at(k, part)
            masks = None if dimensions == TIME else walk.masks
            backward(
                *(array[k][part] for array in given),
                of_sums,
                to_cells_read[k][part],
                grad_copy=to_copies[k][part],
                mask=None if masks is None else masks[k, here],
            )
            affine.backward(of_sums, to_read_here[k][part], part)
    embedded = torch.add(of_time[:positions, 0, :, :units], of_depth[1:][:positions, 0, :, units:])
    to_h, to_c = of_time[first, layer][..., units:], to_cells[first, 0, layer]
    return Gradients(sums, embedded.to(walk.cells.dtype), (to_h.to(walk.cells.dtype), to_c))


def weight_gradients(
    walk: Walk, sums: SumGradients, weights: GridWeights
) -> list[tuple[Tensor, Tensor]]:
    """Gradients of weight [W, 4U, 2U] and bias [W, 4U], by dimension, from those of the sums."""
    time = _of_weight(walk, sums, 0, weights.time_weight, roll=walk.units)
    return [time, _of_weight(walk, sums, 1, weights.depth_weight)]


def _of_weight(
    walk: Walk, sums: SumGradients, dimension: int, weight: Tensor, roll: int = 0
) -> tuple[Tensor, Tensor]:
    """Gradients of one weight [W, O, I] and its bias [W, O], summed over all cells that used it."""
    inputs = walk.read[:, dimension]
    if weight.shape[0] == 1:
        used = torch.cat([inputs[k, part[dimension]] for k, part in enumerate(walk.order)])
        pairs = [(sums.rows[dimension].flatten(0, 1), used.flatten(0, 1))]
    else:
        by_layer = enumerate(walk.straight(inputs[dimension:]))
        pairs = [(sums.of_layer(dimension, layer), x.flatten(0, 1)) for layer, x in by_layer]
    products = torch.stack([g.t() @ x for g, x in pairs])
    if roll:
        products = products.roll(roll, dims=-1)
    # In the type of the products: torch widens all of a gradient before it sums it in another.
    added = torch.stack([g.sum(0) for g, _ in pairs])
    return products.to(weight.dtype), added.to(weight.dtype)
