"""Products of many rows with the same weight, and weights made ready for them."""

from collections.abc import Callable
from functools import cached_property, partial

import torch
from torch import Tensor
from torch.nn import functional

from gridlstm.backends.plan import (
    MAX_ROWS_IN_FLOAT16,
    MIN_LARGE,
    Shape,
    gains_by_packing,
    makes_ready,
    needs_plain_products,
)

# Of a weight at a time, so that what is computed to check it stays in the near caches.
ROWS_CHECKED = 32


class Linear:
    """`x -> x weight^T + bias` for rows x [..., I], with a weight [O, I] and a bias [O] or none.

    `ready` says whether so many rows will be asked for that a weight made ready for them gains.
    """

    def __init__(self, weight: Tensor, bias: Tensor | None = None, *, ready: bool = True) -> None:
        self._plain = partial(functional.linear, weight=weight, bias=bias)
        self._weight, self._bias, self._ready, self._packed = weight, bias, ready, None

    def over(self, rows: int) -> Callable[[Tensor], Tensor]:
        """The function for so many rows at a time. Where gradients are recorded, it has one."""
        large = self._ready and not needs_plain_products("cpu")
        size, device, dtype = self._weight.numel(), self._weight.device.type, self._weight.dtype
        if not large or not gains_by_packing(size, rows, device, dtype):
            return self._plain
        if self._packed is None:
            self._packed = packed(self._weight, self._bias, rows)
        return self._packed


class LayerWeights:
    """The weights of a network's layers, each made ready once for all that is read with them.

    It shows what the weights were when they were first used. `shape` says what is to be read.
    """

    def __init__(self, network, shape: Shape) -> None:
        self._network, self._shape, self._made = network, shape, {}
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

    @cached_property
    def in_float16(self) -> bool:
        """Whether the weights of all layers' hidden states along time can be read in float16."""
        layers = {self._home(n, "time.weight") for n in range(self._network.config.layers)}
        weights = (self._network.of(layer, "time.weight") for layer in layers)
        return all(weight.numel() >= 2 * MIN_LARGE and reads_float16(weight) for weight in weights)

    def _home(self, layer: int, name: str) -> int:
        return layer if f"layers.{layer}.{name}" in self._own else 0

    def _once(self, key, make: Callable):
        if key not in self._made:
            self._made[key] = make()
        return self._made[key]

    def _linear(self, home: int, dimension: str, part: str, rows: slice) -> Linear:
        weight = self._network.of(home, f"{dimension}.weight")[rows]
        bias = self._network.of(home, f"{dimension}.bias")[rows]
        units, config = self._network.config.units, self._network.config
        shared = f"layers.1.{dimension}.weight" not in self._own
        ready = makes_ready(self._shape, part, config.layers if shared else 1)
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


def packed(weight: Tensor, bias: Tensor | None, rows: int) -> Callable[[Tensor], Tensor]:
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
