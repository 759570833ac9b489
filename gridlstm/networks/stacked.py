"""The stacked LSTM of char-rnn: each layer an LSTM over time, fed by the hidden state below it.

It runs through `torch.nn.LSTM`, whose weights are these in another order: torch keeps its gates as
i, f, g, o and has a second, redundant bias, which stays 0 here and is not trained.
"""

import torch
from torch import Tensor, nn

from gridlstm.networks.cells import State, swap_gates
from gridlstm.networks.holds import Holds
from gridlstm.networks.layerwise import LayerwiseNetwork, Products
from gridlstm.networks.lstm import Values, lstm_over_time
from gridlstm.networks.products import JoinedProduct
from gridlstm.networks.torch_layers import read_layers


class StackedLSTM(LayerwiseNetwork):
    """A `torch.nn.LSTM` that speaks the project's tensor names."""

    hands_up = "time.hidden", None

    def add_parameters(self) -> None:
        config = self.config
        between = config.dropout if config.layers > 1 else 0.0
        self.lstm = nn.LSTM(config.units, config.units, config.layers, dropout=between)
        for layer in range(config.layers):
            redundant = getattr(self.lstm, f"bias_hh_l{layer}")
            redundant.requires_grad_(False).zero_()

    def initialise(self, forget_bias: float) -> None:
        """Set the bias of the forget gates; the redundant bias stays 0."""
        with torch.no_grad():
            for layer in range(self.config.layers):
                bias = getattr(self.lstm, f"bias_ih_l{layer}")
                bias[self.config.units : 2 * self.config.units] = forget_bias
                getattr(self.lstm, f"bias_hh_l{layer}").zero_()

    def forward(self, embedded: Tensor, state: State) -> tuple[Tensor, State]:
        """embedded [T, B, U], state h and c [L, B, U] -> the top layer's h [T, B, U], new state."""
        return read_layers(self.lstm, embedded, state)

    def read_layer(
        self,
        layer: int,
        products: Products,
        read: Tensor,
        memory: None,
        state: State,
        holds: Holds | None,
    ) -> dict[str, Values]:
        return lstm_over_time(read, products.of(layer, "time"), state, holds, layer)

    def joined_product(self, layer: int, dimension: str) -> JoinedProduct:
        """As of any network, with the weights in torch's order that are there already."""
        product = super().joined_product(layer, dimension)
        product.as_torch_lstm = self._weights(layer)
        return product

    def of(self, layer: int, name: str) -> Tensor:
        """One of a layer's tensors: columns [h ; input], gates i, f, o, g."""
        below, recurrent, *biases = self._weights(layer)
        return swap_gates(sum(biases) if name == "time.bias" else torch.cat((recurrent, below), 1))

    def _weights(self, layer: int) -> list[Tensor]:
        """A layer's weights for what is below and for h, and both biases, as torch has them."""
        names = "weight_ih", "weight_hh", "bias_ih", "bias_hh"
        return [getattr(self.lstm, f"{name}_l{layer}") for name in names]

    @torch.no_grad()
    def load_tensors(self, tensors: dict[str, Tensor]) -> None:
        """Take the values of `to_tensors`' names and shapes."""
        for layer in range(self.config.layers):
            weight = swap_gates(tensors[f"layers.{layer}.time.weight"])
            bias = swap_gates(tensors[f"layers.{layer}.time.bias"])
            getattr(self.lstm, f"weight_hh_l{layer}").copy_(weight[:, : self.config.units])
            getattr(self.lstm, f"weight_ih_l{layer}").copy_(weight[:, self.config.units :])
            getattr(self.lstm, f"bias_ih_l{layer}").copy_(bias)
            getattr(self.lstm, f"bias_hh_l{layer}").zero_()
