"""What a model loses when single cells are held at a value."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from gridlstm.array_types import BoolArray, are_marks
from gridlstm.commands.bar import progress_bar
from gridlstm.commands.options import (
    add_checkpoint_and_file,
    add_encoding,
    add_json,
    encode_text,
    open_checkpoint,
    print_frame,
    read_direction,
    read_text,
)
from gridlstm.commands.parsers import Commands
from gridlstm.errors import UserError
from gridlstm.text import Text

if TYPE_CHECKING:
    import pandas as pd

    from gridlstm.model import LanguageModel


def add(commands: Commands) -> None:
    command = commands.add_parser(
        "ablate",
        help="what holding cells at a value costs, inside a property and outside",
        description="Hold each cell alone at a value while the model reads the file, and print how "
        "much the mean loss rises inside the property and outside of it, in nats per character, "
        "beside units of the same layers taken at random. With --direction the sum along a "
        "direction is held, beside directions at random that are as long.",
    )
    command.set_defaults(run=_ablate)
    add_checkpoint_and_file(command)
    command.add_argument("--property", default="url", help="a property, as in `find` (%(default)s)")
    command.add_argument(
        "--cells",
        nargs="+",
        metavar="QUANTITY:LAYER:UNIT",
        help="such as depth.cell:3:120 (the --top cells of a ranking on this text)",
    )
    command.add_argument(
        "--direction", type=Path, metavar="FILE", help="instead of cells (from `direction`)"
    )
    command.add_argument("--top", type=int, default=5, help="how many of a ranking (%(default)s)")
    command.add_argument(
        "--value",
        help="zero, mean, 'mean inside', 'mean outside', closed or open (mean; of a direction "
        "zero: it is projected out)",
    )
    command.add_argument(
        "--random", type=int, default=10, help="units or directions at random (%(default)s)"
    )
    command.add_argument("--seed", type=int, default=1, help="of the choice of these (%(default)s)")
    add_encoding(command)
    add_json(command)


def _ablate(options: argparse.Namespace) -> int:
    from gridlstm.analysis.properties import measure_named
    from gridlstm.intervention import ablate, ablate_direction

    model, _ = open_checkpoint(options.checkpoint)
    text = read_text(options.file, options.encoding)
    marks = measure_named(options.property, text.characters)
    if not are_marks(marks):
        raise UserError("An ablation needs a property that holds or not, not a number.")
    if options.cells and options.direction:
        raise UserError("Cells or a direction are held: give one of them.")
    with progress_bar("switching off") as progress:
        if options.direction is not None:
            table = ablate_direction(
                model,
                text,
                marks,
                read_direction(options.direction, model),
                options.value or "zero",
                random=options.random,
                seed=options.seed,
                progress=progress,
            )
        else:
            table = ablate(
                model,
                text,
                marks,
                _parse(options.cells) if options.cells else _best(model, text, marks, options.top),
                options.value or "mean",
                random_units=options.random,
                seed=options.seed,
                progress=progress,
            )
    print_frame(table, options.json)
    return 0


def _parse(cells: list[str]) -> "pd.DataFrame":
    import pandas as pd

    rows = []
    for cell in cells:
        try:
            quantity, layer, unit = cell.split(":")
            rows.append((int(layer), quantity, int(unit)))
        except ValueError as error:
            raise UserError(f"{cell!r} is not of the form QUANTITY:LAYER:UNIT.") from error
    return pd.DataFrame(rows, columns=["layer", "quantity", "unit"])


def _best(model: "LanguageModel", text: Text, marks: BoolArray, top: int) -> "pd.DataFrame":
    from gridlstm.analysis.ranking import rank_units
    from gridlstm.trace import trace

    encoded = encode_text(model, text)
    values = trace(model, encoded, model.config.cells).values
    read = ~encoded.skipped
    return rank_units(values, marks[read], positions=encoded.last_token[read], top=top)
