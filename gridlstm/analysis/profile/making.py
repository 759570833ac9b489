"""Making the profile of a model over a corpus, in two passes: the first finds what values units
have and where they are highest, the second how these go with properties, and what stands round the
places found."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from gridlstm.analysis.bins import Bins, Calibration, Place, places
from gridlstm.analysis.corpus_search import CALIBRATED_FROM, LEAST_SHIFT
from gridlstm.analysis.depth_provenance import depth_shares
from gridlstm.analysis.histograms import Counts, Target, centred_bin_ranks
from gridlstm.analysis.profile.observers import (
    LARGEST_WEIGHT,
    ContextValues,
    Extremes,
    Histograms,
    RankSums,
    Sampled,
    quantised,
    shown,
)
from gridlstm.analysis.profile.profile import (
    AFTER,
    CONTEXTS,
    HIGHEST,
    NO_CONTEXT,
    TENTHS,
    WINDOW,
    About,
    Profile,
    ProfileError,
    strength,
)
from gridlstm.analysis.properties import PROPERTIES
from gridlstm.analysis.time_provenance import half_lives
from gridlstm.array_types import Float32Array, Float64Array, FloatArray, IntArray, NumberArray
from gridlstm.config import ModelConfig
from gridlstm.long_text import LongText
from gridlstm.model import LanguageModel
from gridlstm.progress import Progress
from gridlstm.stretches import SHORTEST_STRETCH, WARM_UP, Corpus, Observer, cut, groups_of
from gridlstm.trace import trace
from gridlstm.vocabulary import EncodedText

# The text is kept in the profile, which would else be larger than 100 MB.
MAX_POSITIONS = 5_000_000
SAMPLES = 1024
SHIFTS = 3
# Candidates for a highest context: some overlap, at the windows' borders.
CANDIDATES = 3 * HIGHEST
# Positions of the text's beginning from which half-lives and shares by layer are told exactly.
EXCERPT = 4_000
HALVES = 2


def make_profile(
    model: LanguageModel, text: LongText, title: str, progress: Progress | None = None
) -> Profile:
    """The profile of `model` over `text`, called `title`. `progress` may raise `Cancelled`. Raises
    ProfileError where the text is too short to be halved, or too long to be kept."""
    if len(text.tokens) < 2 * SHORTEST_STRETCH:
        raise ProfileError(
            f"A profile takes a text of {2 * SHORTEST_STRETCH:,} positions at least, as one half "
            f"of it judges what the other suggests; this one has {len(text.tokens):,}."
        )
    if len(text.tokens) > MAX_POSITIONS:
        raise ProfileError(
            f"A profile holds its text, of {MAX_POSITIONS:,} positions at most: ask for less of it."
        )
    corpus = Corpus(model, text.tokens, cut(len(text.tokens)))
    return _Making(corpus, text, title, progress).make()


@dataclass
class _Making:
    corpus: Corpus
    text: LongText
    title: str
    progress: Progress | None
    read: int = 0

    def make(self) -> Profile:
        config, stretches = self.config, self.corpus.stretches
        quantities = tuple(q for q in config.quantities if config.width(q) == config.units)
        histograms = Histograms(places(config, quantities), config.units, self.text.ends)
        memories = places(config, config.cells)
        highest, lowest = (
            Extremes(memories, config.units, CANDIDATES, sign, stretches) for sign in (1, -1)
        )
        sampled = Sampled(memories, config.units, self._positions_to_sample())
        bins, counts = self._first_pass([histograms, highest, lowest, sampled])
        contexts = {
            place: _contexts(
                highest.positions[place].numpy(),
                lowest.positions[place].numpy(),
                sampled.values[place].numpy(),
                sampled.positions,
            )
            for place in memories
        }
        coloured = ContextValues(contexts, stretches)
        names, measures, weights = self._properties()
        scores = self._second_pass(bins, counts, coloured, weights)
        half_life_of, half_life, shares = self._excerpt()
        found, held_out, chance = _scores_of(scores, measures, memories)
        total = np.maximum(1, _stacked(histograms.counts, quantities, config).sum(-1))
        return Profile(
            About(
                self.corpus.model.checksum(),
                hashlib.sha256(np.ascontiguousarray(self.text.tokens).tobytes()).hexdigest(),
                self.title,
                stretches.positions,
                stretches.count,
                quantities,
                config.cells,
                names,
                measures,
                half_life_of,
            ),
            (_stacked(histograms.counts, quantities, config) / total[..., None]).astype(np.float32),
            (_stacked(histograms.above, quantities, config) / total).astype(np.float32),
            (_stacked(histograms.below, quantities, config) / total).astype(np.float32),
            _stacked(contexts, config.cells, config).astype(np.int32),
            _stacked(coloured.values, config.cells, config).astype(np.int8),
            sampled.positions.astype(np.int32),
            _stacked(
                {p: quantised(shown(of, p[0])).T for p, of in sampled.values.items()},
                config.cells,
                config,
            ).astype(np.int8),
            _stacked(found, config.cells, config).astype(np.float32),
            _stacked(held_out, config.cells, config).astype(np.float32),
            chance.astype(np.float32),
            half_life,
            shares,
            self.text.ends,
            "".join(np.array(list(self.text.characters))[self.text.read].tolist()),
        )

    @property
    def config(self) -> ModelConfig:
        return self.corpus.model.config

    def _positions_to_sample(self) -> IntArray:
        """Positions that end a character and have room for a context, drawn evenly, rising; the
        same for every model that reads the same tokens."""
        length = self.corpus.stretches.length
        usable = np.flatnonzero(self.text.ends[: length * self.corpus.stretches.count])
        within = usable % length
        usable = usable[(within >= WARM_UP) & (within < length - AFTER)]
        drawn = np.random.default_rng(1).choice(usable, min(SAMPLES, len(usable)), replace=False)
        positions: IntArray = np.sort(drawn)
        return positions

    def _after_round(self, tokens: int) -> None:
        self.read += tokens
        if self.progress is not None:
            self.progress(min(1.0, self.read / (2 * self.corpus.stretches.positions)))

    def _first_pass(self, observers: Sequence[Observer]) -> tuple[Bins, list[Counts]]:
        model, stretches = self.corpus.model, self.corpus.stretches
        calibration = Calibration(self.config, self.config.cells)
        groups = [groups_of(model, half) for half in stretches.halves]
        everyone = [group for half in groups for group in half]
        self.corpus.read(everyone, CALIBRATED_FROM, [], self._after_round)
        self.corpus.read(everyone, WARM_UP, [calibration], self._after_round)
        bins = calibration.bins()
        target = Target(np.where(self.text.ends, 0, -1).astype(np.int16), True)
        counts = [Counts(bins, target) for _ in groups]
        for half, of_half in zip(groups, counts, strict=True):
            self.corpus.read(half, stretches.length, [of_half, *observers], self._after_round)
        return bins, counts

    def _properties(self) -> tuple[tuple[str, ...], tuple[str, ...], IntArray]:
        """Those that tell something apart in both halves: names, measures, and weights uint8
        [P, position]; a number's are its ranks."""
        corpus, ends = self.corpus.stretches, self.text.ends
        inside = np.flatnonzero(ends)
        names, measures, rows = [], [], []
        middle = corpus.halves[0].stop * corpus.length
        for name, of in PROPERTIES.items():
            measured = np.asarray(of.measure(self.text.characters))[self.text.read]
            if any(not len(h) or (h == h[0]).all() for h in _halves(measured, inside, middle)):
                continue
            row = np.zeros(len(ends), np.uint8)
            ranks = measured if of.kind == "mark" else _ranks(measured)
            row[inside] = np.rint(ranks * LARGEST_WEIGHT)
            names.append(name)
            measures.append("auc" if of.kind == "mark" else "rho")
            rows.append(row)
        if not rows:
            raise ProfileError("No property tells anything apart in both halves of this text.")
        return tuple(names), tuple(measures), np.stack(rows)

    def _second_pass(
        self, bins: Bins, counts: Sequence[Counts], coloured: ContextValues, weights: IntArray
    ) -> "list[_HalfScores]":
        model, stretches = self.corpus.model, self.corpus.stretches
        random, positions = np.random.default_rng(1), stretches.positions
        shifts = random.integers(LEAST_SHIFT, positions - LEAST_SHIFT, SHIFTS).tolist()
        scores = []
        for half, of_half in zip(stretches.halves, counts, strict=True):
            every = {place: of.numpy() for place, of in of_half.every.items()}
            ranks = {place: _unit_ranks(of) for place, of in every.items()}
            sums = RankSums(bins, ranks, weights, shifts, self.text.ends)
            groups = groups_of(model, half)
            self.corpus.read(groups, WARM_UP, [coloured], self._after_round)
            self.corpus.read(groups, stretches.length, [coloured, sums], self._after_round)
            scores.append(_HalfScores(sums, ranks, every))
        return scores

    def _excerpt(self) -> tuple[str, IntArray, Float32Array]:
        """Half-lives and shares by layer over the text's first positions, traced exactly."""
        config, layers, units = self.config, self.config.layers, self.config.units
        half_life = np.zeros((layers, units), np.int32)
        shares = np.full((layers, units, layers), np.nan, np.float32)
        time, depth = config.memory("time"), config.memory("depth")
        wanted = {time.keep} if time is not None else set()
        if depth is not None:
            parts = (depth.keep, depth.gate, depth.candidate, depth.cell)
            wanted |= {part for part in parts if part is not None}
        if not wanted:
            return "", half_life, shares
        characters = self.text.characters[:EXCERPT]
        encoded: EncodedText = self.corpus.model.encode(characters)
        values = trace(self.corpus.model, encoded, sorted(wanted), dtype=np.float32).values
        if time is not None:
            found = half_lives(values, memory=time)
            half_life = np.where(found.censored, -found.half_life, found.half_life).astype(np.int32)
        if depth is not None and depth.starts is None:
            for unit in range(units):
                for layer in range(layers):
                    sizes = np.abs(depth_shares(values, unit, layer, depth))
                    parts_of = sizes / np.maximum(sizes.sum(0), 1e-12)
                    shares[layer, unit, : layer + 1] = parts_of.mean(1)
                    shares[layer, unit, layer + 1 :] = 0
        return (time.keep if time is not None else ""), half_life, shares


