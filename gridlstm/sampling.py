"""Text that a model writes, token by token, its state carried on.

A token is drawn from probabilities made in this order: the model's logarithms divided by a
temperature; the tokens kept that a text can hold; of them the `top_k` likeliest; of these, the
fewest likeliest that together have the chance `top_p` (nucleus sampling, Holtzman et al. 2020,
section 3.1). What is kept is scaled to a sum of 1 each time.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from gridlstm.array_types import Float64Array, FloatArray, IntArray
from gridlstm.backends.plan import Shape, positions_at_once
from gridlstm.clamps import AnyClamp, Clamps, clamps_of
from gridlstm.config import MAX_VOCABULARY
from gridlstm.errors import UserError
from gridlstm.model import LanguageModel
from gridlstm.vocabulary import BYTES, EncodedText, Vocabulary


class SamplingError(UserError):
    """A sample that cannot be drawn; the message is one sentence for the user."""


@dataclass(frozen=True)
class Choice:
    """How a token is chosen from the model's chances: `top_k` None and `top_p` = 1 keep all,
    `temperature` 0 takes the likeliest."""

    temperature: float = 1.0
    top_k: int | None = None
    top_p: float = 1.0

    def __post_init__(self) -> None:
        if not 0 <= self.temperature < float("inf"):
            raise SamplingError("The temperature must be 0 or above.")
        if self.top_k is not None and not 1 <= self.top_k <= MAX_VOCABULARY:
            raise SamplingError(f"Top-k must be from 1 to {MAX_VOCABULARY:,}: it counts tokens.")
        if not 0 < self.top_p <= 1:
            raise SamplingError("Top-p must be above 0 and at most 1: it is a chance.")


@dataclass(frozen=True)
class Step:
    """One token that a model wrote.

    `probability` is that with which it was drawn, `loss` what the model itself spends on it, in
    nats: as in a trace, before temperature, top-k and top-p. `values` holds what was asked for by
    name, [layer, unit], as it is when the model has read this token.
    """

    token: int
    probability: float
    loss: float
    values: dict[str, FloatArray]


def write(
    model: LanguageModel,
    prime: EncodedText | str | bytes,
    length: int,
    *,
    choice: Choice = Choice(),  # noqa: B008 (frozen)
    seed: int = 1,
    quantities: Iterable[str] = (),
    clamps: Sequence[AnyClamp] = (),
) -> Iterator[Step]:
    """Yield a step for each of `length` tokens that `model` writes after reading `prime`, all of
    them such as a text can hold (`Vocabulary.writable`).

    The n-th token is where the n-th random number of `seed` falls among the probabilities, laid
    side by side in the order of tokens, so two samples of one seed differ only where their
    probabilities do. `clamps` are in force throughout. Raises SamplingError for a prime of which
    nothing is read, a negative length or seed, or a quantity that the model does not have,
    ClampError for a clamp that it does not allow.
    """
    encoded = model.encode(prime)
    inputs = encoded.tokens
    if not len(inputs):
        which = "that it knows " if encoded.characters else ""
        raise SamplingError(f"Give the model at least one character {which}to begin with.")
    if not model.vocabulary.writable.any():
        raise SamplingError("The model knows no character that it could write.")
    if length < 0:
        raise SamplingError("The length must be 0 or above.")
    if seed < 0:
        raise SamplingError("The seed must be 0 or above.")
    wanted, known = tuple(quantities), model.config.quantities
    for quantity in wanted:
        if quantity not in known:
            raise SamplingError(f"The model has no {quantity!r}; it has {', '.join(known)}.")
    held = clamps_of([clamps], model.config, model.decoder.weight) if clamps else None
    numbers = np.random.default_rng(seed)
    reader = _Reader(model, held, len(inputs) + length)
    return _steps(reader, inputs, length, choice, numbers, wanted)


def sample(
    model: LanguageModel,
    prime: EncodedText | str | bytes,
    length: int,
    *,
    temperature: float = 1.0,
    seed: int = 1,
    clamps: Sequence[AnyClamp] = (),
) -> Iterator[int]:
    """The tokens alone of `write`. Raises as it does."""
    steps = write(model, prime, length, choice=Choice(temperature), seed=seed, clamps=clamps)
    return (step.token for step in steps)


class _Reader:
    """A model and its state after all that it has read so far."""

    @torch.inference_mode()
    def __init__(self, model: LanguageModel, clamps: Clamps | None, positions: int) -> None:
        self.model, self.clamps, self.state = model, clamps, model.start(1)
        self.reader = model.recurrent.reader(Shape(1, 1, positions))

    @torch.inference_mode()
    def read(
        self, tokens: IntArray, quantities: Sequence[str]
    ) -> tuple[Float64Array, dict[str, FloatArray]]:
        """Read on; the logits [V] of the token that comes next, and the quantities' values
        [layer, unit] at the last of `tokens`."""
        model, device = self.model, self.model.decoder.weight.device
        inputs = torch.tensor(tokens)[:, None]
        layers: dict[int, dict[str, torch.Tensor]] = {}

        def keep(layer: int, start: int, values: dict[str, torch.Tensor]) -> None:
            # Copied: a view would keep all that this step computed.
            layers[layer] = {name: values[name][-1, 0].clone() for name in quantities}

        for piece in inputs.split(positions_at_once(model.config, self.clamps)):
            embedded = model.embedding(piece.to(device))
            top, self.state = self.reader(embedded, self.state, keep, self.clamps)
        logits = model.decoder(top[-1, 0]).double().cpu().numpy()
        if not np.isfinite(logits).all():
            raise SamplingError("The model's chances are not finite numbers here: it cannot write.")
        values = {
            name: torch.stack([of_layer[name] for of_layer in layers.values()]).cpu().numpy()
            for name in quantities
        }
        return logits, values


def _steps(
    reader: _Reader,
    prime: IntArray,
    length: int,
    choice: Choice,
    numbers: np.random.Generator,
    quantities: Sequence[str],
) -> Iterator[Step]:
    logits, _ = reader.read(prime, ())
    vocabulary = reader.model.vocabulary
    for _ in range(length):
        probabilities = probabilities_of(logits, choice, vocabulary)
        token = _choose(probabilities, numbers.random())
        loss = float(np.logaddexp.reduce(logits) - logits[token])
        logits, values = reader.read(np.array([token]), quantities)
        yield Step(token, float(probabilities[token]), loss, values)


def probabilities_of(
    logits: Float64Array, choice: Choice, vocabulary: Vocabulary = BYTES
) -> Float64Array:
    """The probabilities [V] from which a token is drawn: 0 of those that no text can hold; of
    equally likely ones the lower is kept."""
    logits = np.where(vocabulary.writable, logits, -np.inf)
    if choice.temperature == 0:
        probabilities: Float64Array = np.zeros(len(logits))
        probabilities[logits.argmax()] = 1
        return probabilities
    with np.errstate(over="ignore"):
        probabilities = np.exp((logits - logits.max()) / choice.temperature)
    order = np.argsort(-probabilities, kind="stable")
    if choice.top_k is not None:
        probabilities[order[choice.top_k :]] = 0
    probabilities /= probabilities.sum()
    if choice.top_p < 1:
        before = np.cumsum(probabilities[order]) - probabilities[order]
        probabilities[order[before >= choice.top_p]] = 0
        probabilities /= probabilities.sum()
    return probabilities


def _choose(probabilities: Float64Array, number: float) -> int:
    """The token at which a number in [0, 1) falls among `probabilities` [V]; never one without
    any."""
    possible = np.flatnonzero(probabilities)
    place = int(np.searchsorted(np.cumsum(probabilities[possible]), number, side="right"))
    return int(possible[min(place, len(possible) - 1)])
