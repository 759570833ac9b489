"""The experiment's list of runs, done with models and texts small enough for seconds."""

import itertools
import os
import signal
from dataclasses import asdict, replace
from types import SimpleNamespace

import pytest
from conftest import TEXT
from test_resume import assert_same_run

from gridlstm import commands
from gridlstm.checkpoint import read_metadata
from gridlstm.config import ModelConfig
from gridlstm.corpus import read_corpus
from gridlstm.training import experiment
from gridlstm.training import run as training
from gridlstm.training.experiment import PLANS, Step, find_progress, run_steps
from gridlstm.training.presets import PRESETS, SEED, SMALL
from gridlstm.training.run import Run, train
from gridlstm.training.settings import TrainingSettings
from gridlstm.training.state import MAY_CHANGE, state_path

LONG = TrainingSettings(
    sequences=4,
    length=10,
    learning_rate=0.01,
    train_fraction=0.9,
    validate_every=3,
    save_every=2,
    precision="float32",
    updates=15,
)
SHORT = replace(LONG, updates=6)
STACKED = ModelConfig("stacked", 2, 8, dropout=0.3)
GRID = ModelConfig("grid", 2, 8, "all", dropout=0.3)
PLAN = (
    Step("wiki-stacked", "wiki", STACKED, SHORT),
    Step("wiki-grid", "wiki", GRID, SHORT),
    Step("wiki-stacked", "wiki", STACKED, LONG),
    Step("kernel-grid", "kernel", GRID, LONG),
    Step("wiki-grid", "wiki", GRID, LONG),
)
RUNS = ("wiki-stacked", "wiki-grid", "kernel-grid")


@pytest.fixture
def texts(tmp_path):
    paths = {"wiki": tmp_path / "wiki.txt", "kernel": tmp_path / "kernel.txt"}
    paths["wiki"].write_bytes(TEXT)
    paths["kernel"].write_bytes(TEXT.swapcase())
    return paths


@pytest.fixture
def straight(tmp_path, texts):
    """The checkpoints of the same runs, each made in one go, by name."""
    made = {}
    for step in PLAN[2:]:
        made[step.name] = tmp_path / "straight" / f"{step.name}.safetensors"
        corpus = read_corpus(texts[step.text], step.training.train_fraction)
        train(step.model, step.training, corpus, made[step.name])
    return made


@pytest.fixture
def lines():
    """What the experiment says; give its `append` as `say`."""
    return []


def events(lines) -> list[tuple[str, str]]:
    """Each line as (step's number, the first word of what happened)."""
    return [(line.split("/")[0], line.split(": ")[1].split()[0].rstrip(",")) for line in lines]


def contents(folder):
    return {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in folder.iterdir()}


# -- Doing a plan ---------------------------------------------------------------------------------


def test_all_runs_in_order(tmp_path, texts, straight, lines):
    assert run_steps(PLAN, texts, tmp_path / "out", say=lines.append) == []
    begun = ["begun", "begun", "goes", "begun", "goes"]
    assert events(lines) == [
        event
        for n, first in enumerate(begun, 1)
        for event in ((str(n), first), (str(n), "finished"))
    ]
    assert lines[0].startswith("1/5 wiki-stacked to update 6")
    assert "from update 6" in lines[4]
    for name in RUNS:
        assert_same_run(tmp_path / "out" / f"{name}.safetensors", straight[name])
    assert read_metadata(tmp_path / "out" / "kernel-grid.safetensors").data.name == "kernel.txt"


def test_complete_runs_are_skipped(tmp_path, texts, lines):
    out = tmp_path / "out"
    run_steps(PLAN, texts, out, say=lambda line: None)
    before = contents(out)
    assert run_steps(PLAN, texts, out, say=lines.append) == []
    assert events(lines) == [(str(n), "skipped") for n in range(1, 6)]
    assert contents(out) == before


def test_a_longer_list_goes_on_from_a_shorter_one(tmp_path, texts, straight, lines):
    out = tmp_path / "out"
    run_steps(PLAN[:2], texts, out, say=lambda line: None)
    run_steps(PLAN, texts, out, say=lines.append)
    assert events(lines)[:3] == [("1", "skipped"), ("2", "skipped"), ("3", "goes")]
    for name in RUNS:
        assert_same_run(out / f"{name}.safetensors", straight[name])


def test_minutes_bound_the_whole_call(tmp_path, texts, straight, lines, monkeypatch):
    """Each call goes on where the one before stopped, to the same numbers."""
    ticks = itertools.count()  # a clock that goes a second each time that it is read
    clock = SimpleNamespace(monotonic=lambda: next(ticks))
    monkeypatch.setattr(training, "time", clock)
    monkeypatch.setattr(experiment, "time", clock)
    out, stopped_at = tmp_path / "out", []
    while not all(find_progress(step, out)[1] for step in PLAN):
        lines.clear()
        began = next(ticks)
        assert run_steps(PLAN, texts, out, minutes=0.25, say=lines.append) == []
        assert next(ticks) - began <= 15 + 5
        last, words = events(lines)[-1], [word for _, word in events(lines)]
        assert last[1] in ("stopped", "not", "finished")
        assert not {"stopped", "not"} & set(words[:-1])
        stopped_at.append(last)
    numbers = [int(number) for number, _ in stopped_at]
    assert numbers == sorted(numbers) and len(numbers) > 5
    assert {"stopped", "finished"} <= {word for _, word in stopped_at}
    for name in RUNS:
        assert_same_run(out / f"{name}.safetensors", straight[name])


