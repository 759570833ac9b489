"""Files that torch writes, of models made here: what is read predicts what the modules do."""

import argparse
import io
import pathlib
import pickle
import string
import zipfile

import numpy as np
import pytest
import torch
from foreign_reference import run_indices
from safetensors.torch import save
from torch import nn

from gridlstm.importing.errors import ForeignModelError
from gridlstm.importing.reading import read_model
from gridlstm.importing.vocabularies import PRINTABLE

LETTERS = "abcde\u00e9\u2019"
INDICES = [3, 1, 4, 1, 5, 0, 2, 6, 5, 3, 5, 0]
SIZE, UNITS = len(LETTERS), 6


class CharRNN(nn.Module):
    """As such classes are written, spro's among them."""

    def __init__(self, kind=nn.LSTM, width=4, layers=2, size=SIZE, units=UNITS, **more):
        super().__init__()
        self.encoder = nn.Embedding(size, width) if width else None
        self.rnn = kind(width or size, units, layers, batch_first=True, **more)
        self.decoder = nn.Linear(units, size)

    def forward(self, read):
        vectors = self.encoder(read) if self.encoder else nn.functional.one_hot(read).float()
        return self.decoder(self.rnn(vectors.to(self.decoder.weight.dtype))[0])


class CellStack(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed = nn.Embedding(SIZE, 4)
        self.first = nn.LSTMCell(4, UNITS)
        self.second = nn.LSTMCell(UNITS, UNITS)
        self.fc = nn.Linear(UNITS, SIZE)

    def forward(self, read):
        found, below, above = [], None, None
        for vector in self.embed(read)[0]:
            below = self.first(vector[None], below)
            above = self.second(below[0], above)
            found.append(self.fc(above[0]))
        return torch.stack(found, 1)


def randomised(model):
    torch.manual_seed(5)
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.5)
    return model.eval()


@pytest.fixture(autouse=True)
def char_rnn_can_be_pickled(monkeypatch):
    """Files say that the classes are of a module that is not here."""
    import sys
    import types

    module = types.ModuleType("model")
    module.CharRNN, module.CellStack = CharRNN, CellStack
    monkeypatch.setitem(sys.modules, "model", module)
    monkeypatch.setattr(CharRNN, "__module__", "model")
    monkeypatch.setattr(CellStack, "__module__", "model")


def saved(content, legacy=False, **options) -> bytes:
    file = io.BytesIO()
    torch.save(content, file, _use_new_zipfile_serialization=not legacy, **options)
    return file.getvalue()


def read(content: bytes, **options):
    return read_model([("model.pt", content)], **options)


@torch.no_grad()
def check(found, model, tolerance=2e-6):
    expected = model(torch.tensor([INDICES]))[0].float().numpy()
    np.testing.assert_allclose(run_indices(found, INDICES).logits, expected, atol=tolerance)


