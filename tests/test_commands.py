"""The commands as a user runs them, and what importing the package costs."""

import gzip
import json
import os
import pkgutil
import platform
import subprocess
import sys
from dataclasses import replace
from importlib.util import find_spec

import numpy as np
import pytest

import gridlstm.analysis
from gridlstm import commands
from gridlstm.checkpoint import (
    Data,
    Metadata,
    load_model,
    read_metadata,
    read_tensors,
    write_checkpoint,
)
from gridlstm.commands import memory
from gridlstm.commands.options import read_text
from gridlstm.evaluation import evaluate
from gridlstm.sampling import sample
from gridlstm.trace import trace
from gridlstm.training.presets import PRESETS

TEXT = "Grüße from http://example.org/, a cat sat on a mat.\n".encode() * 40
MODEL = {"architecture": "grid", "tie": "all", "layers": 2, "units": 8}
SMALL = [f"--{name}={value}" for name, value in {**MODEL, "sequences": 4, "length": 10}.items()]


@pytest.fixture
def folder(tmp_path, make_model, monkeypatch):
    """The folder to work in, which holds a text, a checkpoint and broken ones."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "text.txt").write_bytes(TEXT)
    (tmp_path / "empty.txt").write_bytes(b"")
    (tmp_path / "broken.xz").write_bytes(b"no archive")
    (tmp_path / "broken.safetensors").write_bytes(b"no checkpoint")
    (tmp_path / "folder.safetensors").mkdir()
    model = make_model("grid", 2, 4, "depth")
    data = Data("text.txt", "", len(TEXT), 0.75, 3.0)
    tensors = {name: tensor.detach().numpy() for name, tensor in model.to_tensors().items()}
    write_checkpoint(tmp_path / "model.safetensors", tensors, Metadata(model.config, data))
    return tmp_path


def command(*arguments):
    return subprocess.run(
        [sys.executable, "-m", "gridlstm", *arguments], capture_output=True, text=True, timeout=300
    )


@pytest.mark.parametrize(
    ("part", "data"),
    [
        ([], TEXT),
        (["--part", "train"], TEXT[: int(len(TEXT) * 0.75)]),
        (["--part", "validation"], TEXT[int(len(TEXT) * 0.75) :]),
    ],
)
def test_evaluate_prints_one_json_object(folder, make_model, capsys, part, data):
    assert commands.run(["evaluate", "model.safetensors", "text.txt", *part]) == 0
    printed = json.loads(capsys.readouterr().out)
    expected = evaluate(make_model("grid", 2, 4, "depth"), np.frombuffer(data, np.uint8))
    characters = len(data[1:].decode(errors="replace"))
    assert printed == {
        "nats_per_byte": pytest.approx(expected.nats_per_byte),
        "bits_per_byte": pytest.approx(expected.nats_per_byte / np.log(2)),
        "bytes": len(data) - 1,
        "nats_per_character": pytest.approx(expected.nats_per_byte * (len(data) - 1) / characters),
        "characters": characters,
        **dict.fromkeys(("unknown", "skipped", "lowered"), 0),
        "comparable": True,
    }


def test_evaluate_as_a_program(folder):
    done = command("evaluate", "model.safetensors", "text.txt")
    assert (done.returncode, done.stderr) == (0, "")
    assert {"nats_per_byte", "bits_per_byte", "bytes"} < json.loads(done.stdout).keys()


def test_trace_writes_what_the_library_gives(folder, make_model, capsys):
    model = make_model("grid", 2, 4, "depth")
    for options, expected in (
        ([], trace(model, TEXT)),
        (["--dtype", "float32"], trace(model, TEXT, dtype=np.float32)),
        (
            ["--quantities", "time.cell", "depth.forget"],
            trace(model, TEXT, ["time.cell", "depth.forget"]),
        ),
    ):
        arguments = ["trace", "model.safetensors", "text.txt", "--out", "deep/trace.npz", *options]
        assert commands.run(arguments) == 0
        with np.load(folder / "deep" / "trace.npz") as written:
            assert set(written) == {*expected.quantities, "loss", "next_token", "tokens"}
            for quantity, values in expected.values.items():
                assert written[quantity].dtype == values.dtype
                np.testing.assert_array_equal(written[quantity], values)
            np.testing.assert_array_equal(written["loss"], expected.loss)
            np.testing.assert_array_equal(written["next_token"], expected.next_token)
            np.testing.assert_array_equal(written["tokens"], list(TEXT))
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("codec", "named"),
    [("utf-16-le", "UTF-16, little-endian"), ("utf-16", "UTF-16"), ("cp1252", "Windows-1252")],
)
def test_sample_reads_a_file_as_the_text_that_it_is(folder, capsysbinary, codec, named):
    """Not the zeros of UTF-16, byte by byte: what is written is the same."""
    prime = "Grüße aus München, wo die Straßen größer sind als üblich.\n"
    written = []
    for encoding in ("utf-8", codec):
        (folder / "prime.txt").write_bytes(prime.encode(encoding))
        arguments = ["sample", "model.safetensors", "--prime-file", "prime.txt", "--length", "30"]
        assert commands.run(arguments) == 0
        written.append(capsysbinary.readouterr())
    assert written[0].out == written[1].out and len(written[0].out) == 30
    assert written[0].err == b""
    assert f"read as {named}" in written[1].err.decode()


def test_sample_goes_on_with_a_text_cut_in_mid_character(folder, capsysbinary):
    """As `head -c` leaves one: the model reads these very bytes."""
    prime = "Grüße 世界".encode()[:-1]
    (folder / "prime.txt").write_bytes(prime)
    arguments = ["sample", "model.safetensors", "--prime-file", "prime.txt", "--length", "20"]
    assert commands.run(arguments) == 0
    printed = capsysbinary.readouterr()
    model, _ = load_model(folder / "model.safetensors")
    assert printed.out == bytes(sample(model, prime, 20, seed=1))
    assert printed.err == b""


def test_an_encoding_that_is_chosen(folder, capsysbinary):
    (folder / "prime.txt").write_bytes(b"Gr\x81\xe1e aus M\x81nchen\r")
    arguments = ["sample", "model.safetensors", "--prime-file", "prime.txt", "--length", "20"]
    assert commands.run([*arguments, "--encoding", "cp850"]) == 0
    printed = capsysbinary.readouterr()
    model, _ = load_model(folder / "model.safetensors")
    assert printed.out == bytes(sample(model, "Grüße aus München\n".encode(), 20, seed=1))
    assert b"read as DOS 850 (Western), as chosen." in printed.err
    with pytest.raises(SystemExit):
        commands.run([*arguments, "--encoding", "rot13"])
    assert len(capsysbinary.readouterr().err.splitlines()) == 1


@pytest.fixture
def bomb(folder):
    """30 kB that expand to 30 MB, damaged at their end: they are not read as far as that."""
    packed = gzip.compress(TEXT * (30_000_000 // len(TEXT)), compresslevel=9)
    assert len(packed) < 150_000
    (folder / "bomb.txt.gz").write_bytes(packed[:-100])
    return "bomb.txt.gz"


@pytest.mark.parametrize("arguments", [
    ["find", "--property", "url", "--bytes", "3000", "--top", "1"],
    ["probe", "--property", "url", "--layer", "1"],
    ["provenance"],
])  # fmt: skip
def test_of_a_compressed_file_only_what_is_used_is_read(
    folder, bomb, capsys, monkeypatch, arguments
):
    monkeypatch.setattr(read_text, "__defaults__", (None, 3000))
    name, *more = arguments
    assert commands.run([name, "model.safetensors", bomb, *more]) == 0
    assert "are shown" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["trace", "sample", "evaluate"])
def test_what_must_be_read_whole_has_a_limit(folder, bomb, capsys, monkeypatch, command):
    monkeypatch.setattr(commands.trace, "MAX_TRACED_BYTES", 5000)
    monkeypatch.setattr(commands.sample, "MAX_PRIME_FILE_BYTES", 5000)
    monkeypatch.setattr("gridlstm.corpus.MAX_WHOLE_BYTES", 5000)
    more = {
        "trace": [bomb, "--out", "t.npz"],
        "sample": ["--prime-file", bomb],
        "evaluate": [bomb],
    }[command]
    assert commands.run([command, "model.safetensors", *more]) == 2
    printed = capsys.readouterr()
    assert printed.out == "" and len(printed.err.splitlines()) == 1
    assert "5,000 bytes" in printed.err and bomb in printed.err
    assert not (folder / "t.npz").exists()


@pytest.mark.parametrize(
    ("use", "layers"),
    [("trace of 2,000 tokens", "at once"), ("sampling, token by token", "in place")],
)
def test_describe_tells_the_plan_and_its_reasons(folder, capsys, use, layers):
    assert commands.run(["describe", str(folder / "model.safetensors"), "--plan"]) == 0
    plans = json.loads(capsys.readouterr().out)["plan"]
    assert plans[use]["layers"] == layers and plans[use]["reasons"]
    assert plans["training"]["order"] in ("diagonals", "layer by layer")


def test_describe_prints_the_metadata_of_each_checkpoint(folder, capsys):
    path = str(folder / "model.safetensors")
    assert commands.run(["describe", path, path]) == 0
    first, second = map(json.loads, capsys.readouterr().out.splitlines())
    metadata = read_metadata(folder / "model.safetensors")
    assert first == second
    assert first["file"] == "model.safetensors"
    assert first["model"]["layers"] == metadata.model.layers
    assert first["data"]["sha256"] == metadata.data.sha256


def test_train_then_evaluate_as_programs(folder):
    """Nothing but results on standard output, and the stated loss is the measured one."""
    options = ["--preset", "small-grid-3", *SMALL, "--updates", "30", "--validate-every", "10"]
    trained = command("train", "text.txt", "--out", "new/model.safetensors", *options)
    assert (trained.returncode, trained.stdout) == (0, "")
    about = read_metadata(folder / "new" / "model.safetensors")
    preset = PRESETS["small-grid-3"]
    assert (about.model.layers, about.model.units, about.model.dropout) == (2, 8, 0.25)
    assert about.training["learning_rate"] == preset.training.learning_rate
    assert (about.training["updates"], about.training["bytes"]) == (30, None)

    result = command("evaluate", "new/model.safetensors", "text.txt", "--part", "validation")
    assert (result.returncode, result.stderr) == (0, "")
    measured = json.loads(result.stdout)["nats_per_byte"]
    assert measured == pytest.approx(about.validation_loss, rel=0.005)


def test_train_from_a_checkpoint_needs_no_name_of_its_model(folder):
    about = read_metadata(folder / "model.safetensors")
    end = str(about.updates + 2)
    options = ["--sequences", "2", "--length", "10", "--updates", end, "--cooldown", "2"]
    out = ["--from", "model.safetensors", "--out", "new/cooled.safetensors"]
    trained = command("train", "text.txt", *out, *options)
    assert (trained.returncode, trained.stdout) == (0, "")
    cooled = read_metadata(folder / "new" / "cooled.safetensors")
    assert (cooled.model, cooled.updates) == (about.model, about.updates + 2)
    assert cooled.training["begun_from"] == "model.safetensors"


OUT = ["--out", "new.safetensors", "--updates", "3"]


@pytest.mark.parametrize("architecture", ["grid", "gru"])
def test_train_needs_no_more_than_it_says_it_needs(folder, architecture):
    """Architecture, layers, units and a stop; a grid's layers then share all weights."""
    model = ["--architecture", architecture, "--layers", "2", "--units", "16"]
    few = ["--sequences", "4", "--length", "10"]
    assert commands.run(["train", "text.txt", *OUT, *model, *few]) == 0
    about = read_metadata(folder / "new.safetensors")
    assert about.model.tie == {"grid": "all", "gru": None}[architecture]


