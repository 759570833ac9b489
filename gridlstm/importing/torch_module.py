"""Models that another program trained with `torch.nn.LSTM`, `GRU` or `RNN`, made models of ours.

Nothing is trained anew or approximated: a model over characters is put into the terms of the 256
bytes. What is not in its alphabet it neither reads nor expects.
"""

from collections.abc import Mapping, Sequence, Set
from numbers import Integral
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

from gridlstm.checkpoint import Metadata, write_checkpoint
from gridlstm.config import ALPHABET, ModelConfig
from gridlstm.corpus import Corpus
from gridlstm.evaluation import evaluate
from gridlstm.importing.errors import ForeignModelError
from gridlstm.model import LanguageModel
from gridlstm.training.tasks import data_of

# How far under the mean of the others a byte lies that a model does not know, in nats: together
# such bytes have a chance of less than 3e-11.
UNKNOWN = 30.0
ARCHITECTURES = {"LSTM": "stacked", "GRU": "gru", "RNN_TANH": "rnn"}
Alphabet = Sequence[str | int | None]


def import_torch(
    embedding: nn.Embedding | None,
    recurrent: nn.LSTM | nn.GRU | nn.RNN,
    decoder: nn.Linear,
    alphabet: Alphabet,
) -> LanguageModel:
    """The model `decoder(recurrent(embedding(x)))` with the same weights, in evaluation mode.

    `alphabet` says, in the order of the indices, what each stands for: a character, the number of a
    byte, or None for what no byte can stand for, which is left out (a special token, a character
    that UTF-8 writes in several bytes). Without an `embedding`, x is one-hot. Of a byte that is not
    in the alphabet nothing is read, and it is given a chance under 1e-13, so that its loss is large
    but finite.

    The numbers of an embedding, or else the alphabet's known indices, must be no more than the
    units. Raises ForeignModelError, ConfigError if it has more layers or units than a model may.
    """
    _check(embedding, recurrent, decoder, alphabet)
    byte_of = _bytes_of(alphabet)
    config = ModelConfig(
        ARCHITECTURES[recurrent.mode],
        recurrent.num_layers,
        recurrent.hidden_size,
        dropout=float(recurrent.dropout),
    )
    model = LanguageModel(config)
    vectors = torch.eye(len(alphabet)) if embedding is None else embedding.weight
    vectors, first = _as_wide_as_units(
        _plain_numbers(vectors)[list(byte_of)],
        _plain_numbers(recurrent.weight_ih_l0),
        config.units,
    )
    tensors = _decoder(decoder, byte_of)
    tensors["embedding.weight"] = vectors.new_zeros(ALPHABET, config.units)
    tensors["embedding.weight"][list(byte_of.values())] = vectors
    model.load_tensors({**tensors, **_layers(model, recurrent, first)})
    return model.eval().requires_grad_(False)


def save_model(path: Path | str, model: LanguageModel, corpus: Corpus, trained_by: str) -> Metadata:
    """Write a model of another program as a checkpoint: float32, its loss measured on the corpus'
    validation part, which it should not have been trained on; `trained_by` in words. Raises
    ForeignModelError where the pages could not read it."""
    path = Path(path)
    if path.suffix != ".safetensors":
        raise ForeignModelError(f"A checkpoint is called NAME.safetensors, not {path.name}.")
    tensors = {name: _plain_numbers(tensor) for name, tensor in model.to_tensors().items()}
    for name, tensor in tensors.items():
        if not tensor.isfinite().all():
            raise ForeignModelError(f"The tensor {name} holds values that are not finite.")
    loss = evaluate(model, corpus.validation)
    metadata = Metadata(
        model=model.config,
        data=data_of(corpus),
        training={"trained_by": trained_by},
        validation_loss=loss.nats_per_byte,
        validation_bytes=loss.bytes,
    )
    write_checkpoint(path, {name: tensor.numpy() for name, tensor in tensors.items()}, metadata)
    return metadata


# -- What can be taken ----------------------------------------------------------------------------


