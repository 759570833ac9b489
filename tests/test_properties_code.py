"""Strings and comments of C and of Python, against the lexers of Pygments and of Python itself."""

import io
import tokenize
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from marked import examples, measured
from pygments.lexers import CLexer
from pygments.token import Comment, String

import gridlstm
from gridlstm.analysis.properties import PROPERTIES

MARKED = {
    "c-string": [
        (
            'f("a\\"b", \'c\', \'\\\'\', L"d", u8"e"); g = h;',
            "..######..###..####..####..#####.........",
        ),
        (  # not in comments; a missing mark ends with the line
            '/* "a" */ "b // c" // "d"⏎"e⏎f"',
            "..........########........##..#",
        ),
        (  # a backslash joins lines
            '"a\\⏎b" c \'d\' "e\\\\" f "\\',
            "######...###.#####...##",
        ),
        (  # apostrophes of prose and in numbers are none
            "#error don't and can't 1'000'000 'RIFF' 'toolong' '' '\\x41\\0'",
            ".................................######...........##.########",
        ),
    ],
    "c-comment": [
        (
            "a; /* b⏎ * c */ d; // e /* f⏎g */ h",
            "...############....#########.......",
        ),
        (
            '"/*" a \'"\' /* "b */ c "//" d // e\\⏎f⏎g',
            "...........########..........#######..",
        ),
        ("a /* b / * /", "..##########"),
        ("/*/ a */ b /**/ c", "########...####.."),
    ],
    "python-string": [
        (
            "a = 'b' + r\"c\\\"\" + Rb'd' + f'{e}' + u'' + in'f'",
            "....###...######...#####...######...###.....###",
        ),
        (
            '"""a "b" ""c\\"""⏎"""d # e""" # """',
            "####################..............",
        ),
        (  # a missing mark ends with the line, three missing ones with the text
            "'a⏎x = 1⏎'c\\⏎d' '''e⏎'",
            "##.......######.######",
        ),
        (  # a field with the string's own mark ends it
            "f'{a[\"b\"]}' f'{a['x']}' 'c\\",
            "###########.######.####.###",
        ),
    ],
    "python-comment": [
        (
            'a # b \'#\' c⏎d \'# e\' # f⏎"""⏎# g⏎"""# h',
            "..#########.........###............###",
        ),
    ],
}


@pytest.mark.parametrize("name, text, marks", examples(MARKED))
def test_texts_marked_by_hand(name, text, marks):
    assert measured(name, text) == marks


def by_pygments(characters: str) -> dict[str, np.ndarray]:
    """bool [character] for C; a comment to the end of the line is without the newline."""
    marks = {name: np.zeros(len(characters), bool) for name in ("c-string", "c-comment")}
    for start, kind, value in CLexer().get_tokens_unprocessed(characters):
        end = start + len(value.rstrip("\n"))
        if kind in String:
            marks["c-string"][start : start + len(value)] = True
        elif kind in Comment.Single or kind in Comment.Multiline:
            marks["c-comment"][start:end] = True
    return marks


C_PIECES = [
    "int x = 42;",
    "f(a, b);",
    "return y / 2 * z;",
    "{",
    "}",
    '"a \\" b"',
    '"/* a */ // b"',
    '"it\'s \\\n so"',
    'L"wide"',
    "'c'",
    "'\\''",
    "'\"'",
    "u'\\x41'",
    '/* it\'s "b" */',
    "/* c\n * d **/",
    '// e "f" \'g /* h',
    "/**/",
]


@given(st.lists(st.sampled_from(C_PIECES), max_size=8))
def test_c_is_read_as_by_pygments(pieces):
    characters = "\n".join([*pieces, ""])
    for name, expected in by_pygments(characters).items():
        np.testing.assert_array_equal(PROPERTIES[name].measure(characters), expected)


def by_python(source: str) -> dict[str, np.ndarray]:
    """bool [character] by Python's own tokens; an f-string is several from Python 3.12 on."""
    lines = source.splitlines(keepends=True)
    begins = np.cumsum([0, *map(len, lines)])
    marks = {name: np.zeros(len(source), bool) for name in ("python-string", "python-comment")}
    opened = []
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        start, end = (begins[row - 1] + column for row, column in (token.start, token.end))
        kind = tokenize.tok_name[token.type]
        if kind == "FSTRING_START":
            opened.append(start)
        elif kind == "FSTRING_END":
            marks["python-string"][opened.pop() : end] = True
        elif kind == "STRING":
            marks["python-string"][start:end] = True
        elif kind == "COMMENT":
            marks["python-comment"][start:end] = True
    return marks


SOURCES = sorted(Path(gridlstm.__file__).parent.rglob("*.py")) + [Path(__file__)]


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.stem)
def test_these_sources_are_read_as_by_python(path):
    source = path.read_text(encoding="utf-8")
    for name, expected in by_python(source).items():
        np.testing.assert_array_equal(PROPERTIES[name].measure(source), expected)


@pytest.mark.parametrize("name", ["c-string", "c-comment", "python-string", "python-comment"])
@given(st.text("\"'#/*\\\nrb a", max_size=30))
def test_lines_that_end_as_in_windows_are_read_the_same(name, characters):
    windows = characters.replace("\n", "\r\n")
    marks = PROPERTIES[name].measure(windows)
    kept = [index for index, character in enumerate(windows) if character != "\r"]
    np.testing.assert_array_equal(marks[kept], PROPERTIES[name].measure(characters))


# For each further line of this, the lexer of Pygments takes twice as long.
def test_a_c_program_that_stops_pygments():
    characters = "int " + "//\\\n" * 40 + "!"
    marks = PROPERTIES["c-comment"].measure(characters)
    assert not marks[:4].any() and marks[4:].all()
