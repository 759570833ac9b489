"""The published experiment as a list of training runs, in an order in which an early end still
leaves a complete comparison. Imports torch only when it trains or looks where a run stands."""

import sys
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from gridlstm.config import ModelConfig
from gridlstm.corpus import read_corpus
from gridlstm.errors import UserError
from gridlstm.training.presets import PRESETS, SEED
from gridlstm.training.settings import TrainingSettings

WIKI, KERNEL = "wiki", "kernel"


@dataclass(frozen=True)
class Step:
    """Train the run called `name` on the text called `text` until its settings say stop.

    Several steps may be of one run: the later goes on from where the earlier ended, so they may
    differ only in settings that say when to stop.
    """

    name: str
    text: str
    model: ModelConfig
    training: TrainingSettings


@dataclass(frozen=True)
class TurnPlan:
    """Runs that take turns of `turn` updates each, in the order of `steps`, until the time left
    just suffices for `cooldown` more of each, over which its rate falls to 0.

    Before, for `measured_seconds` at most, up to `measured_updates` of each are measured; those of
    the runs called `resumed` are also compared with a run that was interrupted. What is called
    first in `brought_home` is the first of the results.
    """

    steps: tuple[Step, ...]
    resumed: tuple[str, ...]
    brought_home: tuple[str, ...]
    turn: int = 2000
    cooldown: int = 1200
    measured_seconds: float = 60.0
    measured_updates: int = 200


# -- The plans ------------------------------------------------------------------------------------

FOUR = ("stacked-3", "grid-3", "stacked-6", "grid-6")
# The best of each architecture as published, and the others.
PAIR, OTHERS = ("stacked-3", "grid-6"), ("stacked-6", "grid-3")
GRIDS, SIX_LAYERS = ("grid-3", "grid-6"), ("stacked-6", "grid-6")
# Four times the bytes an update, on the text that is long enough to be read so: 450 million bytes,
# twice as many as in a published run, the rate halved with each epoch of 95 million but the first.
BETTER_FED = {
    "sequences": 200,
    "length": 100,
    "optimiser": "adam",
    "decay": 0.5,
    "decay_from_epoch": 2,
    "updates": 22_500,
    "validate_every": 500,
}


def _steps(preset: str, text: str, models: Sequence[str], **training: Any) -> list[Step]:
    """A step for each of a preset's models, with other values for some training settings."""
    chosen = {name: PRESETS[f"{preset}-{name}"] for name in models}
    return [
        Step(f"{text}-{name}", text, found.model, replace(found.training, **training))
        for name, found in chosen.items()
    ]


def _variant(suffix: str, steps: Iterable[Step], **model: Any) -> list[Step]:
    """Runs of their own, with other values for some fields of the model."""
    return [
        replace(step, name=f"{step.name}-{suffix}", model=replace(step.model, **model))
        for step in steps
    ]


PLANS = {
    "seed": (
        *_steps("seed", WIKI, FOUR, updates=8000),
        *_steps("seed", WIKI, FOUR),
        *_steps("seed", KERNEL, PAIR, updates=8000),
        *_steps("seed", KERNEL, PAIR),
        *_steps("seed", KERNEL, OTHERS),
        *_variant("tie-depth", _steps("seed", WIKI, GRIDS), tie="depth"),
        *_variant("no-dropout", _steps("seed", WIKI, SIX_LAYERS), dropout=0.0),
        *_variant("better-fed", _steps("seed", KERNEL, PAIR, **BETTER_FED)),
    ),
    "small": (
        # 4.9 million bytes, then the preset's 20 million.
        *_steps("small", WIKI, FOUR, updates=2400),
        *_steps("small", WIKI, FOUR),
        *_variant(
            "no-dropout",
            _steps(
                "small",
                WIKI,
                SIX_LAYERS,
                scale=SEED.scale,
                learning_rate=SEED.learning_rate,
                bytes=3_000_000,
            ),
            dropout=0.0,
        ),
    ),
}
# On a GPU that is there for some minutes only: whenever it ends, all four had the same budget.
SHORT = {"validate_every": 500, "validation_bytes": 65_536}
TURN_PLANS = {
    "short": TurnPlan(
        steps=tuple(_steps("seed", WIKI, ("stacked-3", "grid-6", "grid-3", "stacked-6"), **SHORT)),
        resumed=("wiki-stacked-3", "wiki-grid-3"),
        brought_home=("wiki-grid-6", "wiki-stacked-3", "wiki-grid-3", "wiki-stacked-6"),
    ),
}
TRIAL_UNITS = 16
TRIAL_SETTINGS: dict[str, Any] = {
    "sequences": 10,
    "length": 10,
    "train_fraction": 0.9998,
    "validate_every": 10,
    "validation_bytes": 256,
}


