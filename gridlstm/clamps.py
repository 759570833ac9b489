"""Interventions: units or directions held at a value while a model reads, asked for as an argument.

A clamp replaces one unit's memory, or the gate that keeps it, in one layer, at every position,
before anything is computed from it; a clamp of a direction changes the memory of a layer along it
alone. The model itself is never changed.
"""

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from gridlstm.architectures import ARCHITECTURES, GATE_KINDS
from gridlstm.config import ModelConfig
from gridlstm.direction import Direction
from gridlstm.errors import UserError
from gridlstm.sequences import spread

# The memory of which it can be taken out what some layers wrote: the Grid LSTM's along depth.
FOLLOWED = next(memory for memory in ARCHITECTURES["grid"].memories if memory.along == "depth")


class ClampError(UserError):
    """A clamp that the model does not allow; the message is one sentence for the user."""


@dataclass(frozen=True)
class Clamp:
    """`quantity` is one that the model lets be held, such as `time.cell`; `layer` counts from 1."""

    quantity: str
    layer: int
    unit: int
    value: float


@dataclass(frozen=True)
class DirectionClamp:
    """A change of a layer's memory along a direction; what lies across it stays."""

    direction: Direction

    @property
    def quantity(self) -> str:
        return self.direction.quantity

    @property
    def layer(self) -> int:
        """Counted from 1."""
        return self.direction.layer or 0

    def added(self, along: Tensor) -> Tensor | float:
        """By how much of the direction's vector the memory changes, where it is `along` [...]."""
        raise NotImplementedError


@dataclass(frozen=True)
class HeldDirection(DirectionClamp):
    """The sum along the direction is held at a value; at 0 it is projected out."""

    value: float = 0.0

    def added(self, along: Tensor) -> Tensor:
        return (self.value - along) / self.direction.norm**2


@dataclass(frozen=True)
class AddedDirection(DirectionClamp):
    """The vector, so many times, is added at every position."""

    strength: float = 1.0

    def added(self, along: Tensor) -> float:
        return self.strength


@dataclass(frozen=True)
class RemovedShare(DirectionClamp):
    """Of a depth memory, what the layers 1 to `upto` wrote along the direction is taken out: what
    is left of it where it arrives, after all gates on the way up."""

    upto: int = 1

    def added(self, along: Tensor) -> Tensor:
        return -along / self.direction.norm**2


AnyClamp = Clamp | DirectionClamp


def check_clamp(clamp: AnyClamp, config: ModelConfig) -> None:
    """Raise ClampError, or DirectionError, if the model has no such unit or the value cannot be
    held."""
    if clamp.quantity not in config.clampable:
        allowed = ", ".join(config.clampable)
        raise ClampError(f"What can be held is {allowed}, not {clamp.quantity!r}.")
    if isinstance(clamp, DirectionClamp):
        _check_direction_clamp(clamp, config)
        return
    if not 1 <= clamp.layer <= config.layers:
        raise ClampError(f"There is no layer {clamp.layer}: layers are counted from 1.")
    if not 0 <= clamp.unit < config.units:
        raise ClampError(f"There is no unit {clamp.unit}: units are counted from 0.")
    if not math.isfinite(clamp.value):
        raise ClampError("A unit cannot be held at a value that is not finite.")
    kind = clamp.quantity.split(".")[1]
    if kind in GATE_KINDS and not 0 <= clamp.value <= 1:
        raise ClampError(f"The gate {clamp.quantity} lies between 0 (closed) and 1 (open).")


def _check_direction_clamp(clamp: DirectionClamp, config: ModelConfig) -> None:
    clamp.direction.check(config)
    if clamp.direction.layer is None:
        raise ClampError("A direction is held in one layer at a time, and this one is in all.")
    if clamp.quantity.split(".")[1] in GATE_KINDS:
        raise ClampError(f"Along a direction memories are held, and {clamp.quantity} is a gate.")
    numbers = [x for x in vars(clamp).values() if isinstance(x, float)]
    if not all(map(math.isfinite, numbers)):
        raise ClampError("A direction cannot be held at a value that is not finite.")
    if isinstance(clamp, RemovedShare):
        if clamp.quantity != FOLLOWED.cell or config.memory("depth") != FOLLOWED:
            raise ClampError("What layers wrote is taken out of the depth memory of a Grid LSTM.")
        if config.architecture != "grid" or not 1 <= clamp.upto < clamp.layer:
            raise ClampError(
                f"What is taken out of the depth memory of layer {clamp.layer} was written by "
                f"layers below it, of a Grid LSTM, not up to layer {clamp.upto}."
            )


