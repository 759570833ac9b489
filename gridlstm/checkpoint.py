"""Checkpoints: one `.safetensors` file with the weights and, as its metadata, one JSON document.

The format is described in docs/formats.md. Nothing is ever unpickled.
"""

import json
import math
import os
import reprlib
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open

from gridlstm.config import ConfigError, ModelConfig
from gridlstm.errors import UserError

FORMAT_VERSION = 1
METADATA_KEY = "gridlstm"
FLOATS = ("F16", "F32", "F64")


class CheckpointError(UserError):
    """A file that is no usable checkpoint; the message is one sentence for the user."""


@dataclass(frozen=True)
class Data:
    """What a model was trained and validated on; `byte_entropy` in nats, of the validation part."""

    name: str
    sha256: str
    bytes: int
    train_fraction: float
    byte_entropy: float


@dataclass(frozen=True)
class Metadata:
    """All that a checkpoint says about itself.

    `validation_loss` is in nats per byte, measured over `validation_bytes` with the weights as they
    stand in the file. `training` holds the settings of the run by name.
    """

    model: ModelConfig
    data: Data
    training: dict = field(default_factory=dict)
    updates: int = 0
    bytes_seen: int = 0
    validation_loss: float = math.nan
    validation_bytes: int = 0
    seconds: float = 0.0
    machine: str = ""
    libraries: dict = field(default_factory=dict)


