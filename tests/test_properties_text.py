"""Quotations, parentheses, numbers, capitals, and where in its line a character stands."""

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from marked import examples, measured

from gridlstm.analysis.properties import PROPERTIES

MARKED = {
    "quotation": [
        (
            'He said "no" and "it\'s", then left.',
            "........####.....######............",
        ),
        (
            "“a ‘b’ c” d ‘it’s e’ f don’t «g» ‹h› i",
            "#########...########.........###.###..",
        ),
        (  # German and French, both ways round
            "„a“ b „c” ‚d‘ »e« ›f‹ « g » “h”",
            "###...###.###.###.###.#####.###",
        ),
        (
            "彼は「はい『a』」と 他说“好”吧",
            "..#######....###.",
        ),
        (
            'say &quot;a "b" c&quot; d&quot; "e&quot;" "',
            "....###################.........#########..",
        ),
        (  # after a letter or a digit nothing opens: inches, apostrophes
            "a 12\" \"LP\" ’tis the dogs’ don't rock 'n' roll' O’Hara’s ‘okina",
            "......####....................................................",
        ),
        (  # not over a blank line
            '"a⏎b" "c⏎⏎d "e" “f⏎ ⏎” «g⏎→⏎h»',
            "#####.......###...............",
        ),
        (  # one kind of mark does not upset another
            '“a "b" c ( "d" «e "f"',
            "...###.....###....###",
        ),
        (
            "“a “b” c” “d “e” f",
            "#########....###..",
        ),
        (
            '"a"b"c" "" "',
            "###.....##..",
        ),
    ],
    "parentheses": [
        (
            "a (b) c) d (e (f) g :-) ((h)) (i",
            "..###......############.#####...",
        ),
        (
            "(a⏎b) (c⏎⏎d) (e) ⏎ ⏎f)",
            "#####........###......",
        ),
    ],
    "parenthesis-depth": [
        (
            "(a (b) ((c)) d) e (f (g)) (h (i)",
            "111222123332111...1112221....111",
        ),
    ],
    "number": [
        (
            "in 1990, 1,234,567.89 and 3.14, 2.",
            "...####..############.....####..#.",
        ),
        (
            "1990s, 5th, 10km; b2b, H2O, _5, v1.2 MP3,5",
            "####...#....##............................",
        ),
        (
            "2b2 -7 1990-95 192.168.0.1 1_000 1..2 .5",
            "#....#.####.##.###########.#####.#..#..#",
        ),
        (  # spaces that do not break join thousands
            "1\u00a0234\u202f567 4\u00a01990 1 234",
            "#########.#.####.#.###",
        ),
        (
            "6.02e23 1e-9 1e5x 0x1F 0xg 2e",
            "#######.####.#....####.#...#.",
        ),
        (
            "१२.५ ٣٤ x² ½ é5 e\u03015",
            "####.##............",
        ),
        ("7", "#"),
    ],
    "capitals": [
        (
            "NASA and the USA's A4, I, PhD, iOS, HTML5",
            "####.........###....................#####",
        ),
        (
            "MAX_SIZE A_B _AB __ U.S. McDONALD X11 DON'T",
            "########.###.###......................###..",
        ),
        (
            "ÉTÉ E\u0301TE\u0301 ПРИВЕТ Привет ΑΒΓ STRAßE 中文 ǅA",
            "###.#####.######........###.............",
        ),
    ],
    "line-position": [
        (
            "abc⏎d⏎⏎e",
            "123.1..1",
        ),
        ("⏎ab→", ".123"),
        ("", ""),
    ],
    "paragraph-position": [
        (
            "ab⏎cd⏎⏎e⏎ ⏎⏎f⏎",
            "123456.123..12",
        ),
        ("⏎→⏎a", ".1.1"),
    ],
    "word-position": [
        (
            "ab c_1, d'e⏎fgh e\u0301a",
            "12.123..1.1.123.123",
        ),
    ],
    "indentation": [
        (
            "a⏎  b c⏎    d⏎e",
            "..12222.12344..",
        ),
        (  # a tab reaches to the next multiple of 8
            "→a⏎   →b⏎ →c ",
            "88.12388.1888",
        ),
        ("  ", "12"),
    ],
}


@pytest.mark.parametrize("name, text, marks", examples(MARKED))
def test_texts_marked_by_hand(name, text, marks):
    assert measured(name, text) == marks


def test_two_tabs_and_a_space_are_seventeen_columns():
    assert list(PROPERTIES["indentation"].measure("\t\t x")) == [8, 16, 17, 17]


@given(st.text("()ab\n \t", max_size=40))
def test_parentheses_are_those_left_when_the_inner_ones_are_taken_off(characters):
    expected = np.zeros(len(characters))
    # What lies between two blank lines, each of which ends with the newline after its spaces.
    for paragraph in re.finditer(r"(?:(?!^[ \t]*\n).|(?!^[ \t]*\n)\n)+", characters, re.MULTILINE):
        left = paragraph[0]
        while pair := re.search(r"\([^()]*\)", left):
            start, end = pair.span()
            expected[paragraph.start() + start : paragraph.start() + end] += 1
            left = f"{left[:start]}|{left[start + 1 : end - 1]}|{left[end:]}"
    np.testing.assert_array_equal(PROPERTIES["parenthesis-depth"].measure(characters), expected)


@given(st.text("ab _1\n\r\t é中", max_size=40))
def test_positions_and_indentation_are_counted_one_by_one(characters):
    counts = {"line-position": [], "paragraph-position": [], "word-position": []}
    columns, line, paragraph, word, column = [], "", 0, 0, 0
    for character in characters:
        paragraph += 1
        if character == "\n":
            paragraph = paragraph if line.strip() else 0
            line, column = "", 0
        else:
            if not line.strip(" \t") and character in " \t":
                column = (column // 8 + 1) * 8 if character == "\t" else column + 1
            line += character
        word = word + 1 if character.isalnum() or character == "_" else 0
        for name, count in zip(counts, (len(line), paragraph, word), strict=True):
            counts[name].append(count)
        columns.append(column)
    for name, expected in {**counts, "indentation": columns}.items():
        np.testing.assert_array_equal(PROPERTIES[name].measure(characters), expected)


@given(st.lists(st.from_regex(r"[1-9]\d{0,2}(,\d{3}){0,2}(\.\d+)?", fullmatch=True), max_size=5))
def test_numbers_written_as_in_english_are_inside_and_nothing_else(numbers):
    characters = " a ".join(numbers)
    marks = PROPERTIES["number"].measure(characters)
    np.testing.assert_array_equal(marks, [character not in " a" for character in characters])
