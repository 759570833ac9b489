"""The gates of a grid's step on a CUDA GPU: one kernel each way, where the plain update has six and
its derivative a dozen. The steps follow each other, each too small to keep a GPU busy.

Needs Triton, which comes with torch's CUDA builds, so only `grid_walk` imports this, on a GPU.
Shapes: D dimensions, L layers, B sequences, U units.
"""

import torch
import triton
import triton.language as tl
from torch import Tensor

# Units that a program computes, one for each of its threads: Triton's usual number of those. Fixed,
# as nothing can be tried out while a CUDA graph is recorded.
BLOCK = 128


def update(
    gates: Tensor,
    cells: Tensor,
    new_cells: Tensor,
    outputs: Tensor,
    *,
    bias: Tensor | None = None,
    mask: Tensor | None = None,
    copy: Tensor | None = None,
) -> None:
    """As `gates.lstm_forward`.

    Gates and bias [D, L, B, 4U], mask and copy [L, B, U], the others [D, L, B, U], or without the
    first axes: views with any strides but for the units, which lie side by side. All but the cells
    can be of another type.
    """
    _launch(_update, outputs, gates, cells, new_cells, outputs, bias, mask, copy)


def update_backward(
    gates: Tensor,
    cell: Tensor,
    new_cell: Tensor,
    grad_hidden: Tensor,
    grad_new_cell: Tensor,
    grad_gates: Tensor,
    grad_cell: Tensor,
    *,
    grad_copy: Tensor | None = None,
    mask: Tensor | None = None,
) -> None:
    """As `gates.lstm_backward`, for the shapes of `update`; all but the cells can be of another
    type."""
    gradients = grad_hidden, grad_new_cell, grad_gates, grad_cell, grad_copy
    _launch(_update_backward, grad_cell, gates, cell, new_cell, *gradients, mask)


def _launch(kernel, like: Tensor, *arrays: Tensor | None) -> None:
    """Run a kernel with a program for each sequence, layer and dimension and each block of units of
    an array [..., B, U]."""
    given = [None if x is None else x[(None,) * (4 - x.dim())] for x in arrays]
    if any(x is not None and x.stride(-1) != 1 for x in given):
        raise ValueError("The units of an array of gates or cells must lie side by side.")
    dimensions, layers, sequences, units = like[(None,) * (4 - like.dim())].shape
    programs = triton.cdiv(units, BLOCK), sequences, dimensions * layers
    with torch.cuda.device_of(like):
        rows = (None if x is None else (x, *x.stride()[:-1]) for x in given)
        kernel[programs](*rows, dimensions, layers, units, BLOCK=BLOCK)


@triton.jit
def _update(
    gates,
    cells,
    new_cells,
    outputs,
    bias,
    mask,
    copy,
    dimensions,
    layers,
    units,
    BLOCK: tl.constexpr,
):
    unit, within = _units(units, BLOCK)
    gates = _row(gates, layers) + unit
    cell = tl.load(_row(cells, layers) + unit, mask=within)
    i, f, o, g = _load_four(gates, units, within, cell.dtype)
    if bias is not None:
        more_i, more_f, more_o, more_g = _load_four(
            _row(bias, layers) + unit, units, within, cell.dtype
        )
        i, f, o, g = i + more_i, f + more_f, o + more_o, g + more_g
    i, f, o, g = tl.sigmoid(i), tl.sigmoid(f), tl.sigmoid(o), _tanh(g)
    new = f * cell + i * g
    tl.store(gates, i, mask=within)
    tl.store(gates + units, f, mask=within)
    tl.store(gates + 2 * units, o, mask=within)
    tl.store(gates + 3 * units, g, mask=within)
    tl.store(_row(new_cells, layers) + unit, new, mask=within)
    hidden = o * _tanh(new)
    in_last = within & (tl.program_id(2) // layers == dimensions - 1)
    if mask is not None:
        hidden *= tl.load(_row_of_layer(mask, layers) + unit, mask=in_last, other=1)
    tl.store(_row(outputs, layers) + unit, hidden, mask=within)
    if copy is not None:
        tl.store(_row_of_layer(copy, layers) + unit, hidden, mask=in_last)


@triton.jit
def _update_backward(
    gates,
    cell,
    new_cell,
    grad_hidden,
    grad_new_cell,
    grad_gates,
    grad_cell,
    grad_copy,
    mask,
    dimensions,
    layers,
    units,
    BLOCK: tl.constexpr,
):
    unit, within = _units(units, BLOCK)
    grad_gates = _row(grad_gates, layers) + unit
    c = tl.load(_row(cell, layers) + unit, mask=within)
    i, f, o, g = _load_four(_row(gates, layers) + unit, units, within, c.dtype)
    squashed = _tanh(tl.load(_row(new_cell, layers) + unit, mask=within))
    of_hidden = tl.load(_row(grad_hidden, layers) + unit, mask=within).to(c.dtype)
    if grad_copy is not None:
        of_hidden += tl.load(_row(grad_copy, layers) + unit, mask=within).to(c.dtype)
    if mask is not None:
        in_last = within & (tl.program_id(2) // layers == dimensions - 1)
        of_hidden *= tl.load(_row_of_layer(mask, layers) + unit, mask=in_last, other=1)
    of_new = tl.load(_row(grad_new_cell, layers) + unit, mask=within)
    through = of_hidden * o * (1 - squashed * squashed) + of_new
    tl.store(grad_gates, through * g * i * (1 - i), mask=within)
    tl.store(grad_gates + units, through * c * f * (1 - f), mask=within)
    tl.store(grad_gates + 2 * units, of_hidden * squashed * o * (1 - o), mask=within)
    tl.store(grad_gates + 3 * units, through * i * (1 - g * g), mask=within)
    tl.store(_row(grad_cell, layers) + unit, through * f, mask=within)


@triton.jit
def _load_four(first, units, within, dtype):
    """What belongs to the four gates, brought to a type."""
    i = tl.load(first, mask=within).to(dtype)
    f = tl.load(first + units, mask=within).to(dtype)
    o = tl.load(first + 2 * units, mask=within).to(dtype)
    g = tl.load(first + 3 * units, mask=within).to(dtype)
    return i, f, o, g


@triton.jit
def _units(units, BLOCK: tl.constexpr):
    """The units of this program, and which of them there are."""
    unit = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    return unit, unit < units


@triton.jit
def _row(array, layers):
    """Where the units of this program's sequence, layer and dimension begin in an array."""
    first, of_dimension, of_layer, of_sequence = array
    sequence, layer = tl.program_id(1).to(tl.int64), (tl.program_id(2) % layers).to(tl.int64)
    dimension = (tl.program_id(2) // layers).to(tl.int64)
    return first + dimension * of_dimension + layer * of_layer + sequence * of_sequence


@triton.jit
def _row_of_layer(array, layers):
    """The same in an array that only one dimension has."""
    first, _, of_layer, of_sequence = array
    sequence, layer = tl.program_id(1).to(tl.int64), (tl.program_id(2) % layers).to(tl.int64)
    return first + layer * of_layer + sequence * of_sequence


@triton.jit
def _tanh(x):
    # Triton's own tanh is CUDA's and cannot be interpreted. This is as near as 2e-7.
    return 2 * tl.sigmoid(2 * x) - 1
