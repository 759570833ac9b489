"""Other people's runs: CSV logs of any kind, exports of Weights & Biases, TensorBoard event files.

`read_foreign` finds the runs and columns of a file; `guess_columns` which column is what, by its
name; `import_runs` makes curves of them. What such a file does not tell is NaN in a curve.
"""

import re
from dataclasses import dataclass, fields
from pathlib import PurePath

import numpy as np
import pandas as pd

from gridlstm.curves.event_files import is_event_file, read_events
from gridlstm.curves.reading import LARGEST, CurveError, Rows, read_curve, read_rows
from gridlstm.curves.series import convert
from gridlstm.training.curve_log import COLUMNS

MOST_RUNS = 50
MOST_COLUMNS = 500
# Columns of text that say which run a row belongs to.
RUN_COLUMNS = ("model", "run", "run_name", "name", "experiment")
# Weights & Biases names the columns of an export "RUN - METRIC", then the same with these endings.
WANDB = re.compile(r"(?P<run>.+) - (?P<metric>.+?)(?P<bound>__MIN|__MAX)?")
NO_NUMBER = ("", "nan", "null", "none", "na", "n/a")


@dataclass(frozen=True)
class Columns:
    """Which column of a foreign file is what; None where there is no such column."""

    update: str | None = None
    val_loss: str | None = None
    train_loss: str | None = None
    epoch: str | None = None
    bytes: str | None = None
    seconds: str | None = None
    accuracy: str | None = None


@dataclass(frozen=True)
class Foreign:
    """A file of somebody's runs. `runs` are frames of numbers by name, float64, NaN where a cell is
    empty; `own` says that they are curves as this program writes them, in nats."""

    kind: str
    runs: dict[str, pd.DataFrame]
    own: bool = False

    @property
    def columns(self) -> list[str]:
        """The names of all columns, in the order in which they stand."""
        return list(dict.fromkeys(name for frame in self.runs.values() for name in frame))


# What the columns are called by whom writes them, simplified by `_simplified`; the first that is
# there is taken.
_NAMES = {
    "update": (
        *("update", "updates", "step", "globalstep", "trainerglobalstep", "trainstep", "iteration"),
        *("iterations", "iter", "iters", "iternum", "batch", "batches", "steps", "epoch", "epochs"),
    ),
    "val_loss": (
        *(
            "valloss",
            "validationloss",
            "validloss",
            "evalloss",
            "devloss",
            "testloss",
            "heldoutloss",
        ),
        *("lossval", "lossvalidation", "lossvalid", "losseval", "lossdev", "losstest"),
        *("val", "valid", "validation", "eval", "dev", "valnll", "validationnll", "evalnll"),
        *("valbpc", "validbpc", "validationbpc", "evalbpc", "valbpb", "validationbpb", "evalbpb"),
        *("valcrossentropy", "valcrossentropyloss", "validationcrossentropy", "bpb", "bpc"),
    ),
    "train_loss": ("trainloss", "trainingloss", "losstrain", "losstraining", "train", "loss"),
    "epoch": ("epoch", "epochs", "trainepoch"),
    "bytes": ("bytes", "bytesread", "bytesseen", "trainbytes"),
    "seconds": (
        *("seconds", "secs", "walltime", "wallclock", "elapsed", "elapsedseconds", "runtime"),
        *("relativetime", "relativetimewall", "relativetimeprocess", "time"),
    ),
    "accuracy": ("valaccuracy", "valacc", "validationaccuracy", "evalaccuracy", "accuracy", "acc"),
}


def read_foreign(name: str, data: bytes) -> Foreign:
    """What runs a file of that name holds. Raises CurveError."""
    stem = PurePath(name).stem or name
    if is_event_file(name, data):
        return Foreign("TensorBoard event file", {stem_of_events(name): read_events(data)})
    rows = read_rows(data)
    if set(COLUMNS) <= set(rows.header) and not set(RUN_COLUMNS) & set(rows.header):
        return Foreign("curve of this program", {stem: read_curve(data)}, own=True)
    if len(rows.header) > MOST_COLUMNS:
        raise CurveError(f"The file has more than {MOST_COLUMNS} columns.")
    _check_names(rows.header)
    if not rows.cells:
        raise CurveError("The file has a header but no rows.")
    numbers = _numeric(rows)
    wandb = _wandb_runs(numbers)
    found = ("Weights & Biases export", wandb) if wandb else ("CSV", _runs(rows, numbers, stem))
    if len(found[1]) > MOST_RUNS:
        raise CurveError(f"The file holds more than {MOST_RUNS} runs.")
    return Foreign(*found)


def stem_of_events(name: str) -> str:
    """The run that an event file is of: the name of its folder, else what its own name tells."""
    path = PurePath(name)
    return path.parent.name or path.name.replace("events.out.tfevents.", "events ")


def _check_names(header: list[str]) -> None:
    for name in header:
        if header.count(name) > 1:
            quoted = repr(name if len(name) <= 30 else name[:30] + "…")
            raise CurveError(f"The first line names the column {quoted} more than once.")


