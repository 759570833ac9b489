"""The two-dimensional Grid LSTM (Kalchbrenner, Danihelka and Graves 2015, sections 3.1, 3.2, 3.5).

A grid of cells, one a layer and position. Each cell runs an LSTM along time, then one along depth
that sees the new time state ("priority", section 3.2). Cells with the same layer + position do not
depend on each other, so the grid is computed diagonal by diagonal: one matrix product serves all
layers at once, and with tied weights reads them once.

Shapes: L layers, T positions, B sequences, U units, K = T + L - 1 diagonals. Layers and positions
count from 0 here, so that layer l stands at position k - l on diagonal k.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from gridlstm.cells import Observation, State, double_candidate, lstm, lstm_backward
from gridlstm.config import GATES, ModelConfig

# Measured with MKL on CPUs: a product of up to 3 rows with a weight too large for the near caches
# takes as long as reading the weight, one of 6 rows three times as long. So a few rows are taken 3
# at a time; many are better multiplied at once.
FEW_ROWS = 3
MANY_ROWS = 12
LARGE_WEIGHT = 2**22


@dataclass(frozen=True)
class GridWeights:
    """Weights [W, 4U, 2U] and biases [W, 4U]; W = 1 where all layers share them, else L."""

    time_weight: Tensor
    time_bias: Tensor
    depth_weight: Tensor
    depth_bias: Tensor


@dataclass(frozen=True)
class Walk:
    """All that one pass over the grid computed, skewed: index k holds the cells of a diagonal.

    `inputs` [K, L, B, 3U]: h of the position before | d of the layer below | the new h.
    `time_gates`, `depth_gates` [K, L, B, 4U]: i, f, o, g.
    `time_cell`, `time_hidden` [K+1, L, B, U]: entry [k+1, l] was computed on diagonal k; its
    forerunner is [k, l].
    `depth_cell`, `depth_hidden` [K+1, L+1, B, U]: entry [k+1, l+1] was computed on diagonal k from
    [k, l], the layer below; in layer 0 stand the memory 0 and the embedded bytes.
    """

    positions: int
    inputs: Tensor
    time_gates: Tensor
    depth_gates: Tensor
    time_cell: Tensor
    time_hidden: Tensor
    depth_cell: Tensor
    depth_hidden: Tensor

    @property
    def layers(self) -> int:
        return self.time_gates.shape[1]

    def on_diagonal(self, diagonal: int) -> slice:
        """The layers that have a cell on this diagonal."""
        return slice(max(0, diagonal - self.positions + 1), min(self.layers, diagonal + 1))

    def rows(self, skewed: Tensor) -> list[Tensor]:
        """Views of an array [K, L, B, X], one a diagonal: the rows [n * B, X] of its n cells."""
        batch = skewed.shape[2]
        views = list(skewed.flatten(1, 2).unbind())
        for k in {*range(self.layers - 1), *range(self.positions, len(views))}:
            here = self.on_diagonal(k)
            views[k] = views[k][here.start * batch : here.stop * batch]
        return views


def straight(skewed: Tensor, positions: int, layers: int) -> Tensor:
    """View [layer, position, ...] of a skewed array [diagonal, layer, ...], from its first cell."""
    by_diagonal, by_layer, *inner = skewed.stride()
    return skewed.as_strided(
        (layers, positions, *skewed.shape[2:]), (by_diagonal + by_layer, by_diagonal, *inner)
    )


class Affine:
    """A weight [W, O, I] and bias [W, O], ready to be applied to the cells of a diagonal."""

    def __init__(self, weight: Tensor, bias: Tensor, dtype: torch.dtype):
        weight = double_candidate(weight, 1).to(dtype)
        self.shared = weight.shape[0] == 1
        self.weight = weight[0].t() if self.shared else weight.transpose(1, 2)
        self.bias = double_candidate(bias, 1).to(dtype)
        on_cpu = weight.device.type == "cpu"
        self.rows_at_once = FEW_ROWS if on_cpu and weight[0].numel() >= LARGE_WEIGHT else None

    def __call__(self, rows: Tensor, layers: slice, out: Tensor) -> None:
        """out [n * B, O] = rows [n * B, I] times each layer's weight [O, I] transposed, plus bias.

        The candidate's sums come out doubled, as `lstm` wants them.
        """
        if not self.shared:
            count = layers.stop - layers.start
            rows, out = rows.unflatten(0, (count, -1)), out.unflatten(0, (count, -1))
            self._multiply(torch.baddbmm, self.bias[layers, None], rows, self.weight[layers], out)
        elif self.rows_at_once and rows.shape[0] <= MANY_ROWS:
            parts = zip(rows.split(self.rows_at_once), out.split(self.rows_at_once), strict=True)
            for some_rows, some_out in parts:
                self._multiply(torch.addmm, self.bias[0], some_rows, self.weight, some_out)
        else:
            self._multiply(torch.addmm, self.bias[0], rows, self.weight, out)

    @staticmethod
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
    walk = _start_walk(embedded, state, dtype)
    units = embedded.shape[-1]
    time = Affine(weights.time_weight, weights.time_bias, dtype)
    # The depth weight's columns are [h ; d], those of `inputs` d | h.
    depth = Affine(weights.depth_weight.roll(units, dims=-1), weights.depth_bias, dtype)

    rows, inputs = walk.rows, walk.inputs
    received = rows(inputs[..., units : 2 * units])
    h_before, new_h = rows(inputs[..., :units]), rows(inputs[..., 2 * units :])
    time_inputs, depth_inputs = rows(inputs[..., : 2 * units]), rows(inputs[..., units:])
    time_gates, depth_gates = rows(walk.time_gates), rows(walk.depth_gates)
    cell, new_cell = rows(walk.time_cell[:-1]), rows(walk.time_cell[1:])
    hidden, new_hidden = rows(walk.time_hidden[:-1]), rows(walk.time_hidden[1:])
    memory, new_memory = rows(walk.depth_cell[:-1, :-1]), rows(walk.depth_cell[1:, 1:])
    below, above = rows(walk.depth_hidden[:-1, :-1]), rows(walk.depth_hidden[1:, 1:])

    for k in range(len(received)):
        here = walk.on_diagonal(k)
        h_before[k].copy_(hidden[k])
        received[k].copy_(below[k])
        if mask is not None:
            _drop(received[k], mask, k, here)
        time(time_inputs[k], here, time_gates[k])
        lstm(time_gates[k], cell[k], new_cell[k], new_hidden[k])
        new_h[k].copy_(new_hidden[k])
        depth(depth_inputs[k], here, depth_gates[k])
        lstm(depth_gates[k], memory[k], new_memory[k], above[k])
    return walk


def _start_walk(embedded: Tensor, state: State, dtype: torch.dtype) -> Walk:
    """A walk with nothing in it but where it begins."""
    positions, batch, units = embedded.shape
    layers, diagonals = state[0].shape[0], positions + state[0].shape[0] - 1
    new = embedded.new_empty
    walk = Walk(
        positions,
        inputs=new(diagonals, layers, batch, 3 * units, dtype=dtype),
        time_gates=new(diagonals, layers, batch, 4 * units),
        depth_gates=new(diagonals, layers, batch, 4 * units),
        time_cell=new(diagonals + 1, layers, batch, units),
        time_hidden=new(diagonals + 1, layers, batch, units),
        depth_cell=new(diagonals + 1, layers + 1, batch, units),
        depth_hidden=new(diagonals + 1, layers + 1, batch, units),
    )
    walk.depth_cell[:, 0] = 0
    walk.depth_hidden[:positions, 0] = embedded
    first = torch.arange(layers, device=embedded.device)
    walk.time_hidden[first, first], walk.time_cell[first, first] = state
    return walk


def _drop(received: Tensor, mask: Tensor, diagonal: int, here: slice) -> None:
    """Multiply what a diagonal's layers >= 1 received, rows [n * B, U], by the dropout mask."""
    start = max(here.start, 1)
    if start >= here.stop:
        return
    layer = torch.arange(start, here.stop, device=mask.device)
    of_these = mask[diagonal - layer, layer - 1].flatten(0, 1)
    received[-len(of_these) :].mul_(of_these)


