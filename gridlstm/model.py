"""A language model over bytes: embedding, a recurrent architecture, decoder."""

from importlib import import_module

import torch
from torch import Tensor, nn

from gridlstm.architectures import ARCHITECTURES
from gridlstm.config import ALPHABET, ModelConfig
from gridlstm.networks.cells import State
from gridlstm.networks.dropout import drop


def network(config: ModelConfig) -> nn.Module:
    """The recurrent part of a model, as the registry of architectures names it.

    It maps embedded bytes [T, B, U] and a state, each [L, B, U], to the top layer's output
    [T, B, U] and the new state, and can be observed doing so (`reader`); `initialise`,
    `to_tensors` and `load_tensors` are the rest of what a model asks of it.
    """
    module, name = ARCHITECTURES[config.architecture].network.split(":")
    return getattr(import_module(module), name)(config)


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
