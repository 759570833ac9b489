"""Properties that a user states: a regular expression, or a span selected in the text."""

import numpy as np

from gridlstm.analysis.properties.pattern_process import Answer, matched
from gridlstm.analysis.properties.property import PropertyError
from gridlstm.array_types import BoolArray

LONGEST_PATTERN = 1_000


def own_pattern(pattern: str, characters: str, seconds: float = 1.0) -> BoolArray:
    """bool [character]: whether it is in a match of a regular expression.

    The expression is one of the `regex` package; `^` and `$` stand for the ends of lines. Matches
    do not overlap. It is searched for in a process of its own (see `pattern_process`): `seconds`
    are processor time of the search alone. PropertyError if it does not compile, takes longer or
    too much memory, or matches no character, or if no process can be started.
    """
    if len(pattern) > LONGEST_PATTERN:
        raise PropertyError(
            f"A pattern may have {LONGEST_PATTERN:,} characters; this one has {len(pattern):,}."
        )
    try:
        answer, found = matched(pattern, characters, seconds)
    except OSError as error:
        raise PropertyError(f"No process can be started to search in: {error}.") from error
    if answer["fault"]:
        raise PropertyError(_told(answer, seconds))
    marks = np.frombuffer(found, np.uint8).astype(bool)
    if not marks.any():
        raise PropertyError("The pattern matches no character of this text.")
    return marks


def _told(answer: Answer, seconds: float) -> str:
    """What was wrong with a pattern, in one sentence."""
    faults = {
        "pattern": f"The pattern is not understood: {answer.get('reason')}.",
        "time": f"The pattern takes more than {seconds:g} s on this text.",
        "memory": "The pattern takes too much memory on this text.",
        "end": "The search for the pattern broke off: it may take too much memory on this text.",
    }
    return faults[answer["fault"] or "end"]


def from_span(start: int, end: int, characters: str) -> BoolArray:
    """bool [character]: whether its index is in start, …, end - 1.

    PropertyError if the text has no such characters.
    """
    if not 0 <= start < end <= len(characters):
        raise PropertyError(
            f"Characters {start:,} to {end:,} cannot be selected in a text of {len(characters):,}."
        )
    marks = np.zeros(len(characters), bool)
    marks[start:end] = True
    return marks
