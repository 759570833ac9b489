"""What checkpoints say about themselves."""

import argparse
import json
from functools import partial
from operator import attrgetter
from pathlib import Path

from gridlstm.commands.options import open_checkpoint
from gridlstm.commands.parsers import Commands

# Tokens of the text that a plan is told for.
TEXT = 2000


def add(commands: Commands) -> None:
    command = commands.add_parser(
        "describe",
        help="what checkpoints say about themselves",
        description="Print one JSON object a checkpoint: all its metadata.",
    )
    command.set_defaults(run=_describe)
    command.add_argument("checkpoints", type=Path, nargs="+", help=".safetensors files")
    command.add_argument(
        "--plan",
        action="store_true",
        help="add how the model is computed here when it is traced, sampled, ablated and trained, "
        "and why",
    )


def _describe(options: argparse.Namespace) -> int:
    from gridlstm.checkpoint.metadata import to_document
    from gridlstm.importing.opening import read_about

    for path in options.checkpoints:
        document = {"file": path.name, **to_document(read_about(path))}
        if options.plan:
            document["plan"] = _plans(path)
        print(json.dumps(document))
    return 0


def _plans(path: Path) -> dict[str, dict[str, object]]:
    """What the model of a checkpoint is computed by in each use, with the reasons."""
    import torch

    from gridlstm.backends.linear import LayerWeights
    from gridlstm.backends.plan import Shape, plan, positions_at_once
    from gridlstm.clamps import Clamp, clamps_of
    from gridlstm.training.learner import matmul_dtype

    model, metadata = open_checkpoint(path)
    config, training = metadata.model, metadata.training
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    precision = matmul_dtype(training.get("precision", "auto"), device)
    clamp = Clamp(config.clampable[0], config.layers, 0, 0.0)
    update = Shape(training.get("length", 50), training.get("sequences", 50), 1)
    trace = Shape(min(TEXT, positions_at_once(config, None)), 1, TEXT)
    uses = {
        f"trace of {TEXT:,} tokens": (trace, False, None, False, True),
        "sampling, token by token": (Shape(1, 1, TEXT), False, None, False, True),
        "a unit of the top layer clamped": (trace, False, clamp, False, True),
        "training": (update, True, None, precision != torch.float32, False),
    }
    plans = {}
    for use, (shape, gradients, held, in_low_precision, shown) in uses.items():
        weights = LayerWeights(model.recurrent, shape)
        plans[use] = plan(
            config,
            shape,
            device.type if gradients else "cpu",
            gradients,
            None if held is None else clamps_of([[held]], config, torch.zeros(1)),
            in_low_precision=in_low_precision,
            shown=shown,
            in_float16=partial(attrgetter("in_float16"), weights),
            threads=torch.get_num_threads(),
        )
    return {
        use: {
            "order": made.order,
            "layers": ", ".join(dict.fromkeys(made.recurrences)),
            "reasons": made.reasons,
        }
        for use, made in plans.items()
    }