def _numeric(rows: Rows) -> pd.DataFrame:
    """The columns that hold numbers and nothing else, float64; NaN where a cell is empty."""
    columns = {}
    for place, name in enumerate(rows.header):
        cells = [row[place].strip().lower() for row in rows.cells]
        blank = np.array([cell in NO_NUMBER for cell in cells])
        values = pd.to_numeric(pd.Series(cells), errors="coerce").to_numpy(np.float64)
        if not blank.all() and (blank | ~np.isnan(values)).all():
            columns[name] = np.where(blank, np.nan, values)
    if not columns:
        raise CurveError("The file has no column of numbers.")
    return pd.DataFrame(columns)


def _wandb_runs(numbers: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """The runs of an export of Weights & Biases; none if it is something else.

    Columns without a run's name, such as Step, belong to every run.
    """
    matches = {name: WANDB.fullmatch(name) for name in numbers}
    metrics: dict[str, dict[str, str]] = {}
    for name, match in matches.items():
        # Columns "RUN - _step" only repeat the first one.
        if match and not match["bound"] and not match["metric"].startswith("_"):
            metrics.setdefault(match["run"], {})[match["metric"]] = name
    if not metrics or not any(name.lower() == "step" for name in numbers):
        return {}
    shared = [name for name, match in matches.items() if match is None]
    runs = {}
    for run, columns in metrics.items():
        frame = numbers[[*shared, *columns.values()]].set_axis([*shared, *columns], axis=1)
        runs[run] = frame[frame[list(columns)].notna().any(axis=1)].reset_index(drop=True)
    return runs


def _runs(rows: Rows, numbers: pd.DataFrame, stem: str) -> dict[str, pd.DataFrame]:
    """The runs of any other CSV text: by a column that names them, else one, named as the file."""
    by = next((name for name in rows.header if name.lower() in RUN_COLUMNS), None)
    if by is None or by in numbers:
        return {stem: numbers}
    place = rows.header.index(by)
    names = pd.Series([row[place].strip() for row in rows.cells])
    groups = numbers.groupby(names, sort=False)
    return {name: frame.reset_index(drop=True) for name, frame in groups}


def _simplified(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())


def guess_columns(names: list[str]) -> Columns:
    """Which of these columns is what, by their names. None where no name tells."""
    simplified = {_simplified(name): name for name in reversed(names)}
    found = {
        field.name: next((simplified[n] for n in _NAMES[field.name] if n in simplified), None)
        for field in fields(Columns)
    }
    return Columns(**found)


def import_runs(foreign: Foreign, columns: Columns, unit: str = "nats") -> dict[str, pd.DataFrame]:
    """Curves by the names of the runs, losses in nats, with all of `COLUMNS`: float64 but `update`.

    `unit` is that of the losses in the file, taken to be per byte. Rows without a validation loss
    or an update are passed over, and so are runs without such rows. Raises CurveError.
    """
    if foreign.own:
        return dict(foreign.runs)
    for field, what in (("update", "counts the updates"), ("val_loss", "is the validation loss")):
        if getattr(columns, field) is None:
            raise CurveError(
                f"Which column {what} cannot be told by the names: {_listed(foreign.columns)}."
            )
    curves = {}
    for name, frame in foreign.runs.items():
        try:
            curve = _curve(frame, columns, unit)
        except CurveError as error:
            several = len(foreign.runs) > 1
            raise CurveError(f"In the run {name[:60]!r}: {error}" if several else error) from error
        if len(curve):
            curves[name] = curve
    if not curves:
        raise CurveError(
            f"No row has both a value of {columns.update!r} and one of {columns.val_loss!r}."
        )
    return curves


def _listed(names: list[str], most: int = 12) -> str:
    shown = [repr(name if len(name) <= 40 else name[:40] + "…") for name in names[:most]]
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(shown) + more


def _curve(frame: pd.DataFrame, columns: Columns, unit: str) -> pd.DataFrame:
    known = {f.name: getattr(columns, f.name) for f in fields(Columns)}
    taken = {name: frame[own] for name, own in known.items() if own in frame}
    if not {"update", "val_loss"} <= set(taken):
        return pd.DataFrame(columns=list(COLUMNS))
    curve = pd.DataFrame(taken).dropna(subset=["update", "val_loss"]).reset_index(drop=True)
    _check(curve, columns)
    for loss in {"train_loss", "val_loss"} & set(curve):
        # A loss in bits is `1 / convert(1, "bits")` times as many nats.
        curve[loss] = curve[loss] / convert(1.0, unit)
    curve["update"] = curve["update"].astype(np.int64)
    accuracy = [name for name in ("accuracy",) if name in curve]
    return curve.reindex(columns=[*COLUMNS, *accuracy])


def _check(curve: pd.DataFrame, columns: Columns) -> None:
    """Numbers that can be what they are taken for."""
    for name, values in curve.items():
        column = repr(getattr(columns, name))
        if np.isinf(values).any():
            raise CurveError(f"The column {column} holds a number that is not finite.")
        if (values < 0).any():
            raise CurveError(f"The column {column} holds a number below zero.")
    update = curve["update"]
    if (update % 1 != 0).any() or (update > LARGEST).any():
        raise CurveError(
            f"The column {columns.update!r} counts no updates: not all are whole numbers."
        )
    if (np.diff(update) <= 0).any():
        raise CurveError(
            f"The column {columns.update!r} does not grow from one validation loss to the next."
        )
    if "accuracy" in curve and (curve["accuracy"] > 1).any():
        raise CurveError(f"The column {columns.accuracy!r} is no share: it goes beyond 1.")
