"""Models of PyTorch: state dicts by the names of their tensors, and pickled modules as a whole.

LSTM: rows i f g o; GRU: r z n, the reset on the product; two biases, which are added but within a
GRU's reset.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from gridlstm.array_types import NumberArray
from gridlstm.importing.arrays import cell_weights, float32, zeros_or
from gridlstm.importing.errors import ForeignModelError
from gridlstm.importing.foreign_model import ForeignModel, Layer, Question, check_sizes
from gridlstm.importing.records import Record
from gridlstm.importing.tensors import StoredTensor
from gridlstm.importing.vocabularies import PRINTABLE, find_vocabulary, make_vocabulary
from gridlstm.vocabulary import Vocabulary

MAX_SEARCHED_OBJECTS = 200_000
MAX_MODULES = 10_000
MAX_PATH, MAX_MODULE_NAME = 200, 1_000
_RECURRENT = re.compile(r"(weight|bias)_(ih|hh|hr)(?:_l(\d{1,3}))?(_reverse)?")
_WRAPPED = re.compile(r"(weight|bias)(_\w+)?_(raw|g|v|orig|mask)|original[01]|_packed_params|scale")
_ORDERS = {4: ("lstm", "ifgo"), 3: ("gru", "rzn"), 1: ("rnn", "h")}
# What a model may be made of besides its author's own classes, by the last part of the name.
_PLAIN_MODULES = (
    *("Embedding", "LSTM", "GRU", "RNN", "LSTMCell", "GRUCell", "RNNCell", "Linear"),
    *("Dropout", "Dropout1d", "Dropout2d", "Softmax", "LogSoftmax", "Identity"),
    *("CrossEntropyLoss", "NLLLoss", "ModuleList", "ModuleDict", "Sequential", "Module"),
)
_HARMLESS = re.compile(r"(.*\.)?(criterion|loss|loss_fn|crit)\.weight|.*num_batches_tracked")
# Names by which an embedding or a decoder without a bias is told from the other.
_READS = re.compile(r"emb|encod|wte|lookup|i2h|input", re.I)


@dataclass(eq=False)
class StateDict:
    """Parameters by name, in their order, and what is known of the modules they belong to, by
    these modules' names; `path` says where in the file it stood."""

    tensors: dict[str, StoredTensor | NumberArray]
    path: str = ""
    modules: dict[str, Record] = field(default_factory=dict)

    @property
    def whole(self) -> bool:
        """Whether it was a pickled module rather than a state dict."""
        return bool(self.modules)


def read_pytorch(root: object, answers: Mapping[str, str], source: str = "file") -> ForeignModel:
    """The model among what torch.save was given, or safetensors. Raises ForeignModelError."""
    found = list(_state_dicts(root))
    if not found:
        raise ForeignModelError(_find_missing_part(root, source))
    chosen = next((one for one in found if one.path == answers.get("model")), found[0])
    model = _model(_plain_names(chosen), answers)
    tokens = find_vocabulary(root, model.vocabulary_size, "the file") or _printable(chosen, model)
    if len(found) > 1:
        paths = tuple(one.path for one in found)
        question = Question(
            "model", "The file holds several models. Which one?", paths, chosen.path
        )
        model = replace(model, questions=(*model.questions, question))
    return replace(model, vocabulary=tokens)


# -- Finding the parameters ------------------------------------------------------------------------


