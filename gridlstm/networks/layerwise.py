"""Architectures whose layers can be run one above the other: each reads all positions of the layer
below before the next layer begins, or, where large weights are shared, a block (`staggered`).

A network of this kind is one class that says what a layer does (`read_layer`); what it hands up and
carries on are quantities that it names. The rest, this module and `architectures`, is shared.
"""

from functools import partial

import torch
from torch import Tensor, nn

from gridlstm.config import ModelConfig
from gridlstm.networks.cells import Observer, Reader, State
from gridlstm.networks.dropout import drop
from gridlstm.networks.holds import Holds
from gridlstm.networks.lstm import Values, joined
from gridlstm.networks.products import JoinedProduct
from gridlstm.networks.staggered import gains_by_staggering, read_staggered


class Weights(nn.Module):
    """The tensors of the layers."""

    def __init__(self, config: ModelConfig):
        super().__init__()
        self.config = config
        self.add_parameters()

    def add_parameters(self) -> None:
        """Make the parameters, all 0: one for each tensor of a checkpoint, called as it is there,
        unless an architecture keeps them in another order."""
        for name, shape in self.config.layer_shapes().items():
            self.register_parameter(_attribute(name), nn.Parameter(torch.zeros(shape)))

    def of(self, layer: int, name: str) -> Tensor:
        """One of a layer's tensors, the shared one where it has none of its own."""
        own = _attribute(f"layers.{layer}.{name}")
        return getattr(self, own if hasattr(self, own) else _attribute(f"layers.0.{name}"))

    def to_tensors(self) -> dict[str, Tensor]:
        """The tensors of a checkpoint by name (a shared one under layer 0)."""
        tensors = {}
        for name in self.config.layer_shapes():
            _, layer, rest = name.split(".", 2)
            tensors[name] = self.of(int(layer), rest)
        return tensors

    @torch.no_grad()
    def load_tensors(self, tensors: dict[str, Tensor]) -> None:
        """Take the values of `to_tensors`' names and shapes."""
        for name, mine in self.to_tensors().items():
            mine.copy_(tensors[name])

    @torch.no_grad()
    def set_bias(self, name: str, rows: slice, value: float) -> None:
        """Set some rows of the biases of that name in every layer."""
        for tensor, bias in self.to_tensors().items():
            if tensor.endswith(f".{name}"):
                bias[rows] = value


class LayerwiseNetwork(Weights):
    """What layers one above the other have in common.

    `hands_up` names the quantity that the gates of the layer above read (dropped out on the way in
    training) and the one that is carried up to it as a memory, if any.
    """

    hands_up: tuple[str, str | None]

    def read_layer(
        self,
        layer: int,
        products: "Products",
        read: Tensor,
        memory: Tensor | None,
        state: State,
        holds: Holds | None,
    ) -> dict[str, Values]:
        """All quantities of a layer, from 0, that gets `read` and `memory` from below.

        `state` [B, U] is what the architecture carries, as it stands before the first position.
        What comes from below is [T, A, U]: a sequence beyond the first A gets what the first gets
        (see `spread`).
        """
        raise NotImplementedError

    def first_memory(self, embedded: Tensor) -> Tensor | None:
        """What is carried up to the first layer."""
        return None

    def joined_product(self, layer: int, dimension: str) -> JoinedProduct:
        """The product with a layer's own `weight` and `bias` of a dimension."""
        return JoinedProduct(
            *(self.of(layer, f"{dimension}.{kind}") for kind in ("weight", "bias"))
        )

    def forward(self, embedded: Tensor, state: State) -> tuple[Tensor, State]:
        """embedded [T, B, U], states [L, B, U] -> what the top hands up [T, B, U], new states."""
        dropout = self.config.dropout if self.training else 0
        return self._read(Products(self), embedded, state, dropout=dropout)

    def reader(self) -> Reader:
        return partial(self._read, Products(self))

    def _read(
        self,
        products: "Products",
        embedded: Tensor,
        state: State,
        observer: Observer | None = None,
        holds: Holds | None = None,
        dropout: float = 0,
    ) -> tuple[Tensor, State]:
        if holds is None and dropout == 0 and gains_by_staggering(self.config, embedded):
            products.side_by_side = True
            return read_staggered(self, products, embedded, state, observer)
        read, memory, after = embedded, self.first_memory(embedded), []
        for layer in range(self.config.layers):
            if layer > 0:
                read = drop(read, dropout)
            below = read, memory
            values = self.read_layer(layer, products, *below, _of_layer(state, layer), holds)
            if observer is not None:
                values = {name: joined(of_name) for name, of_name in values.items()}
                observer(layer, 0, values)
            read, memory = self.handed_up(values)
            after.append(self.carried_on(values))
        new = (torch.stack(parts) for parts in zip(*after, strict=True))
        return read, tuple(part.to(old.dtype) for part, old in zip(new, state, strict=True))

    def carried_on(self, values: dict[str, Values]) -> State:
        """Of a layer's quantities what it carries on from the last position [B, U], copied: a view
        would keep all the other positions."""
        return tuple(values[quantity][-1].clone() for quantity in self.config.form.state.values())

    def handed_up(self, values: dict[str, Values]) -> tuple[Tensor, Tensor | None]:
        """Of a layer's quantities what the layer above reads, and the memory [T, B, U]."""
        read, memory = self.hands_up
        above = joined(values[read])
        if memory is None or memory == read:
            return above, above if memory else None
        return above, joined(values[memory])


class Products:
    """The products with a network's weights, made ready once for all that is read with them.

    It shows what the weights were when they were first used. `side_by_side`: layers read side by
    side with them, so that a layer alone is read as these are, with what is ready for these.
    """

    def __init__(self, network: LayerwiseNetwork) -> None:
        self._network, self._joined, self.side_by_side = network, {}, False
        self._own = network.config.layer_shapes()

    def of(self, layer: int, dimension: str) -> JoinedProduct:
        """With a layer's `weight` and `bias` of a dimension, the shared ones where it has none of
        its own."""
        home = layer if f"layers.{layer}.{dimension}.weight" in self._own else 0
        if (home, dimension) not in self._joined:
            self._joined[home, dimension] = self._network.joined_product(home, dimension)
        product = self._joined[home, dimension]
        product.side_by_side = self.side_by_side
        return product


def _of_layer(state: State, layer: int) -> State:
    return tuple(part[layer] for part in state)


def _attribute(name: str) -> str:
    return name.replace(".", "_")
