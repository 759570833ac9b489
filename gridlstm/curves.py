"""Validation curves: read and checked, smoothed, compared. `gridlstm.curve_log` writes them.

A curve is a CSV file, one row a validation, with the header
`update,epoch,bytes,train_loss,val_loss,learning_rate,seconds`; losses in nats per byte.

The published curves (`checkpoints/published_curves.csv`) are the four of the experiment by
coreylynch (grid-lstm), read off its picture pixel by pixel, about ±0.004 nats: on enwik8, with 1000
units. A row that is missing means that the curve is hidden by another there. Losses on other data
cannot be compared with them.
"""

import csv
import io
import math
from collections.abc import Collection, Hashable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
import pandas as pd

from gridlstm.curve_log import COLUMNS
from gridlstm.errors import UserError

PUBLISHED_COLUMNS = ("model", "update", "val_loss")
AXES = ("update", "epoch", "bytes", "seconds")
SPLITS = {"validation": "val_loss", "training": "train_loss"}
UNITS = ("bits", "nats")
MOST_BYTES = 10_000_000
# Whole numbers up to here are exact in float64.
LARGEST = 2**53


class CurveError(UserError):
    """A file that is no usable curve; the message is one sentence for the user."""


@dataclass(frozen=True)
class Series:
    """One line of the picture: every logged point, in the order of the updates.

    All float64 [point]: `x` along the chosen axis, `update` as logged, losses in the chosen unit.
    """

    x: np.ndarray
    update: np.ndarray
    raw: np.ndarray
    smoothed: np.ndarray


def read_curve(source: Path | str | bytes | BinaryIO) -> pd.DataFrame:
    """Read and check a curve: a frame with `COLUMNS`, whole numbers as int64, the rest float64.

    `source` is a path, the file's bytes, or a file open for reading bytes. Columns beyond
    `COLUMNS` are left out. Raises CurveError.
    """
    lines, table = _parse(_read_bytes(source), COLUMNS)
    frame = pd.DataFrame({name: _numbers(table[name], name, lines) for name in COLUMNS})
    _check_growth(frame, lines)
    return frame


def read_published(path: Path) -> dict[str, pd.DataFrame]:
    """The published curves by model name: frames with `update` and `val_loss` (nats per byte).

    Raises CurveError.
    """
    lines, table = _parse(_read_bytes(path), PUBLISHED_COLUMNS)
    numbers = {name: _numbers(table[name], name, lines) for name in PUBLISHED_COLUMNS[1:]}
    frame = pd.DataFrame({"model": table["model"], **numbers})
    groups = frame.groupby("model", sort=False)
    return {name: rows.drop(columns="model").reset_index(drop=True) for name, rows in groups}


def smooth(values: np.ndarray, weight: float) -> np.ndarray:
    """Exponential moving average, debiased, as TensorBoard draws it: float64 [point].

    Each value is the weighted mean of all points so far, one that lies `k` points back counting
    `weight ** k`. Raises ValueError unless `weight` is at least 0 and under 1.
    """
    if not 0 <= weight < 1:
        raise ValueError(f"The smoothing weight must be at least 0 and under 1, not {weight!r}.")
    smoothed = np.empty(len(values))
    total = count = 0.0
    for index, value in enumerate(np.asarray(values, dtype=np.float64)):
        total = weight * total + value
        count = weight * count + 1
        smoothed[index] = total / count
    return smoothed


def convert(nats: np.ndarray | float, unit: str) -> np.ndarray | float:
    """Losses in nats as `unit`, `"nats"` or `"bits"`."""
    if unit not in UNITS:
        raise ValueError(f"A loss is given in {' or '.join(UNITS)}, not in {unit!r}.")
    return nats / math.log(2) if unit == "bits" else nats


def curve_series(
    frame: pd.DataFrame, axis: str, split: str, unit: str, smoothing: float = 0.0
) -> Series:
    """What to draw of a curve: `axis` is one of `AXES`, `split` of `SPLITS`, `unit` of `UNITS`."""
    raw = convert(frame[SPLITS[split]].to_numpy(np.float64), unit)
    return Series(
        x=frame[axis].to_numpy(np.float64),
        update=frame["update"].to_numpy(np.float64),
        raw=raw,
        smoothed=smooth(raw, smoothing),
    )


def summary(
    curves: dict[str, pd.DataFrame],
    baselines: Collection[str],
    data: dict[str, Hashable] | None = None,
) -> pd.DataFrame:
    """One row a curve, by its name in `model`.

    `data` says by name what a curve was measured on: only curves with an equal entry are compared,
    all of them if it is not given. Losses are validation losses in nats per byte. Columns:
    `best_loss`, `best_update`, `last_loss`, and `updates`, `bytes` and `seconds` spent so far;
    `common_update`, the last one that all curves on the data have a point at, with `common_bytes`
    and `common_loss` there (NaN if there is none). `difference_percent` and
    `common_difference_percent` are against the lowest such loss of those named in `baselines`:
    negative is better, NaN if there is none.
    """
    groups: dict[Hashable, list[str]] = {}
    for name in curves:
        groups.setdefault(None if data is None else data[name], []).append(name)
    tables = [_compared({n: curves[n] for n in names}, baselines) for names in groups.values()]
    if not tables:
        return _compared({}, baselines)
    return pd.concat(tables).set_index("model").loc[list(curves)].reset_index()


