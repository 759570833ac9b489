"""Runs that take turns until their minutes are over, by a clock that only their work moves on."""

import json
import math
import os
import signal
from collections import Counter
from dataclasses import replace
from itertools import pairwise
from types import SimpleNamespace

import pytest
import torch
from conftest import TEXT
from safetensors.numpy import load_file
from test_resume import rows, state

from gridlstm import commands
from gridlstm.backends import gates, grid_walk
from gridlstm.checkpoint import join, load_model, read_metadata
from gridlstm.config import ModelConfig
from gridlstm.corpus import read_corpus
from gridlstm.evaluation import Evaluation
from gridlstm.training import measuring, portions, replay
from gridlstm.training.experiment import (
    TRIAL_UNITS,
    TURN_PLANS,
    Step,
    TurnPlan,
    checkpoint_of,
    find_progress,
    trial_of,
)
from gridlstm.training.learner import Learner
from gridlstm.training.measuring import disagreement
from gridlstm.training.portions import pack
from gridlstm.training.presets import PRESETS
from gridlstm.training.run import Run, train
from gridlstm.training.settings import TrainingSettings
from gridlstm.training.tasks import TextTask, Validation
from gridlstm.training.time_log import TimeLogError, minutes_of, read_log
from gridlstm.training.turns import run_in_turns
from gridlstm.training.ways import PLAIN, Way

SETTINGS = TrainingSettings(
    sequences=4,
    length=5,
    learning_rate=0.01,
    train_fraction=0.9,
    validate_every=3,
    validation_bytes=50,
    precision="float32",
    updates=10_000,
)
MODELS = {
    "stacked-1": ModelConfig("stacked", 1, 6, dropout=0.3),
    "grid-2": ModelConfig("grid", 2, 6, "all", dropout=0.3),
    "grid-1": ModelConfig("grid", 1, 6, "all", dropout=0.3),
    "stacked-2": ModelConfig("stacked", 2, 6, dropout=0.3),
}
# Seconds of an update, which a computer adds up without rounding.
COSTS = {"stacked-1": 0.25, "grid-2": 1.0, "grid-1": 0.5, "stacked-2": 0.75}
POINT = 0.125
PLAN = TurnPlan(
    steps=tuple(Step(name, "wiki", model, SETTINGS) for name, model in MODELS.items()),
    resumed=("stacked-1", "grid-1"),
    brought_home=("grid-2", "stacked-1", "grid-1", "stacked-2"),
    turn=6,
    cooldown=4,
    measured_seconds=30.0,
    measured_updates=8,
)
ORDER = list(MODELS)


class Clock:
    """Moved on by updates and validations. `speed` is a factor of what an update takes."""

    def __init__(self) -> None:
        self.time, self.updates = 1000.0, 0
        self.speed = lambda: 1.0
        self.at_update = lambda number: None

    def now(self) -> float:
        return self.time


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    plain_update, plain_validate = Learner.update, TextTask.validate
    names = {model: name for name, model in MODELS.items()}

    def update(learner, number):
        loss = plain_update(learner, number)
        clock.time += COSTS[names[learner.config]] * clock.speed()
        clock.updates += 1
        clock.at_update(clock.updates)
        return loss

    def validate(task, model, max_bytes=None, progress=None):
        result = plain_validate(task, model, max_bytes, progress)
        clock.time += POINT if max_bytes else 4 * POINT
        return result

    monkeypatch.setattr(Learner, "update", update)
    monkeypatch.setattr(TextTask, "validate", validate)
    # What the measuring chooses is put back.
    monkeypatch.setattr(gates, "fused_kernels_allowed", True)
    monkeypatch.setattr(replay, "recording_allowed", True)
    return clock


@pytest.fixture
def text(tmp_path):
    path = tmp_path / "text.txt"
    path.write_bytes(TEXT)
    return path


@pytest.fixture
def lines():
    """What is said."""
    return []


@pytest.fixture
def run_steps(text, clock, lines):
    """A function that does the plan within so many seconds in a folder."""

    def run_steps(out, seconds, plan=PLAN):
        return run_in_turns(plan, text, out, minutes=seconds / 60, now=clock.now, say=lines.append)

    return run_steps


def log(out):
    return read_log(out / "log.jsonl")


