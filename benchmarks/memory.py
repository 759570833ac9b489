"""How much memory does a long trace take, beyond the weights? All quantities, on disk.

    python benchmarks/memory.py [--bytes 100000] [--layers 6] [--units 1000]

A tied grid with random weights. The memory is the most that the process has had resident, less what
it had before the trace; the floor is what a trace holds in memory in any case: the distributions of
the next byte. Needs room on disk for the rest, as it says first. Linux only.
"""

import argparse
import math
import resource
import sys

import gridlstm  # noqa: F401 (it says how torch's threads wait, so it comes first)

# isort: split
import torch
from common import fresh_model, timed

from gridlstm.config import ALPHABET, ModelConfig
from gridlstm.trace import trace

MEGABYTE = 2**20


def resident() -> int:
    """Bytes, the most so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    for name, value in (("bytes", 100_000), ("layers", 6), ("units", 1000)):
        parser.add_argument(f"--{name}", type=int, default=value)
    options = parser.parse_args()
    model = fresh_model(ModelConfig("grid", options.layers, options.units, "all"))
    data = (bytes(range(32, 127)) * (options.bytes // 95 + 1))[: options.bytes]
    trace(model, data[:300], [])  # what torch takes at first is not the trace's
    config = model.config
    numbers = options.bytes * config.layers * sum(map(config.width, config.quantities))
    print(f"{2 * numbers / MEGABYTE:,.0f} MB go to disk; {torch.get_num_threads()} threads")
    before = resident()

    def tell(share: float) -> None:
        print(f"\r{share:.0%}", end="", file=sys.stderr)

    seconds, found = timed(lambda: trace(model, data, progress=tell))
    held = resident() - before
    print(f"\r{seconds:,.0f} s, {1000 * seconds / options.bytes:.2f} ms a byte")
    print(f"{held / MEGABYTE:,.0f} MB of memory beyond the weights; floor "
          f"{2 * ALPHABET * options.bytes / MEGABYTE:,.0f} MB")  # fmt: skip
    assert not math.isnan(found.nats_per_byte)


if __name__ == "__main__":
    main()
