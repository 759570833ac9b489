"""The plain recurrent network of char-rnn: `h' = tanh(W [h ; below] + b)`, layer above layer.

It trains through `torch.nn.RNN`, which keeps two biases that are only ever added.
"""

import torch
from torch import Tensor, nn

from gridlstm.networks.cells import State
from gridlstm.networks.holds import Holds
from gridlstm.networks.layerwise import LayerwiseNetwork, Products
from gridlstm.networks.lstm import Values
from gridlstm.networks.products import add_spread
from gridlstm.networks.torch_layers import read_layers


class TorchNetwork(LayerwiseNetwork):
    """An architecture that has its trained weights in a module of `torch.nn`, which is faster."""

    hands_up = "time.hidden", None
    kind: type[nn.RNNBase]

    def add_parameters(self) -> None:
        config = self.config
        between = config.dropout if config.layers > 1 else 0.0
        self.torch = self.kind(config.units, config.units, config.layers, dropout=between)

    def initialise(self, forget_bias: float) -> None:
        """Nothing is set: there is no forget gate."""

    def forward(self, embedded: Tensor, state: State) -> tuple[Tensor, State]:
        """embedded [T, B, U], state [L, B, U] -> the top layer's h [T, B, U], new state."""
        return read_layers(self.torch, embedded, state)

    def parts(self, layer: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """A layer's weights for h and for what is below, and the biases of both."""
        names = "weight_hh", "weight_ih", "bias_hh", "bias_ih"
        return tuple(getattr(self.torch, f"{name}_l{layer}") for name in names)

    def tensors_of(self, layer: int) -> dict[str, Tensor]:
        """A layer's tensors by the rest of their names in a checkpoint."""
        raise NotImplementedError

    def of(self, layer: int, name: str) -> Tensor:
        return self.tensors_of(layer)[name]


class RNN(TorchNetwork):
    kind = nn.RNN

    def read_layer(
        self,
        layer: int,
        products: Products,
        read: Tensor,
        memory: None,
        state: State,
        holds: Holds | None,
    ) -> dict[str, Values]:
        (h,), hidden = state, []
        from_h, from_below = products.of(layer, "time").over_time(read, len(h))
        for sums in from_below:
            h = add_spread(from_h(h), sums).tanh()
            if holds is not None:
                holds.put(h, "time.hidden", layer)
            hidden.append(h)
        return {"time.hidden": hidden}

    def tensors_of(self, layer: int) -> dict[str, Tensor]:
        """Columns [h ; below], the sum of both biases."""
        recurrent, below, *biases = self.parts(layer)
        return {"time.weight": torch.cat((recurrent, below), 1), "time.bias": sum(biases)}

    @torch.no_grad()
    def load_tensors(self, tensors: dict[str, Tensor]) -> None:
        """Take the values of `to_tensors`' names and shapes."""
        for layer in range(self.config.layers):
            recurrent, below, of_recurrent, of_below = self.parts(layer)
            for mine, given in zip(
                (recurrent, below),
                tensors[f"layers.{layer}.time.weight"].chunk(2, 1),
                strict=True,
            ):
                mine.copy_(given)
            of_recurrent.zero_()
            of_below.copy_(tensors[f"layers.{layer}.time.bias"])
