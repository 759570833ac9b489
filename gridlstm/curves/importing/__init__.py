"""Other people's runs: what their programs log becomes curves, or one sentence each.

`read_file` reads a file of any known layout within limits, `join_files` puts together what is of
one run; `guess_columns` finds out which column is what, by its name; `import_runs` makes curves of
them and says what was taken for what. `docs/formats.md` has a table of the layouts.

Every reader is a module: `delimited` (CSV of any kind), `wandb`, `event_files` and `scalars`
(TensorBoard), `records` (JSON), `console`. No import takes more than 2 s of processor time or
300 MB: the limits are checked while reading.
"""

from gridlstm.curves.importing.columns import (
    IMPORT_UNITS,
    Columns,
    find_run_columns,
    guess_columns,
    training_loss,
    validation_losses,
)
from gridlstm.curves.importing.log import FoundLog, Log, NoCurveError
from gridlstm.curves.importing.programs import Program
from gridlstm.curves.importing.reading import join_files, read_file, read_log
from gridlstm.curves.importing.runs import ImportedRuns, import_guessed, import_runs
from gridlstm.curves.importing.scalars import Scalars

__all__ = [
    "IMPORT_UNITS",
    "Columns",
    "FoundLog",
    "ImportedRuns",
    "Log",
    "NoCurveError",
    "Program",
    "Scalars",
    "guess_columns",
    "import_guessed",
    "import_runs",
    "join_files",
    "find_run_columns",
    "read_file",
    "read_log",
    "training_loss",
    "validation_losses",
]
