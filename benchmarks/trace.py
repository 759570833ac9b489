"""How fast is a trace? Ratios against named rivals, all measured in this run, turn by turn.

    python benchmarks/trace.py [--bytes 2000] [--repeats 3] [--units 256 1000] [--layers 3 6]

Rivals: `cell by cell`, the grid walked one cell at a time as the equations read; `nn.LSTM`, the
bare forward pass of torch.nn.LSTM of as many layers and units, which shows no cells. The floor is
the time to read the weights of a layer's recurrence once a position, at the speed at which this
machine sums them. `least` is what a trace that goes this way cannot be under: nn.LSTM itself, which
shows hidden states only, the products with all positions that the gates follow from (one a layer,
for the grid two), and the functions of gates and cells, on memory that lies as it is best for them.
Random weights: they cost what trained ones do.
"""

import argparse
from collections.abc import Callable
from functools import partial

import torch
from common import fresh_model, seconds
from torch import Tensor
from torch.nn import functional

from gridlstm.config import ModelConfig
from gridlstm.model import LanguageModel
from gridlstm.networks.cells import tanh
from gridlstm.networks.products import packed
from gridlstm.trace import trace

# Often, as a walk reads them: the first time they come from farther away.
READS = 50
Work = Callable[[], object]
Product = Callable[[Tensor], Tensor]


def fastest(works: dict[str, Work], repeats: int) -> dict[str, float]:
    """The least seconds of each, run in turns, after one round that is not counted."""
    rounds = [{name: seconds(work) for name, work in works.items()} for _ in range(repeats + 1)]
    return {name: min(times[name] for times in rounds[1:]) for name in works}


def lstm(weight: Tensor, bias: Tensor, z: Tensor, cell: Tensor) -> tuple[Tensor, Tensor]:
    """One LSTM update of a single cell, as the equations read."""
    i, f, o, g = functional.linear(z, weight, bias).chunk(4)
    cell = f.sigmoid() * cell + i.sigmoid() * g.tanh()
    return o.sigmoid() * cell.tanh(), cell


@torch.inference_mode()
def cell_by_cell(model: LanguageModel, data: bytes) -> None:
    """Walk a tied grid position by position, layer by layer."""
    weights, config = model.recurrent.weights, model.config
    zero = torch.zeros(config.units)
    state = [(zero, zero)] * config.layers
    for d in model.embedding(torch.tensor(list(data))):
        memory = zero
        for layer, (h, c) in enumerate(state):
            z = torch.cat((h, d))
            h, c = lstm(weights.time_weight[0], weights.time_bias[0], z, c)
            state[layer] = h, c
            z = torch.cat((h, d))
            d, memory = lstm(weights.depth_weight[0], weights.depth_bias[0], z, memory)


# -- What a trace that goes this way cannot be under ---------------------------------------------


def orders(weight: Tensor) -> dict[str, Product]:
    """The product with a weight [O, I], by the order that it lies in."""
    return {"plain": partial(functional.linear, weight=weight), "packed": packed(weight, None)}


@torch.inference_mode()
def least(
    bare: torch.nn.LSTM, products: list[Product], layers: int, units: int, positions: int
) -> None:
    embedded, read = torch.randn(positions, 1, units), torch.randn(positions, 2 * units)
    sigmoids, candidates = torch.randn(3 * positions, units), torch.randn(positions, units)
    bare(embedded)
    for product in products * layers:
        product(read)
        sigmoids.sigmoid_()
        tanh(candidates, out=candidates)
    forget, write = torch.rand(2, positions, layers, units)
    cell = write[0]
    for f, w in zip(forget, write, strict=True):
        cell = w.addcmul_(f, cell)


# -- The table ------------------------------------------------------------------------------------


def works_of(architecture: str, layers: int, units: int, data: bytes) -> dict[str, Work]:
    """What is measured of a model, by name."""
    tie = "all" if architecture == "grid" else None
    model = fresh_model(ModelConfig(architecture, layers, units, tie))
    bare = torch.nn.LSTM(units, units, layers).eval().requires_grad_(False)
    embedded, size = torch.randn(len(data), 1, units), (layers, units, len(data))
    by_order = [orders(weight) for weight in torch.randn(2, 4 * units, 2 * units)]
    works = {"trace": partial(trace, model, data), "nn.LSTM": partial(bare, embedded)}
    for order in by_order[0]:
        products = [product[order] for product in by_order]
        products = products if architecture == "grid" else products[:1]
        works[f"least, {order}"] = partial(least, bare, products, *size)
    weights = torch.ones(4 * units * units)
    works["read weights"] = lambda: [weights.sum() for _ in range(READS)]
    return works


def row(architecture: str, layers: int, units: int, data: bytes, repeats: int) -> str:
    """A line of the table."""
    works = works_of(architecture, layers, units, data)
    times = fastest(works, repeats)
    against_cells = "—"
    if architecture == "grid":
        model = works["trace"].args[0]
        against_cells = f"{seconds(partial(cell_by_cell, model, data)) / times['trace']:.1f}"
    bound = min(times["least, plain"], times["least, packed"])
    floor = len(data) * layers * times["read weights"] / READS
    return (
        f"{architecture + f' {layers} x {units}':<24}{times['trace']:>9.2f}"
        f"{against_cells:>22}{times['trace'] / times['nn.LSTM']:>17.2f}"
        f"{bound / times['nn.LSTM']:>17.2f}{times['trace'] / floor:>15.2f}{floor:>9.2f}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--bytes", type=int, default=2000)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--units", type=int, nargs="+", default=[256, 1000])
    parser.add_argument("--layers", type=int, nargs="+", default=[3, 6])
    options = parser.parse_args()
    data = bytes(range(32, 127)) * (options.bytes // 95 + 1)
    data = data[: options.bytes]
    print(f"{options.bytes} bytes, one sequence, {torch.get_num_threads()} threads, "
          f"torch {torch.__version__}")  # fmt: skip
    print(f"{'model':<24}{'trace s':>9}{'cell by cell / trace':>22}"
          f"{'trace / nn.LSTM':>17}{'least / nn.LSTM':>17}{'trace / floor':>15}"
          f"{'floor s':>9}")  # fmt: skip
    for units in options.units:
        for layers in options.layers:
            for architecture in ("grid", "stacked"):
                print(row(architecture, layers, units, data, options.repeats), flush=True)


if __name__ == "__main__":
    main()