def marks(out, activity):
    return [line for line in log(out) if line.get("activity") == activity]


def notes(out, name):
    return [line for line in log(out) if line.get("note") == name]


def turns_of(out):
    """The models in the order in which they were trained at the full rate."""
    models = [mark["model"] for mark in marks(out, "training")]
    full = [model for model in models if not model.startswith("cooled-")]
    return [model for n, model in enumerate(full) if n == 0 or model != full[n - 1]]


def cooled(name, out):
    return out / f"cooled-{name}.safetensors"


def assert_same_tensors(found, expected):
    _, tensors = state(found)
    _, wanted = state(expected)
    assert tensors.keys() == wanted.keys()
    for name in wanted:
        assert torch.equal(tensors[name], wanted[name]), name


def assert_same_checkpoint(found, expected):
    model, wanted = load_model(found)[0], load_model(expected)[0]
    for name, tensor in wanted.to_tensors().items():
        assert torch.equal(model.to_tensors()[name], tensor), name


def assert_as_trained_alone(out, text):
    """Every run is that of `train`, to as many updates; its cooled one that of `train` with a rate
    that falls over the last updates of as many and the cooldown's more."""
    corpus = read_corpus(text, SETTINGS.train_fraction)
    for step in PLAN.steps:
        reached, _ = find_progress(step, out)
        alone = out / "alone" / f"{step.name}.safetensors"
        train(step.model, replace(SETTINGS, updates=reached), corpus, alone)
        assert_same_tensors(checkpoint_of(step, out), alone)
        assert rows(checkpoint_of(step, out)) == rows(alone)
        assert_same_checkpoint(checkpoint_of(step, out), alone)
        fallen = out / "alone" / f"cooled-{step.name}.safetensors"
        falling = replace(SETTINGS, updates=reached + PLAN.cooldown, cooldown=PLAN.cooldown)
        train(step.model, falling, corpus, fallen)
        assert_same_tensors(cooled(step.name, out), fallen)
        own = [row for row in rows(cooled(step.name, out)) if row["update"] > reached]
        assert own[-1]["update"] == reached + PLAN.cooldown
        assert own[-1] in rows(fallen) or reached % SETTINGS.validate_every
        assert own[-1]["val_loss"] == rows(fallen)[-1]["val_loss"]


# -- Turns and budgets ----------------------------------------------------------------------------


@pytest.mark.parametrize("seconds", [95, 101.5, 113, 130])
def test_equal_budgets_and_a_rate_that_has_fallen_in_time(tmp_path, run_steps, lines, seconds):
    out = tmp_path / "out"
    assert run_steps(out, seconds)
    order = turns_of(out)
    assert order == [ORDER[n % 4] for n in range(len(order))] and len(order) > 4
    (begun,) = notes(out, "cooldown")
    updates = begun["updates"]
    assert max(updates.values()) - min(updates.values()) <= PLAN.turn
    for name, reached in updates.items():
        done = read_metadata(checkpoint_of(PLAN.steps[ORDER.index(name)], out))
        assert done.updates <= reached
        last = rows(cooled(name, out))[-1]
        assert (last["update"], done.model) == (reached + PLAN.cooldown, MODELS[name])
    # Begun at the last moment at which there was enough time, but for one update and its point.
    assert 0 <= begun["reckoned"] - begun["left"] <= max(COSTS.values()) + 2 * POINT
    end = log(out)[-1]["at"]
    assert end <= seconds and seconds - end <= 0.2 * begun["reckoned"] + 2
    assert any("the rate begins to fall" in line for line in lines)


def test_runs_in_turns_are_those_of_train(tmp_path, run_steps, text):
    run_steps(tmp_path / "out", 95)
    assert_as_trained_alone(tmp_path / "out", text)


def test_what_the_cooled_checkpoint_says(tmp_path, run_steps, text):
    out = tmp_path / "out"
    run_steps(out, 95)
    for step in PLAN.steps:
        reached, _ = find_progress(step, out)
        about = read_metadata(cooled(step.name, out))
        assert about.training["begun_from"] == f"{step.name}.safetensors"
        assert about.training["cooldown"] == PLAN.cooldown
        assert reached < about.updates <= reached + PLAN.cooldown
        # Of all that can be predicted in the validation part, which the curve's points are not.
        validation = read_corpus(text, SETTINGS.train_fraction).validation
        for path in (checkpoint_of(step, out), cooled(step.name, out)):
            assert read_metadata(path).validation_bytes == len(validation) - 1
        points = rows(cooled(step.name, out))
        before = [row for row in points if row["update"] <= reached]
        assert before == rows(checkpoint_of(step, out))
        assert points[-1]["learning_rate"] == 0