def _state_dicts(root: object) -> Iterator[StateDict]:
    """Every state dict or module with a recurrent layer, the nearest first, none within another."""
    waiting: list[tuple[str, object]] = [("", root)]
    seen: set[int] = set()
    for path, value in waiting:
        if id(value) in seen or len(waiting) > MAX_SEARCHED_OBJECTS:
            continue
        seen.add(id(value))
        if isinstance(value, Record) and _is_module(value):
            state = _of_module(value, path)
            if any(_leaf(name) for name in state.tensors):
                yield state
                continue
        if isinstance(value, Mapping):
            tensors = {
                name: tensor
                for name, tensor in value.items()
                if isinstance(name, str) and isinstance(tensor, StoredTensor | np.ndarray)
            }
            if any(_leaf(name) for name in tensors):
                yield StateDict(tensors, path)
                continue
            children = [(str(key)[:60], child) for key, child in value.items()]
        elif isinstance(value, list | tuple):
            children = [(str(number), child) for number, child in enumerate(value[:1000])]
        elif isinstance(value, Record):
            children = [("", value.state), ("", value.items)]
        else:
            continue
        waiting += [
            (f"{path}.{name}".strip(".")[:MAX_PATH], child)
            for name, child in children
            if isinstance(child, Mapping | list | tuple | Record)
        ]


def _is_module(record: Record) -> bool:
    return isinstance(record.get("_modules"), Mapping) and isinstance(
        record.get("_parameters"), Mapping
    )


def _of_module(root: Record, path: str) -> StateDict:
    """The parameters and buffers of a module and of those within it, named as state_dict() does."""
    found = StateDict({}, path)
    waiting, seen = [("", root)], set()
    for name, module in waiting:
        if len(waiting) > MAX_MODULES:
            raise ForeignModelError(f"The model has more than {MAX_MODULES:,} modules.")
        if id(module) in seen:
            continue
        seen.add(id(module))
        found.modules[name] = module
        for kind in ("_parameters", "_buffers"):
            own = module.get(kind)
            for key, tensor in own.items() if isinstance(own, Mapping) else ():
                if isinstance(tensor, StoredTensor | np.ndarray):
                    found.tensors[f"{name}.{key}".strip(".")] = tensor
        children = module.get("_modules")
        if isinstance(children, Mapping):
            waiting += [
                (f"{name}.{key}".strip("."), child)
                for key, child in children.items()
                if isinstance(child, Record) and _is_module(child) and len(name) < MAX_MODULE_NAME
            ]
    found.tensors = _in_module_order(found)
    return found


def _in_module_order(found: StateDict) -> dict[str, StoredTensor | NumberArray]:
    """Depth first, as state_dict() lists them; the walk was breadth first."""
    order = {name: number for number, name in enumerate(_depth_first(found.modules))}
    scopes = {name: name.rpartition(".")[0] for name in found.tensors}
    # A damaged name may have a point of its own, and no module before it.
    last = len(order)
    return dict(sorted(found.tensors.items(), key=lambda of: order.get(scopes[of[0]], last)))


def _depth_first(modules: dict[str, Record]) -> Iterator[str]:
    children: dict[str, list[str]] = {}
    for name in modules:
        if name:
            children.setdefault(name.rpartition(".")[0], []).append(name)
    waiting = [""]
    while waiting:
        name = waiting.pop()
        yield name
        waiting += reversed(children.get(name, []))


def _plain_names(state: StateDict) -> StateDict:
    """Without what wrappers put into names: torch.compile, DataParallel."""

    def plain(name: str) -> str:
        parts = [part for part in name.split(".") if part not in ("_orig_mod", "module")]
        return ".".join(parts)

    # Of a wrapper and what it wraps, which then have one name, the latter counts.
    modules = {plain(name): module for name, module in state.modules.items()}
    return StateDict(
        {plain(name): tensor for name, tensor in state.tensors.items()}, state.path, modules
    )


def _leaf(name: str) -> re.Match[str] | None:
    return _RECURRENT.match(name.rpartition(".")[2])


# -- What is refused -------------------------------------------------------------------------------