def test_resume_alone_takes_the_model_and_all_settings_from_the_state(folder, capsys):
    """As one run that was told all of it, to the last bit."""
    told = [*SMALL, "--seed", "3", "--validate-every", "4", "--learning-rate", "0.01"]
    for out, updates in (("straight", "12"), ("parts", "6")):
        out = ["--out", f"{out}.safetensors", "--updates", updates]
        assert commands.run(["train", "text.txt", *out, *told]) == 0
    out = ["--out", "parts.safetensors"]
    assert commands.run(["train", "text.txt", *out, "--resume", "--updates", "12"]) == 0
    found, expected = (read_metadata(folder / f"{n}.safetensors") for n in ("parts", "straight"))
    assert replace(found, seconds=0) == replace(expected, seconds=0)
    weights = [read_tensors(folder / f"{n}.safetensors", expected) for n in ("parts", "straight")]
    for name, tensor in weights[1].items():
        np.testing.assert_array_equal(weights[0][name], tensor)
    # Nothing left to do, and nothing to be said either.
    assert commands.run(["train", "text.txt", *out, "--resume"]) == 0
    capsys.readouterr()
    for other in (["--units", "9"], ["--seed", "4"]):
        assert commands.run(["train", "text.txt", *out, "--resume", *other]) == 2
        assert other[0].strip("-") in capsys.readouterr().err
    assert commands.run(["train", *out, "--resume"]) == 2
    assert "file of data" in capsys.readouterr().err


