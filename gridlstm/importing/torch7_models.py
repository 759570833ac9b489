"""The models of char-rnn, of grid-lstm and of torch-rnn, from what is in their files.

char-rnn and grid-lstm: a graph a character, an LSTM's rows i f o g, one linear layer for what is
below and one for the state, both with a bias. torch-rnn: weights [D + U, 4 U], the rows of the
input first, columns i f o g.
"""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike

from gridlstm.importing.arrays import cell_weights, float32, zeros_or
from gridlstm.importing.errors import ForeignModelError
from gridlstm.importing.foreign_model import ForeignModel, Layer, LossHistory, check_sizes
from gridlstm.importing.records import Record
from gridlstm.importing.tensors import StoredTensor
from gridlstm.importing.torch7 import Series, Table
from gridlstm.importing.torch7_graph import Cell, Node, find_cell, read_graph
from gridlstm.importing.vocabularies import find_vocabulary
from gridlstm.vocabulary import Vocabulary

MAX_HISTORY = 1_000_000


def read_torch7_model(root: object, histories: Mapping | None = None) -> ForeignModel:
    """The model in a file of Torch 7; `histories` is the JSON that torch-rnn writes beside it.
    Raises ForeignModelError."""
    if isinstance(root, Table):
        protos, model = root.get("protos"), root.get("model")
        if isinstance(protos, Table) and isinstance(protos.get("rnn"), Record):
            return _read_char_rnn(root, protos["rnn"])
        if isinstance(model, Record) and model.name == "nn.LanguageModel":
            return _read_torch_rnn(root, model, histories or {})
    if isinstance(root, Record) and root.name == "nn.LanguageModel":
        return _read_torch_rnn(Table(), root, histories or {})
    raise ForeignModelError(
        "The file of Torch 7 is neither a checkpoint of char-rnn or grid-lstm (with protos.rnn) "
        "nor one of torch-rnn (with a LanguageModel)."
    )


# -- char-rnn and grid-lstm ------------------------------------------------------------------------


def _read_char_rnn(root: Table, graph: Record) -> ForeignModel:
    if graph.name != "nn.gModule":
        raise ForeignModelError(f"The model is a {graph.name[:60]} and not a graph of nngraph.")
    *states, prediction = read_graph(graph)
    decoder = _decoder(prediction)
    cache: dict = {}
    cells = [cell for node in states if (cell := find_cell(node, cache))]
    _check_time(cells, states)
    layers, top, grid = _stacked(cells, decoder.only, cache)
    if top is not decoder.only:
        raise ForeignModelError("The decoder of the model does not read its top layer.")
    weight, bias = _linear(decoder.module)
    embedding = _embedding(cells[0].below)
    check_sizes("lstm", len(layers), weight.shape[1], len(weight))
    cell = "grid" if grid else cells[0].kind
    tokens = _bytes_of(find_vocabulary(root.get("vocab"), len(weight), "the file", base=1))
    return ForeignModel(
        program="grid-lstm (Torch 7)" if grid else "char-rnn (Torch 7)",
        cell=cell,
        layers=tuple(layers),
        embedding=embedding,
        decoder_weight=weight,
        decoder_bias=bias,
        vocabulary=tokens,
        reset="before" if cell == "gru" else None,
        curve=_char_rnn_curve(root),
    )


def _decoder(prediction: Node) -> Node:
    linear = prediction.only if prediction.kind in ("LogSoftMax", "SoftMax") else prediction
    if linear.kind != "Linear":
        raise ForeignModelError(
            f"The model predicts by a {linear.kind[:40]} and not by one linear layer and a softmax."
        )
    return linear


def _check_time(cells: list[Cell], states: list[Node]) -> None:
    """Every state that the graph hands on is a cell's, in the order of the layers."""
    handed_on = [node for cell in cells for node in (cell.memory, cell.hidden) if node is not None]
    if not cells or [id(node) for node in handed_on] != [id(node) for node in states]:
        raise ForeignModelError(
            "The graph of the model has states that are no LSTM's, GRU's or plain RNN's."
        )
    if len({cell.kind for cell in cells}) > 1:
        raise ForeignModelError("The layers of the model are of several kinds.")
    carried = [
        node for cell in cells for node in (cell.memory_before, cell.state) if node is not None
    ]
    indices = [node.index for node in carried if node.kind == "input"]
    if indices != list(range(indices[0] if indices else 0, len(carried) + (indices or [0])[0])):
        raise ForeignModelError("The cells of the model do not read what they wrote before.")