def test_a_model_that_no_longer_improves_gives_its_turns_away(
    tmp_path, run_steps, lines, monkeypatch
):
    out = tmp_path / "out"
    plan = replace(
        PLAN,
        steps=tuple(replace(s, training=replace(SETTINGS, patience=6)) for s in PLAN.steps),
    )
    plain_validate, times = TextTask.validate, Counter()

    def validate(task, model, *arguments):
        result = plain_validate(task, model, *arguments)
        times[model.config] += 1
        # The second is the worse the longer it is trained; the others are the better.
        sign = 1 if model.config == MODELS["grid-2"] else -1
        return Validation(Evaluation(5 + sign * 0.01 * times[model.config], result.loss.bytes))

    monkeypatch.setattr(TextTask, "validate", validate)
    assert run_steps(out, 110, plan)
    updates = notes(out, "cooldown")[0]["updates"]
    others = [reached for name, reached in updates.items() if name != "grid-2"]
    # Its first point is at update 3; or at 0 of the measuring, which is no point of its curve.
    assert updates["grid-2"] == 9
    assert min(others) > 12 and max(others) - min(others) <= PLAN.turn
    assert sum("grid-2" in line and "gives its turns to the others" in line for line in lines) == 1
    assert rows(cooled("grid-2", out))[-1]["update"] == 9 + PLAN.cooldown


def test_when_none_improves_the_rate_falls_at_once(tmp_path, run_steps, lines, monkeypatch):
    out = tmp_path / "out"
    steps = (replace(s, training=replace(SETTINGS, patience=6)) for s in PLAN.steps)
    worse = iter(range(10_000))

    def validate(task, model, *arguments):
        return Validation(Evaluation(5 + next(worse), 50))

    monkeypatch.setattr(TextTask, "validate", validate)
    assert run_steps(out, 1000, replace(PLAN, steps=tuple(steps)))
    assert set(notes(out, "cooldown")[0]["updates"].values()) == {9}
    assert log(out)[-1]["at"] < 200
    assert any("no model improves" in line for line in lines)


# -- Interrupted ----------------------------------------------------------------------------------


def test_interrupted_again_and_again_it_is_the_same(tmp_path, run_steps, clock, lines):
    """While measuring too, at full rate, and while the rate falls."""
    straight, parts = tmp_path / "straight", tmp_path / "parts"
    run_steps(straight, 100)
    measured = marks(straight, "loading")[0]["from"]
    clock.updates = 0
    signals = (20, 75, 76, 100, *range(115, 165, 5))
    clock.at_update = lambda n: os.kill(os.getpid(), signal.SIGTERM) if n in signals else None
    calls = 1
    while not run_steps(parts, 100 + _lost(parts, measured)):
        calls += 1
        assert calls < 20
    assert calls > 8
    interrupted = {line["call"] for line in notes(parts, "call")} - {calls}
    of_cooled = {m["call"] for m in marks(parts, "training") if m["model"].startswith("cooled")}
    assert interrupted & of_cooled
    assert len({line["call"] for line in log(parts)}) == calls
    assert len(notes(parts, "cooldown")) == 1 and len(notes(parts, "measured")) == 1
    assert notes(parts, "cooldown")[0]["updates"] == notes(straight, "cooldown")[0]["updates"]
    for step in PLAN.steps:
        for name in (step.name, f"cooled-{step.name}"):
            found, expected = (folder / f"{name}.safetensors" for folder in (parts, straight))
            assert_same_tensors(found, expected)
            assert rows(found) == rows(expected)
            assert_same_checkpoint(found, expected)


def _lost(out, measured):
    """The seconds that went into measuring more than in a call that is not interrupted."""
    loading = marks(out, "loading")
    return (loading[0]["from"] if loading else 1000) - measured