def _check(embedding, recurrent, decoder, alphabet) -> None:
    mode = getattr(recurrent, "mode", type(recurrent).__name__)
    if mode not in ARCHITECTURES:
        raise ForeignModelError(
            f"The recurrent module must be a torch.nn.LSTM, GRU or RNN with tanh, not {mode}."
        )
    if recurrent.bidirectional or recurrent.proj_size:
        raise ForeignModelError("A model here reads in one direction and has no projections.")
    if embedding is not None and (type(embedding) is not nn.Embedding or embedding.max_norm):
        raise ForeignModelError("The embedding must be a torch.nn.Embedding without max_norm.")
    if not isinstance(decoder, nn.Linear):
        raise ForeignModelError(f"The decoder must be a torch.nn.Linear, not {type(decoder)}.")
    if isinstance(alphabet, Mapping | Set) or not isinstance(alphabet, Sequence):
        raise ForeignModelError(
            "The alphabet must be a string or a list, in the order of the indices."
        )
    read = len(alphabet) if embedding is None else embedding.embedding_dim
    for what, found, expected in (
        ("indices of the embedding", embedding and embedding.num_embeddings, len(alphabet)),
        ("outputs of the decoder", decoder.out_features, len(alphabet)),
        ("inputs of the decoder", decoder.in_features, recurrent.hidden_size),
        ("inputs of the recurrent module", recurrent.input_size, read),
    ):
        if found not in (None, expected):
            raise ForeignModelError(f"The {what} are {found}; they should be {expected}.")


def _bytes_of(alphabet: Alphabet) -> dict[int, int]:
    """The byte that each index stands for, without those that none can stand for."""
    byte_of = {}
    for index, sign in enumerate(alphabet):
        if sign is None:
            continue
        byte = _as_bytes(sign)
        if len(byte) != 1:
            raise ForeignModelError(
                f"The alphabet has {sign!r}, which is not one byte of UTF-8; with None in its "
                "place it is left out."
            )
        if byte[0] in byte_of.values():
            raise ForeignModelError(f"The alphabet has {sign!r} twice.")
        byte_of[index] = byte[0]
    if not byte_of:
        raise ForeignModelError("The alphabet is empty.")
    return byte_of


def _as_bytes(sign: object) -> bytes:
    """How UTF-8 writes it; empty if it is neither a character nor the number of a byte."""
    if isinstance(sign, str):
        return sign.encode(errors="surrogatepass")
    return bytes([sign]) if isinstance(sign, Integral) and 0 <= sign < ALPHABET else b""


# -- Weights --------------------------------------------------------------------------------------


def _plain_numbers(tensor: Tensor) -> Tensor:
    """The same as float32 in this machine's own memory, without a gradient."""
    return tensor.detach().float().cpu()


@torch.no_grad()
def _layers(model: LanguageModel, recurrent: nn.RNNBase, first: Tensor) -> dict[str, Tensor]:
    """The layers' tensors of a checkpoint, as the network of that kind makes them of its own module
    of torch, once that has these weights; `first` is that of the first layer for what is below."""
    own = next(module for module in model.recurrent.children() if isinstance(module, nn.RNNBase))
    for name, parameter in own.named_parameters():
        given = first if name == "weight_ih_l0" else getattr(recurrent, name, None)
        parameter.zero_() if given is None else parameter.copy_(given)
    return model.recurrent.to_tensors()


def _as_wide_as_units(vectors: Tensor, weight: Tensor, units: int) -> tuple[Tensor, Tensor]:
    """What is read [known, E] and the weight for it [O, E], with the same products, as [known, U]
    and [O, U]."""
    known, numbers = vectors.shape
    if numbers > units:
        if known > units:
            raise ForeignModelError(
                f"A first layer that reads {numbers} numbers for each of {known} characters does "
                f"not fit into one of {units} units: one of both must be no more than the units."
            )
        # Each character's own numbers are 1 at its place, and its product is a column.
        weight, vectors = weight @ vectors.T, torch.eye(known, dtype=weight.dtype)
    missing = units - vectors.shape[1]
    return functional.pad(vectors, (0, missing)), functional.pad(weight, (0, missing))


def _decoder(decoder: nn.Linear, byte_of: dict[int, int]) -> dict[str, Tensor]:
    """The decoder with a row for every byte; an unknown one lies far under the mean of the others,
    whatever they are."""
    weight = _plain_numbers(decoder.weight)[list(byte_of)]
    bias = weight.new_zeros(len(weight))
    if decoder.bias is not None:
        bias = _plain_numbers(decoder.bias)[list(byte_of)]
    weights, biases = weight.mean(0).repeat(ALPHABET, 1), (bias.mean() - UNKNOWN).repeat(ALPHABET)
    known = list(byte_of.values())
    weights[known], biases[known] = weight, bias
    return {"decoder.weight": weights, "decoder.bias": biases}