@dataclass(frozen=True)
class Places:
    """Sequences and units, int64 [hold], and the values to put there."""

    sequence: Tensor
    unit: Tensor
    value: Tensor


# A depth memory whose lower layers' part is followed on its way up, while a model reads, by the
# index of the lowest layer that is not a part of it: [T, B, U].
Followed = dict[int, Tensor]


@dataclass(frozen=True)
class Clamps:
    """What is held of the sequences that a model reads side by side, by quantity and layer, from
    0.

    `directions` are those along which memories change, each with its sequence and its vector [U].
    `followed` is shared by the clamps of all layers that are read together.
    """

    places: dict[tuple[str, int], Places]
    directions: dict[tuple[str, int], list[tuple[int, Tensor, DirectionClamp]]]
    followed: Followed = field(default_factory=dict)
    follow: frozenset[int] = frozenset()

    def put(self, values: Tensor, quantity: str, layer: int) -> None:
        """Put what is held of one quantity of one layer into its values [..., B, U]."""
        if here := self.places.get((quantity, layer)):
            values[..., here.sequence, here.unit] = here.value
        if self.follow and quantity == FOLLOWED.keep:
            for upto in self.follow:
                if layer >= upto:
                    self.followed[upto] = spread(self.followed[upto], values.shape[-2]) * values
        for sequence, vector, clamp in self.directions.get((quantity, layer), ()):
            changed = values[..., sequence, :]
            seen = changed
            if isinstance(clamp, RemovedShare):
                seen = self.followed[clamp.upto][..., sequence, :]
            added = torch.as_tensor(clamp.added(seen @ vector), dtype=values.dtype)
            changed += added[..., None].to(values.device) * vector
        if quantity == FOLLOWED.cell and layer + 1 in self.follow:
            self.followed[layer + 1] = values.clone()

    def concern(self, dimension: str, layer: int) -> bool:
        """Whether anything is held of a layer's time or depth LSTM."""
        return any(
            quantity.startswith(f"{dimension}.") and held_layer == layer
            for quantity, held_layer in (*self.places, *self.directions)
        )


def clamps_of(
    sequences: Sequence[Sequence[AnyClamp]],
    config: ModelConfig,
    like: Tensor,
    followed: Followed | None = None,
    follow: frozenset[int] | None = None,
) -> Clamps:
    """The clamps of each sequence, on the device and in the type of `like`. Raises ClampError.

    Where each layer has clamps of its own, all share what is `followed`, and know what to `follow`
    (`layers_followed`).
    """
    rows, directions = defaultdict(list), defaultdict(list)
    for sequence, clamps in enumerate(sequences):
        for clamp in clamps:
            check_clamp(clamp, config)
            place = clamp.quantity, clamp.layer - 1
            if isinstance(clamp, Clamp):
                rows[place].append((sequence, clamp.unit, clamp.value))
            else:
                vector = torch.as_tensor(clamp.direction.vector, dtype=like.dtype)
                directions[place].append((sequence, vector.to(like.device), clamp))
    return Clamps(
        {place: _places(of_place, like) for place, of_place in rows.items()},
        dict(directions),
        {} if followed is None else followed,
        layers_followed(sequences) if follow is None else follow,
    )


def layers_followed(sequences: Sequence[Sequence[AnyClamp]]) -> frozenset[int]:
    """How many of the lowest layers write the parts of the depth memory that clamps take out."""
    clamps = (clamp for of_sequence in sequences for clamp in of_sequence)
    return frozenset(clamp.upto for clamp in clamps if isinstance(clamp, RemovedShare))


def _places(rows: list[tuple[int, int, float]], like: Tensor) -> Places:
    sequence, unit, value = zip(*rows, strict=True)
    return Places(
        torch.tensor(sequence, device=like.device),
        torch.tensor(unit, device=like.device),
        torch.tensor(value, dtype=like.dtype, device=like.device),
    )