def test_killed_it_goes_on_from_the_turns_before(tmp_path, run_steps, clock, text):
    def kill(number):
        if number in (60, 75, 90, 105):
            raise SystemExit

    clock.at_update = kill
    out, kills = tmp_path / "out", 0
    while True:
        try:
            assert run_steps(out, 110)
            break
        except SystemExit:
            kills += 1
    assert kills == 4
    assert_as_trained_alone(out, text)
    updates = [find_progress(step, out)[0] for step in PLAN.steps]
    assert max(updates) - min(updates) <= PLAN.turn


def test_a_complete_plan_is_not_done_again(tmp_path, run_steps, lines):
    out = tmp_path / "out"
    run_steps(out, 95)
    before = {path: path.read_bytes() for path in out.iterdir() if path.is_file()}
    lines.clear()
    assert run_steps(out, 300)
    assert lines == ["nothing to do: all runs are complete"]
    assert {path: path.read_bytes() for path in out.iterdir() if path.is_file()} == before


def test_too_little_time_for_a_falling_rate(tmp_path, run_steps, lines, text):
    out = tmp_path / "out"
    assert not run_steps(out, 45)
    assert any("would not fit in" in line for line in lines)
    assert not notes(out, "cooldown") and not list(out.glob("cooled-*"))
    assert 45 <= log(out)[-1]["at"] < 47
    lines.clear()
    assert not run_steps(out, 45)
    assert any("the time is over" in line for line in lines)
    assert run_steps(out, 95)
    assert_as_trained_alone(out, text)


def test_models_that_know_nothing_are_not_cooled(tmp_path, run_steps, lines):
    """Also not in a later call, where only the first of them have had a turn."""
    out = tmp_path / "out"
    seconds = sum(COSTS.values()) * 8
    while sum(find_progress(step, out)[0] > 0 for step in PLAN.steps) == 0:
        seconds += 1
        assert not run_steps(out, seconds)
    assert sum(find_progress(step, out)[0] > 0 for step in PLAN.steps) < 4
    assert not run_steps(out, seconds + 1)
    assert not notes(out, "cooldown")


# -- The log --------------------------------------------------------------------------------------


def test_no_second_is_missing_from_the_log(tmp_path, run_steps, clock, lines):
    out, begun = tmp_path / "out", clock.time
    clock.at_update = lambda n: os.kill(os.getpid(), signal.SIGINT) if n == 90 else None
    assert not run_steps(out, 100)
    assert run_steps(out, 100)
    timed = [line for line in log(out) if "activity" in line]
    assert timed[0]["from"] == 0
    assert all(one["to"] == next_["from"] for one, next_ in pairwise(timed))
    assert timed[-1]["to"] == clock.time - begun
    table = minutes_of(timed)
    sums = [math.fsum(table[minute].values()) for minute in sorted(table)]
    assert sums[:-1] == pytest.approx([60] * (len(sums) - 1))
    assert sum(sums) == pytest.approx(timed[-1]["to"])
    # The time of an activity is what its updates cost.
    for name, cost in COSTS.items():
        spent = sum(of.get(f"training {name}", 0) for of in table.values())
        updates = sum(m["updates"] for m in marks(out, "training") if m["model"] == name)
        assert spent == pytest.approx(cost * updates)
    # Each call tells its own minutes: of one that both have part in, its part.
    told = Counter()
    for note in notes(out, "minute"):
        told.update({(note["minute"], k): v for k, v in note["seconds"].items()})
    assert told == pytest.approx({(n, k): v for n, of in table.items() for k, v in of.items()})
    assert sum(line.startswith("minute 1: ") for line in lines) >= 1


def test_a_line_cut_by_a_kill_is_left_out(tmp_path, run_steps):
    out = tmp_path / "out"
    run_steps(out, 45)
    whole = log(out)
    with open(out / "log.jsonl", "a", encoding="utf-8") as file:
        file.write('{"call": 1, "from')
    assert log(out) == whole
    assert run_steps(out, 95)


@pytest.mark.parametrize(
    "text",
    [
        "no json\n",
        "[]\n",
        "{}\n",
        '{"call": "1"}\n',
        '{"call": 1, "activity": "x"}\n',
        '{"call": 1, "activity": "x", "from": 5, "to": 3}\n',
        '{"call": 1, "activity": "x", "from": "0", "to": []}\n',
        "[" * 100_000 + "\n",
        "\x00\xff\n",
    ],
)
def test_a_file_that_is_no_log(tmp_path, text):
    path = tmp_path / "log.jsonl"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(TimeLogError, match=r"^log.jsonl is not a log"):
        read_log(path)