def test_a_resumed_run_of_sums_needs_no_file(folder):
    task = ["--task", "addition", "--digits", "2"]
    model = ["--architecture", "gru", "--layers", "1", "--units", "8", "--sequences", "4"]
    out = ["--out", "sums.safetensors"]
    assert commands.run(["train", *out, *task, *model, "--updates", "2"]) == 0
    assert commands.run(["train", *out, "--resume", "--updates", "4"]) == 0
    assert read_metadata(folder / "sums.safetensors").training["updates"] == 4


@pytest.mark.parametrize("optimiser", ["rmsprop", "adam"])
@pytest.mark.parametrize("updates", ["1", "5"])
def test_a_training_that_diverges_is_one_sentence_and_status_2(folder, capsys, optimiser, updates):
    options = ["--learning-rate", "9e18", "--optimiser", optimiser, "--updates", updates]
    out = ["--out", "new.safetensors"]
    assert commands.run(["train", "text.txt", *out, *SMALL, *options]) == 2
    printed = capsys.readouterr()
    last = printed.err.splitlines()[-1]
    assert "has diverged" in last and "no checkpoint yet" in last and last.endswith(".")
    assert printed.out == "" and "Traceback" not in printed.err
    assert not (folder / "new.safetensors").exists()


MISTAKES = {
    "no command": ([], "COMMAND"),
    "another command": (["improve"], "improve"),
    "train: no data": (["train", *OUT, *SMALL], "data"),
    "train: no --out": (["train", "text.txt", *SMALL, "--updates", "3"], "--out"),
    "train: missing file": (["train", "nowhere.txt", *OUT, *SMALL], "nowhere.txt"),
    "train: empty file": (["train", "empty.txt", *OUT, *SMALL], "empty.txt"),
    "train: no checkpoint to begin from": (
        ["train", "text.txt", *OUT, "--from", "nowhere.safetensors"],
        "nowhere.safetensors",
    ),
    "train: both --from and --resume": (
        ["train", "text.txt", *OUT, "--from", "model.safetensors", "--resume"],
        "--resume",
    ),
    "train: broken archive": (["train", "broken.xz", *OUT, *SMALL], "broken.xz"),
    "train: no stop": (["train", "text.txt", "--out", "new.safetensors", *SMALL], "--updates"),
    "train: no model": (["train", "text.txt", *OUT], "--architecture"),
    "train: another preset": (["train", "text.txt", *OUT, "--preset", "huge"], "huge"),
    "train: wrong ending": (
        ["train", "text.txt", "--out", "new.pt", "--updates", "3", *SMALL],
        ".safetensors",
    ),
    "train: --out is a folder": (
        ["train", "text.txt", "--out", "folder.safetensors", "--updates", "3", *SMALL],
        "folder.safetensors",
    ),
    "train: --out in a file": (
        ["train", "text.txt", "--out", "text.txt/new.safetensors", "--updates", "3", *SMALL],
        "text.txt",
    ),
    "train: tie of a stacked model": (
        ["train", "text.txt", *OUT, *SMALL, "--architecture", "stacked"],
        "tie",
    ),
    "train: tie of a stacked preset": (
        ["train", "text.txt", *OUT, "--preset", "small-stacked-3", "--tie", "all"],
        "tie",
    ),
    "train: another tie": (["train", "text.txt", *OUT, *SMALL, "--tie", "time"], "--tie"),
    "train: text for a number": (["train", "text.txt", *OUT, *SMALL, "--clip", "much"], "--clip"),
    "train: setting out of range": (
        ["train", "text.txt", *OUT, *SMALL, "--dropout", "1"],
        "Dropout",
    ),
    "train: text too short": (
        ["train", "text.txt", *OUT, *SMALL, "--sequences", "5000"],
        "5000 sequences",
    ),
    "train: another device": (["train", "text.txt", *OUT, *SMALL, "--device", "abacus"], "abacus"),
    "train: nothing to resume": (["train", "text.txt", *OUT, *SMALL, "--resume"], "new.state"),
    "evaluate: missing checkpoint": (["evaluate", "nowhere.safetensors", "text.txt"], "nowhere"),
    "evaluate: broken checkpoint": (["evaluate", "broken.safetensors", "text.txt"], "safetensors"),
    "evaluate: folder": (["evaluate", "folder.safetensors", "text.txt"], "safetensors"),
    "evaluate: missing file": (["evaluate", "model.safetensors", "nowhere.txt"], "nowhere.txt"),
    "evaluate: empty file": (["evaluate", "model.safetensors", "empty.txt"], "two bytes"),
    "evaluate: another part": (
        ["evaluate", "model.safetensors", "text.txt", "--part", "best"],
        "best",
    ),
    "trace: no --out": (["trace", "model.safetensors", "text.txt"], "--out"),
    "trace: broken checkpoint": (
        ["trace", "broken.safetensors", "text.txt", "--out", "new.npz"],
        "safetensors",
    ),
    "trace: empty file": (["trace", "model.safetensors", "empty.txt", "--out", "t.npz"], "empty"),
    "trace: another quantity": (
        ["trace", "model.safetensors", "text.txt", "--out", "t.npz", "--quantities", "soul"],
        "soul",
    ),
    "trace: --out is a folder": (
        ["trace", "model.safetensors", "text.txt", "--out", "folder.safetensors"],
        "folder.safetensors",
    ),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_one_line_and_status_2(folder, capsys, mistake):
    arguments, named = MISTAKES[mistake]
    before = set(folder.iterdir())
    try:
        status = commands.run(arguments)
    except SystemExit as exit:  # argparse leaves by itself
        status = exit.code
    printed = capsys.readouterr()
    assert (status, printed.out) == (2, "")
    assert len(printed.err.splitlines()) == 1 and named in printed.err
    assert set(folder.iterdir()) == before


def test_a_mistake_as_a_program(folder):
    done = command("evaluate", "broken.safetensors", "text.txt")
    assert (done.returncode, done.stdout) == (2, "")
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    "words", [["describe", "model.safetensors"], ["experiment", "--list", "--preset", "seed"]]
)
def test_results_that_nobody_reads_on_end_quietly(folder, words):
    """As with `| head`, of which the reader may be gone before anything is written."""
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(
        [sys.executable, "-m", "gridlstm", *words],
        stdout=writing,
        stderr=subprocess.PIPE,
        text=True,
        timeout=300,
    )
    os.close(writing)
    assert (done.returncode, done.stderr) == (0, "")


