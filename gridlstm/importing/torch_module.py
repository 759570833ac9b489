"""Models that another program trained with `torch.nn.LSTM`, `GRU` or `RNN`, made models of ours.

Nothing is trained anew or approximated: a model over characters is put into the terms of the 256
bytes. What is not in its alphabet it neither reads nor expects.
"""

import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from numbers import Integral
from pathlib import Path

import numpy as np
from torch import Tensor, nn

from gridlstm.checkpoint import Metadata, write_checkpoint
from gridlstm.config import ALPHABET
from gridlstm.corpus import Corpus
from gridlstm.evaluation import evaluate
from gridlstm.importing.arrays import cell_weights
from gridlstm.importing.conversion import build_model
from gridlstm.importing.errors import ForeignModelError
from gridlstm.importing.foreign_model import ForeignModel, Layer, check_model
from gridlstm.model import LanguageModel
from gridlstm.training.tasks import data_of
from gridlstm.vocabulary import BYTES

# How far under the mean of the others a byte lies that a model does not know, in nats: together
# such bytes have a chance of less than 3e-11.
UNKNOWN = 30.0
CELLS = {nn.LSTM: "lstm", nn.GRU: "gru", nn.RNN: "rnn"}
ORDER = {"lstm": "ifgo", "gru": "rzn", "rnn": "h"}
# Of an alphabet, and of the text that a model is measured on, more must be known than not.
MAX_UNKNOWN = 0.5
Alphabet = Sequence[str | int | None]


class ImportedModel(LanguageModel):
    """A model with another program's weights: `known` are the bytes of its alphabet, and
    `unknown_share` is how much of that alphabet was left out."""

    known: Set[int]
    unknown_share: float


def import_torch(
    embedding: nn.Embedding | None,
    recurrent: nn.LSTM | nn.GRU | nn.RNN,
    decoder: nn.Linear,
    alphabet: Alphabet,
) -> ImportedModel:
    """The model `decoder(recurrent(embedding(x)))` with the same weights, in evaluation mode, over
    the 256 bytes. (A model over characters that UTF-8 writes in several bytes is had by
    `model_from_arrays` and `to_model`, or by its file.)

    Each module must be what torch itself makes of that name, with float weights and nothing that
    may change them or what is computed: no subclass, no hook, no parametrization.

    `alphabet` says, in the order of the indices, what each stands for: a character, the number of a
    byte, or None for what no byte can stand for, which is left out (a special token, a character
    that UTF-8 writes in several bytes). Without an `embedding`, x is one-hot. Of a byte that is not
    in the alphabet nothing is read, and it is given a chance under 1e-13, so that its loss is large
    but finite. A share of the alphabet that is left out is warned of, and refused above a half.

    Raises ForeignModelError, also if it has more layers or units than a model may.
    """
    _check(embedding, recurrent, decoder, alphabet)
    byte_of = _bytes_of(alphabet)
    unknown_share = 1 - len(byte_of) / len(alphabet)
    _judge_unknown(
        unknown_share,
        f"the {len(alphabet)} signs of the alphabet",
        "are left out: the others get the chances that these had",
    )
    vectors = None if embedding is None else _plain_numbers(embedding.weight).numpy()
    weight, bias = _decoder(decoder, byte_of)
    foreign = ForeignModel(
        program="torch",
        cell=CELLS[type(recurrent)],
        layers=tuple(_layers(recurrent, byte_of if embedding is None else None)),
        embedding=None if vectors is None else _over_bytes(vectors, byte_of),
        decoder_weight=weight,
        decoder_bias=bias,
        vocabulary=BYTES,
        reset="after" if type(recurrent) is nn.GRU else None,
    )
    check_model(foreign)
    model = build_model(foreign, ImportedModel, dropout=float(recurrent.dropout))
    model.known, model.unknown_share = frozenset(byte_of.values()), unknown_share
    return model


