import json
import math
import os
import pickle
import struct
import tracemalloc
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.numpy import save_file
from safetensors.torch import save_file as save_torch

from gridlstm.checkpoint import (
    CheckpointError,
    Data,
    Metadata,
    load_model,
    read_metadata,
    read_tensors,
    split,
    write_aside,
    write_checkpoint,
)
from gridlstm.checkpoint.opening import MAX_CHECKPOINT_HEADER_BYTES, Tensors, opened
from gridlstm.config import ModelConfig

KINDS = [("stacked", None), ("grid", "none"), ("grid", "depth"), ("grid", "all")]
DATA = Data(name="text.xz", sha256="ab" * 32, bytes=1000, train_fraction=0.95, byte_entropy=3.2)


def metadata_of(model):
    return Metadata(
        model=model.config,
        data=DATA,
        training={"seed": 1, "learning_rate": 0.001, "minutes": None, "optimiser": "rmsprop"},
        updates=7,
        bytes_seen=70,
        validation_loss=1.25,
        validation_bytes=49,
        seconds=3.5,
        machine="a machine",
        libraries={"torch": "2.13.0"},
    )


def tensors_of(model, kind=np.float32):
    return {name: t.detach().numpy().astype(kind) for name, t in model.to_tensors().items()}


@pytest.fixture
def good(make_model, tmp_path):
    """A whole checkpoint: its path, the document in its metadata, and its tensors."""
    model = make_model("grid", 2, 4, "depth")
    path, tensors = tmp_path / "good.safetensors", tensors_of(model)
    write_checkpoint(path, tensors, metadata_of(model))
    with safe_open(path, framework="numpy") as file:
        document = json.loads(file.metadata()["gridlstm"])
    return path, document, tensors


def refused(path) -> str:
    """The sentence that `load_model` refuses the file with."""
    with pytest.raises(CheckpointError) as caught:
        load_model(path)
    message = str(caught.value)
    assert message.endswith(".") and len(message.splitlines()) == 1 and len(message) < 200
    return message


# -- Good files -----------------------------------------------------------------------------------


@pytest.mark.parametrize(("architecture", "tie"), KINDS)
@pytest.mark.parametrize("kind", [np.float16, np.float32, np.float64])
def test_the_round_trip(make_model, tmp_path, architecture, tie, kind):
    model = make_model(architecture, 3, 4, tie, dropout=0.25)
    path, written = tmp_path / "deep" / "model.safetensors", tensors_of(model, kind)
    write_checkpoint(path, written, metadata_of(model))
    loaded, metadata = load_model(path)
    assert metadata == read_metadata(path) == metadata_of(model)
    assert not loaded.training
    assert not any(parameter.requires_grad for parameter in loaded.parameters())
    for name, tensor in loaded.to_tensors().items():
        np.testing.assert_array_equal(tensor.numpy(), written[name].astype(np.float32))
    for name, tensor in read_tensors(path, metadata).items():
        assert tensor.dtype == np.float32
        np.testing.assert_array_equal(tensor, written[name].astype(np.float32))


@pytest.mark.parametrize(("architecture", "tie"), KINDS)
def test_loading_draws_no_random_numbers(make_model, tmp_path, architecture, tie):
    model = make_model(architecture, 2, 4, tie)
    path = tmp_path / "model.safetensors"
    write_checkpoint(path, tensors_of(model), metadata_of(model))
    before = torch.get_rng_state()
    loaded, _ = load_model(path)
    assert torch.equal(torch.get_rng_state(), before)
    for name, tensor in model.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], tensor), name


def test_a_loss_that_was_not_measured_is_nan(make_model, tmp_path):
    model = make_model("stacked", 1, 4)
    path = tmp_path / "model.safetensors"
    write_checkpoint(path, tensors_of(model), Metadata(model=model.config, data=DATA))
    assert math.isnan(read_metadata(path).validation_loss)


def test_the_file_holds_what_the_design_says(good):
    path, document, tensors = good
    with safe_open(path, framework="numpy") as file:
        assert set(file.metadata()) == {"gridlstm"}
        assert set(file.keys()) == set(tensors)
    assert document["format_version"] == 1
    assert document["model"]["architecture"] == "grid"
    assert document["data"] == asdict(DATA)
    assert not {"layers.1.depth.weight", "layers.1.depth.bias"} & set(tensors)  # shared


