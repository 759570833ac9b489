"""The programs whose logs are recognised, and what no importer can know of their losses."""

from collections.abc import Collection
from dataclasses import dataclass


@dataclass(frozen=True)
class Program:
    """A writer of logs. `caution` says in which way its losses are no plain means per character,
    `counts_from_zero` that the step logged is the number of updates less one."""

    name: str
    caution: str = ""
    counts_from_zero: bool = False


UNKNOWN = Program("table")
OWN = Program("curve of this program")
LIGHTNING = Program(
    "Lightning",
    "means over batches weigh each by its first dimension, which is the length where time comes "
    "first, and with accumulated gradients the training loss is that of the last batch of each "
    "update",
    counts_from_zero=True,
)
KERAS = Program(
    "Keras",
    "losses hold weight penalties, and with masks or carried states they depend on the batch size",
)
FASTAI = Program("fastai", "the training loss is a moving average, which one NaN spoils for good")
HUGGING_FACE = Program(
    "Hugging Face Trainer",
    "the evaluation loss depends on the batch size, a NaN is logged as 0, and with accumulated "
    "gradients the training loss may be a multiple",
)
MMENGINE = Program(
    "mmengine",
    "a number with loss in its name is a mean, of training over the last 10 updates and of "
    "validation over the last 10 validations, so that its curve lags",
)
WANDB = Program("Weights & Biases export")
TENSORBOARD = Program("TensorBoard event files")
DOWNLOAD = Program("TensorBoard download")
TORCH_RNN = Program("torch-rnn")
JSON = Program("JSON")
CONSOLE = Program("console log")

_TRAINERS = ("eval_runtime", "eval/runtime", "train_runtime", "_samples_per_second")


def recognise(names: Collection[str], otherwise: Program) -> Program:
    """Which program names its columns, or tags, so."""
    held = set(names)
    if any(name.endswith(_TRAINERS) for name in held):
        return HUGGING_FACE
    if {"epoch", "train_loss", "valid_loss", "time"} <= held:
        return FASTAI
    if {"epoch", "loss"} <= held and not held & {"step", "iteration", "global_step"}:
        return KERAS
    if {"hp_metric", "epoch"} <= held:
        return LIGHTNING
    if {"epoch", "step"} <= held and any("loss" in name for name in held):
        return LIGHTNING
    return otherwise