def save_model(path: Path | str, model: LanguageModel, corpus: Corpus, trained_by: str) -> Metadata:
    """Write a model of another program as a checkpoint: float32, its loss measured on the corpus'
    validation part, which it should not have been trained on; `trained_by` in words. Bytes of that
    part that the model does not know are warned of, and how many they are is saved with it. Raises
    ForeignModelError where the pages could not read it, or more than half are unknown."""
    path = Path(path)
    if path.suffix != ".safetensors":
        raise ForeignModelError(f"A checkpoint is called NAME.safetensors, not {path.name}.")
    tensors = {name: _plain_numbers(tensor) for name, tensor in model.to_tensors().items()}
    for name, tensor in tensors.items():
        if not tensor.isfinite().all():
            raise ForeignModelError(f"The tensor {name} holds values that are not finite.")
    training = {"trained_by": trained_by}
    if isinstance(model, ImportedModel):
        of_text = 1 - float(np.isin(corpus.validation, sorted(model.known)).mean())
        _judge_unknown(
            of_text,
            f"the {len(corpus.validation):,} bytes of the validation part",
            f"are unknown to the model: they are not read, and cost more than {UNKNOWN:.0f} nats "
            "each",
        )
        shares = {"unknown_in_alphabet": model.unknown_share, "unknown_in_text": of_text}
        training |= {name: round(share, 6) for name, share in shares.items() if share}
    loss = evaluate(model, corpus.validation)
    metadata = Metadata(
        model=model.config,
        data=data_of(corpus),
        training=training,
        validation_loss=loss.nats_per_byte,
        validation_bytes=loss.bytes,
    )
    write_checkpoint(path, {name: tensor.numpy() for name, tensor in tensors.items()}, metadata)
    return metadata


# -- What can be taken ----------------------------------------------------------------------------


def _check(embedding, recurrent, decoder, alphabet) -> None:
    _check_plain("recurrent module", recurrent, CELLS)
    if type(recurrent) is nn.RNN and recurrent.mode != "RNN_TANH":
        raise ForeignModelError("A torch.nn.RNN must have the nonlinearity tanh, not relu.")
    if recurrent.bidirectional or recurrent.proj_size:
        raise ForeignModelError("A model here reads in one direction and has no projections.")
    if embedding is not None:
        _check_plain("embedding", embedding, [nn.Embedding])
        if embedding.max_norm is not None:
            raise ForeignModelError("The embedding must be a torch.nn.Embedding without max_norm.")
    _check_plain("decoder", decoder, [nn.Linear])
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
    for name, module in (
        ("embedding", embedding),
        ("recurrent module", recurrent),
        ("decoder", decoder),
    ):
        if module is not None:
            _check_parameters(name, module)


def _check_plain(name: str, module: object, kinds: Iterable[type[nn.Module]]) -> None:
    """That a module is of one of these kinds of torch, and computes what that kind does."""
    kind = type(module)
    if kind not in kinds:
        # A subclass may compute anything, under the same attributes.
        expected = " or ".join(f"torch.nn.{kind.__name__}" for kind in kinds)
        raise ForeignModelError(
            f"The {name} must be a {expected} itself, not a {kind.__module__}.{kind.__qualname__}."
        )
    if module._forward_hooks or module._forward_pre_hooks:
        raise ForeignModelError(
            f"The {name} has hooks, which may change its weights or outputs (weight_norm, "
            "spectral_norm and pruning are such): remove them first."
        )
    replaced = [method for method in vars(module) if callable(getattr(kind, method, None))]
    if replaced:
        raise ForeignModelError(
            f"The {name} has a {replaced[0]} of its own in the place of that of torch."
        )


