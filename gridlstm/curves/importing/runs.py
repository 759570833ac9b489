"""Curves from what a foreign log holds, by which of its columns is what; and what has to be said.

A row a validation. The training loss of a validation is the mean of those logged since the one
before, as in this program's own curves. Of a step that is written twice the later value counts.
"""

from dataclasses import dataclass, fields

import numpy as np
import pandas as pd

from gridlstm.array_types import BoolArray, Float64Array, IntArray
from gridlstm.curves.importing.columns import Columns, guess_columns, validation_losses
from gridlstm.curves.importing.log import (
    AFTER_ONE_EPOCH,
    MAX_RUNS,
    MAYBE_EMPTY,
    FoundLog,
    Log,
    NoCurveError,
    Table,
    listed,
    quoted,
)
from gridlstm.curves.importing.names import metric
from gridlstm.curves.importing.programs import HUGGING_FACE, Program
from gridlstm.curves.reading import LARGEST, CurveError
from gridlstm.curves.series import convert
from gridlstm.plurals import counted
from gridlstm.training.curve_log import COLUMNS

# From here on a number of seconds is a date: 1973, or a run of three years.
UNIX_SECONDS, UNIX_MILLISECONDS = 1e8, 1e11
MAX_BITS = 8.0
MAX_NOTES = 12


@dataclass(frozen=True)
class ImportedRuns:
    """What was made of a log: curves by the runs' names, losses in nats, with all of `COLUMNS`; NaN
    is what the log does not tell. `update` is int64 where every point has one, else NaN in all.
    `notes` say, a phrase each, what was passed over or taken for granted."""

    program: Program
    columns: Columns
    curves: dict[str, pd.DataFrame]
    notes: tuple[str, ...] = ()

    @property
    def points(self) -> int:
        return sum(map(len, self.curves.values()))

    @property
    def taken(self) -> str:
        """What was taken for what, in a phrase."""
        runs, points = counted(len(self.curves), "run"), counted(self.points, "point")
        if self.columns.val_loss is None:
            return f"{runs}, {points}"
        unit = "perplexity" if self.columns.unit == "perplexity" else f"in {self.columns.unit}"
        return f"{runs}, validation loss from {quoted(self.columns.val_loss)}, {unit}, {points}"


def import_guessed(found: FoundLog, columns: Columns | None = None) -> ImportedRuns | CurveError:
    """The curves of a log, with its columns guessed unless they are given, or what is wrong.

    Nothing is ever raised: whatever the numbers of a stranger do, it is a fault of that file alone.
    """
    try:
        return import_runs(found, guess_columns(found.log) if columns is None else columns)
    except CurveError as error:
        return error
    except Exception as error:
        return CurveError(f"No curve can be made of the file ({type(error).__name__}).")


def import_runs(found: FoundLog, columns: Columns) -> ImportedRuns:
    """The curves of a log. Raises CurveError: NoCurveError where nothing is wrong with the file.

    A run that cannot be read is named in the notes, if there are others.
    """
    log = found.log
    if log.own is not None:
        return ImportedRuns(log.program, Columns(), {found.name: log.own}, log.notes)
    _check_choice(log, columns)
    tables = _by_run(found, columns)
    curves: dict[str, pd.DataFrame] = {}
    said: dict[str, list[str]] = {}
    faults: dict[str, CurveError] = {}
    for name, table in tables.items():
        try:
            curves[name], notes = _curve(table, columns, log.program)
        except CurveError as error:
            faults[name] = error
            continue
        for note in notes:
            said.setdefault(note, []).append(name)
    if not curves:
        name, fault = next(iter(faults.items()))
        raise type(fault)(f"In the run {quoted(name, 60)}: {fault}" if len(tables) > 1 else fault)
    notes = [*log.notes, *_choice_notes(log, columns)]
    notes += [_of_runs(note, names, len(tables)) for note, names in said.items()]
    notes += [f"run {quoted(name, 60)} left out: {_phrase(e)}" for name, e in faults.items()]
    if len(notes) > MAX_NOTES:
        notes = [*notes[:MAX_NOTES], f"and {len(notes) - MAX_NOTES} more such notes"]
    return ImportedRuns(log.program, columns, curves, tuple(notes))


