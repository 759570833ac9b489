"""Where in its line, its paragraph and its word a character stands, and how far in the line is.

A line begins with the newline before it: there every count is 0, as it is for a network that has
just read the newline.
"""

import re

import numpy as np
import regex

from gridlstm.analysis.properties.property import Property
from gridlstm.analysis.properties.spans import BLANK_LINE
from gridlstm.array_types import Float64Array

TAB = 8


def line_position(characters: str) -> Float64Array:
    """float64 [character]: characters since the last newline, this one counted: 1 for the first."""
    return _since([match.start() for match in re.finditer("\n", characters)], characters)


def paragraph_position(characters: str) -> Float64Array:
    """float64 [character]: characters since the last blank line, this one counted."""
    return _since([match.end() - 1 for match in re.finditer(BLANK_LINE, characters)], characters)


def word_position(characters: str) -> Float64Array:
    """float64 [character]: letters, digits and underscores since the word began; 0 outside."""
    return _since([match.start() for match in regex.finditer(r"\W", characters)], characters)


def indentation(characters: str) -> Float64Array:
    """float64 [character]: columns of white space before the line's text, as far as is known.

    It grows along the white space and keeps its value to the end of the line. A tab reaches to
    the next multiple of 8 columns.
    """
    columns = np.zeros(len(characters))
    for match in re.finditer(r"^([ \t]+).*", characters, re.MULTILINE):
        column = 0
        for index in range(*match.span(1)):
            column += TAB - column % TAB if characters[index] == "\t" else 1
            columns[index] = column
        columns[match.end(1) : match.end()] = column
    return columns


def _since(boundaries: list[int], characters: str) -> Float64Array:
    """float64 [character]: how far the last boundary lies back; the first is before the text."""
    last = np.full(len(characters), -1)
    last[boundaries] = boundaries
    return (np.arange(len(characters)) - np.maximum.accumulate(last)).astype(np.float64)


PROPERTIES = (
    Property(
        "line-position",
        "Position in the line",
        "Characters since the last newline, this one counted: how long the line is so far.",
        "number",
        line_position,
    ),
    Property(
        "paragraph-position",
        "Position in the paragraph",
        "Characters since the last blank line, this one counted.",
        "number",
        paragraph_position,
    ),
    Property(
        "word-position",
        "Position in the word",
        "Letters and digits since the word began, this one counted: 0 between words.",
        "number",
        word_position,
    ),
    Property(
        "indentation",
        "Indentation of the line",
        "Columns of white space before the line's text, as far as they have been read; a tab "
        "reaches to the next multiple of 8.",
        "number",
        indentation,
    ),
)
