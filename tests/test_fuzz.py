"""A fixed number of the hostile inputs of `tests/fuzz.py`, each kind from its first seed on; and
that such a test can fail."""

import random
import struct

import fuzz
import pytest
from safetensors.numpy import save

from gridlstm.errors import UserError

# As many of each as take a few seconds.
INPUTS = {
    "checkpoint": 150,
    "shards": 80,
    "state": 60,
    "curve": 150,
    "foreign": 60,
    "events": 60,
    "text": 150,
    "compressed": 40,
    "full disk": 12,
    "kill": 1,
}


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    return fuzz.Good(tmp_path_factory.mktemp("good"))


@pytest.mark.parametrize("kind", fuzz.KINDS)
def test_hostile_inputs_give_one_sentence_or_a_right_result(good, kind):
    refused = sum(fuzz.try_one(good, kind, seed) for seed in range(INPUTS[kind]))
    if kind in ("text", "full disk", "kill"):
        assert refused == 0  # any bytes are a text, and what a fuller disk ends in is looked into
    else:
        assert refused > 0  # so the inputs are bad ones


def test_every_kind_is_tried():
    assert INPUTS.keys() == fuzz.KINDS.keys()


# -- The fuzz test itself --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fault", "why"),
    [
        (lambda: fuzz._require(False, "weights"), "not right: weights"),
        (lambda: _raise(UserError("Two\nlines.")), "no clear sentence"),
        (lambda: _raise(UserError("no full stop")), "no clear sentence"),
        (lambda: _raise(UserError("x" * 600 + ".")), "no clear sentence"),
        (lambda: _raise(KeyError("decoder")), "decoder"),
        (lambda: bytearray(b"x") * 500_000_000, "the memory"),
        (lambda: sum(range(30_000_000)), "the time"),
    ],
    ids=["wrong", "two lines", "no sentence", "too long", "another error", "memory", "time"],
)
def test_what_is_wrong_is_found(good, monkeypatch, fault, why):
    monkeypatch.setattr(fuzz, "MAX_BYTES", 32_000_000)
    monkeypatch.setattr(fuzz, "MAX_SECONDS", 0.05 if why == "the time" else 60)
    monkeypatch.setitem(fuzz.KINDS, "text", lambda *_: fault())
    with pytest.raises((fuzz.FuzzError, KeyError), match=why):
        fuzz.try_one(good, "text", 0)


def _raise(error: Exception):
    raise error


def test_the_same_seed_makes_the_same_input():
    data = bytes(range(256)) * 8
    made = [fuzz.mutate(data, random.Random(seed)) for seed in (*range(100), *range(100))]
    assert made[:100] == made[100:]
    assert len(set(made)) > 90


def test_a_doubled_name_stands_in_the_header_twice():
    whole = save({"a": fuzz.np.zeros(1), "b": fuzz.np.zeros(1)}, {"k": "v"})
    (size,) = struct.unpack_from("<Q", whole)
    header = whole[8 : 8 + size]
    doubled = fuzz.doubled(header, random.Random(1))
    assert len(doubled) > len(header)
    assert doubled.count(b'"a"') + doubled.count(b'"k"') + doubled.count(b'"dtype"') >= 5
