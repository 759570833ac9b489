"""A direction of many units, found in a text and judged on another part of it."""

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from gridlstm.commands.options import (
    add_checkpoint_and_file,
    add_encoding,
    add_json,
    check_writable,
    encode_text,
    open_checkpoint,
    print_frame,
    read_direction,
    read_text,
)
from gridlstm.commands.parsers import Commands
from gridlstm.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gridlstm.array_types import FloatArray, IntArray, NumberArray
    from gridlstm.direction import Direction

SOURCES = ("probe", "means", "components", "factors")


def add(commands: Commands) -> None:
    command = commands.add_parser(
        "direction",
        help="a direction of many units that follows a property",
        description="Find directions (weights over the units of one quantity) on the first half of "
        "a text, and print how well each follows the property on the second, as `find` does of "
        "units. --out writes the best of them by the first half, as told in docs/formats.md; "
        "`provenance --direction` and the pages take such a file.",
    )
    command.set_defaults(run=_direction)
    add_checkpoint_and_file(command)
    command.add_argument("--property", required=True, metavar="NAME", help="as in `find`")
    command.add_argument(
        "--source",
        choices=SOURCES,
        default="probe",
        help="the weights of a sparse linear probe, the difference of the means inside and "
        "outside, principal components or non-negative factors (%(default)s)",
    )
    command.add_argument(
        "--direction", type=Path, metavar="FILE", help="judge this one instead of finding any"
    )
    command.add_argument("--quantity", help="whose units (the memory along depth, or else time)")
    command.add_argument("--layer", help="counted from 1, or `all` (the top layer)")
    command.add_argument(
        "--count", type=int, default=8, help="how many components or factors (%(default)s)"
    )
    command.add_argument("--name", help="what it is to be called (the property's name)")
    command.add_argument("--notes", default="", help="kept in the file")
    command.add_argument("--out", type=Path, metavar="FILE.json", help="write the best one here")
    add_encoding(command)
    add_json(command)


def _direction(options: argparse.Namespace) -> int:
    from dataclasses import replace

    from gridlstm.analysis.directions import judge_directions
    from gridlstm.analysis.held_out import split_text
    from gridlstm.analysis.properties import measure_named
    from gridlstm.direction_file import to_json
    from gridlstm.trace import trace

    if options.out is not None:
        check_writable(options.out)
    text = read_text(options.file, options.encoding)
    target = measure_named(options.property, text.characters)
    model, _ = open_checkpoint(options.checkpoint)
    encoded = encode_text(model, text)
    read = ~encoded.skipped
    target, positions = target[read], encoded.last_token[read]
    split = split_text(target)
    layer = _layer(options.layer, model.config.layers)
    quantity = options.quantity or model.config.cells[-1]
    own = read_direction(options.direction, model) if options.direction else None
    values = trace(model, encoded, [own.quantity if own else quantity]).values
    if own is not None:
        directions = [own]
    else:
        found = _found(options, values, target, positions, quantity, layer)
        checksum = model.checksum()
        directions = [replace(each, model=checksum) for each in found]
    frame = judge_directions(values, directions, target, positions)
    print_frame(frame, options.json)
    if split.missing_interval_reason:
        print(split.missing_interval_reason, file=sys.stderr)
    if options.out is not None:
        best = directions[int(frame["found"].argmax())]
        named = replace(best, name=options.name or best.name, notes=options.notes or best.notes)
        options.out.write_text(to_json(named), encoding="utf-8")
    return 0


def _layer(text: str | None, layers: int) -> int | None:
    """The layer that was asked for, None for all. Raises UserError."""
    if text is None:
        return layers
    if text == "all":
        return None
    if not text.isdecimal() or not 1 <= int(text) <= layers:
        raise UserError(f"There is no layer {text}: they are counted from 1, or all of them `all`.")
    return int(text)


def _found(
    options: argparse.Namespace,
    values: "Mapping[str, FloatArray]",
    target: "NumberArray",
    positions: "IntArray",
    quantity: str,
    layer: int | None,
) -> "list[Direction]":
    """The directions that were asked for, found on the first part of the text."""
    from gridlstm.analysis.directions import (
        found_by_property,
        non_negative_factors,
        principal_components,
    )
    from gridlstm.analysis.held_out import split_text

    if options.source in ("probe", "means"):
        name = options.name or options.property
        return [
            found_by_property(values, target, positions, quantity, layer, options.source, name=name)
        ]
    if layer is None:
        raise UserError("Components and factors are those of one layer: choose --layer.")
    find = {"components": principal_components, "factors": non_negative_factors}[options.source]
    first = positions[split_text(target).found.slice]
    return find(values, first, quantity, layer, options.count)
