"""One LSTM update by the names of its parts, and a layer's LSTM along time over all positions."""

from collections.abc import Sequence

import torch
from torch import Tensor

from gridlstm.architectures import GATES
from gridlstm.networks.cells import State, gates_of, tanh
from gridlstm.networks.holds import Holds
from gridlstm.networks.lstm_at_once import lstm_at_once
from gridlstm.networks.products import (
    JoinedProduct,
    add_spread,
    needs_plain_products,
    spread,
)

# Values of a quantity in one layer [T, B, U], or one [B, U] for each position.
Values = Tensor | Sequence[Tensor]
# Where there are as many positions, what a recurrence of torch makes ready for them has paid.
MANY_POSITIONS = 32


def joined(values: Values) -> Tensor:
    """The values of a quantity in one layer as one tensor [T, B, U]."""
    return values if isinstance(values, Tensor) else torch.stack(tuple(values))


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
    i, f, o, g = gates = gates_of(sums.to(cell.dtype))
    if holds is not None:
        holds.put(f, f"{dimension}.forget", layer)
    cell = (f * cell).addcmul_(i, g)
    if joined is not None:
        cell = cell + joined
    if holds is not None:
        holds.put(cell, f"{dimension}.cell", layer)
    return {"cell": cell, "hidden": o * tanh(cell), **dict(zip(GATES, gates, strict=True))}


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
    steps = product.gains_by_halves(len(state[0]))
    if allows_at_once(read, state, holds, layer) and not steps:
        values = lstm_at_once(read, product, state)
    else:
        values = _step_by_step(read, product, state, holds, layer)
    return {f"time.{kind}": of_kind for kind, of_kind in values.items()}


def allows_at_once(read: Tensor, state: State, holds: Holds | None, layer: int) -> bool:
    """Whether torch's own recurrence, which shows hidden states alone, can read a layer that gets
    `read` [T, A, U] from below, and there is enough to read: nothing in it is held or has a
    gradient, and each sequence reads what is its own."""
    positions, apart, _ = read.shape
    return not (
        needs_plain_products(read.device.type)
        or (holds is not None and holds.concern("time", layer))
        or apart < len(state[0])
        or positions < MANY_POSITIONS
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
