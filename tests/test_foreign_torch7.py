"""Files of Torch 7, written here in the layouts of their programs: what is read gives what the
programs' equations give, with the weights as they were written."""

import numpy as np
import pytest
import torch7_writer as t7
from foreign_reference import run_indices

from gridlstm.importing.errors import ForeignModelError
from gridlstm.importing.reading import read_model

SIGNS = ["a", "b", "c", b"\xc3", b"\xa9", "\n"]
SIZE, UNITS = len(SIGNS), 4
INDICES = [3, 1, 4, 1, 5, 0, 2, 5, 3, 5, 0, 2]


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def read(root, **options):
    return read_model([("checkpoint.t7", t7.write(root))], **options)


def lstm(z, c):
    """The rows i, f, o and g."""
    i, f, o, g = z.reshape(4, -1)
    c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
    return c, sigmoid(o) * np.tanh(c)


def apply(weights, name, x):
    weight, bias = weights.made[name]
    return weight @ x + bias


def char_rnn_logits(kind, weights, layers):
    """char-rnn's LSTM.lua, GRU.lua and RNN.lua, one character at a time."""
    c, h = np.zeros((layers, UNITS)), np.zeros((layers, UNITS))
    found = []
    for index in INDICES:
        x = np.eye(SIZE)[index]
        for layer in range(layers):
            if kind == "gru":
                z, r = (
                    sigmoid(
                        apply(weights, f"{layer}.{name}.x", x)
                        + apply(weights, f"{layer}.{name}.h", h[layer])
                    )
                    for name in ("update", "reset")
                )
                candidate = np.tanh(
                    apply(weights, f"{layer}.candidate.x", x)
                    + apply(weights, f"{layer}.candidate.h", r * h[layer])
                )
                h[layer] = z * candidate + (1 - z) * h[layer]
            else:
                z = apply(weights, f"{layer}.i2h", x) + apply(weights, f"{layer}.h2h", h[layer])
                if kind == "rnn":
                    h[layer] = np.tanh(z)
                else:
                    c[layer], h[layer] = lstm(z, c[layer])
            x = h[layer]
        found.append(apply(weights, "decoder", x))
    return np.array(found)


@pytest.mark.parametrize("layers", [1, 3])
@pytest.mark.parametrize("generation", ["outside", "narrow", "reshape"])
@pytest.mark.parametrize("kind", ["lstm", "gru", "rnn"])
def test_char_rnn(kind, generation, layers):
    graph, weights = t7.char_rnn(kind, SIZE, UNITS, layers, generation=generation, dropout=0.25)
    model = read(t7.checkpoint(graph, SIGNS))
    assert (model.program, model.cell, len(model.layers)) == ("char-rnn (Torch 7)", kind, layers)
    assert model.embedding is None and model.vocabulary.of_bytes
    assert model.vocabulary.encode("\u00e9a").tokens.tolist() == [3, 4, 0]
    expected = char_rnn_logits(kind, weights, layers)
    np.testing.assert_allclose(run_indices(model, INDICES).logits, expected, atol=3e-6)


@pytest.mark.parametrize("tensors", ["Double", "Float", "Cuda"])
def test_tensors_of_every_machine(tensors):
    graph, weights = t7.char_rnn("lstm", SIZE, UNITS, 2, tensors=tensors)
    model = read(t7.checkpoint(graph, SIGNS))
    expected = char_rnn_logits("lstm", weights, 2)
    np.testing.assert_allclose(run_indices(model, INDICES).logits, expected, atol=3e-6)


def test_a_vocabulary_of_ascii_is_of_bytes():
    graph, _ = t7.char_rnn("lstm", 3, UNITS, 1)
    tokens = read(t7.checkpoint(graph, ["a", "b", "c"])).vocabulary
    assert tokens.tokens == (b"a", b"b", b"c")


def test_a_vocabulary_of_characters():
    graph, _ = t7.char_rnn("lstm", 3, UNITS, 1)
    tokens = read(t7.checkpoint(graph, ["a", "\u00e9".encode(), "\u2019".encode()])).vocabulary
    assert tokens.tokens == ("a", "\u00e9", "\u2019") and tokens.several_bytes == 2


def test_losses_become_a_curve():
    graph, _ = t7.char_rnn("lstm", SIZE, UNITS, 1)
    losses = {"val_losses": {20: 2.5, 10: 3.5}, "train_losses": [4.0, 3.0, 2.0]}
    curve = read(t7.checkpoint(graph, SIGNS, **losses)).curve
    assert curve.validation_updates.tolist() == [10, 20]
    assert curve.validation_loss.tolist() == [3.5, 2.5]
    assert curve.train_updates.tolist() == [1, 2, 3]
    assert curve.train_loss.tolist() == [4.0, 3.0, 2.0]