def _phrase(error: CurveError) -> str:
    sentence = str(error).rstrip(".")
    return sentence[:1].lower() + sentence[1:]


def _of_runs(note: str, names: list[str], of: int) -> str:
    """A note with the runs that it is of, where it is not of all."""
    if of == 1 or len(names) == of:
        return note
    return f"{listed(names, 3)}: {note}"


def _check_choice(log: Log, columns: Columns) -> None:
    if log.figures:
        raise NoCurveError("Figures written with a model's hyperparameters alone, and no curve.")
    if not any((columns.update, columns.epoch, columns.seconds)):
        raise CurveError(
            f"Which column counts the updates cannot be told by the names: {listed(log.names)}."
        )
    if columns.val_loss is None:
        raise CurveError(
            f"Which column is the validation loss cannot be told by the names: {listed(log.names)}."
        )
    told = metric(columns.val_loss)
    if told.data == "test" and told.is_loss and log.count(columns.val_loss) < 2:
        raise NoCurveError(f"One figure of a test alone ({quoted(columns.val_loss)}) and no curve.")


def _choice_notes(log: Log, columns: Columns) -> list[str]:
    """What the choice of columns leaves out that could have been taken."""
    notes = []
    others = [n for n in validation_losses(log) if n != columns.val_loss]
    if others and columns.val_loss in log.names:
        notes.append(f"{counted(len(others), 'other held-out loss', 'other held-out losses')} to "
                     f"choose: {listed(others, 6)}")  # fmt: skip
    once = [
        name
        for name in log.names
        if metric(name).data == "training" and metric(name).is_loss and log.count(name) == 1
        and name != columns.train_loss and columns.train_loss is not None
    ]  # fmt: skip
    if once:
        notes.append(f"{listed(once)}: one figure for the whole run, passed over")
    if log.program.counts_from_zero and columns.update is not None:
        notes.append("steps as logged, counted from 0 (batches, with manual optimisation)")
    return notes


# -- Which rows are of which run -------------------------------------------------------------------


def _by_run(found: FoundLog, columns: Columns) -> dict[str, Table]:
    """The tables of the runs by name: those that have none are called as the file is, and those
    that are told apart by numbers alone, such as a seed, by it and the number."""
    log = found.log
    chosen = [name for name in columns.runs if name in log.labels]
    if not chosen or len(log.tables) != 1:
        return {name or found.name: table for name, table in log.tables.items()}
    (table,) = log.tables.values()
    codes = np.zeros(len(table), np.int64)
    for name in chosen:
        held = log.labels[name]
        if len(held.names) > MAX_RUNS:
            raise CurveError(f"The column {quoted(name)} names more than {MAX_RUNS} runs.")
        codes = codes * len(held.names) + held.codes
    kinds, first, place = np.unique(codes, return_index=True, return_inverse=True)
    if len(kinds) > MAX_RUNS:
        raise CurveError(f"The columns {listed(chosen)} together name more than {MAX_RUNS} runs.")
    runs = {}
    for number in np.argsort(first):
        row = first[number]
        texts = [log.labels[name].names[log.labels[name].codes[row]] for name in chosen]
        named = [(_run_part(*told), told[1]) for told in zip(chosen, texts, strict=True)]
        if not any(part is text for part, text in named):
            named.insert(0, (found.name, ""))
        runs[" ".join(part for part, _ in named)] = table.rows(place == number)
    return runs


def _run_part(column: str, value: str) -> str:
    """What a row's value in a column that names runs says: a text as it is, a number after it."""
    try:
        number = float(value)
    except ValueError:
        return value or f"no {column}"
    return f"{column} {number:g}" if abs(number) < 1e6 else f"{column} {value}"


# -- One run ---------------------------------------------------------------------------------------


