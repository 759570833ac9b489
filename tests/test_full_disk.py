"""A disk without room: one sentence and exit status 2, what was there stays, nothing half is left.

Full is what a limit on the size of files makes it, which needs no rights; and a small file system
of its own where one can be mounted.
"""

import json
import os
import shutil
import subprocess
import sys

import pytest
from app_checkpoints import GRID, checkpoint
from conftest import TEXT

from gridlstm.checkpoint import load_model, read_metadata, split
from gridlstm.training.state import read_progress, state_path

pytest.importorskip("resource", reason="there are no limits to the size of files here")

TRAIN = (
    "train text.txt --architecture gru --layers 1 --units 32 --sequences 4 --length 10 "
    "--validate-every 5 --save-every 5 --precision float32 --out model.safetensors"
)
# Runs a command in which no file can have more than so many bytes from the moment on that one of
# this name is to be written, as if others had filled the disk.
LIMITED = """
import resource, sys
from gridlstm.checkpoint import writing
from gridlstm.commands import run

limit, name, *arguments = sys.argv[1:]
write_aside = writing.temporary_file

def fill_then_write(folder, prefix):
    if prefix == f".{name}.":
        resource.setrlimit(resource.RLIMIT_FSIZE, (int(limit), int(limit)))
    return write_aside(folder, prefix)

writing.temporary_file = fill_then_write
sys.exit(run(arguments))
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "text.txt").write_bytes(TEXT)
    return tmp_path


def run(*arguments) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, *arguments], capture_output=True, text=True, timeout=300)


def refused(done, name, why) -> None:
    """One sentence about the file, on the last line: progress may be told before."""
    assert (done.returncode, done.stdout) == (2, ""), done.stderr
    assert "Traceback" not in done.stderr
    last = done.stderr.splitlines()[-1]
    assert f"{name} could not be written ({why})" in last and last.endswith(".")


@pytest.mark.parametrize(
    ("limit", "name"),
    [(1000, "model.state.safetensors"), (1000, "model.safetensors"), (10, "model.csv")],
)
def test_a_training_keeps_what_it_had_and_goes_on_later(folder, limit, name):
    first = run("-m", "gridlstm", *TRAIN.split(), "--updates", "10")
    assert first.returncode == 0, first.stderr
    files = {path: path.read_bytes() for path in folder.glob("model.*")}
    more = ["--updates", "40", "--resume"]
    done = run("-c", LIMITED, str(limit), name, *TRAIN.split(), *more)
    refused(done, name, "File too large")
    path = folder / name
    assert path.read_bytes() == files[path]
    assert not list(folder.glob(".*"))
    load_model(folder / "model.safetensors")
    assert read_progress(state_path(folder / "model.safetensors")).update >= 10
    again = run("-m", "gridlstm", *TRAIN.split(), *more)
    assert again.returncode == 0, again.stderr
    assert read_progress(state_path(folder / "model.safetensors")).update == 40


@pytest.mark.parametrize("command", ["shard", "join"])
def test_shards_and_what_is_joined(folder, command):
    whole = checkpoint(folder / "grid-3.safetensors", GRID)
    index = split(whole, folder / "parts", 14_000)
    before = {path: path.read_bytes() for path in folder.rglob("*.safetensors*")}
    if command == "shard":
        # Cut anew from those that are there, of which there are as many: the last does not fit.
        count = len(list(index.parent.glob("*-of-*")))
        arguments = ["shard", str(index), "--most", "14kB", "--out", "parts"]
        name = f"grid-3-{count:05}-of-{count:05}.safetensors"
    else:
        arguments, name = ["join", str(index), "--out", whole.name], whole.name
    refused(run("-c", LIMITED, "1000", name, *arguments), name, "File too large")
    for path, content in before.items():
        assert path.read_bytes() == content
    assert set(folder.rglob("*.safetensors*")) == set(before)
    assert not list(folder.rglob(".*"))
    assert read_metadata(index) == read_metadata(whole)


def test_the_index_of_shards(folder):
    whole = checkpoint(folder / "grid-3.safetensors", GRID)
    name = "grid-3.safetensors.index.json"
    done = run("-c", LIMITED, "100", name, "shard", whole.name, "--most", "20kB", "--out", "parts")
    refused(done, name, "File too large")
    assert not list((folder / "parts").iterdir())


def test_a_trace_that_is_written(folder):
    whole = checkpoint(folder / "grid-3.safetensors", GRID)
    arguments = ["trace", whole.name, "text.txt", "--out", "trace.npz"]
    refused(run("-c", LIMITED, "20000", "trace.npz", *arguments), "trace.npz", "File too large")
    assert not (folder / "trace.npz").exists() and not list(folder.glob(".*"))


@pytest.fixture
def small_disk(folder):
    """A file system with room for 256 kB."""
    disk = folder / "disk"
    disk.mkdir()
    mount = shutil.which("mount")
    options = ["-t", "tmpfs", "-o", "size=256k", "tmpfs", str(disk)]
    if mount is None or os.geteuid() != 0 or subprocess.run([mount, *options]).returncode:
        pytest.skip("no file system can be mounted here")
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


def test_a_disk_that_is_full(small_disk, folder):
    whole = checkpoint(folder / "grid-3.safetensors", GRID)
    (small_disk / "filler").write_bytes(b"x" * 240_000)
    arguments = TRAIN.replace("model.safetensors", "disk/model.safetensors").split()
    done = run("-m", "gridlstm", *arguments, "--updates", "10")
    refused(done, "model.state.safetensors", "No space left on device")
    index = split(whole, folder / "parts", 14_000)
    joined = run("-m", "gridlstm", "join", str(index), "--out", "disk/joined.safetensors")
    refused(joined, "joined.safetensors", "No space left on device")
    assert [path.name for path in small_disk.iterdir()] == ["filler"]


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="this system has no full device")
def test_results_for_which_there_is_no_room(folder):
    whole = checkpoint(folder / "grid-3.safetensors", GRID)
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "gridlstm", "describe", whole.name],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            timeout=300,
        )
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1 and "No space left on device" in done.stderr


def test_there_is_room_again(folder):
    """So that it is the limit that the others fail of."""
    whole = checkpoint(folder / "grid-3.safetensors", GRID)
    done = run("-c", LIMITED, "1000000", "none", "shard", whole.name, "--out", "parts")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["shards"]
