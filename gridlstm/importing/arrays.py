"""Weights as any program has them, put into our order: the one place where rows are moved.

The functions take arrays of NumPy, or whatever `numpy.asarray` takes: of JAX, MLX and others.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from gridlstm.importing.errors import ForeignModelError
from gridlstm.importing.foreign_model import (
    GATE_ACTIVATIONS,
    ROWS,
    CellWeights,
    ForeignModel,
    Layer,
    check_model,
)
from gridlstm.importing.vocabularies import make_vocabulary

GateArrays = ArrayLike | Mapping[str, ArrayLike]


@dataclass(frozen=True, eq=False)
class LayerArrays:
    """One layer's arrays: what is multiplied with its input [G * U, D], with its state h [G * U, U]
    and what is added to either [G * U].

    Transposed, [D, G * U] and [U, G * U], where the model is read with `layout="columns"`. Instead
    of an array each may be a mapping from the gate's letter to that gate's own array.
    """

    input: GateArrays
    state: GateArrays
    input_bias: GateArrays | None = None
    state_bias: GateArrays | None = None


def model_from_arrays(
    cell: str,
    layers: Sequence[LayerArrays],
    decoder: ArrayLike,
    decoder_bias: ArrayLike | None = None,
    *,
    embedding: ArrayLike | None = None,
    vocabulary: Sequence[str | bytes | int] | Mapping | None = None,
    order: str | None = None,
    interleaved: bool = False,
    layout: str = "rows",
    forget_bias: float = 0.0,
    update: str = "keeps",
    reset: str = "after",
    gates: str = "sigmoid",
    activation: str = "tanh",
    program: str = "arrays",
) -> ForeignModel:
    """The model that these arrays are, of any program whose conventions are told.

    `cell` is lstm, gru or rnn. `order` names the blocks of rows: for an LSTM the letters i, f, g
    (the candidate) and o in any order, for a GRU r, z and n. `interleaved`: the rows of a unit
    stand together (Chainer's `L.LSTM`) instead of those of a gate. `layout` is "rows" [G * U, D] or
    "columns" [D, G * U], and so the decoder is [V, U] or [U, V]. `forget_bias` is what the program
    adds to f when it runs (haiku, TensorFlow 1: 1). `update` says what a GRU's z does: it "keeps"
    the state, h' = z h + (1 - z) n, or "replaces" it (haiku). `reset` says whether r is put on the
    product with h, "after" it (torch, flax), or on h, "before" (haiku). `activation` is that of a
    plain RNN or of the candidate: only tanh can be traced. Without an `embedding` [V, E], the input
    is one-hot.

    Raises ForeignModelError.
    """
    if activation != "tanh":
        raise ForeignModelError(
            f"The activation is {activation}; only tanh can be traced as the state of a cell."
        )
    if layout not in ("rows", "columns"):
        raise ForeignModelError(f"The layout is rows or columns, not {layout!r}.")
    if cell not in ("lstm", "gru", "rnn"):
        raise ForeignModelError(f"The cell is lstm, gru or rnn, not {cell!r}.")
    if gates not in GATE_ACTIVATIONS:
        raise ForeignModelError(
            f"The gates go through one of {', '.join(GATE_ACTIVATIONS)}, not {gates!r}."
        )
    order = order or {"rnn": "h"}.get(cell, "")
    turned = layout == "columns"
    parts = [
        Layer(
            cell_weights(
                cell,
                _stacked(layer.input, order, turned),
                _stacked(layer.state, order, turned),
                _stacked(layer.input_bias, order, False),
                _stacked(layer.state_bias, order, False),
                order=order,
                interleaved=interleaved,
                forget_bias=forget_bias,
                update=update,
                reset=reset,
            )
        )
        for layer in layers
    ]
    decoder = _turned(float32(decoder), turned)
    if decoder.ndim != 2:
        raise ForeignModelError("The decoder must have two dimensions.")
    tokens = None if vocabulary is None else make_vocabulary(vocabulary, len(decoder), "given")
    return check_model(
        ForeignModel(
            program=program,
            cell=cell,
            layers=tuple(parts),
            embedding=None if embedding is None else float32(embedding),
            decoder_weight=np.ascontiguousarray(decoder),
            decoder_bias=zeros_or(decoder_bias, len(decoder)),
            vocabulary=tokens,
            gates=gates,
            reset=reset if cell == "gru" else None,
        )
    )


def cell_weights(
    cell: str,
    of_input: ArrayLike,
    of_state: ArrayLike,
    input_bias: ArrayLike | None = None,
    state_bias: ArrayLike | None = None,
    *,
    order: str,
    interleaved: bool = False,
    forget_bias: float = 0.0,
    update: str = "keeps",
    reset: str = "after",
) -> CellWeights:
    """One layer's weights [G * U, D] and [G * U, U] and biases [G * U], whose blocks of rows are
    those of `order`, in our order. What the other arguments mean `model_from_arrays` says.

    Raises ForeignModelError.
    """
    ours = ROWS[cell]
    if sorted(order) != sorted(ours):
        raise ForeignModelError(
            f"The order of a {cell}'s gates is made of the letters {', '.join(sorted(ours))}, "
            f"not {order!r}."
        )
    for what, value, known in (
        ("update", update, ("keeps", "replaces")),
        ("reset", reset, ("before", "after")),
    ):
        if value not in known:
            raise ForeignModelError(f"The {what} is {known[0]} or {known[1]}, not {value!r}.")
    of_input, of_state = np.asarray(of_input), np.asarray(of_state)
    units = _units(of_input, of_state, len(ours))
    biases = [zeros_or(bias, len(of_input)) for bias in (input_bias, state_bias)]
    weight = np.empty((len(of_input), units + of_input.shape[1]), np.float32)
    bias = np.empty(len(of_input), np.float32)
    inner = None
    for number, gate in enumerate(ours):
        theirs = _rows(order.index(gate), units, len(ours), interleaved)
        own = slice(number * units, (number + 1) * units)
        weight[own, :units], weight[own, units:] = of_state[theirs], of_input[theirs]
        bias[own] = biases[0][theirs]
        if gate == "n" and reset == "after":
            inner = biases[1][theirs].copy()
        else:
            bias[own] += biases[1][theirs]
        if gate == "f":
            bias[own] += np.float32(forget_bias)
        if gate == "z" and update == "replaces":
            # 1 - sigmoid(x) is sigmoid(-x), and a hard sigmoid is as symmetric.
            weight[own] *= -1
            bias[own] *= -1
    return CellWeights(weight, bias, inner)


def float32(array: ArrayLike) -> np.ndarray:
    """The same numbers as float32; raises ForeignModelError if they are none."""
    array = np.asarray(array)
    if array.dtype.kind not in "fiu":
        raise ForeignModelError(f"An array of {array.dtype} holds no weights.")
    with np.errstate(over="ignore"):
        return array.astype(np.float32, copy=False)


def zeros_or(bias: ArrayLike | None, length: int) -> np.ndarray:
    """The bias [length] as float32, zeros if there is none; raises ForeignModelError."""
    if bias is None:
        return np.zeros(length, np.float32)
    bias = float32(bias)
    if bias.shape != (length,):
        raise ForeignModelError(
            f"A bias has the shape {bias.shape} where {length:,} numbers were expected."
        )
    return bias


def _units(of_input: np.ndarray, of_state: np.ndarray, gates: int) -> int:
    """How many units weights [G * U, D] and [G * U, U] are of."""
    if of_input.ndim != 2 or of_state.ndim != 2:
        raise ForeignModelError("The weights of a layer must have two dimensions.")
    for array in (of_input, of_state):
        if array.dtype.kind not in "fiu":
            raise ForeignModelError(f"An array of {array.dtype} holds no weights.")
    units = of_state.shape[1]
    if len(of_state) != gates * units or len(of_input) != gates * units:
        raise ForeignModelError(
            f"Weights of {of_input.shape} for the input and {of_state.shape} for the state do not "
            f"make {gates} gates of {units:,} units."
        )
    return units


def _rows(block: int, units: int, blocks: int, interleaved: bool) -> slice:
    if interleaved:
        return slice(block, None, blocks)
    return slice(block * units, (block + 1) * units)


def _turned(array: np.ndarray, turned: bool) -> np.ndarray:
    return array.T if turned else array


def _stacked(arrays: GateArrays | None, order: str, turned: bool) -> np.ndarray | None:
    """[G * U, D], from one array or from one a gate."""
    if arrays is None:
        return None
    if isinstance(arrays, Mapping):
        if set(arrays) != set(order):
            raise ForeignModelError(
                f"There are arrays for the gates {', '.join(sorted(map(str, arrays)))}; the order "
                f"names {', '.join(sorted(order))}."
            )
        return np.concatenate([_turned(float32(arrays[gate]), turned) for gate in order])
    return _turned(float32(arrays), turned)
