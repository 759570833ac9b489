"""A run that was interrupted, in whatever way, goes on to the numbers of one that was not."""

import csv
import json
import os
import random
import signal
import subprocess
import sys
import time
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from conftest import TEXT
from safetensors import safe_open
from safetensors.torch import save_file

from gridlstm.checkpoint import load_model, read_metadata
from gridlstm.config import ModelConfig
from gridlstm.corpus import read_corpus
from gridlstm.training import run as training
from gridlstm.training.run import ResumeError, Run, train
from gridlstm.training.settings import TrainingSettings
from gridlstm.training.state import read_progress, state_path
from gridlstm.training.tasks import TextTask

STACKED = ModelConfig("stacked", 2, 8, dropout=0.3)
GRID = ModelConfig("grid", 2, 8, "all", dropout=0.3)
SETTINGS = TrainingSettings(
    sequences=4,
    length=10,
    learning_rate=0.01,
    train_fraction=0.9,
    validate_every=5,
    save_every=3,
    precision="float32",
    updates=25,
)
every_model = pytest.mark.parametrize("config", [STACKED, GRID], ids=["stacked", "grid"])


def state(out):
    """What a run's state holds: its document, without times, and its tensors."""
    with safe_open(out.with_suffix(".state.safetensors"), framework="pt") as file:
        document = json.loads(file.metadata()["run"])
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    for timed in (document["progress"], *document["progress"]["points"]):
        del timed["seconds"]
    return document, tensors


def rows(out):
    with open(out.with_suffix(".csv"), newline="") as file:
        return [
            {k: float(v) for k, v in row.items() if k != "seconds"} for row in csv.DictReader(file)
        ]


def assert_same_run(found, expected):
    """To the last bit: weights, optimiser, carried state, random numbers, curve and checkpoint."""
    (document, tensors), (wanted_document, wanted) = state(found), state(expected)
    assert document == wanted_document
    assert tensors.keys() == wanted.keys()
    for name in wanted:
        assert torch.equal(tensors[name], wanted[name]), name
    assert rows(found) == rows(expected)
    (model, about), (wanted_model, wanted_about) = load_model(found), load_model(expected)
    assert about.validation_loss == wanted_about.validation_loss
    assert replace(about, seconds=0) == replace(wanted_about, seconds=0)
    for name, tensor in wanted_model.to_tensors().items():
        assert torch.equal(model.to_tensors()[name], tensor), name


# -- Stopped between updates ----------------------------------------------------------------------


@every_model
@pytest.mark.parametrize("optimiser", ["rmsprop", "adam"])
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_a_run_in_two_parts_is_one_run(tmp_path, corpus, config, optimiser, precision):
    settings = replace(SETTINGS, optimiser=optimiser, precision=precision)
    straight, parts = tmp_path / "straight.safetensors", tmp_path / "parts.safetensors"
    train(config, settings, corpus, straight)
    train(config, replace(settings, updates=10), corpus, parts)
    half_way, _ = state(parts)
    assert half_way["progress"]["update"] == 10
    train(config, settings, corpus, parts, resume=True)
    assert_same_run(parts, straight)


def interrupt(monkeypatch, at, number=signal.SIGTERM):
    """Let this process get a signal in update `at` of every run."""
    plain_update = Run._update

    def interrupted_update(run):
        loss = plain_update(run)
        if run.progress.update == at:
            os.kill(os.getpid(), number)
        return loss

    monkeypatch.setattr(Run, "_update", interrupted_update)


@every_model
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["SIGINT", "SIGTERM"])
@pytest.mark.parametrize("at", [1, 7, 10, 24])
def test_a_signal_in_an_update(tmp_path, corpus, monkeypatch, config, number, at):
    straight, parts = tmp_path / "straight.safetensors", tmp_path / "parts.safetensors"
    train(config, SETTINGS, corpus, straight)
    interrupt(monkeypatch, at, number)
    assert not train(config, SETTINGS, corpus, parts)
    monkeypatch.undo()
    assert state(parts)[0]["progress"]["update"] == at
    train(config, SETTINGS, corpus, parts, resume=True)
    assert_same_run(parts, straight)