# -- What is brought home -------------------------------------------------------------------------


def test_portions_hold_all_and_shards_join_again(tmp_path, run_steps, monkeypatch):
    monkeypatch.setattr(portions, "MAX_FILE_BYTES", 6000)
    monkeypatch.setattr(portions, "MAX_PORTION_BYTES", 20_000)
    out, together = tmp_path / "out", tmp_path / "together"
    run_steps(out, 95)
    folders = sorted((out / "portions").iterdir(), key=lambda path: int(path.name))
    assert len(folders) > 2
    together.mkdir()
    for folder in folders:
        files = list(folder.iterdir())
        assert len(files) <= 8
        shards = [f.stat().st_size for f in files if f.suffix == ".safetensors"]
        assert all(size <= 6000 for size in shards)
        for file in files:
            assert not (together / file.name).exists()
            (together / file.name).write_bytes(file.read_bytes())
    assert (together / "log.jsonl").read_bytes() == (out / "log.jsonl").read_bytes()
    assert (out / "portions" / "1" / "log.jsonl").exists()
    names = [f"{of}{name}" for of in ("", "cooled-") for name in MODELS]
    assert any(len(list(together.glob(f"{name}-0*"))) > 1 for name in names)
    for name in names:
        curve = f"{name}.csv"
        assert (together / curve).read_bytes() == (out / curve).read_bytes()
        joined = tmp_path / "joined.safetensors"
        join(together / f"{name}.safetensors.index.json", joined)
        found, expected = (load_file(path) for path in (joined, out / f"{name}.safetensors"))
        assert found.keys() == expected.keys()
        assert all((found[key] == expected[key]).all() for key in expected)
        assert read_metadata(joined) == read_metadata(out / f"{name}.safetensors")


def test_what_is_named_first_comes_first(tmp_path, monkeypatch):
    monkeypatch.setattr(portions, "MAX_PORTION_BYTES", 100)
    monkeypatch.setattr(portions, "MAX_PORTION_FILES", 3)
    sizes = {"a": 60, "b": 50, "c": 40, "d": 0, "e": 30, "f": 200, "g": 1}
    for name, size in sizes.items():
        (tmp_path / name).write_bytes(bytes(size))
    packed = pack([tmp_path / name for name in sizes])
    assert ["".join(path.name for path in paths) for paths in packed] == ["acd", "beg", "f"]


def test_the_largest_matrix_of_the_plan_fits_into_a_file():
    units = {step.model.units for step in TURN_PLANS["short"].steps}
    assert units == {1000}
    assert 4 * 1000 * 2000 * 2 + 4096 < portions.MAX_FILE_BYTES < 16 * 2**20


# -- The measuring --------------------------------------------------------------------------------

FUSED = Way(fused=True, graphs=True)
ALL_WAYS = [PLAIN, Way(True, False), Way(False, True), FUSED]


def off(update, by):
    """Gates that are wrong."""

    def wrong(*arrays, **others):
        update(*arrays, **others)
        arrays[-1].mul_(1 + by)

    return wrong


def broken(*arrays, **others):
    raise ValueError("no such\nkernel")


KERNELS = {
    "right": (gates.lstm_forward, gates.lstm_backward),
    "wrong": (off(gates.lstm_forward, 0.3), gates.lstm_backward),
    "wrong on the way back": (gates.lstm_forward, off(gates.lstm_backward, 1e-3)),
    "failing": (broken, gates.lstm_backward),
}


@pytest.fixture
def kernels(monkeypatch):
    """A function that gives this device kernels of a kind in KERNELS, and all ways to use them."""

    def give(kind):
        forward, backward = KERNELS[kind]
        module = SimpleNamespace(update=forward, update_backward=backward)

        def fused_kernels(like):
            return module if gates.fused_kernels_allowed else None

        for user in (gates, grid_walk):
            monkeypatch.setattr(user, "fused_kernels", fused_kernels)
        monkeypatch.setattr(measuring, "list_ways", lambda device: ALL_WAYS)

    return give


