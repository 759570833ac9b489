"""Damaged and hostile files of every format: a model, or one clear sentence, in bounded memory and
time. `FOREIGN_FLIPS=2000` flips as many bytes of each file, which takes minutes."""

import io
import json
import os
import pickle
import struct
import time
import tracemalloc
import zipfile
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
import torch7_writer as t7
from safetensors.torch import save
from torch import nn

from gridlstm.checkpoint.metadata import parse, to_text
from gridlstm.importing.conversion import to_model
from gridlstm.importing.errors import ForeignModelError
from gridlstm.importing.foreign_model import ForeignModel
from gridlstm.importing.reading import UNFORESEEN, read_model

FOLDER = Path(__file__).parent / "data" / "foreign"
FLIPS = int(os.environ.get("FOREIGN_FLIPS", 150))
# Each reading of HDF5 starts a process.
FLIPS_OF_HDF5 = FLIPS // 15
SECONDS = 3.0


class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.embedding, self.lstm = nn.Embedding(5, 3), nn.LSTM(3, 4, 2)
        self.fc, self.chars = nn.Linear(4, 5), tuple("abcde")


Model.__module__ = "model"


def _module_pickle() -> bytes:
    import sys
    import types

    module = types.ModuleType("model")
    module.Model = Model
    sys.modules["model"] = module
    try:
        return pickle.dumps(Model())
    finally:
        del sys.modules["model"]


def _saved(content, **options) -> bytes:
    file = io.BytesIO()
    torch.save(content, file, **options)
    return file.getvalue()


def _folder(name: str) -> list[tuple[str, bytes]]:
    files = [path for path in sorted((FOLDER / name).iterdir()) if path.name != "checkpoint"]
    return [(path.name, path.read_bytes()) for path in files]


def _ml5() -> list[tuple[str, bytes]]:
    random = np.random.default_rng(0)
    cell = "rnnlm/multi_rnn_cell/cell_0/basic_lstm_cell"
    shapes = {"embedding": [5, 4], f"{cell}/kernel": [8, 16], f"{cell}/bias": [16]}
    shapes |= {"rnnlm/softmax_w": [4, 5], "rnnlm/softmax_b": [5], "Variable": []}
    manifest = {
        name: {"filename": name.replace("/", "_"), "shape": shapes[name]} for name in shapes
    }
    files = [
        (entry["filename"], random.normal(size=entry["shape"]).astype("<f4").tobytes())
        for entry in manifest.values()
    ]
    vocabulary = json.dumps({sign: index for index, sign in enumerate("abcde")})
    return [
        ("manifest.json", json.dumps(manifest).encode()),
        ("vocab.json", vocabulary.encode()),
        *files,
    ]


def _torch_rnn() -> dict:
    from test_foreign_torch7 import torch_rnn

    return torch_rnn()[0]


@cache
def samples() -> dict[str, list[tuple[str, bytes]]]:
    """A small model of each format: its files, by name and bytes."""
    torch.manual_seed(0)
    state = {"state_dict": Model().state_dict(), "chars": tuple("abcde")}
    grid, _ = t7.grid_lstm(5, 3, 2, tied=True)
    gru, _ = t7.char_rnn("gru", 5, 3, 1)
    return {
        "torch": [("model.pt", _saved(state))],
        "legacy torch": [("model.pt", _saved(state, _use_new_zipfile_serialization=False))],
        "pickle": [("model.pkl", _module_pickle())],
        "protocol 0": [("model.pkl", pickle.dumps(Model().state_dict(), protocol=0))],
        "safetensors": [("model.safetensors", save(Model().state_dict()))],
        "char-rnn": [("model.t7", t7.write(t7.checkpoint(gru, list("abcde"))))],
        "grid-lstm": [("model.t7", t7.write(t7.checkpoint(grid, list("abcde"))))],
        "torch-rnn": [("model.t7", t7.write(_torch_rnn()))],
        "ml5": _ml5(),
        "TensorFlow": _folder("tf1-gru"),
        "tfjs": _folder("tfjs-lstm"),
        "keras": [("model.keras", (FOLDER / "keras3-gru-unbiased.keras").read_bytes())],
        "hdf5": [("model.h5", (FOLDER / "keras2-window.h5").read_bytes())],
    }


FORMATS = (
    *("torch", "legacy torch", "pickle", "protocol 0", "safetensors", "char-rnn", "grid-lstm"),
    *("torch-rnn", "ml5", "TensorFlow", "tfjs", "keras", "hdf5"),
)
IN_HDF5 = ("keras", "hdf5")


def attempt(files, seconds: float = SECONDS) -> ForeignModel | None:
    """A model, or None where it was refused as it should be."""
    begin = time.process_time()
    try:
        return read_model(files)
    except ForeignModelError as error:
        message = str(error)
        assert message != UNFORESEEN
        assert message.endswith((".", "…")) and "\n" not in message and len(message) < 500
        return None
    finally:
        assert time.process_time() - begin < seconds


def changed(files, name, data):
    return [(other, data if other == name else content) for other, content in files]


