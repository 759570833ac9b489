"""How a model is trained. Knows no torch. The defaults are the published experiment's values."""

import sys
from dataclasses import asdict, dataclass

from gridlstm.addition import Layout
from gridlstm.errors import UserError

TASKS = ("text", "addition")
OPTIMISERS = ("rmsprop", "adam")
PRECISIONS = ("auto", "float32", "bfloat16")
# As in coreylynch/grid-lstm.
DIGITS = 4
# What a checkpoint may hold of a number: a training that could not be saved is not begun.
MAX_NUMBER = 2**63
# What each setting is, and in brackets what it is where nothing else is said.
SETTING_MEANINGS = {
    "sequences": "streams read side by side, the batch",
    "length": "bytes of each stream an update: how far back gradients go (for sums, as they need)",
    "optimiser": "how gradients become steps",
    "learning_rate": "step size at the start",
    "smoothing": "RMSprop's smoothing of squared gradients",
    "clip": "every element of the gradient of a sequence's summed loss is cut to ± this",
    "decay": "the learning rate is multiplied by this once an epoch",
    "decay_from_epoch": "the epoch at which the decay begins",
    "cooldown": "updates at the end over which the learning rate falls in a straight line to 0, "
    "besides the decay (none)",
    "scale": "parameters start uniform in ± this",
    "forget_bias": "bias of the forget gates at the start",
    "train_fraction": "the share that is trained on of the file, from its beginning, or of all "
    "pairs of numbers",
    "validate_every": "updates between two points of the curve",
    "validation_bytes": "bytes, evenly spread, that a point of the curve is measured on (all)",
    "save_every": "updates between two saves of the state to resume from",
    "precision": "type of matrix products; auto is bfloat16 where the processor gains by it",
    "seed": "seed of initialisation, dropout and the sums that are drawn",
    "updates": "stop after so many updates in all",
    "bytes": "stop after so many bytes in all",
    "minutes": "stop after so many minutes in all",
    "patience": "stop when so many updates have brought no better validation loss (never)",
    "task": "text, to predict the file's next byte, or addition, of numbers digit by digit (text)",
    "digits": f"digits of each number to be added ({DIGITS})",
}


class SettingsError(UserError):
    """A setting that cannot be; the message is one sentence for the user."""


@dataclass(frozen=True)
class TrainingSettings:
    """Every field is an option of `python -m gridlstm train`, of the same name.

    Raises SettingsError, or AdditionError where sums of `digits` do not fit into `length`.
    """

    sequences: int = 50
    length: int = 50
    optimiser: str = "rmsprop"
    learning_rate: float = 0.001
    smoothing: float = 0.95
    clip: float = 5.0
    decay: float = 0.97
    decay_from_epoch: float = 10
    cooldown: int | None = None
    scale: float = 0.08
    forget_bias: float = 1.0
    train_fraction: float = 0.95
    validate_every: int = 1000
    validation_bytes: int | None = None
    save_every: int = 500
    precision: str = "auto"
    seed: int = 1
    updates: int | None = None
    bytes: int | None = None
    minutes: float | None = None
    patience: int | None = None
    task: str = "text"
    digits: int | None = None

    def __post_init__(self) -> None:
        for name in ("sequences", "length", "validate_every", "save_every"):
            if getattr(self, name) < 1:
                raise SettingsError(f"--{name.replace('_', '-')} must be at least 1.")
        for name in ("learning_rate", "clip", "scale", "decay"):
            if not getattr(self, name) > 0:
                raise SettingsError(f"--{name.replace('_', '-')} must be above 0.")
        for name in ("updates", "bytes", "minutes", "patience", "validation_bytes", "cooldown"):
            if getattr(self, name) is not None and not getattr(self, name) > 0:
                raise SettingsError(f"--{name.replace('_', '-')} must be above 0.")
        if not 0 <= self.seed < 2**63:
            raise SettingsError("--seed must be at least 0 and under 2^63.")
        if not 0 <= self.smoothing < 1:
            raise SettingsError("--smoothing must be at least 0 and under 1.")
        if not 0 < self.train_fraction < 1:
            raise SettingsError("--train-fraction must lie between 0 and 1.")
        if self.optimiser not in OPTIMISERS:
            raise SettingsError(f"--optimiser must be one of {', '.join(OPTIMISERS)}.")
        if self.precision not in PRECISIONS:
            raise SettingsError(f"--precision must be one of {', '.join(PRECISIONS)}.")
        if self.task not in TASKS:
            raise SettingsError(f"--task must be one of {', '.join(TASKS)}.")
        if (self.digits is None) != (self.task == "text"):
            raise SettingsError("--digits is an option of --task addition, which needs it.")
        if self.digits is not None:
            Layout(self.digits, self.length)
        if self.updates is None and self.bytes is None and self.minutes is None:
            raise SettingsError("Say when to stop: --updates, --bytes or --minutes.")
        if self.cooldown is not None and self.updates is None and self.bytes is None:
            raise SettingsError("--cooldown needs to know the end: --updates or --bytes.")
        for name, value in asdict(self).items():
            if isinstance(value, int | float) and not abs(value) < MAX_NUMBER:
                raise SettingsError(
                    f"--{name.replace('_', '-')} must be a finite number under 2^63."
                )

    @property
    def bytes_an_update(self) -> int:
        """Bytes that all sequences together read between two updates of the weights."""
        return self.sequences * self.length

    @property
    def goal(self) -> int:
        """The update to stop at, as far as it is known before; else a number never reached."""
        limits = [sys.maxsize]
        if self.updates is not None:
            limits.append(self.updates)
        if self.bytes is not None:
            limits.append(-(-self.bytes // self.bytes_an_update))
        return min(limits)

    def learning_rate_at(self, update: int, epoch: float) -> float:
        """The rate of the update after `update` updates, which are `epoch` epochs: times `decay`
        for each whole epoch from the chosen on, and falling to 0 in the last `cooldown` updates; at
        most the largest number there is."""
        epochs = max(0, int(epoch) - self.decay_from_epoch + 1)
        try:
            rate: float = min(self.learning_rate * self.decay**epochs, sys.float_info.max)
        except OverflowError:
            rate = sys.float_info.max
        if self.cooldown is None:
            return rate
        return rate * min(1.0, max(0, self.goal - update) / self.cooldown)
