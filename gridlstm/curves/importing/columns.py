"""Which column of a foreign log is what, guessed by the names and by how many values there are."""

from dataclasses import dataclass

from gridlstm.curves.importing.log import MAX_RUNS, Log
from gridlstm.curves.importing.names import metric, simplified

IMPORT_UNITS = ("nats", "bits", "perplexity")


@dataclass(frozen=True)
class Columns:
    """Which column of a foreign log is what; None where there is no such column.

    `runs` are the columns that together tell which run a row is of. `unit`, one of `IMPORT_UNITS`,
    is that of the validation loss.
    """

    update: str | None = None
    val_loss: str | None = None
    train_loss: str | None = None
    epoch: str | None = None
    bytes: str | None = None
    seconds: str | None = None
    accuracy: str | None = None
    runs: tuple[str, ...] = ()
    unit: str = "nats"


# What the columns are called by who writes them, simplified; the first that is there is taken.
_COUNTERS = {
    "update": (
        *("update", "updates", "numupdates", "trainerglobalstep", "globalstep", "trainglobalstep"),
        *("globalsteps", "trainstep", "step", "steps", "iteration", "iterations", "iter", "iters"),
        *("iternum", "niter", "batch", "batches"),
    ),
    "epoch": ("epoch", "epochs", "trainepoch", "currentepoch"),
    "bytes": ("bytes", "bytesread", "bytesseen", "trainbytes"),
    "seconds": (
        *("seconds", "secs", "walltime", "wallclock", "elapsed", "elapsedseconds", "runtime"),
        *("relativetime", "relativetimewall", "relativetimeprocess", "timestamp", "time"),
    ),
}
RUN_COLUMNS = (
    *("model", "modelid", "modelname", "run", "runid", "runname", "name", "experiment"),
    *("experimentname", "exp", "config", "variant", "trial", "trialid", "seed", "randomseed"),
)


def is_run_column(name: str) -> bool:
    """Whether a column's name says that it tells runs apart."""
    return simplified(name) in RUN_COLUMNS


def is_counter(name: str) -> bool:
    """Whether a column's name says how far the training was."""
    return any(simplified(name) in names for names in _COUNTERS.values())


def guess_columns(log: Log) -> Columns:
    """Which of the log's columns is what. None where no name tells."""
    found = {field: _counter(log.names, names) for field, names in _COUNTERS.items()}
    validation = validation_losses(log)
    val_loss = validation[0] if validation else None
    unit = metric(val_loss).unit or "nats" if val_loss else "nats"
    return Columns(
        **found,
        val_loss=val_loss,
        train_loss=training_loss(log, unit, val_loss),
        accuracy=_accuracy(log),
        runs=tuple(name for name in log.labels if is_run_column(name)),
        unit=unit,
    )


def validation_losses(log: Log) -> list[str]:
    """The columns that are losses on held-out data, the likeliest curve first.

    A loss of single batches is never taken for the curve; one figure alone comes after curves, a
    test after a validation, perplexity and bits after nats.
    """
    order = ("nats", "bits", "perplexity")
    ranked = []
    for place, name in enumerate(log.names):
        told = metric(name)
        if not told.is_loss or told.per == "step" or told.data not in ("validation", "test"):
            continue
        once = log.count(name) < 2
        test = told.data == "test"
        ranked.append((test, once, len(told.rest), order.index(told.unit), place, name))
    if ranked:
        return [name for *_, name in sorted(ranked)]
    return [name for name in log.names if simplified(name) in ("bpc", "bpb")]


def training_loss(log: Log, unit: str, val_loss: str | None) -> str | None:
    """The column of the training loss beside a validation loss in that unit.

    One figure for the whole run (the Trainer's last `train_loss`) is not taken where there is a
    curve; of what is logged twice, the means of epochs come before single batches.
    """
    ranked = []
    for place, name in enumerate(log.names):
        told = metric(name)
        plain = told.data is None and not told.rest
        if name == val_loss or not told.is_loss or not (told.data == "training" or plain):
            continue
        apart = told.data is None
        once = log.count(name) < 2
        other = told.unit != unit
        step = told.per == "step"
        ranked.append((once, step, other, apart, len(told.rest), place, name))
    if ranked:
        return min(ranked)[-1]
    return next((name for name in log.names if simplified(name) in ("train", "training")), None)


def _counter(names: list[str], wanted: tuple[str, ...]) -> str | None:
    simple = {simplified(name): name for name in reversed(names)}
    return next((simple[name] for name in wanted if name in simple), None)


def _accuracy(log: Log) -> str | None:
    held = [name for name in log.names if metric(name).accuracy]
    held_out = [name for name in held if metric(name).data == "validation"]
    plain = [name for name in held if metric(name).data is None and not metric(name).rest]
    return next(iter(sorted(held_out, key=lambda n: len(metric(n).rest)) or plain), None)


def find_run_columns(log: Log) -> list[str]:
    """The columns that runs may be told apart by: few enough different values, more than one."""
    return [name for name, held in log.labels.items() if 1 < len(held.names) <= MAX_RUNS]
