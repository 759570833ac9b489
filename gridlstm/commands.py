"""The commands, thin: they read options, call the library, and print."""

import argparse
import json
import sys
import tempfile
import typing
from dataclasses import asdict, fields, replace
from pathlib import Path

from gridlstm.config import ARCHITECTURES, TIES, ModelConfig
from gridlstm.corpus import read_bytes, read_corpus
from gridlstm.errors import UserError
from gridlstm.presets import PRESETS
from gridlstm.settings import OPTIMISERS, PRECISIONS, TrainingSettings

SETTING_HELP = {
    "sequences": "streams read side by side, the batch",
    "length": "bytes of each stream an update: how far back gradients go",
    "optimiser": "how gradients become steps",
    "learning_rate": "step size at the start",
    "smoothing": "RMSprop's smoothing of squared gradients",
    "clip": "every element of the gradient of a sequence's summed loss is cut to ± this",
    "decay": "the learning rate is multiplied by this once an epoch",
    "decay_from_epoch": "the epoch at which the decay begins",
    "scale": "parameters start uniform in ± this",
    "forget_bias": "bias of the forget gates at the start",
    "train_fraction": "the share of the file, from its beginning, that is trained on",
    "validate_every": "updates between two points of the curve",
    "validation_bytes": "bytes, evenly spread, that a point of the curve is measured on (all)",
    "save_every": "updates between two saves of the state to resume from",
    "precision": "type of matrix products; auto is bfloat16 where the processor gains by it",
    "seed": "seed of initialisation and dropout",
    "updates": "stop after so many updates in all",
    "bytes": "stop after so many bytes in all",
    "minutes": "stop after so many minutes in all",
}
MODEL_HELP = {
    "architecture": "grid or stacked",
    "layers": "number of layers",
    "units": "number of units in a layer",
    "tie": "which weights a grid's layers share: none, depth (the depth LSTM's) or all",
    "dropout": "share of the non-recurrent connections dropped while training",
}
CHOICES = {
    "optimiser": OPTIMISERS,
    "precision": PRECISIONS,
    "architecture": ARCHITECTURES,
    "tie": TIES,
}
STOPS = {"updates", "bytes", "minutes"}


def run(arguments: list[str]) -> int:
    """Run one command; return the exit status."""
    options = _parser().parse_args(arguments)
    try:
        return options.run(options)
    except (UserError, OSError) as error:
        print(f"gridlstm {options.command}: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"gridlstm {options.command}: interrupted.", file=sys.stderr)
        return 130


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> typing.NoReturn:
        """Say what is wrong in one line; argparse would print the usage before it."""
        self.exit(2, f"{self.prog}: {message}\n")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="python -m gridlstm", description="Train, evaluate and trace byte-level models."
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    _add_train(commands)
    _add_evaluate(commands)
    _add_trace(commands)
    _add_describe(commands)
    return parser


# -- train ----------------------------------------------------------------------------------------


def _add_train(commands) -> None:
    command = commands.add_parser(
        "train",
        help="train a model on a file",
        description="Train a model on a file's bytes; write weights, curve and resumable state.",
        epilog="Without a preset, options not given have the published experiment's values.",
    )
    command.set_defaults(run=_train)
    command.add_argument("data", type=Path, help="any file; .xz, .gz and .bz2 are decompressed")
    command.add_argument("--out", type=Path, required=True, help="the .safetensors file to write")
    command.add_argument("--preset", choices=PRESETS, help="a model and how to train it, by name")
    command.add_argument("--resume", action="store_true", help="go on from the state beside --out")
    command.add_argument("--device", help="cpu, cuda, ... (cuda where there is one)")
    for group_name, kind, help_texts in (
        ("the model", ModelConfig, MODEL_HELP),
        ("training", TrainingSettings, SETTING_HELP),
    ):
        group = command.add_argument_group(group_name)
        for field in fields(kind):
            group.add_argument(
                f"--{field.name.replace('_', '-')}",
                type=_type_of(kind, field.name),
                choices=CHOICES.get(field.name),
                help=help_texts[field.name],
            )


def _type_of(kind: type, name: str) -> type:
    """The plain type of a dataclass's field, without the None that some allow."""
    declared = typing.get_type_hints(kind)[name]
    plain = [part for part in typing.get_args(declared) if part is not type(None)]
    return plain[0] if plain else declared


def _train(options: argparse.Namespace) -> int:
    preset = PRESETS.get(options.preset)
    if options.out.suffix != ".safetensors":
        raise UserError("--out must end in .safetensors.")
    settings = _settings(options, preset.training if preset else None)
    config = _config(options, preset.model if preset else None)
    _check_writable(options.out)
    corpus = read_corpus(options.data, settings.train_fraction)
    from gridlstm.training import train

    train(config, settings, corpus, options.out, resume=options.resume, device=options.device)
    return 0


def _check_writable(out: Path) -> None:
    """Raise, before hours are spent, the OSError that writing `out` would end in."""
    if out.is_dir():
        raise IsADirectoryError(f"{out} is a folder.")
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=out.parent):
        pass


