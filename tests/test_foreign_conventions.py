"""What depends on the version or the program that wrote a file, and what is refused by name."""

import copyreg
import io
import json
import math
import pickle
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from foreign_reference import run_indices
from test_foreign_hostile import Model, _ml5, _saved

from gridlstm.importing import ForeignModelError, read_model
from gridlstm.importing.keras_layers import KerasLayer, conventions, model_of_layers
from gridlstm.importing.tensorflow import model_of_variables

h5py = pytest.importorskip("h5py")
INDICES = [3, 1, 4, 1, 5, 0, 2, 6, 5, 3, 5, 0]
TOKENS, UNITS = 7, 5


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


# -- Keras 1 ---------------------------------------------------------------------------------------


def keras_1(kind: str, **config) -> tuple[bytes, dict]:
    """A file as Keras 1 writes it: an array a gate, `inner_activation`, layers in a list."""
    random = np.random.default_rng(3)
    gates = {"LSTM": "icfo", "GRU": "zrh"}[kind]
    arrays = {}
    for gate in gates:
        arrays[f"l_W_{gate}"] = random.normal(size=(TOKENS, UNITS))
        arrays[f"l_U_{gate}"] = random.normal(size=(UNITS, UNITS))
        arrays[f"l_b_{gate}"] = random.normal(size=UNITS)
    arrays |= {"d_W": random.normal(size=(UNITS, TOKENS)), "d_b": random.normal(size=TOKENS)}
    layer = {
        "name": "l", "output_dim": UNITS, "activation": "tanh", "inner_activation": "hard_sigmoid",
        "batch_input_shape": [None, 40, TOKENS], "return_sequences": False, **config,
    }  # fmt: skip
    model = [
        {"class_name": kind, "config": layer},
        {"class_name": "Dropout", "config": {"name": "drop", "p": 0.2}},
        {"class_name": "Dense", "config": {"name": "d", "activation": "linear"}},
        {"class_name": "Activation", "config": {"name": "a", "activation": "softmax"}},
    ]
    return hdf5(
        {"l": [n for n in arrays if n[0] == "l"], "d": ["d_W", "d_b"]}, arrays, model
    ), arrays


def hdf5(layers: dict[str, list[str]], arrays: dict, model: list, version="1.2.2") -> bytes:
    file = io.BytesIO()
    with h5py.File(file, "w") as root:
        root.attrs["keras_version"] = version
        root.attrs["model_config"] = json.dumps({"class_name": "Sequential", "config": model})
        group = root.create_group("model_weights")
        group.attrs["layer_names"] = [name.encode() for name in layers]
        for name, own in layers.items():
            part = group.create_group(name)
            part.attrs["weight_names"] = [name.encode() for name in own]
            for array in own:
                part[array] = arrays[array].astype("f4")
    return file.getvalue()


def test_an_lstm_of_keras_1():
    content, a = keras_1("LSTM")
    model = read_model([("model.h5", content)])
    assert model.gates == "hard_sigmoid" and model.window == 40
    h, c, found = np.zeros(UNITS), np.zeros(UNITS), []
    for index in INDICES:
        z = {g: a[f"l_W_{g}"][index] + h @ a[f"l_U_{g}"] + a[f"l_b_{g}"] for g in "icfo"}
        i, f, o = (np.clip(0.2 * z[g] + 0.5, 0, 1) for g in "ifo")
        c = f * c + i * np.tanh(z["c"])
        h = o * np.tanh(c)
        found.append(h @ a["d_W"] + a["d_b"])
    np.testing.assert_allclose(run_indices(model, INDICES).logits, found, atol=3e-6)


def test_a_gru_of_keras_1_resets_before():
    content, a = keras_1("GRU")
    model = read_model([("model.h5", content)])
    assert model.reset == "before"
    h, found = np.zeros(UNITS), []
    for index in INDICES:
        x = {g: a[f"l_W_{g}"][index] + a[f"l_b_{g}"] for g in "zrh"}
        z = np.clip(0.2 * (x["z"] + h @ a["l_U_z"]) + 0.5, 0, 1)
        r = np.clip(0.2 * (x["r"] + h @ a["l_U_r"]) + 0.5, 0, 1)
        h = z * h + (1 - z) * np.tanh(x["h"] + (r * h) @ a["l_U_h"])
        found.append(h @ a["d_W"] + a["d_b"])
    np.testing.assert_allclose(run_indices(model, INDICES).logits, found, atol=3e-6)