def write_aside(path: Path, write: Callable[[Path], None]) -> None:
    """Let `write` fill a new file beside `path`, then put it in `path`'s place at one stroke.

    Whatever happens in between, `path` is either the old file or the new one, and whole.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, aside = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    os.close(handle)
    try:
        write(Path(aside))
        with open(aside, "rb") as file:
            os.fsync(file.fileno())
        os.chmod(aside, 0o644)
        os.replace(aside, path)
    except BaseException:
        Path(aside).unlink(missing_ok=True)
        raise


def write_checkpoint(path: Path, tensors: dict[str, np.ndarray], metadata: Metadata) -> None:
    """Write tensors, as they are, and metadata; the file is written aside and renamed."""
    from safetensors.numpy import save_file

    document = {"format_version": FORMAT_VERSION, **asdict(metadata)}
    text = {METADATA_KEY: json.dumps(document, ensure_ascii=False)}
    tensors = {name: np.ascontiguousarray(tensor) for name, tensor in tensors.items()}
    write_aside(path, lambda aside: save_file(tensors, aside, metadata=text))


def read_metadata(path: Path) -> Metadata:
    """Read and check a checkpoint's metadata and the names, shapes and types of its tensors.

    Does not read the weights, nor import torch. Raises CheckpointError.
    """
    with _opened(path) as file:
        metadata = _parse_metadata((file.metadata() or {}).get(METADATA_KEY))
        _check_tensors(file, metadata.model.tensor_shapes())
    return metadata


def read_tensors(path: Path, metadata: Metadata) -> dict[str, np.ndarray]:
    """The weights of a checkpoint by name, float32. Raises CheckpointError if one is not finite."""
    tensors = {}
    with _opened(path) as file:
        for name in metadata.model.tensor_shapes():
            with np.errstate(over="ignore"):  # what is too large for float32 becomes infinite
                tensor = file.get_tensor(name).astype(np.float32)
            if not np.isfinite(tensor).all():
                raise CheckpointError(f"The tensor {name} holds values that are not finite.")
            tensors[name] = tensor
    return tensors


def load_model(path: Path):
    """Read a checkpoint: (LanguageModel in evaluation mode, Metadata). Raises CheckpointError."""
    import torch

    from gridlstm.model import LanguageModel

    metadata = read_metadata(path)
    tensors = read_tensors(path, metadata)
    # Made without values, for random ones would cost time and disturb the caller's random numbers.
    with torch.device("meta"):
        model = LanguageModel(metadata.model)
    model.to_empty(device="cpu")
    model.load_tensors({name: torch.from_numpy(tensor) for name, tensor in tensors.items()})
    return model.eval().requires_grad_(False), metadata


def _opened(path: Path):
    try:
        return safe_open(path, framework="numpy")
    except FileNotFoundError as error:
        raise CheckpointError(f"There is no file {path.name}.") from error
    except (SafetensorError, OSError) as error:
        raise CheckpointError(
            "This is not a whole .safetensors file (it may be cut short, or of another format)."
        ) from error


def _parse_metadata(text: str | None) -> Metadata:
    if text is None:
        raise CheckpointError(
            f"The file has no {METADATA_KEY!r} entry in its metadata, so its architecture is "
            "unknown."
        )
    try:
        document = json.loads(text)
        version = document.pop("format_version")
        if version != FORMAT_VERSION:
            raise CheckpointError(
                f"The checkpoint has format version {reprlib.repr(version)}; this program reads "
                f"{FORMAT_VERSION}."
            )
        model = ModelConfig(**document.pop("model"))
        data = Data(**document.pop("data"))
        metadata = Metadata(model=model, data=data, **document)
    except ConfigError as error:
        raise CheckpointError(str(error)) from error
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        if isinstance(error, CheckpointError):
            raise
        raise CheckpointError("The checkpoint's metadata is not as it should be.") from error
    _check_types(metadata)
    return metadata


def _check_types(metadata: Metadata) -> None:
    """Every field must be of its declared kind: what follows shows, formats and reckons with them.

    A loss may be NaN, for not measured.
    """
    data = metadata.data
    counts = (metadata.updates, metadata.bytes_seen, metadata.validation_bytes, data.bytes)
    dicts = (metadata.training, metadata.libraries)
    checks = (
        (_is_text, (metadata.machine, data.name, data.sha256)),
        (lambda value: type(value) is int and 0 <= value < 2**63, counts),
        (_is_number, (metadata.seconds, data.byte_entropy, data.train_fraction)),
        (lambda value: _is_number(value) or value != value, (metadata.validation_loss,)),
        (lambda value: 0 < value < 1, (data.train_fraction,)),
        (lambda value: type(value) is dict and all(map(_is_text, value)), dicts),
    )
    for is_right, values in checks:
        for value in values:
            if not is_right(value):
                raise _wrong(value)
    for value in (value for entries in dicts for value in entries.values()):
        if not (value is None or type(value) is bool or _is_number(value) or _is_text(value)):
            raise _wrong(value)


def _is_text(value: object) -> bool:
    """Whether it is a string that can be written: JSON may hold half a surrogate pair."""
    return type(value) is str and value.encode(errors="ignore").decode() == value


def _is_number(value: object) -> bool:
    """Whether it is a finite number small enough for any format."""
    return type(value) in (int, float) and -(2**63) <= value < 2**63


def _wrong(value: object) -> CheckpointError:
    return CheckpointError(f"The checkpoint's metadata holds a wrong value: {reprlib.repr(value)}.")


def _check_tensors(file, expected: dict[str, tuple[int, ...]]) -> None:
    names = set(file.keys())
    for fault, odd in (
        ("lacks", expected.keys() - names),
        ("has a surplus", names - set(expected)),
    ):
        if odd:
            more = f" and {len(odd) - 1} more" if len(odd) > 1 else ""
            raise CheckpointError(f"The checkpoint {fault} tensor {reprlib.repr(min(odd))}{more}.")
    for name, shape in expected.items():
        tensor = file.get_slice(name)
        if tuple(tensor.get_shape()) != shape:
            raise CheckpointError(
                f"The tensor {name} has shape {tensor.get_shape()}; it should be {list(shape)}."
            )
        if tensor.get_dtype() not in FLOATS:
            raise CheckpointError(f"The tensor {name} has type {tensor.get_dtype()}, not a float.")
