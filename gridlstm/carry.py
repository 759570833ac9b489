"""Which units follow the carry while a model adds."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch

from gridlstm.addition import MAX_BYTES_MEASURED, Layout, Sums, add
from gridlstm.analysis.ranking import rank_units
from gridlstm.array_types import FloatArray, IntArray
from gridlstm.backends.plan import Shape
from gridlstm.evaluation import MAX_VALUES_AT_ONCE, SAMPLES_AT_ONCE
from gridlstm.model import LanguageModel
from gridlstm.progress import Progress

# Pairs of numbers that are read; every one has as many places as its numbers have digits.
SAMPLES = 300


def rank_by_carry(
    model: LanguageModel,
    layout: Layout,
    train_fraction: float,
    samples: int = SAMPLES,
    progress: Progress | None = None,
) -> pd.DataFrame:
    """`rank_units` of the model's memories by whether 1 is carried into the digit that is answered.

    On pairs of numbers that the model was not trained on, `samples` or as many as have
    `MAX_BYTES_MEASURED` together, at the positions where it answers the sum's digits, but the
    first, which is the carry itself, and the last, which has none. For numbers of one digit there
    is nothing in between, so there the first is taken. `progress` is told the share done and may
    raise `Cancelled`. Raises AdditionError where no pairs are left to validate on.
    """
    samples = layout.samples_within(samples, MAX_BYTES_MEASURED)
    operands = Sums(layout, train_fraction).validation(samples)
    inputs, _ = layout.lay_out(operands)
    _, carries = add(operands)
    places = slice(1, layout.digits) if layout.digits > 1 else slice(0, 2)
    at = np.arange(layout.length - layout.answered, layout.length)[places]
    cells = [memory.cell for memory in model.config.form.memories]
    asked = list(dict.fromkeys(cells or model.config.form.state.values()))
    observer = _Observer(model.config.layers, inputs.size, at, asked, progress)
    marks = []
    with torch.inference_mode():
        for first in range(0, inputs.shape[1], SAMPLES_AT_ONCE):
            here = slice(first, first + SAMPLES_AT_ONCE)
            _read_in_pieces(model, inputs[:, here], observer)
            marks.append(carries[here].T[places].flatten())
    return rank_units(observer.values(), np.concatenate(marks))


def _read_in_pieces(model: LanguageModel, tokens: IntArray, observer: "_Observer") -> None:
    """Read samples [position, sample] side by side from the model's beginning, observed."""
    length, samples = tokens.shape
    state = model.start(samples)
    piece = max(1, MAX_VALUES_AT_ONCE // (samples * model.config.values_a_layer))
    reader = model.recurrent.reader(Shape(min(piece, length), samples, length))
    for observer.start in range(0, length, piece):
        inputs = torch.from_numpy(tokens[observer.start : observer.start + piece])
        embedded = model.embedding(inputs.to(model.decoder.weight.device))
        _, state = reader(embedded, state, observer)


@dataclass
class _Observer:
    """Keeps what the layers do at the positions `at`, as float16, of the quantities `asked` for.

    `start` is the position at which a piece begins; `total` counts the bytes of all samples, for
    the share done.
    """

    layers: int
    total: int
    at: IntArray
    asked: list[str]
    progress: Progress | None
    start: int = 0
    done: int = 0

    def __post_init__(self) -> None:
        self._parts: dict[str, list[list[torch.Tensor]]] = {
            name: [[] for _ in range(self.layers)] for name in self.asked
        }

    def __call__(self, layer: int, start: int, values: dict[str, torch.Tensor]) -> None:
        """Of `values` [position, sample, unit] by quantity."""
        first = self.start + start
        for name, of_layers in self._parts.items():
            of_piece = values[name]
            here = self.at[(first <= self.at) & (self.at < first + len(of_piece))] - first
            of_layers[layer].append(of_piece[here].flatten(0, 1).half().cpu())
        positions, samples, _ = of_piece.shape
        self.done += positions * samples
        if self.progress is not None:
            self.progress(self.done / (self.total * self.layers))

    def values(self) -> dict[str, FloatArray]:
        """[layer, position and sample, unit] by quantity."""
        return {
            name: torch.stack([torch.cat(of_layer) for of_layer in of_layers]).numpy()
            for name, of_layers in self._parts.items()
        }
