"""Checkpoints read: what one says about itself, its weights, its model."""

import reprlib
from pathlib import Path

import numpy as np

from gridlstm.checkpoint.metadata import CheckpointError, Metadata, parse
from gridlstm.checkpoint.opening import Tensors, opened
from gridlstm.vocabulary import BYTES

# The types that weights may have, in the words of the format.
FLOATS = {"F16": "float16", "BF16": "bfloat16", "F32": "float32", "F64": "float64"}


def read_metadata(path: Path | str) -> Metadata:
    """Read and check a checkpoint's metadata and the names, shapes and types of its tensors.

    Does not read the weights, nor import torch. Raises CheckpointError.
    """
    with opened(Path(path)) as tensors:
        return checked(tensors)


def checked(tensors: Tensors) -> Metadata:
    """The metadata, where the tensors are those that it promises. Raises CheckpointError."""
    metadata = parse(tensors.text)
    _check_tensors(tensors, metadata.model.tensor_shapes())
    return metadata


def read_tensors(path: Path | str, metadata: Metadata) -> dict[str, np.ndarray]:
    """The weights of a checkpoint by name, float32. Raises CheckpointError if one is not finite, or
    if the file is no longer the one that `metadata` is of."""
    with opened(Path(path)) as tensors:
        _check_tensors(tensors, metadata.model.tensor_shapes())
        return _weights(tensors, metadata)


def _weights(tensors: Tensors, metadata: Metadata) -> dict[str, np.ndarray]:
    """All weights by name, float32. Raises CheckpointError if one is not finite."""
    weights = {}
    for name in metadata.model.tensor_shapes():
        with np.errstate(over="ignore"):  # what is too large for float32 becomes infinite
            weight = tensors.read(name).astype(np.float32, copy=False)
        if not np.isfinite(weight).all():
            raise CheckpointError(f"The tensor {name} holds values that are not finite.")
        weights[name] = weight
    return weights


def load_model(path: Path | str):
    """Read a checkpoint: (LanguageModel in evaluation mode, Metadata). Raises CheckpointError."""
    import torch

    from gridlstm.model import LanguageModel

    with opened(Path(path)) as tensors:
        metadata = checked(tensors)
        weights = _weights(tensors, metadata)
    # A new model draws random weights: not from the caller's random numbers. (Without drawing any,
    # on the device "meta", torch would first import for a second what it needs for that.)
    with torch.random.fork_rng(devices=[]):
        model = LanguageModel(metadata.model, metadata.vocabulary or BYTES)
    model.load_tensors({name: torch.from_numpy(weight) for name, weight in weights.items()})
    return model.eval().requires_grad_(False), metadata


def _check_tensors(tensors: Tensors, expected: dict[str, tuple[int, ...]]) -> None:
    for fault, odd in (
        ("lacks", expected.keys() - tensors.names),
        ("has a surplus", tensors.names - set(expected)),
    ):
        if odd:
            more = f" and {len(odd) - 1} more" if len(odd) > 1 else ""
            raise CheckpointError(f"The checkpoint {fault} tensor {reprlib.repr(min(odd))}{more}.")
    for name, shape in expected.items():
        found, kind = tensors.shape(name), tensors.kind(name)
        if found != shape:
            raise CheckpointError(
                f"The tensor {name} has shape {list(found)}; it should be {list(shape)}."
            )
        if kind not in FLOATS:
            *most, last = FLOATS.values()
            raise CheckpointError(
                f"The tensor {name} has type {kind}; what is read is {', '.join(most)} and {last}."
            )
