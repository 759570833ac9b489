"""What a training run learns: what an update reads, which predictions count, how it is validated.

Two tasks with one face: the bytes of a text, read on and on, and digit-by-digit addition.
"""

from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from gridlstm.addition import Layout, Sums
from gridlstm.array_types import IntArray
from gridlstm.checkpoint import Data
from gridlstm.corpus import Corpus, Streams, byte_entropy, cut_into_streams
from gridlstm.evaluation import Evaluation, evaluate, evaluate_answers
from gridlstm.model import LanguageModel
from gridlstm.progress import Progress
from gridlstm.training.settings import SettingsError, TrainingSettings


@dataclass(frozen=True)
class Batch:
    """The bytes that an update reads and has to predict [position, sequence]; the predictions at
    the last `counted` positions are what the loss is of."""

    inputs: Tensor
    target: Tensor
    counted: int


@dataclass(frozen=True)
class Validation:
    """A measured loss and, where answers are right or wrong, the share of `accuracy`: answers with
    every byte right, `digit_accuracy`: single digits."""

    loss: Evaluation
    accuracy: float | None = None
    digit_accuracy: float | None = None


class Task(Protocol):
    """`data` describes what is trained and validated on; `carries_state` says whether an update
    begins in the state in which the one before it ended, else in zeros."""

    data: Data
    carries_state: bool

    def batches(self, sequences: slice, device: torch.device) -> Callable[[int], Batch]:
        """The function that gives what the update of a number reads, whenever it is asked for: on
        the device, of those among the sequences of an update."""

    def epoch(self, update: int) -> float:
        """How often all data have been read before that update."""

    def validate(
        self,
        model: LanguageModel,
        max_bytes: int | None = None,
        progress: Progress | None = None,
    ) -> Validation:
        """Measure on all validation data, or on so many predicted bytes. `progress` is told the
        share done and may raise `Cancelled`."""


def task_of(settings: TrainingSettings, corpus: Corpus | None) -> Task:
    """The task that the settings name; only a text has a corpus."""
    if (corpus is None) != (settings.task == "addition"):
        raise SettingsError("A text is read for the task text, and for no other.")
    return TextTask(settings, corpus) if corpus is not None else AdditionTask(settings)


def data_of(corpus: Corpus) -> Data:
    """What a checkpoint says of the text."""
    return Data(
        name=corpus.name,
        sha256=corpus.sha256,
        bytes=len(corpus.data),
        train_fraction=corpus.train_fraction,
        byte_entropy=byte_entropy(corpus.validation),
    )


class TextTask:
    """A text in parallel streams, each read on where the update before it stopped."""

    carries_state = True

    def __init__(self, settings: TrainingSettings, corpus: Corpus):
        self.corpus = corpus
        self.streams = cut_into_streams(corpus.train, settings.sequences, settings.length)
        self.data = data_of(corpus)

    def batches(self, sequences: slice, device: torch.device) -> Callable[[int], Batch]:
        # All of the text, so that a GPU need not wait for it update by update.
        rows = torch.tensor(self.streams.rows[sequences], device=device)
        streams = Streams(rows, self.streams.length)
        return lambda update: Batch(*streams.piece(update), streams.length)

    def epoch(self, update: int) -> float:
        return update / self.streams.pieces

    def validate(
        self,
        model: LanguageModel,
        max_bytes: int | None = None,
        progress: Progress | None = None,
    ) -> Validation:
        return Validation(evaluate(model, self.corpus.validation, max_bytes, progress))


class AdditionTask:
    """Sums drawn anew for every update, of its number and the seed; validated on other pairs.

    `data.bytes` is 0, as nothing is stored; `data.sha256` is of the validation samples.
    """

    carries_state = False

    def __init__(self, settings: TrainingSettings):
        self.settings = settings
        assert settings.digits is not None  # as the settings see to
        self.layout = Layout(settings.digits, settings.length)
        self.sums = Sums(self.layout, settings.train_fraction)
        self.inputs, self.target = self.layout.lay_out(self.sums.validation())
        self._drawn(0)  # raises here, not later, where too few pairs are left to train on
        answers = self.target[-self.layout.answered :]
        self.data = Data(
            name=f"addition of {settings.digits}-digit numbers",
            sha256=sha256(np.concatenate((self.inputs, self.target)).tobytes()).hexdigest(),
            bytes=0,
            train_fraction=settings.train_fraction,
            byte_entropy=byte_entropy(answers.flatten()),
        )

    def batches(self, sequences: slice, device: torch.device) -> Callable[[int], Batch]:
        def batch(update: int) -> Batch:
            inputs, target = (
                torch.from_numpy(rows[:, sequences]).to(device) for rows in self._drawn(update)
            )
            return Batch(inputs, target, self.layout.answered)

        return batch

    def _drawn(self, update: int) -> tuple[IntArray, IntArray]:
        """What the update reads and has to predict, int64 [position, sequence], all sequences."""
        settings = self.settings
        operands = self.sums.training(settings.seed, update, settings.sequences)
        return self.layout.lay_out(operands)

    def epoch(self, update: int) -> float:
        """Always 0: there is no round of samples that could come to its end."""
        return 0.0

    def validate(
        self,
        model: LanguageModel,
        max_bytes: int | None = None,
        progress: Progress | None = None,
    ) -> Validation:
        answered, samples = self.layout.answered, self.inputs.shape[1]
        if max_bytes is not None:
            samples = min(samples, -(-max_bytes // answered))
        return validate_addition(
            model, self.inputs[:, :samples], self.target[:, :samples], self.layout, progress
        )


def validate_addition(
    model: LanguageModel,
    inputs: IntArray,
    target: IntArray,
    layout: Layout,
    progress: Progress | None = None,
) -> Validation:
    """Let `model` answer sums laid out [position, sample]; an answer is right if at each of its
    bytes, the end among them, the likeliest byte is the right one. `progress` as for `evaluate`."""
    loss, right = evaluate_answers(model, inputs, target, layout.answered, progress)
    return Validation(loss, float(right.all(axis=0).mean()), float(right[:-1].mean()))