def test_hdf5_reads_no_other_file(tmp_path):
    """An external dataset, a virtual one and a link show what stands in other files."""
    secret = tmp_path / "secret"
    secret.write_bytes(np.full(TOKENS * 4 * UNITS, 7.0, "f4").tobytes())
    content, _ = keras_1("LSTM")
    path = tmp_path / "model.h5"
    path.write_bytes(content)
    with h5py.File(path, "a") as file:
        group = file["model_weights/l"]
        del group["l_W_i"]
        group.create_dataset(
            "l_W_i", (TOKENS, UNITS), "f4", external=[(str(secret), 0, h5py.h5f.UNLIMITED)]
        )
    with pytest.raises(ForeignModelError, match="lacks some of its gates"):
        read_model([path])
    path.write_bytes(content)
    with h5py.File(path, "a") as file, h5py.File(tmp_path / "other.h5", "w") as other:
        other["w"] = np.ones((TOKENS, UNITS), "f4")
        group = file["model_weights/l"]
        del group["l_W_i"]
        group["l_W_i"] = h5py.ExternalLink(str(tmp_path / "other.h5"), "w")
    with pytest.raises(ForeignModelError, match="lacks some of its gates"):
        read_model([path])


# -- Keras' layers ---------------------------------------------------------------------------------


def chain(*changes, kind="LSTM", version="2.2.4", **config):
    """The model of Embedding, a recurrent layer and Dense, whose layers `changes` may change."""
    gates = {"LSTM": 4, "GRU": 3, "SimpleRNN": 1}[kind]
    weights = {
        "kernel": np.ones((3, gates * UNITS), "f4"),
        "recurrent_kernel": np.ones((UNITS, gates * UNITS), "f4"),
    }
    layers = [
        KerasLayer("Embedding", "e", {}, {"embeddings": np.ones((TOKENS, 3), "f4")}),
        KerasLayer(kind, "r", {"activation": "tanh", **config}, weights),
        KerasLayer(
            "Dense", "d", {"activation": "softmax"}, {"kernel": np.ones((UNITS, TOKENS), "f4")}
        ),
    ]
    for change in changes:
        change(layers)
    return model_of_layers(layers, conventions("Keras", version), {})


@pytest.mark.parametrize(
    ("version", "expected"),
    [
        ("1.2.2", "hard_sigmoid"),
        ("2.2.4-tf", "hard_sigmoid"),
        ("2.15.0", "hard_sigmoid"),
        ("3.0.0", "hard_sigmoid_6"),
        ("3.15.1", "hard_sigmoid_6"),
        ("10.1", "hard_sigmoid_6"),
        ("tfjs-layers 4.22.0", "hard_sigmoid"),
        (None, "hard_sigmoid"),
    ],
)
def test_hard_sigmoid_by_the_version(version, expected):
    assert chain(version=version, recurrent_activation="hard_sigmoid").gates == expected


def test_reset_after_by_the_configuration_alone():
    assert chain(kind="GRU").reset == "before"
    assert chain(kind="GRU", reset_after=False).reset == "before"
    assert chain(kind="GRU", reset_after=True).reset == "after"


def test_windows_are_told():
    assert chain().window is None
    assert chain(batch_input_shape=[None, 30, 3]).window == 30
    assert chain(batch_input_shape=[None, None, 3]).window is None
    assert chain(batch_input_shape=[8, 30, 3], stateful=True).window is None


def insert(place, kind, **config):
    return lambda layers: layers.insert(place, KerasLayer(kind, "extra", config))


def configure(place, **config):
    return lambda layers: layers[place].config.update(config)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (insert(1, "Bidirectional"), "bidirectional"),
        (insert(1, "BatchNormalization"), "BatchNormalization"),
        (insert(2, "AttentionWeightedAverage"), "textgenrnn"),
        (insert(2, "Lambda"), "runs code"),
        (insert(2, "Flatten"), "window at once"),
        (insert(1, "Masking"), "masks"),
        (insert(2, "Dense", activation="relu"), "relu"),
        (insert(2, "Dense", activation="linear"), "in this order"),
        (insert(1, "RNN"), "wraps cells"),
        (insert(2, "GRU"), "several kinds"),
        (configure(0, mask_zero=True), "mask_zero"),
        (configure(1, go_backwards=True), "backwards"),
        (configure(1, activation="relu"), "relu"),
        (configure(1, recurrent_activation="swish"), "swish"),
        (configure(2, activation="sigmoid"), "sigmoid"),
        (lambda layers: layers.pop(0), "one-hot"),
        (lambda layers: layers.pop(1), "in this order"),
        (lambda layers: layers[2].weights.clear(), "no fitting kernel"),
    ],
)
def test_layers_that_cannot_be_read(change, why):
    with pytest.raises(ForeignModelError, match=why):
        chain(change)


def test_input_of_one_number_is_refused():
    def one_number(layers):
        layers.pop(0)
        layers[0].weights["kernel"] = np.ones((1, 4 * UNITS), "f4")

    with pytest.raises(ForeignModelError, match="its index on some scale"):
        chain(one_number)


# -- TensorFlow 1 and ml5 --------------------------------------------------------------------------

