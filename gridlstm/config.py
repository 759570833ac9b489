"""What a model is, and what may be asked of one. Knows no torch, so that it loads at once."""

import math
import reprlib
from dataclasses import dataclass
from functools import cached_property

from gridlstm.architectures import ARCHITECTURES, Architecture, Memory
from gridlstm.errors import UserError

ALPHABET = 256
MAX_VOCABULARY = 65_536
MAX_LAYERS = 64
MAX_UNITS = 8192
# Options of architectures: fields of `ModelConfig` that are None where an architecture lacks them.
OPTIONS = ("tie", "priority", "depth", "reset", "gates")
# What each field of a `ModelConfig` is.
MODEL_MEANINGS = {
    "architecture": "what connects the units",
    "layers": "number of layers",
    "units": "number of units in a layer",
    "tie": "which weights a grid's layers share: none, depth (the depth LSTM's) or all (usual)",
    "priority": "depth (usual): a grid's depth LSTM sees the new time state; none: the one before",
    "depth": "what a grid computes along depth: an lstm (usual), or tanh or relu, without a memory",
    "reset": "after (usual): a GRU's reset gate is put on the product with the state, as in torch; "
    "before: on the state, as in char-rnn",
    "gates": "what the gates of an LSTM or a GRU go through: sigmoid (usual); hard_sigmoid, "
    "clip(x / 5 + 0.5, 0, 1), of Keras 1 and 2; or hard_sigmoid_6, clip(x / 6 + 0.5, 0, 1), of "
    "Keras 3",
    "vocabulary_size": "number of tokens that the model knows",
    "embedding_size": "how many numbers the first layer reads of a token: as many as units "
    "(usual), another number, or 0, one-hot: 1 in the token's own place",
    "dropout": "share of the non-recurrent connections dropped while training",
}


class ConfigError(UserError):
    """A setting that makes no model; the message is one sentence for the user."""


