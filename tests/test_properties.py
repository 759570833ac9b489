"""URLs, and what holds for all properties."""

import dataclasses
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from marked import drawn

from gridlstm.analysis.properties import PROPERTIES, inside_url, urls

# Each text is followed by its marks, set by hand: # inside a URL, . outside.
MARKED = [
    (
        "see http://a.org now",
        "....############....",
    ),
    (
        "[http://example.org/a_b?c=d text]",
        ".##########################......",
    ),
    (
        "{{cite web|url=http://x.org|title=y}}",
        "...............############..........",
    ),
    (
        "{{dmoz|http://x.org}}",
        ".......############..",
    ),
    (
        "<ref>http://a.b/c</ref>",
        ".....############......",
    ),
    (
        "&lt;ref&gt;http://a.b/c&lt;/ref&gt;",
        "...........############............",
    ),
    (
        "http://a.b/?c=1&amp;d=2 e",
        "#######################..",
    ),
    (
        "at the end http://a.b",
        "...........##########",
    ),
    (
        "http://a.b\nhttp://c.d",
        "##########.##########",
    ),
    (
        "Go to www.a.org, or https://b.org.",
        "......#########.....#############.",
    ),
    (
        "(see http://a.org/b_(c))!",
        ".....##################..",
    ),
    (
        "(http://a.org), (www.b.org).",
        ".############....#########..",
    ),
    (
        'say "ftp://a.b" and “http://c.d”',
        ".....#########.......##########.",
    ),
    (
        "''http://a.b'' it's http://c.d/o'e",
        "..##########........##############",
    ),
    (
        "'http://a.b/'",
        ".###########.",
    ),
    (
        "HTTP://A.B/ and Www.C.de",
        "###########.....########",
    ),
    (
        "http:// alone, https://, and www. too",
        ".....................................",
    ),
    (
        "http://",
        ".......",
    ),
    (
        "awww.that is; _www.not but /www.is",
        "............................######",
    ),
    (
        "http://web.org/2005/http://a.b/c?d#e,f;g",
        "########################################",
    ),
    (
        "http://[x] http://... www.?! http:/a.b mailto:a@b.org",
        ".....................................................",
    ),
    (
        "||http://a.b||c&quot;http://d.e&quot;",
        "..##########.........##########......",
    ),
    (
        "ünï http://bücher.de/ß é",
        "....##################..",
    ),
    (
        "a\thttp://a.b\u00a0c http://d.e\u3000f",
        "..##########...##########..",
    ),
    (
        "http://a.b&nbsp;c http://d.e&amp;ndash;f",
        "##########........##########............",
    ),
    ("", ""),
]


@pytest.mark.parametrize("characters, marks", MARKED)
def test_urls_marked_by_hand(characters, marks):
    found = inside_url(characters)
    assert found.dtype == bool
    assert drawn(found) == marks


@given(st.lists(st.sampled_from(MARKED), max_size=5))
def test_marks_do_not_reach_over_white_space(chosen):
    characters = "\n".join(text for text, _ in chosen)
    assert drawn(inside_url(characters)) == ".".join(marks for _, marks in chosen)


@given(st.text(alphabet="htps:/w.a)('&;lg[ ", max_size=60))
def test_every_marked_run_is_a_url_by_itself(characters):
    edges = np.diff(inside_url(characters).astype(int), prepend=0, append=0)
    starts, ends = np.flatnonzero(edges == 1), np.flatnonzero(edges == -1)
    for start, end in zip(starts, ends, strict=True):
        run = characters[start:end]
        assert run.lower().startswith(("http://", "https://", "ftp://", "www."))
        assert not set(run) & set(" [") and "''" not in run
        assert inside_url(run).all()


class CountedString(str):
    """A string that counts how many of its characters are looked at."""

    looks = 0

    def __getitem__(self, index):
        self.looks += 1
        return super().__getitem__(index)

    def count(self, *arguments):
        self.looks += len(self)
        return super().count(*arguments)


@pytest.mark.parametrize("rest", [")" * 1000, "()" * 500, "." * 1000, "(" * 500 + ")" * 500])
def test_taking_off_punctuation_looks_at_each_character_a_few_times(rest):
    counted = CountedString(rest)
    urls._length_without_trailing(counted)
    assert counted.looks <= 3 * len(rest)


