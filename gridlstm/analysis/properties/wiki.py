"""Markup of Wikipedia's articles, read as MediaWiki reads it."""

import re
from collections.abc import Iterator
from functools import partial

from gridlstm.analysis.properties.property import Property
from gridlstm.analysis.properties.spans import Brackets, Span, depth, inside

_DOUBLE_SQUARE = Brackets("[", "]", least=2, most=2, spans_paragraphs=False)
# What is linked to stands on one line, so nested lists of a program are no links.
_TARGET = re.compile(r"[^\[\]|\n]++(?:\||\]\])")

# Three braces stand for an argument of a template, and are taken for one of their own.
templates = Brackets("{", "}", least=2, most=3, spans_paragraphs=True)

_APOSTROPHES = re.compile("''+")
ITALICS, BOLD, BOTH = 2, 3, 5


def links(characters: str) -> Iterator[Span]:
    """The spans of `[[links]]`, from the first bracket to the last; captions hold links again."""
    for start, end in _DOUBLE_SQUARE(characters):
        if _TARGET.match(characters, start + 2, end):
            yield start, end


def italics(characters: str) -> Iterator[Span]:
    """The spans of italics, from the first apostrophe to the last, or to the end of the line."""
    return _switched(characters, (ITALICS, BOTH))


def bold(characters: str) -> Iterator[Span]:
    """The spans of bold type, from the first apostrophe to the last, or to the end of the line."""
    return _switched(characters, (BOLD, BOTH))


def _switched(characters: str, switches: tuple[int, int]) -> Iterator[Span]:
    """From each such switch to the next one of its line."""
    position = 0
    for line in characters.split("\n"):
        start = None
        for first, last in _switches(line):
            if last - first not in switches:
                continue
            if start is None:
                start = first
            else:
                yield position + start, position + last
                start = None
        if start is not None:
            yield position + start, position + len(line)
        position += len(line) + 1


def _switches(line: str) -> list[Span]:
    """The apostrophes of a line that switch italics (2 of them), bold type (3) or both (5).

    As in MediaWiki's `doQuotes`: of four the first is an apostrophe, of more than five all but
    the last five are.
    """
    found = []
    for match in _APOSTROPHES.finditer(line):
        start, end = match.span()
        length = BOLD if end - start == 4 else min(BOTH, end - start)
        found.append((end - length, end))
    lengths = [end - start for start, end in found]
    both = lengths.count(BOTH)
    if (lengths.count(ITALICS) + both) % 2 and (lengths.count(BOLD) + both) % 2:
        _reinterpret_bold(line, found)
    return found


def _reinterpret_bold(line: str, switches: list[Span]) -> None:
    """Make one ''' an apostrophe before '', as where italics follow one: `l'''amour''`.

    MediaWiki's guess, where a line would leave both open: the first that follows a word of one
    letter, else the first that follows a longer word, else the first.
    """
    candidates = [index for index, (start, end) in enumerate(switches) if end - start == BOLD]

    def unlikely(index: int) -> int:
        start = switches[index][0]
        before = line[max(0, start - 2) : start]
        if before.endswith(" "):
            return 2
        return 0 if before[:1] == " " else 1

    chosen = min(candidates, key=unlikely, default=None)
    if chosen is not None:
        start, end = switches[chosen]
        switches[chosen] = start + 1, end


PROPERTIES = (
    Property(
        "wiki-link",
        "Inside a wiki link",
        "From the first bracket of a `[[link]]` to the last, in one paragraph; a picture's "
        "caption is inside as well.",
        "mark",
        partial(inside, links),
    ),
    Property(
        "template",
        "Inside a template",
        "From the first brace of a `{{template}}` or a `{{{parameter}}}` to the last.",
        "mark",
        partial(inside, templates),
    ),
    Property(
        "template-depth",
        "Depth of templates",
        "In how many `{{templates}}` within each other the character stands: 0 outside.",
        "number",
        partial(depth, templates),
    ),
    Property(
        "italics",
        "In italics (wiki)",
        "From the apostrophes that open `''italics''` to those that close them, or to the end "
        "of the line; `'''''both'''''` counts.",
        "mark",
        partial(inside, italics),
    ),
    Property(
        "bold",
        "In bold type (wiki)",
        "From the apostrophes that open `'''bold'''` type to those that close it, or to the "
        "end of the line; `'''''both'''''` counts.",
        "mark",
        partial(inside, bold),
    ),
)