def _stacked(cells: list[Cell], top: Node, cache: dict) -> tuple[list[Layer], Node, bool]:
    """The layers, the node that the topmost hands up, and whether they are those of a grid."""
    belows = [*(cell.below for cell in cells[1:]), top]
    if all(above is cell.hidden for cell, above in zip(cells, belows, strict=True)):
        return [Layer(cell.weights) for cell in cells], cells[-1].hidden, False
    layers = []
    memory: Node | None = None
    for cell, above in zip(cells, belows, strict=True):
        depth = find_cell(above, cache, cell.hidden)
        if depth is None or depth.kind != "lstm" or cell.kind != "lstm":
            raise ForeignModelError(
                "What a layer of the model hands up is neither its state nor the state of a Grid "
                "LSTM's depth cell."
            )
        if depth.below is not cell.below:
            raise ForeignModelError(
                "A depth cell of the model does not read its layer's new state and what is below."
            )
        begins = memory is None and depth.memory_before.kind == "input"
        if not begins and depth.memory_before is not memory:
            raise ForeignModelError("A depth cell does not read the memory of the layer below.")
        memory = depth.memory
        layers.append(Layer(cell.weights, depth.weights))
    return layers, belows[-1], True


def _embedding(node: Node) -> np.ndarray | None:
    """The embedding that the first layer reads, None if it reads one-hot vectors."""
    if node.kind == "LookupTable" and node.only.kind == "input":
        weight = node.module.get("weight")
        if not isinstance(weight, StoredTensor) or len(weight.shape) != 2:
            raise ForeignModelError("The embedding of the model has no weight.")
        return float32(weight.array()).copy()
    if node.kind == "OneHot":
        node = node.only
    if node.kind != "input":
        raise ForeignModelError(
            f"The first layer reads a {node.kind[:40]}, and not a character or its embedding."
        )
    return None


def _linear(module: Record) -> tuple[np.ndarray, np.ndarray]:
    """A linear module's weight [O, I] and bias [O]."""
    weight, bias = module.get("weight"), module.get("bias")
    if not isinstance(weight, StoredTensor) or len(weight.shape) != 2:
        raise ForeignModelError("The decoder of the model has no weight.")
    given = bias.array() if isinstance(bias, StoredTensor) else None
    return np.array(weight.array(), np.float32), zeros_or(given, weight.shape[0]).copy()


def _bytes_of(tokens: Vocabulary | None) -> Vocabulary | None:
    """Bytes, where all are ASCII: char-rnn reads single bytes."""
    if tokens is None or any(isinstance(sign, str) and sign > "\x7f" for sign in tokens.tokens):
        return tokens
    signs = [
        sign.encode() if isinstance(sign, str) and len(sign) == 1 else sign
        for sign in tokens.tokens
    ]
    return replace(tokens, tokens=tuple(signs))


def _char_rnn_curve(root: Table) -> LossHistory | None:
    """Both are tables by update; those of training hold every one."""
    return _history(_by_update(root.get("val_losses")), _by_update(root.get("train_losses")))


def _by_update(losses: object) -> tuple[ArrayLike, ArrayLike]:
    if isinstance(losses, Series):
        order = np.argsort(losses.keys, kind="stable")
        updates = losses.keys[order]
        whole = (updates > 0) & (updates < 1 << 53) & (updates % 1 == 0)
        return updates[whole], losses.values[order][whole]
    if not isinstance(losses, Table) or len(losses) > MAX_HISTORY:
        return [], []
    found = sorted(
        (update, loss)
        for update, loss in losses.items()
        if type(update) is int and isinstance(loss, int | float) and 0 < update < 1 << 53
    )
    return [update for update, _ in found], [loss for _, loss in found]


