"""All properties by name."""

import re
from functools import partial

from gridlstm.analysis.properties import code, lines, markup, prose, urls, wiki, words
from gridlstm.analysis.properties.own import from_span, own_pattern
from gridlstm.analysis.properties.property import Property, PropertyError
from gridlstm.array_types import NumberArray

PROPERTIES: dict[str, Property] = {
    found.name: found
    for module in (urls, wiki, markup, prose, words, lines, code)
    for found in module.PROPERTIES
}
PATTERN = "pattern:"
SPAN = re.compile(r"span:(\d{1,9})-(\d{1,9})", re.ASCII)


def property_named(name: str) -> Property:
    r"""The property of that name: one of `PROPERTIES`, or one that a user states.

    `pattern:\d+px` is a regular expression (see `own_pattern`); `span:120-140` are the characters
    120, …, 139 of the text. PropertyError if it is none of these.
    """
    if name in PROPERTIES:
        return PROPERTIES[name]
    if name.startswith(PATTERN):
        pattern = name.removeprefix(PATTERN)
        return Property(
            name,
            "Inside a match of the pattern",
            "The characters that your regular expression matches.",
            "mark",
            partial(own_pattern, pattern),
        )
    if span := SPAN.fullmatch(name):
        start, end = int(span[1]), int(span[2])
        return Property(
            name,
            "Inside the selection",
            f"The characters from {start:,} to before {end:,}, counted from 0.",
            "mark",
            partial(from_span, start, end),
        )
    raise PropertyError(
        f"There is no such property; there are {', '.join(PROPERTIES)}, `pattern:` with a regular "
        "expression, and `span:` with the first character and the one after the last, as in "
        "`span:120-140`."
    )


def measure_named(name: str, characters: str) -> NumberArray:
    """What the property of that name gives for a text: bool or float64 [character].

    PropertyError if there is none (see `property_named`), or if it is the same at all characters,
    so that no unit can be told by it.
    """
    found = property_named(name)
    measured = found.measure(characters)
    if not len(measured):
        raise PropertyError("The text is empty.")
    if (measured == measured[0]).all():
        if found.kind == "number":
            what = f"is {measured[0]:g} at every character"
        else:
            what = f"holds for {'every' if measured[0] else 'no'} character"
        raise PropertyError(
            f"The property “{found.title}” {what} of this text, so it tells nothing apart."
        )
    return measured
