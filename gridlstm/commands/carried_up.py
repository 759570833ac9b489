"""Whether a property is written low in a Grid LSTM and carried up to its top."""

import argparse
import sys
from typing import TYPE_CHECKING

from gridlstm.commands.bar import progress_bar
from gridlstm.commands.options import (
    add_checkpoint_and_file,
    add_encoding,
    add_json,
    encode_text,
    open_checkpoint,
    print_frame,
    read_text,
)
from gridlstm.commands.parsers import Commands
from gridlstm.errors import UserError

if TYPE_CHECKING:
    from gridlstm.analysis.carried_up import CarriedUp, Figure

DESCRIPTION = """\
Find the direction of a property in the top layer's depth memory on the first half of a text, and
follow it on the second, which the search never saw. Of each property:

  auc             how well the direction follows it (low, high: the 95 % interval)
  auc_lowest      the same, of what the lowest layers wrote, as it arrives at the top, alone
  auc_others      the same, of what all other layers wrote
  written_N       the share of layer N in what sets inside apart from outside; they add up to 1
  written_lowest  the share of the lowest layers together
  survived        how much of what they wrote is still there at the top: 1 all, 0 nothing
  random_survived the same along random directions, in the mean and at the 95 % quantile
  rise            by how many nats per character the loss inside rises with what they wrote along
                  this direction taken out of the top memory
  random_rise     the most that the same does along any random direction, or as much along one
  whole_rise      the same with all that is along the direction, whoever wrote it; and the most of
                  that along any random one
  holds           yes if written_lowest and survived are above a half, survived is above
                  random_survived, and rise is above random_rise; written_lowest and rise for sure

_low and _high are the 95 % interval, as the property's spans are drawn again (none under 5).
A number is read as a mark: above its median."""


def add(commands: Commands) -> None:
    command = commands.add_parser(
        "carried-up",
        help="whether a property is written low in a grid and carried up",
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.set_defaults(run=_carried_up)
    add_checkpoint_and_file(command)
    command.add_argument(
        "--property", required=True, nargs="+", metavar="NAME", help="as in `find`, or several"
    )
    command.add_argument(
        "--source",
        choices=("probe", "means"),
        default="probe",
        help="what the direction is: a sparse probe's weights, or the difference of the means "
        "inside and outside (%(default)s)",
    )
    command.add_argument("--lowest", type=int, help="how many layers count as low (a third)")
    command.add_argument(
        "--random", type=int, default=20, help="directions at random (%(default)s)"
    )
    command.add_argument("--seed", type=int, default=1, help="of these (%(default)s)")
    add_encoding(command)
    add_json(command)


def _carried_up(options: argparse.Namespace) -> int:
    import numpy as np
    import pandas as pd

    from gridlstm.analysis.carried_up import QUANTITIES, carried_up, check_followed
    from gridlstm.analysis.properties import measure_named
    from gridlstm.trace import trace

    if not 1 <= options.random <= 1000:
        raise UserError("Of random directions there are 1 to 1,000.")
    text = read_text(options.file, options.encoding)
    targets = {name: measure_named(name, text.characters) for name in options.property}
    model, _ = open_checkpoint(options.checkpoint)
    check_followed(model.config)
    encoded = encode_text(model, text)
    with progress_bar("reading") as progress:
        values = trace(model, encoded, QUANTITIES, dtype=np.float32, progress=progress).values
    rows = []
    for name, target in targets.items():
        found = carried_up(
            model,
            encoded,
            target,
            source=options.source,
            name=name,
            lowest=options.lowest,
            random=options.random,
            seed=options.seed,
            values=values,
        )
        if found.split.missing_interval_reason:
            print(f"{name}: {found.split.missing_interval_reason}", file=sys.stderr)
        rows.append({"property": name, **_row(found)})
    if options.json:
        print_frame(pd.DataFrame(rows), as_json=True)
    else:
        # So many figures stand better one under the other, the properties side by side.
        told = [{name: _told(value) for name, value in row.items()} for row in rows]
        print(pd.DataFrame(told).T.to_string(header=False))
    return 0


def _told(value: object) -> str:
    return f"{value:.4f}" if isinstance(value, float) else str(value)


def _row(found: "CarriedUp") -> dict[str, object]:
    """What the command prints of one property."""
    import numpy as np

    judged, layers, others = found.judged, found.layers, found.random_survived
    return {
        "spans": found.split.held_out.spans,
        "auc": judged["held_out"],
        "auc_low": judged["low"],
        "auc_high": judged["high"],
        "auc_lowest": found.auc_low,
        "auc_others": found.auc_high,
        **{f"written_{n}": w for n, w in zip(layers["layer"], layers["written"], strict=True)},
        **_figure("written_lowest", found.written_low),
        **_figure("survived", found.survived),
        "random_survived": others.mean(),
        "random_survived_95": np.quantile(others, 0.95),
        **_figure("rise", found.rise),
        "random_rise": found.random_rise,
        "whole_rise": found.rises("whole").max(),
        "random_whole_rise": found.rises("random whole").max(),
        "written_low": _yes(found.is_written_low),
        "carried": _yes(found.is_carried),
        "used": _yes(found.is_used),
        "holds": _yes(found.holds),
    }


def _figure(name: str, figure: "Figure") -> dict[str, float]:
    return {name: figure.value, f"{name}_low": figure.low, f"{name}_high": figure.high}


def _yes(holds: bool) -> str:
    return "yes" if holds else "no"
