import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gridlstm.analysis import properties
from gridlstm.analysis.properties import PROPERTIES, inside_url

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


def marks_as_text(marks):
    return "".join("#" if marked else "." for marked in marks)


@pytest.mark.parametrize("characters, marks", MARKED)
def test_urls_marked_by_hand(characters, marks):
    found = inside_url(characters)
    assert found.dtype == bool
    assert marks_as_text(found) == marks


@given(st.lists(st.sampled_from(MARKED), max_size=5))
def test_marks_do_not_reach_over_white_space(chosen):
    characters = "\n".join(text for text, _ in chosen)
    assert marks_as_text(inside_url(characters)) == ".".join(marks for _, marks in chosen)


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
    properties._length_without_trailing(counted)
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
    assert set(marks_as_text(marks[:-8])) == {mark}


def test_a_url_followed_by_very_much_punctuation():
    marks = inside_url("http://a" + ")." * 100_000)
    assert marks[:8].all() and not marks[8:].any()


def test_the_registry_names_its_properties():
    assert PROPERTIES["url"].mark is inside_url
    assert all(name == found.name and found.explanation for name, found in PROPERTIES.items())
