"""Products of many rows with the same weight, and weights made ready for them."""

from collections.abc import Callable
from functools import cached_property, partial

import torch
from torch import Tensor
from torch.nn import functional

# Measured on CPUs: where a weight has so many elements, too many for the near caches, oneDNN takes
# a fifth less time for many rows, and half for a few, once it has put it in an order of its own.
# To do so costs as much as a product of some tens of rows, and gains nothing for single ones.
LARGE_WEIGHT = 2**18
MANY_ROWS = 64


class Product:
    """`x -> x weight^T + bias` for rows x [..., I], with a weight [O, I] and a bias [O] or none."""

    def __init__(self, weight: Tensor, bias: Tensor | None = None) -> None:
        self._plain = partial(functional.linear, weight=weight, bias=bias)
        self._weight, self._bias, self._packed = weight, bias, None

    def over(self, rows: int, times: int = 1) -> Callable[[Tensor], Tensor]:
        """The function, ready to be asked so many `times` for so many `rows`. Where gradients are
        recorded, it has one."""
        recorded = torch.is_grad_enabled() or torch.is_autocast_enabled("cpu")
        if recorded or rows == 1:
            return self._plain
        if self._packed is None and rows * times >= MANY_ROWS and gains_by_packing(self._weight):
            self._packed = packed(self._weight, self._bias)
        return self._packed or self._plain


class JoinedProduct:
    """The product with a weight [O, 2U] of [h ; below] and a bias [O], as a whole and in halves."""

    def __init__(self, weight: Tensor, bias: Tensor) -> None:
        self._weight, self._bias = weight, bias

    @cached_property
    def whole(self) -> Product:
        return Product(self._weight, self._bias)

    @cached_property
    def of_h(self) -> Product:
        """That of h alone, without the bias."""
        return Product(self._columns[0].contiguous())

    @cached_property
    def of_below(self) -> Product:
        """That of what is below alone, and the bias."""
        return Product(self._columns[1].contiguous(), self._bias)

    def over_time(self, read: Tensor, sequences: int) -> tuple[Callable[[Tensor], Tensor], Tensor]:
        """For a layer that reads [T, A, U] from below: the product of h [B, U], to be asked for at
        each position, and that of what is below [T, A, O]."""
        positions, apart, _ = read.shape
        of_below = self.of_below.over(positions * apart)(read)
        return self.of_h.over(sequences, times=positions), of_below

    @cached_property
    def _columns(self) -> tuple[Tensor, Tensor]:
        """Both halves, in the type that products are done in: a product at each position would
        else bring the weight into that type each time."""
        device, weight = self._weight.device.type, self._weight
        if torch.is_autocast_enabled(device):
            weight = weight.to(torch.get_autocast_dtype(device))
        return weight.chunk(2, dim=1)


def packed(weight: Tensor, bias: Tensor | None) -> Callable[[Tensor], Tensor]:
    """The same function with the weight in oneDNN's order. It has no gradient."""
    order = torch.ops.mkldnn._reorder_linear_weight(weight.detach())
    product = torch.ops.mkldnn._linear_pointwise
    return lambda rows: product(rows, order, bias, "none", [], "")


def gains_by_packing(weight: Tensor) -> bool:
    """Whether a product with this weight is faster in oneDNN's order."""
    return (
        weight.device.type == "cpu"
        and weight.dtype == torch.float32
        and weight.numel() >= LARGE_WEIGHT
        and torch.backends.mkldnn.is_available()
    )
