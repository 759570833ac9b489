"""Files of strangers: which layout each has, and which of them belong together.

Whatever goes wrong with one is its own sentence: nothing else is ever raised, and the other files
are read.
"""

import codecs
import csv
import io
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path, PurePath
from typing import BinaryIO

from gridlstm.curves.importing.columns import is_run_column
from gridlstm.curves.importing.console import looks_like_console, read_console
from gridlstm.curves.importing.delimited import looks_delimited, read_delimited
from gridlstm.curves.importing.event_files import is_event_file, read_events
from gridlstm.curves.importing.log import FoundLog, Log
from gridlstm.curves.importing.programs import OWN
from gridlstm.curves.importing.records import looks_like_json, read_json
from gridlstm.curves.importing.scalars import Scalars, downloaded_scalars, join_scalars
from gridlstm.curves.importing.wandb import wandb_log
from gridlstm.curves.reading import MAX_LOG_BYTES, CurveError, decode, read_curve
from gridlstm.training.curve_log import COLUMNS

_UTF16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


def read_file(name: str, source: bytes | Path) -> Log | Scalars:
    """What a file holds: a log, or scalars that may belong to those of other files (`join_files`).

    `name` may be a path; its folders tell runs apart. Raises CurveError, and nothing else.
    """
    try:
        return _read(name, source)
    except CurveError:
        raise
    except FileNotFoundError as error:
        raise CurveError(f"There is no file {PurePath(name).name}.") from error
    except OSError as error:
        raise CurveError(f"The file {PurePath(name).name} cannot be read.") from error
    # Whatever a stranger's file makes a reader stumble over, it is a fault of that file alone.
    except Exception as error:
        raise CurveError(
            f"The file cannot be read: it is damaged, or no log ({type(error).__name__})."
        ) from error


def join_files(parts: Iterable[tuple[str, Log | Scalars]], here: str = "") -> list[FoundLog]:
    """The logs that these files are, by their names: scalars of one run joined.

    `here` is what a run is called whose files lie in no folder.
    """
    found, scalars = [], []
    for name, part in parts:
        if isinstance(part, Scalars):
            scalars.append(part)
        else:
            found.append(FoundLog(_without_ending(name), part, (name,)))
    for folder, log, files in join_scalars(scalars):
        if folder == ".":
            file = PurePath(files[0]).name.replace("events.out.tfevents.", "events ")
            folder = here or file
        found.append(FoundLog(folder, log, tuple(files)))
    return found


def read_log(name: str, source: bytes | Path) -> FoundLog:
    """The log of one file alone. Raises CurveError, and nothing else."""
    (found,) = join_files([(name, read_file(name, source))])
    return found


def _without_ending(name: str) -> str:
    path = PurePath(name)
    return str(path.parent / path.stem) if path.stem else name


def _read(name: str, source: bytes | Path) -> Log | Scalars:
    if isinstance(source, bytes):
        return _read_open(name, io.BytesIO(source), len(source))
    with open(source, "rb") as file:
        size = file.seek(0, io.SEEK_END)
        file.seek(0)
        return _read_open(name, file, size)


def _read_open(name: str, file: BinaryIO, size: int) -> Log | Scalars:
    head = file.read(64)
    file.seek(0)
    if size and is_event_file(name, head):
        return read_events(name, file, size)
    data = file.read(MAX_LOG_BYTES + 1)
    text = _decode_utf16(data) if data.startswith(_UTF16) else decode(data)
    return _read_text(name, text, data)


def _decode_utf16(data: bytes) -> str:
    if len(data) > MAX_LOG_BYTES:
        raise CurveError(f"The file is larger than {MAX_LOG_BYTES // 1_000_000} MB.")
    try:
        return data.decode("utf-16")
    except UnicodeDecodeError as error:
        raise CurveError("The file begins as UTF-16 text and does not go on so.") from error


def _read_text(name: str, text: str, data: bytes) -> Log | Scalars:
    if looks_like_json(text):
        return read_json(text)
    first = text[:10_000].lstrip().split("\n", 1)[0]
    if looks_like_console(first) or (not looks_delimited(text) and looks_like_console(text)):
        return read_console(text)
    if is_own(text):
        return Log({}, OWN, own=read_curve(data))
    log = read_delimited(text)
    if scalars := downloaded_scalars(name, log.tables[""]):
        return scalars
    log = wandb_log(log) or _pivoted(log) or log
    return log


def is_own(text: str) -> bool:
    """Whether the first line is that of this program's own curves."""
    try:
        header = next(csv.reader(io.StringIO(text[:10_000], newline="")), [])
    except csv.Error:
        return False
    header = [name.strip() for name in header]
    return set(COLUMNS) <= set(header) and not any(is_run_column(name) for name in header)


def _pivoted(log: Log) -> Log | None:
    """A table in long form (step, tag, value) with the tags as its metrics; None if it is none."""
    table = log.tables[""]
    tag = next(
        (n for n in log.labels if n.lower() in ("tag", "metric", "key", "metric_name")), None
    )
    value = next((n for n in table.columns if n.lower() in ("value", "val", "metric_value")), None)
    if tag is None or value is None:
        return None
    held = log.labels[tag]
    rest = {name: values for name, values in table.columns.items() if name != value}
    long = replace(
        table, columns=rest, metrics=held.names, tag=held.codes, value=table.columns[value]
    )
    labels = {name: kept for name, kept in log.labels.items() if name != tag}
    return replace(log, tables={"": long}, labels=labels)
