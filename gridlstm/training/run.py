"""Truncated backpropagation through time, as char-rnn and coreylynch/grid-lstm do it.

`sequences` streams are read side by side, `length` bytes an update, each stream's state carried
from one update to the next where the task is a text. What is read and how it is validated is the
task's (`gridlstm.training.tasks`). One straight road: `train` sets up a `Run`, and `Run.go` loops.
"""

import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from functools import partial
from importlib.metadata import version
from pathlib import Path

from torch import Tensor

from gridlstm.array_types import FloatArray
from gridlstm.checkpoint import (
    Metadata,
    load_model,
    model_name,
    read_metadata,
    remove_unfinished,
    write_checkpoint,
)
from gridlstm.config import ALPHABET, ModelConfig
from gridlstm.corpus import Corpus
from gridlstm.errors import UserError
from gridlstm.progress import Cancelled
from gridlstm.training.curve_log import CurvePoint, read_points, write_curve
from gridlstm.training.learner import Learner
from gridlstm.training.progress_line import ProgressLine
from gridlstm.training.settings import MAX_NUMBER, SettingsError, TrainingSettings
from gridlstm.training.state import (
    Progress,
    ResumeError,
    State,
    check_same_run,
    check_tensors,
    read_state,
    reading,
    state_path,
    write_state,
)
from gridlstm.training.tasks import Validation, task_of
from gridlstm.training.workers import Workers, machine_kind, workers

# What torch says of a step beyond the numbers of float32.
TOO_LARGE = "cannot be converted to type float without overflow"


class DivergedError(UserError):
    """A training whose loss is no finite number; the message is one sentence for the user."""


def _can_be_saved(loss: float) -> bool:
    """False for NaN and infinity as well."""
    return loss < MAX_NUMBER