def _compared(curves: dict[str, pd.DataFrame], baselines: Collection[str]) -> pd.DataFrame:
    """`summary` of curves that are all measured on the same data."""
    common = _last_common_update(list(curves.values()))
    rows = []
    for name, frame in curves.items():
        best, last = frame.loc[frame["val_loss"].idxmin()], frame.iloc[-1]
        there = frame[frame["update"] == common]
        rows.append(
            {
                "model": name,
                "best_loss": best["val_loss"],
                "best_update": int(best["update"]),
                "last_loss": last["val_loss"],
                "updates": int(last["update"]),
                "bytes": int(last["bytes"]),
                "seconds": last["seconds"],
                "common_update": common,
                "common_bytes": there["bytes"].max(),
                "common_loss": there["val_loss"].max(),
            }
        )
    columns = ["model", "best_loss", "best_update", "last_loss", "updates", "bytes", "seconds"]
    columns += ["common_update", "common_bytes", "common_loss"]
    table = pd.DataFrame(rows, columns=columns)
    is_baseline = table["model"].isin(list(baselines))
    for loss, difference in (
        ("best_loss", "difference_percent"),
        ("common_loss", "common_difference_percent"),
    ):
        reference = table.loc[is_baseline, loss].min()
        table.insert(
            table.columns.get_loc(loss) + 1, difference, 100 * (table[loss] / reference - 1)
        )
    return table


def _last_common_update(frames: list[pd.DataFrame]) -> float:
    """The last update that all of the curves have a point at; NaN if there is none."""
    shared = set.intersection(*(set(frame["update"]) for frame in frames)) if frames else ()
    return float(max(shared, default=math.nan))


def _read_bytes(source: Path | str | bytes | BinaryIO) -> bytes:
    """At most one byte more than may be: a huge file is never read whole."""
    if isinstance(source, bytes):
        return source
    if not isinstance(source, (str, Path)):
        return source.read(MOST_BYTES + 1)
    try:
        with open(source, "rb") as file:
            return file.read(MOST_BYTES + 1)
    except FileNotFoundError as error:
        raise CurveError(f"There is no file {Path(source).name}.") from error
    except OSError as error:
        raise CurveError(f"The file {Path(source).name} cannot be read.") from error


def _parse(data: bytes, columns: tuple[str, ...]) -> tuple[list[int], dict[str, list[str]]]:
    """The text of every cell by column, and the number of the line that each row ends on."""
    rows = csv.reader(io.StringIO(_decode(data), newline=""))
    lines, cells = [], []
    try:
        header = [name.strip() for name in next(rows, [])]
        _check_header(header, columns)
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
    if not cells:
        raise CurveError("The curve has a header but no rows.")
    return lines, {name: [row[header.index(name)] for row in cells] for name in columns}


def _decode(data: bytes) -> str:
    if len(data) > MOST_BYTES:
        raise CurveError(f"The curve is larger than {MOST_BYTES // 1_000_000} MB.")
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


def _numbers(cells: list[str], name: str, lines: list[int]) -> np.ndarray:
    """A column's cells as int64 (update, bytes) or float64 [row], none of them negative."""
    whole = name in ("update", "bytes")
    values = [_number(cell, name, line) for cell, line in zip(cells, lines, strict=True)]
    column = np.array(values)
    _refuse(column < 0, cells, name, lines, "below zero")
    if not whole:
        return column
    _refuse(column % 1 != 0, cells, name, lines, "not a whole number")
    _refuse(column > LARGEST, cells, name, lines, "too large")
    return column.astype(np.int64)


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


def _refuse(bad: np.ndarray, cells: list[str], name: str, lines: list[int], why: str) -> None:
    """Raise CurveError for the first row that is `bad`, bool [row]."""
    if bad.any():
        row = int(bad.argmax())
        raise _fault(cells[row], name, lines[row], why)


def _check_growth(frame: pd.DataFrame, lines: list[int]) -> None:
    """Updates must grow from row to row, and what is spent must not shrink."""
    for name in AXES:
        steps = np.diff(frame[name])
        bad = steps <= 0 if name == "update" else steps < 0
        if bad.any():
            line = lines[int(bad.argmax()) + 1]
            wanted = "does not grow" if name == "update" else "goes back"
            raise CurveError(
                f"The column {name} {wanted} in line {line}: rows must be in order of the updates."
            )
