"""What every reader of a foreign log gives: its numbers as written, nothing chosen yet."""

from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from gridlstm.array_types import BoolArray, Float64Array, IntArray
from gridlstm.curves.importing.programs import UNKNOWN, Program
from gridlstm.curves.reading import CurveError

MAX_RUNS = 50
# A cell that says "NaN" in a column without empty cells: a loss, or none.
MAYBE_EMPTY = -np.inf
MAX_COLUMNS = 500
AFTER_ONE_EPOCH = "epochs counted from 0: a point logged in epoch 0 is after 1 epoch"


class NoCurveError(CurveError):
    """A file that is in order and holds no curve: a test's figure, a model's hyperparameters."""


@dataclass(frozen=True)
class Table:
    """The numbers of a run in the order in which they were written, float64 [row].

    NaN is what there is not, infinity what was written and is not finite, `MAYBE_EMPTY` what may be
    either. Of event files, where a row is one value of one metric, `metrics` are the metrics' names
    and `tag` [row] which of them `value` [row] is of; `columns` then hold what every row has.
    `lines` [row] are the lines of the file, where it has lines.
    """

    columns: dict[str, Float64Array]
    lines: IntArray | None = None
    metrics: tuple[str, ...] = ()
    tag: IntArray | None = None
    value: Float64Array | None = None

    def __len__(self) -> int:
        return len(next(iter(self.columns.values()), ()))

    @property
    def names(self) -> list[str]:
        return list(dict.fromkeys([*self.columns, *self.metrics]))

    def column(self, name: str | None) -> Float64Array:
        """Float64 [row]; NaN throughout if there is no such column."""
        if name in self.columns:
            return self.columns[name]
        if name in self.metrics:
            assert self.value is not None
            return np.where(self.is_of(name), self.value, np.nan)
        return np.full(len(self), np.nan)

    def is_of(self, name: str) -> BoolArray:
        """Which rows hold a value of this one of `metrics`, bool [row]."""
        assert self.tag is not None
        own: BoolArray = self.tag == self.metrics.index(name)
        return own

    def count(self, name: str) -> int:
        """How many values a column holds."""
        if name in self.metrics and name not in self.columns:
            return int(self.is_of(name).sum())
        return int((~np.isnan(self.column(name))).sum())

    def rows(self, chosen: BoolArray | IntArray) -> "Table":
        """The table with the `chosen` rows alone, bool or places [row]."""
        return Table(
            {name: values[chosen] for name, values in self.columns.items()},
            None if self.lines is None else self.lines[chosen],
            self.metrics,
            None if self.tag is None else self.tag[chosen],
            None if self.value is None else self.value[chosen],
        )


@dataclass(frozen=True)
class Labels:
    """A column that may tell which run a row is of: `codes` [row] are places in `names`."""

    names: tuple[str, ...]
    codes: IntArray


# Of a column that has more values than could be runs.
TOO_MANY = Labels(("",) * (MAX_RUNS + 1), np.zeros(0, np.int16))


@dataclass(frozen=True)
class Log:
    """A file of somebody's runs, or several that belong together.

    `tables` are the runs by name; where a file is one table, `labels` are its columns that may
    tell runs apart. `own` is a curve as this program writes it, in nats. `notes` say, in phrases,
    what was passed over or taken for granted in reading. `figures` are what was written with a
    model's hyperparameters, and no curve.
    """

    tables: dict[str, Table]
    program: Program = UNKNOWN
    labels: dict[str, Labels] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    own: pd.DataFrame | None = None
    figures: bool = False

    @property
    def names(self) -> list[str]:
        """The names of all columns and metrics, in the order in which they stand."""
        return list(dict.fromkeys(name for table in self.tables.values() for name in table.names))

    def count(self, name: str) -> int:
        """The most values that a run has in a column."""
        return max((table.count(name) for table in self.tables.values()), default=0)


def quoted(name: str, most: int = 40) -> str:
    """A name of a stranger's as it may stand in a sentence."""
    name = " ".join(name.split())
    return repr(name if len(name) <= most else name[:most] + "…")


def listed(names: list[str], most: int = 12) -> str:
    """Names in a sentence, no more than `most`."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(map(quoted, names[:most])) + more


@dataclass(frozen=True)
class FoundLog:
    """A log, what its runs are called that have no name of their own, and the files that it is."""

    name: str
    log: Log
    files: tuple[str, ...]