@pytest.mark.parametrize("cut", [False, True], ids=["one file", "in shards"])
def test_bfloat16_is_read_as_the_numbers_that_it_holds(good, tmp_path, cut):
    """As other programs resave a checkpoint: the upper half of each float32."""
    path, document, tensors = good
    halves = {name: torch.from_numpy(tensor).bfloat16() for name, tensor in tensors.items()}
    save_torch(halves, path, {"gridlstm": json.dumps(document)})
    if cut:
        path = split(path, tmp_path / "parts", 2**14)
    metadata = read_metadata(path)
    for name, tensor in read_tensors(path, metadata).items():
        rounded = tensors[name].view(np.uint32) + 0x7FFF + (tensors[name].view(np.uint32) >> 16 & 1)
        expected = (rounded & 0xFFFF0000).astype(np.uint32).view(np.float32)
        np.testing.assert_array_equal(tensor, expected)
    assert not load_model(path)[0].training


@pytest.mark.parametrize(
    "renamed",
    [
        "module.{}",
        "_orig_mod.{}",
        "model.{}",
        "module._orig_mod.{}",
        "_orig_mod.module.model.{}",
    ],
)
@pytest.mark.parametrize("cut", [False, True], ids=["one file", "in shards"])
def test_what_other_programs_put_before_all_names_is_taken_off(good, tmp_path, renamed, cut):
    path, document, tensors = good
    changed = {renamed.format(name): tensor for name, tensor in tensors.items()}
    save_file(changed, path, metadata={"gridlstm": json.dumps(document)})
    if cut:
        path = split(path, tmp_path / "parts", 2**13)
    found = read_tensors(path, read_metadata(path))
    assert found.keys() == tensors.keys()
    for name, tensor in tensors.items():
        np.testing.assert_array_equal(found[name], tensor)


def test_what_compile_puts_into_the_middle_of_names_is_taken_out(good):
    path, document, tensors = good
    changed = {name.replace("time.", "time._orig_mod."): t for name, t in tensors.items()}
    assert changed.keys() != tensors.keys()
    save_file(changed, path, metadata={"gridlstm": json.dumps(document)})
    assert read_tensors(path, read_metadata(path)).keys() == tensors.keys()


def test_a_prefix_of_some_names_only_is_none(good):
    path, document, tensors = good
    tensors["module.decoder.bias"] = tensors.pop("decoder.bias")
    save_file(tensors, path, metadata={"gridlstm": json.dumps(document)})
    assert "lacks tensor 'decoder.bias'" in refused(path)


def test_names_that_would_become_one_stay_two(good):
    path, document, tensors = good
    tensors["_orig_mod.decoder.bias"] = tensors["decoder.bias"]
    save_file(tensors, path, metadata={"gridlstm": json.dumps(document)})
    assert "surplus tensor '_orig_mod.decoder.bias'" in refused(path)


# -- Files that change while they are read --------------------------------------------------------


CHANGES = {
    "cut short": lambda path: os.truncate(path, 3000),
    "emptied": lambda path: os.truncate(path, 0),
    "written over": lambda path: path.write_bytes(b"x" * path.stat().st_size),
    "made longer": lambda path: os.truncate(path, path.stat().st_size + 1),
}


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("kind", ["float32", "bfloat16"])
@pytest.mark.parametrize("cut", [False, True], ids=["one file", "in shards"])
def test_a_file_that_is_changed_while_it_is_read(good, tmp_path, change, kind, cut, monkeypatch):
    """Just before the second tensor is read: a sentence, though the process would end if the file
    were mapped into memory."""
    path, document, tensors = good
    whole = {name: torch.from_numpy(t).to(getattr(torch, kind)) for name, t in tensors.items()}
    save_torch(whole, path, {"gridlstm": json.dumps(document)})
    changed = path
    if cut:
        path = split(path, tmp_path / "parts", 2**15)
        changed = next(path.parent.glob("*-00001-of-*"))
    os.utime(changed, (1, 1))  # so long ago that a clock of seconds tells the change
    read, calls = Tensors.read, []

    def read_what_changes(opened_tensors, name):
        calls.append(name)
        if len(calls) == 2:
            CHANGES[change](changed)
        return read(opened_tensors, name)

    monkeypatch.setattr(Tensors, "read", read_what_changes)
    message = refused(path)
    assert message == f"{changed.name} was changed while it was read; try again."
    assert len(calls) >= 2


