"""Products made ready for many calls, and what sequences that share what is below get of it."""

import numpy as np
import pytest
import torch

from gridlstm.config import ModelConfig
from gridlstm.model import LanguageModel
from gridlstm.networks.cells import MANY_VALUES, tanh
from gridlstm.networks.layerwise import Products
from gridlstm.networks.products import (
    LARGE_WEIGHT,
    MANY_ROWS,
    MANY_TIMES,
    JoinedProduct,
    Product,
    add_spread,
    packed,
    spread,
)

UNITS = 256


@pytest.mark.parametrize("count", [MANY_VALUES - 1, MANY_VALUES, 3 * MANY_VALUES])
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
    values = torch.linspace(-3, 3, MANY_VALUES, dtype=torch.float64, requires_grad=True)
    tanh(values).sum().backward()
    slope = 1 - np.tanh(values.detach().numpy()) ** 2
    np.testing.assert_allclose(values.grad, slope, atol=1e-12)


@pytest.mark.parametrize("apart", [1, 3, 5])
def test_sequences_beyond_those_apart_get_what_the_first_gets(apart):
    shared, own = torch.randn(4, apart, 2), torch.randn(4, 5, 2)
    expected = shared[:, [n if n < apart else 0 for n in range(5)]]
    assert torch.equal(spread(shared, 5), expected)
    torch.testing.assert_close(add_spread(own.clone(), shared), own + expected)


@pytest.mark.parametrize("rows", [1, 2, 3000])
@pytest.mark.parametrize("recorded", [True, False])
def test_a_joined_product_and_its_halves(rows, recorded):
    """Large enough that without gradients many rows are read in an order of their own."""
    weight, bias = torch.randn(4 * UNITS, 2 * UNITS), torch.randn(4 * UNITS)
    assert weight.numel() // 2 >= LARGE_WEIGHT
    h, below = torch.randn(rows, UNITS), torch.randn(rows, UNITS)
    expected = np.concatenate((h, below), 1) @ weight.numpy().T + bias.numpy()
    product = JoinedProduct(weight, bias)
    with torch.set_grad_enabled(recorded):
        whole = product.whole.over(rows)(torch.cat((h, below), 1))
        halves = product.of_h.over(rows)(h) + product.of_below.over(rows)(below)
    np.testing.assert_allclose(whole, expected, atol=1e-3)
    np.testing.assert_allclose(halves, expected, atol=1e-3)


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


def test_few_rows_asked_often_are_packed_and_asked_once_are_not(monkeypatch):
    made = []
    monkeypatch.setattr(
        "gridlstm.networks.products.packed", lambda *_: made.append(1) or (lambda rows: rows)
    )
    with torch.no_grad():
        product = Product(torch.randn(4 * UNITS, UNITS))
        product.over(2)
        product.over(1, times=1000)  # a weight too small to gain for one row
        product.over(2, times=MANY_TIMES - 2)
        assert not made
        first = product.over(2)
        assert product.over(300) is first and made == [1]


def test_many_rows_are_packed_in_one_call_or_in_many(monkeypatch):
    made = []
    monkeypatch.setattr(
        "gridlstm.networks.products.packed", lambda *_: made.append(1) or (lambda rows: rows)
    )
    with torch.no_grad():
        Product(torch.randn(4 * UNITS, UNITS)).over(MANY_ROWS)
        assert made == [1]
        product = Product(torch.randn(4 * UNITS, UNITS))
        product.over(MANY_ROWS - 1)
        assert made == [1]
        product.over(MANY_ROWS - 1)
        assert made == [1, 1]


@pytest.mark.parametrize("tie, different", [("all", 2), ("depth", 4), ("none", 6)])
def test_layers_that_share_a_weight_share_what_is_made_ready_of_it(tie, different):
    network = LanguageModel(ModelConfig("grid", 3, 4, tie)).recurrent
    products = Products(network)
    made = {id(products.of(layer, d)) for layer in range(3) for d in ("time", "depth")}
    assert len(made) == different
