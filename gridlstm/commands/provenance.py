"""Which layer, and which earlier character, wrote what is in a memory."""

import argparse
from typing import TYPE_CHECKING

from gridlstm.commands.options import (
    add_checkpoint_and_file,
    add_encoding,
    add_json,
    encode_text,
    open_checkpoint,
    print_frame,
    read_text,
)
from gridlstm.errors import UserError

if TYPE_CHECKING:
    import pandas as pd


def add(commands) -> None:
    command = commands.add_parser(
        "provenance",
        help="which layer, and which character, wrote a memory",
        description="Without --unit: for each layer its mean share in the top depth memory (Grid "
        "LSTM), how many layers its writes survive (survived_N counts those of which more than "
        "half is left N layers up), and the half-lives of its time memory in characters. With "
        "--unit: that unit's depth memory, character by character, as the sum of what each layer "
        "wrote. With --character too: its time memory at that character, as the sum of what each "
        "character so far wrote.",
    )
    command.set_defaults(run=_provenance)
    add_checkpoint_and_file(command)
    command.add_argument("--unit", type=int, help="counted from 0")
    command.add_argument("--layer", type=int, help="counted from 1 (the top layer)")
    command.add_argument("--character", type=int, help="counted from 0")
    add_encoding(command)
    add_json(command)


def _provenance(options: argparse.Namespace) -> int:
    model, _ = open_checkpoint(options.checkpoint)
    text = read_text(options.file, options.encoding)
    layer = model.config.layers if options.layer is None else options.layer
    if not 1 <= layer <= model.config.layers:
        raise UserError(f"There is no layer {layer}: they are counted from 1.")
    encoded = encode_text(model, text)
    if options.unit is None:
        if options.layer is not None or options.character is not None:
            raise UserError("Say which unit: --unit.")
        frame = _whole_model(model, encoded)
    elif options.character is None:
        frame = _by_layer(model, text, encoded, layer - 1, options.unit)
    else:
        frame = _by_character(model, text, encoded, layer - 1, options.unit, options.character)
    print_frame(frame, options.json)
    return 0


def _traced(model, encoded, memory) -> dict:
    """A trace of what makes a memory."""
    import numpy as np

    from gridlstm.trace import trace

    wanted = {memory.cell, memory.keep, memory.gate, memory.candidate} - {None}
    return trace(model, encoded, sorted(wanted), dtype=np.float32).values


def _memory(model, along: str):
    """The model's memory along a dimension; UserError if it has none."""
    memory = model.config.memory(along)
    if memory is None:
        raise UserError(
            f"The {model.config.form.title} carries no memory along {along} linearly, so it cannot "
            "be told who wrote it."
        )
    return memory


def _whole_model(model, encoded) -> "pd.DataFrame":
    import numpy as np
    import pandas as pd

    from gridlstm.analysis.depth_provenance import layer_shares_frame
    from gridlstm.analysis.time_provenance import half_lives

    if not model.config.form.memories:
        _memory(model, "time")
    frame = pd.DataFrame({"layer": np.arange(1, model.config.layers + 1)})
    if memory := model.config.memory("time"):
        values = _traced(model, encoded, memory)
        positions = encoded.last_token[~encoded.skipped]
        found = half_lives(values, positions, memory=memory)
        frame["median_half_life"] = np.median(found.half_life, axis=1)
        frame["longest_half_life"] = found.half_life.max(axis=1)
        frame["units_beyond_the_text"] = found.censored.sum(axis=1)
    if memory := model.config.memory("depth"):
        shares = layer_shares_frame(_traced(model, encoded, memory), memory=memory)
        frame = frame.merge(shares, on="layer")
    return frame


def _by_layer(model, text, encoded, layer: int, unit: int) -> "pd.DataFrame":
    import pandas as pd

    from gridlstm.analysis.depth_provenance import depth_shares, depth_start

    memory = _memory(model, "depth")
    values = _traced(model, encoded, memory)
    shares = depth_shares(values, unit, layer, memory)[:, encoded.last_token]
    frame = pd.DataFrame({"character": list(text.characters)})
    if memory.starts:
        frame["start"] = depth_start(values, unit, layer, memory)[encoded.last_token]
    for n, share in enumerate(shares, start=1):
        frame[f"layer_{n}"] = share
    frame["memory"] = frame.drop(columns="character").sum(axis=1)
    return frame


def _by_character(model, text, encoded, layer: int, unit: int, character: int) -> "pd.DataFrame":
    import pandas as pd

    from gridlstm.analysis.provenance import check_index
    from gridlstm.analysis.time_provenance import by_character, time_shares

    check_index("character", character, len(text.characters))
    memory = _memory(model, "time")
    values, at = _traced(model, encoded, memory), int(encoded.last_token[character])
    shares = time_shares(values, layer, unit, at, memory)
    characters = list(text.characters[: character + 1])
    written = by_character(shares, encoded.last_token, encoded.skipped)
    return pd.DataFrame({"character": characters, "written": written})