@dataclass(frozen=True)
class _HalfScores:
    """Of a half: sums of ranks, the ranks of bins, and how often these are."""

    sums: RankSums
    ranks: Mapping[Place, Float32Array]
    every: Mapping[Place, IntArray]

    def of(self, place: Place, is_mark: IntArray) -> Float64Array:
        """AUCs and correlations [U, (1 + shifts) * P]."""
        shared = self.sums.sums[place].numpy().T
        every = self.every[place].astype(np.float64)
        total, weight = every.sum(1)[:, None], self.sums.weight.numpy()
        # Ranks are from -1 to 1: their mean inside is twice the AUC less 1, of outside's share.
        outside = np.maximum(total - weight, 1e-9)
        area = 0.5 + shared * total / (2 * np.maximum(weight, 1e-9) * outside)
        spread = (every * self.ranks[place].astype(np.float64) ** 2).sum(1)[:, None]
        deviation = np.maximum(self.sums.square.numpy() - weight**2 / total, 0)
        rho = shared / np.maximum(np.sqrt(spread * deviation), 1e-12)
        scores: Float64Array = np.where(is_mark, area, rho)
        return scores


def _unit_ranks(every: IntArray) -> Float32Array:
    """The centred rank of each bin's values, from -1 to 1: float32 [U, 256]."""
    total = np.maximum(1, every.sum(1, keepdims=True))
    ranks: Float32Array = (centred_bin_ranks(every.astype(np.float64)) / total).astype(np.float32)
    return ranks


