"""Other programs' files given to the commands, and made checkpoints."""

import json
import pickle
import shutil

import numpy as np
import pytest
import torch
import torch7_writer
from test_own_vocabularies import SIGNS, arrays_of, text_of
from torch import nn

from gridlstm import commands
from gridlstm.checkpoint import load_model, read_metadata
from gridlstm.curves.importing.reading import read_log
from gridlstm.curves.importing.runs import import_guessed
from gridlstm.importing import to_model
from gridlstm.importing.opening import (
    files_beside,
    foreign_models,
    is_foreign,
    open_model,
    read_about,
)
from gridlstm.importing.proof import prove, recognised
from gridlstm.trace import trace

UNITS = 6


class CharRNN(nn.Module):
    def __init__(self, kind=nn.GRU):
        super().__init__()
        self.encoder = nn.Embedding(len(SIGNS), 4)
        self.rnn = kind(4, UNITS, 2)
        self.decoder = nn.Linear(UNITS, len(SIGNS))


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A state dict, a vocabulary beside it, and a text."""
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(2)
    torch.save(CharRNN().state_dict(), "model.pt")
    (tmp_path / "chars.json").write_text(json.dumps(list(SIGNS)), encoding="utf-8")
    (tmp_path / "text.txt").write_text(text_of(2600), encoding="utf-8")
    (tmp_path / "odd.txt").write_text("XY" + text_of(98), encoding="utf-8")
    return tmp_path


def run(*arguments) -> int:
    return commands.run(list(arguments))


def test_import_writes_a_checkpoint_and_proves_it(folder, capsys):
    assert run("import", "model.pt", "--out", "mine.safetensors", "--check", "text.txt") == 0
    out, told = capsys.readouterr()
    printed = json.loads(out)
    assert printed["file"] == "mine.safetensors"
    assert printed["recognised"]["Cell"] == "GRU"
    assert printed["recognised"]["Vocabulary"] == "14 characters, of which 5 need several bytes"
    assert printed["recognised"]["Vocabulary from"] == "chars.json"
    model, about = load_model("mine.safetensors")
    assert "".join(model.vocabulary.tokens) == SIGNS
    assert about.training["trained_by"] == printed["recognised"]["Program"]
    assert not about.data.is_known and "model.pt" in about.data.name
    check = printed["check"]
    expected = trace(model, text_of(2600)).nats_per_token
    assert check["nats_per_character"] == pytest.approx(expected, abs=1e-5)
    assert check["uniform"] == pytest.approx(np.log(14))
    counts = np.unique(list(text_of(2600)[1:]), return_counts=True)[1] / 2599
    assert check["unigram"] == pytest.approx(-(counts * np.log(counts)).sum())
    # Its weights are random.
    assert "untrained, its vocabulary is not its own" in told and check["warning"]


def test_a_vocabulary_may_be_named(folder, capsys):
    (folder / "chars.json").unlink()
    assert run("import", "model.pt", "--out", "mine.safetensors") == 2
    assert "14 indices stand for is not known" in capsys.readouterr().err
    assert not (folder / "mine.safetensors").exists()
    (folder / "v.pkl").write_bytes(pickle.dumps({sign: n for n, sign in enumerate(SIGNS)}))
    more = ["--vocabulary", "v.pkl"]
    assert run("import", "model.pt", "--out", "mine.safetensors", *more) == 0
    assert "".join(load_model("mine.safetensors")[0].vocabulary.tokens) == SIGNS


def test_the_training_text_will_do(folder, capsys):
    (folder / "chars.json").unlink()
    (folder / "training.txt").write_text(SIGNS * 3, encoding="utf-8")
    more = ["--training-text", "training.txt"]
    assert run("import", "model.pt", "--out", "mine.safetensors", *more) == 0
    model, about = load_model("mine.safetensors")
    assert list(model.vocabulary.tokens) == sorted(SIGNS)
    assert about.vocabulary.source == "the training text" and not model.vocabulary.lowercase
    (folder / "training.txt").write_text(SIGNS.upper(), encoding="utf-8")
    assert run("import", "model.pt", "--out", "low.safetensors", *more, "--lowercase") == 0
    lower = load_model("low.safetensors")[0]
    assert list(lower.vocabulary.tokens) == sorted(SIGNS)
    assert lower.encode("A\u00c4").lowered.all()


@pytest.mark.parametrize(
    ("more", "why"),
    [
        (["--lowercase"], "--lowercase belongs to --training-text"),
        (["--answer", "gates"], "not of the form KEY=VALUE"),
        (["--training-text", "odd.txt"], "16 different characters and the model knows 14"),
        (["--vocabulary", "text.txt"], "text.txt holds no vocabulary"),
        (["--check", "none.txt"], "none.txt"),
    ],
)
def test_a_mistake_is_one_line(folder, capsys, more, why):
    assert run("import", "model.pt", "--out", "mine.safetensors", *more) == 2
    out, told = capsys.readouterr()
    assert why in told and len(told.splitlines()) == 1 and not out
    assert not (folder / "mine.safetensors").exists()


def test_a_question_is_answered_by_an_option(folder, capsys):
    torch.save(CharRNN(nn.RNN).state_dict(), "model.pt")
    assert run("import", "model.pt", "--out", "a.safetensors") == 0
    assert "Taken: tanh" in capsys.readouterr().err
    assert run("import", "model.pt", "--out", "b.safetensors", "--answer", "activation=tanh") == 0
    assert capsys.readouterr().err == ""
    assert run("import", "model.pt", "--out", "c.safetensors", "--answer", "activation=relu") == 2
    assert "relu" in capsys.readouterr().err


COMMANDS = {
    "evaluate": ["evaluate", "MODEL", "text.txt"],
    "trace": ["trace", "MODEL", "text.txt", "--out", "trace.npz"],
    "sample": ["sample", "MODEL", "--prime", "a\u2019b", "--length", "40"],
    "find": ["find", "MODEL", "text.txt", "--property", "pattern:a", "--json", "--top", "3"],
    "probe": ["probe", "MODEL", "text.txt", "--property", "pattern:a", "--quantity", "time.hidden"],
    "ablate": ["ablate", "MODEL", "text.txt", "--property", "pattern:a", "--top", "1"],
    "provenance": ["provenance", "MODEL", "text.txt"],
    "provenance of a unit": ["provenance", "MODEL", "text.txt", "--unit", "1", "--character", "9"],
    "describe": ["describe", "MODEL"],
}


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_takes_either_file(folder, capsysbinary, command):
    """And does the same with both."""
    assert run("import", "model.pt", "--out", "deep/mine.safetensors") == 0
    capsysbinary.readouterr()
    printed = []
    for path in ("model.pt", "deep/mine.safetensors"):
        arguments = [path if word == "MODEL" else word for word in COMMANDS[command]]
        assert run(*arguments) == 0
        printed.append(capsysbinary.readouterr().out)
    if command != "describe":
        assert printed[0] == printed[1]
    if command == "sample":
        assert set(printed[0].decode()) <= set(SIGNS) and len(printed[0].decode()) == 40
    if command == "trace":
        with np.load("trace.npz") as found:
            assert found["next_token"].shape == (2600, len(SIGNS))
            assert "".join(SIGNS[token] for token in found["tokens"]) == text_of(2600)


def test_what_is_skipped_is_said(folder, capsys):
    assert run("evaluate", "model.pt", "odd.txt") == 0
    out, told = capsys.readouterr()
    assert (
        json.loads(out)["skipped"] == 2
        and not json.loads(out)["comparable"]
        and json.loads(out)["characters"] == 97
    )
    assert "2.0 % are unknown to the model and skipped" in told
    assert "do not rank it against others" in told
    assert (
        run("provenance", "model.pt", "odd.txt", "--unit", "1", "--character", "5", "--json") == 0
    )
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [row["character"] for row in rows] == list("XY" + text_of(98))[:6]
    assert [row["written"] for row in rows][:2] == [0, 0]


def test_find_reads_over_what_is_skipped(folder, capsys):
    """As on the text without it, but for the property, which is of the whole."""
    text = text_of(2600)
    (folder / "plain.txt").write_text(text, encoding="utf-8")
    (folder / "more.txt").write_text(text.replace("a", "aX"), encoding="utf-8")
    options = ["--property", "pattern:a", "--quantities", "time.hidden", "--json"]
    printed = []
    for name in ("plain.txt", "more.txt"):
        assert run("find", "model.pt", name, *options) == 0
        printed.append(capsys.readouterr().out)
    assert printed[0] == printed[1]


def test_what_belongs_to_a_model_is_found_beside_it(folder):
    assert [path.name for path in files_beside(folder / "model.pt")] == ["chars.json"]
    shutil.copy(folder / "model.pt", folder / "other.pt")
    # Whose is it now? Only a namesake is certain.
    assert not files_beside(folder / "model.pt")
    shutil.move(folder / "chars.json", folder / "model.json")
    (folder / "model.chars.json").write_text(json.dumps(list(SIGNS)), encoding="utf-8")
    assert [path.name for path in files_beside(folder / "model.pt")] == ["model.chars.json"]


def test_the_models_in_a_folder(folder):
    (folder / "darwin").mkdir()
    for name in ("mine.safetensors", "darwin/manifest.json", "model.ckpt-5.index", "b.t7", "c.h5"):
        (folder / name).write_bytes(b"")
    found = {name: path.name for name, path in foreign_models(folder).items()}
    assert found == {
        "b": "b.t7",
        "c": "c.h5",
        "darwin": "manifest.json",
        "model": "model.pt",
        "model.ckpt-5": "model.ckpt-5.index",
    }


def test_ours_are_ours_and_state_dicts_in_safetensors_are_not(folder):
    from safetensors.torch import save_file

    assert run("import", "model.pt", "--out", "mine.safetensors") == 0
    assert not is_foreign(folder / "mine.safetensors") and is_foreign(folder / "model.pt")
    save_file(
        CharRNN().state_dict(), folder / "state.safetensors", {"chars": json.dumps(list(SIGNS))}
    )
    assert is_foreign(folder / "state.safetensors")
    model, about = open_model(folder / "state.safetensors")
    assert "".join(model.vocabulary.tokens) == SIGNS and model.config == about.model
    assert read_about(folder / "state.safetensors").model == about.model
    assert read_about(folder / "mine.safetensors") == read_metadata(folder / "mine.safetensors")


def test_a_model_that_is_trained_here_is_over_bytes(folder, capsys):
    assert run("import", "model.pt", "--out", "mine.safetensors") == 0
    capsys.readouterr()
    train = ["train", "text.txt", "--from", "mine.safetensors", "--out", "new.safetensors"]
    assert run(*train, "--updates", "1") == 2
    assert "over the 256 bytes, not one of 14 tokens" in capsys.readouterr().err


def test_what_is_recognised_in_words():
    found = recognised(arrays_of("gru", reset="before", gates="hard_sigmoid", program="x"))
    assert found == {
        "Program": "x",
        "Cell": "GRU",
        "Layers": "2",
        "Units": "5",
        "Input": "one-hot",
        "Vocabulary": "14 characters, of which 5 need several bytes",
        "Vocabulary from": "given",
        "Gates go through": "hard_sigmoid",
        "Reset": "before the product with the state",
    }


def test_a_proof_needs_a_text_that_is_long_enough():
    model, _ = to_model(arrays_of("lstm"))
    assert "too short to tell" in prove(model, text_of(50)).warning
    assert "untrained" in prove(model, text_of(400)).warning
    with torch.no_grad():
        # A model that knows one character, of a text of that alone.
        model.decoder.weight.zero_()
        model.decoder.bias[:] = torch.tensor([1.0, 1.0] + [-20.0] * 12)
    proof = prove(model, "ab" * 300)
    assert proof.evaluation.nats_per_character == pytest.approx(np.log(2), abs=1e-4)


def test_loss_histories_become_a_curve(tmp_path, capsys, monkeypatch):
    """Which the page Curves takes among other people's runs."""
    monkeypatch.chdir(tmp_path)
    graph, _ = torch7_writer.char_rnn("lstm", 3, 4, 1)
    losses = {"val_losses": {20: 2.5, 10: 3.5}, "train_losses": {10: 4.0, 15: 3.0, 20: 2.0}}
    content = torch7_writer.write(torch7_writer.checkpoint(graph, ["a", "b", "c"], **losses))
    (tmp_path / "model.t7").write_bytes(content)
    assert run("import", "model.t7", "--out", "mine.safetensors") == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed["losses"] == "mine.losses.csv"
    assert (tmp_path / "mine.losses.csv").read_text() == (
        "update,train_loss,val_loss\n10,4,3.5\n15,3,\n20,2,2.5\n"
    )
    found = import_guessed(read_log("mine.losses.csv", tmp_path / "mine.losses.csv"))
    (curve,) = found.curves.values()
    assert curve["update"].tolist() == [10, 20] and curve["val_loss"].tolist() == [3.5, 2.5]
