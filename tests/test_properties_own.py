"""What a user states: a pattern, a selection, the name of a property."""

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from marked import drawn, written

from gridlstm.analysis.properties import (
    PROPERTIES,
    PropertyError,
    from_span,
    measure_named,
    own_pattern,
    property_named,
)
from gridlstm.errors import UserError


@pytest.mark.parametrize(
    "pattern, text, marks",
    [
        (
            r"\d+px",
            "1px 22px px 3em",
            "###.####.......",
        ),
        (  # ^ and $ at each line; the whole match, whatever its groups
            "^(a)b?$",
            "a⏎ab⏎abc⏎ a⏎a",
            "#.##........#",
        ),
        (
            "(?i)é|中",
            "É é e\u0301 中",
            "#.#....#",
        ),
        (  # nothing is marked where nothing is matched
            "a*",
            "baab",
            ".##.",
        ),
    ],
)
def test_matches_are_marked(pattern, text, marks):
    found = own_pattern(pattern, written(text))
    assert found.dtype == bool
    assert drawn(found) == marks


@given(st.sampled_from(["a+", "ab|ba", "[^a]", "(a)(b)*", r"b\b"]), st.text("ab ", max_size=30))
def test_marks_are_those_of_another_engine(pattern, characters):
    expected = np.zeros(len(characters), bool)
    for match in re.finditer(pattern, characters):
        expected[match.start() : match.end()] = True
    if expected.any():
        np.testing.assert_array_equal(own_pattern(pattern, characters), expected)
    else:
        with pytest.raises(PropertyError, match="matches no character"):
            own_pattern(pattern, characters)


def is_one_sentence(message: str) -> bool:
    return message[0].isupper() and message.endswith(".") and "\n" not in message


@pytest.mark.parametrize(
    "pattern, reason",
    [
        ("(a", r"not understood: missing \) \(at its character 3\)"),
        ("*", "not understood: nothing to repeat"),
        ("(?<=a", "not understood"),
        (r"\p{Nonsense}", "not understood: unknown property"),
        ("(" * 490 + ")" * 490, "not understood: it is nested too deeply"),
        ("a" * 1001, "may have 1,000 characters; this one has 1,001"),
        ("x", "matches no character"),
        ("", "matches no character"),
        ("$", "matches no character"),
    ],
)
def test_a_pattern_that_does_not_work_is_refused_in_one_sentence(pattern, reason):
    with pytest.raises(UserError, match=reason) as refusal:
        own_pattern(pattern, "aaa\nbbb")
    assert isinstance(refusal.value, PropertyError)
    assert is_one_sentence(str(refusal.value))


@pytest.mark.parametrize("pattern", ["(?:a|ab?b?b)*[^ab]", r"(\w+)+\d\1", "(?b)(?:abcdefgh){e<=7}"])
def test_a_pattern_that_runs_too_long_is_stopped(pattern):
    # Without the limit each takes longer than anybody lives, or nearly.
    with pytest.raises(PropertyError, match=r"takes more than 0\.05 s"):
        own_pattern(pattern, "ab" * 10_000, seconds=0.05)


def test_a_selection_is_marked():
    assert drawn(from_span(2, 5, "abcdefg")) == "..###.."
    assert drawn(from_span(0, 1, "a")) == "#"


@pytest.mark.parametrize("start, end", [(-1, 2), (2, 2), (3, 2), (0, 8), (7, 8)])
def test_a_selection_that_the_text_does_not_have_is_refused(start, end):
    with pytest.raises(PropertyError, match="in a text of 7") as refusal:
        from_span(start, end, "abcdefg")
    assert is_one_sentence(str(refusal.value))


def test_names_lead_to_properties():
    assert property_named("wiki-link") is PROPERTIES["wiki-link"]
    text = "see http://a.org (now)"
    np.testing.assert_array_equal(measure_named("url", text), PROPERTIES["url"].measure(text))
    assert drawn(measure_named("pattern:o.", text)) == ".............##....##."
    assert drawn(measure_named("pattern:^s", text)) == "#" + "." * 21
    assert drawn(measure_named("span:4-16", text)) == "....############......"
    assert measure_named("line-position", text).dtype == np.float64


@pytest.mark.parametrize("name", ["pattern:a|b", "span:3-7"])
def test_a_property_of_the_users_own_describes_itself(name):
    found = property_named(name)
    assert found.name == name and found.kind == "mark"
    assert found.title and is_one_sentence(found.explanation)


@pytest.mark.parametrize(
    "name, text, reason",
    [
        ("wikilink", "a", "no such property; there are url, wiki-link, "),
        ("", "a", "no such property"),
        ("span:3", "abcd", "no such property"),
        ("span:-1-3", "abcd", "no such property"),
        ("span:1-9", "abcd", "cannot be selected in a text of 4"),
        ("pattern:(", "abcd", "not understood"),
        ("url", "no address", "“Inside a web address” holds for no character"),
        ("url", "http://a.org", "“Inside a web address” holds for every character"),
        ("pattern:.", "abc", "“Inside a match of the pattern” holds for every character"),
        ("template-depth", "a {b}", "“Depth of templates” is 0 at every character"),
        ("indentation", "ab\ncd", "is 0 at every character"),
        ("url", "", "The text is empty"),
        ("line-position", "", "The text is empty"),
    ],
)
def test_what_tells_nothing_apart_is_refused_in_one_sentence(name, text, reason):
    with pytest.raises(PropertyError, match=reason) as refusal:
        measure_named(name, text)
    assert is_one_sentence(str(refusal.value))
