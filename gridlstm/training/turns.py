"""A plan whose runs take turns, all in the memory of one process, until its minutes are over.

Whenever it ends, all runs have had the same number of updates to within one turn. While the rate
still is what it was the runs are those of `train`, to the last bit; their **cooled** continuations,
over which the rate falls to 0, are runs of their own with `train`'s settings for that.
"""

import math
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from copy import copy
from pathlib import Path

import torch
from torch import Tensor

from gridlstm.corpus import Corpus, read_corpus
from gridlstm.progress import Cancelled
from gridlstm.training.experiment import Step, TurnPlan, checkpoint_of, cooled_step, find_progress
from gridlstm.training.measuring import Measurement, Pace
from gridlstm.training.portions import write_portions
from gridlstm.training.progress_line import ProgressLine
from gridlstm.training.run import Run, catch_interrupts
from gridlstm.training.settings import SettingsError
from gridlstm.training.state import Progress, state_path
from gridlstm.training.time_log import TimeLog
from gridlstm.training.ways import Way
from gridlstm.training.workers import Workers, machine_kind, workers

LOG, PORTIONS = "log.jsonl", "portions"
# What was measured may take longer the next time.
MARGIN = 1.1


class TurnRun(Run):
    """A run that others take turns with: it draws its random numbers from a stream of its own, and
    its state is written when a turn ends, not at each point of the curve."""

    def __init__(
        self, step: Step, corpus: Corpus, out: Path, team: Workers, log: TimeLog, pace: Pace
    ) -> None:
        super().__init__(step.model, step.training, corpus, checkpoint_of(step, out), team)
        self.name, self.log, self.pace = step.name, log, pace
        self._random_state = _random_state(team.device)
        self._signalled: Callable[[], bool] | None = None
        self._timed_to = 0

    def take_turn(self, goal: int, signalled: Callable[[], bool], over: Callable[[], bool]) -> bool:
        """Train until update `goal`, its point of the curve measured if it has one, or until the
        process is asked to stop or the time is over; return whether the settings said stop."""

        def stop() -> bool:
            progress = self.progress
            there = progress.update >= goal and not progress.is_point_due(self.settings)
            return there or signalled() or over()

        self._timed_to, self._signalled = self.progress.update, signalled
        with self._drawing(), ProgressLine(sys.maxsize, self.team.is_rank_zero) as line:
            ended = self._go_on(line, stop, None)
        self._mark_training()
        self._signalled = None
        return ended

    def finish(self) -> None:
        """Measure what is owed, and the whole validation part with the best weights; write it."""
        with ProgressLine(sys.maxsize, self.team.is_rank_zero) as line:
            self._finish(line)
        self.log.mark("whole validation part", model=self.name)
        self.write()

    def write(self) -> None:
        """Write the state to go on from."""
        with self._drawing():
            super().save()
        self.pace.saving = self.log.mark("saving", model=self.name, update=self.progress.update)

    def save(self) -> None:
        """Nothing: the state is large, and written where a turn ends."""

    def resume(self) -> None:
        super().resume()
        self._random_state = _random_state(self.team.device)

    def cooled(self, step: Step, out: Path) -> "TurnRun":
        """The run that goes on from here, in memory, with the settings of another step."""
        run = copy(self)
        run.name, run.out, run.settings = step.name, checkpoint_of(step, out), step.training
        run.learner.settings = step.training
        run.progress = Progress(
            update=self.progress.update,
            seconds=self.progress.seconds,
            points=list(self.progress.points),
            begun_from=self.out.name,
            begun_at=self.progress.update,
        )
        return run

    def _validate(self, line: ProgressLine, asked: Callable[[], bool]) -> bool:
        self._mark_training()
        if self.progress.loss_count == 0:
            return True
        # Time that is over does not drop a point of the curve, as a signal does.
        done = super()._validate(line, self._signalled or asked)
        facts = {"model": self.name, "update": self.progress.update}
        if done:
            facts |= {"loss": self.progress.points[-1].val_loss}
        seconds = self.log.mark("validation", **facts)
        if done:
            self.pace.point = seconds
        return done

    def _mark_training(self) -> None:
        update = self.progress.update
        updates, self._timed_to = update - self._timed_to, update
        if not updates:
            return
        seconds = self.log.mark("training", model=self.name, updates=updates, update=update)
        # The first updates of a turn are slow, as a GPU records them: few say little.
        if seconds > 0 and 2 * updates >= self.settings.validate_every:
            self.pace.updates_per_second = updates / seconds

    @contextmanager
    def _drawing(self) -> Iterator[None]:
        """Within, random numbers are those of this run's own stream."""
        _set_random_state(self._random_state, self.team.device)
        try:
            yield
        finally:
            self._random_state = _random_state(self.team.device)