def _curve(table: Table, columns: Columns, program: Program) -> tuple[pd.DataFrame, list[str]]:
    """The curve of a run, and notes."""
    assert columns.val_loss is not None  # `_check_choice` sees to it
    notes: list[str] = []
    taken = {f.name: table.column(getattr(columns, f.name)) for f in fields(Columns)
             if f.name in COLUMNS or f.name == "accuracy"}  # fmt: skip
    taken = {name: _resolved(values, "loss" in name) for name, values in taken.items()}
    taken["epoch"] = _known_by_step(taken["update"], taken["epoch"])
    by = next((n for n in ("update", "epoch", "seconds") if _has(taken, n)), None)
    if by is None or not _has(taken, "val_loss"):
        raise CurveError(
            f"No row has both a value of {quoted(columns.update or columns.epoch or '')} and one "
            f"of {quoted(columns.val_loss)}."
        )
    _check_position(taken[by], getattr(columns, by), by, table)
    if by == "seconds":
        taken[by] = _since_the_first(taken[by])
    position = taken[by]
    validation = _finite(position, taken["val_loss"], by, notes)
    _check_losses(taken["val_loss"], columns.val_loss, columns.unit, table)
    rows = _later_of_each(position, validation, by, table, notes)
    curve = pd.DataFrame({name: values[rows] for name, values in taken.items()})
    train = ~np.isnan(taken["train_loss"]) & np.isfinite(taken["train_loss"]) & ~np.isnan(position)
    train &= taken["train_loss"] >= _lowest(_unit_of_training(columns))
    curve["train_loss"] = _means_between(
        position[train], taken["train_loss"][train], curve[by].to_numpy()
    )
    curve = _in_nats(curve, columns)
    _note_losses(curve, taken, columns, program, notes)
    curve["epoch"] = _whole_epochs(curve, taken["epoch"], by, notes)
    curve["seconds"] = _elapsed(curve["seconds"], taken["seconds"], by, columns, notes)
    accuracy = _share(curve, columns, notes)
    curve["update"] = curve["update"].astype(np.int64) if by == "update" else np.nan
    curve = curve.reindex(columns=list(COLUMNS))
    return (curve if accuracy is None else curve.assign(accuracy=accuracy)), notes


def _has(taken: dict[str, Float64Array], name: str) -> bool:
    """Whether there is a value of it beside one of the validation loss."""
    if name == "val_loss":
        return bool((~np.isnan(taken[name])).any())
    return bool((~np.isnan(taken[name]) & ~np.isnan(taken["val_loss"])).any())


def _resolved(values: Float64Array, loss: bool) -> Float64Array:
    """The values of a run with `MAYBE_EMPTY` decided: a loss that is never finite again is one that
    was logged, all else an empty cell."""
    doubtful = values == MAYBE_EMPTY
    if not doubtful.any():
        return values
    finite = np.flatnonzero(np.isfinite(values))
    logged = loss and (not len(finite) or doubtful.argmax() > finite[-1])
    return np.where(doubtful, np.inf if logged else np.nan, values)


def _known_by_step(step: Float64Array, values: Float64Array) -> Float64Array:
    """The values, and where there is none that of another row of the same step, the last."""
    known = np.flatnonzero(~np.isnan(step) & ~np.isnan(values))
    missing = np.flatnonzero(~np.isnan(step) & np.isnan(values))
    if not len(known) or not len(missing):
        return values
    order = known[np.argsort(step[known], kind="stable")]
    place = np.searchsorted(step[order], step[missing], side="right") - 1
    found = (place >= 0) & (step[order[place]] == step[missing])
    values = values.copy()
    values[missing[found]] = values[order[place[found]]]
    return values


def _line(table: Table, row: int) -> str:
    return "" if table.lines is None else f" in line {table.lines[row]}"


def _check_position(values: Float64Array, name: str, by: str, table: Table) -> None:
    """What counts how far the training was must be able to: raises CurveError."""
    bad = {"below zero": values < 0, "not finite": np.isinf(values)}
    if by == "update":
        bad["not a whole number"] = values != np.trunc(values)
        bad["too large"] = values > LARGEST
    for why, rows in bad.items():
        rows = rows & ~np.isnan(values)
        if rows.any():
            row = int(rows.argmax())
            counts = "counts no updates: it " if why == "not a whole number" else ""
            raise CurveError(
                f"The column {quoted(name)} {counts}holds {values[row]:g}{_line(table, row)}, "
                f"which is {why}."
            )


