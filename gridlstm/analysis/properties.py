"""Properties of characters that a unit might follow: marks on a text, found by plain rules."""

import re
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Property:
    """Something true of some characters of a text; `mark` gives bool [character]."""

    name: str
    explanation: str
    mark: Callable[[str], np.ndarray]


# A URL ends before white space, brackets and quotes of wiki and other markup, the same written as
# XML entities (dumps hold `&lt;ref&gt;http://…&lt;/ref&gt;`), and wiki's '' for italics. `&amp;`
# alone is part of a URL. Each character is looked at a bounded number of times: one class, one
# loop, nothing to backtrack into.
URL = re.compile(
    r"""
    (?: (?:https?|ftp):// | (?<!\w)www\. )
    (?P<rest>
        (?: (?! '' | &(?:amp;)?(?:lt|gt|quot|nbsp|ndash|mdash); )
            [^\s\x00-\x20\x7f\[\]{}|<>"`“”‘’«»]
        )+
    )
    """,
    re.VERBOSE | re.IGNORECASE,
)
TRAILING = frozenset(".,;:!?'")


def inside_url(characters: str) -> np.ndarray:
    """bool [character]: whether it belongs to a URL (`http://`, `https://`, `ftp://`, `www.`).

    A sentence's punctuation after a URL is not part of it, nor is a closing bracket that the URL
    does not open. An address of which only the beginning is there (`http://` alone) is none.
    """
    marks = np.zeros(len(characters), bool)
    for match in URL.finditer(characters):
        length = _length_without_trailing(match["rest"])
        if length:
            marks[match.start() : match.start("rest") + length] = True
    return marks


def _length_without_trailing(rest: str) -> int:
    """How much of `rest` is left when the punctuation that ends it is taken off."""
    surplus = rest.count(")") - rest.count("(")
    end = len(rest)
    while end:
        last = rest[end - 1]
        if last == ")" and surplus > 0:
            surplus -= 1
        elif last not in TRAILING:
            break
        end -= 1
    return end


PROPERTIES: dict[str, Property] = {
    found.name: found
    for found in (
        Property(
            "url",
            "The characters of web addresses: `http://`, `https://`, `ftp://`, `www.` to the end.",
            inside_url,
        ),
    )
}