def speed(fused, graphs):
    """What an update takes by the way that is taken."""
    return lambda: (
        (fused if gates.fused_kernels_allowed else 1) * (graphs if replay.recording_allowed else 1)
    )


@pytest.mark.parametrize(
    ("kind", "factors", "taken", "words"),
    [
        ("right", (0.5, 0.5), FUSED, ["right"]),
        ("right", (2.0, 0.5), Way(False, True), ["fused gates are slower"]),
        ("right", (0.5, 2.0), Way(True, False), ["CUDA graphs are slower"]),
        ("wrong", (0.5, 0.5), Way(False, True), ["WRONG", "fused gates are wrong"]),
        ("wrong on the way back", (0.5, 0.5), Way(False, True), ["WRONG", "are wrong"]),
        ("failing", (0.5, 0.5), Way(False, True), ["FAILED, no such kernel", "are wrong"]),
    ],
)
def test_the_fastest_way_that_is_right_is_taken(
    tmp_path, run_steps, clock, kernels, lines, kind, factors, taken, words
):
    kernels(kind)
    clock.speed = speed(*factors)
    out = tmp_path / "out"
    assert run_steps(out, 200, replace(PLAN, measured_seconds=100.0))
    said = "\n".join(line for line in lines if line.startswith("measured: "))
    assert f"taken: {taken}" in said
    assert all(word in said for word in words), said
    (measured,) = notes(out, "measured")
    assert measured["way"] == vars(taken)
    assert (gates.fused_kernels_allowed, replay.recording_allowed) == (taken.fused, taken.graphs)
    for name, pace in measured["paces"].items():
        factor = (factors[0] if taken.fused else 1) * (factors[1] if taken.graphs else 1)
        assert pace["updates_per_second"] == pytest.approx(1 / (COSTS[name] * factor))
        assert pace["point"] == POINT


def test_losses_tell_what_random_numbers_do_not(tmp_path, run_steps, kernels, lines, monkeypatch):
    """A way whose gates are right and whose training is not."""
    kernels("wrong")
    monkeypatch.setattr(measuring, "largest_gate_error", lambda *_: 0.0)
    run_steps(tmp_path / "out", 200, replace(PLAN, measured_seconds=100.0))
    assert any("grid-2" in line and "WRONG: the " in line for line in lines)
    assert not gates.fused_kernels_allowed


def test_a_resumed_run_that_is_another_is_told(tmp_path, run_steps, lines, monkeypatch):
    run_steps(tmp_path / "right", 45)
    told = [line for line in lines if "interrupted at update" in line]
    assert len(told) == 2 and all(line.endswith("to the last bit") for line in told)
    lines.clear()
    monkeypatch.setattr(Run, "resume", lambda run: None)
    run_steps(tmp_path / "wrong", 45)
    told = [line for line in lines if "interrupted at update" in line]
    assert len(told) == 2 and all(line.endswith("WRONG") for line in told)


def test_measuring_ends_in_its_time(tmp_path, run_steps, clock):
    out = tmp_path / "out"
    plan = replace(PLAN, measured_updates=10_000, measured_seconds=60.0)
    run_steps(out, 200, plan)
    spent = sum(mark["to"] - mark["from"] for mark in marks(out, "measuring"))
    assert 30 < spent <= 70
    # Slow models make as few updates as a measurement needs.
    series = [m for m in marks(out, "measuring") if m["measured"] == "updates"]
    assert all(mark["updates"] >= measuring.MIN_UPDATES for mark in series)


def test_another_machine_is_measured_anew(tmp_path, run_steps, monkeypatch):
    out = tmp_path / "out"
    run_steps(out, 45)
    run_steps(out, 45)
    assert len(notes(out, "measured")) == 1
    monkeypatch.setattr("gridlstm.training.turns.machine_kind", lambda device: "another")
    run_steps(out, 95)
    assert [note["machine"] for note in notes(out, "measured")][1] == "another"


def test_what_losses_may_differ_in():
    falling = [5.5 - 0.01 * n for n in range(200)]
    assert disagreement(falling, falling) is None
    assert (
        disagreement([x + 0.03 * (-1) ** n * (n > 0) for n, x in enumerate(falling)], falling)
        is None
    )
    assert "first" in disagreement([5.6, *falling[1:]], falling)
    assert "mean" in disagreement([5.5, *(x + 0.2 for x in falling[1:])], falling)
    assert "finite" in disagreement([*falling[:50], math.nan], falling)


