"""Products of many rows, one after the other, with the same weight."""

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor
from torch.nn import functional

# Measured on CPUs: where a weight has so many elements, too many for the near caches, oneDNN takes
# a fifth less time for many rows, and half for a few, once it has put it in an order of its own.
# To do so costs as much as a product of some tens of rows, and gains nothing for single ones.
LARGE_WEIGHT = 2**18
MANY_ROWS = 64


def product_with(
    weight: Tensor, bias: Tensor | None, rows: int, times: int = 1
) -> Callable[[Tensor], Tensor]:
    """The function `x -> x weight^T + bias` of rows x [..., I], for a weight [O, I] and a bias [O].

    It will be asked so many `times` for so many `rows`. Where gradients are recorded, it has one.
    """
    pays = rows > 1 and rows * times >= MANY_ROWS and gains_by_packing(weight)
    if pays and not torch.is_grad_enabled() and not torch.is_autocast_enabled("cpu"):
        return packed(weight, bias)
    return partial(functional.linear, weight=weight, bias=bias)


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
