"""Models that TensorFlow 1 trained, by the names of their variables; ml5 exports the same.

LSTM: a kernel [D + U, 4 U], columns i g f o, and 1 is added to f when the program runs. GRU: gates
r and u, the reset on the state before the product, h' = u h + (1 - u) c. The rows of the input
stand before those of the state.
"""

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np

from gridlstm.array_types import NumberArray
from gridlstm.importing.arrays import cell_weights, float32, zeros_or
from gridlstm.importing.errors import ForeignModelError
from gridlstm.importing.foreign_model import CellWeights, ForeignModel, Layer, check_sizes

FORGET_BIAS = 1.0
_SLOT = re.compile(
    r"(^|.*/)(optimizer|training|Optimizer)/.*|.*/(Adam(_\d+)?|RMSProp(_\d+)?|Momentum|Adagrad|"
    r"Adadelta(_\d+)?|Ftrl(_\d+)?|ExponentialMovingAverage)|.*beta[12]_power(_\d+)?|"
    r"(.*/)?(global_step|Variable(_\d+)?|learning_rate|lr)"
)
_WEIGHT = re.compile(r"(?:Linear/)?(kernel|weights?|Matrix|bias|biases|Bias)")
_REFUSED = (
    (r"w_[fio]_diag", "peepholes: its gates look at the cells themselves, which no model here has"),
    (r"/projection/", "projections: its state is narrower than its cells"),
    (r"layer_?norm|LayerNorm|/gamma$", "LayerNorm in its cells"),
    (r"(^|/)(bw|backward|bidirectional\w*)/", "a part that reads backwards: it is bidirectional"),
    (r"attention", "attention, which no model here has"),
    (r"nas_?(rnn)?_?cell|NASCell", "NAS cells, which no model here has"),
    (r"opaque_kernel|cudnn", "weights in cuDNN's own order, which is not documented"),
)


@dataclass
class _Cell:
    """The names of one layer's variables: by (part, weight or bias), the part being empty, `gates`
    or `candidate`."""

    number: int
    names: dict[tuple[str, str], str] = field(default_factory=dict)


def model_of_variables(
    shapes: Mapping[str, tuple[int, ...]],
    array: Callable[[str], NumberArray],
    program: str,
    answers: Mapping[str, str],
) -> ForeignModel:
    """The model whose variables have these names and shapes; `array` gives the numbers of one.

    What is added to the forget gate is 1, TensorFlow's own, unless `answers` has a `forget_bias`.
    Raises ForeignModelError.
    """
    added = _forget_bias(answers)
    shapes = {name: shape for name, shape in shapes.items() if not _SLOT.fullmatch(name)}
    _check_names(shapes)
    cells = _cells(shapes)
    rest = {name for name in shapes if not any(name in c.names.values() for c in cells)}
    decoder, bias, embedding = _around(shapes, rest)
    units, tokens = shapes[decoder]
    check_sizes("lstm", len(cells), units, tokens)
    kinds = {_kind(cell, shapes, units) for cell in cells}
    if len(kinds) > 1:
        raise ForeignModelError("The layers of the model are of several kinds.")
    (kind,) = kinds
    layers = tuple(Layer(_weights(kind, cell, units, array, added)) for cell in cells)
    notes: tuple[str, ...] = ()
    if kind == "lstm":
        notes = (
            f"{added:g} was added to the forget gates' biases, as its program does when it runs.",
        )
    return ForeignModel(
        program=program,
        cell=kind,
        layers=layers,
        embedding=None if embedding is None else np.array(float32(array(embedding))),
        decoder_weight=np.ascontiguousarray(float32(array(decoder)).T),
        decoder_bias=zeros_or(None if bias is None else array(bias), tokens).copy(),
        reset="before" if kind == "gru" else None,
        notes=notes,
    )


def _forget_bias(answers: Mapping[str, str]) -> float:
    try:
        added = float(answers.get("forget_bias", FORGET_BIAS))
    except ValueError:
        added = math.nan
    if not math.isfinite(added):
        raise ForeignModelError("The forget_bias must be a number, such as 1.")
    return added


def _check_names(shapes: Mapping[str, tuple[int, ...]]) -> None:
    if any("/.ATTRIBUTES/" in name for name in shapes):
        raise ForeignModelError(
            "This is a checkpoint of TensorFlow 2's objects, which does not say how its layers are "
            "connected: save the Keras model as .keras or .h5 instead."
        )
    for name in shapes:
        for pattern, what in _REFUSED:
            if re.search(pattern, name):
                raise ForeignModelError(f"The model has {what} ({name[:80]}).")


