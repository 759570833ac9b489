"""A layer's LSTM along time through torch's own, which is several times as fast as step by step but
shows hidden states alone.

The gates are had in one of two ways. On a CPU torch runs an LSTM through oneDNN, which leaves them,
for a backward pass, in a workspace: what is there is read, and nothing computed. How a workspace is
laid out is not documented, so what was read is checked: the cells that follow from it, and the
hidden states from them, must be those that oneDNN tells. Where they are not, or there is no oneDNN,
the gates are computed from the hidden states, in one product over all positions.
"""

import math

import torch
from torch import Tensor

from gridlstm.architectures import GATES
from gridlstm.networks.cells import State, gates_of, tanh
from gridlstm.networks.products import JoinedProduct, product_of_both

# The code of an LSTM among torch's recurrences.
_LSTM = 2
# A row of the workspace begins on a cache line, and never a kilobyte after another.
_LINE, _KILOBYTE = 16, 256
# How far what follows from the gates may be off, absolutely and by its size: wrong ones miss it by
# far more. Hidden states are compared at so many positions spread over all.
_NEAR, _COMPARED = 1e-3, 8
Gates = tuple[Tensor, Tensor, Tensor, Tensor]


def lstm_at_once(read: Tensor, product: JoinedProduct, state: State) -> dict[str, Tensor]:
    """The quantities by kind [T, B, U] of a layer that reads `read` [T, B, U], from h and c
    [B, U]. Nothing in it has a gradient."""
    values = None
    if _goes_through_onednn(read):
        values = _from_workspace(read, product, state)
    hidden, cells, gates = values or _from_hidden(read, product, state)
    return {"cell": cells, "hidden": hidden, **dict(zip(GATES, gates, strict=True))}


def _goes_through_onednn(read: Tensor) -> bool:
    onednn = torch.backends.mkldnn
    on_cpu = read.device.type == "cpu" and read.dtype == torch.float32
    return on_cpu and read.numel() > 0 and onednn.is_available() and onednn.enabled


def _from_workspace(
    read: Tensor, product: JoinedProduct, state: State
) -> tuple[Tensor, Tensor, Gates] | None:
    """Hidden states, cells and gates, or None where the workspace is not what is expected."""
    # It takes what it is given for contiguous.
    read, h, c = (values.detach().contiguous() for values in (read, *state))
    weights = (weight.detach() for weight in product.as_torch_lstm)
    with torch.enable_grad():  # it keeps its workspace for a gradient alone
        hidden, _, last, workspace = torch.mkldnn_rnn_layer(
            read, *weights, h, c, False, [], _LSTM, h.shape[-1], 1, True, False, False, True
        )
    gates = _gates_in(workspace, hidden.shape)
    if gates is None:
        return None
    i, f, o, g = gates
    cells = memories(f, i * g, c)
    some = slice(None, None, max(1, len(cells) // _COMPARED))
    follows = torch.allclose(cells[-1], last, _NEAR, _NEAR) and torch.allclose(
        o[some] * tanh(cells[some]), hidden[some], _NEAR, _NEAR
    )
    return (hidden, cells, gates) if follows else None


def _gates_in(workspace: Tensor, shape: torch.Size) -> Gates | None:
    """The gates that it begins with, [T, B, U] each, or None if it is too small for them."""
    positions, sequences, units = shape
    row = math.ceil(4 * units / _LINE) * _LINE
    if row % _KILOBYTE == 0:
        row += _LINE
    size = positions * sequences * row * torch.float32.itemsize
    if len(workspace) < size:
        return None
    rows = workspace[:size].view(torch.float32).view(positions, sequences, row)
    i, f, g, o = rows[..., : 4 * units].chunk(4, dim=-1)
    return i, f, o, g


def _from_hidden(
    read: Tensor, product: JoinedProduct, state: State
) -> tuple[Tensor, Tensor, Gates]:
    """Hidden states from torch, and the cells and gates that follow from them."""
    h, c = state
    start, weights = (h[None], c[None]), product.as_torch_lstm
    hidden = torch.lstm(read, start, weights, True, 1, 0.0, False, False, False)[0]
    before = torch.cat((h[None], hidden[:-1]))
    i, f, o, g = gates = gates_of(product_of_both(before, read, product))
    return hidden, memories(f, i * g, c), gates


def memories(forget: Tensor, written: Tensor, before: Tensor) -> Tensor:
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