CELL = "rnnlm/multi_rnn_cell/cell_0/basic_lstm_cell"
SHAPES = {
    f"{CELL}/kernel": (8, 16),
    f"{CELL}/bias": (16,),
    "embedding": (5, 4),
    "rnnlm/softmax_w": (4, 5),
    "rnnlm/softmax_b": (5,),
}


def variables(shapes=SHAPES, **answers):
    random = np.random.default_rng(0)
    made = {name: random.normal(size=shape).astype("f4") for name, shape in shapes.items()}
    return model_of_variables(shapes, made.__getitem__, "TensorFlow", answers), made


def test_what_is_added_to_the_forget_gate():
    usual, made = variables()
    forget = made[f"{CELL}/bias"].reshape(4, 4)[2]
    np.testing.assert_array_equal(usual.layers[0].time.bias.reshape(4, 4)[1], forget + 1)
    other, _ = variables(forget_bias="0")
    np.testing.assert_array_equal(other.layers[0].time.bias.reshape(4, 4)[1], forget)
    with pytest.raises(ForeignModelError, match="number"):
        variables(forget_bias="some")


@pytest.mark.parametrize(
    "names",
    [
        ("weights", "biases"),
        ("Linear/Matrix", "Linear/Bias"),
    ],
)
def test_older_names_of_variables(names):
    shapes = {
        key.replace("kernel", names[0]).replace("bias", names[1]) if CELL in key else key: shape
        for key, shape in SHAPES.items()
    }
    older, made = variables(shapes)
    newer, again = variables()
    assert all(np.array_equal(made[a], again[b]) for a, b in zip(made, again, strict=True))
    for one, other in zip(older.arrays.values(), newer.arrays.values(), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(
    ("name", "why"),
    [
        (f"{CELL}/w_f_diag", "peepholes"),
        (f"{CELL}/projection/kernel", "projections"),
        (f"{CELL}/layer_norm/gamma", "LayerNorm"),
        ("bidirectional_rnn/bw/lstm_cell/kernel", "bidirectional"),
        ("attention/kernel", "attention"),
        ("cudnn_lstm/opaque_kernel", "cuDNN"),
        ("rnnlm/dense_1/kernel", "one embedding and one decoder"),
        ("rnnlm/other", "variables that no such model has"),
        ("net/layer_with_weights-0/kernel/.ATTRIBUTES/VARIABLE_VALUE", "TensorFlow 2"),
    ],
)
def test_variables_that_cannot_be_read(name, why):
    shape = (4,) if name == "rnnlm/other" else (8, 16)
    with pytest.raises(ForeignModelError, match=why):
        variables({**SHAPES, name: shape})


def test_a_missing_file_is_named():
    files = [file for file in _ml5() if "kernel" not in file[0]]
    with pytest.raises(ForeignModelError, match="basic_lstm_cell_kernel is missing"):
        read_model(files)
    folder = Path(__file__).parent / "data" / "foreign" / "tf1-lstm"
    with pytest.raises(ForeignModelError, match="data-00000-of-00001 is missing"):
        read_model([folder / "model.ckpt-20.index"])
    with pytest.raises(ForeignModelError, match="its .index is missing"):
        read_model([folder / "model.ckpt-20.data-00000-of-00001"])


def test_a_zip_of_a_folder_is_read_as_its_files():
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in _ml5():
            archive.writestr(f"models/mine/{name}", data)
    model = read_model([("mine.zip", file.getvalue())])
    assert model.program == "ml5 charRNN" and model.vocabulary is not None


# -- torch before 0.4 ------------------------------------------------------------------------------


class _OldParameter:
    """Stands for torch.nn.parameter.Parameter as torch 0.2 and 0.3 pickled it."""

    def __init__(self, tensor):
        self.tensor = tensor

    def __reduce__(self):
        return copyreg.__newobj__, (_OldParameter, self.tensor), (True, False, {})

    def __new__(cls, *_):
        return object.__new__(cls)

    def __setstate__(self, state):
        pass


@pytest.mark.parametrize("way", ["in its arguments", "in its state"])
def test_parameters_of_old_torch(way):
    """Torch 0.2 gave a parameter its tensor as it was made, torch 0.1 in its state."""
    state = Model().state_dict()
    content = pickle.dumps({name: _OldParameter(tensor) for name, tensor in state.items()}, 2)
    name = f"c{__name__}\n_OldParameter\n".encode()
    assert name in content
    content = content.replace(name, b"ctorch.nn.parameter\nParameter\n")
    if way == "in its state":
        content = _saved_in_state(state)
    model = read_model([("model.pkl", content)])
    np.testing.assert_array_equal(model.embedding, state["embedding.weight"].numpy())


def _saved_in_state(state) -> bytes:
    class Parameter(_OldParameter):
        def __reduce__(self):
            arguments = (Parameter,)
            return copyreg.__newobj__, arguments, (self.tensor, None, {}, True, False)

    Parameter.__qualname__ = "Parameter"
    globals()["Parameter"] = Parameter
    try:
        content = pickle.dumps({n: Parameter(t) for n, t in state.items()}, 2)
    finally:
        del globals()["Parameter"]
    return content.replace(
        f"c{__name__}\nParameter\n".encode(), b"ctorch.nn.parameter\nParameter\n"
    )


# -- Files that are known and not read -------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "data", "why"),
    [
        ("model.onnx", b"\x08\x07\x12\x07pytorch\x1a\x052.0.0", "export the weights"),
        ("model", b"\x08\x07\x12\x07pytorch\x1a\x052.0.0", "ONNX"),
        ("saved_model.pb", b"\x08\x01\x12\xc4\x01", "graph of TensorFlow"),
        ("model.ckpt-5.meta", b"\n\xb4\x02\n", "its .index and .data"),
        ("model.tflite", b"\x1c\0\0\0TFL3" + b"\0" * 40, "TensorFlow Lite"),
        ("weights.npy", b"\x93NUMPY\x01\0v\0{'descr': '<f4'}", "model_from_arrays"),
        ("model.tar.gz", b"\x1f\x8b\x08\0" + b"\0" * 40, "gzip"),
        ("model.pt", b"a" * 257 + b"ustar\x0000" + b"\0" * 200, "tar"),
        ("model.t7", b"4\n1\n3\nV 1\n13\nnn.Sequential\n", "ASCII"),
        ("notes.txt", b"just a text", "No model"),
        ("v.json", b'{"a": 0, "b": 1}', "No model"),
        ("v.pkl", pickle.dumps({"a": 0}), "holds no model"),
    ],
)
def test_other_files_are_refused_by_name(name, data, why):
    with pytest.raises(ForeignModelError, match=why) as refused:
        read_model([(name, data)])
    assert str(refused.value).endswith(".") and "\n" not in str(refused.value)


