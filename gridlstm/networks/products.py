"""Products of many rows with the same weight, and weights made ready for them."""

from collections.abc import Callable
from functools import cached_property, partial

import torch
from torch import Tensor
from torch.nn import functional

from gridlstm.networks.cells import swap_gates

# Measured on CPUs: a product with a weight of so many elements, too many for the near caches, takes
# less time once the weight lies in an order made for it: a fifth less for many rows, half for a
# few, and again half where its numbers can lie there in float16. For single rows a weight must have
# more elements to gain.
LARGE_WEIGHT, LARGE_FOR_ONE_ROW = 2**18, 2**20
# With more rows the sums take longer than the reading of the weight, however few bytes it has.
FEW_ROWS = 64
# To make the order costs as much as some tens of products of a few rows, or one of a thousand rows.
MANY_TIMES, MANY_ROWS = 64, 2048
# Of a weight at a time, so that what is computed to check it stays in the near caches.
ROWS_CHECKED = 32


class Product:
    """`x -> x weight^T + bias` for rows x [..., I], with a weight [O, I] and a bias [O] or none."""

    def __init__(self, weight: Tensor, bias: Tensor | None = None) -> None:
        self._plain = partial(functional.linear, weight=weight, bias=bias)
        self._weight, self._bias, self._packed = weight, bias, None
        self._times, self._rows = 0, 0

    def over(self, rows: int, times: int = 1) -> Callable[[Tensor], Tensor]:
        """The function, ready to be asked so many `times` for so many `rows`, made readier the more
        it has been asked for. Where gradients are recorded, it has one."""
        if needs_plain_products("cpu") or not gains_by_packing(self._weight, rows):
            return self._plain
        self._times, self._rows = self._times + times, self._rows + times * rows
        if self._packed is None and (self._times >= MANY_TIMES or self._rows >= MANY_ROWS):
            self._packed = packed(self._weight, self._bias, rows)
        return self._packed or self._plain


