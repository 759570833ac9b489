"""One LSTM update by the names of its parts, and a layer's LSTM along time over all positions."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from gridlstm.architectures import GATES
from gridlstm.networks.cells import State, tanh
from gridlstm.networks.holds import Holds
from gridlstm.networks.products import (
    JoinedProduct,
    add_spread,
    needs_plain_products,
    product_of_both,
    spread,
)

# Values of a quantity in one layer [T, B, U], or one [B, U] for each position.
Values = Tensor | Sequence[Tensor]
# Where there are as many positions, what a recurrence of torch makes ready for them has paid.
MANY_POSITIONS = 32


def lstm_update(
    sums: Tensor,
    cell: Tensor,
    holds: Holds | None = None,
    layer: int = 0,
    dimension: str = "time",
    joined: Tensor | None = None,
) -> dict[str, Tensor]:
    """`c' = f*c + i*g`, `h = o*tanh(c')` from sums [..., 4U], by kind of quantity.

    What is `joined` is added to the new memory. Changes `sums` where no gradient is recorded.
    """
    i, f, o, g = gates = _gates(sums.to(cell.dtype))
    if holds is not None:
        holds.put(f, f"{dimension}.forget", layer)
    cell = (f * cell).addcmul_(i, g)
    if joined is not None:
        cell = cell + joined
    if holds is not None:
        holds.put(cell, f"{dimension}.cell", layer)
    return {"cell": cell, "hidden": o * tanh(cell), **dict(zip(GATES, gates, strict=True))}


def _gates(sums: Tensor) -> Sequence[Tensor]:
    """i, f, o, g from the sums before them [..., 4U], in their place if no gradient is recorded."""
    units = sums.shape[-1] // 4
    if torch.is_grad_enabled():
        return *sums[..., : 3 * units].sigmoid().chunk(3, dim=-1), sums[..., 3 * units :].tanh()
    sums[..., : 3 * units].sigmoid_()
    i, f, o, g = sums.chunk(4, dim=-1)
    return i, f, o, tanh(g, out=g)


def by_name(steps: Sequence[dict[str, Tensor]], dimension: str) -> dict[str, Values]:
    """The quantities of one dimension over all positions, from those by kind at each position."""
    return {f"{dimension}.{kind}": [step[kind] for step in steps] for kind in steps[0]}


def lstm_over_time(
    read: Tensor, product: JoinedProduct, state: State, holds: Holds | None, layer: int
) -> dict[str, Values]:
    """The quantities of a layer's LSTM along time over all of `read` [T, A, U], from h and c
    [B, U]."""
    if needs_plain_products(read.device.type):
        return by_name(_with_gradient(read, product, state, holds, layer), "time")
    if gains_at_once(read, product, state, holds, layer):
        values = _at_once(read, product, state)
    else:
        values = _step_by_step(read, product, state, holds, layer)
    return {f"time.{kind}": of_kind for kind, of_kind in values.items()}


def gains_at_once(
    read: Tensor, product: JoinedProduct, state: State, holds: Holds | None, layer: int
) -> bool:
    """Whether torch's own recurrence, which shows hidden states alone, is the faster way to read a
    layer that gets `read` [T, A, U] from below, and allowed: nothing in it is held or has a
    gradient, and each sequence reads what is its own."""
    positions, apart, _ = read.shape
    sequences = len(state[0])
    return not (
        needs_plain_products(read.device.type)
        or (holds is not None and holds.concern("time", layer))
        or apart < sequences
        or positions < MANY_POSITIONS
        or product.gains_by_steps(sequences, positions)
    )


def _with_gradient(
    read: Tensor, product: JoinedProduct, state: State, holds: Holds | None, layer: int
) -> list[dict[str, Tensor]]:
    """`lstm_update` at each position of `read` [T, A, U], from h and c [B, U]."""
    (h, c), steps = state, []
    from_h, from_below = product.over_time(read, len(h))
    for sums in from_below:
        steps.append(lstm_update(add_spread(from_h(h), sums), c, holds, layer))
        h, c = steps[-1]["hidden"], steps[-1]["cell"]
    return steps


def _step_by_step(
    read: Tensor, product: JoinedProduct, state: State, holds: Holds | None, layer: int
) -> dict[str, Tensor]:
    """As `lstm_update` at each position of `read` [T, A, U], from h and c [B, U], by kind
    [T, B, U]; every number is computed in its place."""
    h, c = state
    from_h, from_below = product.over_time(read, len(h))
    sums = spread(from_below, len(h))
    gates = sums.chunk(4, dim=-1)
    sigmoids = sums[..., : 3 * h.shape[-1]]
    cells, hidden = torch.empty_like(gates[0]), torch.empty_like(gates[0])
    steps = zip(sums, sigmoids, *gates, cells, hidden, strict=True)
    for of_step, of_sigmoids, i, f, o, g, cell, new in steps:
        of_step += from_h(h)
        of_sigmoids.sigmoid_()
        tanh(g, out=g)
        if holds is not None:
            holds.put(f, "time.forget", layer)
        torch.mul(i, g, out=cell).addcmul_(f, c)
        if holds is not None:
            holds.put(cell, "time.cell", layer)
        tanh(cell, out=new).mul_(o)
        h, c = new, cell
    return {"cell": cells, "hidden": hidden, **dict(zip(GATES, gates, strict=True))}


def _at_once(read: Tensor, product: JoinedProduct, state: State) -> dict[str, Tensor]:
    """As `_step_by_step` for `read` [T, B, U], of which nothing is held.

    torch.lstm shows hidden states only, but is several times faster where weights are small. Given
    those, every gate of the layer follows from one product over all positions, and the cells from
    the gates.
    """
    h, c = state
    start, weights = (h[None], c[None]), product.as_torch_lstm
    hidden = torch.lstm(read, start, weights, True, 1, 0.0, False, False, False)[0]
    before = torch.cat((h[None], hidden[:-1]))
    i, f, o, g = gates = _gates(product_of_both(before, read, product))
    cells = _memories(f, i * g, c)
    return {"cell": cells, "hidden": hidden, **dict(zip(GATES, gates, strict=True))}


def _memories(forget: Tensor, written: Tensor, before: Tensor) -> Tensor:
    """`c_t = f_t * c_t-1 + w_t` over all positions [T, B, U], from `before` [B, U], in the place of
    `written`.

    In blocks: in all of them at once, position by position, what is written in a block; then, block
    by block, what is left of the memory before it.
    """
    length = math.isqrt(len(written))
    left = forget.clone()
    for position in range(1, length):
        here, last = slice(position, None, length), slice(position - 1, None, length)
        blocks = len(written[here])
        written[here].addcmul_(forget[here], written[last][:blocks])
        left[here] *= left[last][:blocks]
    for block, of_left in zip(written.split(length), left.split(length), strict=True):
        before = block.addcmul_(of_left, before)[-1]
    return written