def _check(state: StateDict) -> None:
    """Raises ForeignModelError for what no stack of plain cells holds, by its names."""
    for name in state.tensors:
        last = name.rpartition(".")[2]
        match = _leaf(name)
        if match and match[4]:
            raise ForeignModelError(
                "The model is bidirectional: it reads what comes after a character, so that it "
                "cannot predict the next one."
            )
        if match and match[2] == "hr":
            raise ForeignModelError(
                "The LSTM has projections (proj_size), so that its state is narrower than its "
                "cells, which no model here has."
            )
        if _WRAPPED.fullmatch(last) and not (match and match.end() == len(last)):
            raise ForeignModelError(
                f"The tensor {name[:80]} shows that weights are wrapped (weight_norm, pruning, "
                "quantisation or hidden-to-hidden dropout), so that those in use are not in the "
                "file: take the wrapper off and save again."
            )
    for name, module in state.modules.items():
        _check_module(name, module)


def _check_module(name: str, module: Record) -> None:
    library, _, kind = module.name.rpartition(".")
    if library.startswith("torch.") and kind not in _PLAIN_MODULES:
        raise ForeignModelError(
            f"The model has a {kind} ({name[:60] or 'at the top'}), which no model here has: only "
            "an embedding, recurrent layers and one linear decoder can be read."
        )
    if module.get("bidirectional") is True:
        raise ForeignModelError(
            "The model is bidirectional: it reads what comes after a character, so that it cannot "
            "predict the next one."
        )
    if module.get("mode") == "RNN_RELU" or module.get("nonlinearity") == "relu":
        raise ForeignModelError("The plain RNN goes through relu; only tanh can be traced.")
    if module.get("proj_size"):
        raise ForeignModelError("The LSTM has projections (proj_size), which no model here has.")
    if module.get("max_norm") is not None:
        raise ForeignModelError("The embedding has a max_norm, which changes it as it is read.")


def _find_missing_part(root: object, source: str) -> str:
    """Why there is no model in it."""
    tensors = root[0] if isinstance(root, list) and root else root
    if isinstance(tensors, Mapping) and "embedding.weight" in tensors:
        return (
            "These are the weights of a checkpoint of this program's, but there is no 'gridlstm' "
            "entry in its metadata, so its architecture is unknown."
        )
    if isinstance(tensors, Mapping) and any(
        isinstance(value, StoredTensor | np.ndarray) for value in tensors.values()
    ):
        names = ", ".join(str(name)[:40] for name in list(tensors)[:3])
        return (
            f"The {source} holds tensors ({names}, …) but no recurrent layer of torch (names with "
            "weight_ih and weight_hh)."
        )
    return (
        f"The {source} holds no model: neither tensors named weight_ih and weight_hh nor a module "
        "with an LSTM, GRU or RNN."
    )


# -- Making a model of them ------------------------------------------------------------------------


