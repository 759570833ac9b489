"""Two processes that share each update, started by torchrun, against one."""

import signal
import subprocess
import sys
import time

import pytest
from test_resume import assert_same_run, refused, rows, state

from gridlstm.config import ModelConfig
from gridlstm.corpus import read_corpus
from gridlstm.training.run import Run, Workers, train
from gridlstm.training.settings import SettingsError, TrainingSettings

TEXT = b"a cat sat on a mat, and a rat sat on a hat. " * 60
UPDATES = 120
OPTIONS = f"""
    --architecture grid --tie depth --layers 2 --units 8 --sequences 4 --length 5
    --learning-rate 0.01 --train-fraction 0.9 --precision float32
    --updates {UPDATES} --validate-every 20 --save-every 1 --device cpu
""".split()
SETTINGS = TrainingSettings(
    sequences=4,
    length=5,
    learning_rate=0.01,
    train_fraction=0.9,
    precision="float32",
    updates=UPDATES,
    validate_every=20,
    save_every=1,
)


def config(dropout):
    return ModelConfig("grid", 2, 8, "depth", dropout)


INTERRUPTED = """
import os, signal, sys
from gridlstm.commands import run
from gridlstm.training.tasks import TextTask
plain = TextTask.validate
def interrupted(task, *arguments):
    os.kill(os.getpid(), signal.SIGTERM)
    return plain(task, *arguments)
TextTask.validate = interrupted
sys.exit(run(sys.argv[1:]))
"""


def start(folder, out, dropout, *more, program=("-m", "gridlstm")):
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    return subprocess.Popen(
        [
            *(*torchrun, "--nproc-per-node", "2", *program, "train"),
            *(str(folder / "text.txt"), "--out", str(out), "--dropout", str(dropout)),
            *(*OPTIONS, *more),
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(process):
    printed, errors = process.communicate(timeout=300)
    assert (process.returncode, printed) == (0, ""), errors
    return errors


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("distributed")
    (path / "text.txt").write_bytes(TEXT)
    return path


def test_two_processes_give_the_curve_of_one(folder):
    one, two = folder / "one.safetensors", folder / "two.safetensors"
    train(config(0.0), SETTINGS, read_corpus(folder / "text.txt", 0.9), one)
    finish(start(folder, two, 0.0))
    assert len(rows(one)) == 6
    for found, expected in zip(rows(two), rows(one), strict=True):
        assert found == pytest.approx(expected, abs=1e-4)


def test_an_interrupted_run_of_two_processes_goes_on_to_the_same_numbers(folder):
    """With dropout, for which each process has random numbers of its own."""
    straight, parts = folder / "straight.safetensors", folder / "parts.safetensors"
    finish(start(folder, straight, 0.3))
    process = start(folder, parts, 0.3)
    curve = parts.with_suffix(".csv")
    while not curve.exists():
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.01)
    process.send_signal(signal.SIGTERM)  # torchrun passes it on to both
    _, errors = process.communicate(timeout=120)
    assert "Error" not in errors.replace("SignalException", "")
    reached = state(parts)[0]["progress"]["update"]
    assert 20 <= reached < UPDATES

    corpus = read_corpus(folder / "text.txt", 0.9)
    assert "2 processes" in refused(config(0.3), SETTINGS, corpus, parts)

    finish(start(folder, parts, 0.3, "--resume"))
    assert_same_run(parts, straight)


def test_a_signal_to_the_process_that_validates_stops_both(folder):
    straight, parts = folder / "whole.safetensors", folder / "dropped.safetensors"
    finish(start(folder, straight, 0.3))
    (folder / "interrupted.py").write_text(INTERRUPTED)
    process = start(folder, parts, 0.3, program=[str(folder / "interrupted.py")])
    _, errors = process.communicate(timeout=120)
    assert "stopping at update 20" in errors
    progress = state(parts)[0]["progress"]
    assert (progress["update"], progress["points"]) == (20, [])
    finish(start(folder, parts, 0.3, "--resume"))
    assert_same_run(parts, straight)


def test_sequences_that_cannot_be_shared_are_one_sentence(folder):
    import torch

    team = Workers(0, 3, torch.device("cpu"))
    corpus = read_corpus(folder / "text.txt", 0.9)
    with pytest.raises(SettingsError) as caught:
        Run(config(0.0), SETTINGS, corpus, folder / "three.safetensors", team)
    assert "4 sequences" in str(caught.value) and "3 processes" in str(caught.value)
