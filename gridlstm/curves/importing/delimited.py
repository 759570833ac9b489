"""Tables of text: commas, semicolons or tabs between columns, read in blocks within limits.

Cells become numbers block by block, so that no more than a block of texts is held at a time.
"""

import csv
import io
import math
import re
from array import array
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from gridlstm.array_types import IntArray
from gridlstm.curves.importing.columns import is_counter, is_run_column
from gridlstm.curves.importing.log import (
    MAX_COLUMNS,
    MAYBE_EMPTY,
    TOO_MANY,
    Labels,
    Log,
    Table,
    quoted,
)
from gridlstm.curves.importing.names import metric
from gridlstm.curves.importing.programs import KERAS, LIGHTNING, UNKNOWN, Program, recognise
from gridlstm.curves.reading import CurveError

DELIMITERS = ",;\t|"
NO_NUMBER = {"", "nan", "null", "none", "na", "n/a", "-", "--"}
BLOCK_ROWS = 5_000
MAX_CSV_ROWS, MAX_CSV_CELLS = 500_000, 2_500_000
MAX_HEADER = 200_000
MAX_LABELS = 500
_THOUSANDS = re.compile(r"[+-]?\d{1,3}(,\d{3})+(\.\d*)?")
_DECIMAL_COMMA = re.compile(r"[+-]?(\d{1,3}(\.\d{3})+|\d*),\d+(e[+-]?\d+)?", re.I)
_POINTS = re.compile(r"[+-]?\d{1,3}(\.\d{3})+")
_POINT = re.compile(r"[+-]?\d*\.\d+(e[+-]?\d+)?", re.I)


@dataclass
class _Column:
    """A column while it is read: numbers until a cell is none, labels until there are too many."""

    numbers: "array[float] | None" = field(default_factory=lambda: array("d"))
    blank: int = 0
    said: list[int] = field(default_factory=list)
    labels: dict[str, int] | None = None
    codes: "array[int]" = field(default_factory=lambda: array("h"))


def looks_delimited(text: str) -> bool:
    """Whether the first line names columns, one of which counts or is a metric."""
    first = _header(_lines(text))[0]
    return len(first) > 1 and any(
        is_counter(n) or is_run_column(n) or metric(n).is_loss or n.lower() == "value"
        for n in first
    )


def read_delimited(text: str) -> Log:
    """The log that a table of text is. Raises CurveError, which names the line."""
    source = _lines(text)
    header, delimiter, before = _header(source)
    if len(header) < 2:
        raise CurveError(
            "This is no table: the first line must name at least two columns, with commas, "
            "semicolons or tabs between."
        )
    if len(header) > MAX_COLUMNS:
        raise CurveError(f"The file has more than {MAX_COLUMNS} columns.")
    header = [name or f"column {place}" for place, name in enumerate(header, start=1)]
    for name in header:
        if header.count(name) > 1:
            raise CurveError(f"The first line names the column {quoted(name, 30)} more than once.")
    columns = {name: _Column(labels={}) for name in header}
    lines, repeated = array("q"), list[int]()
    for numbers, rows in _blocks(source, delimiter, header, before, repeated):
        lines.extend(numbers)
        if len(lines) > MAX_CSV_ROWS or len(lines) * len(header) > MAX_CSV_CELLS:
            raise CurveError(
                f"The file has more than {MAX_CSV_ROWS:,} rows, or {MAX_CSV_CELLS:,} cells: leave "
                "out "
                "columns, or some of the rows."
            )
        comma = _comma_is(delimiter, rows)
        for cells, column in zip(zip(*rows, strict=True), columns.values(), strict=True):
            _add(column, cells, comma)
    if not lines:
        raise CurveError("The file has a header but no rows.")
    table = _table(columns, np.array(lines))
    notes = []
    if repeated:
        where = ", ".join(map(str, repeated[:5])) + (" …" if len(repeated) > 5 else "")
        notes = [f"the header stands again in line {where}: passed over"]
    labels = _labels(columns)
    table = Table(
        {name: v for name, v in table.columns.items() if not np.isnan(v).all()}, table.lines
    )
    if not table.columns:
        raise CurveError("The file has no column of numbers.")
    return Log({"": table}, _program(header, table), labels, tuple(notes))


def _lines(text: str) -> io.StringIO:
    return io.StringIO(text, newline="")


def _header(source: io.StringIO) -> tuple[list[str], str, int]:
    """The names in the first line, what stands between them, and how many lines were read for it:
    a line `sep=;` before it is for spreadsheets."""
    given, before = None, 0
    line = ""
    while not line.strip():
        line = source.readline(MAX_HEADER)
        if not line:
            return [], ",", before
        before += 1
        if mark := re.fullmatch(r"sep=(.)", line.strip("\r\n "), re.I):
            given, line = mark[1], ""
    if len(line) == MAX_HEADER:
        raise CurveError("The first line is too long to name columns.")
    outside = re.sub(r'"[^"]*"', "", line)
    delimiter = given or max(DELIMITERS, key=outside.count)
    try:
        names = next(csv.reader([line], delimiter=delimiter), [])
    except csv.Error as error:
        raise CurveError(f"Line {before} is no CSV text.") from error
    return [name.strip() for name in names], delimiter, before


