"""A checkpoint in shards: the same as in one file, and every hostile index gets one sentence."""

import json
import os
import tracemalloc

import numpy as np
import pytest
from app_checkpoints import GRID, STACKED, about, checkpoint, random_tensors
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

from gridlstm import commands
from gridlstm.checkpoint import (
    CheckpointError,
    checkpoint_path,
    is_shard,
    join,
    load_model,
    model_name,
    read_metadata,
    read_tensors,
    split,
    write_checkpoint,
)
from gridlstm.commands.shard import size
from gridlstm.config import ModelConfig

# Room for two of the tensors of the small grid at most, and for the document.
MOST = 14_000


@pytest.fixture
def whole(tmp_path):
    return checkpoint(tmp_path / "grid-3.safetensors", GRID)


@pytest.fixture
def index(whole, tmp_path):
    """An index of several shards, in a folder of their own."""
    return split(whole, tmp_path / "parts", MOST)


def shards_of(index):
    return sorted(path for path in index.parent.glob("*.safetensors"))


def refused(path) -> str:
    """The sentence that reading refuses it with."""
    with pytest.raises(CheckpointError) as caught:
        load_model(path)
    message = str(caught.value)
    assert message.endswith(".") and len(message.splitlines()) == 1 and len(message) < 200
    return message


def rewrite(index, change) -> None:
    """Let `change` alter the index' document."""
    document = json.loads(index.read_text())
    change(document)
    index.write_text(json.dumps(document))


# -- Good shards ----------------------------------------------------------------------------------


def test_shards_have_the_names_and_the_index_that_safetensors_users_know(whole, index):
    count = len(shards_of(index))
    assert count >= 2
    assert [path.name for path in shards_of(index)] == [
        f"grid-3-{n:05}-of-{count:05}.safetensors" for n in range(1, count + 1)
    ]
    assert index.name == "grid-3.safetensors.index.json"
    document = json.loads(index.read_text())
    assert set(document) == {"metadata", "weight_map"}
    tensors = load_file(whole)
    assert document["metadata"] == {"total_size": sum(t.nbytes for t in tensors.values())}
    for path in shards_of(index):
        for name, tensor in load_file(path).items():
            assert document["weight_map"].pop(name) == path.name
            np.testing.assert_array_equal(tensor, tensors.pop(name))
    assert not tensors and not document["weight_map"]


def test_each_shard_describes_itself(whole, index):
    with safe_open(whole, framework="numpy") as file:
        expected = file.metadata()
    for path in shards_of(index):
        with safe_open(path, framework="numpy") as file:
            assert file.metadata() == expected


def test_an_index_is_read_like_the_one_file(whole, index):
    metadata = read_metadata(index)
    assert metadata == read_metadata(whole)
    expected = read_tensors(whole, metadata)
    found = read_tensors(index, metadata)
    assert found.keys() == expected.keys()
    (model, about), (wanted, _) = load_model(index), load_model(whole)
    assert about == metadata
    for name, tensor in wanted.to_tensors().items():
        np.testing.assert_array_equal(found[name], expected[name])
        np.testing.assert_array_equal(model.to_tensors()[name].numpy(), tensor.numpy())


