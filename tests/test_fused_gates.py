"""The kernels for a GPU against the plain arithmetic: on a GPU, or without one by Triton's
interpreter."""

import os
import subprocess
import sys

import pytest
import torch

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
if DEVICE == "cpu":
    os.environ["TRITON_INTERPRET"] = "1"  # read when Triton is imported
pytest.importorskip("triton", reason="the kernels for a GPU are written in Triton")

from gridlstm.backends import fused_gates, grid_walk  # noqa: E402
from gridlstm.backends.gates import lstm_backward  # noqa: E402
from gridlstm.config import ModelConfig  # noqa: E402
from gridlstm.model import LanguageModel  # noqa: E402

# Of the interpreter's bfloat16 the last bit is cut off, not rounded.
TOLERANCE = {
    torch.float32: {"atol": 1e-6, "rtol": 1e-6},
    torch.bfloat16: {"atol": 1e-6, "rtol": 2**-7},
}
# Dimensions, layers, sequences and units; without dimensions for steps that do only one. Up to one
# block of units, and past its end.
SHAPES = [(1, 1, 1, 1), (2, 3, 2, 5), (2, 2, 3, 128), (2, 1, 2, 131), (3, 4, 7), (2, 1, 257)]
every_shape = pytest.mark.parametrize("shape", SHAPES)
OUTSIDE = 7.0


class Views:
    """Views into larger arrays, each with its axes in another order there."""

    def __init__(self) -> None:
        self.wholes, self.views = [], []
        self.random = torch.Generator().manual_seed(1)

    def of(self, shape, dtype=torch.float32):
        """A view of random numbers, of which only the units lie side by side."""
        *outer, units = shape
        turned = len(self.views) % len(outer)
        order = [*range(turned, len(outer)), *range(turned)]
        sizes = [outer[axis] + 2 for axis in order] + [units + 3]
        whole = torch.full(sizes, OUTSIDE, dtype=dtype, device=DEVICE)
        back = [order.index(axis) for axis in range(len(outer))]
        view = whole.permute(*back, len(outer))[(*(slice(1, size + 1) for size in shape),)]
        view.copy_(torch.randn(shape, generator=self.random).mul_(2))
        self.wholes.append(whole)
        self.views.append(view)
        return view

    def assert_only_they_were_written(self):
        for whole, view in zip(self.wholes, self.views, strict=True):
            view.fill_(OUTSIDE)
            assert bool((whole == OUTSIDE).all())


def sums_shape(shape):
    return *shape[:-1], 4 * shape[-1]


def assert_close(found, expected):
    expected = expected.to(found.dtype)
    torch.testing.assert_close(found, expected, **TOLERANCE[found.dtype])


def plain_update(sums, cells):
    i, f, o, g = sums.chunk(4, dim=-1)
    i, f, o, g = i.sigmoid(), f.sigmoid(), o.sigmoid(), g.tanh()
    new_cells = f * cells + i * g
    return torch.cat((i, f, o, g), dim=-1), new_cells, o * new_cells.tanh()


@every_shape
@pytest.mark.parametrize("output_type", [torch.float32, torch.bfloat16])
def test_from_sums_to_gates_cells_and_outputs(shape, output_type):
    views = Views()
    sums, cells, new_cells = views.of(sums_shape(shape)), views.of(shape), views.of(shape)
    outputs = views.of(shape, output_type)
    expected = plain_update(sums, cells)
    fused_gates.update(sums, cells, new_cells, outputs)
    for found, of_plain in zip((sums, new_cells, outputs), expected, strict=True):
        assert_close(found, of_plain)
    views.assert_only_they_were_written()


@every_shape
@pytest.mark.parametrize("gradient_type", [torch.float32, torch.bfloat16])
def test_the_way_back(shape, gradient_type):
    views = Views()
    gates, new_cell, _ = plain_update(views.of(sums_shape(shape)), cell := views.of(shape))
    grad_hidden, grad_new_cell = (views.of(shape, gradient_type) for _ in range(2))
    grad_gates, grad_cell = (views.of(s, gradient_type) for s in (sums_shape(shape), shape))
    given = gates, cell, new_cell, grad_hidden, grad_new_cell
    expected = torch.empty_like(gates), torch.empty_like(cell)
    lstm_backward(*given, *expected)
    fused_gates.update_backward(*given, grad_gates, grad_cell)
    assert_close(grad_gates, expected[0])
    assert_close(grad_cell, expected[1])
    views.assert_only_they_were_written()


