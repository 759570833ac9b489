"""CSV exports of a chart of Weights & Biases: columns "RUN - METRIC", each with its bounds."""

import re
from dataclasses import replace

import numpy as np

from gridlstm.curves.importing.columns import is_counter
from gridlstm.curves.importing.log import MAX_RUNS, Log, Table
from gridlstm.curves.importing.names import simplified
from gridlstm.curves.importing.programs import WANDB
from gridlstm.curves.reading import CurveError

_COLUMN = re.compile(r"(?P<run>.+) - (?P<metric>.+?)(?P<bound>__MIN|__MAX)?", re.S)


def wandb_log(log: Log) -> Log | None:
    """The runs of an export, from the log of its table; None if it is something else.

    The first column, whatever it is, belongs to every run; all others name a run.
    """
    table = log.tables[""]
    first, *others = table.columns
    matches = {name: match for name in others if (match := _COLUMN.fullmatch(name))}
    if not others or len(matches) < len(others):
        return None
    bounds = any(match["bound"] for match in matches.values())
    if not bounds and not is_counter(first):
        return None
    runs: dict[str, dict[str, str]] = {}
    for name, match in matches.items():
        if match["bound"] or simplified(match["metric"]) == simplified(first):
            # What stands in the first column already.
            continue
        runs.setdefault(match["run"], {})[match["metric"]] = name
        if len(runs) > MAX_RUNS:
            raise CurveError(f"The file holds more than {MAX_RUNS} runs.")
    tables = {run: _run(table, first, columns) for run, columns in runs.items()}
    if not tables:
        return None
    return replace(log, tables=tables, labels={}, program=WANDB)


def _run(table: Table, first: str, columns: dict[str, str]) -> Table:
    own = {metric: table.columns[name] for metric, name in columns.items()}
    # The first column is the axis of the chart, and "_step" only its like of a run.
    measured = [values for metric, values in own.items() if not metric.startswith("_")]
    there = np.any([~np.isnan(values) for values in measured or own.values()], axis=0)
    return Table({first: table.columns[first], **own}, table.lines).rows(there)
