"""How far back a model remembers: begun in the middle of a text from a blank state, after how many
positions it is back at the values of an uninterrupted reading.

Where it is not after thousands, no warm-up of a few hundred stands for the text before. What is
seen is at a few places of one text; between them differences may be greater.
"""

from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from gridlstm.array_types import IntArray
from gridlstm.backends.plan import Shape
from gridlstm.cells.arithmetic import State
from gridlstm.errors import UserError
from gridlstm.model import LanguageModel
from gridlstm.progress import Progress

AFTER = 512, 1024, 2048
PLACES = 8
# Positions that are read in one call.
AT_ONCE = 512


class HorizonError(UserError):
    """A text that is too short; the message is one sentence for the user."""


def memory_horizon(
    model: LanguageModel,
    tokens: IntArray,
    after: Sequence[int] = AFTER,
    places: int = PLACES,
    progress: Progress | None = None,
) -> pd.DataFrame:
    """The greatest difference between a memory in a reading of `tokens` [position] that begins at
    one of some places from the blank state, and in an uninterrupted one.

    The places lie evenly over the text, the first where half of it would be missed at least: a row
    a layer (from 1), a column for each number of positions `after` the beginning. The memory is the
    cell along time, or where a model has none, its state. Raises HorizonError.
    """
    longest = max(after)
    if len(tokens) < 2 * longest:
        raise HorizonError(
            f"The text has {len(tokens):,} positions; it takes {2 * longest:,}, to begin in its "
            f"middle and read {longest:,}."
        )
    last = len(tokens) - longest
    starts: IntArray = np.linspace(min(longest, last), last, places).astype(np.int64)
    total, read = int(starts.max()) + 2 * longest, 0

    def tell(positions: int) -> None:
        nonlocal read
        read += positions
        if progress is not None:
            progress(min(1.0, read / total))

    counts: IntArray = np.asarray(after, np.int64)
    whole: IntArray = np.unique(starts[:, None] + counts)
    uninterrupted = _memories(model, tokens, np.zeros(1, np.int64), whole, tell)
    begun = _memories(model, tokens, starts, counts, tell)
    columns = {}
    for n, count in enumerate(after):
        at = np.searchsorted(whole, starts + count)
        of_places = torch.cat([uninterrupted[index] for index in at], 1)
        columns[f"after_{count}"] = (begun[n] - of_places).abs().amax((1, 2)).cpu().numpy()
    layers = np.arange(1, model.config.layers + 1)
    return pd.DataFrame({"layer": layers, **columns})


@torch.no_grad()
def _memories(
    model: LanguageModel,
    tokens: IntArray,
    starts: IntArray,
    after: IntArray,
    tell: Callable[[int], None],
) -> list[Tensor]:
    """The memory [L, start, U] after so many positions, in rising order, of readings that begin at
    `starts` from the blank state."""
    names = list(model.config.form.state.values())
    memory = model.config.memory("time")
    kept = names.index(memory.cell) if memory is not None and memory.cell in names else 0
    reader = model.recurrent.reader(Shape(AT_ONCE, len(starts), int(after.max())))
    state: State = model.start(len(starts))
    found, read = [], 0
    for stop in after.tolist():
        while read < stop:
            upto = min(read + AT_ONCE, stop)
            at = torch.from_numpy(tokens[starts + np.arange(read, upto)[:, None]].astype(np.int64))
            _, state = reader(model.embedding(at.to(model.decoder.weight.device)), state)
            tell(upto - read)
            read = upto
        found.append(state[kept].clone())
    return found
