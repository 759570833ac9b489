"""Models of other programs against the very modules that they were made of."""

import string

import numpy as np
import pytest
import torch
from torch import nn

from gridlstm.checkpoint import load_model
from gridlstm.corpus import read_corpus
from gridlstm.importing import ForeignModelError, import_torch, save_model
from gridlstm.trace import trace

LETTERS = string.ascii_lowercase[:9]
TEXT = "abcabcihgfedcbaabc" * 3
UNITS = 12


def modules(
    kind=nn.LSTM,
    layers=2,
    numbers=5,
    alphabet=LETTERS,
    bias=True,
    units=UNITS,
    double=False,
    **more,
):
    """A model as another program has it; without `numbers` it reads one-hot vectors."""
    torch.manual_seed(3)
    embedding = nn.Embedding(len(alphabet), numbers) if numbers else None
    inputs = numbers or len(alphabet)
    recurrent = kind(inputs, units, layers, bias=bias, **more)
    decoder = nn.Linear(units, len(alphabet), bias=bias)
    for parameter in (*recurrent.parameters(), *decoder.parameters()):
        nn.init.normal_(parameter, std=0.4)
    if double:
        for module in filter(None, (embedding, recurrent, decoder)):
            module.double()
    return embedding, recurrent, decoder


@torch.no_grad()
def probabilities(embedding, recurrent, decoder, alphabet, text: str) -> torch.Tensor:
    """What the model itself expects after each character: [position, index]."""
    read = torch.tensor([alphabet.index(character) for character in text])
    vectors = embedding(read) if embedding else torch.eye(len(alphabet))[read]
    return decoder(recurrent(vectors[:, None])[0][:, 0]).softmax(-1)


SHAPES = {
    "narrow embedding": {},
    "as wide as the units": {"numbers": UNITS},
    "wider than the units": {"numbers": UNITS + 7},
    "one-hot": {"numbers": 0},
    "more one-hot inputs than units": {"numbers": 0, "units": 4},
    "more numbers and characters than units": {"units": 4},
    "without biases": {"bias": False},
    "one layer, batch first": {"layers": 1, "batch_first": True},
    "dropout": {"dropout": 0.3},
    "in double": {"double": True},
}


@pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU, nn.RNN])
@pytest.mark.parametrize("shape", SHAPES)
def test_an_imported_model_expects_what_its_modules_do(kind, shape):
    parts = modules(kind, **SHAPES[shape])
    model = import_torch(*parts, LETTERS)
    for module in filter(None, parts):
        module.eval().float()
    parts[1].batch_first = False  # as `probabilities` lays out what is read
    expected = probabilities(*parts, LETTERS, TEXT)
    found = trace(model, TEXT.encode())
    known = found.next_token[:, list(LETTERS.encode())]
    np.testing.assert_allclose(known, expected, atol=6e-4)  # float16
    losses = -np.log([row[LETTERS.index(c)] for row, c in zip(expected, TEXT[1:], strict=False)])
    np.testing.assert_allclose(found.loss[1:], losses, atol=1e-5)


def test_cells_are_those_of_the_module():
    embedding, recurrent, decoder = modules(layers=3)
    model = import_torch(embedding, recurrent, decoder, LETTERS)
    with torch.no_grad():
        read = torch.tensor([LETTERS.index(character) for character in TEXT])
        _, (hidden, cells) = recurrent(embedding(read)[:, None])
    seen = trace(model, TEXT.encode(), dtype=np.float32)
    np.testing.assert_allclose(seen.values["time.cell"][:, -1], cells[:, 0], atol=1e-5)
    np.testing.assert_allclose(seen.values["time.hidden"][:, -1], hidden[:, 0], atol=1e-5)


def test_what_no_byte_stands_for_is_left_out_of_what_is_expected():
    alphabet = [*LETTERS[:4], None, *LETTERS[4:], None]
    parts = modules(alphabet=alphabet)
    expected = probabilities(*parts, alphabet, TEXT)
    expected = expected[:, [index for index, sign in enumerate(alphabet) if sign]]
    expected /= expected.sum(1, keepdim=True)
    with pytest.warns(UserWarning, match="Of the 11 signs of the alphabet 18.2% are left out"):
        found = trace(import_torch(*parts, alphabet), TEXT.encode()).next_token
    np.testing.assert_allclose(found[:, list(LETTERS.encode())], expected, atol=6e-4)


def test_bytes_by_their_numbers_and_characters_are_the_same():
    parts = modules(alphabet=LETTERS)
    of_characters, of_numbers = (import_torch(*parts, a) for a in (LETTERS, LETTERS.encode()))
    for name, tensor in of_characters.to_tensors().items():
        assert torch.equal(tensor, of_numbers.to_tensors()[name]), name


def test_an_unknown_byte_costs_much_but_not_endlessly():
    losses = trace(import_torch(*modules(), LETTERS), b"abcX\xffabc").loss
    assert (losses[[3, 4]] > 30).all() and np.isfinite(losses[1:]).all()
    assert (losses[[1, 2, 6, 7]] < 10).all()


class Subclass(nn.LSTM):
    """What may compute anything: here it does not, but nothing tells that."""


