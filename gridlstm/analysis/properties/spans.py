"""Spans of characters: what they mark, how deep they lie in each other, brackets that make them.

A span is (start, end): its first character, and the one after its last. What opens and closes
something belongs to it: its marks start at the first bracket, so that a unit that needs two of
them to be sure is seen to come late.
"""

import re
from collections.abc import Callable, Iterable

import numpy as np

from gridlstm.array_types import BoolArray, IntArray

Span = tuple[int, int]
BLANK_LINE = r"(?m:^[ \t\r]*\n)"


def inside(find: Callable[[str], Iterable[Span]], characters: str) -> BoolArray:
    """bool [character]: whether it is in one of the spans that `find` finds in the text."""
    return depth(find, characters) > 0


def depth(find: Callable[[str], Iterable[Span]], characters: str) -> IntArray:
    """float64 [character]: in how many of the spans that `find` finds in the text it is."""
    length = len(characters)
    bounds = np.array(list(find(characters)), np.int64).reshape(-1, 2)
    opened, closed = (np.bincount(side, minlength=length + 1) for side in bounds.T)
    return np.cumsum(opened - closed)[:length].astype(np.float64)


class Brackets:
    """Pairs of brackets that lie in each other, found in one walk over the text.

    A pair is made of `least` to `most` of the same bracket in a row, of as many as there are on
    both sides. One that is never closed, or closes nothing, makes no span; nor does one that is
    open at a blank line, unless it `spans_paragraphs`.
    """

    def __init__(
        self, opening: str, closing: str, least: int, most: int, spans_paragraphs: bool
    ) -> None:
        runs = [rf"{re.escape(bracket)}{{{least},}}" for bracket in (opening, closing)]
        self._tokens = re.compile("|".join(runs if spans_paragraphs else [*runs, BLANK_LINE]))
        self._opening, self._closing = opening, closing
        self._least, self._most = least, most

    def __call__(self, characters: str) -> list[Span]:
        """The spans of all pairs, in the order in which they are closed."""
        spans: list[Span] = []
        opened: list[Span] = []  # what is left of each run of opening brackets
        for token in self._tokens.finditer(characters):
            if token[0].startswith(self._opening):
                opened.append(token.span())
            elif token[0].startswith(self._closing):
                spans += self._closed(opened, *token.span())
            else:
                opened.clear()
        return spans

    def _closed(self, opened: list[Span], position: int, end: int) -> list[Span]:
        """What the closing brackets from `position` to `end` close, taken from `opened`."""
        spans = []
        while opened and end - position >= self._least:
            first, last = opened.pop()
            width = min(self._most, last - first, end - position)
            spans.append((last - width, position + width))
            position += width
            if last - width - first >= self._least:
                opened.append((first, last - width))
        return spans
