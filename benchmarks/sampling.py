"""How fast does a model write? Ratios against rivals and a floor, all measured in this run.

    python benchmarks/sampling.py [--bytes 2000]

Seconds a byte of a text of so many bytes, written after a prime of 24. `traced again` is what a
program without a carried state does: a trace of the text so far, of nothing but the chances, for
each byte; measured at some lengths spread evenly over the text, and averaged. The floor is the time
to read the weights that one byte needs, at the speed at which this machine sums them: each layer's
own, and a shared one once for each layer, as a layer waits for the one below. Random weights: they
cost what trained ones do.
"""

import argparse

import gridlstm  # noqa: F401 (it says how torch's threads wait, so it comes first)

# isort: split
import numpy as np
import torch
from common import fresh_model, reasons, seconds

from gridlstm.config import ModelConfig
from gridlstm.sampling import write
from gridlstm.trace import trace

PRIME = b"The website is [http://w"
MODELS = [("grid", "all"), ("grid", "none"), ("stacked", None)]
LENGTHS = 5
# Bytes that are timed, more than it takes until weights are made ready for single rows.
TIMED = {128: 300, 1000: 200}


def estimate_reading_seconds(numbers: int) -> float:
    """Seconds to read so many float32 numbers once, as a sum does."""
    block = torch.ones(numbers)
    return min(seconds(block.sum) for _ in range(5))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--bytes", type=int, default=2000)
    options = parser.parse_args()
    lengths = np.linspace(0, options.bytes, 2 * LENGTHS + 1)[1::2].astype(int)
    print(f"a text of {options.bytes} bytes, {torch.get_num_threads()} threads")
    print(f"{'model':<26}{'ms a byte':>11}{'traced again / carried':>24}{'carried / floor':>17}")
    for units, timed in TIMED.items():
        for architecture, tie in MODELS:
            model = fresh_model(ModelConfig(architecture, 6, units, tie))
            text = bytes(step.token for step in write(model, PRIME, 3)) * options.bytes
            carried = seconds(lambda: list(write(model, PRIME, timed))) / timed  # noqa: B023
            again = np.mean(
                [seconds(lambda: trace(model, PRIME + text[:n], [])) for n in lengths]  # noqa: B023
            )
            title = f"{architecture} 6 x {units}" + (f", tie {tie}" if tie else "")
            dimensions = 2 if architecture == "grid" else 1
            floor = estimate_reading_seconds(6 * dimensions * 8 * units**2)
            print(
                f"{title:<26}{1000 * carried:>11.2f}"
                f"{again / carried:>24.1f}{carried / floor:>17.1f}",
                flush=True,
            )
            print(reasons(model, 1), flush=True)


if __name__ == "__main__":
    main()
