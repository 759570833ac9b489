"""Truncated backpropagation through time, as char-rnn and coreylynch/grid-lstm do it.

`sequences` streams are read side by side, `length` bytes an update, each stream's state carried
from one update to the next where the task is a text. What is read and how it is validated is the
task's (`gridlstm.tasks`). One straight road: `train` sets up a `Run`, and `Run.go` loops.
"""

import os
import platform
import signal
import time
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass, replace
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, distributed
from torch.nn import functional
from torch.nn.parallel import DistributedDataParallel

from gridlstm.checkpoint import Metadata, load_model, write_checkpoint
from gridlstm.config import ModelConfig
from gridlstm.corpus import Corpus
from gridlstm.curve_log import CurvePoint, write_curve
from gridlstm.model import LanguageModel
from gridlstm.progress_line import ProgressLine
from gridlstm.settings import SettingsError, TrainingSettings
from gridlstm.tasks import Validation, task_of
from gridlstm.training_state import (
    Progress,
    ResumeError,
    State,
    check_same_run,
    read_state,
    reading,
    state_path,
    write_state,
)


@dataclass(frozen=True)
class Workers:
    """The processes that share the sequences of each update, and the device of this one."""

    rank: int
    count: int
    device: torch.device

    @property
    def leads(self) -> bool:
        return self.rank == 0


@contextmanager
def workers(device_name: str | None):
    """Join the processes that `torchrun` started, if it did; yield this one's `Workers`."""
    count, rank = int(os.environ.get("WORLD_SIZE", 1)), int(os.environ.get("RANK", 0))
    local = int(os.environ.get("LOCAL_RANK", 0))
    if device_name is None:
        device_name = "cuda" if torch.cuda.is_available() else "cpu"
    device = _usable(f"cuda:{local}" if device_name == "cuda" and count > 1 else device_name)
    if count == 1:
        yield Workers(0, 1, device)
        return
    distributed.init_process_group("nccl" if device.type == "cuda" else "gloo")
    try:
        yield Workers(rank, count, device)
        # Measured: a process that tears its group down before the others are done sometimes aborts.
        distributed.barrier()
    finally:
        distributed.destroy_process_group()


def _usable(name: str) -> torch.device:
    try:
        return torch.empty(0, device=name).device
    # Torch raises AssertionError where it was built without the device, else RuntimeError.
    except (RuntimeError, AssertionError) as error:
        raise SettingsError(f"This machine has no device {name!r} that torch can use.") from error


def matmul_dtype(precision: str, device: torch.device) -> torch.dtype:
    """The type of matrix products: for "auto", bfloat16 where the processor is faster in it."""
    if precision == "auto":
        # A CPU without tile registers (AMX) multiplies bfloat16 more slowly than float32.
        fast = device.type == "cuda" or torch.cpu._is_amx_tile_supported()
        precision = "bfloat16" if fast else "float32"
    return getattr(torch, precision)