@pytest.mark.parametrize("kind", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("config", [GRID, STACKED], ids=["grid", "stacked"])
def test_joined_shards_are_the_file_that_was_cut(tmp_path, config, kind):
    path = tmp_path / "model.safetensors"
    tensors = {name: tensor.astype(kind) for name, tensor in random_tensors(config).items()}
    write_checkpoint(path, tensors, about(config))
    for most in (20_000, 30_000, 10**9):
        index = split(path, tmp_path / f"parts of {most}", most)
        join(index, tmp_path / "joined.safetensors")
        assert (tmp_path / "joined.safetensors").read_bytes() == path.read_bytes()


@pytest.mark.parametrize("kind", [np.float16, np.float32])
def test_no_shard_is_larger_than_the_limit_and_no_two_would_fit_in_one(tmp_path, kind):
    tensors = {name: tensor.astype(kind) for name, tensor in random_tensors(STACKED).items()}
    path = tmp_path / "model.safetensors"
    write_checkpoint(path, tensors, about(STACKED))
    for most in range(10_000, 60_000, 3_333):
        index = split(path, tmp_path / "parts", most)
        sizes = [shard.stat().st_size for shard in shards_of(index)]
        assert max(sizes) <= most
        assert all(here + after > most for here, after in zip(sizes, sizes[1:], strict=False))


def test_a_weight_of_1000_units_fits_into_16_mib(tmp_path):
    """The published size: float16 [4000, 2000], 16,000,000 bytes."""
    config = ModelConfig("grid", 6, 1000, "all")
    path = tmp_path / "model.safetensors"
    tensors = {n: np.zeros(shape, np.float16) for n, shape in config.tensor_shapes().items()}
    write_checkpoint(path, tensors, about(config))
    index = split(path, tmp_path / "parts")
    sizes = [shard.stat().st_size for shard in shards_of(index)]
    assert len(sizes) == 3 and max(sizes) <= 16 * 2**20
    assert read_metadata(index).model == config


def test_a_tensor_larger_than_the_limit_is_named(whole, tmp_path):
    with pytest.raises(CheckpointError, match="decoder.weight alone needs") as caught:
        split(whole, tmp_path / "parts", 5_000)
    assert "5,000" in str(caught.value)
    assert not list(tmp_path.glob("parts/*"))


def test_cutting_again_leaves_only_the_new_shards(whole, index):
    """Also from the shards themselves, and never what belongs to another model."""
    stranger = index.parent / "my-grid-3-00001-of-00009.safetensors"
    stranger.write_bytes(b"another model's")
    expected = read_tensors(index, read_metadata(index))
    before = set(shards_of(index))
    assert split(index, index.parent, 40_000) == index
    after = set(shards_of(index))
    assert len(after) < len(before) and stranger in after
    named = set(json.loads(index.read_text())["weight_map"].values())
    assert named == {path.name for path in after - {stranger}}
    for name, tensor in read_tensors(index, read_metadata(index)).items():
        np.testing.assert_array_equal(tensor, expected[name])


def test_the_one_file_comes_before_its_shards(whole, tmp_path):
    assert checkpoint_path(tmp_path, "grid-3") == whole
    index = split(whole, tmp_path, MOST)
    assert checkpoint_path(tmp_path, "grid-3") == whole
    whole.unlink()
    assert checkpoint_path(tmp_path, "grid-3") == index
    assert {model_name(path) for path in (whole, index, *tmp_path.glob("*-of-*"))} == {"grid-3"}
    assert not is_shard(whole) and not is_shard(index)


def test_what_is_not_the_index_says_what_is(whole, index):
    assert index.name in refused(shards_of(index)[0])
    absent = index.parent / "grid-3.safetensors"
    assert absent.name in refused(absent) and index.name in refused(absent)


# -- Hostile and broken ones ----------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    [
        "../grid-3-00001-of-00004.safetensors",
        "..",
        "",
        "/etc/passwd",
        "folder/grid-3-00001-of-00004.safetensors",
        "grid-3-00001-of-00004.safetensors/..",
        "folder\\grid-3-00001-of-00004.safetensors",
        "grid-3.safetensors",
        "grid-6-00001-of-00004.safetensors",
        "../x/grid-3-00001-of-00004.safetensors",
        "grid-3-00001-of-00004.safetensors\0",
        "grid-3-00001-of-00004.safetensors\n",
        "grid-3-١٢٣٤٥-of-00004.safetensors",
        "grid-3-00001-of-00004.bin",
        "x" * 100_000,
        None,
        7,
        ["grid-3-00001-of-00004.safetensors"],
    ],
    ids=lambda name: str(name)[:40].encode("ascii", "replace").decode(),
)
def test_a_name_that_is_no_shard_of_the_index_is_refused(index, name):
    """Though there is a file by that name wherever one can be made."""
    inner = index.parent / "folder"
    inner.mkdir()
    for path in shards_of(index):
        for place in (inner, index.parents[1]):
            (place / path.name).write_bytes(path.read_bytes())
    rewrite(index, lambda document: document["weight_map"].update({"decoder.bias": name}))
    assert "not the name of a shard" in refused(index)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"not JSON",
        b"null",
        b"[]",
        b"{}",
        b'{"weight_map": null}',
        b'{"weight_map": []}',
        b'{"weight_map": {}}',
        b'{"weight_map": 3}',
        b'{"weight_map": ' + b"[" * 100_000,
        b'{"weight_map": ' + b"9" * 5_000 + b"}",
        b"\xff\xfe\x00",
        b" " * 2**21,
    ],
    ids=lambda content: repr(content[:20]),
)
def test_an_index_of_another_form_is_refused(index, content):
    index.write_bytes(content)
    refused(index)


def test_a_huge_index_is_not_read_whole(index):
    with open(index, "wb") as file:
        file.truncate(10**12)
    tracemalloc.start()
    assert "larger than" in refused(index)
    assert tracemalloc.get_traced_memory()[1] < 2**22
    tracemalloc.stop()


def test_a_missing_index_and_a_folder_are_refused(index):
    assert "other.safetensors.index.json" in refused(index.parent / "other.safetensors.index.json")
    index.unlink()
    index.mkdir()
    refused(index)


@pytest.mark.parametrize("place", [0, -1])
def test_a_missing_shard_is_named(index, place):
    path = shards_of(index)[place]
    path.unlink()
    assert path.name in refused(index)
    path.mkdir()
    assert path.name in refused(index)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_a_pipe_in_the_place_of_a_shard_does_not_hang(index):
    path = shards_of(index)[0]
    path.unlink()
    os.mkfifo(path)
    assert path.name in refused(index)


@pytest.mark.parametrize("size", [0, 7, 100, -1])
def test_a_shard_cut_short_is_named(index, size):
    path = shards_of(index)[1]
    path.write_bytes(path.read_bytes()[:size])
    assert path.name in refused(index) and "not a whole" in refused(index)