@pytest.mark.parametrize("count", [10, 500])
def test_a_curve_of_any_length(count):
    """Long ones are read as numbers at once, short ones entry by entry."""
    graph, _ = t7.char_rnn("lstm", SIZE, UNITS, 1)
    losses = {"train_losses": {n: n / 8 for n in range(count, 0, -1)}, "val_losses": {}}
    curve = read(t7.checkpoint(graph, SIGNS, **losses)).curve
    assert curve.train_updates.tolist() == list(range(1, count + 1))
    assert curve.train_loss.tolist() == [n / 8 for n in range(1, count + 1)]
    root, _ = torch_rnn()
    root |= {"train_loss_history": [n / 8 for n in range(count)], "val_loss_history": [1.5]}
    curve = read(root | {"val_loss_history_it": [7]}).curve
    assert curve.train_loss.tolist() == [n / 8 for n in range(count)]
    assert curve.validation_updates.tolist() == [7]


def grid_logits(weights, layers, tied):
    """grid-lstm's GridLSTM.lua: the depth cell reads the new state of time."""
    c, h = np.zeros((layers, UNITS)), np.zeros((layers, UNITS))
    found = []
    for index in INDICES:
        m, d = np.zeros(UNITS), weights.made["embedding"][0][index]
        for layer in range(layers):
            z = apply(weights, f"{layer}.time.h", h[layer])
            z = z + apply(weights, f"{layer}.time.d", d)
            c[layer], h[layer] = lstm(z, c[layer])
            own = 0 if tied else layer
            z = apply(weights, f"{own}.depth.h", h[layer]) + apply(weights, f"{own}.depth.d", d)
            m, d = lstm(z, m)
        found.append(apply(weights, "decoder", d))
    return np.array(found)


@pytest.mark.parametrize("layers", [1, 2, 4])
@pytest.mark.parametrize("tied", [False, True])
def test_grid_lstm(tied, layers):
    graph, weights = t7.grid_lstm(SIZE, UNITS, layers, tied=tied, dropout=0.25)
    model = read(t7.checkpoint(graph, SIGNS))
    assert (model.program, model.cell) == ("grid-lstm (Torch 7)", "grid")
    assert model.tie == ("depth" if tied and layers > 1 else "none")
    expected = grid_logits(weights, layers, tied)
    np.testing.assert_allclose(run_indices(model, INDICES).logits, expected, atol=3e-6)


def test_a_grid_is_not_read_by_its_annotations():
    """Without any it is the same, and with the states swapped in the sum as well."""
    graph, weights = t7.grid_lstm(SIZE, UNITS, 2)
    waiting, seen = [graph.fields["outnode"].fields["data"]], set()
    while waiting:
        data = waiting.pop()
        if id(data) in seen:
            continue
        seen.add(id(data))
        data["annotations"] = {}
        waiting += [value for value in data["mapindex"].values() if isinstance(value, dict)]
        if "module" in data and data["module"].name == "nn.CAddTable":
            first, second = data["mapindex"][1], data["mapindex"][2]
            data["mapindex"] = {1: second, 2: first}
    model = read(t7.checkpoint(graph, SIGNS))
    expected = grid_logits(weights, 2, False)
    np.testing.assert_allclose(run_indices(model, INDICES).logits, expected, atol=3e-6)


# -- torch-rnn -------------------------------------------------------------------------------------


def torch_rnn(kind="LSTM", layers=2, signs=SIGNS, **model):
    """A checkpoint of torch-rnn and its arrays as they were written."""
    random = np.random.default_rng(2)
    size, width, gates = len(signs), 3, {"LSTM": 4, "VanillaRNN": 1}[kind]
    arrays = {"embedding": random.normal(0, 0.7, (size, width))}
    modules = [t7.Object("nn.LookupTable", weight=t7.tensor(arrays["embedding"], "Float"))]
    for layer in range(layers):
        inputs = UNITS if layer else width
        weight = random.normal(0, 0.7, (inputs + UNITS, gates * UNITS))
        bias = random.normal(0, 0.7, gates * UNITS)
        arrays[f"{layer}"] = (weight, bias)
        fields = {"weight": t7.tensor(weight, "Float"), "bias": t7.tensor(bias, "Float")}
        modules += [t7.Object(f"nn.{kind}", **fields), t7.Object("nn.Dropout", p=0.5, v2=True)]
    weight, bias = random.normal(0, 0.7, (size, UNITS)), random.normal(0, 0.7, size)
    arrays["decoder"] = (weight, bias)
    modules += [
        t7.Object("nn.View"),
        t7.Object("nn.Linear", weight=t7.tensor(weight, "Float"), bias=t7.tensor(bias, "Float")),
        t7.Object("nn.View"),
    ]
    fields = {"idx_to_token": dict(enumerate(signs, 1)), **model}
    net = t7.Object("nn.Sequential", modules=modules)
    return {"model": t7.Object("nn.LanguageModel", net=net, **fields), "i": 5}, arrays


