"""What killed processes leave is removed at the next start, and what living ones use never is."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from dashboard.serving import loading
from gridlstm import temporary
from gridlstm.checkpoint import remove_unfinished, write_aside
from gridlstm.temporary import TemporaryFolder, remove_left_folders, temporary_file

pytest.importorskip("fcntl", reason="this system has no locks that end with a process")

# Makes what a process makes, says so, and waits to be killed or told to go on.
MAKERS = {
    "trace": """
from gridlstm.temporary import TemporaryFolder
made = TemporaryFolder("trace")
(Path(made.name) / "time.cell.npy").write_bytes(b"x" * 1000)
""",
    "upload": """
from dashboard.serving.loading import Uploads
made = Uploads()
(made.path / "mine.safetensors").write_bytes(b"x" * 1000)
""",
    "state": """
from gridlstm.temporary import temporary_file
made = temporary_file(Path(tempfile.gettempdir()), ".model.state.safetensors.")
made.__enter__().write_bytes(b"x" * 1000)
""",
}


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """The system's folder for temporary files, in this process and in those that it starts."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    remove_left_folders.cache_clear()
    yield tmp_path
    remove_left_folders.cache_clear()


def begun(kind) -> subprocess.Popen:
    """A process that has made what it makes and waits for its standard input to end."""
    script = f"import sys, tempfile\nfrom pathlib import Path\n{MAKERS[kind]}"
    process = subprocess.Popen(
        [sys.executable, "-c", f"{script}\nprint('made', flush=True)\nsys.stdin.read()"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout.readline() == "made\n"
    return process


def ended(process, *, killed):
    if killed:
        process.kill()
    process.communicate(timeout=60)
    assert (process.returncode != 0) == killed


def start_again(kind, folder):
    """What the next start of the program does."""
    if kind == "state":
        remove_unfinished(folder / "model.state.safetensors")
    else:
        remove_left_folders()


@pytest.mark.parametrize("kind", MAKERS)
def test_what_a_killed_process_left_is_removed_at_the_next_start(folder, kind):
    process = begun(kind)
    (left,) = folder.iterdir()
    assert str(process.pid) in left.name and kind in left.name
    start_again(kind, folder)
    assert left.exists()  # while it lives
    ended(process, killed=True)
    assert left.exists()
    remove_left_folders.cache_clear()
    start_again(kind, folder)
    assert not list(folder.iterdir())


@pytest.mark.parametrize("kind", MAKERS)
def test_a_process_that_ends_by_itself_leaves_nothing(folder, kind):
    ended(begun(kind), killed=False)
    assert not list(folder.iterdir())


@pytest.mark.parametrize("kind", ["trace", "upload"])
def test_of_two_servers_only_the_dead_one_s_files_go(folder, kind):
    dead, alive = begun(kind), begun(kind)
    ended(dead, killed=True)
    mine = TemporaryFolder(kind)  # which looks for what was left
    (its,) = (path for path in folder.iterdir() if str(alive.pid) in path.name)
    assert {path.name for path in folder.iterdir()} == {its.name, Path(mine.name).name}
    ended(alive, killed=False)


def test_a_number_that_another_process_has_by_now_confuses_nothing(folder):
    """This one lives, but has not made the folder."""
    left = folder / f"gridlstm-trace-{os.getpid()}.abcdefgh"
    left.mkdir()
    (left / "time.cell.npy").write_bytes(b"x")
    remove_left_folders()
    assert not left.exists()


def test_a_number_of_no_process_confuses_nothing_either(folder, monkeypatch):
    """As of a process in another container, on the same disk."""
    monkeypatch.setattr(temporary.os, "getpid", lambda: 2**30)
    mine = TemporaryFolder("trace")
    monkeypatch.undo()
    remove_left_folders.cache_clear()
    remove_left_folders()
    assert Path(mine.name).is_dir()
    mine.cleanup()


def test_nothing_else_is_removed(folder):
    others = [
        ".model.state.safetensors.bak",
        ".model.state.safetensors.12.short",
        ".model.state.safetensors.12.abcdefghi",
        ".model.state.safetensors.abcdefgh",
        ".other.state.safetensors.12.abcdefgh",
        "model.state.safetensors.12.abcdefgh",
        "gridlstm-trace-notes",
        "my-gridlstm-trace-12.abcdefgh",
    ]
    for name in others:
        (folder / name).write_bytes(b"a person's own")
    (folder / "gridlstm-trace-12.abcdefgh").symlink_to(folder / others[0])
    remove_unfinished(folder / "model.state.safetensors")
    remove_left_folders()
    names = {path.name for path in folder.iterdir()}
    assert names == {*others, "gridlstm-trace-12.abcdefgh"}


def test_writing_a_file_removes_what_earlier_writings_left(folder):
    (folder / ".curve.csv.12.abcdefgh").write_bytes(b"half")
    write_aside(folder / "curve.csv", lambda aside: aside.write_bytes(b"whole"))
    assert [path.name for path in folder.iterdir()] == ["curve.csv"]


def test_a_file_that_was_taken_for_left_over_before_its_lock_is_made_anew(folder, monkeypatch):
    """Another start may come between the two."""
    clamp, calls = temporary._lock, []

    def hold_too_late(path):
        calls.append(path)
        if len(calls) == 1:
            remove_unfinished(folder / "curve.csv")
        return clamp(path)

    monkeypatch.setattr(temporary, "_lock", hold_too_late)
    with temporary_file(folder, ".curve.csv.") as aside:
        assert aside.exists() and aside == calls[1] != calls[0]
    calls.clear()

    def hold_folder_too_late(path):
        calls.append(path)
        if len(calls) == 1:
            remove_left_folders.cache_clear()
            remove_left_folders()
        return clamp(path)

    monkeypatch.setattr(temporary, "_lock", hold_folder_too_late)
    made = TemporaryFolder("trace")
    assert Path(made.name).is_dir() and Path(made.name) == calls[1] != calls[0]
    made.cleanup()


def test_a_server_looks_for_it_once_as_it_starts(folder):
    loading.remove_left_folders_in_background.cache_clear()
    left = folder / "gridlstm-upload-12.abcdefgh"
    left.mkdir()
    thread = loading.remove_left_folders_in_background()
    thread.join(timeout=60)
    assert not left.exists()
    assert loading.remove_left_folders_in_background() is thread
