"""The local log of mmengine, `scalars.json`: a row of training has `iter`, one of validation not.

The `step` of a validation is the epoch, or 0 where training goes by updates (mmengine 0.10.7), so
that it tells nothing of where the validation stands: it comes after the training row before it.
"""

from dataclasses import replace

import numpy as np

from gridlstm.curves.importing.log import Log, Table
from gridlstm.curves.importing.programs import MMENGINE

_TRAINING = {"iter", "step", "time", "data_time"}
_NOTE = "validations have no update of their own: each stands at the training row before it"


def mmengine_log(log: Log) -> Log | None:
    """The log with its validations at updates of the training; None if it is something else."""
    table = log.tables[""]
    if not _TRAINING.issubset(table.columns):
        return None
    updates = table.columns["iter"]
    validation = np.isnan(updates) & ~np.isnan(table.columns["step"])
    # Rows before the first of training are after none.
    before = np.maximum.accumulate(np.where(np.isnan(updates), 0, updates))
    training_only = {"step", "time", "data_time", "lr", "memory"}
    columns = {n: v for n, v in table.columns.items() if n not in training_only}
    columns["iter"] = np.where(validation, before, updates)
    notes = (*log.notes, _NOTE) if validation.any() else log.notes
    return replace(log, tables={"": Table(columns, table.lines)}, program=MMENGINE, notes=notes)
