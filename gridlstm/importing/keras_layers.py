"""A chain of Keras' layers, with their configurations and weights, as one model.

LSTM: kernel [D, 4 U], columns i f g o. GRU: z r h, h' = z h + (1 - z) g, the reset before the
product or after it. `hard_sigmoid` is clip(x / 5 + 0.5) in Keras 1 and 2, clip(x / 6 + 0.5) in 3.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np

from gridlstm.array_types import NumberArray
from gridlstm.importing.arrays import cell_weights, float32, zeros_or
from gridlstm.importing.errors import ForeignModelError
from gridlstm.importing.foreign_model import (
    GATE_ACTIVATIONS,
    CellWeights,
    ForeignModel,
    Layer,
    Question,
    check_sizes,
)

CELLS = {
    "LSTM": ("lstm", "ifgo"),
    "CuDNNLSTM": ("lstm", "ifgo"),
    "GRU": ("gru", "zrn"),
    "CuDNNGRU": ("gru", "zrn"),
    "SimpleRNN": ("rnn", "h"),
}
_PASSED_OVER = (
    *("InputLayer", "Dropout", "SpatialDropout1D", "GaussianNoise", "GaussianDropout"),
    *("AlphaDropout", "ActivityRegularization"),
)
_WHY = {
    "Bidirectional": "is bidirectional: it reads what comes after a character, so that it cannot "
    "predict the next one",
    "Masking": "skips characters that it masks, which no model here does",
    "Lambda": "runs code of its author's, which is not in the file",
    "RNN": "wraps cells of its author's; only LSTM, GRU and SimpleRNN layers can be read",
    "TimeDistributed": "holds something else than a Dense layer",
    "Flatten": "looks at a whole window at once, so that the model cannot read a stream",
    "Attention": "has attention, which no model here has",
    "AttentionWeightedAverage": "has attention (textgenrnn), which no model here has",
}


@dataclass(eq=False)
class KerasLayer:
    """`kind` is its class, `config` what it was made with (empty if that is not known), `weights`
    its arrays by the last part of their names: kernel, recurrent_kernel, bias, embeddings."""

    kind: str
    name: str
    config: Mapping[str, object]
    weights: dict[str, NumberArray] = field(default_factory=dict)


@dataclass(frozen=True)
class Conventions:
    """What the same names mean to the Keras that wrote a file: `version` is that of Keras as it is
    in the file, None if it is not; `configured` whether there are configurations."""

    program: str
    version: str | None
    configured: bool = True
    hard_sigmoid: str = "hard_sigmoid"


def conventions(program: str, version: object, configured: bool = True) -> Conventions:
    """What the Keras of a version means by its names."""
    text = version if isinstance(version, str) else None
    newest = text is not None and text[:2].strip(".").isdigit() and int(text[:2].strip(".")) >= 3
    hard = "hard_sigmoid_6" if newest else "hard_sigmoid"
    return Conventions(program, text, configured, hard)


def model_of_layers(
    layers: list[KerasLayer], known: Conventions, answers: Mapping[str, str]
) -> ForeignModel:
    """The model that a chain of layers is. Raises ForeignModelError."""
    embedding, recurrent, dense = _parted(layers)
    cell, _ = CELLS[recurrent[0].kind]
    questions: list[Question] = []
    gates = _gates(recurrent, known, answers, questions)
    reset = _reset(recurrent, known, answers, questions) if cell == "gru" else None
    weight = _weight(dense, "kernel", 2).T
    units, size = weight.shape[1], len(weight)
    check_sizes(cell, len(recurrent), units, size)
    _check_input(recurrent[0], embedding, size)
    cells = tuple(Layer(_weights(layer, units, reset or "after")) for layer in recurrent)
    window = _window(layers, recurrent)
    notes = []
    if window:
        notes.append(
            f"Its program gave it windows of {window} characters, each from a zero state; here it "
            "reads a stream, and its losses are not those of its program."
        )
    vectors = None if embedding is None else float32(_weight(embedding, "embeddings", 2))
    return ForeignModel(
        program=known.program,
        cell=cell,
        layers=cells,
        embedding=vectors,
        decoder_weight=np.ascontiguousarray(float32(weight)),
        decoder_bias=zeros_or(dense.weights.get("bias"), size),
        gates=gates,
        reset=reset,
        window=window,
        notes=tuple(notes),
        questions=tuple(questions),
    )


# -- Which layers there are ------------------------------------------------------------------------


def _parted(layers: list[KerasLayer]) -> tuple[KerasLayer | None, list[KerasLayer], KerasLayer]:
    """The embedding, the recurrent layers and the decoder. Raises ForeignModelError."""
    kept = [_unwrapped(layer) for layer in layers]
    kept = [layer for layer in kept if layer.kind not in _PASSED_OVER]
    for layer in kept:
        known = layer.kind in CELLS or layer.kind in ("Embedding", "Dense", "Activation", "Softmax")
        if not known:
            why = _WHY.get(layer.kind, "is none that a model here has")
            raise ForeignModelError(
                f"The layer {layer.name[:60]}, a {layer.kind[:40]}, {why}: only an embedding, "
                "recurrent layers and one Dense layer can be read."
            )
    kept = _without_softmax(kept)
    kinds = [layer.kind for layer in kept]
    embedding = kept.pop(0) if kinds[:1] == ["Embedding"] else None
    cells_alone = all(layer.kind in CELLS for layer in kept[:-1])
    if len(kept) < 2 or kept[-1].kind != "Dense" or not cells_alone:
        chain = " → ".join(kind[:20] for kind in kinds[:8]) or "nothing"
        raise ForeignModelError(
            f"The model is {chain}; only an embedding, recurrent layers and one Dense layer, in "
            "this order, can be read."
        )
    *recurrent, dense = kept
    if len({CELLS[layer.kind] for layer in recurrent}) > 1:
        raise ForeignModelError("The recurrent layers of the model are of several kinds.")
    if embedding is not None and embedding.config.get("mask_zero") is True:
        raise ForeignModelError(
            "The embedding masks index 0 (mask_zero), at which the model repeats what it said "
            "before; no model here does."
        )
    _check_flow(recurrent)
    return embedding, recurrent, dense


def _unwrapped(layer: KerasLayer) -> KerasLayer:
    """What is applied to every position, without the layer that says so."""
    inner = layer.config.get("layer") if layer.kind == "TimeDistributed" else None
    if not isinstance(inner, Mapping) or not isinstance(inner.get("config"), Mapping):
        return layer
    kind = str(inner.get("class_name"))
    if kind not in ("Dense", "Activation", "Softmax", "Dropout"):
        return layer
    return KerasLayer(kind, layer.name, inner["config"], layer.weights)


def _without_softmax(layers: list[KerasLayer]) -> list[KerasLayer]:
    """Without the softmax at the end, which the decoder may have or a layer of its own."""
    kept = []
    for number, layer in enumerate(layers):
        usual = "softmax" if layer.kind == "Softmax" else "linear"
        function = _function(layer.config.get("activation", usual)) or "linear"
        if layer.kind not in ("Dense", "Activation", "Softmax"):
            kept.append(layer)
        elif function != "linear" and (function != "softmax" or number != len(layers) - 1):
            raise ForeignModelError(
                f"The layer {layer.name[:60]} goes through {function}; only a softmax after the "
                "last Dense layer can be read."
            )
        elif layer.kind == "Dense":
            kept.append(layer)
    return kept


def _check_flow(recurrent: list[KerasLayer]) -> None:
    for number, layer in enumerate(recurrent):
        config = layer.config
        if config.get("go_backwards") is True:
            raise ForeignModelError(
                f"The layer {layer.name[:60]} reads backwards, so that it cannot predict the next "
                "character."
            )
        below_top = number < len(recurrent) - 1
        if below_top and config.get("return_sequences") is False:
            raise ForeignModelError(
                f"The layer {layer.name[:60]} hands up its last state alone, so that those above "
                "do not read a stream."
            )
        activation = _function(config.get("activation", "tanh"))
        if activation != "tanh":
            raise ForeignModelError(
                f"The layer {layer.name[:60]} goes through {activation}; only tanh can be traced."
            )


def _function(value: object) -> str | None:
    """The name of an activation, however the version writes it."""
    if isinstance(value, Mapping):
        value = value.get("class_name") or value.get("config")
    names = {"hardSigmoid": "hard_sigmoid"}
    return None if value is None else names.get(str(value), str(value))[:40]


def _check_input(first: KerasLayer, embedding: KerasLayer | None, size: int) -> None:
    """Raises ForeignModelError if without an embedding the input is no one-hot vector."""
    read = len(_weight(first, "kernel", 2))
    if embedding is not None or read == size:
        return
    if read == 1:
        raise ForeignModelError(
            "The first layer reads one number for a character, its index on some scale that is not "
            "in the file; only one-hot input or an embedding can be read."
        )
    raise ForeignModelError(
        f"The first layer reads {read:,} numbers for a character and the model knows {size:,}, so "
        "that the input is not one-hot; but there is no embedding."
    )


# -- What they mean --------------------------------------------------------------------------------


def _gates(
    recurrent: list[KerasLayer],
    known: Conventions,
    answers: Mapping[str, str],
    questions: list[Question],
) -> str:
    """What the gates go through, of our names; asked for where the file does not say."""
    if recurrent[0].kind == "SimpleRNN":
        return "sigmoid"
    if not known.configured:
        return _asked_gates(known, answers, questions)
    found = {
        "sigmoid" if layer.kind.startswith("CuDNN") else _gate_function(layer.config)
        for layer in recurrent
    }
    if len(found) > 1:
        raise ForeignModelError("The gates of the layers go through different functions.")
    (function,) = found
    if function == "hard_sigmoid":
        return known.hard_sigmoid
    if function != "sigmoid":
        raise ForeignModelError(
            f"The gates go through {function}; only sigmoid and hard_sigmoid can be traced."
        )
    return "sigmoid"


def _gate_function(config: Mapping[str, object]) -> str | None:
    """Keras 1 calls it inner_activation."""
    given = config.get("recurrent_activation", config.get("inner_activation"))
    return _function(given) or "sigmoid"


def _asked_gates(known: Conventions, answers: Mapping[str, str], questions: list[Question]) -> str:
    version = known.version or ""
    old = "tf" not in version and version.startswith(("1.", "2.0", "2.1", "2.2"))
    given = answers.get("gates")
    if given in GATE_ACTIVATIONS:
        return given
    default = "hard_sigmoid" if old else "sigmoid"
    text = (
        "The file has weights without a configuration. What was recurrent_activation: sigmoid "
        "(usual since Keras 2.3), the hard_sigmoid of Keras 1 and 2 (usual before), or that of "
        "Keras 3?"
    )
    questions.append(Question("gates", text, GATE_ACTIVATIONS, default))
    return default


def _reset(
    recurrent: list[KerasLayer],
    known: Conventions,
    answers: Mapping[str, str],
    questions: list[Question],
) -> str:
    """Where a GRU's reset stands: the bias tells, or else the configuration alone."""
    found = set()
    for layer in recurrent:
        bias = layer.weights.get("bias")
        if layer.kind == "CuDNNGRU" or (bias is not None and bias.ndim == 2):
            found.add("after")
        elif known.configured:
            # Configurations from before the option have none, and meant before.
            found.add("after" if layer.config.get("reset_after") is True else "before")
        elif bias is not None:
            found.add("before")
    if len(found) > 1:
        raise ForeignModelError("The GRUs of the model have their resets in different places.")
    if found:
        return found.pop()
    given = answers.get("reset")
    if given in ("after", "before"):
        return given
    text = (
        "The file has GRUs without biases and without a configuration. Was reset_after True "
        "(usual since Keras 2.3: after) or False (before)?"
    )
    questions.append(Question("reset", text, ("after", "before"), "after"))
    return "after"


