"""Models of TensorFlow.js' layers: `model.json` and the shards of numbers that it names."""

import math
from collections.abc import Mapping

import numpy as np

from gridlstm.array_types import NumberArray
from gridlstm.importing.errors import DamagedFileError, ForeignModelError
from gridlstm.importing.foreign_model import ForeignModel
from gridlstm.importing.keras import layers_of_config, weights_by_role
from gridlstm.importing.keras_layers import conventions, model_of_layers

MAX_WEIGHTS = 10_000
_KINDS = {"float32": "<f4", "float16": "<f2", "int32": "<i4", "bool": "u1"}
_QUANTISED = {"uint8": "u1", "uint16": "<u2", "float16": "<f2"}


def is_tfjs_model(content: object) -> bool:
    return isinstance(content, Mapping) and "weightsManifest" in content


def read_tfjs(
    content: Mapping[object, object], files: Mapping[str, memoryview], answers: Mapping[str, str]
) -> ForeignModel:
    """The model of a `model.json`, from the bytes of the shards by name. Raises
    ForeignModelError."""
    topology = content.get("modelTopology")
    if content.get("format") == "graph-model" or not isinstance(topology, Mapping):
        raise ForeignModelError(
            "This model.json is a graph of operations and not of layers: export the Keras model "
            "with the output format tfjs_layers_model."
        )
    config = topology.get("model_config", topology)
    version = topology.get("keras_version")
    layers, order = layers_of_config(config)
    arrays: dict[str, NumberArray] = {}
    quantised = _read_weights(content.get("weightsManifest"), files, arrays)
    for layer in layers:
        own = {name: array for name, array in arrays.items() if name.split("/")[0] == layer.name}
        layer.weights = weights_by_role(own, layer.kind)
    model = model_of_layers(order, conventions("TensorFlow.js layers", version), answers)
    if quantised:
        model = model.with_note(
            "Its weights were quantised when it was exported; they are those that TensorFlow.js "
            "computes with."
        )
    return model


def _read_weights(
    manifest: object, files: Mapping[str, memoryview], arrays: dict[str, NumberArray]
) -> bool:
    """Put the arrays of all groups into `arrays`; whether any was quantised."""
    quantised = False
    for group in manifest if isinstance(manifest, list) else ():
        fields = group if isinstance(group, Mapping) else {}
        paths, weights = fields.get("paths"), fields.get("weights")
        if not isinstance(paths, list) or not isinstance(weights, list):
            raise DamagedFileError("The model.json has a group without paths and weights.")
        if len(weights) > MAX_WEIGHTS or len(paths) > MAX_WEIGHTS:
            raise ForeignModelError(f"The model has more than {MAX_WEIGHTS:,} weights.")
        data, place = _joined(paths, files), 0
        for spec in weights:
            name, array, place = _weight(spec, data, place)
            arrays[name] = array
            quantised |= "quantization" in spec
    return quantised


def _joined(paths: list[object], files: Mapping[str, memoryview]) -> memoryview:
    """The numbers of a group, whose shards are cut anywhere."""
    names = [str(path).replace("\\", "/").rpartition("/")[2] for path in paths]
    for name in names:
        if name not in files:
            raise ForeignModelError(
                f"The file {name[:80]} is missing: bring all files that the model.json names."
            )
    if len(names) == 1:
        return files[names[0]]
    if len(set(names)) != len(names):
        raise DamagedFileError("The model.json names a file twice.")
    return memoryview(b"".join(files[name] for name in names))


def _weight(spec: object, data: memoryview, place: int) -> tuple[str, NumberArray, int]:
    """A weight's name and numbers, and where the next begins."""
    fields = spec if isinstance(spec, Mapping) else {}
    shape, packed = fields.get("shape"), fields.get("quantization")
    if not isinstance(shape, list) or len(shape) > 8:
        raise DamagedFileError("The model.json has a weight without a shape.")
    if not all(type(size) is int and 0 <= size < 1 << 48 for size in shape):
        raise DamagedFileError("The model.json has a weight of impossible sizes.")
    kinds, source = (_QUANTISED, packed) if isinstance(packed, Mapping) else (_KINDS, fields)
    kind = kinds.get(str(source.get("dtype")))
    if kind is None:
        raise ForeignModelError(
            f"The model.json has a weight of the kind {str(source.get('dtype'))[:20]}, not read "
            "here."
        )
    count = math.prod(shape)
    end = place + count * np.dtype(kind).itemsize
    if end > len(data):
        raise DamagedFileError("The shards hold fewer numbers than the model.json says.")
    numbers = np.frombuffer(data, kind, count, place).reshape(shape)
    if isinstance(packed, Mapping) and kind != "<f2":
        scale, least = packed.get("scale"), packed.get("min")
        if not all(isinstance(value, int | float) for value in (scale, least)):
            raise DamagedFileError("The model.json has a quantised weight without a scale.")
        numbers = (numbers * np.float64(scale) + np.float64(least)).astype(np.float32)
    return str(fields.get("name")), numbers, end
