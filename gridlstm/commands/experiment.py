"""The published experiment, all its runs by one command."""

import argparse
import sys
import time
from pathlib import Path

from gridlstm.commands.markdown import NOTHING, table
from gridlstm.commands.options import check_writable
from gridlstm.commands.parsers import Commands
from gridlstm.errors import UserError
from gridlstm.training.experiment import (
    KERNEL,
    PLANS,
    TURN_PLANS,
    WIKI,
    Step,
    TurnPlan,
    cooled_step,
    find_progress,
    join_lines,
    run_steps,
    texts_of,
    trial_of,
)


def add(commands: Commands) -> None:
    command = commands.add_parser(
        "experiment",
        help="the published experiment, all its runs in order",
        description="Do all training runs of the experiment that are not done yet, one after the "
        "other, each with its checkpoint, curve and resumable state in the folder --out. However "
        "it ends, the same command goes on. The exit status is 1 if a run failed.",
        epilog="`compare` prints the table of the results.",
    )
    command.set_defaults(run=_experiment)
    command.add_argument(
        "--preset",
        choices=[*PLANS, *TURN_PLANS],
        required=True,
        help="seed: the published settings (1000 units), for a GPU; small: 256 units; short: as "
        "seed, the four models in turns, for a GPU that is there for some minutes only",
    )
    command.add_argument(
        f"--{WIKI}",
        type=Path,
        metavar="FILE",
        help="Wikipedia's markup: checkpoints/data/wiki-markup.txt.xz, or what `corpus enwik8` "
        "fetches",
    )
    command.add_argument(
        f"--{KERNEL}",
        type=Path,
        metavar="FILE",
        help="source text: what `corpus linux-kernel` makes",
    )
    command.add_argument("--out", type=Path, metavar="FOLDER", help="where the runs are kept")
    command.add_argument(
        "--minutes",
        type=float,
        help="stop after so many minutes of this call (when all is done); short needs it: in so "
        "many minutes of all calls together the learning rate has fallen to 0",
    )
    command.add_argument("--device", help="cpu, cuda, ... (cuda where there is one)")
    command.add_argument(
        "--trial",
        action="store_true",
        help="of short: everything so small that a CPU shows in a minute how it goes",
    )
    command.add_argument(
        "--list",
        action="store_true",
        help="only print the runs as a Markdown table, and where those in --out stand",
    )


def _experiment(options: argparse.Namespace) -> int:
    turn_plan = TURN_PLANS.get(options.preset)
    if options.trial:
        if turn_plan is None:
            raise UserError(f"--trial is an option of --preset {', '.join(TURN_PLANS)}.")
        turn_plan = trial_of(turn_plan)
    plan = PLANS[options.preset] if turn_plan is None else _with_cooled(turn_plan, options.out)
    if options.list:
        print(table([_cells(n, step, options.out) for n, step in enumerate(plan, 1)], LEFT))
        return 0
    if options.out is None:
        raise UserError("Say where to keep the runs: --out FOLDER.")
    if options.minutes is not None and not options.minutes > 0:
        raise UserError("--minutes must be above 0.")
    if options.minutes is None and turn_plan is not None:
        raise UserError("Say when the rate is to have fallen to 0: --minutes.")
    texts = _texts(options, plan)
    check_writable(options.out / "run")
    if turn_plan is not None:
        return _take_turns(turn_plan, texts[WIKI], options)
    failed = run_steps(plan, texts, options.out, minutes=options.minutes, device=options.device)
    return 1 if failed else 0


def _with_cooled(plan: TurnPlan, out: Path | None) -> tuple[Step, ...]:
    """The plan's steps and those that cool them."""
    folder = Path() if out is None else out
    return (*plan.steps, *(cooled_step(plan, step, folder) for step in plan.steps))


def _take_turns(plan: TurnPlan, text: Path, options: argparse.Namespace) -> int:
    began = time.monotonic()
    # Torch is imported in the time that is counted.
    from gridlstm.training.turns import run_in_turns

    try:
        run_in_turns(
            plan, text, options.out, minutes=options.minutes, device=options.device, began=began
        )
    # As in `conduct`: what a machine lacks. What was saved stays, and the same command goes on.
    except RuntimeError as error:
        print(f"gridlstm experiment: failed, {join_lines(error)}", file=sys.stderr)
        return 1
    return 0


def _texts(options: argparse.Namespace, plan: tuple[Step, ...]) -> dict[str, Path]:
    """The files that the plan reads; what is wrong with them is said before hours are spent."""
    texts = {}
    for name in sorted(texts_of(plan)):
        path = getattr(options, name)
        if path is None:
            raise UserError(f"These runs also read a text that is not given: --{name} FILE.")
        if not path.is_file():
            raise UserError(f"There is no file {path}, which --{name} names.")
        texts[name] = path
    return texts


# -- The list -------------------------------------------------------------------------------------

LEFT = {"run", "text", "tie", "optimiser", "stands"}


def _cells(number: int, step: Step, out: Path | None) -> dict[str, str]:
    """A step by what tells it from others, and where it stands if a folder is given."""
    model, training = step.model, step.training
    cells = {
        "step": str(number),
        "run": step.name,
        "text": step.text,
        "units": str(model.units),
        "tie": model.tie or NOTHING,
        "dropout": f"{model.dropout:g}",
        "batch": f"{training.sequences} x {training.length}",
        "optimiser": training.optimiser,
        "rate": f"{training.learning_rate:g}",
        "scale": f"{training.scale:g}",
        "to update": f"{training.goal:,}",
        "million bytes": f"{training.goal * training.bytes_an_update / 1e6:.1f}",
        "patience": NOTHING if training.patience is None else f"{training.patience:,}",
    }
    if out is not None:
        reached, complete = find_progress(step, out)
        cells["stands"] = "complete" if complete else f"at update {reached:,}"
    return cells
