"""Links, templates, italics, bold type, tags and comments."""

import re

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from marked import examples, measured

from gridlstm.analysis.properties import PROPERTIES

MARKED = {
    "wiki-link": [
        (
            "see [[Narmer]]s, [[Bronze Age#Near East|bronze]].",
            "....##########...###############################.",
        ),
        (  # a caption holds a link
            "[[Image:a.jpg|thumb|[[Giza]] at noon]] [[b]]",
            "######################################.#####",
        ),
        (  # links to a web address have one bracket
            "[http://a.org b] [http://c.org [[d]]]",
            "...............................#####.",
        ),
        (  # three brackets: the inner two
            "[[[a]]] and [[[b]] and [[c]]]",
            ".#####.......#####.....#####.",
        ),
        (  # only a caption holds links; never opened, never closed
            "[[a [[b]] c]] [[d, e]] f]] [[g",
            "....#####.....########........",
        ),
        (
            "[[a [[b]] c",
            "....#####..",
        ),
        (  # a link's target is on one line and not empty
            "[[]] [[|a]] [[a⏎b]] [[a|b⏎c]]",
            "....................#########",
        ),
        (  # no link goes on after a blank line
            "[[a|b⏎⏎c]] [[d]] ⏎ ⏎[[e]]",
            "...........#####....#####",
        ),
        (  # nested lists of a program
            "x = [[1, 2], [3, 4]]; y = a[b[0]]",
            ".................................",
        ),
        ("[[", ".."),
        ("", ""),
    ],
    "template": [
        (
            "{{as of|2009}} and {{cite|url={{a}}|b}}.",
            "##############.....####################.",
        ),
        (
            "{a} {| b |} }} {{c} {{ d }} {{e",
            "....................#######....",
        ),
        (
            "{{a⏎|b⏎⏎|c}}d",
            "############.",
        ),
    ],
    "template-depth": [
        (
            "{{a}} {{b|{{c|{{d}}}}|e}} f }}",
            "11111.1111222233333221111.....",
        ),
        (  # three braces are a parameter
            "{{{a}}} {{b|{{{c|{{d}}}}}}} {{{{{e}}}}}",
            "1111111.1111222223333322211.11222222211",
        ),
        (  # the last of the opening braces belong to the first of the closing ones
            "{{{a}} {{{{b}} c}}",
            ".11111.11222221111",
        ),
    ],
    "italics": [
        (
            "a ''b'' c, ''d'' '''e'''",
            "..#####....#####........",
        ),
        (  # the end of the line ends them
            "a ''b⏎c ''d'' ''⏎e",
            "..###...#####.##..",
        ),
        (
            "'''''a'' b''' c '''d ''e'''''",
            "########.............########",
        ),
        (
            "'''''a''' b'' c ''d '''e'''''",
            "#############...#############",
        ),
        (
            "'''''both''''' '' ⏎'''a'''''b''",
            "##############.###.....########",
        ),
        (  # four are an apostrophe and three, six are an apostrophe and five
            "''''a'''' ''''''b'''''' it's",
            "...........############.....",
        ),
        (  # an apostrophe before italics, not bold type
            "de l'''amour'' et '''b'''",
            ".....#########...........",
        ),
        (
            "'''a''' l'''b'' ''c''",
            "..........#####.#####",
        ),
    ],
    "bold": [
        (
            "a '''b''' c, '''d''' ''e'' '''",
            "..#######....#######.......###",
        ),
        (
            "a '''b⏎c '''d'''⏎'''⏎e",
            "..####...#######.###..",
        ),
        (
            "'''''a'' b''' c '''d ''e'''''",
            "#############...#############",
        ),
        (
            "'''''a''' b'' c ''d '''e'''''",
            "#########...........#########",
        ),
        (
            "''''a'''' ''''''b''''''",
            ".########..############",
        ),
        (
            "de l'''amour'' et '''b'''",
            "..................#######",
        ),
        (
            "'''a''' l'''b'' ''c''",
            "#######..............",
        ),
    ],
    "xml-tag": [
        (
            '<page>a<b c="d">e</b ><f/><g  h=i j />',
            "######.#########.#####################",
        ),
        (  # as a dump of Wikipedia holds them
            "a&lt;ref name=&quot;b c&quot;&gt;d&lt;/ref&gt; &lt;br/&gt;",
            ".################################.############.###########",
        ),
        (
            "a < b, c<d && e>f, <1>, <>, </>, <g, <h <i> j> &lt;k> <l&gt;",
            "........................................###.................",
        ),
        (
            "<a b='>' c=\">\"> <a b='<'> <a b c> <a b=c\"d>",
            "###############...........#######..........",
        ),
        (
            "<a⏎b=c> <a b = 'd'> <x:y-z.1 />",
            "#######.###########.###########",
        ),
        (  # comments and the like are no tags, nor are tags in comments
            "<!-- <a> --><b><!DOCTYPE c><?d?> <a <!-- > -->",
            "............###...............................",
        ),
    ],
    "comment": [
        (
            "a<!-- b -->c<!---->d-->e<!-- <!-- f -->-->",
            ".##########.#######.....###############...",
        ),
        (
            "a&lt;!-- b --&gt;c&lt;!-- --> d --&gt;<!-- --&gt; -->",
            ".################.###################################",
        ),
        (
            "<!-- a⏎⏎b --> <!- c -> <!-- d",
            "#############................",
        ),
    ],
}


