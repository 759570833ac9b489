"""The loss of a model on a text."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from torch.nn import functional

from gridlstm.corpus import CorpusError, evaluation_blocks
from gridlstm.model import LanguageModel
from gridlstm.progress import Progress
from gridlstm.training.replay import Replayed

MOST_STREAMS = 64
SHORTEST_STREAM = 1024
# Bytes read before each stream's first counted byte, so that its state is as in one long read.
WARM_UP = 256
PIECE = 128
# Samples that are answered side by side, and the numbers computed at a time in a layer of theirs.
SAMPLES_AT_ONCE = 128
MAX_VALUES_AT_ONCE = 2**22


@dataclass(frozen=True)
class Evaluation:
    """Mean loss of `bytes` predicted bytes."""

    nats_per_byte: float
    bytes: int

    @property
    def bits_per_byte(self) -> float:
        return self.nats_per_byte / float(np.log(2))


@torch.no_grad()
def evaluate(
    model: LanguageModel,
    data: np.ndarray,
    most_bytes: int | None = None,
    progress: Progress | None = None,
) -> Evaluation:
    """Teacher-forced loss on `data` uint8 [byte], every byte but the first predicted, no dropout.

    Long data is read in up to 64 streams side by side, each warmed up on the 256 bytes before it.
    With `most_bytes`, only so many bytes are predicted: the beginning of each stream, so that they
    lie evenly over the data. `progress` is told the share done and may raise `Cancelled`. Raises
    CorpusError if there is nothing to predict.
    """
    if len(data) < 2:
        raise CorpusError("The text needs at least two bytes: the first is not predicted.")
    streams = max(1, min(MOST_STREAMS, len(data) // SHORTEST_STREAM))
    blocks = np.array(list(evaluation_blocks(len(data), streams)))
    starts, lengths = blocks[:, 0], blocks[:, 1] - blocks[:, 0]
    if most_bytes is not None:
        lengths = np.minimum(lengths, -(-most_bytes // streams))
    with _without_dropout(model):
        total = _summed_loss(model, data, starts, lengths, progress)
    count = int(lengths.sum())
    return Evaluation(total / count, count)


@contextmanager
def _without_dropout(model: LanguageModel):
    was_training = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(was_training)


def _summed_loss(
    model: LanguageModel,
    data: np.ndarray,
    starts: np.ndarray,
    lengths: np.ndarray,
    progress: Progress | None,
) -> float:
    """Nats spent on data[start] and the bytes that follow it, `length` in all, of every stream."""
    device = model.decoder.weight.device
    state = _warmed_up(model, data, starts - 1)
    read, target, counts = (
        torch.zeros(PIECE, len(starts), dtype=dtype, device=device)
        for dtype in (torch.int64, torch.int64, torch.bool)
    )
    total = torch.zeros((), dtype=torch.float64, device=device)

    def read_a_piece() -> None:
        logits, after = model(read, state)
        losses = functional.cross_entropy(
            logits.float().flatten(0, 1), target.flatten(), reduction="none"
        )
        total.add_(losses.double() @ counts.flatten().double())
        for carried, now in zip(state, after, strict=True):
            carried.copy_(now)

    replayed = Replayed(read_a_piece, device)
    longest = lengths.max()
    for offset in range(0, longest, PIECE):
        steps = np.arange(offset, offset + PIECE)[:, None]
        at = np.minimum(starts + steps, len(data) - 1)
        read.copy_(torch.from_numpy(data[at - 1]))
        target.copy_(torch.from_numpy(data[at]))
        counts.copy_(torch.from_numpy(steps < lengths))
        replayed()
        if progress is not None:
            progress(min(1.0, (offset + PIECE) / longest))
    return total.item()


@torch.no_grad()
def evaluate_answers(
    model: LanguageModel,
    read: np.ndarray,
    target: np.ndarray,
    answered: int,
    progress: Progress | None = None,
) -> tuple[Evaluation, np.ndarray]:
    """Loss at the last `answered` positions of samples [position, sample], each read from the
    model's beginning, no dropout; and where the likeliest byte is the right one,
    bool [answered, sample].

    Only some samples are read at a time, and a piece of these, so that the memory that it takes
    does not grow with their number or length. `progress` is told the share done and may raise
    `Cancelled`.
    """
    length, samples = read.shape
    right = np.empty((answered, samples), dtype=bool)
    total, tell = 0.0, progress or (lambda share: None)
    with _without_dropout(model):
        for first in range(0, samples, SAMPLES_AT_ONCE):
            here = slice(first, min(first + SAMPLES_AT_ONCE, samples))

            def tell_part(share: float, here: slice = here) -> None:
                tell((here.start + share * (here.stop - here.start)) / samples)

            for at, logits in _answers(model, read[:, here], answered, tell_part):
                wanted = torch.from_numpy(target[-answered:, here][at]).to(logits.device)
                losses = functional.cross_entropy(
                    logits.double().flatten(0, 1), wanted.flatten(), reduction="sum"
                )
                total += losses.item()
                right[at, here] = (logits.argmax(-1) == wanted).cpu().numpy()
    return Evaluation(total / right.size, right.size), right


def _answers(
    model: LanguageModel, read: np.ndarray, answered: int, progress: Progress
) -> Iterator[tuple[slice, torch.Tensor]]:
    """The logits [position, sample, 256] of the last `answered` positions of samples
    [position, sample], piece by piece, each with where it lies among these positions."""
    length, samples = read.shape
    state, asked_from = model.start(samples), length - answered
    piece = max(1, MAX_VALUES_AT_ONCE // (samples * model.config.values_a_layer))
    for start in range(0, length, piece):
        progress(start / length)
        stop = min(start + piece, length)
        inputs = torch.from_numpy(read[start:stop]).to(model.decoder.weight.device)
        top, state = model.recurrent(model.embedding(inputs), state)
        if stop > asked_from:
            at = slice(max(start, asked_from) - asked_from, stop - asked_from)
            yield at, model.decoder(top[at.start - at.stop :]).float()
    progress(1.0)


def _warmed_up(model: LanguageModel, data: np.ndarray, first_read: np.ndarray):
    """The state of each stream before it reads data[first_read]: h and c [L, stream, U]."""
    state = model.start(len(first_read))
    if len(first_read) == 1:
        return state
    read = data[first_read[1:] - WARM_UP + np.arange(WARM_UP)[:, None]]
    read = torch.from_numpy(read).to(model.decoder.weight.device).long()
    warm = model.start(len(first_read) - 1)
    for piece in read.split(PIECE):
        _, warm = model(piece, warm)
    return tuple(torch.cat((cold[:, :1], hot), 1) for cold, hot in zip(state, warm, strict=True))
