"""The architectures, each as its paper writes it, a file each: the only equations of the project.

A cell says what one layer computes (`Cell.read`), most of them by what it computes at one position
(`Layer.over_time`). In which order layers are read is told by `gridlstm.schedules`, how fast by
`gridlstm.backends`, both chosen by `gridlstm.backends.plan`. Everything fast is tested against
these. Shapes: T positions, B sequences, U units.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import torch
from torch import Tensor, nn

from gridlstm.cells.arithmetic import LinearMap, State
from gridlstm.clamps import Clamps
from gridlstm.config import ModelConfig
from gridlstm.sequences import spread

# What a layer computes at one position: see `Layer.over_time`.
Step = Callable[..., dict[str, Tensor]]
# Values of a quantity in one layer [T, B, U], or one [B, U] for each position.
Values = Tensor | Sequence[Tensor]


class Cell:
    """What a layer of an architecture computes.

    `outputs` names the quantity that the gates of the layer above read, `memory` the one that is
    carried up to it, if any. `forget` names the biases that begin at the forget bias, each with the
    number of the gate in it. `module` is that of torch's which computes the same, if any.
    """

    outputs: str
    memory: str | None = None
    forget: Sequence[tuple[str, int]] = ()
    module: type[nn.LSTM | nn.GRU | nn.RNN] | None = None

    def __init__(self, config: ModelConfig) -> None:
        self.config = config

    def read(self, layer: "Layer") -> dict[str, Values]:
        """All quantities of a layer over what it is given, by name."""
        raise NotImplementedError

    def first_memory(self, embedded: Tensor) -> Tensor | None:
        """What is carried up to the first layer, where there is a memory to carry."""
        return None


class LayerLinear(Protocol):
    """A linear layer of a weight, as `gridlstm.backends.linear` has it, which knows no cells."""

    def over(self, rows: int) -> LinearMap:
        """The function for so many rows at a time."""

    def adding(self, rows: int) -> Callable[[Tensor, Tensor], Tensor]:
        """The function that adds the product of so many rows to sums, in their place."""


class Weights(Protocol):
    """The weights of all layers, as `gridlstm.backends.linear` has them."""

    def linear(
        self, layer: int, dimension: str, part: str, rows: slice = slice(None)
    ) -> LayerLinear:
        """That of some rows of a dimension's weight, of the "hidden" or "inputs" part or "both"."""

    def tensor(self, layer: int, name: str) -> Tensor:
        """One of a layer's tensors."""

    def torch_weights(self, layer: int) -> list[Tensor]:
        """The weights of a layer along time as torch's recurrences take them."""


@dataclass
class Layer:
    """A layer at work: its number, from 0, its weights, and all that it is given.

    `inputs` [T, A, I] and `memory` [T, A, U] come from below; a sequence beyond the first A gets
    what the first gets. `state` [B, U] each is what the layer carries, as it stands before the
    first position, and named by `carried`; `everywhere` [B, L * U] the hidden states of all layers
    there. `fast` has functions that do the same as a step over all positions.
    """

    number: int
    weights: Weights
    inputs: Tensor
    memory: Tensor | None
    state: State
    carried: Sequence[str]
    clamps: Clamps | None = None
    everywhere: Tensor | None = None
    fast: Mapping[Step, Callable[..., dict[str, Values]]] = field(default_factory=dict)

    @property
    def memories(self) -> Tensor:
        """The memory from below of each sequence [T, B, U], where there is one."""
        assert self.memory is not None
        return spread(self.memory, self.sequences)

    @property
    def sequences(self) -> int:
        return len(self.state[0])

    def tensor(self, name: str) -> Tensor:
        """One of the layer's tensors, a shared one where it has none of its own."""
        return self.weights.tensor(self.number, name)

    def clamp(self, quantity: str, values: Tensor) -> Tensor:
        """Values [..., B, U] of a quantity, with what is clamped of it put in their place."""
        if self.clamps is not None:
            self.clamps.put(values, quantity, self.number)
        return values

    def of_inputs(self, dimension: str, rows: slice = slice(None)) -> Tensor:
        """`W inputs + b` at all positions [T, B, O], of some rows of a dimension's weight."""
        linear = self.weights.linear(self.number, dimension, "inputs", rows)
        sums = linear.over(self.inputs.shape[:-1].numel())(self.inputs)
        dtype = self.state[0].dtype
        return spread(sums if sums.dtype == dtype else sums.to(dtype), self.sequences)

    def of_hidden(self, dimension: str, rows: slice = slice(None)) -> LinearMap:
        """The function `h -> U h` for h [B, U], to be asked for at each position."""
        return self.weights.linear(self.number, dimension, "hidden", rows).over(self.sequences)

    def adding_hidden(self, dimension: str) -> Callable[[Tensor, Tensor], Tensor]:
        """The function that adds `U h` to sums [B, O], in their place, for h [B, U]."""
        return self.weights.linear(self.number, dimension, "hidden").adding(self.sequences)

    def of_both(self, dimension: str, hidden: Tensor) -> Tensor:
        """`W [h ; inputs] + b` at all positions, for hidden states that are known [T, B, U]."""
        of, rows = self.weights.linear, hidden.shape[:-1].numel()
        if hidden.shape == self.inputs.shape:
            whole = of(self.number, dimension, "both").over(rows)
            return whole(torch.cat((hidden, self.inputs), -1)).to(hidden.dtype)
        own = of(self.number, dimension, "hidden").over(rows)(hidden)
        return own.add_(self.of_inputs(dimension))

    def over_time(self, step: Step, dimension: str, *given: Tensor) -> dict[str, Values]:
        """The quantities that `step(layer, of_hidden, sums, *given, *state)` has at each position.

        It gets the product with h as a function, that with the inputs as sums [B, O], and of what
        else is `given` [T, B, U] its part; the state is what it said before.
        """
        if step in self.fast:
            return self.fast[step](self, dimension, *given)
        state, steps, of_hidden = self.state, [], self.of_hidden(dimension)
        parts = (part.unbind() for part in (self.of_inputs(dimension), *given))
        for here in zip(*parts, strict=True):
            steps.append(step(self, of_hidden, *here, *state))
            state = tuple(steps[-1][quantity] for quantity in self.carried)
        return {quantity: [values[quantity] for values in steps] for quantity in steps[0]}


def no_memory(embedded: Tensor, units: int) -> Tensor:
    """The memory 0 [T, A, U] below the first layer, for its inputs [T, A, I]."""
    return embedded.new_zeros(*embedded.shape[:-1], units)


def joined(values: Values) -> Tensor:
    """The values of a quantity in one layer as one tensor [T, B, U]."""
    return values if isinstance(values, Tensor) else torch.stack(tuple(values))