@pytest.mark.parametrize(
    ("parts", "alphabet", "told"),
    [
        (modules(), "ab", "indices of the embedding are 9; they should be 2"),
        (modules(numbers=0), "ab", "outputs of the decoder are 9; they should be 2"),
        (modules(), [*LETTERS[1:], "é"], "'é', which is not one byte"),
        (modules(), [*LETTERS[1:], ""], "'', which is not one byte"),
        (modules(), [*LETTERS[1:], "\ud800"], "which is not one byte"),
        (modules(), [*LETTERS[1:], 256], "256, which is not one byte"),
        (modules(), [*LETTERS[1:], 97.0], "97.0, which is not one byte"),
        (modules(), dict(enumerate(LETTERS)), "a string or a list"),
        (modules(), set(LETTERS), "a string or a list"),
        (modules(), None, "a string or a list"),
        ((nn.EmbeddingBag(9, 5), *modules()[1:]), LETTERS, "must be a torch.nn.Embedding itself"),
        ((nn.Embedding(9, 5, max_norm=1), *modules()[1:]), LETTERS, "without max_norm"),
        ((nn.Embedding(9, 5, max_norm=0), *modules()[1:]), LETTERS, "without max_norm"),
        ((*modules()[:2], nn.Sequential(nn.Linear(UNITS, 9))), LETTERS, "decoder must be a torch"),
        (modules(), [*LETTERS[1:], "b"], "'b' twice"),
        (modules(), [None] * 9, "alphabet is empty"),
        (modules(), [*"abcd", *[None] * 5], "9 signs of the alphabet 55.6% are unknown"),
        (modules(nonlinearity="relu", kind=nn.RNN), LETTERS, "tanh, not relu"),
        (modules(proj_size=3), LETTERS, "no projections"),
        (modules(bidirectional=True), LETTERS, "reads in one direction"),
        ((None, Subclass(9, 9), nn.Linear(9, 9)), LETTERS, "not a test_importing.Subclass"),
        ((None, nn.Linear(9, 9), nn.Linear(9, 9)), LETTERS, "not a torch.nn.modules.linear.Linear"),
        ((None, None, nn.Linear(9, 9)), LETTERS, "not a builtins.NoneType"),
    ],
)
def test_what_cannot_be_taken_is_told_in_one_sentence(parts, alphabet, told):
    with pytest.raises(ForeignModelError, match=told):
        import_torch(*parts, alphabet)


def test_what_the_pages_could_not_read_is_not_saved(tmp_path):
    (tmp_path / "letters.txt").write_text(TEXT * 10)
    corpus = read_corpus(tmp_path / "letters.txt", 0.9)
    model = import_torch(*modules(), LETTERS)
    with pytest.raises(ForeignModelError, match="NAME.safetensors, not mine.pt"):
        save_model(tmp_path / "mine.pt", model, corpus, "a test")
    model.decoder.bias[97] = -torch.inf
    with pytest.raises(ForeignModelError, match="decoder.bias holds values that are not finite"):
        save_model(tmp_path / "mine.safetensors", model, corpus, "a test")
    assert not list(tmp_path.glob("mine*"))


def test_a_saved_model_is_a_checkpoint_with_a_measured_loss(tmp_path):
    (tmp_path / "letters.txt").write_text(TEXT * 10)
    corpus = read_corpus(tmp_path / "letters.txt", 0.9)
    model = import_torch(*modules(nn.GRU), LETTERS)
    save_model(tmp_path / "mine.safetensors", model, corpus, "a test")
    read, about = load_model(str(tmp_path / "mine.safetensors"))
    expected = trace(model, bytes(corpus.validation)).nats_per_byte
    assert about.validation_loss == pytest.approx(expected, rel=1e-5)
    assert about.validation_bytes == len(corpus.validation) - 1
    assert (about.data.name, about.training) == ("letters.txt", {"trained_by": "a test"})
    for name, tensor in model.to_tensors().items():
        assert torch.equal(tensor, read.to_tensors()[name]), name


def saved(tmp_path, text: str, alphabet=LETTERS):
    (tmp_path / "text.txt").write_text(text, encoding="utf-8")
    corpus = read_corpus(tmp_path / "text.txt", 0.5)
    model = import_torch(*modules(alphabet=alphabet), alphabet)
    return save_model(tmp_path / "mine.safetensors", model, corpus, "a test")


def test_how_much_is_unknown_is_said_and_saved(tmp_path):
    told = "of the alphabet 18.2% are left out|40 bytes of the validation part 25.0% are unknown"
    with pytest.warns(UserWarning, match=told) as warned:
        about = saved(tmp_path, "abcdefgh" * 5 + "abc." * 10, [*LETTERS, None, None])
    assert len(warned) == 2
    assert about.training["unknown_in_alphabet"] == pytest.approx(2 / 11, abs=1e-6)
    assert about.training["unknown_in_text"] == 0.25
    assert load_model(tmp_path / "mine.safetensors")[1].training == about.training


def test_a_text_that_the_model_cannot_read_is_refused(tmp_path):
    with pytest.raises(
        ForeignModelError, match="the 60 bytes of the validation part 80.0% are unknown"
    ):
        saved(tmp_path, "буква abc " * 8)
    assert not (tmp_path / "mine.safetensors").exists()


def test_a_model_of_an_alphabet_of_other_letters_is_refused():
    """Of a Cyrillic alphabet little is left without the letters of several bytes."""
    cyrillic = [None if ord(sign) > 127 else sign for sign in "абвгдежзийклмнопрсту .,!?"]
    with pytest.raises(ForeignModelError, match="25 signs of the alphabet 80.0% are unknown"):
        import_torch(*modules(alphabet=cyrillic), cyrillic)