def _lowest(unit: str) -> float:
    return 1.0 if unit == "perplexity" else 0.0


def _check_losses(values: Float64Array, name: str, unit: str, table: Table) -> None:
    bad = values < _lowest(unit)
    if bad.any():
        row = int(bad.argmax())
        why = "below 1, so no perplexity" if unit == "perplexity" else "below zero"
        raise CurveError(
            f"The column {quoted(name)} holds {values[row]:g}{_line(table, row)}, which is {why}."
        )


def _at(by: str, position: float) -> str:
    return {"update": "update", "epoch": "epoch", "seconds": "second"}[by] + f" {position:,g}"


def _finite(position: Float64Array, losses: Float64Array, by: str, notes: list[str]) -> BoolArray:
    """The rows with a finite loss at a known place; what is not finite is said."""
    there = ~np.isnan(losses)
    if lost := int((there & np.isnan(position)).sum()):
        notes.append(
            f"{counted(lost, 'validation loss', 'validation losses')} without "
            f"{'an' if by in ('update', 'epoch') else 'a'} {by[:-1] if by == 'seconds' else by}: "
            "passed over"
        )
    there &= ~np.isnan(position)
    finite = there & np.isfinite(losses)
    if not finite.any():
        raise CurveError("No validation loss is a finite number.")
    if (infinite := there & ~finite).any():
        first = position[infinite].min()
        count = int(infinite.sum())
        if first > position[finite].max():
            notes.append(f"from {_at(by, first)} on the validation loss is not finite")
        else:
            word = "validation loss that is", "validation losses that are"
            notes.append(
                f"{counted(count, *word)} not finite, the first at {_at(by, first)}: passed over"
            )
    return finite


def _later_of_each(
    position: Float64Array, chosen: BoolArray, by: str, table: Table, notes: list[str]
) -> IntArray:
    """The chosen rows in the order of their places, of those at one place the last."""
    rows = np.flatnonzero(chosen)
    places = position[rows]
    steps = "step" if by == "update" else by.rstrip("s")
    kept = np.unique(places[::-1], return_index=True)
    last = rows[len(rows) - 1 - kept[1]]
    repeated = len(rows) - len(last)
    back = np.flatnonzero(np.diff(places) < 0)
    if repeated and len(last) == 1 and places[0] == 0:
        notes.append(f"{len(rows)} losses were written without a step, all at 0: the last was kept")
    elif repeated:
        note = f"{counted(repeated, f'repeated {steps}')}: the later were kept"
        if repeated >= len(last) and not len(back) and by == "update" and table.lines is None:
            note += " (or fractions of epochs, cut to whole numbers by the writer)"
        notes.append(note)
    elif len(back):
        notes.append(f"the {steps}s go back{_line(table, rows[back[0] + 1])}: put in order")
    return last


def _means_between(at: Float64Array, losses: Float64Array, ends: Float64Array) -> Float64Array:
    """The mean of the losses after the end before and up to each of `ends`, which grow; of losses
    at one place the last counts. NaN where there are none."""
    means = np.full(len(ends), np.nan)
    if not len(at):
        return means
    places, last = np.unique(at[::-1], return_index=True)
    values = losses[::-1][last]
    after = np.searchsorted(places, ends, side="right")
    before = np.concatenate([[0], after[:-1]])
    there = after > before
    if there.any():
        # One after the other without a gap: what is before a place begins where the last ended.
        sums = np.add.reduceat(values[: after[-1]], before[there])
        means[there] = sums / (after - before)[there]
    return means


# -- Units and what is to be said of the numbers ---------------------------------------------------


def _unit_of_training(columns: Columns) -> str:
    """The unit of the training loss: that of its name, where the two names speak of two units."""
    if columns.train_loss is None or columns.val_loss is None:
        return columns.unit
    train, validation = metric(columns.train_loss).unit, metric(columns.val_loss).unit
    return columns.unit if train == validation or train is None else train


