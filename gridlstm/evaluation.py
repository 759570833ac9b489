"""The loss of a model on a text.

Losses of models with different vocabularies are compared for each UTF-8 byte of the text.
"""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Event, Lock

import numpy as np
import torch
from torch.nn import functional

from gridlstm.array_types import BoolArray, IntArray
from gridlstm.backends.parallel import torch_threads
from gridlstm.backends.plan import Shape
from gridlstm.cells.arithmetic import State
from gridlstm.corpus import CorpusError, evaluation_blocks
from gridlstm.model import LanguageModel
from gridlstm.progress import Cancelled, Progress
from gridlstm.training.replay import Replayed
from gridlstm.vocabulary import EncodedText

MAX_STREAMS = 64
SHORTEST_STREAM = 1024
# Tokens read before each stream's first counted one, so that its state is as in one long read.
WARM_UP = 256
# A text of another vocabulary is evaluated once, not every few minutes of a training: in one read
# unless it is long, as many models never come to the state of an uninterrupted one.
SHORTEST_STREAM_OF_TEXT, WARM_UP_OF_TEXT = 2**15, 2**11
PIECE = 128
# Samples that are answered side by side, and the numbers computed at a time in a layer of theirs.
SAMPLES_AT_ONCE = 128
MAX_VALUES_AT_ONCE = 2**22
# Logits, or one-hot inputs, computed at a time: of large vocabularies fewer positions are read.
MAX_LOGITS = 2**24
# On a CPU: streams that a thread reads side by side, and rows (of streams and positions) at a time.
STREAMS_A_THREAD, ROWS_A_THREAD = 16, 2048
# Tokens int64 [T, B] and a state -> the logits [T, B, V] and the new state.
Forward = Callable[[torch.Tensor, State], tuple[torch.Tensor, State]]


@dataclass(frozen=True)
class Evaluation:
    """Mean loss of the predicted tokens, for each of the `bytes` of UTF-8 that they stand for."""

    nats_per_byte: float
    bytes: int

    @property
    def bits_per_byte(self) -> float:
        return self.nats_per_byte / float(np.log(2))


@dataclass(frozen=True)
class TextEvaluation(Evaluation):
    """The same of a text, for each of its `characters` that were predicted, too.

    Of all characters `unknown` were read as the model's token for such, `skipped` not read at all,
    `lowered` read in lower case. `uniform` and `unigram` are what knowing only the number of tokens
    costs, in nats per character, and what knowing how frequent each is in this very text.
    """

    nats_per_character: float
    characters: int
    unknown: int
    skipped: int
    lowered: int
    uniform: float
    unigram: float

    @property
    def is_comparable(self) -> bool:
        """Whether the loss is one of the whole text, and may be ranked against other models'."""
        return not (self.unknown or self.skipped or self.lowered)


