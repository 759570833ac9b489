"""What the provenance of a memory along depth and along time have in common.

A memory is carried linearly: each step keeps a part of it, by the forget gate, and adds what it
writes, in an LSTM `i * g`. So its value is a sum of all that was written, each part times the
forget gates that it has passed since. `architectures.Memory` says what keeps and writes it in
others.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from gridlstm.architectures import ARCHITECTURES, Memory
from gridlstm.array_types import Float32Array, FloatArray, IntArray
from gridlstm.direction import Direction
from gridlstm.errors import UserError

LSTM_TIME, LSTM_DEPTH = ARCHITECTURES["grid"].memories


# An index into [layer, position, unit].
Index = tuple[int | slice | IntArray, ...]


class ProvenanceError(UserError):
    """A provenance that cannot be told; the message is one sentence for the user."""


@dataclass(frozen=True)
class Carried:
    """What makes a memory: arrays [layer, position, unit], None where it does without."""

    keep: FloatArray
    gate: FloatArray | None
    candidate: FloatArray | None
    cell: FloatArray | None

    @property
    def held_cell(self) -> FloatArray:
        """The memory's own values, where it does not do without them."""
        assert self.cell is not None
        return self.cell

    def kept(self, where: Index) -> FloatArray:
        """The part that is kept at an index into [layer, position, unit], at least in float32."""
        return _at(self.keep, where).astype(np.result_type(self.keep, np.float32))

    def written(self, where: Index, before: FloatArray | float = 0.0) -> FloatArray:
        """What is added there to the memory, which was `before`."""
        keep = self.kept(where)
        if self.candidate is None:
            return _at(self.held_cell, where) - keep * before
        gate = 1 - keep if self.gate is None else _at(self.gate, where).astype(keep.dtype)
        return gate * _at(self.candidate, where)

    def value(self, where: Index) -> FloatArray | float:
        """The memory there, where what is written cannot be told without it; else 0."""
        if self.candidate is not None:
            return 0.0
        return _at(self.held_cell, where).astype(np.float32)


def _at(values: FloatArray, where: Index) -> FloatArray:
    """Values at an index whose axes keep their order: the layer is taken first, as numpy would move
    an axis if a list of units stood beside it."""
    layer, *rest = where
    found: FloatArray = values[layer][tuple(rest)]
    return found


def carried(values: Mapping[str, FloatArray], memory: Memory) -> Carried:
    """What makes a memory, among a trace's values. Raises ProvenanceError if one is not there."""
    keep = held(values, memory.keep)
    gate = held(values, memory.gate) if memory.gate else None
    candidate = held(values, memory.candidate) if memory.candidate else None
    needs_cell = memory.candidate is None or memory.starts is not None
    return Carried(keep, gate, candidate, held(values, memory.cell) if needs_cell else None)


def held(values: Mapping[str, FloatArray], quantity: str) -> FloatArray:
    """One quantity of a trace; ProvenanceError if it is not there."""
    if quantity in values:
        return values[quantity]
    dimension = quantity.split(".")[0]
    if not any(name.startswith(f"{dimension}.") for name in values):
        raise ProvenanceError(f"The trace holds nothing of a {dimension} memory.")
    raise ProvenanceError(f"The trace does not hold {quantity!r}, from which a memory is told.")


def check_index(name: str, index: int, count: int) -> None:
    """Raise ProvenanceError unless `index` is one of `count` layers, positions or units from 0."""
    if not 0 <= index < count:
        raise ProvenanceError(
            f"There is no {name} {index}: {name}s are counted from 0 to {count - 1}."
        )


def check_direction(
    direction: Direction, parts: Carried, memory: Memory
) -> tuple[Float32Array, IntArray | slice]:
    """The weights of the units that a direction is over, float32 [layer, unit], up to the highest
    layer that has one, and an index of these units. Raises ProvenanceError unless it is over this
    memory."""
    if direction.quantity != memory.cell:
        raise ProvenanceError(
            f"Who wrote it is told of what lies along {memory.cell}, and the direction "
            f"“{direction.name}” is over {direction.quantity}."
        )
    layers, _, width = parts.keep.shape
    if direction.layer is not None:
        check_index("layer", direction.layer - 1, layers)
    weights = direction.weights(layers)
    if weights.shape != (layers, width):
        raise ProvenanceError(
            f"The direction “{direction.name}” has weights for another number of units or layers."
        )
    highest = int(np.flatnonzero(weights.any(axis=1))[-1])
    units = np.flatnonzero(weights.any(axis=0))
    together = slice(int(units[0]), int(units[-1]) + 1)  # a view, where none is between
    where = together if len(units) == together.stop - together.start else units
    return weights[: highest + 1, where].astype(np.float32), where
