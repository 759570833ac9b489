"""How well a property can be read from one unit of a layer, from a few, from all."""

import argparse
import sys
from collections.abc import Sequence

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


def add(commands: Commands) -> None:
    command = commands.add_parser(
        "probe",
        help="whether a property is in one cell of a layer or spread out",
        description="Fit sparse linear probes (logistic regression with an L1 penalty on the "
        "weights, not on the intercept; liblinear, C = 0.1) that may use 1, 2, 4, ... and all "
        "units of a layer on the first half of a text, and print how well they do on the second "
        "(AUC, with a 95 % interval where both have the property in 5 places or more).",
    )
    command.set_defaults(run=_probe)
    add_checkpoint_and_file(command)
    command.add_argument("--property", required=True, help="as in `find`")
    command.add_argument("--quantity", default="time.cell", help="what is read (%(default)s)")
    command.add_argument("--layer", type=int, help="counted from 1 (every layer)")
    add_encoding(command)
    add_json(command)


def _probe(options: argparse.Namespace) -> int:
    import pandas as pd

    from gridlstm.analysis.held_out import split_text
    from gridlstm.analysis.probe import probe
    from gridlstm.analysis.properties import measure_named
    from gridlstm.trace import trace

    model, _ = open_checkpoint(options.checkpoint)
    text = read_text(options.file, options.encoding)
    encoded = encode_text(model, text)
    read = ~encoded.skipped
    marks = measure_named(options.property, text.characters)[read]
    positions = encoded.last_token[read]
    split = split_text(marks)
    layers: Sequence[int] = range(1, model.config.layers + 1)
    if options.layer is not None:
        if options.layer not in layers:
            raise UserError(f"There is no layer {options.layer}: they are counted from 1.")
        layers = [options.layer]
    values = trace(model, encoded, [options.quantity]).values[options.quantity]
    frames = []
    with progress_bar("probing") as progress:
        for layer in layers:
            scores = probe(values[layer - 1], marks, positions).scores
            scores.insert(0, "layer", layer)
            frames.append(scores)
            progress(len(frames) / len(layers))
    print_frame(pd.concat(frames, ignore_index=True), options.json)
    if split.missing_interval_reason:
        print(split.missing_interval_reason, file=sys.stderr)
    return 0
