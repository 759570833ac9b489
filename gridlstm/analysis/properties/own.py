"""Properties that a user states: a regular expression, or a span selected in the text."""

import numpy as np
import regex

from gridlstm.analysis.properties.property import PropertyError

# Compiling has no time limit; of a pattern of this length it takes a few milliseconds.
LONGEST_PATTERN = 1_000


def own_pattern(pattern: str, characters: str, seconds: float = 1.0) -> np.ndarray:
    """bool [character]: whether it is in a match of a regular expression.

    The expression is one of the `regex` package; `^` and `$` stand for the ends of lines. Matches
    do not overlap. `seconds` are processor time, that of all threads together. PropertyError if it
    does not compile, takes longer or too much memory, or matches no character.
    """
    compiled = _compiled(pattern)
    marks = np.zeros(len(characters), bool)
    try:
        for match in compiled.finditer(characters, timeout=seconds):
            marks[match.start() : match.end()] = True
    except TimeoutError:
        raise PropertyError(f"The pattern takes more than {seconds:g} s on this text.") from None
    except MemoryError:
        raise PropertyError("The pattern takes too much memory on this text.") from None
    if not marks.any():
        raise PropertyError("The pattern matches no character of this text.")
    return marks


def from_span(start: int, end: int, characters: str) -> np.ndarray:
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


def _compiled(pattern: str) -> regex.Pattern:
    if len(pattern) > LONGEST_PATTERN:
        raise PropertyError(
            f"A pattern may have {LONGEST_PATTERN:,} characters; this one has {len(pattern):,}."
        )
    try:
        return regex.compile(pattern, regex.MULTILINE)
    except regex.error as error:
        where = "" if error.pos is None else f" (at its character {error.pos + 1})"
        reason = f"{error.msg}{where}"
    except RecursionError:
        reason = "it is nested too deeply"
    raise PropertyError(f"The pattern is not understood: {reason}.")
