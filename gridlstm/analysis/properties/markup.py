"""XML tags and comments, as they are and as dumps of Wikipedia hold them: `&lt;ref&gt;`."""

import re
from collections.abc import Iterator
from functools import partial

from gridlstm.analysis.properties.property import Property
from gridlstm.analysis.properties.spans import Span, inside

# No part of a tag reaches over the next one's beginning, and nothing is tried twice, so that a
# text of tags that never end takes no longer than any other.
_TAG = re.compile(
    r"""
    (?: < | (?P<escaped> &lt; ) ) /? [^\W\d] [\w:.-]*+
    (?:
        \s++ [^\W\d] [\w:.-]*+
        (?: \s*+ = \s*+ (?:
              " (?: (?(escaped) (?! &lt; ) ) [^"<] )*+ "
            | ' (?: (?(escaped) (?! &lt; ) ) [^'<] )*+ '
            | &quot; (?: (?! &quot; | &lt; ) [^<] )*+ &quot;
            | (?: (?! &(?:lt|gt|quot); ) [^\s"'=<>`] )++
        ) )?+
    )*+
    \s*+ /? (?(escaped) &gt; | > )
    """,
    re.VERBOSE,
)
_COMMENT_ENDS = {"<!--": "-->", "&lt;!--": "--&gt;"}
_COMMENT_TOKENS = re.compile("|".join([*_COMMENT_ENDS, *_COMMENT_ENDS.values()]))


def tags(characters: str) -> Iterator[Span]:
    """The spans of start tags, end tags and empty elements, those in comments left out."""
    commented = inside(comments, characters)
    for match in _TAG.finditer(characters):
        if not commented[match.start()]:
            yield match.span()


def comments(characters: str) -> Iterator[Span]:
    """The spans of comments; one that is never closed is none."""
    start, closing = 0, None
    for token in _COMMENT_TOKENS.finditer(characters):
        if closing is None:
            start, closing = token.start(), _COMMENT_ENDS.get(token[0])
        elif token[0] == closing:
            yield start, token.end()
            closing = None


PROPERTIES = (
    Property(
        "xml-tag",
        "Inside an XML tag",
        'From `<` to `>` of tags such as `<ref name="a">` and `</ref>`, also where they are '
        "written `&lt;ref&gt;`; the text between two tags is outside.",
        "mark",
        partial(inside, tags),
    ),
    Property(
        "comment",
        "Inside an XML comment",
        "From `<!--` to `-->`, also where they are written `&lt;!--` and `--&gt;`.",
        "mark",
        partial(inside, comments),
    ),
)
