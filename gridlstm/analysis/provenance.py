"""What the provenance of a memory along depth and along time have in common.

A memory is carried linearly: each step keeps a part of it, by the forget gate, and adds what it
writes, `i * g`. So its value is a sum of all that was written, each part times the forget gates
that it has passed since.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from gridlstm.errors import UserError


class ProvenanceError(UserError):
    """A provenance that cannot be told; the message is one sentence for the user."""


@dataclass(frozen=True)
class Gates:
    """What makes one dimension's memory: arrays [layer, position, unit]."""

    input: np.ndarray
    forget: np.ndarray
    candidate: np.ndarray

    def written(self, where: tuple) -> np.ndarray:
        """`i * g` at an index into [layer, position, unit], at least in float32."""
        number = np.result_type(self.input, np.float32)
        return self.input[where].astype(number) * self.candidate[where]


def gates_of(values: Mapping[str, np.ndarray], dimension: str) -> Gates:
    """The gates of the `time` or `depth` memory among a trace's values [layer, position, unit].

    Raises ProvenanceError if the trace does not hold them all.
    """
    return Gates(*(held(values, f"{dimension}.{q}") for q in ("input", "forget", "candidate")))


def held(values: Mapping[str, np.ndarray], quantity: str) -> np.ndarray:
    """One quantity of a trace; ProvenanceError if it is not there."""
    if quantity in values:
        return values[quantity]
    dimension = quantity.split(".")[0]
    if not any(name.startswith(f"{dimension}.") for name in values):
        only = ", which only a Grid LSTM has" if dimension == "depth" else ""
        raise ProvenanceError(f"The trace holds nothing of a {dimension} memory{only}.")
    raise ProvenanceError(f"The trace does not hold {quantity!r}, from which a memory is told.")


def check_index(name: str, index: int, count: int) -> None:
    """Raise ProvenanceError unless `index` is one of `count` layers, positions or units from 0."""
    if not 0 <= index < count:
        raise ProvenanceError(
            f"There is no {name} {index}: {name}s are counted from 0 to {count - 1}."
        )
