"""Named arrays of other programs, by their conventions: each against that program's own equations,
or where the program is installed, against itself."""

import re
from pathlib import Path

import numpy as np
import pytest
import torch
from foreign_reference import run_indices
from torch import nn

from gridlstm.importing import ForeignModelError, LayerArrays, model_from_arrays

TOKENS, WIDTH, UNITS = 6, 3, 4
INDICES = [3, 1, 4, 1, 5, 0, 2, 5, 3, 5, 0, 2]
RANDOM = np.random.default_rng(1)
EMBEDDING, DECODER = RANDOM.normal(size=(TOKENS, WIDTH)), RANDOM.normal(size=(TOKENS, UNITS))
DECODER_BIAS = RANDOM.normal(size=TOKENS)


BLOCKS = re.findall(
    r"```py\n# (\w+)(.*?)```",
    (Path(__file__).parents[1] / "docs" / "python.md").read_text(encoding="utf-8"),
    re.DOTALL,
)


def of_the_page(program: str, **names):
    """The model that the code of docs/python.md makes."""
    names |= {"LayerArrays": LayerArrays, "model_from_arrays": model_from_arrays}
    names |= {"embedding": EMBEDDING, "kernel": DECODER.T, "bias": DECODER_BIAS}
    exec("# " + dict(BLOCKS)[program], names)
    return names["model"]


def test_the_page_has_code_for_each():
    assert [program for program, _ in BLOCKS] == ["flax", "haiku", "equinox"]


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def hidden(model) -> np.ndarray:
    return run_indices(model, INDICES).hidden[-1]


def make(cell, layers, **conventions):
    return model_from_arrays(
        cell, layers, conventions.pop("decoder", DECODER), DECODER_BIAS, embedding=EMBEDDING,
        **conventions,
    )  # fmt: skip


@pytest.mark.parametrize("order", ["ifgo", "ifog", "igfo", "ofig", "gofi"])
@pytest.mark.parametrize("form", ["blocks", "interleaved", "a gate each"])
def test_gates_in_any_order(order, form):
    """The same gates in another order are the same model."""
    gates = {
        gate: tuple(RANDOM.normal(size=shape) for shape in ((UNITS, WIDTH), (UNITS, UNITS), UNITS))
        for gate in "ifgo"
    }
    if form == "a gate each":
        parts = [{gate: gates[gate][part] for gate in "ifgo"} for part in range(3)]
        interleaved = False
    else:
        interleaved = form == "interleaved"
        parts = [np.stack([gates[gate][part] for gate in order]) for part in range(3)]
        if interleaved:
            parts = [np.swapaxes(part, 0, 1) for part in parts]
        parts = [part.reshape(4 * UNITS, *part.shape[2:]) for part in parts]
    layer = LayerArrays(*parts)
    model = make("lstm", [layer], order=order, interleaved=interleaved)
    c, h, found = np.zeros(UNITS), np.zeros(UNITS), []
    for index in INDICES:
        z = {
            gate: x_weight @ EMBEDDING[index] + h_weight @ h + bias
            for gate, (x_weight, h_weight, bias) in gates.items()
        }
        c = sigmoid(z["f"]) * c + sigmoid(z["i"]) * np.tanh(z["g"])
        h = sigmoid(z["o"]) * np.tanh(c)
        found.append(h)
    np.testing.assert_allclose(hidden(model), found, atol=1e-6)


def test_chainer_s_rows_are_interleaved_by_unit():
    """Chainer 7.8, L.LSTM: unit by unit the rows a (candidate), i, f, o, which `extract_gates` of
    its F.lstm takes out of `reshape(U, 4)`."""
    upward, lateral = RANDOM.normal(size=(4 * UNITS, WIDTH)), RANDOM.normal(size=(4 * UNITS, UNITS))
    bias = RANDOM.normal(size=4 * UNITS)
    model = make("lstm", [LayerArrays(upward, lateral, bias)], order="gifo", interleaved=True)
    c, h, found = np.zeros(UNITS), np.zeros(UNITS), []
    for index in INDICES:
        a, i, f, o = (upward @ EMBEDDING[index] + bias + lateral @ h).reshape(UNITS, 4).T
        c = np.tanh(a) * sigmoid(i) + sigmoid(f) * c
        h = sigmoid(o) * np.tanh(c)
        found.append(h)
    np.testing.assert_allclose(hidden(model), found, atol=1e-6)