def _cells(shapes: Mapping[str, tuple[int, ...]]) -> list[_Cell]:
    """The recurrent layers from the first to the topmost, by the number in their names."""
    cells: dict[str, _Cell] = {}
    for name in shapes:
        scope, part, kind = _parts(name)
        if scope is None:
            continue
        number = re.search(r"(?:cell_|Cell)(\d{1,3})(?:/|$)", scope)
        cell = cells.setdefault(scope, _Cell(int(number[1]) if number else 0))
        cell.names[part, kind] = name
    found = sorted(cells.values(), key=lambda cell: cell.number)
    if not found:
        raise ForeignModelError(
            "The checkpoint has no variables of recurrent cells, such as "
            "rnnlm/multi_rnn_cell/cell_0/basic_lstm_cell/kernel."
        )
    if [cell.number for cell in found] != list(range(len(found))):
        raise ForeignModelError(
            "The recurrent layers of the checkpoint are not one stack, numbered from 0."
        )
    return found


def _parts(name: str) -> tuple[str | None, str, str]:
    """A variable's cell, the part of that cell and whether it is its weight or its bias."""
    pieces = re.sub(r"Linear/", "", name).split("/")
    match = _WEIGHT.fullmatch(pieces[-1])
    if match is None or not re.search(r"cell", name, re.I):
        return None, "", ""
    kind = "bias" if match[1].lower().startswith("bias") else "weight"
    part = pieces[-2].lower() if len(pieces) > 1 else ""
    if part in ("gates", "candidate"):
        return "/".join(pieces[:-2]), part, kind
    return "/".join(pieces[:-1]), "", kind


def _around(
    shapes: Mapping[str, tuple[int, ...]], rest: set[str]
) -> tuple[str, str | None, str | None]:
    """The names of the decoder's weight [U, V], of its bias and of the embedding [V, E]."""
    matrices = [name for name in shapes if name in rest and len(shapes[name]) == 2]
    named = [name for name in matrices if re.search(r"softmax|dense|output|logits", name)]
    embeddings = [name for name in matrices if name not in named]
    if len(named) != 1 or len(embeddings) > 1:
        raise ForeignModelError(
            "The checkpoint's variables beside the cells are not one embedding and one decoder "
            f"({', '.join(sorted(rest))[:120] or 'there are none'})."
        )
    vectors = [name for name in shapes if name in rest and len(shapes[name]) == 1]
    biases = [name for name in vectors if shapes[name][0] == shapes[named[0]][1]]
    left = rest - {*named, *embeddings, *biases}
    left = {name for name in left if shapes[name]}
    if left or len(biases) > 1:
        raise ForeignModelError(
            f"The checkpoint has variables that no such model has: {', '.join(sorted(left))[:120]}."
        )
    return named[0], next(iter(biases), None), next(iter(embeddings), None)


def _kind(cell: _Cell, shapes: Mapping[str, tuple[int, ...]], units: int) -> str:
    """Which cell variables of these shapes are of."""
    columns = {part: shapes[name][-1:] for (part, kind), name in cell.names.items()}
    weights = {key[0] for key in cell.names if key[1] == "weight"}
    if weights == {"gates", "candidate"} and columns["gates"] == (2 * units,):
        return "gru"
    if weights == {""} and columns[""] == (4 * units,):
        return "lstm"
    if weights == {""} and columns[""] == (units,):
        return "rnn"
    raise ForeignModelError(
        f"Layer {cell.number + 1} of the checkpoint is no LSTM, GRU or plain RNN of {units:,} "
        "units, as its decoder would have it: layers must be of equal width."
    )


def _weights(
    kind: str, cell: _Cell, units: int, array: Callable[[str], NumberArray], added: float
) -> CellWeights:
    """A layer's weights in our order."""
    parts = ("gates", "candidate") if kind == "gru" else ("",)
    kernels = [np.asarray(array(cell.names[part, "weight"])) for part in parts]
    biases = []
    for part, kernel in zip(parts, kernels, strict=True):
        name = cell.names.get((part, "bias"))
        given = None if name is None else array(name)
        biases.append(zeros_or(given, kernel.shape[1]))
    inputs = len(kernels[0]) - units
    if inputs < 1 or any(len(kernel) != len(kernels[0]) for kernel in kernels):
        raise ForeignModelError("A recurrent layer of the checkpoint has no fitting kernel.")
    kernel = kernels[0] if len(kernels) == 1 else np.concatenate(kernels, 1)
    order = {"lstm": "igfo", "gru": "rzn", "rnn": "h"}[kind]
    return cell_weights(
        kind,
        kernel[:inputs].T,
        kernel[inputs:].T,
        np.concatenate(biases),
        order=order,
        forget_bias=added if kind == "lstm" else 0.0,
        reset="before",
    )
