"""The usual two-dimensional Grid LSTM's weights, and its walk (`grid_walk`) as a function with a
gradient: to train and to evaluate, the grid is walked along its diagonals; to be observed it is
read as all networks are."""

from typing import Any

import torch
from torch import Tensor, nn

from gridlstm.backends.grid_walk import (
    GridWeights,
    walk_back,
    walk_grid,
    weight_gradients,
)
from gridlstm.cells.arithmetic import State
from gridlstm.dropout import dropout_mask
from gridlstm.network import Network


class _GridFunction(torch.autograd.Function):
    """The walk with its gradient: step by step backward, the weights' in one product."""

    @staticmethod
    def forward(
        ctx: Any,
        time_weight: Tensor,
        time_bias: Tensor,
        depth_weight: Tensor,
        depth_bias: Tensor,
        embedded: Tensor,
        h: Tensor,
        c: Tensor,
        mask: Tensor | None,
        dtype: torch.dtype,
    ) -> tuple[Tensor, Tensor, Tensor]:
        weights = GridWeights(time_weight, time_bias, depth_weight, depth_bias)
        walk, affine = walk_grid(weights, dtype, embedded, (h, c), mask)
        ctx.walk, ctx.weights, ctx.affine = walk, weights, affine
        return walk.top_and_state()

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(
        ctx: Any, grad_top: Tensor, grad_h: Tensor, grad_c: Tensor
    ) -> tuple[Tensor | None, ...]:
        walk, weights = ctx.walk, ctx.weights
        back = walk_back(walk, ctx.affine, grad_top, (grad_h, grad_c))
        of_time, of_depth = weight_gradients(walk, back.sums, weights)
        return (*of_time, *of_depth, back.embedded, *back.state, None, None)


class GridNetwork(Network):
    """`tie` = "none" (each layer its own), "depth" (layers share the depth
    LSTM) or "all" (they share both, paper section 3.5)."""

    time_weight: nn.Parameter
    time_bias: nn.Parameter
    depth_weight: nn.Parameter
    depth_bias: nn.Parameter

    def add_parameters(self) -> None:
        """Those of all layers together, [W, ...]: W = 1 where layers share them."""
        config = self.config
        shape = 4 * config.units, 2 * config.units
        own = {"time": config.tie != "all", "depth": config.tie == "none"}
        for dimension, by_layer in own.items():
            count = config.layers if by_layer else 1
            self.register_parameter(f"{dimension}_weight", nn.Parameter(torch.zeros(count, *shape)))
            self.register_parameter(f"{dimension}_bias", nn.Parameter(torch.zeros(count, shape[0])))

    @property
    def weights(self) -> GridWeights:
        return GridWeights(self.time_weight, self.time_bias, self.depth_weight, self.depth_bias)

    def of(self, layer: int, name: str) -> Tensor:
        """One of a layer's tensors, the shared one where it has none of its own."""
        by_layer: Tensor = getattr(self, name.replace(".", "_"))
        return by_layer[layer if len(by_layer) > 1 else 0]

    def forward(self, embedded: Tensor, state: State) -> tuple[Tensor, State]:
        """embedded [T, B, U], state h and c [L, B, U] -> the top layer's d [T, B, U], new state."""
        mask, layers, dropout = None, self.config.layers, self.config.dropout
        if self.training and dropout > 0 and layers > 1:
            positions, batch, units = embedded.shape
            mask = dropout_mask(embedded, (positions, layers - 1, batch, units), dropout)
        device = embedded.device.type
        autocast = torch.is_autocast_enabled(device)
        dtype = torch.get_autocast_dtype(device) if autocast else embedded.dtype
        parameters = (self.time_weight, self.time_bias, self.depth_weight, self.depth_bias)
        if torch.is_grad_enabled():
            # Torch's `apply` has no types.
            given = *parameters, embedded, *state, mask, dtype
            top, h, c = _GridFunction.apply(*given)  # type: ignore[no-untyped-call]
        else:
            walk, _ = walk_grid(self.weights, dtype, embedded, state, mask)
            top, h, c = walk.top_and_state()
        return top, (h, c)
