"""The stacked LSTM of char-rnn: each layer an LSTM over time, fed by the hidden state below it.

It runs through `torch.nn.LSTM`, whose weights are these in another order: torch keeps its gates as
i, f, g, o and has a second, redundant bias, which stays 0 here and is not trained.
"""

import torch
from torch import Tensor, nn

from gridlstm.config import ModelConfig

State = tuple[Tensor, Tensor]


def swap_gates(tensor: Tensor) -> Tensor:
    """i, f, o, g <-> i, f, g, o along the first axis [4U, ...]."""
    i, f, third, fourth = tensor.chunk(4)
    return torch.cat((i, f, fourth, third))


class StackedLSTM(nn.Module):
    """A `torch.nn.LSTM` that speaks the project's tensor names."""

    def __init__(self, config: ModelConfig):
        super().__init__()
        self.layers, self.units = config.layers, config.units
        between = config.dropout if config.layers > 1 else 0.0
        self.lstm = nn.LSTM(config.units, config.units, config.layers, dropout=between)
        for layer in range(config.layers):
            redundant = getattr(self.lstm, f"bias_hh_l{layer}")
            redundant.requires_grad_(False).zero_()

    def initialise(self, forget_bias: float) -> None:
        """Set the bias of the forget gates; the redundant bias stays 0."""
        with torch.no_grad():
            for layer in range(self.layers):
                bias = getattr(self.lstm, f"bias_ih_l{layer}")
                bias[self.units : 2 * self.units] = forget_bias
                getattr(self.lstm, f"bias_hh_l{layer}").zero_()

    def forward(self, embedded: Tensor, state: State) -> tuple[Tensor, State]:
        """embedded [T, B, U], state h and c [L, B, U] -> the top layer's h [T, B, U], new state."""
        return self.lstm(embedded, state)

    def to_tensors(self) -> dict[str, Tensor]:
        """The tensors of a checkpoint by name: columns [h ; input], gates i, f, o, g."""
        tensors = {}
        for layer in range(self.layers):
            recurrent, below, bias = (
                getattr(self.lstm, f"{name}_l{layer}")
                for name in ("weight_hh", "weight_ih", "bias_ih")
            )
            tensors[f"layers.{layer}.time.weight"] = swap_gates(torch.cat((recurrent, below), 1))
            tensors[f"layers.{layer}.time.bias"] = swap_gates(bias)
        return tensors

    @torch.no_grad()
    def load_tensors(self, tensors: dict[str, Tensor]) -> None:
        """Take the values of `to_tensors`' names and shapes."""
        for layer in range(self.layers):
            weight = swap_gates(tensors[f"layers.{layer}.time.weight"])
            bias = swap_gates(tensors[f"layers.{layer}.time.bias"])
            getattr(self.lstm, f"weight_hh_l{layer}").copy_(weight[:, : self.units])
            getattr(self.lstm, f"weight_ih_l{layer}").copy_(weight[:, self.units :])
            getattr(self.lstm, f"bias_ih_l{layer}").copy_(bias)
            getattr(self.lstm, f"bias_hh_l{layer}").zero_()
