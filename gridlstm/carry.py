"""Which units follow the carry while a model adds."""

import numpy as np
import pandas as pd
import torch

from gridlstm.addition import Layout, Sums, add
from gridlstm.analysis.ranking import rank_units
from gridlstm.backends.plan import Shape
from gridlstm.model import LanguageModel

# Pairs of numbers that are read; every one has as many places as its numbers have digits.
SAMPLES = 300


def rank_by_carry(
    model: LanguageModel, layout: Layout, train_fraction: float, samples: int = SAMPLES
) -> pd.DataFrame:
    """`rank_units` of the model's memories by whether 1 is carried into the digit that is answered.

    On pairs of numbers that the model was not trained on, at the positions where it answers the
    sum's digits, but the first, which is the carry itself, and the last, which has none. For
    numbers of one digit there is nothing in between, so there the first is taken. Raises
    AdditionError where no pairs are left to validate on.
    """
    operands = Sums(layout, train_fraction).validation(samples)
    read, _ = layout.lay_out(operands)
    _, carries = add(operands)
    places = slice(1, layout.digits) if layout.digits > 1 else slice(0, 2)
    at = np.arange(layout.length - layout.answered, layout.length)[places]
    cells = [memory.cell for memory in model.config.form.memories]
    asked = dict.fromkeys(cells or model.config.form.state.values())
    with torch.inference_mode():
        inputs = torch.from_numpy(read).to(model.decoder.weight.device)
        embedded = model.embedding(inputs)
        parts = {name: [[] for _ in range(model.config.layers)] for name in asked}

        def keep(layer: int, start: int, values: dict[str, torch.Tensor]) -> None:
            """Of the asked quantities [position x pair, unit]."""
            for name, of_layers in parts.items():
                here = at[(start <= at) & (at < start + len(values[name]))] - start
                of_layers[layer].append(values[name][here].flatten(0, 1).half().cpu())

        positions, sequences = inputs.shape
        reader = model.recurrent.reader(Shape(positions, sequences, positions))
        reader(embedded, model.start(sequences), keep)
    values = {
        name: torch.stack([torch.cat(of_layer) for of_layer in of_layers]).numpy()
        for name, of_layers in parts.items()
    }
    return rank_units(values, carries.T[places].flatten())