def test_a_file_that_is_replaced_while_it_is_read_is_read_as_it_was(good, tmp_path, monkeypatch):
    """As a training does with its checkpoint; the new one is of another size."""
    path, document, tensors = good
    other = tmp_path / "other.safetensors"
    save_file({"odd": np.ones(3)}, other)
    read, calls = Tensors.read, []

    def read_what_is_replaced(opened_tensors, name):
        calls.append(name)
        if len(calls) == 2:
            os.replace(other, path)
        return read(opened_tensors, name)

    monkeypatch.setattr(Tensors, "read", read_what_is_replaced)
    model, _ = load_model(path)
    for name, tensor in model.to_tensors().items():
        np.testing.assert_array_equal(tensor.numpy(), tensors[name])


def test_weights_that_are_no_longer_of_the_metadata_are_one_sentence(good, make_model):
    path = good[0]
    before = read_metadata(path)
    other = make_model("grid", 3, 4, "depth")
    write_checkpoint(path, tensors_of(other), metadata_of(other))
    with pytest.raises(CheckpointError, match="surplus"):
        read_tensors(path, before)


def test_no_file_is_mapped_into_memory(good):
    if not Path("/proc/self/maps").exists():
        pytest.skip("this system does not tell what is mapped")
    with opened(good[0]) as tensors:
        tensors.read("decoder.bias")
        assert good[0].name not in Path("/proc/self/maps").read_text()


# -- Files that are not whole or not ours ---------------------------------------------------------


def test_a_file_cut_short_anywhere_is_refused(good, tmp_path):
    whole = good[0].read_bytes()
    for size in (0, 1, 7, 8, 100, len(whole) // 2, len(whole) - 1):
        path = tmp_path / f"cut-{size}.safetensors"
        path.write_bytes(whole[:size])
        refused(path)


def header(size, text):
    return struct.pack("<Q", size) + text


GIANT = (
    b'{"a":{"dtype":"F32","shape":[1000000000,1000000000],"data_offsets":[0,4000000000000000000]}}'
)


@pytest.mark.parametrize(
    "content",
    [
        b"just some text, long enough to hold a header's size",
        b"\0" * 64,
        b"\xff" * 64,
        header(2**63, b"{}"),
        header(2**62, b"{}"),
        header(99_999_999, b"{}"),
        header(len(GIANT), GIANT),
        header(4, b"null"),
        header(2, b"{}"),
    ],
    ids=["text", "zeros", "ones", "2^63", "2^62", "100 MB header", "giant", "null", "no metadata"],
)
def test_another_format_is_refused_and_no_memory_spent(tmp_path, content):
    path = tmp_path / "other.safetensors"
    path.write_bytes(content)
    tracemalloc.start()
    refused(path)
    assert tracemalloc.get_traced_memory()[1] < 2**20
    tracemalloc.stop()


def test_a_header_of_many_tensors_takes_no_memory(tmp_path):
    """80 MB of names, as the format allows, would take a gigabyte."""
    path = tmp_path / "many.safetensors"
    entries = b",".join(
        b'"%d":{"dtype":"F32","shape":[0],"data_offsets":[0,0]}' % n for n in range(80_000)
    )
    path.write_bytes(header(len(entries) + 2, b"{" + entries + b"}"))
    assert path.stat().st_size > MAX_CHECKPOINT_HEADER_BYTES
    assert "not a whole" in refused(path)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_a_pipe_is_refused_and_not_waited_for(tmp_path):
    path = tmp_path / "pipe.safetensors"
    os.mkfifo(path)
    refused(path)


def test_a_missing_file_and_a_folder_are_refused(tmp_path):
    assert "nowhere.safetensors" in refused(tmp_path / "nowhere.safetensors")
    refused(tmp_path)


class Bomb:
    """Whoever unpickles it makes a file."""

    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return os.mkdir, (self.marker,)


@pytest.mark.parametrize("by_torch", [False, True])
def test_a_pickle_is_refused_and_never_unpickled(tmp_path, by_torch):
    path, marker = tmp_path / "pickle.safetensors", tmp_path / "exploded"
    if by_torch:
        torch.save(Bomb(str(marker)), path)
    else:
        path.write_bytes(pickle.dumps(Bomb(str(marker))))
    refused(path)
    assert not marker.exists()
    if not by_torch:
        pickle.loads(path.read_bytes())
        assert marker.exists()  # so the bomb was a live one


# -- Metadata -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "",
        "not JSON",
        "null",
        "[]",
        "3",
        '"text"',
        "{}",
        '{"format_version": 1}',
        '{"format_version": 1, "model": [], "data": {}}',
        '{"format_version": 1, "model": {"architecture": "grid"}, "data": 3}',
        "[" * 100_000,
        '{"format_version": 1, "model": ' + "[" * 900 + "]" * 900 + "}",
        '{"format_version": ' + "9" * 5000 + "}",
    ],
    ids=lambda text: text[:24] or "empty",
)
def test_metadata_of_another_form_is_refused(good, text):
    path, _, tensors = good
    save_file(tensors, path, metadata={"gridlstm": text})
    refused(path)