def test_a_tensor_that_its_shard_lacks_is_named(index):
    name = shards_of(index)[0].name
    rewrite(index, lambda document: document["weight_map"].update({"layers.9.soul": name}))
    assert refused(index) == f"The shard {name} lacks 'layers.9.soul'."


def test_a_tensor_that_the_index_does_not_know_is_named(index):
    rewrite(index, lambda document: document["weight_map"].pop("decoder.bias"))
    assert "'decoder.bias'" in refused(index) and "unknown to the index" in refused(index)


def test_an_index_that_leaves_out_a_shard_lacks_its_tensors(index):
    last = shards_of(index)[-1].name

    def leave_out(document):
        document["weight_map"] = {t: s for t, s in document["weight_map"].items() if s != last}

    rewrite(index, leave_out)
    assert "lacks tensor" in refused(index)


def test_shards_of_different_checkpoints_are_refused(index, tmp_path):
    other = split(checkpoint(tmp_path / "grid-3.safetensors", GRID, updates=8), tmp_path, MOST)
    path = shards_of(index)[1]
    path.write_bytes((other.parent / path.name).read_bytes())
    assert "metadata differ" in refused(index)


def test_a_shard_without_metadata_is_refused(index):
    path = shards_of(index)[0]
    save_file(load_file(path), path)
    assert "metadata differ" in refused(index)


def test_shards_that_all_lack_metadata_are_refused(index):
    for path in shards_of(index):
        save_file(load_file(path), path)
    assert "no 'gridlstm' entry" in refused(index)


def test_a_broken_checkpoint_is_not_cut(whole, tmp_path):
    whole.write_bytes(whole.read_bytes()[:-1])
    with pytest.raises(CheckpointError):
        split(whole, tmp_path / "parts", MOST)
    assert not (tmp_path / "parts").exists()


# -- The commands ---------------------------------------------------------------------------------


def test_the_commands_there_and_back(whole, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert commands.run(["shard", whole.name, "--most", "14kB", "--out", "parts"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed["index"] == os.path.join("parts", "grid-3.safetensors.index.json")
    assert printed["shards"] == [path.name for path in shards_of(tmp_path / printed["index"])]
    assert printed["bytes"] == sum(tensor.nbytes for tensor in load_file(whole).values())
    assert commands.run(["join", printed["index"], "--out", "new/again.safetensors"]) == 0
    joined = json.loads(capsys.readouterr().out)
    assert joined == {
        "file": os.path.join("new", "again.safetensors"),
        "bytes": whole.stat().st_size,
    }
    assert (tmp_path / joined["file"]).read_bytes() == whole.read_bytes()


def test_every_command_takes_the_index(whole, index, tmp_path, capsys):
    text = tmp_path / "text.txt"
    text.write_bytes(b"a cat sat on a mat. " * 20)
    outputs = []
    for path in (whole, index):
        assert commands.run(["evaluate", str(path), str(text)]) == 0
        assert commands.run(["describe", str(path)]) == 0
        lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
        assert lines[1].pop("file") == path.name
        outputs.append(lines)
    assert outputs[0] == outputs[1]


@pytest.mark.parametrize(
    ("text", "expected"),
    [("16MiB", 2**24), ("16777216", 2**24), ("1.5 MB", 1_500_000), ("2kB", 2000), ("1KiB", 1024)],
)
def test_sizes(text, expected):
    assert size(text) == expected


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["shard", "grid-3.safetensors", "--most", "a lot"], "--most"),
        (["shard", "grid-3.safetensors", "--most", "-5"], "--most"),
        (["shard", "grid-3.safetensors", "--most", "1.2.3MB"], "--most"),
        (["shard", "grid-3.safetensors", "--most", "0"], "alone needs"),
        (["shard", "nowhere.safetensors"], "nowhere.safetensors"),
        (["join", "grid-9.safetensors.index.json", "--out", "new.safetensors"], "grid-9"),
        (["join", "parts/grid-3-00001-of-00004.safetensors", "--out", "new.safetensors"], "index"),
        (["join", "parts/grid-3.safetensors.index.json"], "--out"),
        (["join", "parts/grid-3.safetensors.index.json", "--out", "new.pt"], ".safetensors"),
        (["join", "parts/grid-3.safetensors.index.json", "--out", "parts"], ".safetensors"),
    ],
    ids=lambda value: " ".join(value) if type(value) is list else "",
)
def test_a_mistake_is_one_line_and_status_2(index, tmp_path, capsys, monkeypatch, arguments, named):
    monkeypatch.chdir(tmp_path)
    before = set(tmp_path.rglob("*"))
    try:
        status = commands.run(arguments)
    except SystemExit as exit:  # argparse leaves by itself
        status = exit.code
    printed = capsys.readouterr()
    assert (status, printed.out) == (2, "")
    assert len(printed.err.splitlines()) == 1 and named in printed.err
    assert set(tmp_path.rglob("*")) == before