@pytest.mark.parametrize("update", ["keeps", "replaces"])
@pytest.mark.parametrize("reset", ["before", "after"])
def test_a_gru_s_conventions(reset, update):
    w, u = RANDOM.normal(size=(3 * UNITS, WIDTH)), RANDOM.normal(size=(3 * UNITS, UNITS))
    b, d = RANDOM.normal(size=3 * UNITS), RANDOM.normal(size=3 * UNITS)
    layer = LayerArrays(w, u, b, d)
    model = make("gru", [layer], order="zrn", update=update, reset=reset)
    h, found = np.zeros(UNITS), []
    for index in INDICES:
        x_z, x_r, x_n = (w @ EMBEDDING[index] + b).reshape(3, UNITS)
        u_z, u_r, u_n = u.reshape(3, UNITS, UNITS)
        d_z, d_r, d_n = d.reshape(3, UNITS)
        z, r = sigmoid(x_z + u_z @ h + d_z), sigmoid(x_r + u_r @ h + d_r)
        inner = r * (u_n @ h + d_n) if reset == "after" else u_n @ (r * h) + d_n
        n = np.tanh(x_n + inner)
        h = z * h + (1 - z) * n if update == "keeps" else (1 - z) * h + z * n
        found.append(h)
    np.testing.assert_allclose(hidden(model), found, atol=1e-6)


