"""The grid's own backward pass against finite differences and against torch's differentiation of a
walk that goes one cell at a time."""

from dataclasses import replace

import pytest
import torch
from torch.nn import functional

from gridlstm.dropout import dropout_mask

KINDS = [("stacked", None), ("grid", "none"), ("grid", "depth"), ("grid", "all")]


@pytest.mark.parametrize("dropout", [0.0, 0.5])
@pytest.mark.parametrize(("architecture", "tie"), KINDS)
@pytest.mark.parametrize(("layers", "positions"), [(1, 2), (3, 1), (2, 2)])
def test_finite_differences(make_model, architecture, tie, layers, positions, dropout):
    """Of all three results, by every weight, the bytes read and the state at the start."""
    model = make_model(architecture, layers, 2, tie, dropout, double=True).recurrent.train()
    trained = {name: p for name, p in model.named_parameters() if p.requires_grad}
    torch.manual_seed(1)
    embedded = torch.randn(positions, 2, 2, dtype=torch.float64, requires_grad=True)
    state = [torch.randn(layers, 2, 2, dtype=torch.float64, requires_grad=True) for _ in range(2)]

    def results(embedded, h, c, *weights):
        torch.manual_seed(2)  # the same mask at every call
        named = dict(zip(trained, weights, strict=True))
        top, after = torch.func.functional_call(model, named, (embedded, (h, c)))
        return top, *after

    assert torch.autograd.gradcheck(results, (embedded, *state, *trained.values()))


def one_cell_at_a_time(model, read, state, mask):
    """Logits of `model` [position, sequence, 256] by plain operations that torch differentiates.

    `mask` [position, layer - 1, sequence, unit] or None.
    """

    def lstm(z, c):
        i, f, o, g = z.chunk(4, dim=-1)
        c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
        return torch.sigmoid(o) * torch.tanh(c), c

    tensors, layers = model.to_tensors(), model.config.layers

    def affine(dimension, layer, inputs):
        own = f"layers.{layer}.{dimension}"
        name = own if f"{own}.weight" in tensors else f"layers.0.{dimension}"
        weight, bias = tensors[f"{name}.weight"], tensors[f"{name}.bias"]
        return torch.cat(inputs, dim=-1) @ weight.t() + bias

    h, c = (list(part) for part in state)
    logits = []
    for t, x in enumerate(model.embedding(read)):
        d, m = x, torch.zeros_like(x)
        for layer in range(layers):
            if layer > 0 and mask is not None:
                d = d * mask[t, layer - 1]
            h[layer], c[layer] = lstm(affine("time", layer, (h[layer], d)), c[layer])
            if model.config.architecture == "grid":
                d, m = lstm(affine("depth", layer, (h[layer], d)), m)
            else:
                d = h[layer]
        logits.append(d @ tensors["decoder.weight"].t() + tensors["decoder.bias"])
    return torch.stack(logits), (torch.stack(h), torch.stack(c))


# Only the grid's mask between layers is this project's own.
PLAIN = [(*kind, layers, False) for kind in KINDS for layers in (1, 2, 5)]
MASKED = [("grid", tie, layers, True) for tie in ("none", "depth", "all") for layers in (2, 5)]


