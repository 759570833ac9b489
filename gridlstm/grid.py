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

from gridlstm.cells import Observation, State, lstm, lstm_backward
from gridlstm.config import GATES, ModelConfig


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
    `time_cell` [K+1, L, B, U]: entry [k+1, l] was computed on diagonal k, its forerunner is [k, l].
    `depth_cell`, `depth_hidden` [K+1, L+1, B, U]: entry [k+1, l+1] was computed on diagonal k from
    [k, l], the layer below; in layer 0 stand the memory 0 and the embedded bytes.
    """

    positions: int
    inputs: Tensor
    time_gates: Tensor
    depth_gates: Tensor
    time_cell: Tensor
    depth_cell: Tensor
    depth_hidden: Tensor

    @property
    def layers(self) -> int:
        return self.time_gates.shape[1]

    def on_diagonal(self, diagonal: int) -> slice:
        """The layers that have a cell on this diagonal."""
        return slice(max(0, diagonal - self.positions + 1), min(self.layers, diagonal + 1))


def straight(skewed: Tensor, positions: int, layers: int) -> Tensor:
    """View [layer, position, ...] of a skewed array [diagonal, layer, ...], from its first cell."""
    by_diagonal, by_layer, *inner = skewed.stride()
    return skewed.as_strided(
        (layers, positions, *skewed.shape[2:]), (by_diagonal + by_layer, by_diagonal, *inner)
    )


def affine(inputs: Tensor, weight: Tensor, bias: Tensor, layers: slice, out: Tensor) -> None:
    """out [n, B, O] = inputs [n, B, I] times each layer's weight [O, I] transposed, plus bias."""
    if weight.shape[0] == 1:
        rows, weight, result = inputs.flatten(0, 1), weight[0].t(), out.flatten(0, 1)
        product = torch.addmm
        bias = bias[0]
    else:
        rows, weight, result = inputs, weight[layers].transpose(1, 2), out
        product = torch.baddbmm
        bias = bias[layers, None]
    if inputs.dtype == out.dtype:
        product(bias, rows, weight, out=result)
    else:
        result.copy_(product(bias, rows, weight))


def walk_grid(
    weights: GridWeights, embedded: Tensor, state: State, mask: Tensor | None, dtype: torch.dtype
) -> Walk:
    """Run the grid over `embedded` [T, B, U] from `state`, h and c [L, B, U].

    `mask` [T, L-1, B, U] multiplies what layers 1.. receive from below (dropout). Matrix products
    are done in `dtype`, everything else in the type of `embedded`.
    """
    positions, batch, units = embedded.shape
    layers, diagonals = state[0].shape[0], positions + state[0].shape[0] - 1
    new = embedded.new_empty
    walk = Walk(
        positions,
        inputs=new(diagonals + 1, layers, batch, 3 * units, dtype=dtype),
        time_gates=new(diagonals, layers, batch, 4 * units),
        depth_gates=new(diagonals, layers, batch, 4 * units),
        time_cell=new(diagonals + 1, layers, batch, units),
        depth_cell=new(diagonals + 1, layers + 1, batch, units),
        depth_hidden=new(diagonals + 1, layers + 1, batch, units),
    )
    walk.depth_cell[:, 0] = 0
    walk.depth_hidden[:positions, 0] = embedded
    first = torch.arange(layers, device=embedded.device)
    walk.time_cell[first, first] = state[1]
    walk.inputs[first, first, :, :units] = state[0].to(dtype)
    # The depth weight's columns are [h ; d], those of `inputs` d | h.
    depth_weight = weights.depth_weight.roll(units, dims=-1).to(dtype)
    time_weight = weights.time_weight.to(dtype)
    time_bias, depth_bias = weights.time_bias.to(dtype), weights.depth_bias.to(dtype)
    hidden_buffer = new(layers, batch, units)

    for k in range(diagonals):
        here = walk.on_diagonal(k)
        above = slice(here.start + 1, here.stop + 1)
        inputs, hidden = walk.inputs[k, here], hidden_buffer[here]
        inputs[..., units : 2 * units] = walk.depth_hidden[k, here]
        if mask is not None:
            _drop(inputs[..., units : 2 * units], mask, k, here)
        time_gates, depth_gates = walk.time_gates[k, here], walk.depth_gates[k, here]

        affine(inputs[..., : 2 * units], time_weight, time_bias, here, time_gates)
        lstm(time_gates, walk.time_cell[k, here], walk.time_cell[k + 1, here], hidden)
        inputs[..., 2 * units :] = hidden
        walk.inputs[k + 1, here, :, :units] = hidden

        affine(inputs[..., units:], depth_weight, depth_bias, here, depth_gates)
        new_memory, new_hidden = walk.depth_cell[k + 1, above], walk.depth_hidden[k + 1, above]
        lstm(depth_gates, walk.depth_cell[k, here], new_memory, new_hidden)
    return walk


def _drop(received: Tensor, mask: Tensor, diagonal: int, here: slice) -> None:
    """Multiply what layers >= 1 of a diagonal received (or its gradient) by the dropout mask."""
    start = max(here.start, 1)
    if start >= here.stop:
        return
    layer = torch.arange(start, here.stop, device=mask.device)
    received[start - here.start :].mul_(mask[diagonal - layer, layer - 1])


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
                _drop(to_d, mask, k, here)
            along_h[here], along_c[here] = to_h_and_d[..., :units], along_c_before
            along_d[here], along_m[here] = to_d, along_m_below
            if here.start == 0:
                grad_embedded[k] = along_d[0]

        inputs = walk.inputs[:diagonals]
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
    units, layers, positions = walk.time_cell.shape[-1], walk.layers, walk.positions
    last = torch.arange(layers, device=walk.inputs.device)
    top = walk.depth_hidden[layers:, layers]
    hidden = walk.inputs[last + positions, last, :, :units].to(top.dtype)
    return top.clone(), hidden, walk.time_cell[last + positions, last]


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
            ("time.hidden", walk.inputs[..., 2 * self.units :]),
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
