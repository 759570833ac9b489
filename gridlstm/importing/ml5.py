"""Models of ml5's charRNN: a manifest that names raw files of float32, one a variable."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from gridlstm.array_types import NumberArray
from gridlstm.importing.errors import DamagedFileError, ForeignModelError
from gridlstm.importing.foreign_model import ForeignModel
from gridlstm.importing.tensorflow import model_of_variables

MAX_ML5_VARIABLES = 1_000


def is_ml5_manifest(content: object) -> bool:
    """Whether this JSON names a file and a shape for each variable."""
    return (
        isinstance(content, Mapping)
        and 0 < len(content) <= MAX_ML5_VARIABLES
        and all(
            isinstance(entry, Mapping) and "filename" in entry and "shape" in entry
            for entry in content.values()
        )
    )


def read_ml5(
    manifest: Mapping[str, Any], files: Mapping[str, memoryview], answers: Mapping[str, str]
) -> ForeignModel:
    """The model of a manifest, from the bytes of the files by name. Raises ForeignModelError."""
    shapes = {name: _shape(entry) for name, entry in manifest.items()}

    def array(name: str) -> NumberArray:
        file = str(manifest[name]["filename"]).replace("\\", "/").rpartition("/")[2]
        if file not in files:
            raise ForeignModelError(
                f"The file {file[:80]} is missing: bring all files that the manifest names."
            )
        if len(files[file]) != 4 * math.prod(shapes[name]):
            raise DamagedFileError(
                f"The file {file[:80]} does not have the size that the manifest says."
            )
        return np.frombuffer(files[file], "<f4").reshape(shapes[name])

    return model_of_variables(shapes, array, "ml5 charRNN", answers)


def _shape(entry: Mapping[str, Any]) -> tuple[int, ...]:
    shape = entry["shape"]
    if not isinstance(shape, list) or len(shape) > 8:
        raise DamagedFileError("The manifest has a variable without a shape.")
    if not all(type(size) is int and 0 <= size < 1 << 48 for size in shape):
        raise DamagedFileError("The manifest has a variable of impossible sizes.")
    return tuple(shape)
