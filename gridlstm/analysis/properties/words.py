"""Numbers, and words in capitals."""

from collections.abc import Iterator
from functools import partial

import regex

from gridlstm.analysis.properties.property import Property
from gridlstm.analysis.properties.spans import Span, inside

# Words are read as well, so that their digits (b2b, v1.2, _5) are not taken for numbers.
_NUMBER_OR_WORD = regex.compile(
    r"""
    (?P<number>
        0[xX][0-9a-fA-F]++
      | \d++ (?: [.,_]\d++ | [\u00a0\u2009\u202f]\d{3}(?!\d) )*+ (?: [eE][+-]?\d++(?!\w) )?+
    )
    | [^\W\d] \w*+ (?: (?<=\d) [.,]\d++ )*+
    """,
    regex.VERBOSE,
)


def numbers(characters: str) -> Iterator[Span]:
    """The spans of numbers.

    One begins at a digit that does not follow a letter; a point, a comma or an underscore between
    two digits belongs to it, and so does a narrow or unbreakable space before three digits, an
    exponent, and a hexadecimal number's `0x`. Signs do not, as a dash looks the same, nor do
    letters at the end (`1990s`, `5th`, `10km`).
    """
    for token in _NUMBER_OR_WORD.finditer(characters):
        if token["number"]:
            yield token.span()


def capitals(characters: str) -> Iterator[Span]:
    """The spans of words with two capital letters or more and no small one.

    A word is a run of letters, digits and underscores: `NASA`, `MAX_SIZE` and `HTML5` are in
    capitals; `A4`, `PhD` and `U.S.` are not.
    """
    for word in regex.finditer(r"\w+", characters):
        if word[0].isupper() and sum(letter.isupper() for letter in word[0]) >= 2:
            yield word.span()


PROPERTIES = (
    Property(
        "number",
        "Inside a number",
        "Digits, with the points and commas between them: `1,234.5`. The digits of a word such "
        "as `b2b` are outside, and so are signs and units.",
        "mark",
        partial(inside, numbers),
    ),
    Property(
        "capitals",
        "Inside a word in capitals",
        "Words with two capital letters or more and no small one: `NASA`, `MAX_SIZE`.",
        "mark",
        partial(inside, capitals),
    ),
)
