"""The cells that follow a property of a text, found on one part of it and judged on another."""

import argparse
import json
import sys
from typing import TYPE_CHECKING

from gridlstm.analysis.properties import PROPERTIES, measure_named
from gridlstm.commands.bar import progress_bar
from gridlstm.commands.options import (
    add_checkpoint_and_file,
    add_encoding,
    encode_text,
    open_checkpoint,
    read_beginning,
)
from gridlstm.commands.parsers import Commands
from gridlstm.plurals import counted

if TYPE_CHECKING:
    import pandas as pd

    from gridlstm.analysis.held_out import Findings, Part

MAX_SEARCHED_BYTES = 20_000


def add(commands: Commands) -> None:
    command = commands.add_parser(
        "find",
        help="the cells that follow a property of a text",
        description="Rank every unit of every layer on the first half of a text by how well it "
        "follows a property, and print how the best do on the second half, which the ranking never "
        "saw (with a 95 % interval where both have the property in 5 places or more). Below, on "
        "standard error: what the best of all units reaches by chance.",
        epilog="properties:\n"
        + "\n".join(f"  {found.name:20} {found.title}" for found in PROPERTIES.values())
        + "\n  pattern:REGEX        Inside a match of a regular expression"
        + "\n  span:START-END       Those characters, from 0, without END itself",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.set_defaults(run=_find)
    add_checkpoint_and_file(command)
    command.add_argument("--property", required=True, metavar="NAME", help="one of those below")
    command.add_argument(
        "--quantities", nargs="+", help="such as time.cell depth.cell (all, unless given)"
    )
    command.add_argument(
        "--top", type=_count, default=20, help="how many units to print (%(default)s)"
    )
    command.add_argument(
        "--by-layer",
        action="store_true",
        help="print instead the best unit of each quantity and layer; no chance baseline",
    )
    command.add_argument(
        "--bytes",
        type=_count,
        default=MAX_SEARCHED_BYTES,
        help="how much of the file's beginning is read (%(default)s)",
    )
    add_encoding(command)
    command.add_argument("--json", action="store_true", help="one JSON object a line, not a table")


def _count(text: str) -> int:
    if not text.isdecimal() or not int(text):
        raise argparse.ArgumentTypeError(f"{text!r} is no number from 1 on")
    return int(text)


def _find(options: argparse.Namespace) -> int:
    from gridlstm.analysis.held_out import best_by_layer, find_cells, split_text
    from gridlstm.analysis.ranking import measure_of
    from gridlstm.trace import trace

    text = read_beginning(options.file, options.encoding, options.bytes)
    target = measure_named(options.property, text.characters)
    # Before the model is opened and reads, which takes longest: whether there is anything to find.
    split_text(target)
    model, _ = open_checkpoint(options.checkpoint)
    encoded = encode_text(model, text)
    read = ~encoded.skipped
    target, positions = target[read], encoded.last_token[read]
    split = split_text(target)
    with progress_bar("reading") as progress:
        values = trace(model, encoded, options.quantities, progress=progress).values
    measure = measure_of(target)
    with progress_bar("ranking") as progress:
        if options.by_layer:
            cells = best_by_layer(values, target, positions, progress=progress)
        else:
            findings = find_cells(values, target, positions, top=options.top, progress=progress)
            cells = findings.cells
    print(_json_lines(cells, measure) if options.json else _table(cells, measure))
    if text.note:
        print(text.note, file=sys.stderr)
    print(f"found on {_part(split.found)}, held out {_part(split.held_out)}", file=sys.stderr)
    if split.missing_interval_reason:
        print(split.missing_interval_reason, file=sys.stderr)
    if not options.by_layer:
        print(_chance(findings), file=sys.stderr)
    return 0


def _json_lines(cells: "pd.DataFrame", measure: str) -> str:
    # JSON has no NaN, which stands for an interval that there is not.
    rows = cells.astype(object).where(cells.notna(), None).to_dict(orient="records")
    return "\n".join(json.dumps({"measure": measure, **row}) for row in rows)


def _table(cells: "pd.DataFrame", measure: str) -> str:
    import pandas as pd

    name, where = ("AUC", "inside") if measure == "auc" else ("rho", "as it grows")
    shown = {
        "layer": cells["layer"],
        "quantity": cells["quantity"],
        "unit": cells["unit"],
        where: cells["sign"].map({1: "higher", -1: "lower"}),
        f"{name} found": cells["found"],
        f"{name} held out": cells["held_out"],
        "95 % interval": [
            "none" if low != low else f"{low:.3f} to {high:.3f}"
            for low, high in zip(cells["low"], cells["high"], strict=True)
        ],
    }
    if measure == "auc":
        shown |= {
            "threshold": cells["threshold"],
            "F1 found": cells["f1_found"],
            "F1 held out": cells["f1_held_out"],
        }
    return pd.DataFrame(shown).to_string(index=False, float_format="{:.3f}".format)


def _part(part: "Part") -> str:
    where = f"characters {part.start:,} to {part.end:,}"
    if part.marked is None or part.spans is None:
        return where
    return f"{where} ({part.marked:,} marked, in {counted(part.spans, 'span')})"


def _chance(findings: "Findings") -> str:
    name = "AUC" if findings.measure == "auc" else "rho"
    baseline = findings.baseline
    return (
        f"by chance the best of {counted(findings.units, 'unit')} reaches {name} found "
        f"{baseline.quantile_95:.3f} (95 % quantile) to {baseline.maximum:.3f} (maximum), over "
        f"{len(baseline.best)} random shifts of the property along the text"
    )