KINDS = {
    "lstm": {},
    "one-hot": {"width": 0},
    "gru": {"kind": nn.GRU, "layers": 3},
    "rnn": {"kind": nn.RNN},
    "one layer": {"layers": 1},
    "as wide as the units": {"width": UNITS},
    "without biases": {"bias": False},
    "dropout": {"dropout": 0.3},
}
WAYS = {
    "state dict": lambda model: saved(model.state_dict()),
    "legacy state dict": lambda model: saved(model.state_dict(), legacy=True),
    "module": lambda model: saved(model),
    "legacy module": lambda model: saved(model, legacy=True),
    "pickle of a module": pickle.dumps,
    "pickle of a state dict": lambda model: pickle.dumps(model.state_dict(), protocol=2),
    "safetensors": lambda model: save(model.state_dict()),
    "DataParallel": lambda model: saved(nn.DataParallel(model).state_dict()),
    "DataParallel whole": lambda model: saved(nn.DataParallel(model)),
    "compiled": lambda model: saved(torch.compile(model).state_dict()),
    "submodule compiled": lambda model: saved(
        {key.replace("rnn.", "rnn._orig_mod."): v for key, v in model.state_dict().items()}
    ),
    "Lightning": lambda model: saved(
        {
            "epoch": 3,
            "pytorch-lightning_version": "2.6.6",
            "state_dict": {f"model.{key}": value for key, value in model.state_dict().items()},
            "hyper_parameters": {
                "arguments": argparse.Namespace(path=pathlib.PurePosixPath("a/b"), layers=2),
                "number": np.float64(3.5),
                "cell": nn.LSTM,
            },
            "optimizer_states": [torch.optim.Adam(model.parameters()).state_dict()],
        }
    ),
    "checkpoint of a loop": lambda model: saved(
        {"epoch": 7, "model_state_dict": model.state_dict(), "loss": torch.tensor(1.5)}
    ),
    "deep in a dict": lambda model: saved({"a": [{"b": (model.state_dict(),)}]}),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("way", ["state dict", "legacy module", "module", "safetensors"])
def test_a_model_predicts_what_its_module_does(kind, way):
    model = randomised(CharRNN(**KINDS[kind]))
    check(read(WAYS[way](model)), model)


@pytest.mark.parametrize("way", WAYS)
def test_however_it_was_saved(way):
    model = randomised(CharRNN())
    found = read(WAYS[way](model))
    check(found, model)
    assert found.program == "PyTorch"
    assert [question.key for question in found.questions] == ["vocabulary"]


@pytest.mark.parametrize("protocol", range(6))
def test_every_protocol_of_pickle(protocol):
    model = randomised(CharRNN())
    check(read(pickle.dumps(model, protocol=protocol)), model)


@pytest.mark.parametrize(
    ("dtype", "tolerance"), [(torch.float64, 2e-6), (torch.float16, 2e-2), (torch.bfloat16, 2e-1)]
)
def test_numbers_of_another_precision(dtype, tolerance):
    model = randomised(CharRNN()).to(dtype)
    found = read(saved(model.state_dict()))
    exact = {name: tensor.float() for name, tensor in model.state_dict().items()}
    again = CharRNN().eval()
    again.load_state_dict(exact)
    check(found, again)
    assert found.decoder_weight.dtype == np.float32


def test_modules_of_cells_are_a_stack():
    model = randomised(CellStack())
    found = read(saved(model.state_dict()))
    check(found, model)
    assert any("order of their definition" in note for note in found.notes)


def test_a_decoder_that_shares_the_embeddings_weight():
    model = randomised(CharRNN(width=UNITS))
    model.decoder.weight = model.encoder.weight
    for way in ("module", "state dict"):
        check(read(WAYS[way](model)), model)


def test_views_of_one_storage():
    model = randomised(CharRNN(width=0))
    flat = torch.cat([tensor.flatten() for tensor in model.state_dict().values()])
    place, views = 0, {}
    for name, tensor in model.state_dict().items():
        views[name] = flat[place : place + tensor.numel()].view(tensor.shape)
        place += tensor.numel()
    turned = model.decoder.weight.detach().T.contiguous()
    views["decoder.weight"] = turned.T
    check(read(saved(views)), model)


VOCABULARIES = {
    "tokens": lambda: {"tokens": tuple(LETTERS)},
    "int2char": lambda: {"int2char": dict(enumerate(LETTERS))},
    "char2idx": lambda: {"hyper_parameters": {"char2idx": {c: i for i, c in enumerate(LETTERS)}}},
    "both": lambda: {
        "chars": LETTERS,
        "stoi": {c: i for i, c in enumerate(LETTERS)},
        "itos": dict(enumerate(LETTERS)),
    },
    "an array": lambda: {"chars": np.array(list(LETTERS))},
    "in an object": lambda: {"data": argparse.Namespace(vocab=list(LETTERS))},
}


@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize("what", VOCABULARIES)
def test_a_vocabulary_in_the_file(what, legacy):
    model = randomised(CharRNN())
    content = {"state_dict": model.state_dict(), **VOCABULARIES[what]()}
    found = read(saved(content, legacy=legacy))
    assert found.vocabulary.tokens == tuple(LETTERS)
    assert not found.questions


def test_a_vocabulary_as_attributes_of_a_module():
    model = randomised(CharRNN())
    model.chars = list(LETTERS)
    assert read(saved(model)).vocabulary.tokens == tuple(LETTERS)


def test_a_vocabulary_in_metadata():
    state = randomised(CharRNN()).state_dict()
    found = read(save(state, {"vocabulary": '{"chars": "abcde\u00e9\u2019"}'}))
    assert found.vocabulary.tokens == tuple(LETTERS)


def test_vocabularies_that_contradict_each_other_are_refused():
    state = randomised(CharRNN()).state_dict()
    with pytest.raises(ForeignModelError, match="contradict"):
        read(saved({"model": state, "a": list(LETTERS), "b": list(reversed(LETTERS))}))


def test_spro_s_models_know_the_printable_characters():
    model = randomised(CharRNN(nn.GRU, width=UNITS, size=100))
    tokens = read(saved(model)).vocabulary
    assert "".join(tokens.tokens) == PRINTABLE == string.printable
    assert tokens.tokens[tokens.unknown] == "0"
    assert tokens.encode("a\u00e9").tokens.tolist() == [10, 0]
    # One that is only as large is none of them.
    assert read(saved(CharRNN(nn.GRU, size=100))).vocabulary is None


def test_of_several_models_one_is_asked_for():
    first, second = randomised(CharRNN()), CharRNN(layers=1)
    content = saved({"best": first.state_dict(), "last": second.state_dict()})
    found = read(content)
    check(found, first)
    (question,) = [question for question in found.questions if question.key == "model"]
    assert question.choices == ("best", "last") and question.default == "best"
    check(read(content, answers={"model": "last"}), second)


def test_a_plain_rnn_of_a_state_dict_may_be_of_relu():
    content = saved(randomised(CharRNN(nn.RNN)).state_dict())
    for answers, asked in (({}, True), ({"activation": "tanh"}, False)):
        questions = read(content, answers=answers).questions
        assert ("activation" in {question.key for question in questions}) == asked
    with pytest.raises(ForeignModelError, match="relu"):
        read(content, answers={"activation": "relu"})


class Odd(CharRNN):
    def __init__(self, **parts):
        super().__init__()
        for name, part in parts.items():
            setattr(self, name, part)


REFUSED = {
    "bidirectional": (lambda: CharRNN(bidirectional=True), "bidirectional"),
    "projections": (lambda: CharRNN(proj_size=3), "proj"),
    "LayerNorm": (lambda: Odd(norm=nn.LayerNorm(UNITS)), "norm"),
    "BatchNorm": (lambda: Odd(bn=nn.BatchNorm1d(UNITS)), "bn|BatchNorm"),
    "a further layer": (lambda: Odd(between=nn.Linear(UNITS, UNITS)), "further layers"),
    "attention": (lambda: Odd(attention=nn.MultiheadAttention(UNITS, 2)), "MultiheadAttention|fur"),
    "weight_norm": (lambda: Odd(rnn=_weight_norm()), "wrapped"),
    "relu": (lambda: CharRNN(nn.RNN, nonlinearity="relu"), "relu"),
    "unequal widths": (lambda: Odd(above=nn.LSTM(UNITS, 3)), "unequal|not stacked|decoder"),
}


def _weight_norm():
    lstm = nn.LSTM(4, UNITS, 2, batch_first=True)
    return nn.utils.parametrizations.weight_norm(lstm, "weight_hh_l0")


@pytest.mark.parametrize("whole", [True, False])
@pytest.mark.parametrize("what", REFUSED)
def test_what_no_model_here_has_is_refused_by_name(what, whole):
    make, why = REFUSED[what]
    model = make()
    if what == "relu" and not whole:
        pytest.skip("a state dict does not say it: it is asked")
    if whole and what == "weight_norm":
        pytest.skip("torch does not pickle such modules whole")
    with pytest.raises(ForeignModelError, match=why) as refused:
        read(saved(model if whole else model.state_dict()))
    assert str(refused.value).count(". ") == 0 and str(refused.value).endswith(".")


def test_max_norm_and_torchscript_are_refused():
    model = CharRNN()
    model.encoder.max_norm = 1.0
    with pytest.raises(ForeignModelError, match="max_norm"):
        read(saved(model))
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("m/data.pkl", b"\x80\x02N.")
        archive.writestr("m/constants.pkl", b"\x80\x02N.")
    with pytest.raises(ForeignModelError, match="TorchScript"):
        read(file.getvalue())


def test_a_quantised_model_is_refused():
    model = randomised(CharRNN())
    state = {**model.state_dict(), "rnn._packed_params": torch.zeros(3)}
    with pytest.raises(ForeignModelError, match="quantis"):
        read(saved(state))


def test_a_checkpoint_of_ours_is_told_apart():
    ours = {"embedding.weight": torch.zeros(256, 4), "layers.0.time.weight": torch.zeros(16, 8)}
    with pytest.raises(ForeignModelError, match="this program"):
        read(save(ours))


class Recorder:
    """Would tell if a pickle made one of it, called it or gave it a state."""

    called: list = []

    def __init__(self, *values):
        self.called.append(values)

    def __setstate__(self, state):
        self.called.append(state)

    def __reduce__(self):
        return (record_call, ("called",), {"state": 1})


def record_call(*values):
    Recorder.called.append(values)


def test_nothing_in_a_file_is_made_or_called():
    Recorder.called.clear()
    recorder = Recorder.__new__(Recorder)
    model = randomised(CharRNN())
    model.extra = recorder
    for content in (
        saved({"state_dict": model.state_dict(), "extra": recorder}),
        saved({"state_dict": model.state_dict(), "extra": recorder}, legacy=True),
        saved(model),
        pickle.dumps(model),
        b"\x80\x02" + b"ctest_foreign_torch\nrecord_call\n(K\x01tR.",
        b"ctest_foreign_torch\nrecord_call\n(K\x01tR.",
        b"(itest_foreign_torch\nRecorder\n.",
        b"(ctest_foreign_torch\nRecorder\no.",
        b"cbuiltins\neval\n(S'__import__(\"test_foreign_torch\").record_call(1)'\ntR.",
    ):
        try:
            check(read(content), model)
        except ForeignModelError as error:
            assert "holds no model" in str(error)
    assert Recorder.called == []
