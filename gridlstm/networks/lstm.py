"""One LSTM update by the names of its parts, and a layer's LSTM along time over all positions."""

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
)

# Values of a quantity in one layer [T, B, U], or one [B, U] for each position.
Values = Tensor | Sequence[Tensor]
# Where there are as many positions, what an LSTM of torch makes ready for them has paid.
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

    What is `joined` is added to the new memory.
    """
    sums = sums.to(cell.dtype)
    units = cell.shape[-1]
    i, f, o = sums[..., : 3 * units].sigmoid().chunk(3, dim=-1)
    g = tanh(sums[..., 3 * units :])
    if holds is not None:
        holds.put(f, f"{dimension}.forget", layer)
    cell = (f * cell).addcmul_(i, g)
    if joined is not None:
        cell = cell + joined
    if holds is not None:
        holds.put(cell, f"{dimension}.cell", layer)
    return {"cell": cell, "hidden": o * tanh(cell), **dict(zip(GATES, (i, f, o, g), strict=True))}


def by_name(steps: Sequence[dict[str, Tensor]], dimension: str) -> dict[str, Values]:
    """The quantities of one dimension over all positions, from those by kind at each position."""
    return {f"{dimension}.{kind}": [step[kind] for step in steps] for kind in steps[0]}


def lstm_over_time(
    read: Tensor, product: JoinedProduct, state: State, holds: Holds | None, layer: int
) -> dict[str, Values]:
    """The quantities of a layer's LSTM along time over all of `read` [T, A, U], from h and c
    [B, U]."""
    positions, apart, _ = read.shape
    plain = needs_plain_products(read.device.type)
    held = holds is not None and holds.concern("time", layer)
    if plain or held or apart < len(state[0]) or positions < MANY_POSITIONS:
        return by_name(_step_by_step(read, product, state, holds, layer), "time")
    return {f"time.{kind}": values for kind, values in _at_once(read, product, state).items()}


def _step_by_step(
    read: Tensor, product: JoinedProduct, state: State, holds: Holds | None, layer: int
) -> list[dict[str, Tensor]]:
    """`lstm_update` at each position of `read` [T, A, U], from h and c [B, U]."""
    (h, c), steps = state, []
    from_h, from_below = product.over_time(read, len(h))
    for sums in from_below:
        steps.append(lstm_update(add_spread(from_h(h), sums), c, holds, layer))
        h, c = steps[-1]["hidden"], steps[-1]["cell"]
    return steps


def _at_once(read: Tensor, product: JoinedProduct, state: State) -> dict[str, Tensor]:
    """As `_step_by_step` for `read` [T, B, U], by kind [T, B, U].

    torch.lstm shows hidden states only, but is several times faster. Given those, every gate of the
    layer follows from one product over all positions, and the cells from the gates.
    """
    h, c = state
    start, weights = (h[None], c[None]), product.as_torch_lstm
    hidden = torch.lstm(read, start, weights, True, 1, 0.0, False, False, False)[0]
    before = torch.cat((h[None], hidden[:-1]))
    sums = product_of_both(before, read, product)
    i, f, o, g = gates = sums.chunk(4, dim=-1)
    sums[..., : 3 * h.shape[-1]].sigmoid_()
    tanh(g, out=g)
    cells = i * g
    for forget, cell in zip(f, cells, strict=True):
        c = cell.addcmul_(forget, c)
    return {"cell": cells, "hidden": hidden, **dict(zip(GATES, gates, strict=True))}