def _blocks(
    source: io.StringIO, delimiter: str, header: list[str], before: int, repeated: list[int]
) -> Iterator[tuple[list[int], list[list[str]]]]:
    """The rows, and the lines that they end on, block by block; repeated headers left out."""
    rows = csv.reader(source, delimiter=delimiter)
    lines, block = [], []
    try:
        for row in rows:
            if len(row) != len(header):
                if len(row) < 2 and not "".join(row).strip():
                    continue
                raise CurveError(
                    f"The header names {len(header)} columns, but the number of values in line "
                    f"{before + rows.line_num} is {len(row)}."
                )
            if row[0] == header[0] and [cell.strip() for cell in row] == header:
                repeated.append(before + rows.line_num)
                continue
            lines.append(before + rows.line_num)
            block.append(row)
            if len(block) == BLOCK_ROWS:
                yield lines, block
                lines, block = [], []
    except csv.Error as error:
        raise CurveError(f"Line {before + rows.line_num} is no CSV text.") from error
    if block:
        yield lines, block


def _comma_is(delimiter: str, rows: list[list[str]]) -> str:
    """What a comma within a number stands for: "thousands", or "decimal" where columns are parted
    by something else and no number has a point."""
    if delimiter == ",":
        return "thousands"
    cells = [cell.strip() for row in rows[:200] for cell in row]
    comma = any(_DECIMAL_COMMA.fullmatch(cell) for cell in cells)
    point = any(_POINT.fullmatch(cell) and not _POINTS.fullmatch(cell) for cell in cells)
    return "decimal" if comma and not point else "thousands"


def _add(column: _Column, cells: tuple[str, ...], comma: str) -> None:
    """Take a block of cells: as numbers as long as all are, as labels while they are few."""
    if column.labels is not None:
        _add_labels(column, column.labels, cells)
    if column.numbers is None:
        return
    # Python reads 1_000 as a number, and so it must not stand among plain ones.
    text = "".join(cells)
    if "_" not in text and not (comma == "decimal" and "." in text):
        if comma == "decimal":
            cells = tuple(cell.replace(",", ".") for cell in cells)
        try:
            _extend(
                column, column.numbers, [float(cell) if cell else math.nan for cell in cells], cells
            )
            return
        except ValueError:
            pass
    for cell in cells:
        value = number(cell, comma)
        if value is None:
            column.numbers = None
            return
        if value != value:
            if cell.strip().lower() == "nan":
                column.said.append(len(column.numbers))
            else:
                column.blank += 1
        column.numbers.append(value)


def _extend(
    column: _Column, taken: "array[float]", numbers: list[float], cells: tuple[str, ...]
) -> None:
    """Take numbers; NaN is a cell that is empty, or that says so."""
    begun = len(taken)
    none = [place for place, value in enumerate(numbers) if value != value]
    said = [begun + place for place in none if cells[place]]
    column.said += said
    column.blank += len(none) - len(said)
    if -math.inf in numbers:
        numbers = [abs(value) if math.isinf(value) else value for value in numbers]
    taken.extend(numbers)


def _add_labels(column: _Column, labels: dict[str, int], cells: tuple[str, ...]) -> None:
    for cell in dict.fromkeys(cells):
        labels.setdefault(cell, len(labels))
        if len(labels) > MAX_LABELS:
            column.labels, column.codes = None, array("h")
            return
    column.codes.extend(map(labels.__getitem__, cells))


def number(cell: str, comma: str = "thousands") -> float | None:
    """The number in a cell: NaN where it says that there is none, None where it is a text."""
    cell = cell.strip()
    if cell.lower() in NO_NUMBER:
        return float("nan")
    if "," in cell:
        if comma == "decimal" and _DECIMAL_COMMA.fullmatch(cell):
            return float(cell.replace(".", "").replace(",", "."))
        if _THOUSANDS.fullmatch(cell):
            cell = cell.replace(",", "")
    elif comma == "decimal" and _POINTS.fullmatch(cell):
        cell = cell.replace(".", "")
    if "_" in cell:
        return None
    try:
        # Nothing below zero that is not finite, which would be `MAYBE_EMPTY`.
        return abs(value) if math.isinf(value := float(cell)) else value
    except ValueError:
        return None


def _table(columns: dict[str, _Column], lines: IntArray) -> Table:
    """The columns that hold numbers and nothing else."""
    found = {}
    for name, column in columns.items():
        if column.numbers is None:
            continue
        values = np.frombuffer(column.numbers, np.float64).copy()
        said = np.array(column.said, dtype=np.int64)
        # Beside empty cells "NaN" is a loss that was logged; else it may be this file's way of
        # leaving a cell empty.
        if len(said):
            values[said] = np.inf if column.blank else MAYBE_EMPTY
        found[name] = values
    return Table(found, lines)


def _labels(columns: dict[str, _Column]) -> dict[str, Labels]:
    """The columns that may tell runs apart: of text with few values, or named as such."""
    found = {}
    for name, column in columns.items():
        named = is_run_column(name)
        if column.labels is None:
            if named:
                found[name] = TOO_MANY
        elif named or column.numbers is None:
            names = tuple(label.strip() for label in column.labels)
            found[name] = Labels(names, np.frombuffer(column.codes, np.int16).copy())
    return found


def _program(header: list[str], table: Table) -> Program:
    program = recognise(header, UNKNOWN)
    if program is KERAS:
        # Its logger puts the epoch first, counted from 0, then the rest sorted.
        epoch = table.columns.get("epoch", np.ones(1))
        by_keras = header[0] == "epoch" and sorted(header[1:]) == header[1:] and epoch[0] == 0
        return KERAS if by_keras else UNKNOWN
    if program is not LIGHTNING:
        return program
    # Its logger sorts the names, and writes training and validation in rows of their own.
    if sorted(header) != header:
        return UNKNOWN
    held = {data: np.zeros(len(table), bool) for data in ("training", "validation")}
    for name, values in table.columns.items():
        data = metric(name).data
        if metric(name).is_loss and data in held:
            held[data] |= ~np.isnan(values)
    return UNKNOWN if (held["training"] & held["validation"]).any() else LIGHTNING
