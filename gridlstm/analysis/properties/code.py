r"""Strings and comments of programs in C and in Python.

Pygments is not used: its pattern for the head of a function in C takes twice as long for each
further line of `//\`, so that a text of a hundred characters would stop the page for good. These
patterns look at each character a few times and never go back; the tests compare them with it.
"""

import re
from collections.abc import Callable, Iterator
from functools import partial

from gridlstm.analysis.properties.property import Property
from gridlstm.analysis.properties.spans import Span, inside

# A backslash before a newline, which may be \r\n, joins two lines; in C those of a comment too.
_C = re.compile(
    r"""
    (?P<comment>
        // (?: \\\r?\n | [^\n] )*+
      | /\* (?: [^*] | \*(?!/) )*+ (?: \*/ )?+
    )
    | (?P<string>
        (?: (?<!\w) (?: u8 | [uUL] ) )?+
        " (?: [^"\\\n] | \\(?: \r\n | . )?+ )*+ "?+
      | (?<!\w) (?: u8 | [uUL] )?+
        ' (?: [^'\\\n]
            | \\(?: [0-7]{1,3} | x[0-9a-fA-F]+ | u[0-9a-fA-F]{4} | U[0-9a-fA-F]{8} | \r\n | . )
          ){0,4}+ '
    )
    """,
    re.VERBOSE | re.DOTALL,
)
_PYTHON = re.compile(
    r"""
    (?P<comment> \#[^\n]*+ )
    | (?P<string>
        (?: (?<!\w) (?: r[bft] | [bft]r | [rbftu] ) )?+
        (?:
            \"{3} (?: [^"\\] | \\.?+ | "(?!"") )*+ (?: \"{3} )?+
          | '{3} (?: [^'\\] | \\.?+ | '(?!'') )*+ (?: '{3} )?+
          | " (?: [^"\\\n] | \\(?: \r\n | . )?+ )*+ "?+
          | ' (?: [^'\\\n] | \\(?: \r\n | . )?+ )*+ '?+
        )
    )
    """,
    re.VERBOSE | re.DOTALL | re.IGNORECASE,
)


def _spans(tokens: re.Pattern[str], kind: str, characters: str) -> Iterator[Span]:
    for token in tokens.finditer(characters):
        if token.lastgroup == kind:
            yield token.span()


# Strings run from their prefix to their last mark, or to the end of the line where that is missing;
# a constant such as 'a' or 'RIFF' is one as well. Comments to the end of the line leave it out.
c_strings: Callable[[str], Iterator[Span]] = partial(_spans, _C, "string")
c_comments: Callable[[str], Iterator[Span]] = partial(_spans, _C, "comment")
# An f-string is one string with the fields in it; a field that uses the string's own quotation
# mark, as Python 3.12 allows, ends it.
python_strings: Callable[[str], Iterator[Span]] = partial(_spans, _PYTHON, "string")
python_comments: Callable[[str], Iterator[Span]] = partial(_spans, _PYTHON, "comment")


PROPERTIES = (
    Property(
        "c-string",
        "Inside a string (C)",
        "String and character constants of C, from the first quotation mark to the last.",
        "mark",
        partial(inside, c_strings),
    ),
    Property(
        "c-comment",
        "Inside a comment (C)",
        "From `/*` to `*/` and from `//` to the end of the line, outside of strings.",
        "mark",
        partial(inside, c_comments),
    ),
    Property(
        "python-string",
        "Inside a string (Python)",
        "Python's strings of all kinds, from the prefix to the last quotation mark; the fields "
        "of an f-string are inside.",
        "mark",
        partial(inside, python_strings),
    ),
    Property(
        "python-comment",
        "Inside a comment (Python)",
        "From `#` to the end of the line, outside of strings.",
        "mark",
        partial(inside, python_comments),
    ),
)