def test_nothing_is_begun_when_the_time_is_over(tmp_path, texts, lines):
    assert run_steps(PLAN, texts, tmp_path / "out", minutes=0, say=lines.append) == []
    assert events(lines) == [("1", "not")]
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["SIGINT", "SIGTERM"])
def test_a_signal_ends_the_call_not_the_run_alone(
    tmp_path, texts, straight, lines, monkeypatch, number
):
    plain_update, updates = Run._update, itertools.count(1)

    def interrupted_update(run):
        loss = plain_update(run)
        if next(updates) == 10:  # the fourth of the second step
            os.kill(os.getpid(), number)
        return loss

    monkeypatch.setattr(Run, "_update", interrupted_update)
    assert run_steps(PLAN, texts, tmp_path / "out", say=lines.append) == []
    assert events(lines)[-2:] == [("2", "begun"), ("2", "stopped")]
    assert "at update 4" in lines[-1]
    lines.clear()
    run_steps(PLAN, texts, tmp_path / "out", say=lines.append)
    assert events(lines)[:3] == [("1", "skipped"), ("2", "goes"), ("2", "finished")]
    for name in RUNS:
        assert_same_run(tmp_path / "out" / f"{name}.safetensors", straight[name])


def test_asked_to_stop_before_the_first_update(tmp_path, texts, straight, lines, monkeypatch):
    """The state is then that of update 0, and there is no checkpoint."""
    with monkeypatch.context() as patch:
        ticks = itertools.count(step=30)
        patch.setattr(experiment, "time", SimpleNamespace(monotonic=lambda: next(ticks)))
        patch.setattr(training, "time", SimpleNamespace(monotonic=lambda: 100.0))
        run_steps(PLAN, texts, tmp_path / "out", minutes=1, say=lines.append)
    assert "stopped at update 0" in lines[-1]
    assert state_path(tmp_path / "out" / "wiki-stacked.safetensors").exists()
    assert run_steps(PLAN, texts, tmp_path / "out", say=lines.append) == []
    for name in RUNS:
        assert_same_run(tmp_path / "out" / f"{name}.safetensors", straight[name])


# -- What goes wrong ------------------------------------------------------------------------------


def broken_state(out):
    out.mkdir()
    state_path(out / "wiki-grid.safetensors").write_bytes(b"no state")


def foreign_checkpoint(out):
    out.mkdir()
    (out / "wiki-grid.safetensors").write_bytes(b"came without its state")


@pytest.mark.parametrize("spoil", [broken_state, foreign_checkpoint])
def test_a_run_that_cannot_be_done_is_named_and_the_others_go_on(tmp_path, texts, lines, spoil):
    out = tmp_path / "out"
    spoil(out)
    before = contents(out)
    assert run_steps(PLAN, texts, out, say=lines.append) == ["wiki-grid", "wiki-grid"]
    named = [line for line in lines if "failed" in line]
    assert len(named) == 2 and all("wiki-grid" in line.split("failed")[1] for line in named)
    assert [find_progress(step, out)[1] for step in (PLAN[0], PLAN[2], PLAN[3])] == [True] * 3
    assert before.items() <= contents(out).items()


def test_a_text_too_short_is_the_fault_of_its_runs_alone(tmp_path, texts, lines):
    texts["kernel"].write_bytes(b"short")
    assert run_steps(PLAN, texts, tmp_path / "out", say=lines.append) == ["kernel-grid"]
    assert find_progress(PLAN[4], tmp_path / "out") == (15, True)
    assert all("\n" not in line for line in lines)


def test_memory_that_a_machine_lacks_is_named(tmp_path, texts, lines, monkeypatch):
    plain_update = Run._update

    def update(run):
        if run.config == GRID:
            raise RuntimeError("CUDA out of memory.\nTried to allocate much.")
        return plain_update(run)

    monkeypatch.setattr(Run, "_update", update)
    failed = run_steps(PLAN, texts, tmp_path / "out", say=lines.append)
    assert failed == ["wiki-grid", "kernel-grid", "wiki-grid"]
    assert lines[3].endswith("failed, CUDA out of memory. Tried to allocate much.")
    assert find_progress(PLAN[2], tmp_path / "out") == (15, True)


# -- The plans themselves -------------------------------------------------------------------------


@pytest.mark.parametrize("plan", PLANS.values(), ids=PLANS)
def test_later_steps_of_a_run_only_go_further(plan):
    runs = {}
    for step in plan:
        fixed = {k: v for k, v in asdict(step.training).items() if k not in MAY_CHANGE}
        made_of = step.text, step.model, fixed
        assert runs.setdefault(step.name, (made_of, 0))[0] == made_of
        assert step.training.goal > runs[step.name][1]
        runs[step.name] = made_of, step.training.goal
    assert len({str(made_of) for made_of, _ in runs.values()}) == len(runs)