def _to_nats(values: pd.Series, unit: str) -> pd.Series:
    # A loss in bits is `1 / convert(1, "bits")` times as many nats.
    return np.log(values) if unit == "perplexity" else values / convert(1.0, unit)


def _in_nats(curve: pd.DataFrame, columns: Columns) -> pd.DataFrame:
    return curve.assign(
        val_loss=_to_nats(curve["val_loss"], columns.unit),
        train_loss=_to_nats(curve["train_loss"], _unit_of_training(columns)),
    )


def _note_losses(
    curve: pd.DataFrame,
    taken: dict[str, Float64Array],
    columns: Columns,
    program: Program,
    notes: list[str],
) -> None:
    high = int((convert(curve["val_loss"].to_numpy(np.float64), "bits") > MAX_BITS).sum())
    if high:
        notes.append(
            f"{counted(high, 'loss lies', 'losses lie')} above {MAX_BITS:g} bits, more than blind "
            "guessing of bytes costs: a loss per token is no loss per byte"
        )
    if zero := int((taken["train_loss"] == 0).sum()) if program is HUGGING_FACE else 0:
        notes.append(f"{counted(zero, 'training loss is', 'training losses are')} exactly 0, which "
                     "may be NaN")  # fmt: skip
    if lost := int(np.isinf(taken["train_loss"]).sum()):
        notes.append(f"{counted(lost, 'training loss', 'training losses')} not finite: passed over")


def _whole_epochs(
    curve: pd.DataFrame, logged: Float64Array, by: str, notes: list[str]
) -> pd.Series:
    """Epochs as how many are complete. Whole numbers from 0 are of the epoch that a point closes,
    unless several points are of one epoch, or a point is before the first update."""
    epoch = curve["epoch"]
    known, points = logged[np.isfinite(logged)], epoch.dropna().to_numpy()
    if not len(points) or known.min() != 0 or (known % 1 != 0).any():
        return epoch
    if (np.diff(points) <= 0).any() or (by == "update" and curve["update"].iloc[0] == 0):
        return epoch
    notes.append(AFTER_ONE_EPOCH)
    return epoch + 1


def _since_the_first(seconds: Float64Array) -> Float64Array:
    """A date's seconds, or milliseconds, as seconds since the first."""
    known = seconds[np.isfinite(seconds)]
    if not len(known) or known.min() < UNIX_SECONDS:
        return seconds
    divisor = 1000 if known.min() >= UNIX_MILLISECONDS else 1
    passed: Float64Array = (seconds - known.min()) / divisor
    return passed


def _elapsed(
    curve: "pd.Series[float]", logged: Float64Array, by: str, columns: Columns, notes: list[str]
) -> "pd.Series[float]":
    """Seconds since the run began, NaN where the column does not count them."""
    if by == "seconds":
        return curve
    known = logged[np.isfinite(logged)]
    if len(known) and known.min() >= UNIX_SECONDS:
        divisor = 1000 if known.min() >= UNIX_MILLISECONDS else 1
        curve = (curve - known.min()) / divisor
    values = curve.dropna().to_numpy()
    if len(values) and (
        (np.diff(values) < 0).any() or (values < 0).any() or np.isinf(values).any()
    ):
        notes.append(f"{quoted(columns.seconds or '')} does not grow, so it is no time since the "
                     "beginning: passed over")  # fmt: skip
        return pd.Series(np.nan, curve.index)
    return curve


def _share(curve: pd.DataFrame, columns: Columns, notes: list[str]) -> pd.Series | None:
    """The accuracy as a share of 1; None if there is none."""
    values = curve["accuracy"]
    if columns.accuracy is None or not values.notna().any():
        return None
    if values.min() < 0 or values.max() > 100:
        notes.append(f"{quoted(columns.accuracy)} is no share: passed over")
        return None
    if values.max() > 1:
        notes.append(f"{quoted(columns.accuracy)} is in per cent")
        return values / 100
    return values
