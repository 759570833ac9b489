"""A direction: weights over the units of a quantity, which make one number of all of them.

Knowledge that no single unit holds can still lie along a direction of many. A unit is the special
case with one weight.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from gridlstm.array_types import Float32Array, Float64Array, FloatArray, IntArray
from gridlstm.config import ModelConfig
from gridlstm.errors import UserError

MAX_NAME = 100
MAX_NOTES = 10_000
# Of a trace that may lie on disk.
POSITIONS_AT_ONCE = 4096


class DirectionError(UserError):
    """A direction that cannot be used; the message is one sentence for the user."""


@dataclass(frozen=True, eq=False)
class Direction:
    """Weights over the units of one quantity.

    `vector` float64 [unit] is over those of `layer`, counted from 1; without a layer it is
    [layer, unit], over those of all layers. `origin` says in words how it was found, `notes` are
    the user's. `model` is the checksum of the model it belongs to, empty if any will do. Raises
    DirectionError if there is no weight, or one that is not finite.
    """

    quantity: str
    layer: int | None
    vector: Float64Array = field(repr=False)
    name: str = ""
    origin: str = ""
    notes: str = ""
    model: str = ""

    def __post_init__(self) -> None:
        if self.vector.ndim != (2 if self.layer is None else 1):
            raise DirectionError(
                "A direction has a weight for each unit of its layer, or, in all layers, of each."
            )
        if not np.isfinite(self.vector).all():
            raise DirectionError("A weight of the direction is not a finite number.")
        if not self.vector.any():
            raise DirectionError("All weights of the direction are 0, so it points nowhere.")
        if len(self.name) > MAX_NAME or len(self.notes) > MAX_NOTES:
            raise DirectionError(
                f"A direction's name has at most {MAX_NAME} characters, its notes {MAX_NOTES:,}."
            )

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Direction) and self._key == other._key

    def __hash__(self) -> int:
        return hash(self._key)

    @property
    def _key(self) -> tuple[object, ...]:
        texts = self.quantity, self.name, self.origin, self.notes, self.model
        return *texts, self.layer, self.vector.shape, self.vector.tobytes()

    @property
    def norm(self) -> float:
        return float(np.linalg.norm(self.vector))

    @property
    def place(self) -> str:
        """The quantity and layer in a few words."""
        where = "all layers" if self.layer is None else f"layer {self.layer}"
        return f"{self.quantity}, {where}"

    def check(self, config: ModelConfig, model: str = "") -> None:
        """Raise DirectionError unless a model of this form, with this checksum if one is given, has
        the units that the direction is over."""
        name = f"The direction “{self.name}”"
        if self.quantity not in config.quantities:
            raise DirectionError(
                f"{name} is over {self.quantity}, and the model has {', '.join(config.quantities)}."
            )
        width, layers = config.width(self.quantity), config.layers
        if self.layer is not None and not 1 <= self.layer <= layers:
            raise DirectionError(f"{name} is of layer {self.layer}, and the model has {layers}.")
        expected = (layers, width) if self.layer is None else (width,)
        if self.vector.shape != expected:
            raise DirectionError(
                f"{name} has {_size(self.vector.shape)}, and the model's {self.place} "
                f"{_size(expected)}."
            )
        if model and self.model and model != self.model:
            raise DirectionError(
                f"{name} was found in another model, and its units mean nothing in this one."
            )

    def weights(self, layers: int) -> Float64Array:
        """The weight of every unit, float64 [layer, unit]: 0 in the layers that it is not over."""
        if self.layer is None:
            return self.vector
        weights = np.zeros((layers, len(self.vector)))
        weights[self.layer - 1] = self.vector
        return weights

    def along(
        self, values: Mapping[str, FloatArray], positions: IntArray | None = None
    ) -> Float32Array:
        """The sum of the units times their weights: float32 [position], at all or at `positions`.

        `values` are a trace's. Raises DirectionError if they do not hold the quantity.
        """
        if self.quantity not in values:
            raise DirectionError(f"The trace does not hold {self.quantity!r}.")
        layers = values[self.quantity]
        at = np.arange(layers.shape[1]) if positions is None else positions
        found = np.zeros(len(at))
        for layer, weights in enumerate(self.weights(len(layers))):
            used = np.flatnonzero(weights)
            for start in range(0, len(at), POSITIONS_AT_ONCE) if len(used) else ():
                part = slice(start, start + POSITIONS_AT_ONCE)
                found[part] += layers[layer][np.ix_(at[part], used)] @ weights[used]
        return found.astype(np.float32)


def _size(shape: Sequence[int]) -> str:
    return " times ".join(f"{count:,}" for count in shape) + " weights"


def unit_direction(quantity: str, layer: int, unit: int, units: int) -> Direction:
    """A single unit, 0, 1, …, of `units`; `layer` from 1. Raises DirectionError without it."""
    if not 0 <= unit < units:
        raise DirectionError(f"There is no unit {unit}: units are counted from 0 to {units - 1}.")
    vector = np.zeros(units)
    vector[unit] = 1
    return Direction(quantity, layer, vector, f"unit {unit}", "a single unit")


def random_directions(like: Direction, count: int, seed: int) -> list[Direction]:
    """Directions over the same units and as long as `like`, each way as likely as any other."""
    drawn = np.random.default_rng(seed).normal(size=(count, *like.vector.shape))
    return [
        replace(
            like,
            vector=vector * (like.norm / np.linalg.norm(vector)),
            name=f"random {number}",
            origin=f"drawn at random with seed {seed}",
            notes="",
        )
        for number, vector in enumerate(drawn, start=1)
    ]
