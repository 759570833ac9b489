"""Which sign an index stands for, wherever it is said."""

import json
import pickle
import re
import string

import numpy as np
import pytest
import torch
from test_foreign_hostile import Model, _ml5, _saved

from gridlstm.importing.errors import ForeignModelError
from gridlstm.importing.reading import read_model
from gridlstm.importing.vocabularies import find_vocabulary, make_vocabulary, vocabulary_from_text


def model_file():
    torch.manual_seed(0)
    return ("model.pt", _saved(Model().state_dict()))


BESIDE = {
    "a list": ("v.json", b'["a","b","c","\\u2019","\\n"]'),
    "sign to index": ("v.json", b'{"a":0,"b":1,"c":2,"\\u2019":3,"\\n":4}'),
    "index to sign": ("v.json", b'{"4":"\\n","0":"a","1":"b","2":"c","3":"\\u2019"}'),
    "both in one": (
        "v.json",
        b'{"char_indices":{"a":0,"b":1,"c":2,"\\u2019":3,"\\n":4},'
        b'"indices_char":{"4":"\\n","0":"a","1":"b","2":"c","3":"\\u2019"},"length":40}',
    ),
    "a pickle": ("v.pkl", pickle.dumps({s: i for i, s in enumerate("abc\u2019\n")})),
    "an old pickle": ("v.pkl", pickle.dumps(("x", list("abc\u2019\n")), protocol=0)),
    "an array": ("v.pkl", pickle.dumps(np.array(list("abc\u2019\n")))),
}


@pytest.mark.parametrize("named", [True, False])
@pytest.mark.parametrize("what", BESIDE)
def test_beside_the_model(what, named):
    if named:
        model = read_model([model_file()], vocabulary=BESIDE[what])
    else:
        model = read_model([model_file(), BESIDE[what]])
    assert model.vocabulary.tokens == ("a", "b", "c", "\u2019", "\n")
    assert model.vocabulary.source == BESIDE[what][0] and model.vocabulary.several_bytes == 1
    assert not model.questions


def test_digits_may_be_signs():
    signs = {str(digit): index for index, digit in enumerate((7, 0, 3))}
    assert make_vocabulary(signs, 3, "x").tokens == ("7", "0", "3")
    assert make_vocabulary({index: sign for sign, index in signs.items()}, 3, "x").tokens == (
        "7",
        "0",
        "3",
    )


@pytest.mark.parametrize(
    ("text", "lowercase", "expected"),
    [
        ("cba\u2019ab\n", False, "\nabc\u2019"),
        ("CbA\u2019aB\n", True, "\nabc\u2019"),
        ("cba\u2019\r\n", False, "\nabc\u2019"),
    ],
)
def test_the_signs_of_a_training_text_are_sorted(text, lowercase, expected):
    model = read_model([model_file()], training_text=text, lowercase=lowercase)
    assert "".join(model.vocabulary.tokens) == expected
    assert model.vocabulary.source == "the training text"


def test_where_programs_order_by_frequency_it_is_said():
    files = [file for file in _ml5() if file[0] != "vocab.json"]
    model = read_model(files, training_text="edcba")
    assert model.vocabulary.tokens == tuple("abcde")
    assert any("by frequency" in note for note in model.notes)


def test_a_text_that_is_not_the_training_text():
    with pytest.raises(ForeignModelError, match="6 different characters and the model knows 5"):
        vocabulary_from_text("abcdef", 5)
    with pytest.raises(ForeignModelError, match="in lower case it would have as many"):
        vocabulary_from_text("abcdeABCDE", 5)


def test_a_vocabulary_that_lost_signs_is_named():
    """An official one of ml5 lacks u and U."""
    signs = [*string.ascii_letters, " "]
    listed = {sign: index for index, sign in enumerate(signs) if sign not in "uU"}
    tokens = make_vocabulary(listed, len(signs), "vocab.json")
    assert tokens.lost == (20, 46)
    (note,) = tokens.notes
    assert "2 of the model's 53 indices" in note and "it lacks u, U" in note
    assert tokens.encode("uwu").tokens.tolist() == [22]
    assert tokens.encode("uwu").skipped.tolist() == [True, False, True]


def test_signs_that_are_lost_are_told_to_the_user():
    files = dict(_ml5())
    files["vocab.json"] = json.dumps({"a": 0, "b": 1, "d": 3, "e": 4}).encode()
    model = read_model(list(files.items()))
    assert model.vocabulary.lost == (2,) and any("no sign for 1" in note for note in model.notes)


@pytest.mark.parametrize(
    ("raw", "why"),
    [
        ("abcd", "4 signs and the model knows 5"),
        ("abcda", "'a' twice, at 0 and 4"),
        ({"a": 0, "b": 0, "c": 1, "d": 2, "e": 3}, "two signs for index 0"),
        ({"a": 1, "b": 2, "c": 3, "d": 4, "e": 5}, "index that a model of 5"),
        (["the", "of", "and", "to", "a"], "several characters, such as 'the'"),
        (set("abcde"), "string or a list"),
        ([1, 2, 3, 4, 999], "from 0 to 255"),
        ([1.5, 2, 3, 4, 5], "from 0 to 255|no character"),
    ],
)
def test_what_does_not_fit(raw, why):
    with pytest.raises(ForeignModelError, match=re.escape(why) if "|" not in why else why):
        make_vocabulary(raw, 5, "x")


def test_a_file_without_a_vocabulary_is_told():
    with pytest.raises(ForeignModelError, match="has 7 entries, which does not fit the 5"):
        read_model([model_file()], vocabulary=("v.json", b'["a","b","c","d","e","f","g"]'))
    with pytest.raises(ForeignModelError, match="holds no vocabulary"):
        read_model([model_file()], vocabulary=("v.json", b'{"epochs": 20}'))


def test_special_tokens():
    tokens = make_vocabulary(["<pad>", "<s>", "<unk>", "a", "b"], 5, "x")
    assert (tokens.unknown, tokens.begin) == (2, 1)
    assert tokens.encode("abz<").tokens.tolist() == [1, 3, 4, 2, 2]


def test_bytes_by_number():
    tokens = make_vocabulary([10, 195, 169, 97, 98], 5, "x")
    assert tokens.of_bytes and tokens.encode("\u00e9a").tokens.tolist() == [1, 2, 3]


def test_sets_and_lists_of_numbers_are_no_vocabularies():
    assert find_vocabulary({"a": set("abcde"), "b": [1, 2, 3, 4, 5]}, 5, "x") is None
