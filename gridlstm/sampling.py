"""Text that a model writes, byte by byte, its state carried on."""

from collections.abc import Iterator, Sequence

import numpy as np
import torch

from gridlstm.errors import UserError
from gridlstm.holds import Hold, holds_of
from gridlstm.model import LanguageModel


class SamplingError(UserError):
    """A sample that cannot be drawn; the message is one sentence for the user."""


def sample(
    model: LanguageModel,
    prime: bytes,
    length: int,
    *,
    temperature: float = 1.0,
    seed: int = 1,
    holds: Sequence[Hold] = (),
) -> Iterator[int]:
    """Yield `length` bytes that `model` writes after reading `prime`.

    The n-th byte is where the n-th random number of `seed` falls among the chances, so two samples
    of one seed differ only where their chances do. `temperature` divides the logarithms of the
    chances; 0 takes the likeliest byte. `holds` are in force throughout. Raises SamplingError for
    an empty prime or a negative temperature, HoldError for a hold that the model does not allow.
    """
    if not prime:
        raise SamplingError("Give the model at least one character to begin with.")
    if not 0 <= temperature < float("inf"):
        raise SamplingError("The temperature must be 0 or above.")
    held = holds_of([holds], model.config, model.decoder.weight) if holds else None
    return _write(model, prime, length, temperature, np.random.default_rng(seed), held)


def _write(model, prime, length, temperature, generator, holds) -> Iterator[int]:
    device, state = model.decoder.weight.device, model.start(1)
    read = torch.frombuffer(bytearray(prime), dtype=torch.uint8).long()
    for _ in range(length):
        with torch.inference_mode():
            seen = model.recurrent.observe(model.embedding(read.to(device)[:, None]), state, holds)
            state = seen.state
            logits = model.decoder(seen.top[-1, 0]).double().cpu().numpy()
        byte = _choose(logits, temperature, generator.random())
        yield byte
        read = torch.tensor([byte])


def _choose(logits: np.ndarray, temperature: float, number: float) -> int:
    """The byte at which a number in [0, 1) falls among the chances of `logits` [256]."""
    if temperature == 0:
        return int(logits.argmax())
    chances = np.exp((logits - logits.max()) / temperature)
    edges = np.cumsum(chances / chances.sum())
    return int(min(np.searchsorted(edges, number, side="right"), len(edges) - 1))