def nested(depth):
    return [nested(depth - 1)] if depth else []


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (("format_version",), 3),
        (("format_version",), None),
        (("format_version",), "x" * 10_000),
        (("model",), None),
        (("model", "architecture"), "transformer"),
        (("model", "architecture"), ["grid"]),
        (("model", "architecture"), "x" * 10_000),
        (("model", "layers"), 10**9),
        (("model", "layers"), 3),
        (("model", "layers"), 2.0),
        (("model", "layers"), "2"),
        (("model", "units"), 10**9),
        (("model", "units"), 8192),
        (("model", "units"), -4),
        (("model", "units"), True),
        (("model", "tie"), "none"),
        (("model", "tie"), None),
        (("model", "tie"), {}),
        (("model", "dropout"), math.nan),
        (("model", "dropout"), 10**400),
        (("model", "surplus"), 1),
        (("surplus",), 1),
        (("data",), "text"),
        (("data", "name"), 3),
        (("data", "name"), "half a pair \ud800"),
        (("data", "sha256"), None),
        (("data", "bytes"), -1),
        (("data", "bytes"), 10**400),
        (("data", "bytes"), 3.5),
        (("data", "train_fraction"), math.nan),
        (("data", "train_fraction"), 0),
        (("data", "train_fraction"), 7.0),
        (("data", "byte_entropy"), math.inf),
        (("updates",), "many"),
        (("updates",), True),
        (("updates",), math.nan),
        (("updates",), 2**63),
        (("bytes_seen",), None),
        (("validation_loss",), "low"),
        (("validation_loss",), math.inf),
        (("validation_loss",), 10**400),
        (("validation_bytes",), 1.5),
        (("seconds",), math.nan),
        (("machine",), {}),
        (("training",), []),
        (("training", "learning_rate"), math.nan),
        (("training", "seed"), nested(400)),
        (("training", "\udfff"), 1),
        (("libraries",), "torch"),
        (("libraries", "torch"), {}),
    ],
    ids=lambda value: str(value)[:24].encode("ascii", "replace").decode(),
)
def test_a_wrong_value_in_the_metadata_is_refused(good, place, value):
    path, document, tensors = good
    *outer, last = place
    inner = document
    for key in outer:
        inner = inner[key]
    inner[last] = value
    save_file(tensors, path, metadata={"gridlstm": json.dumps(document)})
    tracemalloc.start()
    refused(path)
    assert tracemalloc.get_traced_memory()[1] < 2**20
    tracemalloc.stop()


@pytest.mark.parametrize("place", ["model", "data", "format_version"])
def test_a_lacking_entry_in_the_metadata_is_refused(good, place):
    path, document, tensors = good
    del document[place]
    save_file(tensors, path, metadata={"gridlstm": json.dumps(document)})
    refused(path)


# -- Tensors --------------------------------------------------------------------------------------


