"""Curve files read and checked: every fault is one sentence that says where it is."""

import csv
import io
import math
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
import pandas as pd

from gridlstm.array_types import BoolArray, Float64Array
from gridlstm.errors import UserError
from gridlstm.training.curve_log import ACCURACIES, COLUMNS, COUNTS

PUBLISHED_COLUMNS = ("model", "update", "val_loss")
# What is counted in them never shrinks from row to row.
GROWING = ("update", "epoch", "bytes", "seconds")
MAX_LOG_BYTES = 10_000_000
# Whole numbers up to here are exact in float64.
LARGEST = 2**53


class CurveError(UserError):
    """A file that is no usable curve; the message is one sentence for the user."""


@dataclass(frozen=True)
class Rows:
    """A CSV text cell by cell: `cells` [row][column], each row with the line that it ends on."""

    header: list[str]
    lines: list[int]
    cells: list[list[str]]


def read_curve(source: Path | str | bytes | BinaryIO) -> pd.DataFrame:
    """Read and check a curve: a frame with `COLUMNS`, whole numbers as int64, the rest float64.

    `source` is a path, the file's bytes, or a file open for reading bytes. Of further columns only
    `accuracy` and `digit_accuracy` are taken, shares from 0 to 1, NaN where not measured. Raises
    CurveError.
    """
    lines, table = _columns(read_rows(read_bytes(source)), COLUMNS, ACCURACIES)
    frame = pd.DataFrame({name: _numbers(table[name], name, lines) for name in COLUMNS})
    for name in (name for name in ACCURACIES if name in table):
        frame[name] = _shares(table[name], name, lines)
    _check_growth(frame, lines)
    return frame


def read_published(path: Path) -> dict[str, pd.DataFrame]:
    """The published curves by model name: frames with `update` and `val_loss` (nats per byte).

    Raises CurveError.
    """
    lines, table = _columns(read_rows(read_bytes(path)), PUBLISHED_COLUMNS)
    numbers = {name: _numbers(table[name], name, lines) for name in PUBLISHED_COLUMNS[1:]}
    frame = pd.DataFrame({"model": table["model"], **numbers})
    groups = frame.groupby("model", sort=False)
    return {str(name): rows.drop(columns="model").reset_index(drop=True) for name, rows in groups}


def read_bytes(source: Path | str | bytes | BinaryIO) -> bytes:
    """At most one byte more than may be: a huge file is never read whole."""
    if isinstance(source, bytes):
        return source
    if not isinstance(source, (str, Path)):
        return source.read(MAX_LOG_BYTES + 1)
    try:
        with open(source, "rb") as file:
            return file.read(MAX_LOG_BYTES + 1)
    except FileNotFoundError as error:
        raise CurveError(f"There is no file {Path(source).name}.") from error
    except OSError as error:
        raise CurveError(f"The file {Path(source).name} cannot be read.") from error


def read_rows(data: bytes) -> Rows:
    """The cells of a CSV text, as they are written. Raises CurveError."""
    rows = csv.reader(io.StringIO(decode(data), newline=""))
    lines, cells = [], []
    try:
        header = [name.strip() for name in next(rows, [])]
        for row in rows:
            if not row:
                continue
            if len(row) != len(header):
                raise CurveError(
                    f"The header names {len(header)} columns, but the number of values in line "
                    f"{rows.line_num} is {len(row)}."
                )
            lines.append(rows.line_num)
            cells.append(row)
    except csv.Error as error:
        raise CurveError(f"Line {rows.line_num} is no CSV text.") from error
    return Rows(header, lines, cells)


def _columns(
    rows: Rows, columns: tuple[str, ...], more: tuple[str, ...] = ()
) -> tuple[list[int], dict[str, list[str]]]:
    """The number of the line that each row ends on, and the text of every cell by column; those in
    `more` need not be there."""
    columns += tuple(name for name in more if name in rows.header)
    _check_header(rows.header, columns)
    if not rows.cells:
        raise CurveError("The curve has a header but no rows.")
    places = {name: rows.header.index(name) for name in columns}
    return rows.lines, {n: [row[place] for row in rows.cells] for n, place in places.items()}


def decode(data: bytes) -> str:
    """UTF-8 text, with or without its mark. Raises CurveError, which names the line."""
    if len(data) > MAX_LOG_BYTES:
        raise CurveError(f"The curve is larger than {MAX_LOG_BYTES // 1_000_000} MB.")
    if not data.strip():
        raise CurveError("The file is empty.")
    if b"\0" in data:
        raise CurveError("This is a binary file, not a CSV text.")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise CurveError(f"Line {line} is not UTF-8 text, as a curve must be.") from error


def _check_header(header: list[str], columns: tuple[str, ...]) -> None:
    missing = [name for name in columns if name not in header]
    if missing:
        plural = "s" if len(missing) > 1 else ""
        raise CurveError(
            f"The column{plural} {', '.join(missing)} cannot be found; the first line must name "
            f"{', '.join(columns)}, with commas between."
        )
    for name in columns:
        if header.count(name) > 1:
            raise CurveError(f"The first line names the column {name} more than once.")


def _numbers(cells: list[str], name: str, lines: list[int]) -> Float64Array:
    """A column's cells as int64 (update, bytes) or float64 [row], none of them negative."""
    whole = name in COUNTS
    values = [_number(cell, name, line) for cell, line in zip(cells, lines, strict=True)]
    column = np.array(values)
    _refuse(column < 0, cells, name, lines, "below zero")
    if not whole:
        return column
    _refuse(column % 1 != 0, cells, name, lines, "not a whole number")
    _refuse(column > LARGEST, cells, name, lines, "too large")
    return column.astype(np.int64)


def _shares(cells: list[str], name: str, lines: list[int]) -> Float64Array:
    """A column of shares, 0 to 1, as float64 [row]; NaN where the cell is empty."""
    values = [
        _number(cell, name, line) if cell.strip() else math.nan
        for cell, line in zip(cells, lines, strict=True)
    ]
    column = np.array(values)
    _refuse((column < 0) | (column > 1), cells, name, lines, "not from 0 to 1")
    return column


def _number(cell: str, name: str, line: int) -> float:
    if not cell.strip():
        raise CurveError(f"The column {name} is empty in line {line}.")
    try:
        value = float(cell)
    except ValueError as error:
        raise _fault(cell, name, line, "not a number") from error
    # Python reads 1_000 as a number; nothing else does.
    if "_" in cell:
        raise _fault(cell, name, line, "not a number")
    if not math.isfinite(value):
        raise _fault(cell, name, line, "not a finite number")
    return value


def _fault(cell: str, name: str, line: int, why: str) -> CurveError:
    quoted = repr(cell if len(cell) <= 30 else cell[:30] + "…")
    return CurveError(f"The column {name} holds {quoted} in line {line}, which is {why}.")


def _refuse(bad: BoolArray, cells: list[str], name: str, lines: list[int], why: str) -> None:
    """Raise CurveError for the first row that is `bad`, bool [row]."""
    if bad.any():
        row = int(bad.argmax())
        raise _fault(cells[row], name, lines[row], why)


def _check_growth(frame: pd.DataFrame, lines: list[int]) -> None:
    """Updates must grow from row to row, and what is spent must not shrink."""
    for name in GROWING:
        steps = np.diff(frame[name])
        bad = steps <= 0 if name == "update" else steps < 0
        if bad.any():
            line = lines[int(bad.argmax()) + 1]
            wanted = "does not grow" if name == "update" else "goes back"
            raise CurveError(
                f"The column {name} {wanted} in line {line}: rows must be in order of the updates."
            )
