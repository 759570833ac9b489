"""Interventions: units held at a value while a model reads, asked for as an argument.

A clamp replaces one unit's memory, or the gate that keeps it, in one layer, at every position,
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


class ClampError(UserError):
    """A clamp that the model does not allow; the message is one sentence for the user."""


@dataclass(frozen=True)
class Clamp:
    """`quantity` is one that the model lets be held, such as `time.cell`; `layer` counts from 1."""

    quantity: str
    layer: int
    unit: int
    value: float


def check_clamp(clamp: Clamp, config: ModelConfig) -> None:
    """Raise ClampError if the model has no such unit or the value cannot be held."""
    if clamp.quantity not in config.clampable:
        allowed = ", ".join(config.clampable)
        raise ClampError(f"What can be held is {allowed}, not {clamp.quantity!r}.")
    if not 1 <= clamp.layer <= config.layers:
        raise ClampError(f"There is no layer {clamp.layer}: layers are counted from 1.")
    if not 0 <= clamp.unit < config.units:
        raise ClampError(f"There is no unit {clamp.unit}: units are counted from 0.")
    if not math.isfinite(clamp.value):
        raise ClampError("A unit cannot be held at a value that is not finite.")
    kind = clamp.quantity.split(".")[1]
    if kind in GATE_KINDS and not 0 <= clamp.value <= 1:
        raise ClampError(f"The gate {clamp.quantity} lies between 0 (closed) and 1 (open).")


@dataclass(frozen=True)
class Places:
    """Sequences and units, int64 [hold], and the values to put there."""

    sequence: Tensor
    unit: Tensor
    value: Tensor


@dataclass(frozen=True)
class Clamps:
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


def clamps_of(sequences: Sequence[Sequence[Clamp]], config: ModelConfig, like: Tensor) -> Clamps:
    """The clamps of each sequence, on the device and in the type of `like`. Raises ClampError."""
    rows = defaultdict(list)
    for sequence, clamps in enumerate(sequences):
        for clamp in clamps:
            check_clamp(clamp, config)
            rows[clamp.quantity, clamp.layer - 1].append((sequence, clamp.unit, clamp.value))
    return Clamps({place: _places(of_place, like) for place, of_place in rows.items()})


def _places(rows: list[tuple[int, int, float]], like: Tensor) -> Places:
    sequence, unit, value = zip(*rows, strict=True)
    return Places(
        torch.tensor(sequence, device=like.device),
        torch.tensor(unit, device=like.device),
        torch.tensor(value, dtype=like.dtype, device=like.device),
    )
