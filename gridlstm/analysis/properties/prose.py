"""Quotation marks and parentheses, which hold for a paragraph at most."""

import re
from functools import partial

from gridlstm.analysis.properties.property import Property
from gridlstm.analysis.properties.spans import BLANK_LINE, Brackets, Span, depth, inside

parentheses = Brackets("(", ")", least=1, most=1, spans_paragraphs=False)

# What each opening mark may be closed by. Families are looked for apart from each other, so that
# a mark without a partner in one does not upset the others. The straight ' is left out: nearly
# always it is an apostrophe. Dumps of Wikipedia hold " as &quot;.
_FAMILIES: tuple[dict[str, tuple[str, ...]], ...] = (
    {'"': ('"',)},
    {"&quot;": ("&quot;",)},
    {"“": ("”",), "„": ("“", "”")},
    {"‘": ("’",), "‚": ("‘", "’")},
    {"«": ("»",), "»": ("«",)},
    {"‹": ("›",), "›": ("‹",)},
    {"「": ("」",)},
    {"『": ("』",)},
)
# After a letter or a digit these open nothing: there they close, or are inches or apostrophes.
_NOT_AFTER_A_WORD = frozenset(['"', "&quot;", "»", "›", "‘"])


def quotations(characters: str) -> list[Span]:
    """The spans of quotations, from the opening mark to the closing one of the same paragraph."""
    return [span for family in _FAMILIES for span in _of_family(characters, family)]


def _of_family(characters: str, closings: dict[str, tuple[str, ...]]) -> list[Span]:
    """The spans of quotations whose marks are those of one family; they may hold each other."""
    marks = "|".join({*closings, *(mark for marks in closings.values() for mark in marks)})
    spans: list[Span] = []
    opened: list[tuple[int, str]] = []
    for token in re.finditer(f"{marks}|{BLANK_LINE}", characters):
        mark = token[0]
        if opened and mark in closings[opened[-1][1]]:
            if not _is_apostrophe(characters, token):
                spans.append((opened.pop()[0], token.end()))
        elif mark in closings:
            if not (mark in _NOT_AFTER_A_WORD and _is_word(characters, token.start() - 1)):
                opened.append((token.start(), mark))
        elif mark.endswith("\n"):
            opened.clear()
    return spans


def _is_apostrophe(characters: str, token: re.Match[str]) -> bool:
    return token[0] == "’" and _is_word(characters, token.end())


def _is_word(characters: str, index: int) -> bool:
    """Whether there is a letter or a digit at `index`, which may lie outside the text."""
    return 0 <= index < len(characters) and characters[index].isalnum()


PROPERTIES = (
    Property(
        "quotation",
        "Inside quotation marks",
        'From the opening mark to the closing one of the same paragraph: `"…"`, `“…”`, `„…“`, '
        "`«…»`, `‘…’`, `「…」`, `&quot;…&quot;`; apostrophes are none.",
        "mark",
        partial(inside, quotations),
    ),
    Property(
        "parentheses",
        "Inside parentheses",
        "From `(` to the `)` that closes it in the same paragraph.",
        "mark",
        partial(inside, parentheses),
    ),
    Property(
        "parenthesis-depth",
        "Depth of parentheses",
        "In how many pairs of `(` and `)` the character stands: 0 outside.",
        "number",
        partial(depth, parentheses),
    ),
)