def _model(state: StateDict, answers: Mapping[str, str]) -> ForeignModel:
    _check(state)
    layers = _recurrent_layers(state)
    used = {name for layer in layers for name in layer.values()}
    units = _shape(state, layers[0]["weight_hh"])[-1]
    rows = _shape(state, layers[0]["weight_hh"])[0]
    if not units or rows % units or rows // units not in _ORDERS:
        raise ForeignModelError(
            f"A recurrent weight of {rows:,} x {units:,} is that of no LSTM, GRU or plain RNN."
        )
    cell, order = _ORDERS[rows // units]
    width = _shape(state, layers[0]["weight_ih"])[-1]
    embedding, decoder, bias = _around(state, used, units, width)
    size = _shape(state, decoder)[0]
    check_sizes(cell, len(layers), units, size)
    if embedding is None and width != size:
        raise ForeignModelError(
            f"The first layer reads {width:,} numbers for a character and the decoder knows "
            f"{size:,}, so that the input is not one-hot; but there is no embedding."
        )
    _check_widths(state, layers, units)
    read = [
        Layer(
            cell_weights(
                cell,
                _array(state, layer["weight_ih"]),
                _array(state, layer["weight_hh"]),
                *(
                    _array(state, layer[name]) if name in layer else None
                    for name in ("bias_ih", "bias_hh")
                ),
                order=order,
            )
        )
        for layer in layers
    ]
    return ForeignModel(
        program="PyTorch",
        cell=cell,
        layers=tuple(read),
        embedding=None if embedding is None else float32(_array(state, embedding)),
        decoder_weight=float32(_array(state, decoder)),
        decoder_bias=zeros_or(None if bias is None else _array(state, bias), size),
        reset="after" if cell == "gru" else None,
        notes=_notes(state, used, layers),
        questions=_relu_question(state, answers) if cell == "rnn" else (),
    )


def _recurrent_layers(state: StateDict) -> list[dict[str, str]]:
    """The names of each layer's tensors by what they are, in the order of the layers: those of one
    module by their number, modules as they were defined."""
    modules: dict[str, dict[int, dict[str, str]]] = {}
    for name in state.tensors:
        if match := _leaf(name):
            module = modules.setdefault(name.rpartition(".")[0], {})
            layer = module.setdefault(int(match[3] or 0), {})
            layer[f"{match[1]}_{match[2]}"] = name
    layers = [module[number] for module in modules.values() for number in sorted(module)]
    for layer in layers:
        if "weight_ih" not in layer or "weight_hh" not in layer:
            raise ForeignModelError("A recurrent layer lacks one of its weights.")
        for name in ("weight_ih", "weight_hh"):
            if len(_shape(state, layer[name])) != 2:
                raise ForeignModelError(f"The weight {layer[name][:80]} is no matrix.")
    return layers


def _check_widths(state: StateDict, layers: list[dict[str, str]], units: int) -> None:
    for layer in layers:
        if (own := _shape(state, layer["weight_hh"])[-1]) != units:
            raise ForeignModelError(
                f"The layers are of unequal width ({units:,} and {own:,} units); a model here has "
                "as many units in every layer."
            )
    for below, layer in zip(layers, layers[1:], strict=False):
        if (read := _shape(state, layer["weight_ih"])[-1]) != units:
            scope = layer["weight_ih"].rpartition(".")[0]
            raise ForeignModelError(
                f"The recurrent layer {scope[:60]} reads {read:,} numbers where the layer "
                f"{below['weight_hh'].rpartition('.')[0][:60]} gives {units:,}: they are not "
                "stacked."
            )


def _around(
    state: StateDict, used: set[str], units: int, width: int
) -> tuple[str | None, str, str | None]:
    """The names of the embedding, of the decoder's weight and of its bias; `used` gets them."""
    matrices = [
        name
        for name, tensor in state.tensors.items()
        if name not in used and len(tensor.shape) == 2 and _is_float(tensor)
    ]
    matrices = [name for name in matrices if not _HARMLESS.fullmatch(name)]
    if not matrices:
        raise ForeignModelError("The model has no decoder: a linear layer from units to tokens.")
    if len(matrices) > 2:
        raise ForeignModelError(
            f"The model has further layers ({', '.join(name[:40] for name in matrices[:4])}): only "
            "an embedding, recurrent layers and one linear decoder can be read."
        )
    decoder = _decoder_among(state, matrices, units)
    embedding = next((name for name in matrices if name != decoder), None)
    if embedding is not None and (
        _bias_of(state, embedding) or _shape(state, embedding)[1] != width
    ):
        raise ForeignModelError(
            f"The layer {embedding[:60]} is neither an embedding that the first recurrent layer "
            "reads nor the decoder."
        )
    bias = _bias_of(state, decoder)
    used.update(name for name in (embedding, decoder, bias) if name)
    _check_leftover(state, used)
    return embedding, decoder, bias


def _decoder_among(state: StateDict, matrices: list[str], units: int) -> str:
    fitting = [name for name in matrices if _shape(state, name)[1] == units]
    if not fitting:
        raise ForeignModelError(
            f"No linear layer reads the {units:,} units of the top layer, as a decoder does."
        )
    if len(fitting) == 1:
        return fitting[0]
    kinds = {name: state.modules.get(name.rpartition(".")[0]) for name in fitting}
    tests: tuple[Callable[[str], bool], ...] = (
        lambda name: (module := kinds[name]) is not None and module.name.endswith(".Linear"),
        lambda name: _bias_of(state, name) is not None,
        lambda name: not _READS.search(name),
    )
    for tells_decoder in tests:
        found = [name for name in fitting if tells_decoder(name)]
        if len(found) == 1:
            return found[0]
    return fitting[-1]


def _check_leftover(state: StateDict, used: set[str]) -> None:
    for name, tensor in state.tensors.items():
        if name in used or not _is_float(tensor) or _HARMLESS.fullmatch(name):
            continue
        last = name.rpartition(".")[2]
        if re.fullmatch(r"h_?0|c_?0|hidden\w*|state\w*", last) and not _array(state, name).any():
            continue
        normal = " (such as LayerNorm or BatchNorm)" if re.search(r"norm|bn|ln", name) else ""
        raise ForeignModelError(
            f"The model has a further tensor, {name[:60]}{normal}, which no stack of recurrent "
            "layers between an embedding and a decoder has."
        )


def _bias_of(state: StateDict, weight: str) -> str | None:
    name = f"{weight.removesuffix('weight')}bias"
    tensor = state.tensors.get(name)
    return name if weight.endswith("weight") and tensor is not None else None


def _notes(state: StateDict, used: set[str], layers: list[dict[str, str]]) -> tuple[str, ...]:
    notes = []
    tensors = [state.tensors[name] for name in used]
    if any(_is_double(tensor) for tensor in tensors):
        notes.append("Its numbers are of double precision; they were rounded to single.")
    scopes = {layer["weight_hh"].rpartition(".")[0] for layer in layers}
    if len(scopes) > 1:
        notes.append("Its layers are modules of their own, taken in the order of their definition.")
    return tuple(notes)


def _relu_question(state: StateDict, answers: Mapping[str, str]) -> tuple[Question, ...]:
    if state.whole:
        return ()
    if answers.get("activation") == "relu":
        raise ForeignModelError("The plain RNN goes through relu; only tanh can be traced.")
    if answers.get("activation") == "tanh":
        return ()
    text = "A state dict does not say what its plain RNN goes through. Which is it?"
    return (Question("activation", text, ("tanh", "relu"), "tanh"),)


def _printable(state: StateDict, model: ForeignModel) -> Vocabulary | None:
    """The constant of spro/char-rnn.pytorch, whose models are told by their attributes and size."""
    tops = {name.rpartition(".")[0] for name in state.tensors if not _leaf(name)}
    if model.vocabulary_size != len(PRINTABLE) or tops != {"encoder", "decoder"}:
        return None
    if model.embedding is None or model.embedding.shape[1] != model.units:
        return None
    note = (
        "Its file names no characters: they are taken to be the 100 of Python's string.printable, "
        "as in spro/char-rnn.pytorch, which reads others as 0."
    )
    tokens = make_vocabulary(PRINTABLE, len(PRINTABLE), "a constant of spro/char-rnn.pytorch")
    return replace(tokens, unknown=PRINTABLE.index("0"), notes=(note,))


# -- Tensors ---------------------------------------------------------------------------------------


def _shape(state: StateDict, name: str) -> tuple[int, ...]:
    return state.tensors[name].shape


def _array(state: StateDict, name: str) -> NumberArray:
    tensor = state.tensors[name]
    return tensor.array() if isinstance(tensor, StoredTensor) else tensor


def _is_float(tensor: StoredTensor | NumberArray) -> bool:
    return tensor.is_float if isinstance(tensor, StoredTensor) else tensor.dtype.kind == "f"


def _is_double(tensor: StoredTensor | NumberArray) -> bool:
    if isinstance(tensor, StoredTensor):
        return tensor.storage.kind == "f8"
    return tensor.dtype == np.float64