def trial_of(plan: TurnPlan) -> TurnPlan:
    """The same with models, turns and measurements so small that a CPU does it in a minute."""
    steps = tuple(
        replace(
            step,
            model=replace(step.model, units=TRIAL_UNITS),
            training=replace(step.training, **TRIAL_SETTINGS),
        )
        for step in plan.steps
    )
    return replace(
        plan, steps=steps, turn=20, cooldown=12, measured_seconds=8.0, measured_updates=8
    )


def texts_of(plan: Sequence[Step]) -> set[str]:
    """The names of the texts that a plan reads."""
    return {step.text for step in plan}


# -- Doing them -----------------------------------------------------------------------------------


def checkpoint_of(step: Step, out: Path) -> Path:
    """The checkpoint that a step writes, in the folder `out`."""
    return out / f"{step.name}.safetensors"


def find_progress(step: Step, out: Path) -> tuple[int, bool]:
    """The update that a step's run has reached, and whether the step is complete.

    Raises ResumeError if the state of the run cannot be read.
    """
    from gridlstm.training.state import read_progress, state_path

    progress = read_progress(state_path(checkpoint_of(step, out)))
    return progress.update, progress.is_complete(step.training)


def cooled_step(plan: TurnPlan, step: Step, out: Path) -> Step:
    """The step that goes on from where a step of the plan was left, at a rate that falls to 0.
    Raises ResumeError as `find_progress` does."""
    from gridlstm.training.state import read_progress, state_path

    cooled = replace(step, name=f"cooled-{step.name}")
    path = state_path(checkpoint_of(cooled, out))
    if path.exists():
        begun_at = read_progress(path).begun_at
    else:
        begun_at, _ = find_progress(step, out)
    # It ends where the rate does.
    training = replace(
        step.training, updates=begun_at + plan.cooldown, cooldown=plan.cooldown, patience=None
    )
    return replace(cooled, training=training)


def run_steps(
    plan: Sequence[Step],
    texts: dict[str, Path],
    out: Path,
    *,
    minutes: float | None = None,
    device: str | None = None,
    say: Callable[[str], None] = lambda line: print(line, file=sys.stderr, flush=True),
) -> list[str]:
    """Do the steps that are not complete, in their order; return the names of those that failed.

    Every run writes its checkpoint, curve and state into the folder `out`. After `minutes`, or
    when the process is asked to stop, the run at hand is saved; the same call goes on from there
    to the same numbers. `say` is given a line when a step is begun, and one when it is done with.
    A step that fails does not keep the next from being done.
    """
    until = None if minutes is None else time.monotonic() + 60 * minutes
    failed = []
    for number, step in enumerate(plan, start=1):
        title = f"{number}/{len(plan)} {step.name} to update {step.training.goal:,}"
        try:
            reached, complete = find_progress(step, out)
            if complete:
                say(f"{title}: skipped, it is complete")
                continue
            if until is not None and time.monotonic() >= until:
                say(f"{title}: not begun, the time is over; the same command goes on here")
                break
            say(f"{title}: {f'goes on from update {reached:,}' if reached else 'begun'}")
            ended = _do(step, texts[step.text], out, device, until)
        # What a machine lacks, memory above all, torch says by a RuntimeError.
        except (UserError, OSError, RuntimeError) as error:
            failed.append(step.name)
            say(f"{title}: failed, {join_lines(error)}")
            continue
        reached, _ = find_progress(step, out)
        if not ended:
            say(f"{title}: stopped at update {reached:,}; the same command goes on from there")
            break
        say(f"{title}: finished at update {reached:,}")
    return failed


def _do(step: Step, text: Path, out: Path, device: str | None, until: float | None) -> bool:
    """Train; return whether the step has come to its end."""
    from gridlstm.training.run import train
    from gridlstm.training.state import state_path

    checkpoint = checkpoint_of(step, out)
    return train(
        step.model,
        step.training,
        read_corpus(text, step.training.train_fraction),
        checkpoint,
        resume=state_path(checkpoint).exists(),
        device=device,
        until=until,
    )


def join_lines(error: Exception) -> str:
    """What an error says, whatever lines torch breaks it into."""
    return " ".join(str(error).split()) or type(error).__name__