@pytest.mark.parametrize("at", [5, 17, "one before", "the stop itself"])
def test_a_run_that_no_longer_improves_stops_at_the_same_update(tmp_path, corpus, monkeypatch, at):
    """Also where the interruption falls on the very update at which it has to stop, whose point of
    the curve is then not measured yet."""
    settings = replace(SETTINGS, learning_rate=0.05, decay=2.0, decay_from_epoch=0)
    settings = replace(settings, sequences=40, updates=200, patience=10)
    straight, parts = tmp_path / "straight.safetensors", tmp_path / "parts.safetensors"
    train(STACKED, settings, corpus, straight)
    stop = state(straight)[0]["progress"]["update"]
    assert 17 < stop < 200
    at = {"one before": stop - 1, "the stop itself": stop}.get(at, at)
    interrupt(monkeypatch, at)
    assert not train(STACKED, settings, corpus, parts)
    monkeypatch.undo()
    assert state(parts)[0]["progress"]["update"] == at
    assert train(STACKED, settings, corpus, parts, resume=True)
    assert_same_run(parts, straight)


@pytest.mark.parametrize("killed_in", ["_finish", "save"])
def test_killed_between_its_last_update_and_its_end(tmp_path, corpus, monkeypatch, killed_in):
    straight, parts = tmp_path / "straight.safetensors", tmp_path / "parts.safetensors"
    train(GRID, SETTINGS, corpus, straight)
    plain = getattr(Run, killed_in)

    def killed(run, *arguments):
        if run.progress.update == SETTINGS.updates:
            raise SystemExit
        return plain(run, *arguments)

    monkeypatch.setattr(Run, killed_in, killed)
    with pytest.raises(SystemExit):
        train(GRID, SETTINGS, corpus, parts)
    monkeypatch.undo()
    assert not read_progress(state_path(parts)).is_complete(SETTINGS)
    assert train(GRID, SETTINGS, corpus, parts, resume=True)
    assert read_progress(state_path(parts)).is_complete(SETTINGS)
    assert_same_run(parts, straight)


