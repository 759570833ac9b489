"""Validation curves compared: who is ahead, by how much, after how many updates."""

import argparse
import json
import re
from collections.abc import Hashable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from gridlstm.commands.markdown import NOTHING, escaped, table
from gridlstm.config import ARCHITECTURES
from gridlstm.errors import UserError

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Origin:
    """What made a curve. `told_by` is "checkpoint" or, where there is none, the curve's "name".

    `data` is what it was measured on, None if only a checkpoint could tell.
    """

    architecture: str
    told_by: str
    data: str | None
    data_key: Hashable
    parameters: int | None = None
    operations_per_byte: int | None = None


def add(commands) -> None:
    command = commands.add_parser(
        "compare",
        help="validation curves compared with that of the best stacked LSTM",
        description="Print a Markdown table with a row a curve: how far it came, its best "
        "validation loss, and the loss at the last update that all curves on the same data have a "
        "point at; both also against the lowest of the stacked LSTMs on these data (below zero is "
        "better); and when it first was at or under the best stacked loss. Operations are those of "
        "training in floating point: bytes read times the multiply-adds with weights for one byte, "
        "times 2 (a multiplication and an addition), times 3 (forward, and backward twice that).",
        epilog="What a curve is of, and its data, say the checkpoint beside it; without one, the "
        "architecture in its name, and its data are taken for those of all other curves "
        "without one. The table says which.",
    )
    command.set_defaults(run=_compare)
    command.add_argument("curves", type=Path, nargs="+", metavar="CURVE.csv")
    command.add_argument("--json", action="store_true", help="print one JSON object a curve")


def _compare(options: argparse.Namespace) -> int:
    rows = _rows(options.curves)
    if options.json:
        print("\n".join(map(json.dumps, rows)))
    else:
        print(table([_cells(row) for row in rows], LEFT))
    return 0


def _rows(paths: list[Path]) -> list[dict]:
    """A row a curve: whose it is, the columns of `summary`, and the two losses in bits per byte.
    What is not known is None."""
    from gridlstm.curves import convert, summary, with_operations

    named = _named(paths)
    curves = {name: _curve(path) for name, path in named.items()}
    origins = {name: _origin(path) for name, path in named.items()}
    for name, origin in origins.items():
        curves[name] = with_operations(curves[name], origin.operations_per_byte)
    stacked = {name for name, origin in origins.items() if origin.architecture == "stacked"}
    compared = summary(curves, stacked, {name: origin.data_key for name, origin in origins.items()})
    compared["best_bits"] = convert(compared["best_loss"], "bits")
    compared["common_bits"] = convert(compared["common_loss"], "bits")
    for name in ("bytes", "common_update", "common_bytes", "reached_update", "reached_bytes"):
        compared[name] = compared[name].astype("Int64")
    return [
        {
            "curve": row.pop("model"),
            "architecture": origins[name].architecture,
            "told_by": origins[name].told_by,
            "data": origins[name].data,
            "parameters": origins[name].parameters,
            **row,
        }
        for name, row in zip(named, _plain(compared), strict=True)
    ]


def _plain(frame: "pd.DataFrame") -> list[dict]:
    """The rows of a frame, with None for what is missing."""
    return frame.astype(object).where(frame.notna(), None).to_dict("records")


def _named(paths: list[Path]) -> dict[str, Path]:
    """The curves by the names of their files or, if these are not all different, by their paths."""
    stems = {path.stem: path for path in paths}
    named = stems if len(stems) == len(paths) else {str(path): path for path in paths}
    if len(named) < len(paths):
        raise UserError("A curve is named more than once.")
    return named


def _curve(path: Path) -> "pd.DataFrame":
    from gridlstm.curves import CurveError, read_curve

    try:
        return read_curve(path)
    except CurveError as error:
        raise CurveError(f"{path.name}: {error}") from error


def _origin(path: Path) -> Origin:
    from gridlstm.checkpoint import CheckpointError, checkpoint_path, read_metadata

    checkpoint = checkpoint_path(path.parent, path.stem)
    if not checkpoint.exists():
        return Origin(_architecture_in(path.stem), "name", None, None)
    try:
        metadata = read_metadata(checkpoint)
    except CheckpointError as error:
        raise CheckpointError(f"{checkpoint.name}: {error}") from error
    data = metadata.data
    model = metadata.model
    return Origin(
        model.architecture,
        "checkpoint",
        data.name,
        data.measured_on,
        model.parameters,
        model.operations_per_token,
    )


def _architecture_in(name: str) -> str:
    """The one architecture that the words of a name say, such as grid-1d (which is not grid)."""
    words = re.sub(r"[^a-z0-9]+", "-", name.lower())
    said = [a for a in ARCHITECTURES if re.search(f"(?<![a-z]){a}(?![a-z])", words)]
    said = [a for a in said if not any(a != other and a in other for other in said)]
    return said[0] if len(said) == 1 else "unknown"


# -- As Markdown ----------------------------------------------------------------------------------

LEFT = {"curve", "architecture", "measured on"}
COUNT, POWER, LOSS, PERCENT = "{:,.0f}", "{:.3g}", "{:.4f}", "{:+.2f} %"
# Of each figure: its heading, what the row calls it, and how it is written.
FIGURES = (
    ("parameters", "parameters", COUNT),
    ("updates", "updates", COUNT),
    ("bytes", "bytes", COUNT),
    ("operations", "operations", POWER),
    ("best, nats per byte", "best_loss", LOSS),
    ("best, bits per byte", "best_bits", LOSS),
    ("at update", "best_update", COUNT),
    ("against the best stacked", "difference_percent", PERCENT),
    ("best stacked loss reached at update", "reached_update", COUNT),
    ("bytes then", "reached_bytes", COUNT),
    ("seconds then", "reached_seconds", COUNT),
    ("operations then", "reached_operations", POWER),
    ("last common update", "common_update", COUNT),
    ("bytes there", "common_bytes", COUNT),
    ("nats there", "common_loss", LOSS),
    ("bits there", "common_bits", LOSS),
    ("against the best stacked there", "common_difference_percent", PERCENT),
)


def _cells(row: dict) -> dict[str, str]:
    """A row's cells by their headings."""
    figures = {
        heading: NOTHING if row[name] is None else form.format(row[name])
        for heading, name, form in FIGURES
    }
    # Without a best stacked loss there is none to reach: that cell stays empty.
    if row["reached_update"] is None and row["difference_percent"] is not None:
        figures["best stacked loss reached at update"] = "not reached"
    return {
        "curve": escaped(row["curve"]),
        "architecture": f"{row['architecture']} (by its {row['told_by']})",
        **figures,
        "measured on": NOTHING if row["data"] is None else escaped(row["data"]),
    }
