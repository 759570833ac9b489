"""A language model over bytes: embedding, a recurrent architecture, decoder."""

from importlib import import_module

import torch
from torch import Tensor, nn

from gridlstm.backends.grid_network import GridNetwork
from gridlstm.backends.torch_network import TorchNetwork
from gridlstm.cells.arithmetic import State
from gridlstm.config import ALPHABET, ModelConfig
from gridlstm.dropout import drop
from gridlstm.network import Network


def network(config: ModelConfig) -> Network:
    """The recurrent part of a model: the cell that the registry of architectures names, in the kind
    of network that trains it fastest."""
    module, name = config.form.cell.split(":")
    cell = getattr(import_module(module), name)(config)
    if cell.module is not None:
        return TorchNetwork(config, cell)
    return (GridNetwork if config.form.walks else Network)(config, cell)


class LanguageModel(nn.Module):
    """Predicts the next byte: `softmax(W_out d_L + b_out)`."""

    def __init__(self, config: ModelConfig):
        super().__init__()
        self.config = config
        self.embedding = nn.Embedding(ALPHABET, config.units)
        self.recurrent = network(config)
        self.decoder = nn.Linear(config.units, ALPHABET)

    def initialise(self, scale: float, forget_bias: float) -> None:
        """Draw every parameter from the uniform distribution on ±scale, then set forget biases."""
        with torch.no_grad():
            for parameter in self.parameters():
                parameter.uniform_(-scale, scale)
        self.recurrent.initialise(forget_bias)

    def start(self, sequences: int) -> State:
        """The state before the first byte: zeros [L, sequences, U], named by `config.state`."""
        shape = self.config.layers, sequences, self.config.units
        return tuple(self.decoder.weight.new_zeros(shape) for _ in self.config.state)

    def forward(self, read: Tensor, state: State) -> tuple[Tensor, State]:
        """read: bytes int64 [T, B] -> logits of each next byte [T, B, 256] and the new state."""
        top, state = self.recurrent(self.embedding(read), state)
        return self.decoder(drop(top, self.config.dropout if self.training else 0)), state

    def to_tensors(self) -> dict[str, Tensor]:
        """Every tensor of a checkpoint by name."""
        return {
            "embedding.weight": self.embedding.weight,
            "decoder.weight": self.decoder.weight,
            "decoder.bias": self.decoder.bias,
            **self.recurrent.to_tensors(),
        }

    @torch.no_grad()
    def load_tensors(self, tensors: dict[str, Tensor]) -> None:
        """Take the values of `to_tensors`' names and shapes."""
        self.embedding.weight.copy_(tensors["embedding.weight"])
        self.decoder.weight.copy_(tensors["decoder.weight"])
        self.decoder.bias.copy_(tensors["decoder.bias"])
        self.recurrent.load_tensors(tensors)
