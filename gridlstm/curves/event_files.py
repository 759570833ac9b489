"""TensorBoard event files: the scalars of a run, through `tensorboard`'s own reader."""

import logging
import struct
import tempfile
from pathlib import Path, PurePath

import numpy as np
import pandas as pd

from gridlstm.curves.reading import MOST_BYTES, CurveError

# A record: its length (uint64), a checksum of that (uint32), the event, a checksum of it (uint32).
HEADER_BYTES, CHECKSUM_BYTES = 12, 4
MOST_TAGS = 500
MOST_VALUES = 5_000_000


def is_event_file(name: str, data: bytes) -> bool:
    """Whether it is called as such files are, or begins as they do: with the version's event."""
    return "tfevents" in PurePath(name).name or b"brain.Event:" in data[:64]


def read_events(data: bytes) -> pd.DataFrame:
    """The scalars of an event file by their tags: a row a step, with `step` and `seconds` (since
    the first event), float64, NaN where a tag has no value.

    A record cut short at the end, as while a run writes it, is passed over. Raises CurveError.
    """
    if len(data) > MOST_BYTES:
        raise CurveError(f"The event file is larger than {MOST_BYTES // 1_000_000} MB.")
    whole = _whole_records(data)
    if not whole:
        raise CurveError("This is no TensorBoard event file, or it holds no whole record.")
    scalars = _scalars(data[:whole])
    if not scalars:
        raise CurveError("The event file holds no scalars.")
    if len(scalars) > MOST_TAGS:
        raise CurveError(f"The event file holds more than {MOST_TAGS} scalars.")
    first = min(time for points in scalars.values() for _, time, _ in points)
    times: dict[int, float] = {}
    values: dict[int, dict[str, float]] = {}
    for tag, points in scalars.items():
        for step, time, value in points:
            times.setdefault(step, time - first)
            values.setdefault(step, {})[tag] = value
    if len(values) * len(scalars) > MOST_VALUES:
        raise CurveError("The event file holds too many scalars at too many steps.")
    # After the tags, so that none of these names stands for something else.
    rows = [values[step] | {"step": step, "seconds": times[step]} for step in sorted(values)]
    return pd.DataFrame(rows, columns=list(dict.fromkeys(["step", "seconds", *scalars]))).astype(
        np.float64
    )


def _whole_records(data: bytes) -> int:
    """Up to where the data are whole records. The reader itself would ask for as much memory as a
    record's length says."""
    end = 0
    while end + HEADER_BYTES <= len(data):
        (length,) = struct.unpack_from("<Q", data, end)
        after = end + HEADER_BYTES + length + CHECKSUM_BYTES
        if after > len(data):
            break
        end = after
    return end


def _scalars(data: bytes) -> dict[str, list[tuple[int, float, float]]]:
    """(step, wall time, value) of every scalar event by tag."""
    # Imported here: it takes half a second. It warns of steps that go back, which is said nowhere.
    from tensorboard.backend.event_processing import event_accumulator

    logging.getLogger("tensorboard").setLevel(logging.ERROR)
    keep = event_accumulator.STORE_EVERYTHING_SIZE_GUIDANCE | dict.fromkeys(
        ("images", "audio", "histograms", "distributions"), 1
    )
    with tempfile.TemporaryDirectory(prefix="gridlstm-events-") as folder:
        path = Path(folder) / "events.out.tfevents.0"
        path.write_bytes(data)
        try:
            events = event_accumulator.EventAccumulator(str(path), size_guidance=keep).Reload()
            tags = events.Tags()
            scalars = {
                tag: [(e.step, e.wall_time, float(e.value)) for e in events.Scalars(tag)]
                for tag in tags["scalars"]
            }
            for tag in tags["tensors"]:
                points = [
                    (e.step, e.wall_time, _number(e.tensor_proto)) for e in events.Tensors(tag)
                ]
                if all(value is not None for *_, value in points):
                    scalars.setdefault(tag, points)
        # Whatever the reader stumbles over in a file made by a stranger, it is no event file.
        except Exception as error:
            raise CurveError("The event file cannot be read: it is damaged.") from error
    return {tag: points for tag, points in scalars.items() if points}


def _number(tensor) -> float | None:
    """The number that a tensor without dimensions holds, as newer writers store a scalar; None for
    any other. (Reading others takes as much memory as their shape says.)"""
    from tensorboard.util import tensor_util

    if tensor.tensor_shape.dim or tensor.tensor_shape.unknown_rank:
        return None
    try:
        return float(tensor_util.make_ndarray(tensor))
    except (TypeError, ValueError):
        return None
