"""What a model is, and what may be asked of one. Knows no torch, so that it loads at once."""

import reprlib
from dataclasses import dataclass

from gridlstm.errors import UserError

ALPHABET = 256
ARCHITECTURES = ("grid", "stacked")
TIES = ("none", "depth", "all")
GATES = ("input", "forget", "output", "candidate")
QUANTITIES = ("cell", "hidden", *GATES)
MOST_LAYERS = 64
MOST_UNITS = 8192


class ConfigError(UserError):
    """A setting that makes no model; the message is one sentence for the user."""


@dataclass(frozen=True)
class ModelConfig:
    """One architecture's settings. `tie` is for the grid only: which weights its layers share."""

    architecture: str
    layers: int
    units: int
    tie: str | None = None
    dropout: float = 0.0

    def __post_init__(self) -> None:
        if self.architecture not in ARCHITECTURES:
            known = ", ".join(ARCHITECTURES)
            raise ConfigError(
                f"Unknown architecture {reprlib.repr(self.architecture)}; known are {known}."
            )
        for name, value, most in (
            ("layers", self.layers, MOST_LAYERS),
            ("units", self.units, MOST_UNITS),
        ):
            if type(value) is not int or not 1 <= value <= most:
                raise ConfigError(
                    f"The number of {name} must be from 1 to {most}, not {reprlib.repr(value)}."
                )
        if self.architecture == "grid" and self.tie not in TIES:
            raise ConfigError(
                f"A grid's tie must be one of {', '.join(TIES)}, not {reprlib.repr(self.tie)}."
            )
        if self.architecture != "grid" and self.tie is not None:
            raise ConfigError(f"tie is an option of the grid, not of {self.architecture!r}.")
        if type(self.dropout) not in (int, float) or not 0 <= self.dropout < 1:
            raise ConfigError(
                f"Dropout must be at least 0 and under 1, not {reprlib.repr(self.dropout)}."
            )

    @property
    def dimensions(self) -> tuple[str, ...]:
        """The directions along which the model has a memory."""
        return ("time", "depth") if self.architecture == "grid" else ("time",)

    @property
    def quantities(self) -> tuple[str, ...]:
        """The name of everything a trace of the model can hold, such as `depth.forget`."""
        return tuple(f"{dimension}.{q}" for dimension in self.dimensions for q in QUANTITIES)

    @property
    def title(self) -> str:
        kind = "Grid LSTM" if self.architecture == "grid" else "Stacked LSTM"
        plural = "s" if self.layers > 1 else ""
        return f"{kind}, {self.layers} layer{plural}, {self.units} units"

    def tensor_shapes(self) -> dict[str, tuple[int, ...]]:
        """The name and shape of every tensor of a checkpoint of this model."""
        units = self.units
        shapes: dict[str, tuple[int, ...]] = {
            "embedding.weight": (ALPHABET, units),
            "decoder.weight": (ALPHABET, units),
            "decoder.bias": (ALPHABET,),
        }
        for dimension in self.dimensions:
            shared = self.tie == "all" or (self.tie == "depth" and dimension == "depth")
            for layer in range(1 if shared else self.layers):
                shapes[f"layers.{layer}.{dimension}.weight"] = (4 * units, 2 * units)
                shapes[f"layers.{layer}.{dimension}.bias"] = (4 * units,)
        return shapes
