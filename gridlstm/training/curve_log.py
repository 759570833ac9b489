"""The curve a training run writes beside its checkpoint. Needs no pandas: it runs where training
does; `gridlstm.curves` reads, and checks, whatever is given as one."""

import csv
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from gridlstm.checkpoint import write_aside
from gridlstm.errors import UserError


@dataclass(frozen=True)
class CurvePoint:
    """One validation. Losses in nats per byte: `train_loss` is the mean since the point before.

    `accuracy`, the share of answers with every byte right, and `digit_accuracy`, that of single
    digits, are only of tasks that have answers.
    """

    update: int
    epoch: float
    bytes: int
    train_loss: float
    val_loss: float
    learning_rate: float
    seconds: float
    accuracy: float | None = None
    digit_accuracy: float | None = None


class CurveLogError(UserError):
    """A file that is no curve of a training; the message is one sentence for the user."""


COUNTS = ("update", "bytes")
ACCURACIES = ("accuracy", "digit_accuracy")
COLUMNS = tuple(field.name for field in fields(CurvePoint) if field.name not in ACCURACIES)


def write_curve(path: Path, points: Iterable[CurvePoint]) -> None:
    """Write the whole curve as CSV, with columns of accuracy only where a point has one; the file
    is written aside and renamed."""
    points = list(points)
    answered = any(point.accuracy is not None for point in points)
    columns = COLUMNS + ACCURACIES if answered else COLUMNS
    rows = [
        {
            name: f"{value:.7g}" if isinstance(value, float) else value
            for name, value in asdict(point).items()
            if name in columns
        }
        for point in points
    ]

    def write(aside: Path) -> None:
        with open(aside, "w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, columns, lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)

    write_aside(path, write)


def read_points(path: Path) -> list[CurvePoint]:
    """What `write_curve` wrote. Raises CurveLogError, OSError."""
    with open(path, newline="", encoding="utf-8") as file:
        try:
            rows = list(csv.DictReader(file))
            if not rows:
                raise ValueError("no points")
            return [_point(row) for row in rows]
        except (KeyError, TypeError, ValueError, csv.Error) as error:
            raise CurveLogError(f"{path.name} is not a curve that a training wrote.") from error


def _point(row: dict[str, str]) -> CurvePoint:
    names = (*COLUMNS, *(name for name in ACCURACIES if row.get(name)))
    values: dict[str, Any] = {
        name: int(row[name]) if name in COUNTS else float(row[name]) for name in names
    }
    return CurvePoint(**values)