def test_help_names_every_option(capsys):
    for words, mentioned in (
        (["--help"], ["train", "evaluate", "trace"]),
        (["train", "--help"], ["--preset", "--resume", "--learning-rate", "--tie", "--minutes"]),
    ):
        with pytest.raises(SystemExit) as exit:
            commands.run(words)
        assert exit.value.code == 0
        printed = capsys.readouterr().out
        assert all(word in printed for word in mentioned)


def imported_after(statement) -> set[str]:
    """The modules that a fresh process has loaded after a statement."""
    script = f"import sys\n{statement}\nprint(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return set(done.stdout.split())


@pytest.mark.parametrize(
    "given, expected",
    [
        ({}, {"OMP_WAIT_POLICY": "PASSIVE", "GOMP_SPINCOUNT": "5000"}),
        ({"GOMP_SPINCOUNT": "7"}, {"GOMP_SPINCOUNT": "7"}),
        ({"OMP_WAIT_POLICY": "ACTIVE"}, {"OMP_WAIT_POLICY": "ACTIVE"}),
    ],
)
def test_how_long_threads_wait_is_set_before_torch_unless_it_is_given(given, expected):
    names = "OMP_WAIT_POLICY", "GOMP_SPINCOUNT"
    script = (
        "import os, sys, gridlstm, json\n"
        "assert 'torch' not in sys.modules\n"
        f"print(json.dumps({{n: os.environ[n] for n in {names} if n in os.environ}}))"
    )
    environment = {name: value for name, value in os.environ.items() if name not in names}
    done = subprocess.run(
        [sys.executable, "-c", script], env=environment | given, capture_output=True, text=True
    )
    assert json.loads(done.stdout) == expected, done.stderr