def test_the_samples_are_read():
    assert set(samples()) == set(FORMATS)
    for name, files in samples().items():
        assert attempt(files) is not None, name


@pytest.mark.parametrize("name", FORMATS)
def test_cut_short_anywhere(name):
    files = samples()[name]
    steps = 10 if name in IN_HDF5 else 50
    for file, data in files:
        for step in range(steps):
            attempt(changed(files, file, data[: len(data) * step // steps]))


@pytest.mark.parametrize("name", FORMATS)
def test_single_bytes_flipped(name):
    files, random = samples()[name], np.random.default_rng(24)
    sizes = np.array([len(data) for _, data in files])
    for _ in range(FLIPS_OF_HDF5 if name in IN_HDF5 else FLIPS):
        # A small file of a model is hit as often as a large one.
        number = random.integers(len(files))
        file, data = files[number]
        place = random.integers(sizes[number]) if sizes[number] else 0
        flipped = bytearray(data)
        flipped[place : place + 1] = bytes([data[place] ^ random.integers(1, 256)])
        attempt(changed(files, file, bytes(flipped)))


def test_a_parameter_whose_damaged_name_has_a_point():
    ((file, data),) = samples()["pickle"]
    damaged = data.replace(b"weight_ih_l0", b"weight_.h_l0")
    assert damaged != data and attempt([(file, damaged)]) is None


@pytest.mark.parametrize("name", [name for name in FORMATS if name not in IN_HDF5])
def test_what_is_read_can_be_written_or_is_refused(name):
    """Whatever a file says of signs and of itself, its checkpoint is a right one."""
    files, random = samples()[name], np.random.default_rng(25)
    for _ in range(40):
        file, data = files[random.integers(len(files))]
        flipped, place = bytearray(data), random.integers(len(data))
        flipped[place] ^= random.integers(1, 256)
        foreign = attempt(changed(files, file, bytes(flipped)))
        if foreign is None or foreign.vocabulary is None:
            continue
        try:
            model, metadata = to_model(foreign, "a\ud800name")
        except ForeignModelError as error:
            assert str(error).endswith(".")
            continue
        again = parse(to_text(metadata).encode().decode())
        assert (again.model, again.vocabulary) == (metadata.model, metadata.vocabulary)
        assert model.to_tensors().keys() == again.model.tensor_shapes().keys()


@pytest.mark.parametrize("name", [name for name in FORMATS if name not in IN_HDF5])
def test_sizes_replaced_by_huge_ones(name):
    """Each run of four or eight bytes in the file's first part, where its sizes are."""
    files, random = samples()[name], np.random.default_rng(6)
    tracemalloc.start()
    try:
        for file, data in files:
            for _ in range(40):
                place = int(random.integers(max(1, min(len(data), 4_000))))
                huge = struct.pack("<q", int(random.choice([2**62, 2**40, 2**31 - 1, -1])))
                broken = data[:place] + huge[:8] + data[place + 8 :]
                attempt(changed(files, file, broken), 10 * SECONDS)
        assert tracemalloc.get_traced_memory()[1] < 32 << 20
    finally:
        tracemalloc.stop()


# -- Made to hurt ----------------------------------------------------------------------------------


def zipped(members: dict[str, bytes], method=zipfile.ZIP_STORED) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return file.getvalue()


def of_torch(code: bytes, **members: bytes) -> list[tuple[str, bytes]]:
    return [("model.pt", zipped({"m/data.pkl": b"\x80\x02" + code, **members}))]


def storage(length: int) -> bytes:
    """A persistent id of a storage of that length."""
    kind = b"(X\x07\x00\x00\x00storagectorch\nFloatStorage\n"
    place = b"X\x01\x00\x00\x000X\x03\x00\x00\x00cpu"
    return kind + place + b"\x8a\x08" + struct.pack("<q", length) + b"tQ"


def rebuilt(length: int, shape: int, stride: int = 1) -> bytes:
    """A tensor of one dimension of a storage."""
    return (
        b"ctorch._utils\n_rebuild_tensor_v2\n("
        + storage(length)
        + b"K\x00"
        + b"\x8a\x08"
        + struct.pack("<q", shape)
        + b"\x85"
        + b"\x8a\x08"
        + struct.pack("<q", stride)
        + b"\x85\x89NtR."
    )


HOSTILE = {
    "deep lists": of_torch(b"(" * 50_000 + b"l" * 50_000 + b"."),
    "deep tuples": of_torch(b")" + b"\x85" * 20_000 + b"."),
    "deep dicts": of_torch(b"}" + b"K\x00}" * 10_000 + b"s" * 10_000 + b"."),
    "many objects": of_torch(b"]" * 260_000 + b"."),
    "a list of itself": of_torch(b"]q\x00h\x00a."),
    "a dict of itself": of_torch(b"}q\x00K\x01h\x00s."),
    "a module of itself": of_torch(
        b"cmodel\nModel\n)\x81q\x00}X\x08\x00\x00\x00_modules}X\x01\x00\x00\x00ah\x00sX\x0b\x00\x00"
        b"\x00_parameters}sb."
    ),
    "doubled again and again": of_torch(b"]" + b"q\x00(h\x00h\x00l" * 5_000 + b"."),
    "a tuple as a key, doubled": of_torch(b"}K\x01" + b"2\x86" * 200 + b"Ns."),
    "a string listed again and again": of_torch(
        b"X" + struct.pack("<I", 1 << 20) + b"a" * (1 << 20) + b"q\x010"
        b"(" + b"cbuiltins\nlist\nh\x01\x85R" * 5_000 + b"l."
    ),
    "bytes of a number": of_torch(b"cbuiltins\nbytearray\n\x8a\x05\xff\xff\xff\xff\x7f\x85R."),
    "a number of many digits": of_torch(b"\x8b" + struct.pack("<i", 1 << 20) + b"\xff" * (1 << 20)),
    "colliding keys": of_torch(
        b"}("
        + b"".join(
            b"\x8a\x10" + (number * ((1 << 61) - 1)).to_bytes(16, "little") + b"N"
            for number in range(1, 10_000)
        )
        + b"u."
    ),
    "a storage that is not there": of_torch(rebuilt(1 << 50, 4)),
    "a tensor beyond its storage": of_torch(rebuilt(4, 1 << 40), **{"m/data/0": b"\0" * 16}),
    "one number for ever": of_torch(rebuilt(4, 1 << 40, 0), **{"m/data/0": b"\0" * 16}),
    "a negative stride": of_torch(rebuilt(4, 4, -1), **{"m/data/0": b"\0" * 16}),
    "nested calls": of_torch(
        b"ccopyreg\n__newobj__\n(" + b"ccopyreg\n__newobj__\n" * 50_000 + b"tR."
    ),
    "a zip of many members": [("m.zip", zipped({f"{number}": b"" for number in range(20_000)}))],
    "a zip that unpacks to a gigabyte": [
        ("m.zip", zipped({"a.json": b" " * (1 << 28)}, zipfile.ZIP_DEFLATED))
    ],
    "a zip in a zip": [("m.zip", zipped({"a.zip": zipped({"b.zip": zipped({"c": b""})})}))],
    "deep JSON": [("manifest.json", b"[" * 1_000_000)],
    "much JSON": [("manifest.json", b"[" + b"{}," * 2_000_000 + b"{}]")],
    "long numbers in JSON": [("manifest.json", b"[" + b"9" * 1_000_000 + b"]")],
    "deep tables of Lua": [
        (
            "m.t7",
            b"".join(
                struct.pack("<iii", 3, number, 1) + struct.pack("<id", 1, 1.0)
                for number in range(1, 10_000)
            ),
        )
    ],
    "a table of itself": [
        (
            "m.t7",
            struct.pack("<iiiid", 3, 1, 1, 1, 1.0) + struct.pack("<ii", 3, 1),
        )
    ],
    "a table of many": [("m.t7", struct.pack("<iii", 3, 1, 999) + b"\0" * 64)],
    "an empty file": [("m.pt", b"")],
    "only zeros": [("m.pt", b"\0" * 100_000)],
    "headers alone": [("m.h5", b"\x89HDF\r\n\x1a\n" + b"\0" * 500)],
}


@pytest.mark.parametrize("name", HOSTILE)
def test_files_made_to_hurt_are_refused(name):
    assert attempt(HOSTILE[name]) is None
    tracemalloc.start()
    try:
        # Told apart, since being traced takes ten times as long.
        assert attempt(HOSTILE[name], 10 * SECONDS) is None
        size = sum(len(data) for _, data in HOSTILE[name])
        assert tracemalloc.get_traced_memory()[1] < 3 * size + (64 << 20)
    finally:
        tracemalloc.stop()


def test_the_same_weights_in_every_layer_are_refused():
    """A small file could ask for 64 layers of the same numbers."""
    state = {}
    weight = torch.randn(256, 64)
    for layer in range(60):
        state[f"rnn.weight_ih_l{layer}"] = state[f"rnn.weight_hh_l{layer}"] = weight
    state["fc.weight"] = torch.randn(64, 64)
    with pytest.raises(ForeignModelError, match="more weights"):
        read_model([("m.pt", _saved(state))])


def test_memory_is_no_more_than_three_times_the_file():
    torch.manual_seed(0)
    lstm, decoder = nn.LSTM(80, 256, 3), nn.Linear(256, 80)
    state = {**{f"rnn.{n}": t for n, t in lstm.state_dict().items()}}
    state |= {f"fc.{n}": t for n, t in decoder.state_dict().items()}
    for content in (
        _saved(state),
        _saved(state, _use_new_zipfile_serialization=False),
        save(state),
    ):
        tracemalloc.start()
        try:
            model = read_model([("m", content)])
            # The file itself is there already.
            assert tracemalloc.get_traced_memory()[1] < 2 * len(content)
        finally:
            tracemalloc.stop()
        assert model.units == 256


def test_numbers_that_are_not_finite_are_refused():
    state = Model().state_dict()
    state["fc.bias"][0] = float("nan")
    with pytest.raises(ForeignModelError, match="finite"):
        read_model([("m.pt", _saved(state))])
