"""What training scripts print: lines such as "step 250: train loss 1.96, val loss 2.06".

Of every line the pairs of a known name and a number are taken; how far the training was counts on
for the lines that do not say it. nanoGPT, char-rnn (its validation loss stands in the name of the
checkpoint saved), the word model of PyTorch's examples, Keras' progress and their like are read so.
"""

import math
import re
from array import array

import numpy as np

from gridlstm.curves.importing.log import Log, Table
from gridlstm.curves.importing.names import metric
from gridlstm.curves.importing.programs import CONSOLE
from gridlstm.curves.reading import CurveError

MAX_LINE, MAX_CONSOLE_LINES = 1_000, 100_000
_NUMBER = r"[+-]?(?:\d{1,3}(?:,\d{3})+|\d+)?(?:\.\d+|(?<=\d))(?:e[+-]?\d+)?|nan|[+-]?inf"
_PAIR = re.compile(
    r"\b((?:end of )?(?:train(?:ing)?|val(?:id)?(?:ation)?|eval(?:uation)?|dev|test)?[ _]?"
    r"(?:global[ _]step|step|iteration|iter|update|epoch|loss|bpc|bpb|ppl|perplexity|i))"
    rf"\s*[:=]?\s*({_NUMBER})\b",
    re.I,
)
_CHAR_RNN = re.compile(r"^(\d+)/\d+ \(epoch ([\d.]+)\), train_loss = ([\d.]+|-?nan|inf)")
_SAVED = re.compile(r"_epoch([\d.]+)_(\d+\.\d+|-?nan|inf)\.t7")
_DIGIT = re.compile(r"\d")
_COUNTERS = {"step", "iteration", "iter", "update", "global_step", "i"}


def looks_like_console(text: str) -> bool:
    """Whether one of the first lines says how far a training was, and a loss."""
    counters, losses = set(), set()
    for line in text[:200_000].splitlines():
        found = _pairs(line[:MAX_LINE])
        counters |= {name for name in found if name in ("step", "epoch")}
        losses |= {name for name in found if metric(name).is_loss}
        if counters and losses:
            return True
    return False


def read_console(text: str) -> Log:
    """The losses in what a program printed. Raises CurveError."""
    now = {"step": math.nan, "epoch": math.nan}
    columns: dict[str, array[float]] = {"step": array("d"), "epoch": array("d")}
    lines = array("q")
    for line_number, line in enumerate(text.splitlines(), start=1):
        if not _DIGIT.search(line, 0, MAX_LINE):
            continue
        found = _pairs(line[:MAX_LINE])
        now |= {name: found.pop(name) for name in ("step", "epoch") if name in found}
        losses = {name: value for name, value in found.items() if metric(name).is_loss}
        if not losses:
            continue
        for name in losses:
            if name not in columns:
                columns[name] = array("d", [math.nan] * len(lines))
        for name, column in columns.items():
            column.append((now | losses).get(name, math.nan))
        lines.append(line_number)
        if len(lines) > MAX_CONSOLE_LINES:
            raise CurveError(f"The text has more than {MAX_CONSOLE_LINES:,} lines with a loss.")
    if not lines:
        raise CurveError(
            "No line of this text says a step or an epoch and a loss: write the losses into a CSV "
            "file with the columns step, train_loss and val_loss."
        )
    table = {name: np.frombuffer(values, np.float64).copy() for name, values in columns.items()}
    table = {name: values for name, values in table.items() if not np.isnan(values).all()}
    return Log({"": Table(table, np.frombuffer(lines, np.int64).copy())}, CONSOLE)


def _pairs(line: str) -> dict[str, float]:
    """The numbers of a line by their names; "step" is how many updates were made."""
    if told := _CHAR_RNN.match(line):
        return dict(zip(("step", "epoch", "train_loss"), map(_value, told.groups()), strict=True))
    if told := _SAVED.search(line):
        return {"epoch": _value(told[1]), "val_loss": _value(told[2])}
    found: dict[str, float] = {}
    for name, number in _PAIR.findall(line):
        name = name.lower().removeprefix("end of ").strip().replace(" ", "_")
        found.setdefault("step" if name in _COUNTERS else name, _value(number))
    return found


def _value(number: str) -> float:
    """A number; what is written and none is infinite, so that it is no empty place."""
    value = float(number.replace(",", ""))
    return value if math.isfinite(value) else math.inf