def _scores_of(
    halves: "list[_HalfScores]", measures: tuple[str, ...], memories: Sequence[Place]
) -> tuple[dict[Place, Float64Array], dict[Place, Float64Array], Float64Array]:
    """By place the scores [U, P] of both halves, and the chance line [P]."""
    count = len(measures)
    is_mark = np.array([measure == "auc" for measure in measures])
    repeated = np.tile(is_mark, 1 + SHIFTS)
    found, held_out, by_chance = {}, {}, []
    for place in memories:
        first, second = (half.of(place, repeated) for half in halves)
        found[place], held_out[place] = first[:, :count], second[:, :count]
        shifted = second[:, count:].reshape(-1, SHIFTS, count)
        by_chance.append(strength(shifted, measures).reshape(-1, count))
    return found, held_out, np.quantile(np.concatenate(by_chance), 0.95, axis=0)


def _contexts(
    highest: IntArray, lowest: IntArray, samples: FloatArray, sampled: IntArray
) -> IntArray:
    """Positions int64 [U, K] from candidates [candidate, U], the best first, and the values
    [S, U] at sampled positions; no two of a unit overlap."""
    units = highest.shape[1]
    chosen = np.full((units, CONTEXTS), NO_CONTEXT)
    for unit in range(units):
        taken: list[int] = []
        _take(chosen[unit, :HIGHEST], highest[:, unit], taken)
        _take(chosen[unit, HIGHEST : 2 * HIGHEST], lowest[:, unit], taken)
        values = samples[:, unit]
        low, high = values.min(), values.max()
        tenth = np.minimum((values - low) * (TENTHS / max(high - low, 1e-30)), TENTHS - 1)
        tenth = tenth.astype(np.int64)
        for number in range(TENTHS):
            place = chosen[unit, 2 * HIGHEST + number :][:1]
            # They lie in the order of the text: one in the middle is as good as any.
            _take(place, np.roll(sampled[tenth == number], unit), taken)
    return chosen


def _take(places: IntArray, candidates: IntArray, taken: list[int]) -> None:
    """Fill places with the first candidates that overlap nothing taken before."""
    free = iter(range(len(places)))
    count = len(places)
    for position in candidates.tolist():
        if not count:
            return
        if position >= 0 and all(abs(position - other) >= WINDOW for other in taken):
            places[next(free)] = position
            taken.append(position)
            count -= 1


def _stacked(
    by_place: Mapping[Place, object], quantities: Sequence[str], config: ModelConfig
) -> FloatArray:
    """[Q, L, ...] of what each place has."""
    return np.stack(
        [
            np.stack([np.asarray(by_place[quantity, layer]) for layer in range(config.layers)])
            for quantity in quantities
        ]
    )


def _halves(
    measured: NumberArray, inside: IntArray, middle: int
) -> tuple[NumberArray, NumberArray]:
    until = int(np.searchsorted(inside, middle))
    return measured[:until], measured[until:]


def _ranks(measured: NumberArray) -> Float64Array:
    """The mean rank of each number, from 0 to 1."""
    _, which, counts = np.unique(measured, return_inverse=True, return_counts=True)
    middle = np.cumsum(counts) - counts / 2
    ranks: Float64Array = middle[which] / len(measured)
    return ranks