# Were any part of the search quadratic, these would take minutes each: 200,000 characters that
# begin URLs without end, end them without beginning, or nearly do.
@pytest.mark.parametrize(
    "part, mark",
    [
        ("www. ", "."),
        ("http:// ", "."),
        ("http://", "#"),
        ("http://a)", "#"),
        ("hhttp:/www", "."),
        ("w", "."),
        (")", "."),
        ("'", "."),
        ("&amp;", "."),
    ],
)
def test_long_texts_made_to_be_slow(part, mark):
    characters = part * (200_000 // len(part))
    marks = inside_url(characters)
    assert set(drawn(marks[:-8])) == {mark}


def test_a_url_followed_by_very_much_punctuation():
    marks = inside_url("http://a" + ")." * 100_000)
    assert marks[:8].all() and not marks[8:].any()


def test_the_registry_names_its_properties():
    assert PROPERTIES["url"].measure is inside_url
    for name, found in PROPERTIES.items():
        assert name == found.name and re.fullmatch("[a-z]+(-[a-z]+)*", name)
        assert found.title[0].isupper() and not found.title.endswith(".")
        assert found.explanation.endswith(".") and "\n" not in found.explanation
        with pytest.raises(dataclasses.FrozenInstanceError):
            found.name = "other"
    assert len({found.title for found in PROPERTIES.values()}) == len(PROPERTIES)


# Of all that means something to some property, with characters of two code units and halves.
ANY_TEXT = st.lists(
    st.sampled_from(
        ["[[", "]]", "[", "{{", "}}", "}", "<", ">", "/", "<!--", "-->", "&lt;", "&quot;", "a|b"]
        + ["(", ")", '"', "'", "''", "'''", "“", "”", "«", "»", "http://a.b", "12", ",", ".", "#"]
        + ["ABC", "d", " ", "\t", "\n", "\n\n", "\r\n", "\\", "/*", "*/", "//", "é", "😀", "\ud800"]
    ),
    max_size=40,
).map("".join)


@pytest.mark.parametrize("name", PROPERTIES)
@given(ANY_TEXT)
def test_each_character_gets_one_value(name, characters):
    found = PROPERTIES[name]
    measured = found.measure(characters)
    assert measured.shape == (len(characters),)
    assert measured.dtype == {"mark": bool, "number": np.float64}[found.kind]
    assert (measured >= 0).all() and (measured == measured.round()).all()


@pytest.mark.parametrize(
    "mark, number", [("template", "template-depth"), ("parentheses", "parenthesis-depth")]
)
@given(ANY_TEXT)
def test_what_is_inside_has_a_depth(mark, number, characters):
    inside = PROPERTIES[mark].measure(characters)
    np.testing.assert_array_equal(inside, PROPERTIES[number].measure(characters) > 0)


def alone_and_after(name: str, first: str, last: str, end: str) -> None:
    """Assert that a text's values are the same before and after another as they are alone."""
    measure = PROPERTIES[name].measure
    together = measure(first + end + last)
    np.testing.assert_array_equal(together[: len(first)], measure(first))
    np.testing.assert_array_equal(together[len(first + end) :], measure(last))


@pytest.mark.parametrize(
    "name",
    ["url", "italics", "bold", "number", "capitals", "line-position", "word-position"]
    + ["indentation"],
)
@given(ANY_TEXT, ANY_TEXT)
def test_a_new_line_begins_anew(name, first, last):
    alone_and_after(name, first, last, "\n")


@pytest.mark.parametrize(
    "name",
    ["wiki-link", "quotation", "parentheses", "parenthesis-depth", "paragraph-position"],
)
@given(ANY_TEXT, ANY_TEXT)
def test_a_blank_line_begins_anew(name, first, last):
    alone_and_after(name, first, last, "\n\n")


# Each 200,000 characters long, made to be slow for a search that tries something again from each
# place: then it would take minutes. Beside each stands what marks its middle has.
@pytest.mark.parametrize(
    "name, part, marks",
    [
        ("wiki-link", "[", "."),
        ("wiki-link", "[[a", "."),
        ("wiki-link", "[[a|", "."),
        ("wiki-link", "[[a]]", "#"),
        ("wiki-link", "]]", "."),
        ("template-depth", "{", "."),
        ("template-depth", "{{a", "."),
        ("template-depth", "{{a}}", "1"),
        ("template-depth", "}", "."),
        ("italics", "'", "."),
        ("italics", "''a", ".#"),
        ("bold", " '''a", ".#"),
        ("bold", "'''a\n", ".#"),
        ("xml-tag", "<", "."),
        ("xml-tag", "<a ", "."),
        ("xml-tag", "<a b=c", "."),
        ("xml-tag", '<a b="', "."),
        ("xml-tag", '<a b=\'" c="x\' d="', "."),
        ("xml-tag", "&lt;a ", "."),
        ("xml-tag", "&lt;a b=&quot;", "."),
        ("xml-tag", '&lt;a b=\'" c="x\' d="', "."),
        ("xml-tag", " a", "."),
        ("comment", "<!--", "."),
        ("comment", "&lt;!-- <!--", "."),
        ("comment", "-->", "."),
        ("comment", "<!---->", "#"),
        ("quotation", '"', "#"),
        ("quotation", "“", "."),
        ("quotation", "” ‘ „ » ›", ".#"),
        ("quotation", "&quot", "."),
        ("parenthesis-depth", "(", "."),
        ("parenthesis-depth", "()", "1"),
        ("parenthesis-depth", ")(", "1"),
        ("number", "1", "#"),
        ("number", "1e1x ", ".#"),
        ("number", "1,", "#"),
        ("number", "1\u00a0", ".#"),
        ("number", "a1.", "."),
        ("capitals", "A", "#"),
        ("capitals", "Ab", "."),
        ("indentation", "\n ", ".1"),
        ("paragraph-position", "\n ", ".1"),
        ("c-comment", "/*", ".#"),
        ("c-comment", "/* ", "#"),
        ("c-comment", "//\\\n", "#"),
        ("c-string", '"', "#"),
        ("c-string", "'\\", "."),
        ("c-string", "'\\xa", "."),
        ("c-string", "\n", "."),
        ("python-string", '"""', "#"),
        ("python-string", '"""\\', "#"),
        ("python-string", "rb", "."),
        ("python-comment", "#", "#"),
    ],
)
def test_other_long_texts_made_to_be_slow(name, part, marks):
    measured = PROPERTIES[name].measure(part * (200_000 // len(part)))
    assert len(measured) > 190_000
    assert set(drawn(measured[1_000:-1_000])) == set(marks)


def test_brackets_as_deep_as_they_are_many():
    depths = PROPERTIES["parenthesis-depth"].measure("(" * 100_000 + ")" * 100_000)
    rising = np.arange(1, 100_001)
    np.testing.assert_array_equal(depths, np.concatenate([rising, rising[::-1]]))
