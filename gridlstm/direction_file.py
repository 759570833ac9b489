"""Directions in files: one JSON document each, told in docs/formats.md. Nothing is executed."""

import json
import math
from typing import Any

import numpy as np

from gridlstm.direction import Direction, DirectionError

FORMAT = "gridlstm-direction"
VERSION = 1
MAX_FILE_BYTES = 16 << 20
_TEXTS = ("name", "origin", "notes", "quantity", "model")


def to_json(direction: Direction) -> str:
    """The document of a direction."""
    document = {
        "format": FORMAT,
        "version": VERSION,
        **{name: getattr(direction, name) for name in _TEXTS},
        "layer": direction.layer,
        "vector": direction.vector.tolist(),
    }
    return json.dumps(document, ensure_ascii=False) + "\n"


def from_json(data: bytes) -> Direction:
    """The direction that a file's bytes describe. Raises DirectionError if they describe none."""
    if len(data) > MAX_FILE_BYTES:
        raise DirectionError(f"A direction's file has at most {MAX_FILE_BYTES >> 20} MiB.")
    try:
        document = json.loads(str(data, "utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise DirectionError("The direction's file is not valid JSON.") from error
    if not isinstance(document, dict) or document.get("format") != FORMAT:
        raise DirectionError(f"The file is no direction: its format is not “{FORMAT}”.")
    if document.get("version") != VERSION:
        raise DirectionError(f"The direction's file is of a version other than {VERSION}.")
    texts = {name: document.get(name, "") for name in _TEXTS}
    for name, text in texts.items():
        if not isinstance(text, str):
            raise DirectionError(f"The direction's {name} is not a text.")
    layer = document.get("layer")
    if layer is not None and (type(layer) is not int or layer < 1):
        raise DirectionError("The direction's layer is neither a number from 1 on nor null.")
    return Direction(layer=layer, vector=_vector(document.get("vector"), layer), **texts)


def _vector(rows: Any, layer: int | None) -> "np.ndarray[Any, np.dtype[np.float64]]":
    """The weights of a document, [unit], or [layer, unit] without a layer."""
    wrong = "The direction's vector is not a list of numbers" + (
        "." if layer is not None else " for each layer."
    )
    lists = rows if layer is None else [rows]
    if not isinstance(lists, list) or not lists or not all(isinstance(r, list) for r in lists):
        raise DirectionError(wrong)
    if len({len(row) for row in lists}) > 1:
        raise DirectionError("The direction's layers have unequal numbers of weights.")
    if not all(_is_number(weight) for row in lists for weight in row):
        raise DirectionError(wrong)
    vector = np.array(lists, np.float64)
    return vector if layer is None else vector[0]


def _is_number(weight: Any) -> bool:
    """A whole number may be too large for any float."""
    if type(weight) is int:
        return weight.bit_length() < 1000
    return type(weight) is float and math.isfinite(weight)