GRIDS = [(2, 3, 2, 5), (1, 2, 3, 131)]


@pytest.mark.parametrize("shape", GRIDS)
def test_a_bias_a_mask_and_a_second_place_for_what_is_handed_up(shape):
    """Sums and gates in bfloat16, cells in float32, and the mask for the last dimension only."""
    views, bfloat16 = Views(), torch.bfloat16
    sums, bias = views.of(sums_shape(shape), bfloat16), views.of(sums_shape(shape))
    cells, new_cells = views.of(shape), views.of(shape)
    outputs, copy = views.of(shape, bfloat16), views.of(shape[1:], bfloat16)
    mask = views.of(shape[1:])
    gates, expected_cells, hidden = plain_update(sums.float() + bias, cells)
    hidden[-1] *= mask
    fused_gates.update(sums, cells, new_cells, outputs, bias=bias, mask=mask, copy=copy)
    for found, expected in ((sums, gates), (new_cells, expected_cells), (outputs, hidden)):
        assert_close(found, expected)
    assert torch.equal(copy, outputs[-1])
    views.assert_only_they_were_written()


@pytest.mark.parametrize("shape", GRIDS)
def test_the_way_back_through_a_mask_from_two_readers(shape):
    """What the kernel makes of gates in bfloat16 is autograd's derivative through the equations."""
    views, bfloat16 = Views(), torch.bfloat16
    sums, cell, mask = views.of(sums_shape(shape)), views.of(shape), views.of(shape[1:])
    gates, new_cell, _ = plain_update(sums, cell)
    rounded = gates.to(bfloat16)
    first, second = (views.of(shape, bfloat16) for _ in range(2))
    of_new_cell, grad_sums, grad_cell = (views.of(s) for s in (shape, sums_shape(shape), shape))
    fused_gates.update_backward(
        rounded, cell, new_cell, first, of_new_cell, grad_sums, grad_cell,
        grad_copy=second, mask=mask,
    )  # fmt: skip
    given = [x.clone().requires_grad_() for x in (sums, cell)]
    _, new, hidden = plain_update(*given)
    handed_up = torch.cat((hidden[:-1], hidden[-1:] * mask))
    loss = (handed_up * (first.float() + second.float())).sum() + (new * of_new_cell).sum()
    for found, expected in zip(
        (grad_sums, grad_cell), torch.autograd.grad(loss, given), strict=True
    ):
        scale = float(expected.abs().max())
        torch.testing.assert_close(found, expected, atol=0.01 * scale, rtol=0)
    views.assert_only_they_were_written()


@pytest.mark.filterwarnings("ignore:overflow")  # in the interpreter's exp
def test_sums_far_from_zero_close_and_open_the_gates():
    for far in (30.0, 100.0, 1000.0):
        sums = torch.tensor([-far, far, far, -far], device=DEVICE)[None, None]
        cells = torch.full((1, 1, 1), -far, device=DEVICE)
        new_cells, outputs = torch.empty_like(cells), torch.empty_like(cells)
        fused_gates.update(sums, cells, new_cells, outputs)
        assert sums.flatten().tolist() == pytest.approx([0, 1, 1, -1], abs=1e-6)
        assert new_cells.item() == pytest.approx(-far)
        assert outputs.item() == pytest.approx(-1)


def test_units_that_do_not_lie_side_by_side_are_refused():
    apart = torch.zeros(1, 2, 6, device=DEVICE)[..., ::2]
    beside = torch.zeros(1, 2, 3, device=DEVICE)
    sums = torch.zeros(1, 2, 12, device=DEVICE)
    for arrays in ((apart, beside, beside), (beside, apart, beside), (beside, beside, apart)):
        with pytest.raises(ValueError, match="side by side"):
            fused_gates.update(sums, *arrays)


