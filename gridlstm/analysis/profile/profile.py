"""A profile: what each unit of a model did over a corpus. Nothing here knows torch.

Shapes: Q quantities, L layers, U units; M memories (the quantities of `ModelConfig.cells`), K
contexts, S sampled positions, P properties. Layers are indices from 0 here.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from gridlstm.array_types import BoolArray, Float32Array, FloatArray, IntArray
from gridlstm.errors import UserError

HISTOGRAM_BINS = 32
# Of each unit: its highest and lowest places, and one of each tenth of its range.
HIGHEST, TENTHS = 4, 10
CONTEXTS = 2 * HIGHEST + TENTHS
BEFORE, AFTER = 60, 20
WINDOW = BEFORE + 1 + AFTER
# Values from -1 to 1 are kept in a byte; this one says that there is none.
STEPS, NO_VALUE = 127, -128
NO_CONTEXT = -1


class ProfileError(UserError):
    """A profile that cannot be made or read; the message is one sentence for the user."""


@dataclass(frozen=True)
class About:
    """What a profile is of. `weights` is the model's checksum, `corpus` that of the tokens."""

    weights: str
    corpus: str
    title: str
    positions: int
    stretches: int
    quantities: tuple[str, ...]
    memories: tuple[str, ...]
    properties: tuple[str, ...]
    # The sign and the strength of numbers are correlations, those of marks AUCs.
    measures: tuple[str, ...]
    half_life_of: str


@dataclass(frozen=True)
class Profile:
    """`histogram` float32 [Q, L, U, 32]: the share of positions in each of 32 equal steps from 0 to
    1 of gates, -1 to 1 of all else (memories as tanh). `above` and `below` float32 [Q, L, U]:
    shares above 0.9 and below 0.1 of gates, beyond 0.5 and -0.5 of all else.

    `contexts` int32 [M, L, U, K]: positions, the highest 4, the lowest 4 and one of each tenth;
    -1 where there is none. `coloured` int8 [M, L, U, K, 81]: values round them times 127.
    `sampled` int32 [S] are positions drawn evenly, `samples` int8 [M, L, U, S] the values there.
    `found` and `held_out` float32 [M, L, U, P]: AUC or correlation with each property on the first
    half of the stretches and on the second; `chance` [P]: the 95 % quantile of its strength for
    shifted properties. `half_life` int32 [L, U], negative where it is longer than that; 0 of a
    model without such a memory. `shares` float32 [L, U, L]: the mean share of each layer in the
    depth memory, NaN without one. `ends` bool [position], `text` the characters that are read.
    """

    about: About
    histogram: Float32Array
    above: Float32Array
    below: Float32Array
    contexts: IntArray
    coloured: IntArray
    sampled: IntArray
    samples: IntArray
    found: Float32Array
    held_out: Float32Array
    chance: Float32Array
    half_life: IntArray
    shares: Float32Array
    ends: BoolArray
    text: str

    @property
    def layers(self) -> int:
        return int(self.histogram.shape[1])

    @property
    def units(self) -> int:
        return int(self.histogram.shape[2])

    @cached_property
    def character_of(self) -> IntArray:
        """The character that each position belongs to: int64 [position]."""
        ends = self.ends.astype(np.int64)
        character: IntArray = np.cumsum(ends) - ends
        return character

    def context(self, memory: int, layer: int, unit: int, number: int) -> "Context | None":
        """One context of a unit, in characters; None where there is none."""
        position = int(self.contexts[memory, layer, unit, number])
        if position == NO_CONTEXT:
            return None
        quantised = self.coloured[memory, layer, unit, number]
        at = position - BEFORE + np.arange(WINDOW)
        known = (quantised != NO_VALUE) & (at >= 0) & (at < len(self.ends))
        at, quantised = at[known], quantised[known]
        ending = self.ends[at]
        characters = self.character_of[at[ending]]
        if not len(characters):
            return None
        first = int(characters[0])
        centre = int(self.character_of[position]) - first
        text = self.text[first : int(characters[-1]) + 1]
        values = quantised[ending].astype(np.float32) / STEPS
        return Context(text, values, centre, position)


@dataclass(frozen=True)
class Context:
    """A place in the corpus: its characters, a value for each, and which of them it is."""

    text: str
    values: Float32Array
    centre: int
    position: int


def strength(scores: FloatArray, measures: tuple[str, ...]) -> FloatArray:
    """How well each property is followed [..., P], up or down: AUCs turned above 0.5, correlations
    without their sign."""
    is_mark = np.array([measure == "auc" for measure in measures])
    strong: FloatArray = np.where(is_mark, np.maximum(scores, 1 - scores), np.abs(scores))
    return strong