def test_columns_are_rows_transposed():
    w, u = RANDOM.normal(size=(4 * UNITS, WIDTH)), RANDOM.normal(size=(4 * UNITS, UNITS))
    rows = make("lstm", [LayerArrays(w, u)], order="ifgo")
    columns = make(
        "lstm", [LayerArrays(w.T, u.T)], order="ifgo", layout="columns", decoder=DECODER.T
    )
    for one, other in zip(rows.arrays.values(), columns.arrays.values(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_what_is_added_to_the_forget_gate():
    w, u = RANDOM.normal(size=(4 * UNITS, WIDTH)), RANDOM.normal(size=(4 * UNITS, UNITS))
    bias = RANDOM.normal(size=4 * UNITS).astype(np.float32)
    added = make("lstm", [LayerArrays(w, u, bias)], order="igfo", forget_bias=1.0)
    bias[2 * UNITS : 3 * UNITS] += 1
    told = make("lstm", [LayerArrays(w, u, bias)], order="igfo")
    np.testing.assert_array_equal(added.layers[0].time.bias, told.layers[0].time.bias)


def test_a_vocabulary_is_checked():
    lstm = [LayerArrays(np.zeros((4 * UNITS, WIDTH)), np.zeros((4 * UNITS, UNITS)))]
    assert make("lstm", lstm, order="ifgo", vocabulary="abcdef").vocabulary.encode(
        "fa"
    ).tokens.tolist() == [5, 0]
    with pytest.raises(ForeignModelError, match="5 signs"):
        make("lstm", lstm, order="ifgo", vocabulary="abcde")


@pytest.mark.parametrize(
    ("conventions", "why"),
    [
        ({"order": "ifgg"}, "order"),
        ({"order": "ifgo", "activation": "relu"}, "relu"),
        ({"order": "ifgo", "layout": "diagonal"}, "layout"),
        ({"order": "ifgo", "update": "adds"}, "update"),
        ({"order": "ifgo", "reset": "never"}, "reset"),
        ({"order": "ifgo", "gates": "relu"}, "gates"),
        ({"order": "ifgo", "decoder": np.zeros((TOKENS, UNITS + 1))}, "weights of"),
    ],
)
def test_conventions_that_there_are_not(conventions, why):
    lstm = [LayerArrays(np.zeros((4 * UNITS, WIDTH)), np.zeros((4 * UNITS, UNITS)))]
    with pytest.raises(ForeignModelError, match=why):
        make("lstm", lstm, **conventions)


def test_torch_s_own_arrays():
    torch.manual_seed(0)
    gru = nn.GRU(WIDTH, UNITS, 2)
    layers = [
        LayerArrays(*(getattr(gru, f"{name}_l{layer}").detach() for name in
                      ("weight_ih", "weight_hh", "bias_ih", "bias_hh")))
        for layer in range(2)
    ]  # fmt: skip
    model = make("gru", layers, order="rzn")
    with torch.no_grad():
        expected = gru(torch.tensor(EMBEDDING[INDICES], dtype=torch.float32))[0]
    np.testing.assert_allclose(hidden(model), expected.numpy(), atol=1e-6)


# -- Programs that may be installed ----------------------------------------------------------------


def test_flax():
    """flax.linen.LSTMCell: a Dense a gate, ii if ig io without a bias, hi hf hg ho with one."""
    jax, linen = pytest.importorskip("jax"), pytest.importorskip("flax.linen")
    cell = linen.LSTMCell(UNITS)
    vectors = EMBEDDING[INDICES].astype(np.float32)
    carry = cell.initialize_carry(jax.random.PRNGKey(0), vectors[0].shape)
    parameters = cell.init(jax.random.PRNGKey(1), carry, vectors[0])
    found = []
    for vector in vectors:
        carry, h = cell.apply(parameters, carry, vector)
        found.append(np.asarray(h))
    model = of_the_page("flax", p=parameters["params"])
    np.testing.assert_allclose(hidden(model), found, atol=1e-6)


def test_flax_gru():
    """flax.linen.GRUCell: the reset after the product, z keeps, a bias inside the reset."""
    jax, linen = pytest.importorskip("jax"), pytest.importorskip("flax.linen")
    cell = linen.GRUCell(UNITS, bias_init=linen.initializers.normal(1.0))
    vectors = EMBEDDING[INDICES].astype(np.float32)
    carry = cell.initialize_carry(jax.random.PRNGKey(0), vectors[0].shape)
    parameters = cell.init(jax.random.PRNGKey(1), carry, vectors[0])
    found = []
    for vector in vectors:
        carry, h = cell.apply(parameters, carry, vector)
        found.append(np.asarray(h))
    p = parameters["params"]
    layer = LayerArrays(
        input={gate: p[f"i{gate}"]["kernel"] for gate in "rzn"},
        state={gate: p[f"h{gate}"]["kernel"] for gate in "rzn"},
        input_bias={gate: p[f"i{gate}"]["bias"] for gate in "rzn"},
        state_bias={"r": np.zeros(UNITS), "z": np.zeros(UNITS), "n": p["hn"]["bias"]},
    )
    model = make("gru", [layer], order="rzn", layout="columns", decoder=DECODER.T)
    np.testing.assert_allclose(hidden(model), found, atol=1e-6)


def test_haiku_lstm():
    """haiku.LSTM: one Linear of [x, h], columns i g f o, and 1 added to f as it runs."""
    jax, hk = pytest.importorskip("jax"), pytest.importorskip("haiku")
    found, parameters = _run_haiku(jax, hk, lambda: hk.LSTM(UNITS))
    model = of_the_page("haiku", p=parameters["lstm/linear"])
    np.testing.assert_allclose(hidden(model), found, atol=1e-6)


def test_haiku_gru():
    """haiku.GRU: z r a, z replaces the state, the reset before the product."""
    jax, hk = pytest.importorskip("jax"), pytest.importorskip("haiku")
    found, parameters = _run_haiku(jax, hk, lambda: hk.GRU(UNITS))
    p = parameters["gru"]
    layer = LayerArrays(input=p["w_i"], state=p["w_h"], input_bias=p["b"])
    model = make(
        "gru", [layer], order="zrn", layout="columns", update="replaces", reset="before",
        decoder=DECODER.T,
    )  # fmt: skip
    np.testing.assert_allclose(hidden(model), found, atol=1e-6)


def _run_haiku(jax, hk, make_core):
    def forward(vectors):
        core = make_core()
        outputs, _ = hk.static_unroll(core, vectors, core.initial_state(None))
        return outputs

    vectors = EMBEDDING[INDICES].astype(np.float32)
    transformed = hk.without_apply_rng(hk.transform(forward))
    parameters = transformed.init(jax.random.PRNGKey(2), vectors)
    return np.asarray(transformed.apply(parameters, vectors)), parameters


@pytest.mark.parametrize("kind", ["LSTMCell", "GRUCell"])
def test_equinox(kind):
    """equinox.nn: LSTM rows i f g o with one bias; GRU r z n with bias_n inside the reset."""
    jax, equinox = pytest.importorskip("jax"), pytest.importorskip("equinox")
    cell = getattr(equinox.nn, kind)(WIDTH, UNITS, key=jax.random.PRNGKey(3))
    zeros = np.zeros(UNITS, np.float32)
    state, found = (zeros, zeros) if kind == "LSTMCell" else zeros, []
    for vector in EMBEDDING[INDICES].astype(np.float32):
        state = cell(vector, state)
        found.append(np.asarray(state[0] if kind == "LSTMCell" else state))
    if kind == "LSTMCell":
        model = of_the_page("equinox", cell=cell)
    else:
        inner = np.concatenate([np.zeros(2 * UNITS), cell.bias_n])
        layer = LayerArrays(cell.weight_ih, cell.weight_hh, cell.bias, inner)
        model = make("gru", [layer], order="rzn")
    np.testing.assert_allclose(hidden(model), found, atol=1e-6)
