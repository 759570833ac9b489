"""Interventions: units held at a value while a model reads, asked for as an argument.

A hold replaces one unit's memory, or the gate that keeps it, in one layer, at every position,
before anything is computed from it. The model itself is never changed.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from gridlstm.architectures import GATE_KINDS
from gridlstm.config import ModelConfig
from gridlstm.errors import UserError

DIMENSIONS = ("time", "depth")


class HoldError(UserError):
    """A hold that the model does not allow; the message is one sentence for the user."""


@dataclass(frozen=True)
class Hold:
    """`quantity` is one that the model lets be held, such as `time.cell`; `layer` counts from 1."""

    quantity: str
    layer: int
    unit: int
    value: float


def check_hold(hold: Hold, config: ModelConfig) -> None:
    """Raise HoldError if the model has no such unit or the value cannot be held."""
    if hold.quantity not in config.holdable:
        allowed = ", ".join(config.holdable)
        raise HoldError(f"What can be held is {allowed}, not {hold.quantity!r}.")
    if not 1 <= hold.layer <= config.layers:
        raise HoldError(f"There is no layer {hold.layer}: layers are counted from 1.")
    if not 0 <= hold.unit < config.units:
        raise HoldError(f"There is no unit {hold.unit}: units are counted from 0.")
    if not math.isfinite(hold.value):
        raise HoldError("A unit cannot be held at a value that is not finite.")
    kind = hold.quantity.split(".")[1]
    if kind in GATE_KINDS and not 0 <= hold.value <= 1:
        raise HoldError(f"The gate {hold.quantity} lies between 0 (closed) and 1 (open).")


@dataclass(frozen=True)
class Places:
    """Entries of an array [2, L, B, U], all int64 [hold], and the values to put there."""

    dimension: Tensor
    layer: Tensor
    sequence: Tensor
    unit: Tensor
    value: Tensor

    def put(self, values: Tensor, part: tuple = ()) -> None:
        """Put the values into an array [2, L, B, U], or into a part (dimension, layers) of it."""
        if not part:
            values[self.dimension, self.layer, self.sequence, self.unit] = self.value
            return
        dimension, layers = part
        here = (self.dimension == dimension) & (self.layer >= layers.start)
        here &= self.layer < layers.stop
        index = self.layer[here] - layers.start, self.sequence[here], self.unit[here]
        values[index] = self.value[here]


@dataclass(frozen=True)
class Holds:
    """What is held of each of B sequences that a model reads side by side, by kind of quantity."""

    kinds: dict[str, Places]

    def put(self, values: Tensor, quantity: str, layer: int) -> None:
        """Put what is held of one quantity of one layer, from 0, into its values [..., B, U]."""
        if (quantity, layer) in self._by_layer:
            sequence, unit, value = self._by_layer[quantity, layer]
            values[..., sequence, unit] = value

    @cached_property
    def _by_layer(self) -> dict[tuple[str, int], tuple[Tensor, Tensor, Tensor]]:
        """Sequences, units and values [hold] of each quantity and layer of which any is held.

        Sorted out once, as a layer asks at every position.
        """
        found = {}
        for kind, places in self.kinds.items():
            pairs = torch.stack((places.dimension, places.layer))
            for dimension, layer in pairs.unique(dim=1).T.tolist():
                here = (places.dimension == dimension) & (places.layer == layer)
                held = places.sequence[here], places.unit[here], places.value[here]
                found[f"{DIMENSIONS[dimension]}.{kind}", layer] = held
        return found


def holds_of(sequences: Sequence[Sequence[Hold]], config: ModelConfig, like: Tensor) -> Holds:
    """The holds of each sequence, on the device and in the type of `like`. Raises HoldError."""
    rows: dict[str, list[tuple]] = {name.split(".")[1]: [] for name in config.holdable}
    for sequence, holds in enumerate(sequences):
        for hold in holds:
            check_hold(hold, config)
            dimension, kind = hold.quantity.split(".")
            place = DIMENSIONS.index(dimension), hold.layer - 1, sequence, hold.unit
            rows[kind].append((*place, hold.value))
    return Holds({kind: _places(of_kind, like) for kind, of_kind in rows.items()})


def _places(rows: list[tuple], like: Tensor) -> Places:
    columns = list(zip(*rows, strict=True)) or [()] * 5
    index = [torch.tensor(column, dtype=torch.int64, device=like.device) for column in columns[:4]]
    return Places(*index, torch.tensor(columns[4], dtype=like.dtype, device=like.device))