@dataclass(frozen=True)
class ModelConfig:
    """One architecture's settings.

    Options of the grid only: `tie`, which weights its layers share; `priority`, whether the depth
    LSTM sees the new time state ("depth") or the one before ("none"); `depth`, what is computed
    along depth. Of the GRU only: `reset`, whether the reset gate is put on the product with the
    state ("after") or on the state ("before"). Of the stacked LSTM and the GRU: `gates`, what the
    gates go through. Those not given but `tie` take their usual values.

    `vocabulary_size` is the number of tokens, 256 of a model over bytes. `embedding_size` is None
    where the first layer reads as many numbers as there are units, 0 where tokens are one-hot.
    """

    architecture: str
    layers: int
    units: int
    tie: str | None = None
    dropout: float = 0.0
    priority: str | None = None
    depth: str | None = None
    reset: str | None = None
    gates: str | None = None
    vocabulary_size: int = ALPHABET
    embedding_size: int | None = None

    def __post_init__(self) -> None:
        # A tuple, since a file may give a list as the architecture, which no dict can be asked for.
        if self.architecture not in tuple(ARCHITECTURES):
            known = ", ".join(ARCHITECTURES)
            raise ConfigError(
                f"Unknown architecture {reprlib.repr(self.architecture)}; known are {known}."
            )
        for name, value, most in (
            ("layers", self.layers, MAX_LAYERS),
            ("units", self.units, MAX_UNITS),
            ("tokens", self.vocabulary_size, MAX_VOCABULARY),
        ):
            if type(value) is not int or not 1 <= value <= most:
                raise ConfigError(
                    f"The number of {name} must be from 1 to {most}, not {reprlib.repr(value)}."
                )
        self._check_options()
        self._check_inputs()
        if type(self.dropout) not in (int, float) or not 0 <= self.dropout < 1:
            raise ConfigError(
                f"Dropout must be at least 0 and under 1, not {reprlib.repr(self.dropout)}."
            )

    def _check_options(self) -> None:
        own = ARCHITECTURES[self.architecture].options
        for option in OPTIONS:
            value = getattr(self, option)
            if option not in own:
                if value is not None:
                    owners = [name for name, a in ARCHITECTURES.items() if option in a.options]
                    raise ConfigError(
                        f"{option} is an option of the {' and the '.join(owners)}, not of "
                        f"{self.architecture!r}."
                    )
            elif value is None and option != "tie":
                object.__setattr__(self, option, own[option][0])
            elif value not in own[option]:
                raise ConfigError(
                    f"A {self.architecture}'s {option} must be one of {', '.join(own[option])}, "
                    f"not {reprlib.repr(value)}."
                )

    def _check_inputs(self) -> None:
        size = self.embedding_size
        if size == self.units:
            object.__setattr__(self, "embedding_size", None)
        if size is not None and not (type(size) is int and 0 <= size <= MAX_UNITS):
            raise ConfigError(
                f"The embedding's size must be from 0 (one-hot) to {MAX_UNITS}, not "
                f"{reprlib.repr(size)}."
            )
        if self.input_size == self.units:
            return
        if self.form.carries_inputs:
            raise ConfigError(
                f"The {self.form.title} carries its input up through the layers: an embedding is "
                "as wide as they are."
            )
        if self.layers > 1 and self.tie not in (None, "none"):
            raise ConfigError(
                "Layers that share weights read as many numbers as they have units: the embedding "
                "must be as wide."
            )

    @property
    def input_size(self) -> int:
        """How many numbers the first layer reads of a token."""
        if self.embedding_size == 0:
            return self.vocabulary_size
        return self.embedding_size or self.units

    def input_width(self, layer: int) -> int:
        """How many numbers a layer, counted from 0, reads from below."""
        return self.units if layer else self.input_size

    @cached_property
    def form(self) -> Architecture:
        """What is known of the architecture with these options."""
        return ARCHITECTURES[self.architecture].form(self)

    @property
    def quantities(self) -> tuple[str, ...]:
        """The name of everything a trace of the model can hold, such as `depth.forget`."""
        return self.form.quantities

    @property
    def dimensions(self) -> tuple[str, ...]:
        """The directions along which the model has a memory."""
        return tuple(memory.along for memory in self.form.memories)

    @property
    def cells(self) -> tuple[str, ...]:
        """The quantities that are memories, or where nothing is carried linearly, the state."""
        names = [memory.cell for memory in self.form.memories] or self.form.state.values()
        return tuple(dict.fromkeys(names))

    def memory(self, along: str) -> Memory | None:
        """The memory that is carried along `time` or `depth`, if there is one."""
        return next((memory for memory in self.form.memories if memory.along == along), None)

    @property
    def clampable(self) -> tuple[str, ...]:
        """The quantities that a unit can be held at a value in: memories and what keeps them."""
        names = [name for memory in self.form.memories for name in (memory.cell, memory.keep)]
        return tuple(dict.fromkeys(names or self.form.state.values()))

    @property
    def state(self) -> tuple[str, ...]:
        """The names of what is carried from character to character, each [layer, sequence, U]."""
        return tuple(self.form.state)

    def width(self, quantity: str) -> int:
        """How many values each layer has of a quantity at each character: the units, mostly."""
        return self.form.width(self, quantity)

    @property
    def values_a_layer(self) -> int:
        """How many values each layer has at each character, of all quantities together."""
        return sum(map(self.width, self.quantities))

    @property
    def title(self) -> str:
        plural = "s" if self.layers > 1 else ""
        return f"{self.form.title}, {self.layers} layer{plural}, {self.units} units"

    def layer_shapes(self) -> dict[str, tuple[int, ...]]:
        """The name and shape of every tensor of the layers; a shared one stands under layer 0."""
        return {
            f"layers.{layer}.{name}": shape
            for layer in range(self.layers)
            for name, shape in self.form.layer(self, layer).items()
        }

    def tensor_shapes(self) -> dict[str, tuple[int, ...]]:
        """The name and shape of every tensor of a checkpoint of this model."""
        tokens, one_hot = self.vocabulary_size, self.embedding_size == 0
        return {
            **({} if one_hot else {"embedding.weight": (tokens, self.input_size)}),
            "decoder.weight": (tokens, self.units),
            "decoder.bias": (tokens,),
            **self.layer_shapes(),
        }

    @property
    def parameters(self) -> int:
        """How many numbers a checkpoint of this model holds."""
        return sum(math.prod(shape) for shape in self.tensor_shapes().values())

    @property
    def operations_per_token(self) -> int:
        """Multiply-adds with weights to read one token and predict the next: layers that share a
        weight use it each; the embedding, or a one-hot token's column of a weight, is looked up,
        and gates and biases are not counted."""
        used = [self.form.layer(self, 0)] * self.layers
        if not self.tie or self.tie == "none":
            used = [self.form.layer(self, layer) for layer in range(self.layers)]
        products = [shape for shapes in used for shape in shapes.values() if len(shape) == 2]
        looked_up = 0
        if self.embedding_size == 0:
            first = self.form.layer(self, 0).values()
            looked_up = self.input_size * sum(shape[0] for shape in first if len(shape) == 2)
        return sum(map(math.prod, products)) - looked_up + self.vocabulary_size * self.units