class Run:
    """One training run: a task, the model that learns it, and where it stands."""

    def __init__(
        self,
        config: ModelConfig,
        settings: TrainingSettings,
        corpus: Corpus | None,
        out: Path,
        team: Workers,
    ):
        self.config, self.settings, self.out, self.team = config, settings, out, team
        self.task = task_of(settings, corpus)
        self.learner = Learner(config, settings, self.task, team)
        self.progress = Progress()
        # The last validation loss, in the process that measures it.
        self.validation_loss = 0.0

    # -- The loop ---------------------------------------------------------------------------------

    def go(self, until: float | None = None) -> bool:
        """Train until the settings say stop, or until the process is asked to or `until`, a time
        of the monotonic clock, has come; save what is reached. Return whether the settings said it.

        Raises DivergedError at the first loss that cannot be saved; what was saved before stays.
        """
        with ProgressLine(self.settings.goal, self.team.is_rank_zero) as line:
            with catch_interrupts() as asked:
                ended = self._go_on(line, asked, until)
                self.save()
            if ended:
                # The whole validation part can take long: a signal ends it as it ends any program.
                self._finish(line)
                self.save()
            else:
                reached = self.progress.update
                line.say(f"stopping at update {reached:,}; --resume goes on from here")
        return ended

    def _go_on(self, line: ProgressLine, asked: Callable[[], bool], until: float | None) -> bool:
        """Update until the settings say stop, or, which is False, the process is asked to."""
        started = time.monotonic() - self.progress.seconds
        # Every process must come to the same answer, at whichever of them the signal is.
        while True:
            is_point_due = self.progress.is_point_due(self.settings)
            if not is_point_due and self.team.any(self.progress.has_ended(self.settings)):
                return True
            if self.team.any(asked() or (until is not None and time.monotonic() >= until)):
                return False
            if is_point_due:
                if self.team.any(not self._validate(line, asked)):
                    return False
                self._check_validation()
                self.save()
                continue
            loss = self._update()
            if not _can_be_saved(loss):  # in every process: the mean of all
                raise self._diverged("training loss", self.progress.update)
            self.progress.seconds = time.monotonic() - started
            line.show(self.progress.update, loss, self.settings.bytes_an_update)
            if self.progress.update % self.settings.save_every == 0:
                self.save()

    def _update(self) -> float:
        """One update of the weights; return its loss in nats per byte."""
        try:
            loss = self.learner.update(self.progress.update)
        except RuntimeError as error:
            if TOO_LARGE not in str(error):
                raise
            raise self._diverged("step", self.progress.update + 1) from error
        self.progress.update += 1
        self.progress.loss_sum += loss
        self.progress.loss_count += 1
        return loss

    def _validate(self, line: ProgressLine, asked: Callable[[], bool]) -> bool:
        """Measure a point of the curve, if there were updates since the last; return whether that
        was done. It can take minutes: asked to stop meanwhile, it is dropped, and a resumed run
        begins with it."""
        if self.team.is_rank_zero and self.progress.loss_count > 0:
            try:
                with self.learner.autocast():
                    result = self.task.validate(
                        self.learner.model,
                        self.settings.validation_bytes,
                        partial(_cancel_if, asked),
                    )
            except Cancelled:
                return False
            self._add_point(result)
            line.say(f"validation {_in_words(result)} at update {self.progress.update:,}")
        self.progress.loss_sum, self.progress.loss_count = 0.0, 0
        return True

    def _check_validation(self) -> None:
        """Raise DivergedError if the loss just measured cannot be saved; all processes call it."""
        if self.team.any(not _can_be_saved(self.validation_loss)):
            raise self._diverged("validation loss", self.progress.update)

    def _diverged(self, what: str, update: int) -> DivergedError:
        kept = "there is no checkpoint yet"
        if self.out.exists():
            kept = f"{self.out.name}, of update {read_metadata(self.out).updates:,}, is kept"
        return DivergedError(
            f"The {what} of update {update:,} is no number under 2^63: the training has diverged "
            f"and stops; {kept} (a lower --learning-rate may help)."
        )

    def _add_point(self, result: Validation) -> None:
        """Add a point to the curve; if it is the best yet, write the checkpoint."""
        settings, progress = self.settings, self.progress
        loss = self.validation_loss = result.loss.nats_per_byte
        if not _can_be_saved(loss):
            return
        better = loss < progress.best
        epoch = self.task.epoch(progress.update)
        point = CurvePoint(
            update=progress.update,
            epoch=epoch,
            bytes=progress.update * settings.bytes_an_update,
            train_loss=progress.loss_sum / progress.loss_count,
            val_loss=loss,
            learning_rate=settings.learning_rate_at(progress.update, epoch),
            seconds=progress.seconds,
            accuracy=result.accuracy,
            digit_accuracy=result.digit_accuracy,
        )
        progress.points.append(point)
        if better:
            self._write_checkpoint(loss, result.loss.bytes)
        write_curve(self.out.with_suffix(".csv"), progress.points)

    def _finish(self, line: ProgressLine) -> None:
        """Validate at the end, and state in the checkpoint its loss on the whole validation part,
        measured with the weights as they lie in the file."""
        self._validate(line, asked=lambda: False)
        self._check_validation()
        self.progress.finished_at = self.progress.update
        if not self.team.is_rank_zero or not self.out.exists():
            return
        model, metadata = load_model(self.out)
        result = self.task.validate(model.to(self.team.device))
        if not _can_be_saved(result.loss.nats_per_byte):
            raise self._diverged("validation loss", metadata.updates)
        tensors = {name: tensor.cpu() for name, tensor in model.to_tensors().items()}
        # A run that was gone on with under other limits may have been at its best before.
        stated = replace(
            metadata,
            training=self._stated_settings(),
            validation_loss=result.loss.nats_per_byte,
            validation_bytes=result.loss.bytes,
        )
        write_checkpoint(self.out, _half(tensors), stated)
        line.say(f"checkpoint: {_in_words(result)} on {result.loss.bytes:,} bytes")

    def _write_checkpoint(self, loss: float, counted: int) -> None:
        progress = self.progress
        metadata = Metadata(
            model=self.config,
            data=self.task.data,
            training=self._stated_settings(),
            updates=progress.update,
            bytes_seen=progress.update * self.settings.bytes_an_update,
            validation_loss=loss,
            validation_bytes=counted,
            seconds=progress.seconds,
            machine=machine_kind(self.team.device),
            libraries={name: version(name) for name in ("torch", "numpy", "safetensors")},
        )
        write_checkpoint(self.out, _half(self.learner.model.to_tensors()), metadata)

    def _stated_settings(self) -> dict[str, object]:
        """The settings as the checkpoint states them, with the precision that was really used and
        the checkpoint whose weights the run began from."""
        return {
            **asdict(self.settings),
            "precision": str(self.learner.dtype).removeprefix("torch."),
            "begun_from": self.progress.begun_from,
        }

    # -- Where it begins, and the state on disk ----------------------------------------------------

    def begin_from(self, checkpoint: Path) -> None:
        """Take a checkpoint's weights and its curve up to them, if that lies beside it, and go on
        counting there. The optimiser's sums and the carried states, which are not in a checkpoint,
        begin anew.

        Raises CheckpointError, CurveLogError, or SettingsError if it is of another model, of
        updates of other size, or already at the end.
        """
        model, about = load_model(checkpoint)
        if about.vocabulary is not None:
            raise SettingsError(
                f"{checkpoint.name} has a vocabulary of its own, and trained is over bytes alone."
            )
        if replace(model.config, dropout=self.config.dropout) != self.config:
            raise SettingsError(f"{checkpoint.name} is another model than the one to be trained.")
        if about.updates >= self.settings.goal:
            raise SettingsError(
                f"{checkpoint.name} has been trained for {about.updates:,} updates already, and "
                f"the end is at {self.settings.goal:,}: choose a later one."
            )
        size = self.settings.bytes_an_update
        if about.bytes_seen != about.updates * size:
            raise SettingsError(
                f"{checkpoint.name} has been trained on {about.bytes_seen / about.updates:,.0f} "
                f"bytes an update, and this run would be on {size:,}: choose as many."
            )
        curve = checkpoint.with_name(f"{model_name(checkpoint)}.csv")
        past = read_points(curve) if curve.exists() else []
        self.learner.model.load_tensors(model.to_tensors())
        self.progress = Progress(
            update=about.updates,
            seconds=about.seconds,
            points=[point for point in past if point.update <= about.updates],
            begun_from=checkpoint.name,
            begun_at=about.updates,
        )

    def save(self) -> None:
        """Write all that `resume` needs to go on to the same numbers; all processes must call."""
        tensors = self.learner.tensors()
        if not self.team.is_rank_zero:
            return
        state = State(
            model=asdict(self.config),
            settings=asdict(self.settings),
            sha256=self.task.data.sha256,
            progress=self.progress,
            tensors=tensors,
        )
        write_state(state_path(self.out), state)

    def resume(self) -> None:
        """Go back to where the state on disk stands. Raises ResumeError where that cannot be."""
        path = state_path(self.out)
        with reading(path):
            state = read_state(path)
            check_same_run(path, state, self.config, self.settings, self.task.data.sha256)
            processes = len(state.tensors["generators"])
            if processes != self.team.count:
                raise ResumeError(
                    f"The run was made by {processes} processes, not {self.team.count}."
                )
            parameters = self.learner.optimiser.param_groups[0]["params"]
            expected = self.learner.tensors()
            check_tensors(state.tensors, expected, parameters, self.settings.optimiser)
            self.learner.restore(state.tensors)
            self.progress = state.progress