def _given(options: argparse.Namespace, kind: type) -> dict:
    """The options among a dataclass's fields that the user gave."""
    values = {field.name: getattr(options, field.name) for field in fields(kind)}
    return {name: value for name, value in values.items() if value is not None}


def _settings(options: argparse.Namespace, preset: TrainingSettings | None) -> TrainingSettings:
    given = _given(options, TrainingSettings)
    if preset is None:
        return TrainingSettings(**given)
    if given.keys() & STOPS:
        given = {**dict.fromkeys(STOPS), **given}
    return replace(preset, **given)


def _config(options: argparse.Namespace, preset: ModelConfig | None) -> ModelConfig:
    given = _given(options, ModelConfig)
    if preset is not None:
        return replace(preset, **given)
    lacking = [f"--{name}" for name in ("architecture", "layers", "units") if name not in given]
    if lacking:
        raise UserError(f"Say which model: {', '.join(lacking)}, or --preset.")
    return ModelConfig(**given)


# -- evaluate, trace ------------------------------------------------------------------------------


def _add_evaluate(commands) -> None:
    command = commands.add_parser(
        "evaluate",
        help="the loss of a checkpoint on a file",
        description="Print one JSON object: nats_per_byte, bits_per_byte, bytes.",
    )
    command.set_defaults(run=_evaluate)
    _add_checkpoint_and_file(command)
    command.add_argument(
        "--part",
        choices=("all", "train", "validation"),
        default="all",
        help="only that part of the file, cut where the checkpoint's training cut it",
    )


def _add_checkpoint_and_file(command: argparse.ArgumentParser) -> None:
    command.add_argument("checkpoint", type=Path, help="a .safetensors file")
    command.add_argument("file", type=Path, help="any file; .xz, .gz and .bz2 are decompressed")


def _evaluate(options: argparse.Namespace) -> int:
    from gridlstm.checkpoint import load_model
    from gridlstm.evaluation import evaluate

    model, metadata = load_model(options.checkpoint)
    if options.part == "all":
        data = read_bytes(options.file)
    else:
        corpus = read_corpus(options.file, metadata.data.train_fraction)
        data = corpus.train if options.part == "train" else corpus.validation
    result = evaluate(model, data)
    print(json.dumps({**asdict(result), "bits_per_byte": result.bits_per_byte}))
    return 0


def _add_trace(commands) -> None:
    command = commands.add_parser(
        "trace",
        help="everything inside a model while it reads a file",
        description="Write each quantity [layer, position, unit], the loss in nats [position] and "
        "the next-byte distribution [position, 256] to an .npz file.",
    )
    command.set_defaults(run=_trace)
    _add_checkpoint_and_file(command)
    command.add_argument("--out", type=Path, required=True, help="the .npz file to write")
    command.add_argument(
        "--quantities", nargs="+", help="such as time.cell depth.forget (all, unless given)"
    )
    command.add_argument(
        "--dtype", choices=("float16", "float32"), default="float16", help="type of the values"
    )


def _trace(options: argparse.Namespace) -> int:
    import numpy as np
    from tqdm import tqdm

    from gridlstm.checkpoint import load_model, write_aside
    from gridlstm.trace import trace

    _check_writable(options.out)
    model, _ = load_model(options.checkpoint)
    data = read_bytes(options.file).tobytes()
    # Shown only once it is sure that the user's request can be met.
    with tqdm(total=len(data), unit=" bytes", delay=0.5) as bar:
        traced = trace(
            model,
            data,
            options.quantities,
            dtype=getattr(np, options.dtype),
            progress=lambda share: bar.update(round(share * len(data)) - bar.n),
        )

    def write(aside: Path) -> None:
        with open(aside, "wb") as file:
            np.savez(file, **traced.values, loss=traced.loss, next_byte=traced.next_byte)

    write_aside(options.out, write)
    return 0


# -- describe -------------------------------------------------------------------------------------


def _add_describe(commands) -> None:
    command = commands.add_parser(
        "describe",
        help="what checkpoints say about themselves",
        description="Print one JSON object a checkpoint: all its metadata.",
    )
    command.set_defaults(run=_describe)
    command.add_argument("checkpoints", type=Path, nargs="+", help=".safetensors files")


def _describe(options: argparse.Namespace) -> int:
    from gridlstm.checkpoint import read_metadata

    for path in options.checkpoints:
        print(json.dumps({"file": path.name, **asdict(read_metadata(path))}))
    return 0
