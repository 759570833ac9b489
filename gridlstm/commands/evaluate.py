"""The loss of a checkpoint on a file."""

import argparse
import json
from dataclasses import asdict

from gridlstm.commands.bar import progress_bar
from gridlstm.commands.options import add_checkpoint_and_file
from gridlstm.commands.parsers import Commands
from gridlstm.corpus import MAX_WHOLE_BYTES, read_bytes, read_corpus


def add(commands: Commands) -> None:
    command = commands.add_parser(
        "evaluate",
        help="the loss of a checkpoint on a file",
        description="Print one JSON object: nats_per_byte, bits_per_byte, bytes. The file may have "
        f"{MAX_WHOLE_BYTES:,} bytes at most, after decompression.",
    )
    command.set_defaults(run=_evaluate)
    add_checkpoint_and_file(command)
    command.add_argument(
        "--part",
        choices=("all", "train", "validation"),
        default="all",
        help="only that part of the file, cut where the checkpoint's training cut it",
    )


def _evaluate(options: argparse.Namespace) -> int:
    from gridlstm.checkpoint import load_model
    from gridlstm.evaluation import evaluate

    model, metadata = load_model(options.checkpoint)
    if options.part == "all":
        data = read_bytes(options.file)
    else:
        corpus = read_corpus(options.file, metadata.data.train_fraction)
        data = corpus.train if options.part == "train" else corpus.validation
    with progress_bar("evaluating") as progress:
        result = evaluate(model, data, progress=progress)
    print(json.dumps({**asdict(result), "bits_per_byte": result.bits_per_byte}))
    return 0