def train(
    config: ModelConfig,
    settings: TrainingSettings,
    corpus: Corpus | None,
    out: Path,
    *,
    resume: bool = False,
    begin_from: Path | None = None,
    device: str | None = None,
    until: float | None = None,
) -> bool:
    """Train and write `out` (a .safetensors file), its curve beside it (.csv) and the state to
    resume from (.state.safetensors). Under `torchrun`, every process calls this. `corpus` is None
    where the task of the settings draws its own data. `begin_from` is a checkpoint whose weights a
    new run takes instead of random ones, see `Run.begin_from`.

    Returns whether the settings said stop; False if it was a signal, or that `until`, a time of
    the monotonic clock, has come: then a run that is resumed goes on to the same numbers.

    Raises CorpusError, SettingsError, AdditionError, ResumeError, CheckpointError, CurveLogError,
    WriteError or DivergedError, each with one sentence.
    """
    if config.vocabulary_size != ALPHABET:
        raise SettingsError(
            f"Trained are models over the 256 bytes, not one of {config.vocabulary_size:,} tokens."
        )
    with workers(device) as team:
        if team.is_rank_zero:
            for path in (out, state_path(out), out.with_suffix(".csv")):
                remove_unfinished(path)
        run = Run(config, settings, corpus, out, team)
        if resume:
            run.resume()
        else:
            for path in (state_path(out), out):
                if path.exists():
                    raise ResumeError(
                        f"{path.name} exists: go on with --resume, or choose another --out."
                    )
            if begin_from is not None:
                run.begin_from(begin_from)
        return run.go(until)


def _cancel_if(asked: Callable[[], bool], _share: float) -> None:
    if asked():
        raise Cancelled


def _in_words(result: Validation) -> str:
    words = f"{result.loss.bits_per_byte:.4f} bits per byte"
    return words if result.accuracy is None else f"{words}, {result.accuracy:.1%} right,"


def _half(tensors: dict[str, Tensor]) -> dict[str, FloatArray]:
    """The weights in half precision; in single where one is too large for half."""
    whole = {name: tensor.detach().cpu() for name, tensor in tensors.items()}
    half = {name: tensor.half() for name, tensor in whole.items()}
    return {
        name: (half[name] if half[name].isfinite().all() else whole[name]).numpy()
        for name in tensors
    }


@contextmanager
def catch_interrupts() -> Iterator[Callable[[], bool]]:
    """Within, Ctrl-C and SIGTERM do not end the process but make the yielded function True."""
    asked: list[int] = []
    before = {}
    for number in (signal.SIGINT, signal.SIGTERM):
        before[number] = signal.signal(number, lambda number, _: asked.append(number))
    try:
        yield lambda: bool(asked)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
