"""Names and other text that is not the program's own, made safe to show."""

import re
import string
from html import unescape

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dashboard.words import verbatim, verbatim_in_chart

JOINER = "\u2060"


@given(st.text(string.printable + "wW.:/@", max_size=40))
def test_nothing_but_a_sign_that_is_not_seen_is_added(text):
    """And every sign of Markdown is escaped."""
    shown = verbatim(text)
    assert re.sub(r"\\([!-/:-@[-`{-~])", r"\1", shown).replace(JOINER, "") == " ".join(text.split())
    assert not re.search(r"(?<!\\)[!-/:-@[-`{-~]", re.sub(r"\\.", "", shown))
    assert unescape(verbatim_in_chart(text)) == text and "<" not in verbatim_in_chart(text)


def test_usual_names_are_only_escaped():
    for name in ("grid-6", "cooled--x.safetensors", "at 1:2", "x=>y", "wwwhat.txt", "a -b"):
        assert JOINER not in verbatim(name), name


MADE_OF_TEXT = {
    "www.example.com": "www|.example.com",
    "see WWW.example.com": "see WWW|.example.com",
    "https://example.com": "https:|//example.com",
    "me.2@example.com": "me.2|@example.com",
    ":smile:": ":|smile:",
    ":material_home:": ":|material_home:",
    "a :+1: b": "a :|+1: b",
    "a -> b": "a -|> b",
    "<->": "<|->",
    "--": "-|-",
    "a >= b": "a >|= b",
}


@pytest.mark.parametrize("text", MADE_OF_TEXT)
def test_what_streamlit_makes_of_text_without_its_escapes_is_parted(text):
    plain = re.sub(r"\\(.)", r"\1", verbatim(text))
    assert plain.replace(JOINER, "|") == MADE_OF_TEXT[text]