class _GridFunction(torch.autograd.Function):
    """The walk with its gradient: backward along the diagonals, the weights' in one product."""

    @staticmethod
    def forward(ctx, time_weight, time_bias, depth_weight, depth_bias, embedded, h, c, mask, dtype):
        weights = GridWeights(time_weight, time_bias, depth_weight, depth_bias)
        walk = walk_grid(weights, embedded, (h, c), mask, dtype)
        ctx.walk, ctx.weights, ctx.mask, ctx.dtype = walk, weights, mask, dtype
        return top_and_state(walk)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, grad_top, grad_h, grad_c):
        walk, weights, mask, dtype = ctx.walk, ctx.weights, ctx.mask, ctx.dtype
        layers, diagonals = walk.layers, walk.time_gates.shape[0]
        batch, units = walk.time_cell.shape[2:]
        time_weight = weights.time_weight.to(dtype)
        depth_weight = weights.depth_weight.roll(units, dims=-1).to(dtype)
        grad_time = walk.inputs.new_zeros(diagonals, layers, batch, 4 * units)
        grad_depth = torch.zeros_like(grad_time)
        # Gradients on their way to the cells of the next diagonal down: by layer, of h and c along
        # time, of d and m along depth (entry l is what layer l hands up, so entry 0 is the bytes).
        along_h, along_c = grad_h.clone(), grad_c.clone()
        along_d = grad_top.new_zeros(layers + 1, batch, units)
        along_m = torch.zeros_like(along_d)
        grad_embedded = torch.empty_like(grad_top)

        for k in reversed(range(diagonals)):
            here = walk.on_diagonal(k)
            above = slice(here.start + 1, here.stop + 1)
            if here.stop == layers:
                along_d[layers] = grad_top[k - layers + 1]
                along_m[layers] = 0
            grads, along_m_below = lstm_backward(
                walk.depth_gates[k, here],
                walk.depth_cell[k, here],
                walk.depth_cell[k + 1, above],
                along_d[above],
                along_m[above],
            )
            grad_depth[k, here] = grads
            to_d_and_h = _transposed(grad_depth[k, here], depth_weight, here, grads.dtype)
            along_h[here] += to_d_and_h[..., units:]
            grads, along_c_before = lstm_backward(
                walk.time_gates[k, here],
                walk.time_cell[k, here],
                walk.time_cell[k + 1, here],
                along_h[here],
                along_c[here],
            )
            grad_time[k, here] = grads
            to_h_and_d = _transposed(grad_time[k, here], time_weight, here, grads.dtype)
            to_d = to_h_and_d[..., units:] + to_d_and_h[..., :units]
            if mask is not None:
                _drop(to_d.flatten(0, 1), mask, k, here)
            along_h[here], along_c[here] = to_h_and_d[..., :units], along_c_before
            along_d[here], along_m[here] = to_d, along_m_below
            if here.start == 0:
                grad_embedded[k] = along_d[0]

        inputs = walk.inputs
        time = _weight_gradients(grad_time, inputs[..., : 2 * units], weights.time_weight, walk)
        depth = _weight_gradients(grad_depth, inputs[..., units:], weights.depth_weight, walk)
        depth_weight_gradient = depth[0].roll(units, dims=-1)
        return (*time, depth_weight_gradient, depth[1], grad_embedded, along_h, along_c, None, None)