# -- In the grid ----------------------------------------------------------------------------------


@pytest.fixture
def on_both_ways(monkeypatch):
    """A function that gives what another returns when the grid has the kernels, and when not."""

    def both(work):
        found = []
        for kernels in (fused_gates, None):
            monkeypatch.setattr(grid_walk, "fused_kernels", lambda like, found=kernels: found)
            torch.manual_seed(3)  # the same dropout mask
            found.append(work())
        return found

    return both


def grid(tie, dtype=torch.float32):
    torch.manual_seed(1)
    model = LanguageModel(ModelConfig("grid", 2, 5, tie, dropout=0.3))
    model.initialise(scale=0.8, forget_bias=1.0)
    return model.to(DEVICE, dtype).recurrent


def what_it_reads(positions, dtype=torch.float32):
    torch.manual_seed(2)
    embedded = torch.randn(positions, 2, 5, dtype=dtype)
    state = [torch.randn(2, 2, 5, dtype=dtype) for _ in range(2)]
    return [tensor.to(DEVICE).requires_grad_() for tensor in (embedded, *state)]


def results_and_gradients(network, inputs):
    """Top, h and c, and the gradients of all that they depend on."""
    embedded, *state = inputs
    top, state = network(embedded, tuple(state))
    results = [top, *state]
    loss = sum((result.float() * torch.arange(1, 6, device=DEVICE)).sum() for result in results)
    return results + list(torch.autograd.grad(loss, [*inputs, *network.parameters()]))


# Without steps in which all layers work, and with some.
@pytest.mark.parametrize(("tie", "positions"), [("all", 2), ("none", 5)])
def test_the_grid_forward_and_back(on_both_ways, tie, positions):
    network, inputs = grid(tie, torch.float64), what_it_reads(positions, torch.float64)
    found, expected = on_both_ways(lambda: results_and_gradients(network, inputs))
    for of_kernels, plain in zip(found, expected, strict=True):
        torch.testing.assert_close(of_kernels, plain, atol=1e-12, rtol=1e-12)


def test_the_grid_with_products_in_bfloat16(on_both_ways):
    network, inputs = grid("all"), what_it_reads(5)

    def work():
        with torch.autocast(DEVICE, torch.bfloat16):
            return results_and_gradients(network, inputs)

    found, expected = on_both_ways(work)
    assert found[0].dtype == torch.bfloat16
    for of_kernels, plain in zip(found, expected, strict=True):
        scale = float(plain.detach().abs().max())
        torch.testing.assert_close(of_kernels, plain, atol=0.05 * scale, rtol=0)


# -- For a GPU ------------------------------------------------------------------------------------

COMPILE = """
import triton
from triton.backends.compiler import GPUTarget

from gridlstm.backends import fused_gates

def compile(kernel, *types):
    names = kernel.arg_names
    of_types = zip(names, types)
    signature = {
        name: (f"*{of}", "i64", "i64", "i64") if of else "constexpr" for name, of in of_types
    }
    signature |= dict.fromkeys(("dimensions", "layers", "units"), "i32") | {"BLOCK": "constexpr"}
    constants = {(names.index("BLOCK"),): fused_gates.BLOCK}
    constants |= {(n,): None for n, of in enumerate(types) if of is None}
    source = triton.compiler.ASTSource(kernel, signature, constants)
    assert triton.compile(source, target=GPUTarget("cuda", 90, 32)).asm["cubin"]

f, b = "fp32", "bf16"
compile(fused_gates._update, f, f, f, b, None, None, None)
compile(fused_gates._update, b, f, f, b, f, f, b)
compile(fused_gates._update_backward, f, f, f, *[b] * 4, None, None)
compile(fused_gates._update_backward, b, f, f, b, f, b, f, b, f)
"""


def test_the_kernels_compile_for_a_gpu_that_need_not_be_there(tmp_path):
    """The interpreter takes what the compiler refuses."""
    settings = {**os.environ, "TRITON_INTERPRET": "0", "TRITON_CACHE_DIR": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", COMPILE], env=settings, capture_output=True)
    assert done.returncode == 0, done.stderr.decode()
