"""What a reader makes of another program's files: its weights, in our order, and what is known."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np

from gridlstm.architectures import ARCHITECTURES
from gridlstm.array_types import FloatArray, IntArray
from gridlstm.config import MAX_LAYERS, MAX_UNITS, MAX_VOCABULARY
from gridlstm.importing.errors import ForeignModelError
from gridlstm.vocabulary import Vocabulary

# Blocks of rows in a weight, in this order.
ROWS = {"lstm": "ifog", "grid": "ifog", "gru": "rzn", "rnn": "h"}
# sigmoid(x), clip(x / 5 + 0.5, 0, 1) and clip(x / 6 + 0.5, 0, 1).
GATE_ACTIVATIONS = ARCHITECTURES["stacked"].options["gates"]


@dataclass(frozen=True, eq=False)
class CellWeights:
    """The weights of one cell along one dimension, float32.

    `weight` [rows * U, U + D], its columns [h ; input], its blocks of rows those of `ROWS`; `bias`
    [rows * U]. `candidate_bias` [U] is a GRU's that resets after the product: it is added to the
    product with h, within the reset.
    """

    weight: FloatArray
    bias: FloatArray
    candidate_bias: FloatArray | None = None

    @property
    def arrays(self) -> tuple[FloatArray, ...]:
        found = (self.weight, self.bias, self.candidate_bias)
        return tuple(array for array in found if array is not None)


@dataclass(frozen=True, eq=False)
class Layer:
    """`depth` is a Grid LSTM's alone; layers that share weights have the same object."""

    time: CellWeights
    depth: CellWeights | None = None


@dataclass(frozen=True, eq=False)
class LossHistory:
    """Losses of the training, in nats per token, as the file has them; updates count from 1."""

    validation_updates: IntArray
    validation_loss: FloatArray
    train_updates: IntArray
    train_loss: FloatArray

    def to_csv(self) -> str:
        """The losses as a table with a row an update, which the page Curves reads."""
        train = dict(zip(self.train_updates.tolist(), self.train_loss.tolist(), strict=True))
        validation = dict(
            zip(self.validation_updates.tolist(), self.validation_loss.tolist(), strict=True)
        )
        lines = ["update,train_loss,val_loss"]
        for update in sorted(train.keys() | validation.keys()):
            cells = (f"{of[update]:.7g}" if update in of else "" for of in (train, validation))
            lines.append(f"{update:.0f},{','.join(cells)}")
        return "\n".join(lines) + "\n"


@dataclass(frozen=True)
class Question:
    """Something that the files do not say. `key` is what `read_model` takes the answer by; what was
    read took `default`, one of `choices`. The `vocabulary` has no choices: it is a file or a text.
    """

    key: str
    text: str
    choices: tuple[str, ...] = ()
    default: str | None = None


