"""Runs that are no models here: imported by a visitor, or in folders that the operator has watched.

Folders are named by the environment variable GRIDLSTM_RUNS alone: a visitor of a hosted app must
not read the server's files.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import pandas as pd
import streamlit as st

from dashboard.words import verbatim
from gridlstm.checkpoint import CheckpointError, Metadata, checkpoint_path, read_metadata
from gridlstm.curves import (
    Columns,
    CurveError,
    Foreign,
    guess_columns,
    import_runs,
    read_foreign,
)
from gridlstm.curves.reading import read_bytes

WATCHED = "GRIDLSTM_RUNS"
MOST_WATCHED, MOST_IMPORTED = 200, 20
# A folder of TensorBoard logs holds a folder a run, some with one for training and for validation.
DEPTH = 3


@dataclass(frozen=True)
class ForeignRun:
    """A curve that came without a model of this visit. `source` tells files apart."""

    name: str
    source: str
    curve: pd.DataFrame
    imported: bool
    path: Path = Path()
    metadata: Metadata | None = None


@dataclass(frozen=True)
class Import:
    """A file that a visitor brought, with what is chosen for it."""

    name: str
    foreign: Foreign
    columns: Columns
    unit: str = "nats"

    def curves(self) -> dict[str, pd.DataFrame]:
        """Raises CurveError."""
        return import_runs(self.foreign, self.columns, self.unit)


# -- Brought by the visitor -----------------------------------------------------------------------


def imports() -> dict[str, Import]:
    """What this visitor has brought, by a key; it goes when the visit ends."""
    return st.session_state.setdefault("imported_runs", {})


def bring(name: str, data: bytes) -> None:
    """Keep a visitor's file of runs, for this visit. Raises CurveError."""
    foreign = read_foreign(name, data)
    held = imports()
    key = sha256(name.encode(errors="replace") + b"\0" + data).hexdigest()[:12]
    if key not in held and len(held) >= MOST_IMPORTED:
        raise CurveError(f"No more than {MOST_IMPORTED} files can be held: take one away first.")
    held[key] = Import(Path(name).name, foreign, guess_columns(foreign.columns))


def imported() -> list[ForeignRun]:
    """The visitor's runs, of the files whose columns are known."""
    runs = []
    for key, brought in imports().items():
        try:
            curves = brought.curves()
        except CurveError:
            # The section of the page in which the columns are chosen says it.
            continue
        runs += [ForeignRun(name, key, curve, True) for name, curve in curves.items()]
    return runs


# -- Watched --------------------------------------------------------------------------------------


def watched_folders() -> list[Path]:
    """The folders that the program was told to watch."""
    return [Path(name) for name in os.environ.get(WATCHED, "").split(os.pathsep) if name]


def watched() -> tuple[list[ForeignRun], list[str]]:
    """The runs in these folders as they are now, and one sentence for each unusable file."""
    runs, problems = [], []
    for folder in watched_folders():
        if not folder.is_dir():
            problems.append(verbatim(f"{WATCHED}: there is no folder {folder.name}."))
            continue
        files = sorted(_files(folder, DEPTH))
        if len(files) > MOST_WATCHED:
            problems.append(
                verbatim(f"{folder.name}: of {len(files)} files only {MOST_WATCHED} are watched.")
            )
        for path in files[:MOST_WATCHED]:
            name = str(path.relative_to(folder))
            found = _read_watched(path, name, _stamp(path))
            if isinstance(found, str):
                problems.append(verbatim(f"{name}: {found}"))
            else:
                runs += found
    return runs, problems


def _files(folder: Path, depth: int) -> Iterator[Path]:
    """The files that may be runs; what cannot be looked into is passed over."""
    try:
        entries = list(os.scandir(folder))
    except OSError:
        return
    for entry in entries:
        if entry.name.startswith("."):
            continue
        if entry.is_dir(follow_symlinks=False) and depth > 1:
            yield from _files(Path(entry.path), depth - 1)
        elif entry.name.endswith(".csv") or "tfevents" in entry.name:
            yield Path(entry.path)


def _stamp(path: Path) -> tuple[int, int]:
    """What changes when a file does, or the checkpoint beside it; zeros for what is not there."""
    statuses = [_status(path), _status(checkpoint_path(path.parent, path.stem))]
    return max(time for time, _ in statuses), sum(size for _, size in statuses)


def _status(path: Path) -> tuple[int, int]:
    try:
        status = path.stat()
    except OSError:
        return 0, 0
    return status.st_mtime_ns, status.st_size


@st.cache_data(max_entries=2 * MOST_WATCHED, show_spinner=False)
def _read_watched(path: Path, name: str, stamp: tuple[int, int]) -> list[ForeignRun] | str:
    """The runs of a file, or the sentence that says why there are none. Losses are taken for nats.

    What a writer has not finished is passed over: a last line without its end.
    """
    try:
        data = read_bytes(path)
        if path.suffix == ".csv" and b"\n" in data:
            data = data[: data.rindex(b"\n") + 1]
        if not data:
            return []
        foreign = read_foreign(name, data)
        curves = import_runs(foreign, guess_columns(foreign.columns))
    except CurveError as error:
        return str(error)
    metadata = _metadata(path) if foreign.own else None
    alone = len(curves) == 1
    return [
        ForeignRun(
            name=_run_name(name, run, alone),
            source=str(path),
            curve=curve,
            imported=False,
            path=path,
            metadata=metadata,
        )
        for run, curve in curves.items()
    ]


def _run_name(file: str, run: str, alone: bool) -> str:
    """The file's name, with its folders; several runs of one file by their own names after it."""
    if not alone:
        return f"{run} · {file}"
    return str(Path(file).parent / run) if "tfevents" not in file else run


def _metadata(path: Path) -> Metadata | None:
    """What the checkpoint beside a curve says; nothing if there is none, or none that is whole."""
    checkpoint = checkpoint_path(path.parent, path.stem)
    try:
        return read_metadata(checkpoint) if checkpoint.exists() else None
    except (CheckpointError, OSError):
        return None
