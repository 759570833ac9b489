"""Keras' files: models and weights in HDF5 of Keras 1 to 3, and the archives of Keras 3.

Layers are put into the order of the configuration's graph; what a group's number is says nothing.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from gridlstm.array_types import NumberArray
from gridlstm.importing.archives import Archive
from gridlstm.importing.errors import DamagedFileError, ForeignModelError
from gridlstm.importing.foreign_model import ForeignModel
from gridlstm.importing.hdf5 import Hdf5, read_hdf5
from gridlstm.importing.json_files import parse_json
from gridlstm.importing.keras_layers import (
    CELLS,
    KerasLayer,
    conventions,
    model_of_layers,
)

MAX_KERAS_LAYERS = 1_000
# What an array of a layer is, by its place among those of one kind, in the files of Keras 3.
_ROLES = {
    **dict.fromkeys(CELLS, ("kernel", "recurrent_kernel", "bias")),
    "Embedding": ("embeddings",),
    "Dense": ("kernel", "bias"),
}
_KERAS_1 = re.compile(r"_([WUb])(?:_([icfozrh]))?$")
_KERAS_1_ROLES = {"W": "kernel", "U": "recurrent_kernel", "b": "bias"}
# The order in which the gates of one cell are joined, in the words of Keras 1 (c: candidate).
_KERAS_1_GATES = {frozenset("ifco"): "ifco", frozenset("zrh"): "zrh"}


def is_keras_archive(archive: Archive) -> bool:
    return {"config.json", "model.weights.h5"} <= archive.members.keys()


def read_keras_archive(archive: Archive, answers: Mapping[str, str]) -> ForeignModel:
    """The model in a `.keras` file. Raises ForeignModelError."""
    config = parse_json(archive.read("config.json"), "the configuration")
    version = None
    if "metadata.json" in archive.members:
        metadata = parse_json(archive.read("metadata.json"), "the metadata")
        version = metadata.get("keras_version") if isinstance(metadata, Mapping) else None
    # The archive is Keras 3's, but for those of Keras 2.12 to 2.15, which say so.
    version = version or "3"
    layers, order = layers_of_config(config)
    _add_numbered_weights(layers, read_hdf5(archive.read("model.weights.h5")))
    return model_of_layers(order, conventions(f"Keras {version[:12]}", version), answers)


def read_keras_hdf5(data: memoryview, answers: Mapping[str, str]) -> ForeignModel:
    """The model in an HDF5 file of Keras. Raises ForeignModelError."""
    file = read_hdf5(data)
    _check_kinds(file)
    version = file.attribute("", "keras_version")
    config = file.attribute("", "model_config")
    program = f"Keras {str(version)[:12]}" if version else "Keras"
    if config is not None:
        layers, order = layers_of_config(
            parse_json(str(config).encode(errors="surrogatepass"), "the configuration")
        )
        _add_named_weights(layers, file, "model_weights")
        return model_of_layers(order, conventions(program, version), answers)
    if file.listed("", "layer_names"):
        layers = _named_layers(file)
    elif any(path.startswith("layers/") for path in file.arrays):
        layers = _numbered_layers(file)
    else:
        raise ForeignModelError("The HDF5 file holds no model of Keras.")
    known = conventions(program, version, configured=False)
    return model_of_layers(layers, known, answers).with_note(
        "The file holds weights alone: the layers were taken in the order in which it lists them."
    )


def _check_kinds(file: Hdf5) -> None:
    if any(kind == "i1" or kind == "u1" for kind in file.others.values()):
        raise ForeignModelError(
            "The model is quantised to int8, so that it is not the one that was trained: save it "
            "before it is quantised."
        )


# -- The configuration -----------------------------------------------------------------------------


def layers_of_config(config: object) -> tuple[list[KerasLayer], list[KerasLayer]]:
    """The layers as the configuration lists them, and in the order in which data flows through
    them. Raises ForeignModelError."""
    kind = config.get("class_name") if isinstance(config, Mapping) else None
    inner = config.get("config") if isinstance(config, Mapping) else None
    entries: Any
    if isinstance(inner, list):
        # Keras before 2.2.3 lists a Sequential's layers directly.
        entries = inner
    else:
        entries = inner.get("layers") if isinstance(inner, Mapping) else None
    if not isinstance(entries, list) or kind not in ("Sequential", "Model", "Functional"):
        raise ForeignModelError(
            "The model was written as a class of its author's, so that its configuration does not "
            "say how the layers are connected: only Sequential and functional models can be read."
        )
    if len(entries) > MAX_KERAS_LAYERS:
        raise ForeignModelError(f"The model has more than {MAX_KERAS_LAYERS:,} layers.")
    layers = [_layer(entry) for entry in entries]
    if kind == "Sequential":
        return layers, layers
    return layers, _in_order(layers, entries)


def _layer(entry: Any) -> KerasLayer:
    config = entry.get("config") if isinstance(entry, Mapping) else None
    if not isinstance(config, Mapping):
        raise DamagedFileError("The configuration has a layer that says nothing.")
    name = entry.get("name") or config.get("name") or ""
    return KerasLayer(str(entry.get("class_name"))[:80], str(name)[:200], config)


def _in_order(layers: list[KerasLayer], entries: list[Any]) -> list[KerasLayer]:
    """The layers of a functional model, each after the one it reads."""
    by_name = {layer.name: layer for layer in layers}
    reads: dict[str, str | None] = {}
    for layer, entry in zip(layers, entries, strict=True):
        nodes = entry.get("inbound_nodes")
        sources = list(dict.fromkeys(_sources(nodes if isinstance(nodes, list) else [])))
        if len(sources) > 1 or (isinstance(nodes, list) and len(nodes) > 1):
            raise ForeignModelError(
                f"The layer {layer.name[:60]} reads several others, such as states that are given "
                "to the model, or stands in several places: only a chain of layers can be read."
            )
        reads[layer.name] = sources[0] if sources else None
    above = {source: name for name, source in reads.items() if source is not None}
    begins = [name for name, source in reads.items() if source is None]
    if len(begins) != 1 or len(above) != len(reads) - 1:
        raise ForeignModelError("The model is no chain of layers: it has branches.")
    order: list[KerasLayer] = []
    name: str | None = begins[0]
    while name is not None and len(order) < len(layers):
        order.append(by_name[name])
        name = above.get(name)
    if name is not None or len(order) != len(layers):
        raise ForeignModelError("The model is no chain of layers: it has branches.")
    return order


def _sources(nodes: list[Any]) -> Iterator[str]:
    """The names of the layers that a layer reads, as Keras 2 or 3 writes them."""
    waiting: list[Any] = [nodes]
    searched = 0
    while waiting and searched < 10_000:
        value = waiting.pop()
        searched += 1
        if isinstance(value, Mapping):
            history = value.get("keras_history")
            if isinstance(history, list) and history:
                yield str(history[0])
            else:
                waiting += value.values()
        elif isinstance(value, list):
            if len(value) >= 3 and isinstance(value[0], str) and type(value[1]) is int:
                yield value[0]
            else:
                waiting += value


# -- Weights by name -------------------------------------------------------------------------------


def role_of(name: str) -> tuple[str, str]:
    """What an array is by its name, and the gate that it is of, if it is of one alone."""
    last = re.sub(r":\d+$", "", name).rpartition("/")[2]
    match = _KERAS_1.search(last)
    if match is None:
        return last, ""
    return _KERAS_1_ROLES[match[1]], match[2] or ""


def weights_by_role(arrays: Mapping[str, NumberArray], kind: str) -> dict[str, NumberArray]:
    """A layer's arrays by what they are; those of Keras 1, one a gate, are joined."""
    found: dict[str, NumberArray] = {}
    gates: dict[str, dict[str, NumberArray]] = {}
    for name, array in arrays.items():
        role, gate = role_of(name)
        if gate:
            gates.setdefault(role, {})[gate] = array
        else:
            found[role] = array
    for role, parts in gates.items():
        order = _KERAS_1_GATES.get(frozenset(parts))
        if order is None or len({part.shape[:-1] for part in parts.values()}) > 1:
            raise ForeignModelError("A recurrent layer of the file lacks some of its gates.")
        found[role] = np.concatenate([parts[gate] for gate in order], axis=-1)
    if kind == "Embedding" and "kernel" in found:
        found["embeddings"] = found.pop("kernel")
    return found