def with_tensors(good, **changed):
    """Write the file again with some tensors replaced, or dropped where None; `__` stands for a
    dot."""
    path, document, tensors = good
    changed = {name.replace("__", "."): tensor for name, tensor in changed.items()}
    kept = {name: t for name, t in (tensors | changed).items() if t is not None}
    save_file(kept, path, metadata={"gridlstm": json.dumps(document)})
    return path


def test_a_lacking_tensor_is_named(good):
    assert "decoder.bias" in refused(with_tensors(good, decoder__bias=None))


def test_a_surplus_tensor_is_named(good):
    assert "layers.1.depth" in refused(with_tensors(good, layers__1__depth__bias=np.ones(16)))
    refused(with_tensors(good, **{"odd\n" * 1000: np.ones(1)}))


@pytest.mark.parametrize(
    "shape", [(16,), (8, 16), (16, 4), (1, 16, 8), ()], ids=lambda shape: str(shape)
)
def test_a_misshapen_tensor_is_named(good, shape):
    tensor = np.zeros(shape, np.float32)
    assert "layers.0.time.weight" in refused(with_tensors(good, layers__0__time__weight=tensor))


@pytest.mark.parametrize("kind", ["float8_e4m3fn", "float8_e5m2", "int64", "bool"])
def test_a_type_that_is_not_read_is_named_and_those_that_are(good, kind):
    path, document, tensors = good
    whole = {name: torch.from_numpy(tensor) for name, tensor in tensors.items()}
    whole["decoder.bias"] = whole["decoder.bias"].to(getattr(torch, kind))
    save_torch(whole, path, {"gridlstm": json.dumps(document)})
    name = {"float8_e4m3fn": "F8_E4M3", "float8_e5m2": "F8_E5M2", "int64": "I64", "bool": "BOOL"}
    assert refused(path) == (
        f"The tensor decoder.bias has type {name[kind]}; what is read is float16, bfloat16, "
        "float32 and float64."
    )


@pytest.mark.parametrize("kind", [np.int8, np.int32, np.int64, np.uint8, np.bool_])
def test_a_tensor_that_is_no_float_is_named(good, kind):
    assert "decoder.bias" in refused(with_tensors(good, decoder__bias=np.zeros(256, kind)))


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("kind", [np.float16, np.float32, np.float64])
def test_a_tensor_with_a_value_that_is_not_finite_is_named(good, value, kind):
    tensor = np.zeros((16, 8), kind)
    tensor[3, 5] = value
    assert "layers.1.time.weight" in refused(with_tensors(good, layers__1__time__weight=tensor))


def test_a_double_too_large_for_float32_is_not_finite(good):
    refused(with_tensors(good, decoder__bias=np.full(256, 1e300)))


# -- Writing --------------------------------------------------------------------------------------


def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(good):
    path, before = good[0], good[0].read_bytes()

    def fail(aside):
        aside.write_bytes(b"half of it")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_aside(path, fail)
    assert path.read_bytes() == before
    assert list(path.parent.iterdir()) == [path]


def test_the_old_file_is_there_until_the_new_one_is_whole(good):
    path, before = good[0], good[0].read_bytes()

    def write(aside):
        aside.write_bytes(b"the new file")
        assert path.read_bytes() == before
        # What a power cut would leave behind is no checkpoint by its name.
        assert list(path.parent.glob("*.safetensors")) == [path]

    write_aside(path, write)
    assert path.read_bytes() == b"the new file"
    assert list(path.parent.iterdir()) == [path]


def test_writing_the_same_again_gives_the_same_file(good, make_model):
    path, before = good[0], good[0].read_bytes()
    metadata = read_metadata(path)
    write_checkpoint(path, read_tensors(path, metadata), metadata)
    assert path.read_bytes() == before
    write_checkpoint(path, read_tensors(path, metadata), replace(metadata, updates=8))
    assert path.read_bytes() != before
    assert read_metadata(path).updates == 8


def test_a_claim_of_any_size_must_be_borne_out_by_the_file(good):
    """The largest model that the metadata may claim, without tensors of its size."""
    path, document, tensors = good
    largest = ModelConfig("grid", 64, 8192, "none")
    document["model"] = asdict(largest)
    save_file(tensors, path, metadata={"gridlstm": json.dumps(document)})
    assert "lacks" in refused(path)