def run_in_turns(
    plan: TurnPlan,
    text: Path,
    out: Path,
    *,
    minutes: float,
    device: str | None = None,
    began: float | None = None,
    now: Callable[[], float] = time.monotonic,
    say: Callable[[str], None] = lambda line: print(line, file=sys.stderr, flush=True),
) -> bool:
    """Do a plan within so many minutes, those of all calls together; return whether it is done.

    Each run, and the one that cools it, writes its checkpoint, curve and state into the folder
    `out`; what the time went into is in `log.jsonl` there, and results lie ready in `portions`.
    Asked to stop, it saves, and the same call goes on from there to the same numbers. Once the
    falling rate is begun it is brought to its end, also where that takes longer than reckoned.

    `began` is the time of `now` from which this call counts, if that was earlier.

    Raises UserError, or the RuntimeError of a machine that cannot do it.
    """
    log = TimeLog(out / LOG, now, began)
    steps = [*plan.steps, *(cooled_step(plan, step, out) for step in plan.steps)]
    if all(find_progress(step, out)[1] for step in steps[len(plan.steps) :]):
        say("nothing to do: all runs are complete")
        return True
    with workers(device) as team, catch_interrupts() as signalled:
        if team.count > 1:
            raise SettingsError("Runs take turns in one process: start it without torchrun.")
        corpus = read_corpus(text, plan.steps[0].training.train_fraction)
        log.note(
            "call", minutes=minutes, machine=machine_kind(team.device), torch=torch.__version__
        )
        log.mark("starting")
        say(f"call {log.call}, {log.seconds / 60:.1f} of {minutes:g} minutes spent")
        try:
            paces = _measured(plan, corpus, team, log, say, signalled)
            turns = Turns(plan, corpus, out, team, log, paces, say, signalled)
            done = turns.go(60 * minutes)
        except Cancelled:
            say("stopped while measuring; the same command begins anew")
            return False
        _write_results(plan, out, log, say)
    return done


def _measured(
    plan: TurnPlan,
    corpus: Corpus,
    team: Workers,
    log: TimeLog,
    say: Callable[[str], None],
    stop: Callable[[], bool],
) -> dict[str, Pace]:
    """Each run's pace in the way that is then taken: measured, or as an earlier call did."""
    before = log.last("measured")
    if before is not None and before["machine"] == machine_kind(team.device):
        way = Way(**before["way"])
        paces = {name: Pace(**pace) for name, pace in before["paces"].items()}
        say(f"taken as measured before: {way}")
    else:
        way, paces = Measurement(plan, corpus, team, log, say, stop).measure()
        log.note(
            "measured",
            machine=machine_kind(team.device),
            way=vars(way),
            paces={name: vars(pace) for name, pace in paces.items()},
        )
    if team.device.type == "cuda":
        torch.cuda.empty_cache()
    way.take()
    return paces