def evaluate(
    model: LanguageModel,
    data: IntArray,
    max_bytes: int | None = None,
    progress: Progress | None = None,
) -> Evaluation:
    """Teacher-forced loss on `data` uint8 [byte] of a model over the 256 bytes, every byte but the
    first predicted, no dropout.

    Long data is read in up to 64 streams side by side, each warmed up on the 256 bytes before it.
    With `max_bytes`, only so many bytes are predicted: the beginning of each stream, so that they
    lie evenly over the data. `progress` is told the share done and may raise `Cancelled`. Raises
    CorpusError if there is nothing to predict.
    """
    if len(data) < 2:
        raise CorpusError("The text needs at least two bytes: the first is not predicted.")
    streams = max(1, min(MAX_STREAMS, len(data) // SHORTEST_STREAM))
    total, count = _loss(model, data, streams, WARM_UP, max_bytes, progress)
    return Evaluation(total / count, count)


def evaluate_text(
    model: LanguageModel, text: EncodedText | str | bytes, progress: Progress | None = None
) -> TextEvaluation:
    """Teacher-forced loss on a text, every token but the first predicted, no dropout.

    Up to 65,535 tokens are read in one go; longer texts in up to 64 streams of at least half as
    many side by side, each warmed up on the 2,048 tokens before it. `progress` is told the share
    done and may raise `Cancelled`. Raises CorpusError if there is nothing to predict.
    """
    text = model.encode(text)
    if len(text) < 2:
        raise CorpusError("The text needs at least two tokens of the model: one is not predicted.")
    streams = max(1, min(MAX_STREAMS, len(text) // SHORTEST_STREAM_OF_TEXT))
    total, _ = _loss(model, text.tokens, streams, WARM_UP_OF_TEXT, None, progress)
    byte_count = int(text.byte_counts[1:].sum())
    # A character of several tokens is predicted with the first of them.
    characters = int(np.count_nonzero(np.diff(text.character)))
    a_character = (len(text) - 1) / max(characters, 1)
    counts = np.bincount(text.tokens[1:])
    frequencies = counts[counts > 0] / (len(text) - 1)
    unigram = -float((frequencies * np.log(frequencies)).sum())
    marked = {
        name: int(np.count_nonzero(getattr(text, name)))
        for name in ("unknown", "skipped", "lowered")
    }
    return TextEvaluation(
        nats_per_byte=total / byte_count,
        bytes=byte_count,
        nats_per_character=total / max(characters, 1),
        characters=characters,
        uniform=float(np.log(len(model.vocabulary))) * a_character,
        unigram=unigram * a_character,
        **marked,
    )


@torch.no_grad()
def _loss(
    model: LanguageModel,
    tokens: IntArray,
    streams: int,
    warm_up: int,
    max_tokens: int | None,
    progress: Progress | None,
) -> tuple[float, int]:
    """Nats spent on tokens [token], read in so many streams, and how many were predicted."""
    blocks = np.array(list(evaluation_blocks(len(tokens), streams)))
    starts, lengths = blocks[:, 0], blocks[:, 1] - blocks[:, 0]
    if max_tokens is not None:
        lengths = np.minimum(lengths, -(-max_tokens // streams))
    with _without_dropout(model):
        total = _summed_loss(model, tokens, starts, lengths, warm_up, progress)
    return total, int(lengths.sum())


@contextmanager
def _without_dropout(model: LanguageModel) -> Iterator[None]:
    was_training = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(was_training)


def _summed_loss(
    model: LanguageModel,
    tokens: IntArray,
    starts: IntArray,
    lengths: IntArray,
    warm_up: int,
    progress: Progress | None,
) -> float:
    """Nats spent on tokens[start] and those that follow it, `length` in all, of every stream. On a
    CPU each thread reads some of the streams, so that none waits for another at each position."""
    threads = torch.get_num_threads()
    on_cpu = model.decoder.weight.device.type == "cpu"
    parts = min(len(starts), max(threads, -(-len(starts) // STREAMS_A_THREAD))) if on_cpu else 1
    borders = np.linspace(0, len(starts), parts + 1).round().astype(int).tolist()
    groups = [slice(*of) for of in zip(borders[:-1], borders[1:], strict=True)]
    tell = _shares(progress, len(groups))
    share = 1 if len(groups) > 1 else threads

    def read_group(group: slice) -> float:
        with torch_threads(share), torch.no_grad():
            streams = starts[group], lengths[group]
            return _loss_of_streams(model, tokens, *streams, warm_up, group.start == 0, tell)

    if len(groups) == 1:
        return read_group(groups[0])
    with ThreadPoolExecutor(min(threads, len(groups))) as pool:
        return sum(pool.map(read_group, groups))


def _positions_at_once(model: LanguageModel, streams: int) -> int:
    config = model.config
    most = MAX_LOGITS // (streams * max(config.input_size, config.vocabulary_size))
    if model.decoder.weight.device.type == "cpu":
        most = min(most, ROWS_A_THREAD // streams)
    return max(1, min(PIECE, most))


def _shares(progress: Progress | None, groups: int) -> Callable[[float], None]:
    """A function that threads tell how much further their groups are; what `progress` raises goes
    to each of them."""
    lock, done, stopped = Lock(), 0.0, Event()

    def tell(further: float) -> None:
        nonlocal done
        if progress is None:
            return
        with lock:
            done += further / groups
            if stopped.is_set():
                raise Cancelled
            try:
                progress(min(1.0, done))
            except BaseException:
                stopped.set()
                raise

    return tell


def _loss_of_streams(
    model: LanguageModel,
    tokens: IntArray,
    starts: IntArray,
    lengths: IntArray,
    warm_up: int,
    first_is_cold: bool,
    tell: Callable[[float], None],
) -> float:
    """As `_summed_loss`, of streams that are read side by side; before the first of all there is
    nothing to warm up on."""
    device, positions = model.decoder.weight.device, _positions_at_once(model, len(starts))
    read, target, counts = (
        torch.zeros(positions, len(starts), dtype=dtype, device=device)
        for dtype in (torch.int64, torch.int64, torch.bool)
    )
    total = torch.zeros((), dtype=torch.float64, device=device)
    forward = _forward(model, Shape(positions, len(starts), int(lengths.max())))
    first_read = starts[int(first_is_cold) :] - 1
    state = model.start(int(first_is_cold))
    if len(first_read):
        warm = _warmed_up(model, forward, tokens, first_read, warm_up, positions)
        state = tuple(torch.cat(parts, 1) for parts in zip(state, warm, strict=True))

    def read_piece() -> None:
        logits, after = forward(read, state)
        losses = functional.cross_entropy(
            logits.float().flatten(0, 1), target.flatten(), reduction="none"
        )
        total.add_(losses.double() @ counts.flatten().double())
        for carried, now in zip(state, after, strict=True):
            carried.copy_(now)

    replayed = Replayed(read_piece, device)
    longest = int(lengths.max())
    for offset in range(0, longest, positions):
        steps = np.arange(offset, offset + positions)[:, None]
        at = np.minimum(starts + steps, len(tokens) - 1)
        read.copy_(torch.from_numpy(tokens[at - 1]))
        target.copy_(torch.from_numpy(tokens[at]))
        counts.copy_(torch.from_numpy(steps < lengths))
        replayed()
        tell(min(positions, longest - offset) / longest)
    return total.item()


def _forward(model: LanguageModel, shape: Shape) -> Forward:
    """The logits of tokens and the new state: on a CPU by a reader, which makes weights ready once
    and reads a layer at all positions before the next."""
    if model.decoder.weight.device.type != "cpu":
        return model
    reader = model.recurrent.reader(shape)

    def forward(tokens: torch.Tensor, state: State) -> tuple[torch.Tensor, State]:
        top, after = reader(model.embedding(tokens), state)
        return model.decoder(top), after

    return forward


@torch.no_grad()
def evaluate_answers(
    model: LanguageModel,
    inputs: IntArray,
    target: IntArray,
    answered: int,
    progress: Progress | None = None,
) -> tuple[Evaluation, BoolArray]:
    """Loss at the last `answered` positions of samples [position, sample], each read from the
    model's beginning, no dropout; and where the likeliest byte is the right one,
    bool [answered, sample].

    Only some samples are read at a time, and a piece of these, so that the memory that it takes
    does not grow with their number or length. `progress` is told the share done and may raise
    `Cancelled`.
    """
    length, samples = inputs.shape
    right = np.empty((answered, samples), dtype=bool)
    total, tell = 0.0, progress or (lambda share: None)
    with _without_dropout(model):
        for first in range(0, samples, SAMPLES_AT_ONCE):
            here = slice(first, min(first + SAMPLES_AT_ONCE, samples))

            def tell_part(share: float, here: slice = here) -> None:
                tell((here.start + share * (here.stop - here.start)) / samples)

            for at, logits in _answers(model, inputs[:, here], answered, tell_part):
                wanted = torch.from_numpy(target[-answered:, here][at]).to(logits.device)
                losses = functional.cross_entropy(
                    logits.double().flatten(0, 1), wanted.flatten(), reduction="sum"
                )
                total += losses.item()
                right[at, here] = (logits.argmax(-1) == wanted).cpu().numpy()
    return Evaluation(total / right.size, right.size), right


def _answers(
    model: LanguageModel, tokens: IntArray, answered: int, progress: Progress
) -> Iterator[tuple[slice, torch.Tensor]]:
    """The logits [position, sample, 256] of the last `answered` positions of samples
    [position, sample], piece by piece, each with where it lies among these positions."""
    length, samples = tokens.shape
    state, asked_from = model.start(samples), length - answered
    piece = max(1, MAX_VALUES_AT_ONCE // (samples * model.config.values_a_layer))
    for start in range(0, length, piece):
        progress(start / length)
        stop = min(start + piece, length)
        inputs = torch.from_numpy(tokens[start:stop]).to(model.decoder.weight.device)
        top, state = model.recurrent(model.embedding(inputs), state)
        if stop > asked_from:
            at = slice(max(start, asked_from) - asked_from, stop - asked_from)
            yield at, model.decoder(top[at.start - at.stop :]).float()
    progress(1.0)


def _warmed_up(
    model: LanguageModel,
    forward: Forward,
    tokens: IntArray,
    first_read: IntArray,
    warm_up: int,
    positions: int,
) -> State:
    """The state of each stream before it reads tokens[first_read]: h and c [L, stream, U]."""
    warm_up_tokens = tokens[first_read - warm_up + np.arange(warm_up)[:, None]]
    inputs = torch.from_numpy(warm_up_tokens).to(model.decoder.weight.device).long()
    warm = model.start(len(first_read))
    for piece in inputs.split(positions):
        _, warm = forward(piece, warm)
    return warm
