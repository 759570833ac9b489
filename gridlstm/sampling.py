"""Text that a model writes, byte by byte, its state carried on.

A byte is drawn from chances made in this order: the model's logarithms divided by a temperature;
the `top_k` likeliest bytes kept; of these, the fewest likeliest that together have the chance
`top_p` (nucleus sampling, Holtzman et al. 2020, section 3.1). What is kept is scaled to a sum of 1
each time.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from gridlstm.backends.plan import Shape, positions_at_once
from gridlstm.clamps import Hold, Holds, holds_of
from gridlstm.config import ALPHABET
from gridlstm.errors import UserError
from gridlstm.model import LanguageModel


class SamplingError(UserError):
    """A sample that cannot be drawn; the message is one sentence for the user."""


@dataclass(frozen=True)
class Choice:
    """How a byte is chosen from the model's chances: `top_k` = 256 and `top_p` = 1 keep all,
    `temperature` 0 takes the likeliest."""

    temperature: float = 1.0
    top_k: int = ALPHABET
    top_p: float = 1.0

    def __post_init__(self) -> None:
        if not 0 <= self.temperature < float("inf"):
            raise SamplingError("The temperature must be 0 or above.")
        if not 1 <= self.top_k <= ALPHABET:
            raise SamplingError(f"Top-k must be from 1 to {ALPHABET}: it counts bytes.")
        if not 0 < self.top_p <= 1:
            raise SamplingError("Top-p must be above 0 and at most 1: it is a chance.")


@dataclass(frozen=True)
class Step:
    """One byte that a model wrote.

    `chance` is that with which it was drawn, `loss` what the model itself spends on it, in nats: as
    in a trace, before temperature, top-k and top-p. `values` holds what was asked for by name,
    [layer, unit], as it is when the model has read this byte.
    """

    byte: int
    chance: float
    loss: float
    values: dict[str, np.ndarray]


def write(
    model: LanguageModel,
    prime: bytes,
    length: int,
    *,
    choice: Choice = Choice(),  # noqa: B008 (frozen)
    seed: int = 1,
    quantities: Iterable[str] = (),
    holds: Sequence[Hold] = (),
) -> Iterator[Step]:
    """Yield a step for each of `length` bytes that `model` writes after reading `prime`.

    The n-th byte is where the n-th random number of `seed` falls among the chances, laid side by
    side in the order of bytes, so two samples of one seed differ only where their chances do.
    `holds` are in force throughout. Raises SamplingError for an empty prime, a negative length or
    seed, or a quantity that the model does not have, HoldError for a hold that it does not allow.
    """
    if not prime:
        raise SamplingError("Give the model at least one character to begin with.")
    if length < 0:
        raise SamplingError("The length must be 0 or above.")
    if seed < 0:
        raise SamplingError("The seed must be 0 or above.")
    wanted, known = tuple(quantities), model.config.quantities
    for quantity in wanted:
        if quantity not in known:
            raise SamplingError(f"The model has no {quantity!r}; it has {', '.join(known)}.")
    held = holds_of([holds], model.config, model.decoder.weight) if holds else None
    numbers = np.random.default_rng(seed)
    reader = _Reader(model, held, len(prime) + length)
    return _steps(reader, prime, length, choice, numbers, wanted)


def sample(
    model: LanguageModel,
    prime: bytes,
    length: int,
    *,
    temperature: float = 1.0,
    seed: int = 1,
    holds: Sequence[Hold] = (),
) -> Iterator[int]:
    """The bytes alone of `write`. Raises as it does."""
    steps = write(model, prime, length, choice=Choice(temperature), seed=seed, holds=holds)
    return (step.byte for step in steps)


class _Reader:
    """A model and its state after all that it has read so far."""

    @torch.inference_mode()
    def __init__(self, model: LanguageModel, holds: Holds | None, positions: int) -> None:
        self.model, self.holds, self.state = model, holds, model.start(1)
        self.reader = model.recurrent.reader(Shape(1, 1, positions))

    @torch.inference_mode()
    def read(self, data: bytes, quantities: Sequence[str]) -> tuple[np.ndarray, dict]:
        """Read on; the logits [256] of the byte that comes next, and the quantities' values
        [layer, unit] at the last byte of `data`."""
        model, device = self.model, self.model.decoder.weight.device
        read = torch.frombuffer(bytearray(data), dtype=torch.uint8).long()[:, None]
        layers = {}

        def keep(layer: int, start: int, values: dict[str, torch.Tensor]) -> None:
            # Copied: a view would keep all that this step computed.
            layers[layer] = {name: values[name][-1, 0].clone() for name in quantities}

        for piece in read.split(positions_at_once(model.config, self.holds)):
            embedded = model.embedding(piece.to(device))
            top, self.state = self.reader(embedded, self.state, keep, self.holds)
        logits = model.decoder(top[-1, 0]).double().cpu().numpy()
        if not np.isfinite(logits).all():
            raise SamplingError("The model's chances are not finite numbers here: it cannot write.")
        values = {
            name: torch.stack([of_layer[name] for of_layer in layers.values()]).cpu().numpy()
            for name in quantities
        }
        return logits, values


def _steps(reader, prime, length, choice, numbers, quantities) -> Iterator[Step]:
    logits, _ = reader.read(prime, ())
    for _ in range(length):
        chances = chances_of(logits, choice)
        byte = _choose(chances, numbers.random())
        loss = float(np.logaddexp.reduce(logits) - logits[byte])
        logits, values = reader.read(bytes([byte]), quantities)
        yield Step(byte, float(chances[byte]), loss, values)


def chances_of(logits: np.ndarray, choice: Choice) -> np.ndarray:
    """The chances [256] from which a byte is drawn; of equally likely bytes the lower is kept."""
    if choice.temperature == 0:
        return np.eye(ALPHABET)[logits.argmax()]
    with np.errstate(over="ignore"):
        chances = np.exp((logits - logits.max()) / choice.temperature)
    order = np.argsort(-chances, kind="stable")
    chances[order[choice.top_k :]] = 0
    chances /= chances.sum()
    if choice.top_p < 1:
        before = np.cumsum(chances[order]) - chances[order]
        chances[order[before >= choice.top_p]] = 0
        chances /= chances.sum()
    return chances


def _choose(chances: np.ndarray, number: float) -> int:
    """The byte at which a number in [0, 1) falls among `chances` [256]; never one without any."""
    possible = np.flatnonzero(chances)
    place = np.searchsorted(np.cumsum(chances[possible]), number, side="right")
    return int(possible[min(place, len(possible) - 1)])
