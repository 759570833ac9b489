"""What does it cost to take a direction apart by who wrote it? Beside a trace, turn by turn.

    python benchmarks/directions.py [--bytes 20000] [--repeats 3] [--units 256] [--layers 6]

`trace` holds what makes the depth memory, in float32; `written` is `depth_written` of it, for a
direction over all units of the top layer: each layer's writing, what each gate above took, and the
shares; `shares` are these alone; `one unit` is the same of a single unit. Seconds are of the
processor, the least of the rounds; each ratio is the median over rounds, in which all were run one
after the other. Weights are random, which cost what trained ones do.
"""

import argparse
import statistics
import time
from collections.abc import Callable

import gridlstm  # noqa: F401 (it says how torch's threads wait, so it comes first)

# isort: split
import numpy as np
import torch
from common import fresh_model

from gridlstm.analysis.depth_provenance import depth_written, direction_shares
from gridlstm.commands.memory import keep_freed_memory
from gridlstm.config import ModelConfig
from gridlstm.direction import Direction, unit_direction
from gridlstm.trace import trace

QUANTITIES = ("depth.forget", "depth.input", "depth.candidate")


def processor_seconds(work: Callable[[], object]) -> float:
    begun = time.process_time()
    work()
    return time.process_time() - begun


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--bytes", type=int, default=20_000)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--units", type=int, default=256)
    parser.add_argument("--layers", type=int, default=6)
    options = parser.parse_args()
    keep_freed_memory()
    model = fresh_model(ModelConfig("grid", options.layers, options.units, "all"))
    data = (bytes(range(32, 127)) * (options.bytes // 95 + 1))[: options.bytes]
    values = trace(model, data, QUANTITIES, dtype=np.float32).values
    vector = np.random.default_rng(1).normal(size=options.units)
    direction = Direction("depth.cell", options.layers, vector)
    unit = unit_direction("depth.cell", options.layers, 0, options.units)
    works: dict[str, Callable[[], object]] = {
        "trace": lambda: trace(model, data, QUANTITIES, dtype=np.float32),
        "written": lambda: depth_written(values, direction),
        "shares": lambda: direction_shares(values, direction),
        "one unit": lambda: direction_shares(values, unit),
    }
    rounds = [
        {name: processor_seconds(work) for name, work in works.items()}
        for _ in range(options.repeats)
    ]
    print(f"{options.bytes} bytes, grid {options.layers} x {options.units}, "
          f"{torch.get_num_threads()} threads, torch {torch.__version__}")  # fmt: skip
    print(f"{'':<12}{'seconds':>9}{'of a trace':>12}")
    for name in works:
        ratio = statistics.median(of[name] / of["trace"] for of in rounds)
        print(f"{name:<12}{min(of[name] for of in rounds):>9.2f}{ratio:>12.2f}")


if __name__ == "__main__":
    main()