@pytest.fixture
def ctrl_c():
    """As in a terminal: a shell's background job, such as a run of tests, may ignore it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("ctrl_c")
def test_ctrl_c_ends_the_last_long_validation_at_once(tmp_path, corpus, monkeypatch):
    straight, parts = tmp_path / "straight.safetensors", tmp_path / "parts.safetensors"
    settings = replace(SETTINGS, validation_bytes=100)
    train(GRID, settings, corpus, straight)
    validate = TextTask.validate

    def interrupted(task, model, max_bytes=None, progress=None):
        if max_bytes is None:
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(30)
        return validate(task, model, max_bytes, progress)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(TextTask, "validate", interrupted)
        train(GRID, settings, corpus, parts)
    assert state(parts)[0]["progress"]["finished_at"] == 0
    train(GRID, settings, corpus, parts, resume=True)
    assert_same_run(parts, straight)


@every_model
@pytest.mark.parametrize("at", [5, 25])
def test_a_signal_drops_a_validation_and_the_resumed_run_begins_with_it(
    tmp_path, corpus, monkeypatch, config, at
):
    straight, parts = tmp_path / "straight.safetensors", tmp_path / "parts.safetensors"
    train(config, SETTINGS, corpus, straight)
    validate, calls = TextTask.validate, []

    def interrupted(task, *arguments):
        calls.append(arguments)
        if len(calls) == at / SETTINGS.validate_every:
            os.kill(os.getpid(), signal.SIGINT)
        return validate(task, *arguments)

    with monkeypatch.context() as patch:
        patch.setattr(TextTask, "validate", interrupted)
        assert not train(config, SETTINGS, corpus, parts)
    progress = read_progress(state_path(parts))
    assert progress.update == at and progress.is_point_due(SETTINGS)
    assert [point.update for point in progress.points] == list(range(5, at, 5))
    assert train(config, SETTINGS, corpus, parts, resume=True)
    assert_same_run(parts, straight)


def test_a_run_stops_at_a_moment_of_the_clock(tmp_path, corpus, monkeypatch):
    """As if it was asked to: no point of the curve is added, so that it goes on to be the same."""
    straight, parts = tmp_path / "straight.safetensors", tmp_path / "parts.safetensors"
    train(GRID, SETTINGS, corpus, straight)
    ticks = iter(range(10_000))
    monkeypatch.setattr(training, "time", SimpleNamespace(monotonic=lambda: next(ticks)))
    stops = 0
    while not train(GRID, SETTINGS, corpus, parts, resume=stops > 0, until=next(ticks) + 9):
        stops += 1
        assert not read_progress(state_path(parts)).is_complete(SETTINGS)
    assert stops > 2
    assert_same_run(parts, straight)


def test_what_is_complete(tmp_path, corpus):
    """A short run gone on with under wider limits is still the short one, done."""
    out = tmp_path / "model.safetensors"
    short, long = replace(SETTINGS, updates=10), SETTINGS

    def complete() -> list[bool]:
        progress = read_progress(state_path(out))
        return [progress.is_complete(settings) for settings in (short, long)]

    assert complete() == [False, False]
    train(GRID, short, corpus, out)
    assert complete() == [True, False]
    train(GRID, replace(long, updates=12), corpus, out, resume=True)
    assert complete() == [True, False]
    train(GRID, long, corpus, out, resume=True)
    assert complete() == [True, True]


def test_handlers_of_signals_are_given_back(tmp_path, corpus):
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    train(STACKED, replace(SETTINGS, updates=1), corpus, tmp_path / "model.safetensors")
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before


def test_a_finished_run_resumed_is_as_it_was(tmp_path, corpus):
    out, again = tmp_path / "model.safetensors", tmp_path / "again.safetensors"
    for path in (out, again):
        train(GRID, SETTINGS, corpus, path)
    train(GRID, SETTINGS, corpus, again, resume=True)
    assert_same_run(again, out)


# -- Killed ---------------------------------------------------------------------------------------

LONG = 150


def command(tmp_path, out, *more):
    """A run of a small grid that saves after every update."""
    options = {
        "architecture": "grid",
        "layers": 2,
        "units": 8,
        "tie": "depth",
        "dropout": 0.3,
        "sequences": 4,
        "length": 5,
        "learning-rate": 0.01,
        "train-fraction": 0.9,
        "precision": "float32",
        "updates": LONG,
        "save-every": 1,
        "validate-every": 20,
    }
    text = [part for name, value in options.items() for part in (f"--{name}", str(value))]
    return [
        *(sys.executable, "-m", "gridlstm", "train", str(tmp_path / "text.txt")),
        *("--out", str(out), *text, *more),
    ]


def finish(arguments):
    done = subprocess.run(arguments, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return done


def wait_until(condition, process):
    """Wait for a condition that `process` brings about while it runs."""
    while not condition():
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.002)


def update_reached(out):
    """The update of the state on disk; 0 if there is none yet."""
    path = out.with_suffix(".state.safetensors")
    if not path.exists():
        return 0
    # For torch safetensors opens a file twice, and in between the run may have replaced it.
    with safe_open(path, framework="numpy") as file:
        return json.loads(file.metadata()["run"])["progress"]["update"]


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    """The folder and the checkpoint of a run that nothing disturbed."""
    folder = tmp_path_factory.mktemp("uninterrupted")
    (folder / "text.txt").write_bytes(TEXT)
    out = folder / "model.safetensors"
    finish(command(folder, out))
    return out


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["SIGINT", "SIGTERM"])
def test_a_signal_to_the_command(tmp_path, uninterrupted, number):
    (tmp_path / "text.txt").write_bytes(TEXT)
    out = tmp_path / "model.safetensors"
    process = subprocess.Popen(command(tmp_path, out), stderr=subprocess.PIPE, text=True)
    wait_until(lambda: update_reached(out) >= 25, process)
    process.send_signal(number)
    _, printed = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Traceback" not in printed and "--resume" in printed
    assert 25 <= update_reached(out) < LONG
    finish(command(tmp_path, out, "--resume"))
    assert_same_run(out, uninterrupted)


def assert_all_whole(out):
    """Every file of the run that a reader would find loads, and says one and the same thing."""
    for path in out.parent.glob("*.safetensors"):
        assert path in (out, out.with_suffix(".state.safetensors"))
    reached = update_reached(out)
    curve = rows(out) if out.with_suffix(".csv").exists() else []
    # A kill between two files leaves at most one point that the state does not know yet.
    known = state(out)[0]["progress"]["points"] if reached else []
    assert len(known) <= len(curve) <= len(known) + 1
    if out.exists():
        load_model(out)
        assert read_metadata(out).updates <= reached + 1
    return reached


def test_sigkill_at_any_moment(tmp_path, uninterrupted):
    (tmp_path / "text.txt").write_bytes(TEXT)
    out, chance = tmp_path / "model.safetensors", random.Random(0)
    reached = 0
    for kill in range(5):
        more = ["--resume"] if reached else []
        process = subprocess.Popen(command(tmp_path, out, *more), stderr=subprocess.PIPE, text=True)
        at_least = reached + 1 + kill
        wait_until(lambda least=at_least: update_reached(out) >= least, process)
        time.sleep(chance.uniform(0, 0.02))
        process.kill()
        process.communicate()
        assert process.returncode == -signal.SIGKILL
        reached = assert_all_whole(out)
        assert at_least <= reached < LONG
    finish(command(tmp_path, out, "--resume"))
    assert_same_run(out, uninterrupted)


# For each line it gets, runs the command in a child (which need not import torch again) that kills
# itself at its n-th writing of a file: when half of the file is written, when all of it is but it
# has not taken its place, or right after it has. Answers with the child's exit status.
KILLED_CHILDREN = """
import json, os, signal, sys
import gridlstm.training.run
from gridlstm.commands import run