class JoinedProduct:
    """The product with a weight [O, 2U] of [h ; below] and a bias [O], as a whole and in halves.

    `side_by_side`: layers that share it read most of a text side by side, as so many sequences.
    """

    def __init__(self, weight: Tensor, bias: Tensor) -> None:
        self._weight, self._bias, self.side_by_side = weight, bias, False

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
        each position, and that of what is below [T, A, O], in the type that sums are kept in."""
        positions, apart, _ = read.shape
        of_below = self.of_below.over(positions * apart)(read).to(self._weight.dtype)
        return self.of_h.over(sequences, times=positions), of_below

    def gains_by_steps(self, sequences: int, positions: int) -> bool:
        """Whether products with h asked for step by step take less time than torch's recurrence and
        a product over all positions after it: where an order made for them gains, and for a single
        sequence only with halves to read."""
        _, inputs = self._weight.shape
        return (
            positions >= MANY_TIMES
            and gains_by_packing(self._weight[:, : inputs // 2], sequences)
            and (sequences > 1 or self._of_halves)
        )

    def gains_by_halves(self, sequences: int) -> bool:
        """Whether products with h asked for step by step take less time than torch's LSTM, which
        does more at a step than a GRU for what it reads: where a large weight is read in
        float16, for a few sequences; for a single one where these are to come, as torch's LSTM
        would need the weight in an order of its own."""
        _, inputs = self._weight.shape
        return (
            (sequences > 1 or self.side_by_side)
            and sequences <= FEW_ROWS
            and gains_by_packing(self._weight[:, : inputs // 2], rows=1)
            and self._of_halves
        )

    @cached_property
    def _of_halves(self) -> bool:
        """Whether the weight for h can be read in float16."""
        return reads_halves(self._columns[0])

    @cached_property
    def as_torch_lstm(self) -> list[Tensor]:
        """The weights of an LSTM's four gates as torch.lstm takes them: for what is below, for h,
        and two biases, of which the second is 0."""
        of_h, of_below = swap_gates(self._weight).chunk(2, dim=1)
        bias = swap_gates(self._bias)
        return [of_below.contiguous(), of_h.contiguous(), bias, torch.zeros_like(bias)]

    @cached_property
    def _columns(self) -> tuple[Tensor, Tensor]:
        """Both halves, in the type that products are done in: a product at each position would
        else bring the weight into that type each time."""
        device, weight = self._weight.device.type, self._weight
        if torch.is_autocast_enabled(device):
            weight = weight.to(torch.get_autocast_dtype(device))
        return weight.chunk(2, dim=1)


def product_of_both(seen: Tensor, read: Tensor, product: JoinedProduct) -> Tensor:
    """The product of [seen ; read] for `seen` [T, B, U], `read` [T, A, U]: [T, B, O]."""
    rows = len(seen) * seen.shape[1]
    if seen.shape == read.shape:
        return product.whole.over(rows)(torch.cat((seen, read), -1))
    of_read = product.of_below.over(len(read) * read.shape[1])(read)
    return add_spread(product.of_h.over(rows)(seen), of_read)


def spread(values: Tensor, sequences: int) -> Tensor:
    """[..., A, X] -> [..., B, X]: each sequence beyond the first A gets what the first gets."""
    more = sequences - values.shape[-2]
    if more == 0:
        return values
    return torch.cat((values, values[..., :1, :].expand(*values.shape[:-2], more, -1)), -2)


def add_spread(own: Tensor, shared: Tensor) -> Tensor:
    """`own + spread(shared)` for own [..., B, X], shared [..., A, X], in the type of `shared`; may
    change `own`."""
    count, own = shared.shape[-2], own.to(shared.dtype)
    if count in (1, own.shape[-2]):
        return own + shared
    own[..., :count, :] += shared
    own[..., count:, :] += shared[..., :1, :]
    return own


def needs_plain_products(device: str) -> bool:
    """Whether gradients are recorded or products done in another type than their rows are in: what
    is faster on a device can do neither."""
    return torch.is_grad_enabled() or torch.is_autocast_enabled(device)


def packed(weight: Tensor, bias: Tensor | None, rows: int) -> Callable[[Tensor], Tensor]:
    """The same function with the weight in an order made for products of so many `rows`, though it
    takes any number. It has no gradient.

    For a few rows, where every number of the weight is one of float16, as in the files that
    training writes, it lies there in float16: half the bytes to read, and nothing is lost, as it is
    multiplied and summed in float32 either way.
    """
    weight, bias = weight.detach(), None if bias is None else bias.detach()
    if rows <= FEW_ROWS and reads_halves(weight):
        order = torch.ops.quantized.linear_prepack_fp16(weight, bias)
        product = torch.ops.quantized.linear_dynamic_fp16
        return lambda rows: product(rows, order)
    order = torch.ops.mkldnn._reorder_linear_weight(weight)
    product = torch.ops.mkldnn._linear_pointwise
    return lambda rows: product(rows, order, bias, "none", [], "")


def gains_by_packing(weight: Tensor, rows: int) -> bool:
    """Whether a product of so many rows with this weight is faster in an order made for it."""
    return (
        weight.device.type == "cpu"
        and weight.dtype == torch.float32
        and weight.numel() >= (LARGE_WEIGHT if rows > 1 else LARGE_FOR_ONE_ROW)
        and torch.backends.mkldnn.is_available()
    )


def reads_halves(weight: Tensor) -> bool:
    """Whether a float32 weight can be read in float16 without loss: all its numbers are finite ones
    of float16, and torch has products with such weights here (FBGEMM, on x86 with AVX2)."""
    if torch.backends.quantized.engine not in ("x86", "fbgemm"):
        return False
    return all(_are_halves(rows) for rows in weight.split(ROWS_CHECKED))


def _are_halves(numbers: Tensor) -> bool:
    most = torch.finfo(torch.float16).max
    return torch.equal(numbers.half().float().clamp_(-most, most), numbers)
