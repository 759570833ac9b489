"""Texts as models with vocabularies of their own read them, and such vocabularies in files."""

import copy
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gridlstm.vocabulary import (
    BYTES,
    MAX_SPECIAL_TOKENS,
    Vocabulary,
    VocabularyError,
    vocabulary_from_json,
)

LETTERS = Vocabulary(("a", "b", "\u00e9", "\u2019", "\N{FOX FACE}", "\n"), "a test")


def facts(text) -> dict:
    return {name: np.asarray(value).tolist() for name, value in vars(text).items()}


# -- Texts -----------------------------------------------------------------------------------------


def test_characters_by_hand():
    assert facts(LETTERS.encode("b\u2019xa\N{FOX FACE}y")) == {
        "tokens": [1, 3, 0, 4],
        "character": [0, 1, 3, 4],
        "byte_counts": [1, 3, 1, 4],
        "last_token": [0, 1, 1, 2, 3, 3],
        "skipped": [False, False, True, False, False, True],
        "unknown": [False] * 6,
        "lowered": [False] * 6,
    }


def test_an_unknown_token_is_read_in_the_place_of_what_is_not_known():
    vocabulary = Vocabulary(("<unk>", "a", "b"), unknown=0)
    text = vocabulary.encode("xab\u00e9")
    assert text.tokens.tolist() == [0, 1, 2, 0]
    assert text.unknown.tolist() == [True, False, False, True] and not text.skipped.any()
    assert text.byte_counts.tolist() == [1, 1, 1, 2]
    assert text.note == (
        "Of this text's characters 50.0 % are unknown to the model and read as its token for such."
    )


def test_a_token_before_the_text_is_of_no_character():
    text = Vocabulary(("<s>", "a", "b"), begin=0).encode("xba")
    assert text.tokens.tolist() == [0, 2, 1] and text.character.tolist() == [-1, 1, 2]
    assert text.byte_counts.tolist() == [0, 1, 1] and text.last_token.tolist() == [0, 1, 2]
    np.testing.assert_array_equal(
        text.sum_by_character(np.array([5.0, 2.0, 3.0])), [np.nan, 2.0, 3.0]
    )


def test_capitals_are_read_as_small_letters_where_the_program_did_so():
    text = Vocabulary(("a", "\u00e9", "B"), lowercase=True).encode("aA\u00c9BbX")
    assert text.tokens.tolist() == [0, 0, 1, 2]
    assert text.lowered.tolist() == [False, True, True, False, False, False]
    assert text.skipped.tolist() == [False] * 4 + [True, True] and not text.is_exact
    assert Vocabulary(("a",)).encode("A").skipped.all()


def test_bytes_that_are_not_all_known():
    vocabulary = Vocabulary((b"a", b"\xc3", b"\xa9"))
    text = vocabulary.encode("a\u00e9\u00fca")
    assert text.tokens.tolist() == [0, 1, 2, 1, 0]
    assert text.last_token.tolist() == [0, 2, 3, 4]
    # Of the third character one byte of two is read.
    assert text.skipped.tolist() == [False, False, True, False]


@given(st.text(alphabet="a\u00e9\u2019\N{FOX FACE}\n\0z\U0010ffff", max_size=40))
def test_all_bytes_are_utf8_as_it_is(characters):
    text, data = BYTES.encode(characters), characters.encode()
    assert text.tokens.tolist() == list(data) and BYTES.decode(text.tokens) == characters
    assert text.is_exact and text.note is None and text.characters == len(characters)
    sizes = [len(character.encode()) for character in characters]
    assert text.last_token.tolist() == (np.cumsum(sizes) - 1).tolist()
    assert text.byte_counts.tolist() == [1] * len(data)
    of = [n for n, size in enumerate(sizes) for _ in range(size)]
    assert text.character.tolist() == of
    assert facts(BYTES.encode(data)) == facts(text)


@given(
    st.text(alphabet="ab\u00e9\u2019\n\N{FOX FACE}xyZ\u00e4", max_size=40),
    st.sampled_from([None, 0, 5]),
    st.sampled_from([None, 1]),
)
def test_every_character_is_read_or_skipped(characters, unknown, begin):
    vocabulary = Vocabulary(LETTERS.tokens, unknown=unknown, begin=begin)
    text = vocabulary.encode(characters)
    own = text.character[text.character >= 0]
    assert sorted({*own.tolist(), *np.flatnonzero(text.skipped).tolist()}) == list(
        range(len(characters))
    )
    assert not set(own.tolist()) & set(np.flatnonzero(text.skipped).tolist())
    known = "".join(c for c in characters if c in LETTERS.index)
    if unknown is None:
        assert vocabulary.decode(text.tokens[len(text) - len(own) :]) == known
        assert text.byte_counts.sum() == len(known.encode())
    for n, at in enumerate(text.last_token.tolist()):
        # The position stands for the latest character read so far, where there is one.
        before = own[own <= n]
        expected = len(before) - 1 + (begin is not None)
        assert at == max(expected, 0)
    if len(text):
        assert text.last_token.max(initial=0) < len(text)