def _check_parameters(name: str, module: nn.Module) -> None:
    """That it has exactly the parameters of a new module with its settings, of finite numbers."""
    found = {**module._modules, **module._buffers, **module._parameters}
    found = {part: value for part, value in found.items() if value is not None}
    expected = dict(_new_of_same_settings(module).named_parameters())
    for part in [*found, *expected]:
        if part not in expected:
            raise ForeignModelError(f"The {name} has a {part}, which its kind does not have.")
        if part not in found:
            raise ForeignModelError(f"The {name} has no parameter {part}.")
        parameter, shape = found[part], list(expected[part].shape)
        if list(parameter.shape) != shape:
            raise ForeignModelError(
                f"The {part} of the {name} is {list(parameter.shape)}; it should be {shape}."
            )
        # Quantized weights are classes of their own; some torch casts without a word.
        if type(parameter) is not nn.Parameter or not parameter.is_floating_point():
            raise ForeignModelError(f"The {part} of the {name} is not of plain float numbers.")
        if parameter.is_meta:
            raise ForeignModelError(f"The {part} of the {name} has no values yet.")
        if not _plain_numbers(parameter).isfinite().all():
            raise ForeignModelError(f"The {part} of the {name} holds values that are not finite.")


def _new_of_same_settings(module: nn.Module) -> nn.Module:
    """A new module of that kind, without values."""
    if isinstance(module, nn.RNNBase):
        sizes = (module.input_size, module.hidden_size, module.num_layers)
        return type(module)(*sizes, bias=module.bias, device="meta")
    if isinstance(module, nn.Embedding):
        return nn.Embedding(module.num_embeddings, module.embedding_dim, device="meta")
    has_bias = getattr(module, "bias", None) is not None
    return nn.Linear(module.in_features, module.out_features, has_bias, device="meta")


def _judge_unknown(share: float, of_what: str, consequence: str) -> None:
    """Warn that a share of something is unknown; ForeignModelError where it is too much."""
    if share > MAX_UNKNOWN:
        raise ForeignModelError(
            f"Of {of_what} {share:.1%} are unknown to the model, more than a half: it would not be "
            "the model that was trained."
        )
    if share:
        warnings.warn(f"Of {of_what} {share:.1%} {consequence}.", stacklevel=3)


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


def _layers(recurrent: nn.RNNBase, byte_of: dict[int, int] | None) -> Iterator[Layer]:
    """Its layers; the first reads one-hot bytes in the place of indices if `byte_of` is given."""
    cell = CELLS[type(recurrent)]
    for number in range(recurrent.num_layers):
        # What may be missing are biases, all of them.
        of_input, of_state, input_bias, state_bias = (
            None
            if (given := recurrent._parameters.get(f"{name}_l{number}")) is None
            else _plain_numbers(given).numpy()
            for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
        )
        if number == 0 and byte_of is not None:
            of_input = _over_bytes(of_input.T, byte_of).T
        weights = cell_weights(cell, of_input, of_state, input_bias, state_bias, order=ORDER[cell])
        yield Layer(weights)


def _over_bytes(rows: np.ndarray, byte_of: dict[int, int]) -> np.ndarray:
    """The rows of indices [indices, X] as those of bytes [256, X], 0 of unknown ones."""
    found = np.zeros((ALPHABET, rows.shape[1]), np.float32)
    found[list(byte_of.values())] = rows[list(byte_of)]
    return found


def _decoder(decoder: nn.Linear, byte_of: dict[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """The decoder's weight [256, U] and bias [256] with a row for every byte; an unknown one lies
    far under the mean of the others, whatever they are."""
    weight = _plain_numbers(decoder.weight)[list(byte_of)].numpy()
    bias = np.zeros(len(weight), np.float32)
    if decoder.bias is not None:
        bias = _plain_numbers(decoder.bias)[list(byte_of)].numpy()
    known = list(byte_of.values())
    weights = np.repeat(weight.mean(0, keepdims=True), ALPHABET, 0)
    biases = np.full(ALPHABET, bias.mean() - UNKNOWN, np.float32)
    weights[known], biases[known] = weight, bias
    return weights, biases
