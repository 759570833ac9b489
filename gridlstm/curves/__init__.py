"""Validation curves: read and checked, imported, smoothed, grouped by seeds, compared.

`gridlstm.training.curve_log` writes them. A curve is a CSV file, one row a validation, with the
header `update,epoch,bytes,train_loss,val_loss,learning_rate,seconds` and, for tasks that have
answers, `accuracy,digit_accuracy`; losses in nats per byte.

The published curves (`checkpoints/published_curves.csv`) are the four of the experiment by
coreylynch (grid-lstm), read off its picture pixel by pixel, about ±0.004 nats: on enwik8, with 1000
units. A row that is missing means that the curve is hidden by another there. Losses on other data
cannot be compared with them.

`gridlstm.curves.importing` reads what other programs log.
"""

from gridlstm.curves.comparing import (
    VERDICTS,
    best_baseline,
    compare_groups,
    noise,
    summary,
    training_operations,
    with_operations,
)
from gridlstm.curves.reading import CurveError, read_curve, read_published
from gridlstm.curves.seeds import mean_over_seeds
from gridlstm.curves.series import (
    AXES,
    POSITIONS,
    QUANTITIES,
    UNITS,
    Series,
    convert,
    counted_by,
    curve_series,
    is_loss,
    smooth,
)
from gridlstm.training.curve_log import COLUMNS

__all__ = [
    "AXES",
    "COLUMNS",
    "POSITIONS",
    "QUANTITIES",
    "UNITS",
    "VERDICTS",
    "CurveError",
    "Series",
    "best_baseline",
    "compare_groups",
    "convert",
    "counted_by",
    "curve_series",
    "is_loss",
    "mean_over_seeds",
    "noise",
    "read_curve",
    "read_published",
    "smooth",
    "summary",
    "training_operations",
    "with_operations",
]
