"""How fast is a trace? Ratios against named rivals, all measured in this run.

    python benchmarks/trace.py [--bytes 2000] [--repeats 3]

Rivals: `cell by cell`, the grid walked one cell at a time as the equations read; `nn.LSTM`, the
bare forward pass of torch.nn.LSTM of as many layers and units, which shows no cells. The floor is
the time to read the weights that a walk cannot avoid reading, at the speed at which this machine
sums them: those of the time and the depth LSTM once a step (tied grid), those of a layer's
recurrence once a position (stacked). `least` is what no trace made of torch's operations can be
under, by the same rival: the products alone, in the order of weights that is the faster one. For
the grid these are two a step, of a row a layer; for the stacked LSTM nn.LSTM itself, which shows
hidden states only, and the product with all positions that the gates follow from. Random weights:
they cost what trained ones do.
"""

import argparse
from collections.abc import Callable, Sequence
from functools import partial

import torch
from common import fresh_model, seconds_of_each
from torch import Tensor
from torch.nn import functional

from gridlstm.config import ModelConfig
from gridlstm.model import LanguageModel
from gridlstm.networks.products import packed
from gridlstm.trace import trace


def fastest(work: Callable[[], object], repeats: int) -> float:
    return min(seconds_of_each(work, repeats))


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


def seconds_to_read(megabytes: float, repeats: int) -> float:
    """Seconds to read so many megabytes of float32 weights once, as a sum does."""
    block = torch.ones(int(megabytes * 2**20 / 4))
    return fastest(block.sum, repeats + 2)


def product_seconds(weights: Sequence[Tensor], rows: int, times: int, repeats: int) -> float:
    """Seconds for so many times a product of so many rows with each of the weights [O, I]."""
    values = torch.randn(rows, weights[0].shape[1])
    plain = [partial(functional.linear, weight=weight) for weight in weights]
    ordered = [packed(weight, None) for weight in weights]

    def all_of(products: Sequence[Callable[[Tensor], Tensor]]) -> None:
        for _ in range(times):
            for product in products:
                product(values)

    with torch.inference_mode():
        return min(fastest(partial(all_of, products), repeats) for products in (plain, ordered))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--bytes", type=int, default=2000)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    data = bytes(range(32, 127)) * (options.bytes // 95 + 1)
    data, repeats = data[: options.bytes], options.repeats
    print(f"{options.bytes} bytes, one sequence, {torch.get_num_threads()} threads, "
          f"torch {torch.__version__}")  # fmt: skip
    print(f"{'model':<24}{'trace s':>9}{'cell by cell / trace':>22}"
          f"{'trace / nn.LSTM':>17}{'least / nn.LSTM':>17}{'trace / floor':>15}"
          f"{'floor s':>9}")  # fmt: skip
    for units in (256, 1000):
        for layers in (3, 6):
            bare = torch.nn.LSTM(units, units, layers).eval().requires_grad_(False)
            embedded = torch.randn(len(data), 1, units)
            weights = torch.randn(2, 4 * units, 2 * units).unbind()
            lstm_seconds = fastest(lambda: bare(embedded), repeats)  # noqa: B023
            for architecture in ("grid", "stacked"):
                tie = "all" if architecture == "grid" else None
                model = fresh_model(ModelConfig(architecture, layers, units, tie))
                seconds = fastest(lambda: trace(model, data), repeats)  # noqa: B023
                against_cells = "—"
                if architecture == "grid":
                    slow = fastest(lambda: cell_by_cell(model, data), 1)  # noqa: B023
                    against_cells = f"{slow / seconds:.1f}"
                    reads, size = len(data) + 2 * layers - 1, 2 * 4 * units * 2 * units * 4
                    least = product_seconds(weights, layers, reads, repeats)
                else:
                    reads, size = len(data) * layers, 4 * units * units * 4
                    least = lstm_seconds + product_seconds(weights[:1], len(data), layers, repeats)
                floor = reads * seconds_to_read(size / 2**20, repeats)
                print(
                    f"{architecture + f' {layers} x {units}':<24}{seconds:>9.2f}"
                    f"{against_cells:>22}{seconds / lstm_seconds:>17.2f}"
                    f"{least / lstm_seconds:>17.2f}"
                    f"{seconds / floor:>15.2f}{floor:>9.2f}",
                    flush=True,
                )


if __name__ == "__main__":
    main()