def _transposed(gradient: Tensor, weight: Tensor, layers: slice, dtype: torch.dtype) -> Tensor:
    """Gradient [n, B, O] through each layer's weight [O, I]: [n, B, I]."""
    if weight.shape[0] == 1:
        return (gradient.flatten(0, 1) @ weight[0]).view(*gradient.shape[:2], -1).to(dtype)
    return torch.bmm(gradient, weight[layers]).to(dtype)


def _weight_gradients(
    gradient: Tensor, inputs: Tensor, weight: Tensor, walk: Walk
) -> tuple[Tensor, Tensor]:
    """Gradients of a weight [W, O, I] and its bias [W, O], summed over all cells that used it."""
    if weight.shape[0] == 1:
        # Cells outside the grid have gradient 0, but what lies in `inputs` there may be anything.
        for k in (*range(walk.layers), *range(walk.positions, gradient.shape[0])):
            here = walk.on_diagonal(k)
            inputs[k, : here.start] = 0
            inputs[k, here.stop :] = 0
        flat = gradient.flatten(0, 2)
        pairs = [(flat, inputs.flatten(0, 2))]
    else:
        gradient, inputs = (straight(x, walk.positions, walk.layers) for x in (gradient, inputs))
        pairs = [(g.flatten(0, 1), x.flatten(0, 1)) for g, x in zip(gradient, inputs, strict=True)]
    products = torch.stack([g.t() @ x for g, x in pairs]).to(weight.dtype)
    sums = torch.stack([g.sum(0, dtype=weight.dtype) for g, _ in pairs])
    return products, sums


def top_and_state(walk: Walk) -> tuple[Tensor, Tensor, Tensor]:
    """The top layer's d [T, B, U], and h and c [L, B, U] after the last position."""
    layers, positions = walk.layers, walk.positions
    last = torch.arange(layers, device=walk.inputs.device)
    top = walk.depth_hidden[layers:, layers].clone()
    return top, walk.time_hidden[last + positions, last], walk.time_cell[last + positions, last]


