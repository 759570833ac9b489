"""Which layer, and which earlier character, wrote what is in a memory."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from gridlstm.architectures import Memory
from gridlstm.array_types import FloatArray
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
from gridlstm.vocabulary import EncodedText

if TYPE_CHECKING:
    import pandas as pd

    from gridlstm.direction import Direction
    from gridlstm.model import LanguageModel


def add(commands: Commands) -> None:
    command = commands.add_parser(
        "provenance",
        help="which layer, and which character, wrote a memory",
        description="Without --unit: for each layer its mean share in the top depth memory (Grid "
        "LSTM), how many layers its writes survive (survived_N counts those of which more than "
        "half is left N layers up), and the half-lives of its time memory in characters. With "
        "--unit: that unit's depth memory, character by character, as the sum of what each layer "
        "wrote. With --character too: its time memory at that character, as the sum of what each "
        "character so far wrote. With --direction instead of --unit: the same of what lies along a "
        "direction (from `direction`), and written_N, what layer N wrote before any gate, of which "
        "taken_N is what the forget gates above took.",
    )
    command.set_defaults(run=_provenance)
    add_checkpoint_and_file(command)
    command.add_argument("--unit", type=int, help="counted from 0")
    command.add_argument("--layer", type=int, help="counted from 1 (the top layer)")
    command.add_argument("--direction", type=Path, metavar="FILE", help="instead of a unit")
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
    direction = _direction(options, model, layer)
    if direction is None:
        if options.layer is not None or options.character is not None:
            raise UserError("Say which unit: --unit.")
        frame = _whole_model(model, encoded)
    elif options.character is None:
        is_unit = options.direction is None
        frame = _by_layer(model, text, encoded, direction, with_gates=not is_unit)
    else:
        frame = _by_character(model, text, encoded, direction, options.character)
    print_frame(frame, options.json)
    return 0


def _direction(
    options: argparse.Namespace, model: "LanguageModel", layer: int
) -> "Direction | None":
    """What is told of: a direction, a unit as one, or None for the whole model."""
    from gridlstm.analysis.provenance import check_index
    from gridlstm.direction import unit_direction

    if options.direction is not None:
        if options.unit is not None or options.layer is not None:
            raise UserError("A direction says which units it is of: leave out --unit and --layer.")
        return read_direction(options.direction, model)
    if options.unit is None:
        return None
    units = model.config.units
    check_index("unit", options.unit, units)
    along = "depth" if options.character is None else "time"
    return unit_direction(_memory(model, along).cell, layer, options.unit, units)


def _traced(model: "LanguageModel", encoded: EncodedText, memory: Memory) -> dict[str, FloatArray]:
    """A trace of what makes a memory."""
    import numpy as np

    from gridlstm.trace import trace

    named = memory.cell, memory.keep, memory.gate, memory.candidate
    wanted = {quantity for quantity in named if quantity is not None}
    return trace(model, encoded, sorted(wanted), dtype=np.float32).values


def _memory(model: "LanguageModel", along: str) -> Memory:
    """The model's memory along a dimension; UserError if it has none."""
    memory = model.config.memory(along)
    if memory is None:
        raise UserError(
            f"The {model.config.form.title} carries no memory along {along} linearly, so it cannot "
            "be told who wrote it."
        )
    return memory


def _whole_model(model: "LanguageModel", encoded: EncodedText) -> "pd.DataFrame":
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


def _by_layer(
    model: "LanguageModel",
    text: Text,
    encoded: EncodedText,
    direction: "Direction",
    with_gates: bool,
) -> "pd.DataFrame":
    import pandas as pd

    from gridlstm.analysis.depth_provenance import depth_written

    memory = _memory(model, "depth")
    found = depth_written(_traced(model, encoded, memory), direction, memory)
    columns: dict[str, object] = {"character": list(text.characters)}
    at, whole = encoded.last_token, found.shares.sum(axis=0)
    if found.start is not None:
        columns["start"], whole = found.start[at], whole + found.start
    for n, share in enumerate(found.shares, start=1):
        columns[f"layer_{n}"] = share[at]
    if with_gates:
        for n, (written, taken) in enumerate(zip(found.written, found.taken, strict=True), start=1):
            columns[f"written_{n}"] = written[at]
            columns[f"taken_{n}"] = taken.sum(axis=0)[at]
    columns["memory" if not with_gates else "along"] = whole[at]
    return pd.DataFrame(columns)


def _by_character(
    model: "LanguageModel",
    text: Text,
    encoded: EncodedText,
    direction: "Direction",
    character: int,
) -> "pd.DataFrame":
    import pandas as pd

    from gridlstm.analysis.provenance import check_index
    from gridlstm.analysis.time_provenance import by_character, direction_time_shares

    check_index("character", character, len(text.characters))
    memory = _memory(model, "time")
    values, at = _traced(model, encoded, memory), int(encoded.last_token[character])
    shares = direction_time_shares(values, direction, at, memory)
    characters = list(text.characters[: character + 1])
    written = by_character(shares, encoded.last_token, encoded.skipped)
    return pd.DataFrame({"character": characters, "written": written})