@dataclass(frozen=True, eq=False)
class ForeignModel:
    """A recurrent model over V tokens with U units a layer, as another program trained it.

    `cell` is one of `ROWS`. An LSTM: c' = f c + i g, h' = o tanh(c'). A GRU: h' = z h + (1 - z) n,
    where n = tanh(input part + r (W h + candidate_bias)) with `reset` "after" and tanh(input part +
    W (r h)) with "before". A plain RNN: h' = tanh. A grid: the depth cell reads [new time h ; what
    is below], its memory starting from 0. `gates` is what i, f, o, r and z go through.

    `embedding` [V, E], None where the input is one-hot; `decoder_weight` [V, U], `decoder_bias`
    [V]. `window` is how many characters the program gave the model at a time, from a zero state, if
    it was trained so; it is read as a stream all the same. `notes` are sentences for the user: what
    was folded, added or left out.
    """

    program: str
    cell: str
    layers: tuple[Layer, ...]
    embedding: FloatArray | None
    decoder_weight: FloatArray
    decoder_bias: FloatArray
    vocabulary: Vocabulary | None = None
    gates: str = "sigmoid"
    reset: str | None = None
    window: int | None = None
    curve: LossHistory | None = None
    notes: tuple[str, ...] = ()
    questions: tuple[Question, ...] = ()

    @property
    def units(self) -> int:
        units: int = self.decoder_weight.shape[1]
        return units

    @property
    def vocabulary_size(self) -> int:
        return len(self.decoder_weight)

    @property
    def input_width(self) -> int:
        """How many numbers the first layer reads: E, or V where the input is one-hot."""
        return self.vocabulary_size if self.embedding is None else self.embedding.shape[1]

    @property
    def tie(self) -> str | None:
        """Which weights a grid's layers share: none, depth or all; None for other cells."""
        if self.cell != "grid":
            return None
        shared = [len({id(part(layer)) for layer in self.layers}) == 1 for part in _PARTS]
        if len(self.layers) == 1 or not shared[1]:
            return "none"
        return "all" if shared[0] else "depth"

    @property
    def arrays(self) -> dict[int, FloatArray]:
        """Every array once, by its identity."""
        return {id(array): array for array in self._arrays()}

    def _arrays(self) -> Iterator[FloatArray]:
        yield from (self.decoder_weight, self.decoder_bias)
        if self.embedding is not None:
            yield self.embedding
        for layer in self.layers:
            for part in _PARTS:
                if (cell := part(layer)) is not None:
                    yield from cell.arrays

    def with_vocabulary(self, vocabulary: Vocabulary) -> "ForeignModel":
        """The same with a vocabulary of as many tokens; the question for it is answered."""
        left = tuple(question for question in self.questions if question.key != "vocabulary")
        return replace(self, vocabulary=vocabulary, questions=left)

    def with_note(self, *notes: str) -> "ForeignModel":
        """The same with more sentences for the user."""
        return replace(self, notes=(*self.notes, *notes))


_PARTS: tuple[Callable[[Layer], CellWeights | None], ...] = (
    lambda layer: layer.time,
    lambda layer: layer.depth,
)


def check_model(model: ForeignModel) -> ForeignModel:
    """The model itself, once its shapes fit each other and its numbers are finite. Raises
    ForeignModelError."""
    check_sizes(model.cell, len(model.layers), model.units, model.vocabulary_size)
    width = model.input_width
    for number, layer in enumerate(model.layers, 1):
        cells = [layer.time]
        if model.cell == "grid":
            assert layer.depth is not None
            cells.append(layer.depth)
        for cell in cells:
            _check_cell(model, cell, number, width)
        width = model.units
    if model.embedding is not None and len(model.embedding) != model.vocabulary_size:
        raise ForeignModelError(
            f"The embedding knows {len(model.embedding):,} tokens and the decoder "
            f"{model.vocabulary_size:,}: a model here predicts what it reads."
        )
    if model.decoder_bias.shape != (model.vocabulary_size,):
        raise ForeignModelError("The decoder's bias does not have the decoder's length.")
    for array in model.arrays.values():
        if not np.isfinite(array).all():
            raise ForeignModelError("Some of the weights are not finite numbers.")
    return model


def check_sizes(cell: str, layers: int, units: int, tokens: int) -> None:
    """Raises ForeignModelError if a model may not be of these sizes."""
    for what, size, most in (
        ("layers", layers, MAX_LAYERS),
        ("units", units, MAX_UNITS),
        ("tokens", tokens, MAX_VOCABULARY),
    ):
        if not 1 <= size <= most:
            raise ForeignModelError(
                f"The model has {size:,} {what}; there may be from 1 to {most:,}."
            )


def _check_cell(model: ForeignModel, cell: CellWeights, number: int, width: int) -> None:
    rows = len(ROWS[model.cell]) * model.units
    expected = (rows, model.units + width)
    if cell.weight.shape != expected:
        raise ForeignModelError(
            f"Layer {number} has weights of {_shape(cell.weight)}; after {width:,} inputs and with "
            f"{model.units:,} units they would be {expected[0]:,} x {expected[1]:,}."
        )
    if cell.bias.shape != (rows,):
        raise ForeignModelError(f"Layer {number} has a bias of {_shape(cell.bias)}, not {rows:,}.")
    own = cell.candidate_bias is not None
    if own != (model.cell == "gru" and model.reset == "after"):
        raise ForeignModelError(f"Layer {number} has biases that do not belong to its cell.")


def _shape(array: FloatArray) -> str:
    return " x ".join(f"{size:,}" for size in array.shape) or "a single number"