class GridLSTM(nn.Module):
    """The grid's weights: `tie` = "none" (each layer its own), "depth" (layers share the depth
    LSTM) or "all" (they share both, paper section 3.5)."""

    def __init__(self, config: ModelConfig):
        super().__init__()
        self.layers, self.units, self.dropout = config.layers, config.units, config.dropout
        shape = 4 * config.units, 2 * config.units
        own = {"time": config.tie != "all", "depth": config.tie == "none"}
        for dimension, by_layer in own.items():
            count = config.layers if by_layer else 1
            self.register_parameter(f"{dimension}_weight", nn.Parameter(torch.zeros(count, *shape)))
            self.register_parameter(f"{dimension}_bias", nn.Parameter(torch.zeros(count, shape[0])))

    @property
    def weights(self) -> GridWeights:
        return GridWeights(self.time_weight, self.time_bias, self.depth_weight, self.depth_bias)

    def initialise(self, forget_bias: float) -> None:
        """Add `forget_bias` to the forget gates of both dimensions."""
        with torch.no_grad():
            for bias in (self.time_bias, self.depth_bias):
                bias[:, self.units : 2 * self.units] = forget_bias

    def forward(self, embedded: Tensor, state: State) -> tuple[Tensor, State]:
        """embedded [T, B, U], state h and c [L, B, U] -> the top layer's d [T, B, U], new state."""
        mask = None
        if self.training and self.dropout > 0 and self.layers > 1:
            positions, batch, units = embedded.shape
            mask = dropout_mask(embedded, (positions, self.layers - 1, batch, units), self.dropout)
        device = embedded.device.type
        autocast = torch.is_autocast_enabled(device)
        dtype = torch.get_autocast_dtype(device) if autocast else embedded.dtype
        parameters = (self.time_weight, self.time_bias, self.depth_weight, self.depth_bias)
        if torch.is_grad_enabled():
            top, h, c = _GridFunction.apply(*parameters, embedded, *state, mask, dtype)
        else:
            top, h, c = top_and_state(walk_grid(self.weights, embedded, state, mask, dtype))
        return top, (h, c)

    def observe(self, embedded: Tensor, state: State) -> Observation:
        """All that happens inside over embedded [T, 1, U], without dropout, from a state."""
        walk = walk_grid(self.weights, embedded, state, None, embedded.dtype)
        values = {}
        for dimension, skewed in (("time", walk.time_gates), ("depth", walk.depth_gates)):
            gates = straight(skewed, walk.positions, walk.layers)[:, :, 0].chunk(4, dim=-1)
            for gate, of_gate in zip(GATES, gates, strict=True):
                values[f"{dimension}.{gate}"] = of_gate
        for quantity, skewed in (
            ("time.cell", walk.time_cell[1:]),
            ("time.hidden", walk.time_hidden[1:]),
            ("depth.cell", walk.depth_cell[1:, 1:]),
            ("depth.hidden", walk.depth_hidden[1:, 1:]),
        ):
            values[quantity] = straight(skewed, walk.positions, walk.layers)[:, :, 0]
        top, h, c = top_and_state(walk)
        return Observation(values, top, (h, c))

    def to_tensors(self) -> dict[str, Tensor]:
        """The tensors of a checkpoint by name (a shared one under layer 0)."""
        return {
            f"layers.{layer}.{dimension}.{kind}": getattr(self, f"{dimension}_{kind}")[layer]
            for dimension in ("time", "depth")
            for kind in ("weight", "bias")
            for layer in range(getattr(self, f"{dimension}_{kind}").shape[0])
        }

    @torch.no_grad()
    def load_tensors(self, tensors: dict[str, Tensor]) -> None:
        """Take the values of `to_tensors`' names and shapes."""
        for name, mine in self.to_tensors().items():
            mine.copy_(tensors[name])


def dropout_mask(like: Tensor, shape: tuple[int, ...], rate: float) -> Tensor:
    """A mask of 0 (with probability `rate`) and 1 / (1 - rate), of `like`'s type and device."""
    # Four 16-bit draws from each 64-bit one: on a CPU drawing costs more than comparing.
    count = torch.Size(shape).numel()
    draws = torch.empty((count + 3) // 4, dtype=torch.int64, device=like.device)
    draws = draws.random_(-(2**63), None).view(torch.int16)[:count].view(shape)
    return (draws >= round(rate * 2**16) - 2**15).to(like.dtype).mul_(1 / (1 - rate))
