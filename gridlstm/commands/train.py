"""Train a model on a file, or on sums that are drawn from a seed."""

import argparse
import typing
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from gridlstm.addition import shortest_length
from gridlstm.architectures import ARCHITECTURES
from gridlstm.checkpoint import read_metadata
from gridlstm.commands.options import check_writable
from gridlstm.commands.parsers import Commands
from gridlstm.config import MODEL_MEANINGS, ModelConfig
from gridlstm.corpus import read_corpus
from gridlstm.errors import UserError
from gridlstm.training.presets import PRESETS, Preset
from gridlstm.training.settings import (
    DIGITS,
    OPTIMISERS,
    PRECISIONS,
    SETTING_MEANINGS,
    TASKS,
    TrainingSettings,
)

CHOICES = {
    "optimiser": OPTIMISERS,
    "precision": PRECISIONS,
    "task": TASKS,
    "architecture": ARCHITECTURES,
    **{name: values for known in ARCHITECTURES.values() for name, values in known.options.items()},
}
# Follows from what a model is trained on, which is bytes.
NOT_CHOSEN = {"vocabulary_size"}
STOPS = {"updates", "bytes", "minutes"}
# The exit status of a run that a signal stopped: what a shell gives for Ctrl-C.
STOPPED = 130


def add(commands: Commands) -> None:
    command = commands.add_parser(
        "train",
        help="train a model on a file, or on sums",
        description="Train a model on a file's bytes or, with --task addition, on sums that are "
        "drawn from the seed; write weights, curve and resumable state.",
        epilog="A preset names a model and all of its settings: seed-* are those of the published "
        "experiment (1000 units), small-* those of the models shipped here (256 units), matched-* "
        "other architectures with as many parameters as small-stacked-3. Without one, "
        "--architecture, --layers, --units and one of --updates, --bytes, --minutes must be given; "
        "a grid then ties all weights, dropout is 0, and other settings have the published values. "
        "With --resume the model and all settings are those of the run; others can be given for "
        "when to stop, to validate and to save. Ctrl-C or SIGTERM saves and ends with status "
        f"{STOPPED}, so that a script does not take the run for a finished one.",
    )
    command.set_defaults(run=_train)
    command.add_argument(
        "data",
        type=Path,
        nargs="?",
        help="any file; .xz, .gz and .bz2 are decompressed (not for --task addition)",
    )
    command.add_argument("--out", type=Path, required=True, help="the .safetensors file to write")
    command.add_argument("--preset", choices=PRESETS, help="a model and how to train it, by name")
    begin = command.add_mutually_exclusive_group()
    begin.add_argument(
        "--resume",
        action="store_true",
        help="go on from the state beside --out; neither the model nor a setting need be said",
    )
    begin.add_argument(
        "--from",
        dest="begin_from",
        metavar="CHECKPOINT",
        type=Path,
        help="begin with a checkpoint's weights instead of random ones, and with the curve beside "
        "it, and count updates and bytes on from there; which model it is need not be said",
    )
    command.add_argument("--device", help="cpu, cuda, ... (cuda where there is one)")
    for group_name, kind, meanings in (
        ("the model", ModelConfig, MODEL_MEANINGS),
        ("training", TrainingSettings, SETTING_MEANINGS),
    ):
        group = command.add_argument_group(group_name)
        for field in fields(kind):
            if field.name in NOT_CHOSEN:
                continue
            group.add_argument(
                f"--{field.name.replace('_', '-')}",
                type=_type_of(kind, field.name),
                choices=CHOICES.get(field.name),
                help=meanings[field.name],
            )


def _type_of(kind: type, name: str) -> type:
    """The plain type of a dataclass's field, without the None that some allow."""
    declared = typing.get_type_hints(kind)[name]
    plain = [part for part in typing.get_args(declared) if part is not type(None)]
    found: type = plain[0] if plain else declared
    return found


def _train(options: argparse.Namespace) -> int:
    if options.out.suffix != ".safetensors":
        raise UserError("--out must end in .safetensors.")
    preset = _named(options)
    settings = _settings(options, preset.training if preset else None)
    config = _config(options, preset.model if preset else None)
    if settings.task == "text" and options.data is None:
        raise UserError("Say what to train on: a file of data, or --task addition.")
    if settings.task == "addition" and options.data is not None:
        raise UserError(f"--task addition draws its own sums and reads no file {options.data}.")
    check_writable(options.out)
    reads = options.data is not None
    corpus = read_corpus(options.data, settings.train_fraction) if reads else None
    from gridlstm.training.run import train

    ended = train(
        config,
        settings,
        corpus,
        options.out,
        resume=options.resume,
        begin_from=options.begin_from,
        device=options.device,
    )
    # A script that goes on with the model must not take a stopped run for a finished one.
    return 0 if ended else STOPPED


def _named(options: argparse.Namespace) -> Preset | None:
    """The model and the settings that need not be said one by one: those of a preset, or of the run
    to go on with. Raises ResumeError."""
    if options.preset is None and options.resume:
        from gridlstm.training.state import read_settings, state_path

        return Preset(*read_settings(state_path(options.out)))
    return PRESETS.get(options.preset)


def _given(options: argparse.Namespace, kind: type) -> dict[str, Any]:
    """The options among a dataclass's fields that the user gave."""
    names = (field.name for field in fields(kind) if field.name not in NOT_CHOSEN)
    values = {name: getattr(options, name) for name in names}
    return {name: value for name, value in values.items() if value is not None}


def _settings(options: argparse.Namespace, preset: TrainingSettings | None) -> TrainingSettings:
    given = _given(options, TrainingSettings)
    if given.get("task") == "addition":
        given.setdefault("digits", DIGITS)
        given.setdefault("length", shortest_length(given["digits"]))
    if preset is None:
        return TrainingSettings(**given)
    if given.keys() & STOPS:
        given = {**dict.fromkeys(STOPS), **given}
    return replace(preset, **given)


def _config(options: argparse.Namespace, preset: ModelConfig | None) -> ModelConfig:
    given = _given(options, ModelConfig)
    if preset is not None:
        return replace(preset, **given)
    if options.begin_from is not None:
        return replace(read_metadata(options.begin_from).model, **given)
    lacking = [f"--{name}" for name in ("architecture", "layers", "units") if name not in given]
    if lacking:
        raise UserError(f"Say which model: {', '.join(lacking)}, --preset or --from.")
    if "tie" in ARCHITECTURES[given["architecture"]].options:
        given.setdefault("tie", "all")
    return ModelConfig(**given)
