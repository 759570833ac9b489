"""A model of another program's made a checkpoint."""

import argparse
import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from gridlstm.commands.bar import progress_bar
from gridlstm.commands.options import (
    MAX_ANALYSED_BYTES,
    add_encoding,
    check_writable,
    read_beginning,
    read_text,
)
from gridlstm.commands.parsers import Commands
from gridlstm.errors import UserError

if TYPE_CHECKING:
    from gridlstm.importing.foreign_model import LossHistory
    from gridlstm.model import LanguageModel

# So much of a training text is read for its characters.
MAX_TRAINING_TEXT = 200_000_000


def add(commands: Commands) -> None:
    command = commands.add_parser(
        "import",
        help="a model of another program's made a checkpoint",
        description="Recognise the files that another program wrote (PyTorch, Keras, TensorFlow, "
        "Torch 7, ml5, …) and write their model as a checkpoint. Nothing in them is executed. "
        "Print one JSON object: file, recognised, notes and, with --check, the loss on a text in "
        "nats per character, beside that of uniform guessing and of knowing how frequent each is.",
        epilog="Loss histories in the files become NAME.losses.csv, for the page Curves.",
    )
    command.set_defaults(run=_import)
    command.add_argument("files", type=Path, nargs="+", help="all files of the one model")
    command.add_argument("--out", type=Path, required=True, help="the .safetensors file to write")
    vocabulary = command.add_mutually_exclusive_group()
    vocabulary.add_argument(
        "--vocabulary", type=Path, metavar="FILE", help="its vocabulary, JSON or a pickle"
    )
    vocabulary.add_argument(
        "--training-text",
        type=Path,
        metavar="FILE",
        help="the text it was trained on: the sorted characters of that are its vocabulary",
    )
    command.add_argument(
        "--lowercase", action="store_true", help="the training text was put in lower case first"
    )
    command.add_argument(
        "--answer",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="to a question that the files leave open, such as gates=hard_sigmoid, reset=before, "
        "activation=tanh or forget_bias=0; may be said several times",
    )
    command.add_argument("--check", type=Path, metavar="FILE", help="a text to measure the loss on")
    add_encoding(command)


def _import(options: argparse.Namespace) -> int:
    if options.out.suffix != ".safetensors":
        raise UserError("--out must end in .safetensors.")
    if options.lowercase and options.training_text is None:
        raise UserError("--lowercase belongs to --training-text.")
    answers = dict(map(_answer, options.answer))
    check_writable(options.out)

    from gridlstm.checkpoint import write_checkpoint
    from gridlstm.importing import read_model, to_model
    from gridlstm.importing.opening import assumptions, files_beside
    from gridlstm.importing.proof import recognised

    training_text = None
    if options.training_text is not None:
        training_text = read_beginning(
            options.training_text, options.encoding, MAX_TRAINING_TEXT
        ).characters
    files = options.files
    if len(files) == 1 and files[0].is_file():
        files = [*files, *files_beside(files[0])]
    foreign = read_model(
        files,
        vocabulary=options.vocabulary,
        training_text=training_text,
        lowercase=options.lowercase,
        answers=answers,
    )
    for sentence in assumptions(foreign):
        print(f"{sentence} (--answer KEY=VALUE)", file=sys.stderr)
    model, metadata = to_model(foreign, options.files[0].name)
    result = {"recognised": recognised(foreign), "notes": list(foreign.notes)}
    if options.check is not None:
        result["check"] = _check(model, options)
    tensors = {name: tensor.numpy() for name, tensor in model.to_tensors().items()}
    write_checkpoint(options.out, tensors, metadata)
    if foreign.curve is not None:
        result["losses"] = str(_write_losses(options.out, foreign.curve))
    print(json.dumps({"file": str(options.out), **result}, ensure_ascii=False))
    return 0


def _answer(given: str) -> tuple[str, str]:
    key, mark, value = given.partition("=")
    if not mark:
        raise UserError(f"{given!r} is not of the form KEY=VALUE.")
    return key, value


def _check(model: "LanguageModel", options: argparse.Namespace) -> dict[str, object]:
    """The model's loss on a text; a warning goes to standard error."""
    from gridlstm.importing.proof import prove

    text = read_text(options.check, options.encoding, MAX_ANALYSED_BYTES)
    with progress_bar("checking") as progress:
        proof = prove(model, text.characters, progress)
    for sentence in (proof.note, proof.warning):
        if sentence:
            print(sentence, file=sys.stderr)
    found = proof.evaluation
    return {**asdict(found), "bits_per_byte": found.bits_per_byte, "warning": proof.warning}


def _write_losses(out: Path, curve: "LossHistory") -> Path:
    """The losses of the training, in nats per token as its program logged them, by update."""
    from gridlstm.checkpoint import write_aside

    path = out.with_suffix(".losses.csv")
    write_aside(path, lambda aside: aside.write_text(curve.to_csv(), encoding="utf-8"))
    return path
