"""How a model is trained. Knows no torch. The defaults are the published experiment's values."""

import math
import sys
from dataclasses import dataclass

from gridlstm.addition import Layout
from gridlstm.errors import UserError

TASKS = ("text", "addition")
OPTIMISERS = ("rmsprop", "adam")
PRECISIONS = ("auto", "float32", "bfloat16")


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
        for name in ("updates", "bytes", "minutes", "patience", "validation_bytes"):
            if getattr(self, name) is not None and not getattr(self, name) > 0:
                raise SettingsError(f"--{name.replace('_', '-')} must be above 0.")
        if self.scale == math.inf:
            raise SettingsError("--scale must be finite.")
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

    def learning_rate_at(self, epoch: float) -> float:
        """The rate after `epoch` epochs: times `decay` for each whole one from the chosen on."""
        return self.learning_rate * self.decay ** max(0, int(epoch) - self.decay_from_epoch + 1)