fsync, replace, writings = os.fsync, os.replace, 0

def die():
    os.kill(os.getpid(), signal.SIGKILL)

def fsync_or_die(handle):
    global writings
    writings += 1
    if writings == number and moment == "half written":
        os.truncate(f"/proc/self/fd/{handle}", os.fstat(handle).st_size // 2)
        die()
    fsync(handle)

def replace_or_die(aside, path):
    if writings == number and moment == "not in place":
        die()
    replace(aside, path)
    if writings == number and moment == "in place":
        die()

for line in sys.stdin:
    moment, number, arguments = json.loads(line)
    child = os.fork()
    if child == 0:
        os.fsync, os.replace = fsync_or_die, replace_or_die
        os._exit(run(arguments))
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="cuts a file by its entry in /proc/self/fd")
def test_sigkill_in_the_middle_of_a_write(tmp_path, uninterrupted):
    """At each moment of the writing of each of the three files."""
    (tmp_path / "text.txt").write_bytes(TEXT)
    out = tmp_path / "model.safetensors"
    # Each 20th update writes checkpoint, curve and state, the others the state alone.
    moments = ["half written", "not in place", "in place"]
    kills = [(moment, file) for moment in moments for file in range(3)]
    with subprocess.Popen(
        [sys.executable, "-c", KILLED_CHILDREN],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as parent:
        for kill, (moment, file) in enumerate(kills):
            arguments = command(tmp_path, out, *(["--resume"] if kill else []))[3:]
            number = 20 - update_reached(out) % 20 + file
            print(json.dumps([moment, number, arguments]), file=parent.stdin, flush=True)
            assert int(parent.stdout.readline()) == -signal.SIGKILL
            assert_all_whole(out)
            # What this kill left, and nothing of those before.
            left = list(tmp_path.glob(".*"))
            assert len(left) == (moment != "in place")
        parent.stdin.close()
    finish(command(tmp_path, out, "--resume"))
    assert_same_run(out, uninterrupted)


# -- What cannot be resumed -----------------------------------------------------------------------


def refused(config, settings, corpus, out, resume=True) -> str:
    with pytest.raises(ResumeError) as caught:
        train(config, settings, corpus, out, resume=resume)
    message = str(caught.value)
    assert message.endswith(".") and len(message.splitlines()) == 1
    return message


@pytest.fixture
def begun(tmp_path, corpus):
    """A run of a grid that stands at update 5, and all its files."""
    out = tmp_path / "model.safetensors"
    train(GRID, replace(SETTINGS, updates=5), corpus, out)
    return out, {path: path.read_bytes() for path in tmp_path.iterdir()}


@pytest.mark.parametrize(
    ("config", "settings", "named"),
    [
        (replace(GRID, units=9), SETTINGS, "units"),
        (replace(GRID, tie="none"), SETTINGS, "tie"),
        (replace(GRID, dropout=0.1), SETTINGS, "dropout"),
        (STACKED, SETTINGS, "architecture, depth, gates, priority, tie"),
        (GRID, replace(SETTINGS, seed=2), "seed"),
        (GRID, replace(SETTINGS, learning_rate=0.02, clip=1.0), "clip, learning_rate"),
        (GRID, replace(SETTINGS, sequences=8), "sequences"),
        (GRID, replace(SETTINGS, optimiser="adam"), "optimiser"),
        (GRID, replace(SETTINGS, precision="bfloat16"), "precision"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_other_settings_are_named(corpus, begun, config, settings, named):
    out, files = begun
    assert named in refused(config, settings, corpus, out)
    assert {path: path.read_bytes() for path in files} == files


def test_other_data_are_named(tmp_path, begun):
    other = tmp_path / "other.txt"
    other.write_bytes(TEXT.swapcase())
    assert "data" in refused(GRID, SETTINGS, read_corpus(other, 0.9), begun[0])


def test_when_to_stop_validate_and_save_may_change(corpus, begun):
    out, _ = begun
    changed = replace(
        SETTINGS, updates=None, bytes=320, validate_every=4, validation_bytes=50, save_every=2
    )
    train(GRID, changed, corpus, out, resume=True)
    assert [row["update"] for row in rows(out)] == [5, 8]


def test_a_missing_state_is_named(tmp_path, corpus):
    out = tmp_path / "new.safetensors"
    assert "new.state.safetensors" in refused(GRID, SETTINGS, corpus, out)


@pytest.mark.parametrize("fault", ["empty", "cut short", "a checkpoint", "lacks", "misshapen"])
def test_a_broken_state_is_named(corpus, begun, fault):
    out, _ = begun
    path = out.with_suffix(".state.safetensors")
    whole = path.read_bytes()
    with safe_open(path, framework="pt") as file:
        metadata, (_, tensors) = file.metadata(), state(out)
    match fault:
        case "empty":
            path.write_bytes(b"")
        case "cut short":
            path.write_bytes(whole[: len(whole) // 2])
        case "a checkpoint":
            path.write_bytes(out.read_bytes())
        case "lacks":
            del tensors["carried.h"]
            save_file(tensors, path, metadata)
        case "misshapen":
            tensors["model.decoder.weight"] = torch.zeros(3)
            save_file(tensors, path, metadata)
    assert path.name in refused(GRID, SETTINGS, corpus, out)


@pytest.mark.parametrize("document", ["null", "[]", "{}", "not JSON", '{"settings": 3}'])
def test_a_state_with_another_document_is_named(corpus, begun, document):
    out, _ = begun
    path = out.with_suffix(".state.safetensors")
    save_file(state(out)[1], path, {"run": document})
    assert path.name in refused(GRID, SETTINGS, corpus, out)


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (("settings", "sequences"), 4.5),
        (("settings", "sequences"), "4"),
        (("settings", "seed"), True),
        (("settings", "learning_rate"), None),
        (("settings", "surplus"), 1),
        (("model", "units"), 8.0),
        (("model",), []),
        (("sha256",), 7),
        (("progress", "update"), -1),
        (("progress", "update"), 2.5),
        (("progress", "update"), 10**30),
        (("progress", "loss_sum"), "0"),
        (("progress", "loss_sum"), float("nan")),
        (("progress", "points"), {}),
        (("progress", "points"), [{"update": 1}]),
        (("progress", "begun_from"), ["a.safetensors"]),
        (("progress", "finished_at"), "5"),
    ],
    ids=lambda value: str(value),
)
def test_a_state_with_a_wrong_value_is_named(corpus, begun, place, value):
    out, _ = begun
    path = out.with_suffix(".state.safetensors")
    with safe_open(path, framework="pt") as file:
        document, (_, tensors) = json.loads(file.metadata()["run"]), state(out)
    *outer, last = place
    inner = document
    for key in outer:
        inner = inner[key]
    inner[last] = value
    save_file(tensors, path, {"run": json.dumps(document)})
    message = refused(GRID, SETTINGS, corpus, out)
    assert path.name in message


@pytest.mark.parametrize("name", ["optimiser.0.square_avg", "optimiser.0.step", "carried.h"])
@pytest.mark.parametrize("fault", ["lacks", "misshapen", "of another type", "surplus"])
def test_a_state_with_other_tensors_is_named(corpus, begun, name, fault):
    """Also what torch would take as it is, and stumble over in the next update."""
    out, _ = begun
    path = out.with_suffix(".state.safetensors")
    with safe_open(path, framework="pt") as file:
        metadata, (_, tensors) = file.metadata(), state(out)
    assert name in tensors
    match fault:
        case "lacks":
            del tensors[name]
        case "misshapen":
            tensors[name] = tensors[name][None].contiguous()
        case "of another type":
            tensors[name] = tensors[name].double()
        case "surplus":
            tensors[f"{name}.more"] = torch.zeros(3)
    save_file(tensors, path, metadata)
    assert "not a whole training state" in refused(GRID, SETTINGS, corpus, out)


def test_a_state_that_is_changed_while_it_is_read(corpus, begun, monkeypatch):
    out, _ = begun
    path = out.with_suffix(".state.safetensors")
    os.utime(path, (1, 1))
    loads = json.loads

    def cut_then_load(text):
        os.truncate(path, 3000)
        return loads(text)

    monkeypatch.setattr("gridlstm.training.state.json", SimpleNamespace(loads=cut_then_load))
    assert path.name in refused(GRID, SETTINGS, corpus, out)


def test_a_run_is_not_begun_anew_by_mistake(corpus, begun):
    out, files = begun
    assert "--resume" in refused(GRID, SETTINGS, corpus, out, resume=False)
    assert {path: path.read_bytes() for path in files} == files
    # A checkpoint that came without its state, such as a shipped one, is not written over either.
    out.with_suffix(".state.safetensors").unlink()
    assert "another --out" in refused(GRID, SETTINGS, corpus, out, resume=False)
    assert out.read_bytes() == files[out]