def _add_named_weights(layers: list[KerasLayer], file: Hdf5, group: str) -> None:
    for layer in layers:
        layer.weights = weights_by_role(_named_arrays(file, group, layer.name), layer.kind)


def _named_arrays(file: Hdf5, group: str, layer: str) -> dict[str, NumberArray]:
    """The arrays that a layer's group lists, in its order."""
    path = f"{group}/{layer}".strip("/")
    arrays = file.within(path)
    return {name: arrays[name] for name in file.listed(path, "weight_names") if name in arrays}


def _named_layers(file: Hdf5) -> list[KerasLayer]:
    """The layers of a file of weights alone, by what their arrays are called."""
    layers = []
    for name in file.listed("", "layer_names"):
        arrays = _named_arrays(file, "", name)
        if not arrays:
            continue
        if any(re.search(r"(^|/)(forward|backward)_", key) for key in arrays):
            layers.append(KerasLayer("Bidirectional", name, {}))
            continue
        roles = {role_of(key)[0] for key in arrays}
        kind = "Dense"
        if "recurrent_kernel" in roles:
            kind = _kind_by_shape(weights_by_role(arrays, ""))
        elif "embeddings" in roles or roles == {"kernel"}:
            kind = "Embedding" if "embeddings" in roles or not layers else "Dense"
        elif roles - {"kernel", "bias"}:
            kind = "/".join(sorted(roles))[:60]
        layers.append(KerasLayer(kind, name, {}, weights_by_role(arrays, kind)))
    return layers