def machine_kind(device: torch.device) -> str:
    """The kind of machine, in words."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    name = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        models = [line for line in cpuinfo.read_text().splitlines() if "model name" in line]
        name = models[0].split(":", 1)[1].strip() if models else name
    threads = torch.get_num_threads()
    return f"CPU, {threads} thread{'s' if threads > 1 else ''}, {name}"


class Run:
    """One training run: a model, its optimiser, the task it learns and where it stands."""

    def __init__(
        self,
        config: ModelConfig,
        settings: TrainingSettings,
        corpus: Corpus | None,
        out: Path,
        team: Workers,
    ):
        if settings.sequences % team.count:
            raise SettingsError(
                f"{settings.sequences} sequences cannot be shared by {team.count} processes."
            )
        self.config, self.settings, self.out, self.team = config, settings, out, team
        self.task = task_of(settings, corpus)
        share = settings.sequences // team.count
        self.mine = slice(team.rank * share, (team.rank + 1) * share)
        torch.manual_seed(settings.seed)
        self.model = LanguageModel(config)
        self.model.initialise(settings.scale, settings.forget_bias)
        self.model.to(team.device)
        self.dtype = matmul_dtype(settings.precision, team.device)
        self.optimiser = _optimiser(settings, self.model)
        self.forward = self.model if team.count == 1 else DistributedDataParallel(self.model)
        # Processes must not draw the same dropout masks.
        torch.manual_seed(settings.seed + team.rank)
        self.carried = self.model.start(share)
        self.progress = Progress()

    # -- The loop ---------------------------------------------------------------------------------

    def go(self, until: float | None = None) -> bool:
        """Train until the settings say stop, or until the process is asked to or `until`, a time
        of the monotonic clock, has come; save what is reached. Return whether the settings said it.
        """
        started = time.monotonic() - self.progress.seconds
        goal = self.settings.goal
        with _asked_to_stop() as asked, ProgressLine(goal, self.team.leads) as line:
            # Every process must come to the same answer, at whichever of them the signal is.
            while not (ended := self._someone(self.progress.has_ended(self.settings))):
                if self._someone(asked() or (until is not None and time.monotonic() >= until)):
                    break
                loss = self._update()
                self.progress.seconds = time.monotonic() - started
                line.show(self.progress.update, loss, self.settings.bytes_an_update)
                if self.progress.update % self.settings.validate_every == 0:
                    self._validate(line)
                    self.save()
                elif self.progress.update % self.settings.save_every == 0:
                    self.save()
            if ended:
                self._finish(line)
            else:
                reached = self.progress.update
                line.say(f"stopping at update {reached:,}; --resume goes on from here")
            self.save()
        return ended

    def _someone(self, mine: bool) -> bool:
        """Whether any of the processes says so: they must leave the loop together."""
        if self.team.count == 1:
            return mine
        flag = torch.tensor(float(mine), device=self.team.device)
        distributed.all_reduce(flag)
        return flag.item() > 0

    def _autocast(self):
        if self.dtype == torch.float32:
            return nullcontext()
        return torch.autocast(self.team.device.type, self.dtype)

    def _update(self) -> float:
        """One update of the weights; return its loss in nats per byte."""
        settings, progress = self.settings, self.progress
        for group in self.optimiser.param_groups:
            group["lr"] = settings.learning_rate_at(self.task.epoch(progress.update))
        batch = self.task.batch(progress.update)
        read, target = (
            torch.from_numpy(rows[:, self.mine]).to(self.team.device)
            for rows in (batch.read, batch.target[-batch.counted :])
        )
        with self._autocast():
            logits, state = self.forward(read, self.carried)
        counted = logits[-batch.counted :].float()
        loss = functional.cross_entropy(counted.flatten(0, 1), target.flatten())
        # As in char-rnn the gradient that is clipped is that of a sequence's summed loss.
        (loss * batch.counted).backward()
        torch.nn.utils.clip_grad_value_(self.model.parameters(), settings.clip)
        self.optimiser.step()
        self.optimiser.zero_grad(set_to_none=True)
        if self.task.carries_state:
            self.carried = tuple(tensor.detach() for tensor in state)
        mean = loss.detach()
        if self.team.count > 1:
            distributed.all_reduce(mean)
            mean /= self.team.count
        value = mean.item()
        progress.update += 1
        progress.loss_sum += value
        progress.loss_count += 1
        return value

    def _validate(self, line: ProgressLine) -> None:
        """Add a point to the curve; if it is the best yet, write the checkpoint."""
        settings, progress = self.settings, self.progress
        if not self.team.leads or progress.loss_count == 0:
            return
        with self._autocast():
            result = self.task.validate(self.model, settings.validation_bytes)
        loss = result.loss.nats_per_byte
        better = loss < progress.best
        epoch = self.task.epoch(progress.update)
        point = CurvePoint(
            update=progress.update,
            epoch=epoch,
            bytes=progress.update * settings.bytes_an_update,
            train_loss=progress.loss_sum / progress.loss_count,
            val_loss=loss,
            learning_rate=settings.learning_rate_at(epoch),
            seconds=progress.seconds,
            accuracy=result.accuracy,
            digit_accuracy=result.digit_accuracy,
        )
        progress.points.append(point)
        progress.loss_sum, progress.loss_count = 0.0, 0
        if better:
            self._write_checkpoint(loss, result.loss.bytes)
        write_curve(self.out.with_suffix(".csv"), progress.points)
        line.say(f"validation {_in_words(result)} at update {point.update:,}")

    def _finish(self, line: ProgressLine) -> None:
        """Validate at the end, and state in the checkpoint its loss on the whole validation part,
        measured with the weights as they lie in the file."""
        self._validate(line)
        self.progress.finished_at = self.progress.update
        if not self.team.leads or not self.out.exists():
            return
        model, metadata = load_model(self.out)
        result = self.task.validate(model.to(self.team.device))
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
        write_checkpoint(self.out, _half(self.model.to_tensors()), metadata)

    def _stated_settings(self) -> dict:
        """The settings as the checkpoint states them, with the precision that was really used."""
        return {**asdict(self.settings), "precision": str(self.dtype).removeprefix("torch.")}

    # -- The state on disk ------------------------------------------------------------------------

    def save(self) -> None:
        """Write all that `resume` needs to go on to the same numbers; all processes must call."""
        carried = tuple(self._gather(tensor.transpose(0, 1)) for tensor in self.carried)
        generator = torch.get_rng_state()[None]
        if self.team.device.type == "cuda":
            generator = torch.cuda.get_rng_state(self.team.device)[None]
        generators = self._gather(generator.to(self.team.device))
        if not self.team.leads:
            return
        tensors = {f"model.{name}": tensor for name, tensor in self.model.state_dict().items()}
        for index, slots in self.optimiser.state_dict()["state"].items():
            tensors |= {f"optimiser.{index}.{slot}": tensor for slot, tensor in slots.items()}
        names = (f"carried.{name}" for name in self.config.state)
        tensors |= {**dict(zip(names, carried, strict=True)), "generators": generators}
        state = State(
            model=asdict(self.config),
            settings=asdict(self.settings),
            sha256=self.task.data.sha256,
            progress=self.progress,
            tensors=tensors,
        )
        write_state(state_path(self.out), state)

    def _gather(self, mine: Tensor) -> Tensor:
        """Every process's tensor, joined along the first axis."""
        if self.team.count == 1:
            return mine
        parts = [torch.empty_like(mine, memory_format=torch.contiguous_format)
                 for _ in range(self.team.count)]  # fmt: skip
        distributed.all_gather(parts, mine.contiguous())
        return torch.cat(parts)

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
            self._restore(state.tensors)
            self.progress = state.progress

    def _restore(self, tensors: dict[str, Tensor]) -> None:
        device = self.team.device
        self.model.load_state_dict(_under("model.", tensors))
        slots: dict[int, dict[str, Tensor]] = {}
        for name, tensor in _under("optimiser.", tensors).items():
            index, slot = name.split(".")
            slots.setdefault(int(index), {})[slot] = tensor
        whole = self.optimiser.state_dict()
        self.optimiser.load_state_dict({**whole, "state": slots})
        self.carried = tuple(
            tensors[f"carried.{name}"][self.mine].transpose(0, 1).contiguous().to(device)
            for name in self.config.state
        )
        # Cloned, since torch reads a generator's state from where its storage begins.
        generator = tensors["generators"][self.team.rank].clone()
        if device.type == "cuda":
            torch.cuda.set_rng_state(generator, device)
        else:
            torch.set_rng_state(generator)


