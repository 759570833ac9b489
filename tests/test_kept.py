"""What long work gave, kept by checkpoint and text."""

import os

import pytest
from app_checkpoints import good_folder

from dashboard.serving import loading, shelf
from dashboard.serving.file_version import FileVersion
from dashboard.serving.kept import kept
from gridlstm.checkpoint import split
from gridlstm.errors import UserError


@pytest.fixture(autouse=True)
def empty_shelves():
    shelf.shelf.clear()
    yield
    shelf.shelf.clear()


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "model.safetensors"
    path.write_bytes(b"1")
    return path


class Work:
    """Counts how often it is done."""

    def __init__(self):
        self.done = 0

    def __call__(self, progress):
        self.done += 1
        return self.done


def asked(work, checkpoint, data=b"text", **more):
    return kept("kind", checkpoint, data, work, label="Working …", **more)


def test_the_same_is_made_once(file):
    work = Work()
    version = FileVersion.of(file)
    assert [asked(work, version), asked(work, FileVersion.of(file))] == [1, 1]


def test_another_text_checkpoint_setting_or_kind_is_another_result(file, tmp_path):
    work, version = Work(), FileVersion.of(file)
    (tmp_path / "other").write_bytes(b"1")
    asked(work, version)
    asked(work, version, b"texts")
    asked(work, version, None)
    asked(work, FileVersion.of(tmp_path / "other"))
    asked(work, version, depends_on=(1,))
    asked(work, version, depends_on=(2,))
    kept("another kind", version, b"text", work, label="")
    assert work.done == 7
    assert asked(work, version, depends_on=(1,)) == 5 and asked(work, version) == 1


def test_a_checkpoint_that_is_written_anew_is_another_one(file):
    work, before = Work(), FileVersion.of(file)
    asked(work, before)
    os.utime(file, ns=(before.time + 1, before.time + 1))
    assert asked(work, FileVersion.of(file)) == 2
    file.write_bytes(b"12")
    os.utime(file, ns=(before.time + 1, before.time + 1))
    assert asked(work, FileVersion.of(file)) == 3


def test_the_one_unused_longest_goes(file):
    work, version = Work(), FileVersion.of(file)
    for data in (b"a", b"b", b"a", b"c"):
        asked(work, version, data, max_results=2)
    assert work.done == 3
    asked(work, version, b"a", max_results=2)
    assert work.done == 3
    asked(work, version, b"b", max_results=2)
    assert work.done == 4


def test_what_fails_is_not_kept(file):
    version = FileVersion.of(file)

    def fail(progress):
        raise UserError("No.")

    with pytest.raises(UserError, match="No"):
        asked(fail, version)
    assert asked(Work(), version) == 1


def test_the_version_of_a_file_that_is_not_there(tmp_path, file):
    version = FileVersion.of(tmp_path / "nothing", file)
    assert not version.exists and version == FileVersion(tmp_path / "nothing")
    assert FileVersion.of(file, tmp_path / "nothing") == FileVersion.of(file)


def test_a_part_that_changes_makes_another_version(file, tmp_path):
    part = tmp_path / "part"
    part.write_bytes(b"12")
    before = FileVersion.of(file, part)
    assert before.size == 3
    part.write_bytes(b"123")
    assert FileVersion.of(file, part) != before


def test_a_shard_that_changes_makes_another_model(tmp_path, monkeypatch):
    """An index itself stays as it is while a shard beside it is written anew."""
    good_folder(tmp_path)
    whole = tmp_path / "grid-3.safetensors"
    split(whole, tmp_path, 20_000)
    whole.unlink()
    monkeypatch.setattr(loading, "FOLDER", tmp_path)
    before = loading.catalogue().usable["grid-3"].version
    assert loading.catalogue().usable["grid-3"].version == before
    shard = sorted(tmp_path.glob("grid-3-0*.safetensors"))[-1]
    os.utime(shard, ns=(before.time + 10**9, before.time + 10**9))
    after = loading.catalogue().usable["grid-3"].version
    assert after != before and after.path == before.path