def faults_of_asking_again(**given: str) -> int:
    """The pages that a process which keeps freed memory has to fetch for 64 MB, asked for, filled
    and freed twenty times after the first."""
    script = (
        "from resource import getrusage, RUSAGE_SELF\n"
        "from gridlstm.commands.memory import keep_freed_memory\n"
        "keep_freed_memory()\n"
        "fetched = []\n"
        "for _ in range(21):\n"
        "    bytearray(b'x') * 2**26\n"
        "    fetched.append(getrusage(RUSAGE_SELF).ru_minflt)\n"
        "print(fetched[-1] - fetched[0])"
    )
    environment = {name: value for name, value in os.environ.items() if "MALLOC" not in name}
    done = subprocess.run(
        [sys.executable, "-c", script], env=environment | given, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return int(done.stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="not a machine with glibc")
def test_a_command_keeps_freed_memory_unless_the_environment_says_how():
    # At least one page each time, however large pages are.
    assert faults_of_asking_again() < 20 <= faults_of_asking_again(MALLOC_MMAP_THRESHOLD_="131072")


def test_freed_memory_is_left_alone_with_another_c_library(monkeypatch):
    monkeypatch.setattr(memory.platform, "libc_ver", lambda: ("", ""))
    monkeypatch.setattr(memory.ctypes, "CDLL", None)
    memory.keep_freed_memory()


def test_what_shows_files_and_numbers_does_not_import_torch():
    """The first page must not wait for torch."""
    light = ("checkpoint", "commands", "config", "corpus", "curves", "errors", "progress", "text")
    light += tuple(f"training.{name}" for name in ("curve_log", "presets", "settings"))
    # These let a model read.
    reading = {"bins", "carried_up", "corpus_search", "histograms"}
    reading |= {"memory_horizon", "partial_search"}
    modules = {module.name for module in pkgutil.iter_modules(gridlstm.analysis.__path__)}
    analysis = sorted(modules - reading)
    names = [f"gridlstm.{name}" for name in (*light, *(f"analysis.{name}" for name in analysis))]
    assert len(analysis) >= 4
    loaded = imported_after(f"import {', '.join(names)}")
    assert set(names) <= loaded
    assert "torch" not in loaded


def test_the_science_knows_no_streamlit():
    modules = pkgutil.walk_packages(gridlstm.__path__, "gridlstm.")
    names = [module.name for module in modules if not module.name.endswith("__main__")]
    if find_spec("triton") is None:  # there is none for this kind of machine
        names.remove("gridlstm.backends.fused_gates")
    loaded = imported_after(f"import {', '.join(names)}")
    assert {"gridlstm.training.run", "gridlstm.trace", "torch"} <= loaded
    assert not {"streamlit", "plotly", "dashboard"} & loaded