@pytest.mark.parametrize(("architecture", "tie", "layers", "dropped"), PLAIN + MASKED)
def test_a_plain_walk_gives_the_same_gradients(make_model, architecture, tie, layers, dropped):
    """Of a loss that also depends on the state handed on, through two pieces of text."""
    model = make_model(architecture, layers, 6, tie, double=True)
    rate = 0.3 if dropped else 0.0
    model.recurrent.config = replace(model.config, dropout=rate)
    torch.manual_seed(1)
    inputs = torch.randint(256, (9, 3))
    start = [torch.randn(layers, 3, 6, dtype=torch.float64, requires_grad=True) for _ in range(2)]
    like = torch.empty(0, dtype=torch.float64)
    torch.manual_seed(2)
    masks = [dropout_mask(like, (n, layers - 1, 3, 6), rate) if dropped else None for n in (5, 4)]

    def gradients(walk):
        torch.manual_seed(2)
        state, loss = start, 0.0
        for read_now, mask in zip(inputs.split(5), masks, strict=True):
            logits, state = walk(read_now, state, mask)
            loss = loss + functional.cross_entropy(logits.flatten(0, 1), read_now.flatten())
        loss = loss + (state[0] * state[1]).sum()
        wanted = {name: p for name, p in model.named_parameters() if p.requires_grad}
        found = torch.autograd.grad(loss, [*wanted.values(), *start])
        return dict(zip([*wanted, "h", "c"], found, strict=True))

    found = gradients(lambda inputs, state, mask: model(inputs, state))
    expected = gradients(lambda inputs, state, mask: one_cell_at_a_time(model, inputs, state, mask))
    for name, gradient in expected.items():
        assert gradient.abs().max() > 0, name
        torch.testing.assert_close(found[name], gradient, atol=1e-11, rtol=0, msg=name)


@pytest.mark.parametrize("tie", ["none", "depth", "all"])
def test_a_second_backward_pass_gives_the_same_again(make_model, tie):
    model = make_model("grid", 3, 4, tie, double=True)
    logits, _ = model(torch.arange(10).view(5, 2), model.start(2))
    parameters = list(model.parameters())
    loss = logits.square().sum()
    first = torch.autograd.grad(loss, parameters, retain_graph=True)
    second = torch.autograd.grad(loss, parameters)
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


@pytest.mark.parametrize(("architecture", "tie"), KINDS)
def test_bfloat16_products_stay_close_to_float32(make_model, architecture, tie):
    model = make_model(architecture, 3, 32, tie)
    model.initialise(scale=0.2, forget_bias=1.0)
    torch.manual_seed(1)
    inputs, target = torch.randint(256, (2, 12, 4))
    parameters = [p for p in model.parameters() if p.requires_grad]

    def outcome():
        logits, state = model(inputs, model.start(4))
        loss = functional.cross_entropy(logits.float().flatten(0, 1), target.flatten())
        return loss, state, torch.autograd.grad(loss, parameters)

    loss, state, gradients = outcome()
    with torch.autocast("cpu", torch.bfloat16):
        low_loss, low_state, low_gradients = outcome()
    # bfloat16 has 8 bits: one rounding is off by at most 1 part in 256.
    assert low_loss.item() == pytest.approx(loss.item(), rel=0.01)
    for low, exact in zip(low_state, state, strict=True):
        torch.testing.assert_close(low.float(), exact, atol=0.02, rtol=0)
    for low, exact in zip(low_gradients, gradients, strict=True):
        assert low.dtype == torch.float32
        assert (low - exact).norm() < 0.05 * exact.norm()


@pytest.mark.parametrize("tie", ["none", "depth", "all"])
def test_the_grid_s_state_stays_float32_in_bfloat16(make_model, tie):
    model = make_model("grid", 3, 8, tie)
    with torch.autocast("cpu", torch.bfloat16):
        _, state = model(torch.arange(10).view(5, 2), model.start(2))
    assert [part.dtype for part in state] == [torch.float32, torch.float32]


@pytest.mark.parametrize("optimiser", [torch.optim.RMSprop, torch.optim.Adam])
def test_torch_s_redundant_bias_stays_zero(make_model, optimiser):
    model = make_model("stacked", 2, 4)
    trained = [p for p in model.parameters() if p.requires_grad]
    steps = optimiser(trained, lr=0.1)
    for _ in range(3):
        logits, _ = model(torch.arange(10).view(5, 2), model.start(2))
        logits.square().sum().backward()
        steps.step()
    for layer in range(2):
        assert not getattr(model.recurrent.lstm, f"bias_hh_l{layer}").any()
        assert getattr(model.recurrent.lstm, f"bias_ih_l{layer}").any()