class Turns:
    """The runs of a plan that are not complete, in memory."""

    def __init__(
        self,
        plan: TurnPlan,
        corpus: Corpus,
        out: Path,
        team: Workers,
        log: TimeLog,
        paces: dict[str, Pace],
        say: Callable[[str], None],
        signalled: Callable[[], bool],
    ) -> None:
        self.plan, self.out, self.log, self.paces = plan, out, log, paces
        self.say, self.signalled = say, signalled
        self.runs: dict[str, TurnRun] = {}
        self.cooled: dict[str, TurnRun] = {}
        for step in plan.steps:
            cooled = cooled_step(plan, step, out)
            is_cooled = state_path(checkpoint_of(cooled, out)).exists()
            begun = cooled if is_cooled else step
            run = TurnRun(begun, corpus, out, team, log, paces[step.name])
            if state_path(run.out).exists():
                run.resume()
            (self.cooled if is_cooled else self.runs)[step.name] = run
        log.mark("loading")

    def go(self, seconds: float) -> bool:
        """Do all, within so many seconds of the log; return whether all is done."""
        if self.log.last("cooldown") is None:
            if self.log.seconds >= seconds:
                self.say("the time is over: give more minutes to go on")
                return False
            if not self._train(seconds):
                return False
            self._begin_cooldown(seconds)
        return self._cool()

    # -- At the full rate -------------------------------------------------------------------------

    def _train(self, seconds: float) -> bool:
        """Turn after turn, until the time left just suffices for the falling rate; return whether
        that is to begin."""
        # Late, as a call before was cut off, it begins all the same, but not with untrained models.
        begun = all(run.progress.update for run in self.runs.values())
        enough = begun or self.log.seconds + self.cooldown_seconds < seconds
        if not enough:
            self.say(f"a falling rate, reckoned {self.cooldown_seconds:.0f} s, would not fit in")

        def over() -> bool:
            return self.log.seconds >= seconds - (self.cooldown_seconds if enough else 0)

        while not (over() or self.signalled()):
            run = self._next()
            if run is None:
                self.say(f"{self._clock()} no model improves any longer")
                return True
            self._do_turn(run, over)
        if self.signalled():
            self.say("stopped: the same command goes on from here")
        elif not enough:
            self.say("the time is over: with more minutes the same command goes on from here")
        return enough and not self.signalled()

    def _next(self) -> TurnRun | None:
        """The first of those that have had the fewest whole turns and are to be trained on."""
        waiting = [r for r in self.runs.values() if not r.progress.has_ended(r.settings)]
        return min(waiting, key=lambda r: r.progress.update // self.plan.turn, default=None)

    def _do_turn(self, run: TurnRun, over: Callable[[], bool]) -> None:
        begun = run.progress.update
        goal = self.plan.turn * (begun // self.plan.turn + 1)
        stalled = run.take_turn(goal, self.signalled, over)
        run.write()
        why = ": it no longer improves, and gives its turns to the others" if stalled else ""
        self.say(
            f"{self._clock()} {run.name}, updates {begun:,} to {run.progress.update:,}, "
            f"{run.pace.updates_per_second:.2f} updates/s, {_best(run)}{why}"
        )

    # -- At a falling rate ------------------------------------------------------------------------

    @property
    def cooldown_seconds(self) -> float:
        """What it takes to cool all models and to bring the results home, reckoned with what was
        measured last, with a margin."""
        every = self.plan.steps[0].training.validate_every
        each = (
            pace.seconds_of_cooldown(self.plan.cooldown, every) + 2 * pace.saving
            for pace in self.paces.values()
        )
        return MARGIN * sum(each)

    def _begin_cooldown(self, seconds: float) -> None:
        updates = {name: run.progress.update for name, run in self.runs.items()}
        reckoned, left = self.cooldown_seconds, seconds - self.log.seconds
        self.log.note("cooldown", updates=updates, reckoned=reckoned, left=left)
        self.say(
            f"{self._clock()} the rate begins to fall for all: reckoned {reckoned:.0f} s, left "
            f"{left:.0f} s"
        )

    def _cool(self) -> bool:
        """Cool every model that is not; return whether all are."""
        for step in self.plan.steps:
            if find_progress(cooled_step(self.plan, step, self.out), self.out)[1]:
                continue
            if self.signalled() or not self._cool_model(step):
                self.say("stopped: the same command goes on from here")
                return False
        return True

    def _cool_model(self, step: Step) -> bool:
        """Return whether it came to its end."""
        cooled = self.cooled.get(step.name) or self._start_cooldown(step)
        if not cooled.take_turn(sys.maxsize, self.signalled, lambda: False):
            cooled.write()
            return False
        cooled.finish()
        self.say(f"{self._clock()} {cooled.name}, {_best(cooled)}")
        return True

    def _start_cooldown(self, step: Step) -> TurnRun:
        run = self.runs[step.name]
        if run.progress.finished_at < run.progress.update:
            run.finish()
        return run.cooled(cooled_step(self.plan, step, self.out), self.out)

    def _clock(self) -> str:
        minutes, seconds = divmod(int(self.log.seconds), 60)
        return f"{minutes}:{seconds:02}"


def _write_results(plan: TurnPlan, out: Path, log: TimeLog, say: Callable[[str], None]) -> None:
    """Lay the results ready in portions, and say what each minute of this call went into."""
    names = [f"{of}{name}" for of in ("cooled-", "") for name in plan.brought_home]
    curves = [path for path in (out / f"{name}.csv" for name in names) if path.exists()]
    weights = [p for p in (out / f"{name}.safetensors" for name in names) if p.exists()]
    portions = write_portions([log.path, *curves], weights, out / PORTIONS)
    log.mark("laying ready")
    for minute, spent in log.minutes().items():
        log.note("minute", minute=minute, seconds=spent)
        shares = ", ".join(f"{name} {seconds:.1f} s" for name, seconds in spent.items())
        say(f"minute {minute}: {shares}")
    # The log lies in the first portion; now it is whole.
    shutil.copy(log.path, portions[0])
    say(f"results in {len(portions)} portions: {portions[0]} and on")


def _best(run: Run) -> str:
    best = run.progress.best
    return f"best {best / math.log(2):.4f} bits per byte" if best < math.inf else "no point yet"


def _random_state(device: torch.device) -> Tensor:
    """The state of the generator that dropout draws from."""
    return torch.cuda.get_rng_state(device) if device.type == "cuda" else torch.get_rng_state()


def _set_random_state(state: Tensor, device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.set_rng_state(state, device)
    else:
        torch.set_rng_state(state)