@pytest.mark.parametrize("name, text, marks", examples(MARKED))
def test_texts_marked_by_hand(name, text, marks):
    assert measured(name, text) == marks


def test_a_unit_that_waits_for_the_second_bracket_is_seen_to_come_late():
    characters = "a [[b]] [c] [[d|e]], [f [[g]]"
    marks = PROPERTIES["wiki-link"].measure(characters)
    unit, inside = np.zeros(len(characters), bool), False
    for index in range(1, len(characters)):
        last_two = characters[index - 1 : index + 1]
        inside = inside or last_two == "[["
        unit[index] = inside
        inside = inside and last_two != "]]"
    assert not (unit & ~marks).any()
    late = np.flatnonzero(marks & ~unit)
    assert [characters[index : index + 3] for index in late] == ["[[b", "[[d", "[[g"]


# What so many apostrophes do in each state of MediaWiki's parser (`doQuotes`). The states' names
# say which elements are open, the inner one last.
AFTER = {
    2: {"": "i", "i": "", "b": "bi", "bi": "b", "ib": "b", "both": "b"},
    3: {"": "b", "b": "", "i": "ib", "ib": "i", "bi": "i", "both": "i"},
    5: {"": "both", "b": "i", "i": "b", "bi": "", "ib": "", "both": ""},
}


def states_in_mediawiki(line: str) -> list[str | None]:
    """MediaWiki's state at each character of a line, None at apostrophes that change it."""
    parts = re.split("(''+)", line)
    for index in range(1, len(parts), 2):
        surplus = 1 if len(parts[index]) == 4 else max(0, len(parts[index]) - 5)
        parts[index - 1] += "'" * surplus
        parts[index] = parts[index][surplus:]
    changed = one_bold_changed_by_mediawiki(parts)
    if changed is not None:
        parts[changed] = "''"
        parts[changed - 1] += "'"
    state, states = "", []
    for index, part in enumerate(parts):
        if index % 2:
            state = AFTER[len(part)][state]
        states += [None if index % 2 else state] * len(part)
    return states


def one_bold_changed_by_mediawiki(parts: list[str]) -> int | None:
    lengths = [len(part) for part in parts[1::2]]
    bolds, both = lengths.count(3), lengths.count(5)
    if (bolds + both) % 2 == 0 or (lengths.count(2) + both) % 2 == 0:
        return None
    first = {}
    for index in range(1, len(parts), 2):
        if len(parts[index]) == 3:
            text = parts[index - 1]
            word = "none" if text[-1:] == " " else "letter" if text[-2:-1] == " " else "long"
            first.setdefault(word, index)
    return next((first[word] for word in ("letter", "long", "none") if word in first), None)


@given(st.lists(st.sampled_from(["''", "'''", "'''''", "'", "a", "bc", " "]), max_size=14))
@example(["'''", " ", "'''", "a ", "'''", "b", "''"])
def test_italics_and_bold_type_are_those_of_mediawiki(pieces):
    line = "".join(pieces)
    states = states_in_mediawiki(line)
    italics, bold = (PROPERTIES[name].measure(line) for name in ("italics", "bold"))
    for index, state in enumerate(states):
        if state is not None:
            assert italics[index] == ("i" in state or state == "both")
            assert bold[index] == (state.startswith("b") or state == "ib")


def escaped(character: str) -> str:
    return {"<": "&lt;", ">": "&gt;", '"': "&quot;"}.get(character, character)


@pytest.mark.parametrize("name", ["xml-tag", "comment", "quotation"])
@given(
    st.lists(
        st.sampled_from(
            ["<", ">", "<a", "</b", "/>", " c=", '"', "'", "d", " ", "<!--", "-->", "\n", "=", "!"]
        ),
        max_size=25,
    )
)
def test_markup_is_the_same_where_it_is_escaped(name, pieces):
    plain = "".join(pieces)
    marks = PROPERTIES[name].measure(plain)
    lengths = [len(escaped(character)) for character in plain]
    found = PROPERTIES[name].measure("".join(map(escaped, plain)))
    np.testing.assert_array_equal(found, np.repeat(marks, lengths))
