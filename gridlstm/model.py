"""A language model over the tokens of a vocabulary: embedding, a recurrent architecture,
decoder."""

import hashlib
from importlib import import_module

import torch
from torch import Tensor, nn

from gridlstm.backends.grid_network import GridNetwork
from gridlstm.backends.torch_network import TorchNetwork
from gridlstm.cells.arithmetic import State
from gridlstm.config import ModelConfig
from gridlstm.dropout import drop
from gridlstm.network import Network
from gridlstm.vocabulary import BYTES, EncodedText, Vocabulary


def network(config: ModelConfig) -> Network:
    """The recurrent part of a model: the cell that the registry of architectures names, in the kind
    of network that trains it fastest."""
    module, name = config.form.cell.split(":")
    cell = getattr(import_module(module), name)(config)
    if cell.module is not None:
        return TorchNetwork(config, cell)
    return (GridNetwork if config.form.walks else Network)(config, cell)


class OneHot(nn.Module):
    """Tokens as one-hot vectors: int64 [...] -> [..., V]."""

    def __init__(self, tokens: int) -> None:
        super().__init__()
        self.tokens = tokens
        # Of the type and on the device of what it is a part of.
        self.zero: Tensor
        self.register_buffer("zero", torch.zeros(()), persistent=False)

    def forward(self, inputs: Tensor) -> Tensor:
        vectors = self.zero.new_zeros(*inputs.shape, self.tokens)
        return vectors.scatter_(-1, inputs[..., None], 1.0)


class LanguageModel(nn.Module):
    """Predicts the next token: `softmax(W_out d_L + b_out)`.

    `vocabulary` says what the tokens stand for: the 256 bytes, unless given. Raises ValueError if
    it has not as many tokens as `config` says.
    """

    def __init__(self, config: ModelConfig, vocabulary: Vocabulary = BYTES):
        super().__init__()
        tokens = config.vocabulary_size
        if len(vocabulary) != tokens:
            raise ValueError(f"The vocabulary has {len(vocabulary)} tokens, not {tokens}.")
        self.config, self.vocabulary = config, vocabulary
        is_one_hot = config.embedding_size == 0
        self.embedding = OneHot(tokens) if is_one_hot else nn.Embedding(tokens, config.input_size)
        self.recurrent = network(config)
        self.decoder = nn.Linear(config.units, tokens)

    def initialise(self, scale: float, forget_bias: float) -> None:
        """Draw every parameter from the uniform distribution on ±scale, then set forget biases."""
        with torch.no_grad():
            for parameter in self.parameters():
                parameter.uniform_(-scale, scale)
        self.recurrent.initialise(forget_bias)

    def start(self, sequences: int) -> State:
        """The state before the first token: zeros [L, sequences, U], named by `config.state`."""
        shape = self.config.layers, sequences, self.config.units
        return tuple(self.decoder.weight.new_zeros(shape) for _ in self.config.state)

    def encode(self, text: EncodedText | str | bytes) -> EncodedText:
        """A text as this model reads it; one that is encoded already as it is."""
        return text if isinstance(text, EncodedText) else self.vocabulary.encode(text)

    def forward(self, inputs: Tensor, state: State) -> tuple[Tensor, State]:
        """inputs: tokens int64 [T, B] -> logits of each next token [T, B, V] and the new state."""
        top, state = self.recurrent(self.embedding(inputs), state)
        return self.decoder(drop(top, self.config.dropout if self.training else 0)), state

    def to_tensors(self) -> dict[str, Tensor]:
        """Every tensor of a checkpoint by name."""
        is_one_hot = isinstance(self.embedding, OneHot)
        return {
            **({} if is_one_hot else {"embedding.weight": self.embedding.weight}),
            "decoder.weight": self.decoder.weight,
            "decoder.bias": self.decoder.bias,
            **self.recurrent.to_tensors(),
        }

    def checksum(self) -> str:
        """SHA-256 of the weights, by name, shape and float32 value: the same for every file that
        holds them, whatever else it says."""
        digest = hashlib.sha256()
        for name, tensor in sorted(self.to_tensors().items()):
            digest.update(f"{name} {tuple(tensor.shape)}\n".encode())
            digest.update(tensor.detach().float().cpu().numpy().astype("<f4").tobytes())
        return digest.hexdigest()

    @torch.no_grad()
    def load_tensors(self, tensors: dict[str, Tensor]) -> None:
        """Take the values of `to_tensors`' names and shapes."""
        if isinstance(self.embedding, nn.Embedding):
            self.embedding.weight.copy_(tensors["embedding.weight"])
        self.decoder.weight.copy_(tensors["decoder.weight"])
        self.decoder.bias.copy_(tensors["decoder.bias"])
        self.recurrent.load_tensors(tensors)