def test_a_graph_of_tfjs_is_refused():
    content = json.dumps({"format": "graph-model", "weightsManifest": [], "modelTopology": {}})
    with pytest.raises(ForeignModelError, match="tfjs_layers_model"):
        read_model([("model.json", content.encode())])


def test_quantised_weights_of_tfjs_are_those_it_computes_with():
    folder = Path(__file__).parent / "data" / "foreign" / "tfjs-gru"
    content = json.loads((folder / "model.json").read_text())
    data, packed = (folder / "group1-shard1of1.bin").read_bytes(), b""
    place, exact = 0, {}
    for spec in content["weightsManifest"][0]["weights"]:
        count = math.prod(spec["shape"])
        numbers = np.frombuffer(data, "<f4", count, place)
        place += 4 * count
        least, scale = float(numbers.min()), float(np.ptp(numbers)) / 255 or 1.0
        quantised = np.round((numbers - least) / scale).astype("u1")
        spec["quantization"] = {"dtype": "uint8", "min": least, "scale": scale}
        exact[spec["name"]] = (quantised * scale + least).astype("f4").reshape(spec["shape"])
        packed += quantised.tobytes()
    model = read_model(
        [("model.json", json.dumps(content).encode()), ("group1-shard1of1.bin", packed)]
    )
    np.testing.assert_array_equal(
        model.embedding, exact[content["weightsManifest"][0]["weights"][0]["name"]]
    )
    kernel = exact["zulu/kernel"]
    np.testing.assert_array_equal(model.layers[0].time.weight[:5, 5:], kernel[:, 5:10].T)
    assert any("quantised" in note for note in model.notes)


def test_paths_that_cannot_be_read(tmp_path):
    with pytest.raises(ForeignModelError, match="folder"):
        read_model([tmp_path])
    with pytest.raises(ForeignModelError, match="No such file"):
        read_model([tmp_path / "missing.pt"])
    with pytest.raises(ForeignModelError, match="no file"):
        read_model([])


def test_several_models_are_refused():
    content = _saved(Model().state_dict())
    with pytest.raises(ForeignModelError, match=r"several models \(a.pt, b.pt\)"):
        read_model([("a.pt", content), ("b.pt", content)])


def test_a_name_from_a_file_breaks_no_line():
    weights = {"rnn.weight_ih_l0": torch.zeros(4, 4), "bad\n\x1b[31mname": torch.zeros(3)}
    with pytest.raises(ForeignModelError) as refused:
        read_model([("a.pt", _saved(weights | {"rnn.weight_hh_l0": torch.zeros(4, 1)}))])
    assert str(refused.value).isprintable()


def test_a_claim_of_a_huge_header_is_refused():
    with pytest.raises(ForeignModelError):
        read_model([("m.safetensors", struct.pack("<Q", 1 << 23) + b'{"a": 1}')])