def test_bytes_that_are_no_utf8_are_characters_of_their_own_kind():
    text = LETTERS.encode(b"a\xffb")
    assert text.tokens.tolist() == [0, 1] and text.skipped.tolist() == [False, True, False]
    assert BYTES.encode(b"\xa9\xff\x80").last_token.tolist() == [0, 2]


def test_nothing_at_all():
    for vocabulary in (LETTERS, BYTES):
        for text in (vocabulary.encode(""), vocabulary.encode(b"")):
            assert len(text) == text.characters == 0 and text.is_exact


def test_values_of_another_length_are_refused():
    with pytest.raises(ValueError, match="2 tokens"):
        LETTERS.encode("ab").sum_by_character(np.zeros(3))


# -- What a vocabulary says ------------------------------------------------------------------------


def test_tokens_that_a_text_can_hold():
    vocabulary = Vocabulary(("<pad>", "a", None, "\u2019"))
    assert vocabulary.writable.tolist() == [False, True, False, True]
    assert [vocabulary.bytes_of(n) for n in range(4)] == [b"", b"a", b"", b"\xe2\x80\x99"]
    assert vocabulary.decode([1, 0, 3, 2, 1]) == "a\u2019a"


def test_labels():
    vocabulary = Vocabulary(("a", " ", "\n", "\u2019", "\u00a0", "\u200b", "<pad>", None, "\x01"))
    labels = [vocabulary.label(n) for n in range(len(vocabulary))]
    assert labels[:4] == ["a", "space", "new line", "\u2019"]
    assert labels[4:] == ["U+00A0", "U+200B", "<pad>", "lost sign 7", "byte 01"]
    assert (BYTES.label(65), BYTES.label(200)) == ("A", "byte C8")


@pytest.mark.parametrize(
    ("tokens", "title"),
    [
        (BYTES.tokens, "256 bytes"),
        (("a", "b"), "2 characters"),
        (("a", "\u00e9", "\u2019"), "3 characters, of which 2 need several bytes"),
        (("a", "\u00e9"), "2 characters, of which 1 needs several bytes"),
        (("a", "<s>", None), "1 character, 1 special token, 1 index whose sign is lost"),
    ],
)
def test_a_vocabulary_in_words(tokens, title):
    assert Vocabulary(tokens).title == title


# -- As JSON ---------------------------------------------------------------------------------------

GOOD = [
    LETTERS,
    BYTES,
    Vocabulary((b"a", b"\xff", None, "<unk>"), "x", unknown=3),
    Vocabulary(("<s>", "a", "\u2019"), begin=0, lowercase=True),
]


@pytest.mark.parametrize("vocabulary", GOOD)
def test_what_is_written_is_read(vocabulary):
    read = vocabulary_from_json(json.loads(json.dumps(vocabulary.to_json())))
    assert read == vocabulary and read.source == vocabulary.source
    assert hash(read) == hash(vocabulary)


@pytest.mark.parametrize(
    ("place", "value"),
    [
        ("tokens", []),
        ("tokens", "abc"),
        ("tokens", {"a": 0}),
        ("tokens", ["a"] * 2),
        ("tokens", ["a", 97]),
        ("tokens", ["a", True]),
        ("tokens", ["a", 256]),
        ("tokens", [-1]),
        ("tokens", [1.0]),
        ("tokens", ["a", ""]),
        ("tokens", ["a", "\ud800"]),
        ("tokens", ["a", ["b"]]),
        ("tokens", ["a", "x" * 25]),
        ("tokens", ["<s>", "<pad>"]),
        ("tokens", [None, None]),
        ("tokens", ["a", *(f"<{n}>" for n in range(MAX_SPECIAL_TOKENS + 1))]),
        ("tokens", list(map(chr, range(0xE000, 0xE000 + 6000))) * 11),
        ("unknown", 6),
        ("unknown", -1),
        ("unknown", True),
        ("unknown", "a"),
        ("begin", 1.0),
        ("begin", [0]),
        ("lowercase", 1),
        ("lowercase", None),
        ("source", None),
        ("source", "x" * 201),
        ("source", "\udfff"),
        ("more", 1),
    ],
    ids=lambda value: str(value)[:24].encode("ascii", "replace").decode(),
)
def test_what_is_no_vocabulary_is_refused(place, value):
    document = copy.deepcopy(LETTERS.to_json())
    document[place] = value
    with pytest.raises(VocabularyError, match=r"^[A-Z].{,150}\.$"):
        vocabulary_from_json(document)


@pytest.mark.parametrize("document", [None, [], "abc", 3, {}, {"tokens": ["a"]}])
def test_what_is_no_document_of_one_is_refused(document):
    with pytest.raises(VocabularyError):
        vocabulary_from_json(document)
