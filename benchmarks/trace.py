"""How fast is a trace? Ratios against named rivals, all measured in this run, turn by turn.

    python benchmarks/trace.py [--bytes 2000] [--repeats 3] [--units 256 1000] [--layers 3 6]

Rivals: `cell by cell`, the grid walked one cell at a time as the equations read; `nn.LSTM`, the
bare forward pass of torch.nn.LSTM of as many layers and units, which shows no cells; `onnxruntime`,
the same LSTM with the same weights in ONNX Runtime, which shows none either and gives the same
numbers (checked to 1e-6). The floor is
the longer of two times: to read the weights of the recurrence, two bytes each, once a position
(once for each layer where layers do not share them), at the speed at which this machine sums
numbers; and to multiply, at the speed of one product of many rows. Weights are random, which cost
what trained ones do, and numbers of float16, as in the files that training writes. Freed memory is
kept, as commands do: 300 megabytes fetched anew by each trace of 1000 units would measure a virtual
machine's host, at up to 2 seconds a gigabyte.
"""

import argparse
from collections.abc import Callable
from functools import partial

import gridlstm  # noqa: F401 (it says how torch's threads wait, so it comes first)

# isort: split
import torch
from common import fresh_model, reasons, seconds
from onnx_rival import check_same, onnx_lstm
from torch import Tensor
from torch.nn import functional

from gridlstm.backends.plan import positions_at_once
from gridlstm.commands.memory import keep_freed_memory
from gridlstm.config import ModelConfig
from gridlstm.model import LanguageModel
from gridlstm.trace import trace

# Often, as a walk reads them: the first time they come from farther away.
READS = 50
# Rows of the product that tells how fast numbers are multiplied.
ROWS = 512
Work = Callable[[], object]


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


# -- The table ------------------------------------------------------------------------------------


def model_of(architecture: str, layers: int, units: int) -> LanguageModel:
    tie = "all" if architecture == "grid" else None
    return fresh_model(ModelConfig(architecture, layers, units, tie))


def works_of(model: LanguageModel, data: bytes) -> dict[str, Work]:
    """What is measured of a model, by name."""
    units, layers = model.config.units, model.config.layers
    bare = torch.nn.LSTM(units, units, layers).eval().requires_grad_(False)
    embedded = torch.randn(len(data), 1, units)
    weights = torch.ones(2 * units * units)  # as many bytes as 4 U U numbers of float16
    rows, weight = torch.randn(ROWS, 2 * units), torch.randn(4 * units, 2 * units)
    onnx = onnx_lstm(bare, len(data))
    check_same(onnx(embedded.numpy()), bare(embedded)[0].numpy())
    walk = (
        {"cell by cell": partial(cell_by_cell, model, data)}
        if model.config.architecture == "grid"
        else {}
    )
    return {
        **walk,
        "trace": partial(trace, model, data),
        "nn.LSTM": torch.inference_mode()(partial(bare, embedded)),
        "onnxruntime": partial(onnx, embedded.numpy()),
        "read weights": lambda: [weights.sum() for _ in range(READS)],
        "multiply": partial(functional.linear, rows, weight),
    }


def floor_of(architecture: str, layers: int, positions: int, times: dict[str, float]) -> float:
    """About the least seconds that the reading of weights and the products of a trace take."""
    readings, products = (1, 2) if architecture == "grid" else (layers, 1)
    read = readings * positions * times["read weights"] / READS
    multiply = products * layers * positions * times["multiply"] / ROWS
    return max(read, multiply)


def row(architecture: str, layers: int, units: int, data: bytes, repeats: int) -> str:
    """A line of the table, and below it how the trace was read, and why."""
    model = model_of(architecture, layers, units)
    works = works_of(model, data)
    times = fastest(works, repeats)
    against_cells = "—"
    if "cell by cell" in times:
        against_cells = f"{times['cell by cell'] / times['trace']:.1f}"
    floor = floor_of(architecture, layers, len(data), times)
    return (
        f"{architecture + f' {layers} x {units}':<24}{times['trace']:>9.2f}"
        f"{against_cells:>22}{times['trace'] / times['nn.LSTM']:>17.2f}"
        f"{times['trace'] / times['onnxruntime']:>21.2f}"
        f"{times['trace'] / floor:>15.2f}{floor:>9.2f}\n"
        f"{reasons(model, min(len(data), positions_at_once(model.config, None)))}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--bytes", type=int, default=2000)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--units", type=int, nargs="+", default=[256, 1000])
    parser.add_argument("--layers", type=int, nargs="+", default=[3, 6])
    options = parser.parse_args()
    keep_freed_memory()
    data = bytes(range(32, 127)) * (options.bytes // 95 + 1)
    data = data[: options.bytes]
    print(f"{options.bytes} bytes, one sequence, {torch.get_num_threads()} threads, "
          f"torch {torch.__version__}")  # fmt: skip
    print(f"{'model':<24}{'trace s':>9}{'cell by cell / trace':>22}"
          f"{'trace / nn.LSTM':>17}{'trace / onnxruntime':>21}{'trace / floor':>15}"
          f"{'floor s':>9}")  # fmt: skip
    for units in options.units:
        for layers in options.layers:
            for architecture in ("grid", "stacked"):
                print(row(architecture, layers, units, data, options.repeats), flush=True)


if __name__ == "__main__":
    main()