def torch_rnn_logits(kind, arrays, layers):
    """torch-rnn's LSTM.lua: a product of [x, h] with the weight, columns i, f, o and g."""
    c, h = np.zeros((layers, UNITS)), np.zeros((layers, UNITS))
    found = []
    for index in INDICES:
        x = arrays["embedding"][index]
        for layer in range(layers):
            weight, bias = arrays[f"{layer}"]
            z = np.concatenate((x, h[layer])) @ weight + bias
            if kind == "LSTM":
                c[layer], h[layer] = lstm(z, c[layer])
            else:
                h[layer] = np.tanh(z)
            x = h[layer]
        found.append(arrays["decoder"][0] @ x + arrays["decoder"][1])
    return np.array(found)


@pytest.mark.parametrize("kind", ["LSTM", "VanillaRNN"])
def test_torch_rnn(kind):
    root, arrays = torch_rnn(kind)
    model = read(root)
    assert model.program == "torch-rnn (Torch 7)"
    expected = torch_rnn_logits(kind, arrays, 2)
    np.testing.assert_allclose(run_indices(model, INDICES).logits, expected, atol=3e-6)


def test_torch_rnn_of_bytes():
    root, _ = torch_rnn(signs=["a", "[195]", "[169]", "\n", "[", "]"])
    tokens = read(root).vocabulary
    assert tokens.tokens == (b"a", b"\xc3", b"\xa9", b"\n", b"[", b"]")
    assert tokens.encode("\u00e9").tokens.tolist() == [1, 2]


def test_the_json_of_torch_rnn_gives_the_curve():
    root, _ = torch_rnn()
    text = (
        b'{"opt": {}, "val_loss_history": [2.5, 2.0], "val_loss_history_it": [100, 200],'
        b' "train_loss_history": [3, 2.75]}'
    )
    model = read_model([("c.t7", t7.write(root)), ("c.json", text)])
    assert model.curve.validation_updates.tolist() == [100, 200]
    assert model.curve.train_loss.tolist() == [3, 2.75]
    assert read(root).curve is None


# -- What is refused -------------------------------------------------------------------------------


def test_batch_normalisation_is_refused():
    root, _ = torch_rnn()
    root["model"].fields["net"].fields["modules"].insert(2, t7.Object("nn.BatchNormalization"))
    with pytest.raises(ForeignModelError, match="batchnorm"):
        read(root)


def test_an_old_dropout_is_refused():
    graph, _ = t7.char_rnn("lstm", SIZE, UNITS, 2, dropout=0.25)
    waiting, seen = [graph.fields["outnode"].fields["data"]], set()
    while waiting:
        data = waiting.pop()
        if id(data) not in seen:
            seen.add(id(data))
            waiting += [value for value in data["mapindex"].values() if isinstance(value, dict)]
            if "module" in data:
                data["module"].fields.pop("v2", None)
    with pytest.raises(ForeignModelError, match="dropout"):
        read(t7.checkpoint(graph, SIGNS))


@pytest.mark.parametrize(
    ("root", "why"),
    [
        ({"a": 1}, "neither"),
        ({"protos": {"rnn": t7.Object("nn.Sequential", modules=[])}}, "not a graph"),
        ({"protos": {"rnn": t7.Object("nn.gModule")}}, "no beginning"),
    ],
)
def test_other_files_of_torch_7_are_refused(root, why):
    with pytest.raises(ForeignModelError, match=why):
        read(root)


def test_a_graph_with_another_cell_is_refused():
    given, begin = t7.inputs(2)
    state = t7.module("Sigmoid", given[1])
    end = t7.module("LogSoftMax", t7.Node(t7.Weights(0).linear("d", UNITS, SIZE), [state]))
    with pytest.raises(ForeignModelError, match="no LSTM"):
        read(t7.checkpoint(t7.graph(given, begin, [state, end]), SIGNS))


def test_a_graph_that_is_a_circle_is_refused():
    graph, _ = t7.char_rnn("lstm", SIZE, UNITS, 2)
    data = graph.fields["outnode"].fields["data"]
    first = data["mapindex"][1]
    first["mapindex"][1]["mapindex"][1] = first
    with pytest.raises(ForeignModelError, match="circle"):
        read(t7.checkpoint(graph, SIGNS))
