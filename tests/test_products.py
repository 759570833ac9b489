"""Products made ready for many calls, and what sequences that share what is below get of it."""

import numpy as np
import pytest
import torch

from gridlstm.config import ModelConfig
from gridlstm.model import LanguageModel
from gridlstm.networks.cells import MANY_VALUES, tanh
from gridlstm.networks.layerwise import Products, add_spread, spread
from gridlstm.networks.products import LARGE_WEIGHT, JoinedProduct

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


@pytest.mark.parametrize("rows", [1, 2, 300])
@pytest.mark.parametrize("recorded", [True, False])
def test_a_joined_product_and_its_halves(rows, recorded):
    """Large enough that without gradients many rows go through oneDNN's order."""
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


@pytest.mark.parametrize("tie, different", [("all", 2), ("depth", 4), ("none", 6)])
def test_layers_that_share_a_weight_share_what_is_made_ready_of_it(tie, different):
    network = LanguageModel(ModelConfig("grid", 3, 4, tie)).recurrent
    products = Products(network)
    made = {id(products.of(layer, d)) for layer in range(3) for d in ("time", "depth")}
    assert len(made) == different
