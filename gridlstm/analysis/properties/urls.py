"""Web addresses."""

import re
from collections.abc import Iterator

from gridlstm.analysis.properties.property import Property
from gridlstm.analysis.properties.spans import Span, inside
from gridlstm.array_types import BoolArray

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


def inside_url(characters: str) -> BoolArray:
    """bool [character]: whether it belongs to a URL (`http://`, `https://`, `ftp://`, `www.`).

    A sentence's punctuation after a URL is not part of it, nor is a closing bracket that the URL
    does not open. An address of which only the beginning is there (`http://` alone) is none.
    """
    return inside(urls, characters)


def urls(characters: str) -> Iterator[Span]:
    """The spans of URLs."""
    for match in URL.finditer(characters):
        length = _length_without_trailing(match["rest"])
        if length:
            yield match.start(), match.start("rest") + length


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


PROPERTIES = (
    Property(
        "url",
        "Inside a web address",
        "The characters of web addresses: `http://`, `https://`, `ftp://`, `www.` to the end.",
        "mark",
        inside_url,
    ),
)
