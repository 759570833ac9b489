"""Train a model on a file."""

import argparse
import typing
from dataclasses import fields, replace
from pathlib import Path

from gridlstm.commands.options import check_writable
from gridlstm.config import ARCHITECTURES, TIES, ModelConfig
from gridlstm.corpus import read_corpus
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
    "patience": "stop when so many updates have brought no better validation loss (never)",
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


def add(commands) -> None:
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
    check_writable(options.out)
    corpus = read_corpus(options.data, settings.train_fraction)
    from gridlstm.training import train

    train(config, settings, corpus, options.out, resume=options.resume, device=options.device)
    return 0


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
