"""Products made ready for many calls, and what sequences that share what is below get of it."""

import numpy as np
import pytest
import torch

from gridlstm.backends import linear as linear_module
from gridlstm.backends.linear import LayerWeights, Linear, packed
from gridlstm.backends.plan import MIN_CALLS, MIN_LARGE, MIN_ROWS, Shape, packs_weights
from gridlstm.cells import spread
from gridlstm.cells.arithmetic import MIN_FAST_TANH, tanh
from gridlstm.config import ModelConfig
from gridlstm.model import LanguageModel

UNITS = 256


@pytest.mark.parametrize("count", [MIN_FAST_TANH - 1, MIN_FAST_TANH, 3 * MIN_FAST_TANH])
@pytest.mark.parametrize("dtype, error", [(torch.float32, 3e-7), (torch.float64, 1e-14)])
def test_tanh_of_few_and_of_many_values(count, dtype, error):
    values = torch.linspace(-30, 30, count, dtype=dtype)
    expected = np.tanh(values.double().numpy())
    with torch.no_grad():
        np.testing.assert_allclose(tanh(values), expected, rtol=0, atol=error)
        columns = torch.zeros(count, 3, dtype=dtype)
        tanh(values, out=columns[:, 1])
    np.testing.assert_allclose(columns[:, 1], expected, rtol=0, atol=error)
    assert (columns[:, [0, 2]] == 0).all()


def test_tanh_has_its_gradient():
    values = torch.linspace(-3, 3, MIN_FAST_TANH, dtype=torch.float64, requires_grad=True)
    tanh(values).sum().backward()
    slope = 1 - np.tanh(values.detach().numpy()) ** 2
    np.testing.assert_allclose(values.grad, slope, atol=1e-12)


@pytest.mark.parametrize("apart", [1, 3, 5])
def test_sequences_beyond_those_apart_get_what_the_first_gets(apart):
    shared = torch.randn(4, apart, 2)
    expected = shared[:, [n if n < apart else 0 for n in range(5)]]
    assert torch.equal(spread(shared, 5), expected)


@pytest.mark.parametrize("rows", [1, 2, 3000])
@pytest.mark.parametrize("recorded", [True, False])
def test_a_layers_product_as_a_whole_and_in_parts(rows, recorded):
    """Large enough that without gradients many rows are read in an order of their own."""
    network = LanguageModel(ModelConfig("grid", 1, UNITS, "all")).recurrent
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter)
    weight, bias = (network.of(0, f"depth.{kind}").detach() for kind in ("weight", "bias"))
    assert weight.numel() // 2 >= MIN_LARGE
    h, below = torch.randn(rows, UNITS), torch.randn(rows, UNITS)
    expected = np.concatenate((h, below), 1) @ weight.numpy().T + bias.numpy()
    weights = LayerWeights(network, Shape(1, rows, 3000))
    with torch.set_grad_enabled(recorded):
        hidden, inputs, both = (
            weights.linear(0, "depth", part).over(rows) for part in ("hidden", "inputs", "both")
        )
        whole, parts = both(torch.cat((h, below), 1)), hidden(h) + inputs(below)
        some = weights.linear(0, "depth", "inputs", slice(UNITS)).over(rows)(below)
    np.testing.assert_allclose(whole.detach(), expected, atol=1e-3)
    np.testing.assert_allclose(parts.detach(), expected, atol=1e-3)
    np.testing.assert_allclose(some.detach(), inputs(below)[:, :UNITS].detach(), atol=1e-3)


WEIGHTS = {
    "of float16": lambda w: w.half().float(),
    "as small as float16 has them": lambda w: (w * 2**-17).half().float(),
    "as large as float16 has them": lambda w: (w * 1e4).half().float(),
    "of float32": lambda w: w,
    "one of them of float32": lambda w: (
        w.half().float().index_put_((torch.tensor(3),) * 2, w[0, 0])
    ),
    "too large for float16": lambda w: w * 2e5,
    "too small for float16": lambda w: w * 1e-9,
}


@pytest.mark.parametrize("kind", WEIGHTS)
@pytest.mark.parametrize("rows", [1, 2, 6, 300])
@pytest.mark.parametrize("with_bias", [False, True])
def test_a_packed_weight_loses_nothing(kind, rows, with_bias):
    """Against float64, whatever its numbers are: as exact as a product in float32."""
    torch.manual_seed(1)
    weight, bias = WEIGHTS[kind](torch.randn(96, 64)), torch.randn(96) if with_bias else None
    read = torch.randn(rows, 64)
    exact = read.double() @ weight.double().T + (0 if bias is None else bias.double())
    scale = (read.abs().double() @ weight.abs().double().T + 1e-30).numpy()
    found = packed(weight, bias, rows)(read).double()
    assert ((found - exact).abs().numpy() / (scale + (bias is not None))).max() < 1e-6


def test_weights_that_are_not_finite_stay_so():
    weight = torch.ones(8, 8)
    weight[3, 3] = torch.inf
    found = packed(weight, None, 2)(torch.ones(2, 8))
    assert found[:, 3].isinf().all() and found[:, :3].isfinite().all()


@pytest.mark.parametrize(
    ("shape", "part", "layers", "expected"),
    [
        (Shape(1, 2, MIN_CALLS), "inputs", 1, True),
        (Shape(1, 2, MIN_CALLS - 1), "inputs", 1, False),
        (Shape(MIN_CALLS, 2, MIN_CALLS), "inputs", 1, False),  # one call of few rows
        (Shape(MIN_CALLS, 2, MIN_CALLS), "hidden", 1, True),
        (Shape(MIN_CALLS, 2, MIN_CALLS // 2), "hidden", 2, True),  # two layers share it
        (Shape(MIN_ROWS, 1, MIN_ROWS), "both", 1, True),
        (Shape(MIN_ROWS, 1, MIN_ROWS - 1), "both", 1, False),
        (Shape(MIN_ROWS, 2, MIN_ROWS // 2), "both", 1, True),
    ],
)
def test_an_order_is_made_where_enough_is_to_be_read_with_it(shape, part, layers, expected):
    assert packs_weights(shape, part, layers) == expected


def test_large_weights_are_packed_once_and_where_it_gains(monkeypatch):
    made = []
    monkeypatch.setattr(linear_module, "packed", lambda *_: made.append(1) or (lambda rows: rows))
    with torch.no_grad():
        large = torch.randn(4 * UNITS, UNITS)
        Linear(large, ready=False).over(2)
        product = Linear(large)
        product.over(1)  # a weight too small to gain for one row
        assert not made
        assert product.over(300) is product.over(2) and made == [1]
        Linear(large[:-1]).over(2)
    Linear(large).over(2)  # where gradients are recorded
    assert made == [1]


@pytest.mark.parametrize("tie, different", [("all", 2), ("depth", 4), ("none", 6)])
def test_layers_that_share_a_weight_share_what_is_made_ready_of_it(tie, different):
    network = LanguageModel(ModelConfig("grid", 3, 4, tie)).recurrent
    weights = LayerWeights(network, Shape(1, 1, 1))
    made = {id(weights.linear(layer, d, "both")) for layer in range(3) for d in ("time", "depth")}
    assert len(made) == different