def _history(
    validation: tuple[ArrayLike, ArrayLike], train: tuple[ArrayLike, ArrayLike]
) -> LossHistory | None:
    if not len(validation[0]) and not len(train[0]):
        return None
    kinds = (np.int64, np.float64)
    arrays = [
        np.array(values, kind)
        for pair in (validation, train)
        for values, kind in zip(pair, kinds, strict=True)
    ]
    return LossHistory(*arrays)


# -- torch-rnn -------------------------------------------------------------------------------------

_TORCH_RNN = {"nn.LSTM": ("lstm", "ifog"), "nn.VanillaRNN": ("rnn", "h")}


def _read_torch_rnn(root: Table, model: Record, histories: Mapping) -> ForeignModel:
    net = model.get("net")
    modules = net.get("modules") if isinstance(net, Record) else None
    parts = modules.listed if isinstance(modules, Table) else []
    kinds = [part.name if isinstance(part, Record) else "" for part in parts]
    passed_over = ("nn.View", "nn.Dropout", "nn.Contiguous", "nn.Copy")
    layers = [part for part, kind in zip(parts, kinds, strict=True) if kind not in passed_over]
    for kind in kinds:
        if kind not in (*_TORCH_RNN, *passed_over, "nn.LookupTable", "nn.Linear"):
            raise ForeignModelError(
                f"The model has a {kind[:60] or 'part without a name'}, which no model here has"
                + (": it was trained with -batchnorm 1." if "Batch" in kind else ".")
            )
    names = [layer.name for layer in layers]
    if len(layers) < 3 or names[0] != "nn.LookupTable" or names[-1] != "nn.Linear":
        raise ForeignModelError("The model is not an embedding, recurrent layers and a decoder.")
    if len(set(names[1:-1])) != 1 or names[1] not in _TORCH_RNN:
        raise ForeignModelError("The recurrent layers of the model are not all of one kind.")
    cell, order = _TORCH_RNN[names[1]]
    embedding = float32(_tensor(layers[0], "weight")).copy()
    weight, bias = _linear(layers[-1])
    read = []
    for layer in layers[1:-1]:
        both, own = _tensor(layer, "weight"), _tensor(layer, "bias")
        inputs = both.shape[0] - both.shape[-1] // len(order) if both.ndim == 2 else 0
        if inputs <= 0:
            raise ForeignModelError("A recurrent layer of the model has no fitting weight.")
        read.append(Layer(cell_weights(cell, both[:inputs].T, both[inputs:].T, own, order=order)))
    tokens = find_vocabulary(model.get("idx_to_token"), len(weight), "the file", base=1)
    return ForeignModel(
        program="torch-rnn (Torch 7)",
        cell=cell,
        layers=tuple(read),
        embedding=embedding,
        decoder_weight=weight,
        decoder_bias=bias,
        vocabulary=tokens,
        curve=_torch_rnn_curve(root, histories),
    )


def _tensor(module: Record, name: str) -> np.ndarray:
    tensor = module.get(name)
    if not isinstance(tensor, StoredTensor):
        raise ForeignModelError(f"A {module.name[:40]} of the model has no {name}.")
    return tensor.array()


def _torch_rnn_curve(root: Mapping, histories: Mapping) -> LossHistory | None:
    """Losses of training are one an update, those of validation have their updates beside them."""

    def listed(name: str) -> list:
        for place in (root, histories):
            values = place.get(name)
            values = values.listed if isinstance(values, Table | Series) else values
            if not isinstance(values, list) or not 0 < len(values) <= MAX_HISTORY:
                continue
            if all(isinstance(value, int | float) for value in values):
                return values
        return []

    train, losses = listed("train_loss_history"), listed("val_loss_history")
    updates = [value for value in listed("val_loss_history_it") if 0 < value < 1 << 53]
    count = min(len(updates), len(losses))
    validation = ([int(value) for value in updates[:count]], losses[:count])
    return _history(validation, (list(range(1, len(train) + 1)), train))


def is_torch_rnn_json(content: object) -> bool:
    """Whether this is what torch-rnn writes beside its checkpoint."""
    return isinstance(content, Mapping) and "val_loss_history" in content and "opt" in content