def _window(layers: list[KerasLayer], recurrent: list[KerasLayer]) -> int | None:
    """How many characters the model was given at a time, from a zero state."""
    if any(layer.config.get("stateful") is True for layer in recurrent):
        return None
    for layer in layers[:2]:
        for name in ("batch_input_shape", "batch_shape", "input_length"):
            shape = layer.config.get(name)
            length = shape[1] if isinstance(shape, list) and len(shape) > 1 else shape
            if type(length) is int and length > 1:
                return length
    return None


# -- Weights ---------------------------------------------------------------------------------------


def _weight(layer: KerasLayer, name: str, dimensions: int) -> NumberArray:
    array = layer.weights.get(name)
    if array is None or array.ndim != dimensions:
        raise ForeignModelError(f"The layer {layer.name[:60]} has no fitting {name}.")
    return array


def _weights(layer: KerasLayer, units: int, reset: str) -> CellWeights:
    """A recurrent layer's weights in our order."""
    cell, order = CELLS[layer.kind]
    kernel, state = _weight(layer, "kernel", 2), _weight(layer, "recurrent_kernel", 2)
    bias, blocks = layer.weights.get("bias"), len(order)
    if state.shape != (units, blocks * units) or kernel.shape[1] != blocks * units:
        raise ForeignModelError(
            f"The layer {layer.name[:60]} is not of {units:,} units, as the decoder would have it: "
            "layers must be of equal width."
        )
    if layer.kind.startswith("CuDNN"):
        kernel = _blockwise(kernel, blocks, lambda part: part.T.reshape(part.shape, order="F"))
        state = _blockwise(state, blocks, lambda part: part.T)
        bias = None if bias is None else bias.reshape(2, -1)
    of_input, of_state = (bias, None) if bias is None or bias.ndim == 1 else tuple(bias[:2])
    return cell_weights(
        cell, kernel.T, state.T, of_input, of_state, order=order, update="keeps", reset=reset
    )


def _blockwise(
    kernel: NumberArray, blocks: int, change: Callable[[NumberArray], NumberArray]
) -> NumberArray:
    """Every gate's columns changed by themselves."""
    return np.hstack([change(part) for part in np.hsplit(kernel, blocks)])
