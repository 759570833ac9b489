"""Interventions: units held at a value while a model reads, asked for as an argument.

A hold replaces one unit's memory, or the gate that keeps it, in one layer, at every position,
before anything is computed from it. The model itself is never changed.
"""

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from gridlstm.architectures import GATE_KINDS
from gridlstm.config import ModelConfig
from gridlstm.errors import UserError


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
    """Sequences and units, int64 [hold], and the values to put there."""

    sequence: Tensor
    unit: Tensor
    value: Tensor


@dataclass(frozen=True)
class Holds:
    """What is held of the sequences that a model reads side by side, by quantity and layer, from
    0."""

    places: dict[tuple[str, int], Places]

    def put(self, values: Tensor, quantity: str, layer: int) -> None:
        """Put what is held of one quantity of one layer into its values [..., B, U]."""
        if here := self.places.get((quantity, layer)):
            values[..., here.sequence, here.unit] = here.value

    def concern(self, dimension: str, layer: int) -> bool:
        """Whether anything is held of a layer's time or depth LSTM."""
        return any(
            quantity.startswith(f"{dimension}.") and held_layer == layer
            for quantity, held_layer in self.places
        )


def holds_of(sequences: Sequence[Sequence[Hold]], config: ModelConfig, like: Tensor) -> Holds:
    """The holds of each sequence, on the device and in the type of `like`. Raises HoldError."""
    rows = defaultdict(list)
    for sequence, holds in enumerate(sequences):
        for hold in holds:
            check_hold(hold, config)
            rows[hold.quantity, hold.layer - 1].append((sequence, hold.unit, hold.value))
    return Holds({place: _places(of_place, like) for place, of_place in rows.items()})


def _places(rows: list[tuple[int, int, float]], like: Tensor) -> Places:
    sequence, unit, value = zip(*rows, strict=True)
    return Places(
        torch.tensor(sequence, device=like.device),
        torch.tensor(unit, device=like.device),
        torch.tensor(value, dtype=like.dtype, device=like.device),
    )