def train(
    config: ModelConfig,
    settings: TrainingSettings,
    corpus: Corpus | None,
    out: Path,
    *,
    resume: bool = False,
    device: str | None = None,
    until: float | None = None,
) -> bool:
    """Train and write `out` (a .safetensors file), its curve beside it (.csv) and the state to
    resume from (.state.safetensors). Under `torchrun`, every process calls this. `corpus` is None
    where the task of the settings draws its own data.

    Returns whether the settings said stop; False if it was a signal, or that `until`, a time of
    the monotonic clock, has come: then a run that is resumed goes on to the same numbers.

    Raises CorpusError, SettingsError, AdditionError or ResumeError, each with one sentence.
    """
    with workers(device) as team:
        run = Run(config, settings, corpus, out, team)
        if resume:
            run.resume()
        else:
            for path in (state_path(out), out):
                if path.exists():
                    raise ResumeError(
                        f"{path.name} exists: go on with --resume, or choose another --out."
                    )
        return run.go(until)


def _optimiser(settings: TrainingSettings, model: LanguageModel) -> torch.optim.Optimizer:
    parameters = [p for p in model.parameters() if p.requires_grad]
    if settings.optimiser == "adam":
        return torch.optim.Adam(parameters, settings.learning_rate)
    return torch.optim.RMSprop(parameters, settings.learning_rate, alpha=settings.smoothing)


def _in_words(result: Validation) -> str:
    words = f"{result.loss.bits_per_byte:.4f} bits per byte"
    return words if result.accuracy is None else f"{words}, {result.accuracy:.1%} right,"


def _half(tensors: dict[str, Tensor]) -> dict[str, np.ndarray]:
    return {name: tensor.detach().cpu().half().numpy() for name, tensor in tensors.items()}


def _under(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """The tensors whose name begins with prefix, by the rest of it."""
    return {
        name.removeprefix(prefix): tensor
        for name, tensor in tensors.items()
        if name.startswith(prefix)
    }


@contextmanager
def _asked_to_stop():
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