# -- The plan and the command ---------------------------------------------------------------------


def test_the_plan_is_that_of_the_published_experiment():
    plan = TURN_PLANS["short"]
    names = ("stacked-3", "grid-6", "grid-3", "stacked-6")
    assert [step.name for step in plan.steps] == [f"wiki-{name}" for name in names]
    for step, name in zip(plan.steps, names, strict=True):
        published = PRESETS[f"seed-{name}"]
        assert step.model == published.model
        changed = {"validate_every": 500, "validation_bytes": 65_536}
        assert step.training == replace(published.training, **changed)
    assert (plan.turn, plan.cooldown) == (2000, 1200)
    assert plan.steps[0].training.patience == 8000
    assert set(plan.brought_home) == {step.name for step in plan.steps}
    assert set(plan.resumed) < set(plan.brought_home)


def test_a_trial_is_small_and_otherwise_the_same():
    plan, trial = TURN_PLANS["short"], trial_of(TURN_PLANS["short"])
    for step, tried in zip(plan.steps, trial.steps, strict=True):
        assert tried.model == replace(step.model, units=TRIAL_UNITS)
        assert tried.training.learning_rate == step.training.learning_rate
        assert tried.name == step.name


@pytest.fixture
def arguments(tmp_path, text, monkeypatch):
    monkeypatch.setitem(TURN_PLANS, "short", PLAN)
    return [
        *("experiment", "--preset", "short", "--wiki", str(text)),
        *("--out", str(tmp_path / "out"), "--minutes", "0.01"),
    ]


def test_the_command(tmp_path, arguments, capsys, monkeypatch):
    """By the real clock, with more time each call."""
    quick = replace(PLAN, measured_updates=4, measured_seconds=0.1, cooldown=2)
    monkeypatch.setitem(TURN_PLANS, "short", quick)
    out, calls = tmp_path / "out", 0
    while not all(cooled(name, out).exists() for name in MODELS):
        spent = log(out)[-1]["at"] if calls else 0
        assert commands.run([*arguments, "--minutes", str(spent / 60 + 0.05 * 2**calls)]) == 0
        calls += 1
    printed = capsys.readouterr()
    assert printed.out == "" and "results in" in printed.err
    assert commands.run([*arguments, "--list"]) == 0
    table = capsys.readouterr().out.splitlines()
    assert len(table) == 2 + 8
    assert all(" complete " in row for row in table[6:])


def test_the_list_needs_no_files(capsys):
    assert commands.run(["experiment", "--preset", "short", "--list"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 2 + 8


def test_memory_that_a_machine_lacks_is_one_line(arguments, capsys, monkeypatch):
    def update(learner, number):
        raise RuntimeError("CUDA out of memory.\nTried to allocate much.")

    monkeypatch.setattr(Learner, "update", update)
    assert commands.run(arguments) == 1
    last = capsys.readouterr().err.splitlines()[-1]
    assert "failed" in last and "CUDA out of memory. Tried to allocate much." in last


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        (lambda a: a[:-2], "--minutes"),
        (lambda a: [*a, "--minutes", "nan"], "--minutes"),
        (lambda a: [*a, "--wiki", "nowhere.txt"], "nowhere.txt"),
        (lambda a: [*a, "--preset", "seed", "--trial"], "--trial"),
    ],
    ids=["no minutes", "nan", "missing file", "trial of another"],
)
def test_a_mistake_is_one_line_before_anything_is_done(tmp_path, arguments, capsys, changed, named):
    assert commands.run(changed(arguments)) == 2
    printed = capsys.readouterr()
    assert printed.out == "" and len(printed.err.splitlines()) == 1 and named in printed.err
    assert not (tmp_path / "out").exists()


def test_a_log_of_something_else_is_one_line(tmp_path, arguments, capsys):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "log.jsonl").write_text(json.dumps({"some": "thing"}) + "\n")
    assert commands.run(arguments) == 2
    assert capsys.readouterr().err.splitlines()[-1].endswith("not a log that these runs wrote.")
