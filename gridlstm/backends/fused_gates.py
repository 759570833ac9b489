"""The gates of a grid's step on a CUDA GPU: one kernel each way, where the plain update has six and
its derivative a dozen. The steps follow each other, each too small to keep a GPU busy.

Needs Triton, which comes with torch's CUDA builds, so only `grid_walk` imports this, on a GPU.
Shapes: D dimensions, L layers, B sequences, U units.
"""

from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor
from triton.runtime import JITFunction

# Units that a program computes, one for each of its threads: Triton's usual number of those. Fixed,
# as nothing can be tried out while a CUDA graph is recorded.
BLOCK = 128


def update(gates: Tensor, cells: Tensor, new_cells: Tensor, outputs: Tensor) -> None:
    """From sums to gates, in place, then `c' = f*c + i*g` and `h = o*tanh(c')`.

    Gates [D, L, B, 4U], the others [D, L, B, U], or without the first axes: views with any strides
    but for the units, which lie side by side. Outputs can be of another type.
    """
    _launch(_update, gates, cells, new_cells, outputs)


def update_backward(
    gates: Tensor,
    cell: Tensor,
    new_cell: Tensor,
    grad_hidden: Tensor,
    grad_new_cell: Tensor,
    grad_gates: Tensor,
    grad_cell: Tensor,
) -> None:
    """As `cells.lstm_backward`, for the shapes of `update`; gradients can be of another type."""
    arrays = gates, cell, new_cell, grad_hidden, grad_new_cell, grad_gates, grad_cell
    _launch(_update_backward, *arrays)


def _launch(kernel: "JITFunction[Any]", *given: Tensor) -> None:
    """Run a kernel with a program for each sequence, layer and dimension and each block of units.

    The last of the arrays has the units in its last axis, [..., B, U].
    """
    arrays = [array[(None,) * (4 - array.dim())] for array in given]
    if any(array.stride(-1) != 1 for array in arrays):
        raise ValueError("The units of an array of gates or cells must lie side by side.")
    dimensions, layers, sequences, units = arrays[-1].shape
    programs = triton.cdiv(units, BLOCK), sequences, dimensions * layers
    with torch.cuda.device_of(arrays[0]):
        kernel[programs](*((x, *x.stride()[:-1]) for x in arrays), layers, units, BLOCK=BLOCK)


@triton.jit
def _update(gates, cells, new_cells, outputs, layers, units, BLOCK: tl.constexpr):
    unit, within = _units(units, BLOCK)
    gates, cells = _row(gates, layers) + unit, _row(cells, layers) + unit
    i = tl.sigmoid(tl.load(gates, mask=within))
    f = tl.sigmoid(tl.load(gates + units, mask=within))
    o = tl.sigmoid(tl.load(gates + 2 * units, mask=within))
    g = _tanh(tl.load(gates + 3 * units, mask=within))
    new = f * tl.load(cells, mask=within) + i * g
    tl.store(gates, i, mask=within)
    tl.store(gates + units, f, mask=within)
    tl.store(gates + 2 * units, o, mask=within)
    tl.store(gates + 3 * units, g, mask=within)
    tl.store(_row(new_cells, layers) + unit, new, mask=within)
    tl.store(_row(outputs, layers) + unit, o * _tanh(new), mask=within)


@triton.jit
def _update_backward(
    gates,
    cell,
    new_cell,
    grad_hidden,
    grad_new_cell,
    grad_gates,
    grad_cell,
    layers,
    units,
    BLOCK: tl.constexpr,
):
    unit, within = _units(units, BLOCK)
    gates, grad_gates = _row(gates, layers) + unit, _row(grad_gates, layers) + unit
    i = tl.load(gates, mask=within)
    f = tl.load(gates + units, mask=within)
    o = tl.load(gates + 2 * units, mask=within)
    g = tl.load(gates + 3 * units, mask=within)
    c = tl.load(_row(cell, layers) + unit, mask=within)
    squashed = _tanh(tl.load(_row(new_cell, layers) + unit, mask=within))
    of_hidden = tl.load(_row(grad_hidden, layers) + unit, mask=within)
    of_new = tl.load(_row(grad_new_cell, layers) + unit, mask=within)
    through = of_hidden * o * (1 - squashed * squashed) + of_new
    tl.store(grad_gates, through * g * i * (1 - i), mask=within)
    tl.store(grad_gates + units, through * c * f * (1 - f), mask=within)
    tl.store(grad_gates + 2 * units, of_hidden * squashed * o * (1 - o), mask=within)
    tl.store(grad_gates + 3 * units, through * i * (1 - g * g), mask=within)
    tl.store(_row(grad_cell, layers) + unit, through * f, mask=within)


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
def _tanh(x):
    # Triton's own tanh is CUDA's and cannot be interpreted. This is as near as 2e-7.
    return 2 * tl.sigmoid(2 * x) - 1
