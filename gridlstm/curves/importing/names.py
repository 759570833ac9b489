"""What the name of a logged metric tells: of which data, a loss or not, in which unit.

Names are taken apart into words (`valLoss`, `val/loss`, `valid_loss_epoch`), so that a writer's
way of joining them makes no difference.
"""

import re
from dataclasses import dataclass
from functools import lru_cache

TRAINING = {"train", "training", "tr"}
HELD_OUT = {"val", "valid", "validation", "eval", "evaluation", "dev", "heldout", "holdout"}
TEST = {"test", "testing"}
_UNITS = {
    "nats": {"loss", "losses", "nll", "entropy", "crossentropy", "xent", "nats"},
    "bits": {"bpc", "bpb", "bits", "bpd"},
    "perplexity": {"ppl", "perplexity"},
}
_ACCURACY = {"acc", "accuracy"}
_EPOCH, _STEP = {"epoch"}, {"step", "batch"}
# Words that change nothing about what is measured.
_NEUTRAL = {
    *("mean", "avg", "average", "total", "overall", "cross", "ce", "per", "char", "character"),
    *("byte", "token", "word", "set", "data", "metrics", "metric", "lm", "log", "the", "nat"),
}
# Of a name with one of these, the number is another one than its loss.
_OTHER = {
    *("best", "lowest", "min", "max", "std", "lr", "rate", "time", "runtime", "grad", "norm"),
    *("scale", "weight", "weights", "sec", "second", "seconds", "samples", "steps", "count"),
    *("patience", "delta", "id", "scaler", "improved"),
}
_WORD = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|\d+")
_RUN_TOGETHER = re.compile(
    r"(train|training|val|valid|validation|eval|dev|test)"
    r"(loss|nll|bpc|bpb|ppl|perplexity|acc|accuracy)"
)
MAX_METRIC_NAME = 200


@dataclass(frozen=True)
class Metric:
    """`data` is "training", "validation", "test" or None, `unit` that of a loss or None if it is no
    loss, `per` "epoch", "step" or None. `rest` are the words that stand for none of these."""

    data: str | None
    unit: str | None
    accuracy: bool
    per: str | None
    rest: tuple[str, ...]

    @property
    def is_loss(self) -> bool:
        return self.unit is not None


def words(name: str) -> list[str]:
    """The words of a name, in small letters."""
    found: list[str] = []
    for word in _WORD.findall(name[:MAX_METRIC_NAME]):
        together = _RUN_TOGETHER.fullmatch(word.lower())
        found += together.groups() if together else [word.lower()]
    joined = " ".join(found).replace("held out", "heldout").replace("hold out", "holdout")
    return joined.split()


@lru_cache(maxsize=4096)
def metric(name: str) -> Metric:
    """What a metric's name tells."""
    named = words(name)
    data = data_of(named)
    unit = next(
        (unit for unit in ("bits", "perplexity", "nats") if _UNITS[unit] & set(named)), None
    )
    if unit is None and data is not None and len(named) == 1:
        unit = "nats"
    if set(named) & _OTHER:
        unit = None
    known = TRAINING | HELD_OUT | TEST | _NEUTRAL | _EPOCH | _STEP | _ACCURACY
    known = known.union(*_UNITS.values())
    return Metric(
        data=data,
        unit=unit,
        accuracy=bool(_ACCURACY & set(named)) and not set(named) & _OTHER,
        per="epoch" if _EPOCH & set(named) else "step" if _STEP & set(named) else None,
        rest=tuple(word for word in named if word not in known),
    )


def data_of(named: list[str]) -> str | None:
    """Which data the words of a name speak of: "training", "validation", "test" or None."""
    for data, known in (("validation", HELD_OUT), ("test", TEST), ("training", TRAINING)):
        if known & set(named):
            return data
    return None


def simplified(name: str) -> str:
    """Letters and digits alone, small: `trainer/global_step` is `trainerglobalstep`."""
    return re.sub(r"[^a-z0-9]", "", name[:MAX_METRIC_NAME].lower())
