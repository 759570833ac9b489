"""Which units follow the carry while a model adds."""

import numpy as np
import pandas as pd
import torch

from gridlstm.addition import Layout, Sums, add
from gridlstm.analysis.ranking import rank_units
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
        layers = []

        def keep(layer: int, values: dict[str, torch.Tensor]) -> None:
            """Of the asked quantities [position x pair, unit]."""
            layers.append({name: values[name][at].flatten(0, 1).half().cpu() for name in asked})

        model.recurrent.reader()(embedded, model.start(inputs.shape[1]), keep)
    values = {name: torch.stack([of[name] for of in layers]).numpy() for name in asked}
    return rank_units(values, carries.T[places].flatten())