@pytest.mark.parametrize("name", PLANS)
def test_all_four_models_come_first_at_an_equal_budget(name):
    preset = {"seed": SEED, "small": SMALL}[name]
    four = {preset.model for key, preset in PRESETS.items() if key.startswith(name)}
    short, long = PLANS[name][:4], PLANS[name][4:8]
    for steps in (short, long):
        assert {step.model for step in steps} == four
        assert {step.text for step in steps} == {"wiki"}
        assert len({step.training for step in steps}) == 1
    assert long[0].training == preset
    assert short[0].training.goal % preset.validate_every == 0
    if name == "seed":
        assert (short[0].training.updates, long[0].training.updates) == (8000, 90_000)
        assert long[0].training.patience == 8000
    else:
        assert long[0].training.bytes == 20_000_000


def test_the_other_runs_of_the_experiment():
    seed = {step.name: step for step in PLANS["seed"]}
    for layers in (3, 6):
        for architecture in ("grid", "stacked"):
            model = PRESETS[f"seed-{architecture}-{layers}"].model
            assert seed[f"kernel-{architecture}-{layers}"].model == model
        tied = seed[f"wiki-grid-{layers}-tie-depth"]
        assert tied.model == replace(seed[f"wiki-grid-{layers}"].model, tie="depth")
    for plan in (seed, {step.name: step for step in PLANS["small"]}):
        for architecture in ("grid", "stacked"):
            bare = plan[f"wiki-{architecture}-6-no-dropout"]
            assert bare.model == replace(plan[f"wiki-{architecture}-6"].model, dropout=0.0)
            assert (bare.training.scale, bare.training.learning_rate) == (0.08, 0.001)
    fed = [step for name, step in seed.items() if "better-fed" in name]
    assert {(step.model.architecture, step.model.layers) for step in fed} == {
        ("grid", 6),
        ("stacked", 3),
    }
    assert len({step.training for step in fed}) == 1
    assert fed[0].training.bytes_an_update > SEED.bytes_an_update


# -- The command ----------------------------------------------------------------------------------


@pytest.fixture
def arguments(tmp_path, texts, monkeypatch):
    """The command with the small plan in place of a published one."""
    monkeypatch.setitem(PLANS, "seed", PLAN)
    files = [f"--{name}={path}" for name, path in texts.items()]
    return ["experiment", "--preset", "seed", *files, "--out", str(tmp_path / "out")]


def test_the_command(tmp_path, arguments, texts, capsys):
    assert commands.run(arguments) == 0
    printed = capsys.readouterr()
    assert printed.out == ""
    assert "1/5 wiki-stacked to update 6: begun" in printed.err.splitlines()
    assert "5/5 wiki-grid to update 15: finished at update 15" in printed.err.splitlines()
    texts["kernel"].write_bytes(b"short")
    for path in (tmp_path / "out").glob("kernel-grid*"):
        path.unlink()
    assert commands.run(arguments) == 1


def test_the_list_says_where_the_runs_stand(tmp_path, arguments, texts, capsys):
    run_steps(PLAN[:3], texts, tmp_path / "out", say=lambda line: None)
    assert commands.run([*arguments, "--list"]) == 0
    listed = capsys.readouterr().out.splitlines()
    table = [[cell.strip() for cell in line.strip("|").split("|")] for line in listed]
    rows = [dict(zip(table[0], row, strict=True)) for row in table[2:]]
    assert [row["run"] for row in rows] == [step.name for step in PLAN]
    assert [row["to update"] for row in rows] == ["6", "6", "15", "15", "15"]
    assert [row["stands"] for row in rows] == [
        *["complete"] * 3,
        "at update 0",
        "at update 6",
    ]


@pytest.mark.parametrize("name", PLANS)
def test_the_list_needs_no_files(capsys, name):
    assert commands.run(["experiment", "--preset", name, "--list"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == len(PLANS[name]) + 2


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        (lambda a: [part for part in a if "--wiki" not in part], "--wiki"),
        (lambda a: [part for part in a if "--kernel" not in part], "--kernel"),
        (lambda a: [*a, "--wiki", "nowhere.txt"], "nowhere.txt"),
        (lambda a: a[:-2], "--out"),
        (lambda a: [*a, "--minutes", "0"], "--minutes"),
        (lambda a: [*a, "--minutes", "nan"], "--minutes"),
        (lambda a: [*a, "--preset", "huge"], "huge"),
        (lambda a: [*a, "--out", a[3].removeprefix("--wiki=") + "/out"], "wiki.txt"),
    ],
    ids=["no wiki", "no kernel", "missing file", "no out", "0", "nan", "preset", "out in a file"],
)
def test_a_mistake_is_one_line_before_anything_is_done(tmp_path, arguments, capsys, changed, named):
    try:
        status = commands.run(changed(arguments))
    except SystemExit as exit:
        status = exit.code
    printed = capsys.readouterr()
    assert (status, printed.out) == (2, "")
    assert len(printed.err.splitlines()) == 1 and named in printed.err
    assert not (tmp_path / "out").exists()