def _kind_by_shape(weights: Mapping[str, NumberArray]) -> str:
    """Which recurrent layer weights are of; those of CuDNN by their bias of 8 U or 6 U."""
    state, bias = weights["recurrent_kernel"], weights.get("bias")
    if state.ndim != 2 or not len(state):
        raise ForeignModelError("A recurrent layer of the file has no fitting weights.")
    gates = state.shape[1] // len(state)
    cudnn = bias is not None and bias.shape == (2 * state.shape[1],)
    kind = {4: "LSTM", 3: "GRU", 1: "SimpleRNN"}.get(gates, "unknown layer")
    return f"CuDNN{kind}" if cudnn else kind


# -- Weights by number -----------------------------------------------------------------------------


def _add_numbered_weights(layers: list[KerasLayer], file: Hdf5) -> None:
    """Give every layer the arrays of its group: that with its name in an attribute, or else the one
    that is numbered as Keras numbers layers of a class."""
    _check_kinds(file)
    named = {
        str(attributes["name"]): path.removesuffix("/vars")
        for path, attributes in file.attributes.items()
        if path.count("/") == 2 and path.endswith("/vars") and "name" in attributes
    }
    counts: dict[str, int] = {}
    for layer in layers:
        own = _snake_case(layer.kind)
        number = counts[own] = counts.get(own, -1) + 1
        path = named.get(layer.name, f"layers/{own}_{number}" if number else f"layers/{own}")
        layer.weights = _numbered_arrays(file, path, layer.kind)


def _numbered_arrays(file: Hdf5, path: str, kind: str) -> dict[str, NumberArray]:
    arrays = file.within(path)
    inner = {re.sub(r"^(cell/|layer/)?vars/", "", name): arrays[name] for name in arrays}
    roles = _ROLES.get("Dense" if kind == "TimeDistributed" else kind, ())
    if len(inner) > len(roles):
        raise ForeignModelError(
            f"The group {path[:60]} holds {len(inner)} arrays, more than its layer has: it is "
            "quantised or was changed."
            if roles
            else f"The layer of the group {path[:60]} is none that a model here has."
        )
    return {role: inner[str(place)] for place, role in enumerate(roles) if str(place) in inner}


def _numbered_layers(file: Hdf5) -> list[KerasLayer]:
    """The layers of a `.weights.h5`, by the classes that their groups are called after: those of
    one class by their numbers."""
    classes = {_snake_case(kind): kind for kind in (*_ROLES, "TimeDistributed")}
    found: dict[str, list[tuple[int, str]]] = {}
    for group in dict.fromkeys(path.split("/")[1] for path in file.arrays if "/" in path):
        match = re.fullmatch(r"(.*?)(?:_(\d{1,4}))?", group)
        if match is None or match[1] not in classes:
            why = (
                "bidirectional"
                if match and match[1] == "bidirectional"
                else "none that can be read"
            )
            raise ForeignModelError(f"The layer {group[:60]} of the file is {why}.")
        found.setdefault(classes[match[1]], []).append((int(match[2] or 0), group))
    layers = []
    for kind in ("Embedding", *CELLS, "Dense", "TimeDistributed"):
        for _, group in sorted(found.get(kind, [])):
            path = f"layers/{group}"
            name = file.attribute(f"{path}/vars", "name") or group
            own = "Dense" if kind == "TimeDistributed" else kind
            layers.append(KerasLayer(own, str(name), {}, _numbered_arrays(file, path, kind)))
    return layers


def _snake_case(name: str) -> str:
    """How Keras makes a group's name of a class': `SimpleRNN` becomes `simple_rnn`."""
    name = re.sub(r"\W+", "", name)
    name = re.sub(r"(.)([A-Z][a-z]+)", r"\1_\2", name)
    return re.sub(r"([a-z])([A-Z])", r"\1_\2", name).lower()
