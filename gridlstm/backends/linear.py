"""Products of many rows with the same weight, and weights made ready for them."""

from collections.abc import Callable, Hashable
from functools import cached_property, partial
from typing import Any, Protocol, TypeVar

import torch
from torch import Tensor
from torch.nn import functional

from gridlstm.backends.feedback import FeedbackWeights
from gridlstm.backends.plan import (
    MAX_ROWS_IN_FLOAT16,
    MIN_LARGE,
    Shape,
    gains_by_columns,
    gains_by_packing,
    needs_plain_products,
    packs_weights,
)
from gridlstm.cells.arithmetic import LinearMap
from gridlstm.config import ModelConfig

# Of a weight at a time, so that what is computed to check it stays in the near caches.
ROWS_CHECKED = 32


class Linear:
    """`x -> x weight^T + bias` for rows x [..., I], with a weight [O, I] and a bias [O] or none.

    `ready` says whether so many rows will be asked for that a weight made ready for them gains.
    """

    def __init__(self, weight: Tensor, bias: Tensor | None = None, *, ready: bool = True) -> None:
        self._plain = partial(functional.linear, weight=weight, bias=bias)
        self._weight, self._bias, self._ready = weight, bias, ready
        self._packed: LinearMap | None = None
        self._columns: Tensor | None = None

    def over(self, rows: int) -> LinearMap:
        """The function for so many rows at a time. Where gradients are recorded, it has one."""
        if not self._ready or needs_plain_products("cpu"):
            return self._plain
        size, device, dtype = self._weight.numel(), self._weight.device.type, self._weight.dtype
        if not gains_by_packing(size, rows, device, dtype):
            return self._plain
        if self._packed is None:
            self._packed = packed(self._weight, self._bias, rows)
        return self._packed

    def adding(self, rows: int) -> Callable[[Tensor, Tensor], Tensor]:
        """The function `sums, x -> sums + x weight^T + bias`, written over the sums [rows, O]. It
        has no gradient."""
        product = self.over(rows)
        if product is not self._plain or self._bias is not None:
            return lambda sums, x: sums.add_(product(x))
        if self._columns is None:
            columns = self._weight.detach().t()
            gains = self._ready and gains_by_columns(rows, self._weight.numel())
            self._columns = columns.contiguous() if gains else columns
        by_column = self._columns
        return lambda sums, x: sums.addmm_(x, by_column)


_Made = TypeVar("_Made")


class Tensors(Protocol):
    """What is asked of a `gridlstm.network.Network`."""

    @property
    def config(self) -> ModelConfig:
        """Of which model the layers are."""

    def of(self, layer: int, name: str) -> Tensor:
        """One of a layer's tensors."""

    def torch_weights(self, layer: int) -> list[Tensor]:
        """The weights of a layer along time as torch's recurrences take them."""


class LayerWeights:
    """The weights of a network's layers, each made ready once for all that is read with them.

    It shows what the weights were when they were first used. `shape` says what is to be read.
    """

    def __init__(self, network: Tensors, shape: Shape) -> None:
        self._network, self._shape = network, shape
        self._made: dict[Hashable, Any] = {}
        self._own = network.config.layer_shapes()

    def linear(self, layer: int, dimension: str, part: str, rows: slice = slice(None)) -> Linear:
        """That of some rows of a dimension's weight [h ; inputs]: of the part of "hidden" states,
        without the bias, of the "inputs", or of "both"."""
        home = self._home(layer, f"{dimension}.weight")
        key = home, dimension, part, rows.start, rows.stop
        return self._once(key, lambda: self._linear(home, dimension, part, rows))

    def tensor(self, layer: int, name: str) -> Tensor:
        """One of a layer's tensors, the shared one where it has none of its own."""
        return self._once((layer, name), lambda: self._network.of(layer, name))

    def torch_weights(self, layer: int) -> list[Tensor]:
        """The weights of a layer along time as torch's recurrences take them."""
        home = self._home(layer, "time.weight")
        return self._once(home, lambda: self._network.torch_weights(home))

    def feedback(self) -> FeedbackWeights:
        """Those of all layers with gated feedback."""
        config, of = self._network.config, self._network.of
        tensors = (
            {name: of(layer, name) for name in config.form.layer(config, layer)}
            for layer in range(config.layers)
        )
        return self._once("feedback", lambda: FeedbackWeights.of(tensors))

    @cached_property
    def in_float16(self) -> bool:
        """Whether the weights of all layers' hidden states along time can be read in float16."""
        layers = {self._home(n, "time.weight") for n in range(self._network.config.layers)}
        weights = (self._network.of(layer, "time.weight") for layer in layers)
        return all(weight.numel() >= 2 * MIN_LARGE and reads_float16(weight) for weight in weights)

    def _home(self, layer: int, name: str) -> int:
        return layer if f"layers.{layer}.{name}" in self._own else 0

    def _once(self, key: Hashable, make: Callable[[], _Made]) -> _Made:
        if key not in self._made:
            self._made[key] = make()
        made: _Made = self._made[key]
        return made

    def _linear(self, home: int, dimension: str, part: str, rows: slice) -> Linear:
        weight = self._network.of(home, f"{dimension}.weight")[rows]
        bias = self._network.of(home, f"{dimension}.bias")[rows]
        units, config = self._network.config.units, self._network.config
        shared = f"layers.1.{dimension}.weight" not in self._own
        ready = packs_weights(self._shape, part, config.layers if shared else 1)
        if part == "both":
            return Linear(weight, bias, ready=ready)
        device = weight.device.type
        if torch.is_autocast_enabled(device):
            # Else a product at each position would bring the weight into that type each time.
            weight = weight.to(torch.get_autocast_dtype(device))
        if part == "hidden":
            return Linear(weight[:, :units].contiguous(), ready=ready)
        inputs = weight[:, -config.input_width(home) :]
        return Linear(inputs.contiguous(), bias, ready=ready)


def packed(weight: Tensor, bias: Tensor | None, rows: int) -> LinearMap:
    """The same function with the weight in an order made for products of so many `rows`, though it
    takes any number. It has no gradient.

    For a few rows, where every number of the weight is one of float16, as in the files that
    training writes, it lies there in float16: half the bytes to read, and nothing is lost, as it is
    multiplied and summed in float32 either way.
    """
    weight, bias = weight.detach(), None if bias is None else bias.detach()
    if rows <= MAX_ROWS_IN_FLOAT16 and reads_float16(weight):
        order = torch.ops.quantized.linear_prepack_fp16(weight, bias)
        product = torch.ops.quantized.linear_dynamic_fp16
        return lambda rows: product(rows, order)
    order = torch.ops.mkldnn._reorder_linear_weight(weight)
    product = torch.ops.mkldnn._linear_pointwise
    return lambda rows: product(rows, order, bias, "none", [], "")


def reads_float16(weight: Tensor) -> bool:
    """Whether a float32 weight can be read in float16 without loss: all its numbers are finite ones
    of float16, and torch has products with such weights here (FBGEMM, on x86 with AVX2)."""
    if torch.backends.quantized.engine not in ("x86", "fbgemm"):
        return False
    return all(_are_of_float16(rows) for rows in weight.split(ROWS_CHECKED))


def _are_of_float16(numbers: Tensor) -> bool:
    most = torch.finfo(torch.float16).max
    return torch.equal(numbers.half().float().clamp_(-most, most), numbers)
