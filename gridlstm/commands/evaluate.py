"""The loss of a checkpoint on a file."""

import argparse
import json
import sys
from dataclasses import asdict
from typing import TYPE_CHECKING

from gridlstm.array_types import ByteArray
from gridlstm.commands.bar import progress_bar
from gridlstm.commands.options import (
    add_checkpoint_and_file,
    encode_bytes,
    open_checkpoint,
    read_at_most,
)
from gridlstm.commands.parsers import Commands
from gridlstm.corpus import MAX_WHOLE_BYTES, read_corpus
from gridlstm.errors import UserError
from gridlstm.long_text import mapped_bytes
from gridlstm.progress import Progress
from gridlstm.vocabulary import BYTES

if TYPE_CHECKING:
    from gridlstm.checkpoint import Metadata
    from gridlstm.evaluation import Evaluation
    from gridlstm.model import LanguageModel

# Of a text whose characters are looked up.
MAX_TEXT_BYTES = 20_000_000


def add(commands: Commands) -> None:
    command = commands.add_parser(
        "evaluate",
        help="the loss of a checkpoint on a file",
        description="Print one JSON object: nats_per_byte, bits_per_byte, bytes, "
        "nats_per_character, characters, how many characters are unknown to the model, skipped by "
        "it or lowered, read in lower case, and whether none is, so that nats_per_byte may be "
        "compared with that of other models. A compressed file may have "
        f"{MAX_WHOLE_BYTES:,} bytes at most, after decompression; {MAX_TEXT_BYTES:,} for a model "
        "with a vocabulary of its own, whose loss is also shown beside uniform guessing and the "
        "frequencies of single characters (nats per character).",
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
    model, metadata = open_checkpoint(options.checkpoint)
    with progress_bar("evaluating") as progress:
        if model.vocabulary == BYTES:
            result = _of_bytes(model, _part(options, metadata), progress)
        else:
            result = _of_text(model, options, progress)
    print(json.dumps(result))
    return 0


def _part(options: argparse.Namespace, metadata: "Metadata") -> ByteArray:
    if options.part == "all":
        return mapped_bytes(options.file)
    if not metadata.data.is_known:
        raise UserError("Which part of a text this model was trained on is not known.")
    corpus = read_corpus(options.file, metadata.data.train_fraction)
    return corpus.train if options.part == "train" else corpus.validation


def _of_bytes(model: "LanguageModel", data: ByteArray, progress: Progress) -> dict[str, object]:
    """Of a model over bytes, which knows every character."""
    import numpy as np

    from gridlstm.evaluation import evaluate

    found = evaluate(model, data, progress=progress)
    characters = int(np.count_nonzero((data[1:] & 0b1100_0000) != 0b1000_0000))
    a_character = found.nats_per_byte * found.bytes / characters if characters else None
    known = {"unknown": 0, "skipped": 0, "lowered": 0}
    return _row(found, {"nats_per_character": a_character, "characters": characters, **known})


def _of_text(
    model: "LanguageModel", options: argparse.Namespace, progress: Progress
) -> dict[str, object]:
    """Of a model over a vocabulary of its own."""
    from gridlstm.evaluation import evaluate_text

    if options.part != "all":
        raise UserError("Which part of a text this model was trained on is not known.")
    data = read_at_most(options.file, MAX_TEXT_BYTES, "A text for a model that is not over bytes")
    text = encode_bytes(model, data, options.file.name)
    if not text.is_exact:
        print(
            "So this loss is not one of the whole text: do not rank it against others.",
            file=sys.stderr,
        )
    return _row(evaluate_text(model, text, progress), {})


def _row(found: "Evaluation", more: dict[str, object]) -> dict[str, object]:
    row = {**asdict(found), **more, "bits_per_byte": found.bits_per_byte}
    is_whole = not (row["unknown"] or row["skipped"] or row["lowered"])
    return {**row, "comparable": is_whole}
