"""Is it written low and carried up? A property followed along a direction through a depth memory.

The direction is found in the top layer's depth memory on one part of a text; all that is said of
it is measured on the other. There the memory along it is taken apart by who wrote it, and what the
lowest layers wrote is followed to the top, where it is taken out to see what the model loses.

Of what is along a direction only what sets the inside of a property apart from the outside says
something of it: the contrast, a mean inside less a mean outside.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch

from gridlstm.analysis.bootstrap import MIN_PLACES, draws
from gridlstm.analysis.chunks import chunks
from gridlstm.analysis.depth_provenance import direction_shares
from gridlstm.analysis.directions import found_by_property, judge_directions
from gridlstm.analysis.held_out import Part, Split, split_text
from gridlstm.analysis.provenance import ProvenanceError, carried
from gridlstm.analysis.ranking import auc
from gridlstm.array_types import (
    BoolArray,
    Float32Array,
    Float64Array,
    FloatArray,
    IntArray,
    NumberArray,
    are_marks,
)
from gridlstm.clamps import FOLLOWED
from gridlstm.config import ModelConfig
from gridlstm.direction import Direction, random_directions
from gridlstm.model import LanguageModel
from gridlstm.progress import Progress
from gridlstm.trace import trace
from gridlstm.vocabulary import EncodedText

RESAMPLES = 1000
RANDOM_DIRECTIONS = 20
# The share of the time that it takes to find and judge the direction.
FINDING_SHARE = 0.5
QUANTITIES = (FOLLOWED.cell, FOLLOWED.keep, "depth.input", "depth.candidate", "depth.output")


@dataclass(frozen=True)
class Figure:
    """A figure with its 95 % interval over the property's spans; NaN where these are fewer than
    five."""

    value: float
    low: float
    high: float

    @classmethod
    def of(cls, resampled: Float64Array) -> "Figure":
        """From the figure itself and then, if there are any, what it is in each resample."""
        if len(resampled) == 1:
            return cls(float(resampled[0]), np.nan, np.nan)
        low, high = np.quantile(resampled[1:], (0.025, 0.975))
        return cls(float(resampled[0]), float(low), float(high))

    def __str__(self) -> str:
        if np.isnan(self.low):
            return f"{self.value:.2f}"
        return f"{self.value:.2f} ({self.low:.2f} to {self.high:.2f})"


@dataclass(frozen=True)
class CarriedUp:
    """What became of a property's direction, on the part of the text that it was not found on.

    `lowest` layers, from the first, count as low. `judged` is the direction's row of
    `judge_directions`. `layers` has a row a layer: layer (from 1), written (its part of the
    contrast in the top memory, of which all layers' add up to 1), low and high (its interval).
    `written_low` is that of the lowest layers together, `survived` how much of what these wrote is
    still there at the top (the least-squares slope over the characters inside, from the mean
    outside: 1 is all, 0 nothing), `random_survived` float64 [direction] the same of random
    directions. `auc_low` and `auc_high`: how well what the lowest layers wrote, as it arrives, and
    what all others wrote, follows the property alone.

    `losses` has a row for each thing taken out of the top memory: kind (`direction`, what the
    lowest layers wrote along it; `random`, what they wrote along a random one; `moved`, as much as
    for `direction`, along a random one; `whole`, all that is along the direction, whoever wrote it;
    `random whole`, the same of a random one), change_inside and change_outside, how much the mean
    loss rises in nats per character. `rise` is that of the direction inside, with its interval.
    """

    direction: Direction
    lowest: int
    split: Split
    judged: pd.Series
    layers: pd.DataFrame
    written_low: Figure
    survived: Figure
    random_survived: Float64Array
    auc_low: float
    auc_high: float
    losses: pd.DataFrame
    rise: Figure

    @property
    def is_written_low(self) -> bool:
        """Whether the lowest layers wrote most of it, for sure within the interval."""
        return self.written_low.value > 0.5 and not self.written_low.low <= 0.5

    @property
    def is_carried(self) -> bool:
        """Whether more than half of what they wrote arrives, and more than along nearly all random
        directions."""
        beyond_chance = self.survived.value > np.quantile(self.random_survived, 0.95)
        return bool(self.survived.value > 0.5 and beyond_chance)

    @property
    def is_used(self) -> bool:
        """Whether taking it out costs more inside than any of the random ones does, for sure within
        the interval."""
        return self.rise.value > self.random_rise and not self.rise.low <= 0

    @property
    def random_rise(self) -> float:
        """The most that any of the random ones costs inside."""
        return float(self.rises("random", "moved").max())

    def rises(self, *kinds: str) -> "pd.Series[float]":
        """How much the loss inside rises with what is of these kinds taken out."""
        return self.losses.loc[self.losses["kind"].isin(kinds), "change_inside"]

    @property
    def holds(self) -> bool:
        """Whether the property is written low, carried up and used."""
        return self.is_written_low and self.is_carried and self.is_used


def carried_up(
    model: LanguageModel,
    text: EncodedText,
    target: NumberArray,
    *,
    source: str = "probe",
    name: str = "",
    lowest: int | None = None,
    random: int = RANDOM_DIRECTIONS,
    seed: int = 1,
    values: Mapping[str, FloatArray] | None = None,
    progress: Progress | None = None,
) -> CarriedUp:
    """Follow a property through the depth memory of a Grid LSTM.

    `target` is bool or numbers [character]; a number is read as a mark, above its median. `source`
    is one of `directions.SOURCES`; `lowest` counts the layers that are low, a third unless given.
    `values` are those of a trace that holds QUANTITIES, which is made unless given. Raises
    ProvenanceError if the model has no such memory or the layers are too few, errors of
    `find_cells` and of `found_by_property`.
    """
    config = model.config
    lowest = max(1, config.layers // 3) if lowest is None else lowest
    check_followed(config, lowest)
    read = ~text.skipped
    marks, positions = marks_of(np.asarray(target)[read]), text.last_token[read]
    split = split_text(marks)
    if values is None:
        values = trace(model, text, QUANTITIES, dtype=np.float32).values
    direction = found_by_property(
        values, marks, positions, FOLLOWED.cell, config.layers, source, name=name
    )
    judged = judge_directions(values, [direction], marks, positions).iloc[0]
    here = _Here.of(values, marks, positions, split.held_out)
    if progress:
        progress(FINDING_SHARE)
    others = random_directions(direction, random, seed)
    vectors = np.stack([each.vector for each in (direction, *others)], axis=1).astype(np.float32)
    written, arrived = low_part(here.values, vectors, lowest)
    shares = direction_shares(here.values, direction)[:, here.at]
    # What was taken out counts from where it is read: at the position before a character's own.
    cases = _all_taken_out(random)
    losses = _losses(model, text, here, vectors, arrived, cases, progress)
    changes = losses[:, 1:] - losses[:, :1]
    own_written, own_arrived = written[here.at], arrived[here.at]
    survived = [here.survival(*pair) for pair in zip(own_written.T, own_arrived.T, strict=True)]
    low, whole = shares[:lowest].sum(axis=0), shares.sum(axis=0)
    sign = int(judged["sign"])
    return CarriedUp(
        direction,
        lowest,
        split,
        judged,
        _layers(here, shares),
        Figure.of(here.part(low, whole)),
        Figure.of(survived[0]),
        np.array([of_random[0] for of_random in survived[1:]]),
        _auc(low, here.marks, sign),
        _auc(whole - low, here.marks, sign),
        _loss_frame(here, changes, cases),
        Figure.of(here.inside(changes[:, 0])),
    )


def check_followed(config: ModelConfig, lowest: int = 1) -> None:
    """Raise ProvenanceError unless a model has a memory to follow, and more layers than so many."""
    if config.architecture != "grid" or config.memory("depth") != FOLLOWED:
        raise ProvenanceError(
            f"The {config.form.title} carries no memory up through its layers as a Grid LSTM does."
        )
    if config.layers == 1:
        raise ProvenanceError("The model has one layer, so nothing is carried up.")
    if not 1 <= lowest < config.layers:
        raise ProvenanceError(
            f"Of {config.layers} layers the lowest 1 to {config.layers - 1} can count as low, "
            f"not {lowest}."
        )


def marks_of(target: NumberArray) -> BoolArray:
    """Marks as they are; of a number, where it is above its median."""
    if are_marks(target):
        return target
    above: BoolArray = target > np.median(target)
    return above


def low_part(
    values: Mapping[str, FloatArray], vectors: Float32Array, lowest: int
) -> tuple[Float32Array, Float32Array]:
    """What the `lowest` layers wrote along many directions of the top memory, `vectors` [unit,
    direction]: as they wrote it, and what of it arrives there; float32 [position, direction]."""
    parts = carried(values, FOLLOWED)
    layers, positions, units = parts.keep.shape
    found = np.zeros((2, positions, vectors.shape[1]), np.float32)
    for part in chunks(positions, 2 * layers * units):
        left = np.zeros((part.stop - part.start, units), np.float32)
        for layer in range(layers):
            left *= parts.kept((layer, part))
            if layer < lowest:
                written = parts.written((layer, part))
                left += written
                found[0, part] += written @ vectors
        found[1, part] = left @ vectors
    return found[0], found[1]


@dataclass(frozen=True)
class _Here:
    """The part of the text that is judged: `values` of its positions, `marks` [character], `at` the
    position among these that stands for each character, `span` the property's span of each, -1
    outside, and `start` its first position in the text and `characters` its place in it. `weights`
    [1 + resample, span]: how often each span counts, once at first."""

    values: dict[str, FloatArray]
    marks: BoolArray
    at: IntArray
    span: IntArray
    start: int
    characters: slice
    weights: Float64Array

    @classmethod
    def of(
        cls, values: Mapping[str, FloatArray], marks: BoolArray, positions: IntArray, part: Part
    ) -> "_Here":
        own, at = marks[part.slice], positions[part.slice]
        # The position before tells what the first character's first token is.
        start = max(0, int(at[0]) - 1)
        here = {name: whole[:, start : int(at[-1]) + 1] for name, whole in values.items()}
        begins = own & ~np.append(False, own[:-1])
        span = np.where(own, np.cumsum(begins) - 1, -1)
        spans = int(np.count_nonzero(begins))
        weights = np.ones((1, spans))
        if spans >= MIN_PLACES:
            weights = np.vstack((weights, draws(spans, RESAMPLES, seed=1)))
        return cls(here, own, at - start, span, start, part.slice, weights)

    def inside(self, values: FloatArray) -> Float64Array:
        """The mean over the characters inside where there is a value, not NaN; then the same in
        each resample of the spans: float64 [1 + resample]."""
        known = self.marks & np.isfinite(values)
        spans = len(self.weights[0])
        sums = np.bincount(self.span[known], values[known], spans)
        counts = np.bincount(self.span[known], minlength=spans)
        means: Float64Array = (self.weights @ sums) / (self.weights @ counts)
        return means

    def outside(self, values: FloatArray) -> float:
        return float(np.nanmean(values[~self.marks], dtype=np.float64))

    def part(self, values: FloatArray, whole: FloatArray) -> Float64Array:
        """How much of the contrast of `whole` is that of `values`: [1 + resample]."""
        contrasts = [self.inside(each) - self.outside(each) for each in (values, whole)]
        return contrasts[0] / contrasts[1]

    def survival(self, written: FloatArray, arrived: FloatArray) -> Float64Array:
        """The slope of what arrives by what was written, inside, both from their mean outside:
        [1 + resample]."""
        sent = written - self.outside(written)
        left = arrived - self.outside(arrived)
        return self.inside(sent * left) / self.inside(sent * sent)


def _layers(here: _Here, shares: Float32Array) -> pd.DataFrame:
    """The `layers` of `CarriedUp` from the shares [layer, character]."""
    whole = shares.sum(axis=0)
    figures = [Figure.of(here.part(share, whole)) for share in shares]
    return pd.DataFrame(
        {
            "layer": np.arange(1, len(shares) + 1),
            "written": [figure.value for figure in figures],
            "low": [figure.low for figure in figures],
            "high": [figure.high for figure in figures],
        }
    )


def _auc(values: FloatArray, marks: BoolArray, sign: int) -> float:
    return float(auc((sign * values)[:, None], marks)[0])


@dataclass(frozen=True)
class _TakenOut:
    """What is taken out of the top memory: as much as is along one of the vectors, by its number,
    of what the lowest layers wrote or, if `whole`, of all; and along which vector."""

    kind: str
    whole: bool
    amount: int
    along: int


def _all_taken_out(random: int) -> list[_TakenOut]:
    """What is taken out, each alone; vector 0 is the direction's, the others are random."""
    others = range(1, random + 1)
    return [
        _TakenOut("direction", False, 0, 0),
        *(_TakenOut("random", False, n, n) for n in others),
        *(_TakenOut("moved", False, 0, n) for n in others),
        _TakenOut("whole", True, 0, 0),
        *(_TakenOut("random whole", True, n, n) for n in others),
    ]


@torch.inference_mode()
def _losses(
    model: LanguageModel,
    text: EncodedText,
    here: _Here,
    vectors: Float32Array,
    arrived: Float32Array,
    cases: Sequence[_TakenOut],
    progress: Progress | None,
) -> Float32Array:
    """Nats spent on each character of the part, float32 [character, 1 + case]: as the model is, and
    with each of the cases taken out; `vectors` [unit, direction] and what of them `arrived` from
    the lowest layers [position, direction].

    The same as with `RemovedShare` and `HeldDirection` clamps (tested): in a Grid LSTM nothing but
    the decoder reads the top layer's depth memory, so that no layer need be read again.
    """
    unit_length = torch.from_numpy(vectors / (vectors**2).sum(axis=0))
    top, shown = (here.values[name][-1] for name in (FOLLOWED.cell, "depth.output"))
    coming = torch.tensor(text.tokens[here.start + 1 : here.start + len(top)])
    per_token = np.full((len(text.tokens), 1 + len(cases)), np.nan, np.float32)
    for part in chunks(len(coming), 4 * top.shape[1]):
        cell, output = (torch.tensor(v[part], dtype=torch.float32) for v in (top, shown))
        amounts = torch.from_numpy(arrived[part]), cell @ torch.from_numpy(vectors)
        rows = slice(here.start + 1 + part.start, here.start + 1 + part.stop)

        def loss(
            memory: torch.Tensor, part: slice = part, output: torch.Tensor = output
        ) -> FloatArray:
            logits = model.decoder(output * torch.tanh(memory))
            of_coming = torch.nn.functional.cross_entropy(logits, coming[part], reduction="none")
            return of_coming.numpy()

        per_token[rows, 0] = loss(cell)
        for n, case in enumerate(cases, start=1):
            out = torch.outer(amounts[case.whole][:, case.amount], unit_length[:, case.along])
            per_token[rows, n] = loss(cell - out)
        if progress:
            progress(FINDING_SHARE + (1 - FINDING_SHARE) * part.stop / len(coming))
    read = ~text.skipped
    by_character = [text.sum_by_character(column)[read] for column in per_token.T]
    return np.stack(by_character, axis=1)[here.characters]


def _loss_frame(here: _Here, changes: Float32Array, cases: Sequence[_TakenOut]) -> pd.DataFrame:
    """The `losses` of `CarriedUp` from the changes [character, case]."""
    return pd.DataFrame(
        {
            "kind": [case.kind for case in cases],
            "change_inside": [here.inside(change)[0] for change in changes.T],
            "change_outside": [here.outside(change) for change in changes.T],
        }
    )
