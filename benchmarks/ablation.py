"""How fast are many ablations? Ratios against one by one, measured in this run.

    python benchmarks/ablation.py [--bytes 2000] [--ablations 100]

Single units of a 6-layer model of 256 units, random ones, held at 0. `one by one` is a trace of
nothing but the loss for each, measured on some of them and multiplied. The floor is the arithmetic
alone: the multiply-adds of the layers from each held one up, at the speed of this machine's large
matrix products. Random weights: they cost what trained ones do.
"""

import argparse

import gridlstm  # noqa: F401 (it says how torch's threads wait, so it comes first)

# isort: split
import numpy as np
import torch
from common import fresh_model, reasons, seconds

from gridlstm.clamps import Clamp
from gridlstm.config import ModelConfig
from gridlstm.intervention import losses
from gridlstm.trace import trace

LAYERS, UNITS = 6, 256
ONE_BY_ONE = 5


def operations_a_second() -> float:
    """Multiply-adds a second of a large float32 product."""
    left, right = torch.randn(600, 2 * UNITS), torch.randn(2 * UNITS, 4 * UNITS)
    left @ right
    repeats = 50
    return repeats * 600 * 8 * UNITS**2 / seconds(lambda: [left @ right for _ in range(repeats)])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--bytes", type=int, default=2000)
    parser.add_argument("--ablations", type=int, default=100)
    options = parser.parse_args()
    data = (bytes(range(32, 127)) * (options.bytes // 95 + 1))[: options.bytes]
    random = np.random.default_rng(1)
    print(
        f"{options.ablations} ablations, {options.bytes} bytes, {torch.get_num_threads()} threads"
    )
    print(f"{'model':<20}{'together s':>12}{'one by one / together':>24}{'together / floor':>18}")
    for architecture in ("grid", "stacked"):
        tie, dimensions = ("all", 2) if architecture == "grid" else (None, 1)
        model = fresh_model(ModelConfig(architecture, LAYERS, UNITS, tie), 0.16)
        layers = random.integers(1, LAYERS + 1, options.ablations)
        places = zip(layers, random.integers(0, UNITS, options.ablations), strict=True)
        clamps = [[Clamp("time.cell", int(layer), int(unit), 0.0)] for layer, unit in places]
        together = seconds(lambda: losses(model, data, clamps))  # noqa: B023
        some = seconds(lambda: [trace(model, data, [], clamps=h) for h in clamps[:ONE_BY_ONE]])  # noqa: B023
        alone = some / ONE_BY_ONE * options.ablations
        walked = (LAYERS + 1 - layers).sum()
        multiply_adds = walked * options.bytes * dimensions * 8 * UNITS**2
        floor = multiply_adds / operations_a_second()
        print(f"{f'{architecture} {LAYERS} x {UNITS}':<20}{together:>12.1f}"
              f"{alone / together:>24.1f}{together / floor:>18.1f}", flush=True)  # fmt: skip
        print(reasons(model, options.bytes), flush=True)


if __name__ == "__main__":
    main()
