"""Logs as JSON: the state of Hugging Face's Trainer, torch-rnn's checkpoints, records by lines."""

import json
import math
from array import array
from collections.abc import Iterable, Iterator

import numpy as np

from gridlstm.array_types import Float64Array
from gridlstm.curves.importing.delimited import number
from gridlstm.curves.importing.log import MAX_COLUMNS, MAX_RUNS, Labels, Log, Table
from gridlstm.curves.importing.mmengine import mmengine_log
from gridlstm.curves.importing.programs import HUGGING_FACE, JSON, TORCH_RNN, Program, recognise
from gridlstm.curves.reading import CurveError
from gridlstm.plurals import counted

MAX_RECORD_DEPTH = 3
MAX_RECORD_CELLS = 4_000_000
# Of one document, which is held whole; and of records, line by line.
MAX_DOCUMENT, MAX_JSON_RECORDS = 5_000_000, 200_000
NO_LOG = (
    "This JSON is no log: it holds neither records with a step and a loss nor the history of a "
    "training."
)


def looks_like_json(text: str) -> bool:
    return text[:1000].lstrip()[:1] in ("{", "[")


def read_json(text: str) -> Log:
    """The log that a JSON document is, or JSON records line by line. Raises CurveError."""
    first, rest = (text.lstrip() + "\n").split("\n", 1)
    if first.rstrip().endswith("}") and rest.strip():
        try:
            json.loads(first)
        except ValueError:
            pass
        else:
            log = _records(_by_line(text), JSON)
            return mmengine_log(log) or log
    if len(text) > MAX_DOCUMENT:
        raise CurveError(f"A JSON document may not be larger than {MAX_DOCUMENT // 1_000_000} MB.")
    held = _parsed(text, "The file is no whole JSON: line {line} cannot be read.")
    if isinstance(held, list):
        return _records(held, JSON)
    if not isinstance(held, dict):
        raise CurveError(NO_LOG)
    if isinstance(held.get("log_history"), list):
        return _records(held["log_history"], HUGGING_FACE)
    if isinstance(held.get("val_loss_history"), list):
        return _torch_rnn(held)
    history = held.get("history")
    by_epochs = _by_epochs(history if isinstance(history, dict) else held)
    if by_epochs is not None:
        return by_epochs
    return _records([held], JSON)


def _parsed(text: str, sentence: str) -> object:
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise CurveError(sentence.format(line=error.lineno)) from error
    except (ValueError, RecursionError) as error:
        raise CurveError("The JSON is nested too deep, or holds too long a number.") from error


def _by_line(text: str) -> Iterator[object]:
    for line, row in enumerate(text.splitlines(), start=1):
        if row.strip():
            # The last line may be one that is being written.
            yield _parsed(row, f"Line {line} is no whole JSON record.")


def _records(records: Iterable[object], program: Program) -> Log:
    """A row a record, with the numbers by their keys; those of inner records after a slash."""
    rows = skipped = 0
    columns: dict[str, tuple[array[int], array[float]]] = {}
    labels: dict[str, tuple[dict[str, int], array[int]]] = {}
    for record in records:
        if not isinstance(record, dict):
            skipped += 1
            if skipped > MAX_JSON_RECORDS:
                break
            continue
        for name, value in _flat(record, "", 1):
            if isinstance(value, str) and (known := number(value)) is None:
                names, codes = labels.setdefault(name, ({}, array("h")))
                # Of a label that a row lacks, nothing can be told: those columns drop out below.
                if len(names) <= MAX_RUNS or value in names:
                    codes.append(names.setdefault(value, len(names)))
                continue
            value = known if isinstance(value, str) else _as_number(value)
            if value is None:
                continue
            if name not in columns and len(columns) >= MAX_COLUMNS:
                raise CurveError(f"The records have more than {MAX_COLUMNS} different keys.")
            places, values = columns.setdefault(name, (array("q"), array("d")))
            places.append(rows)
            # Written, so that it is no empty place.
            values.append(value if math.isfinite(value) else math.inf)
        rows += 1
        if rows > MAX_JSON_RECORDS:
            raise CurveError(f"The file holds more than {MAX_JSON_RECORDS:,} records.")
    if not columns:
        raise CurveError(NO_LOG)
    if rows * len(columns) > MAX_RECORD_CELLS:
        raise CurveError("The records are too many for so many different keys.")
    table = {}
    for name, (places, values) in columns.items():
        table[name] = np.full(rows, np.nan)
        table[name][np.frombuffer(places, np.int64)] = np.frombuffer(values, np.float64)
    whole = {
        name: Labels(tuple(names), np.frombuffer(codes, np.int16).copy())
        for name, (names, codes) in labels.items()
        if len(codes) == rows
    }
    notes = (f"{counted(skipped, 'entry', 'entries')} that no record is: passed over",)
    program = recognise(table, program) if program is JSON else program
    return Log({"": Table(table)}, program, whole, notes if skipped else ())


def _flat(record: dict[object, object], before: str, depth: int) -> Iterator[tuple[str, object]]:
    for key, value in record.items():
        if isinstance(value, dict):
            if depth < MAX_RECORD_DEPTH:
                yield from _flat(value, f"{before}{key}/", depth + 1)
        else:
            yield f"{before}{key}"[:200], value


def _as_number(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    try:
        return float(value)
    except OverflowError:
        return math.inf


def _numbers(values: object) -> Float64Array | None:
    """A list of numbers, float64; None if it is something else."""
    if not isinstance(values, list) or not values:
        return None
    found = [_as_number(value) for value in values]
    if None in found:
        return None
    numbers = np.array(found, np.float64)
    return np.where(np.isfinite(numbers), numbers, np.inf)


def _torch_rnn(held: dict[object, object]) -> Log:
    """Its checkpoint: a training loss for every update, validation losses at those named beside."""
    losses, at = _numbers(held["val_loss_history"]), _numbers(held.get("val_loss_history_it"))
    training = _numbers(held.get("train_loss_history"))
    if losses is None or at is None or len(losses) != len(at):
        raise CurveError("The validation losses of this torch-rnn checkpoint name no updates.")
    training = np.zeros(0) if training is None else training
    table = {
        "iteration": np.concatenate([np.arange(1, len(training) + 1), at]),
        "train_loss_history": np.concatenate([training, np.full(len(at), np.nan)]),
        "val_loss_history": np.concatenate([np.full(len(training), np.nan), losses]),
    }
    return Log({"": Table(table)}, TORCH_RNN)


def _by_epochs(history: dict[object, object]) -> Log | None:
    """Lists of one length, a value an epoch, as `History.history` of Keras is saved."""
    lists = {str(k)[:200]: n for k, v in history.items() if (n := _numbers(v)) is not None}
    if not any("loss" in name for name in lists) or len({len(v) for v in lists.values()}) != 1:
        return None
    if len(lists) > MAX_COLUMNS:
        raise CurveError(f"The history has more than {MAX_COLUMNS} keys.")
    count = len(next(iter(lists.values())))
    notes: tuple[str, ...] = ()
    if not any(name.lower() in ("epoch", "step", "iteration") for name in lists):
        lists = {"epoch": np.arange(1.0, count + 1), **lists}
        notes = ("a list of losses without steps: taken for one value an epoch",)
    return Log({"": Table(lists)}, recognise(lists, JSON), notes=notes)
