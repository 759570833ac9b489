"""How fast each architecture trains and is traced, at matched numbers of parameters.

    python benchmarks/architectures.py [--updates 5] [--bytes 1000]

Random weights and bytes: neither changes the work. Training is an update as the presets
`matched-*` do it, with products in bfloat16, as the shipped ones were trained. The last two columns
are ratios to the stacked LSTM measured in the same run.
"""

import argparse

import gridlstm  # noqa: F401 (it says how torch's threads wait, so it comes first)

# isort: split
import numpy as np
import pandas as pd
import torch
from common import fresh_model, reasons, seconds_of_each
from torch.nn import functional

from gridlstm.model import LanguageModel
from gridlstm.trace import trace
from gridlstm.training.presets import MATCHED, PRESETS

RIVAL = "matched-stacked-6"


def update(model: LanguageModel) -> None:
    """Forward and backward through one update's bytes."""
    read = torch.randint(256, (MATCHED.length, MATCHED.sequences))
    with torch.autocast("cpu", torch.bfloat16):
        logits, _ = model(read, model.start(MATCHED.sequences))
    functional.cross_entropy(logits.float().flatten(0, 1), read.flatten()).backward()


def measure(name: str, updates: int, count: int) -> dict:
    """One row of the table."""
    model = fresh_model(PRESETS[name].model, MATCHED.scale, MATCHED.forget_bias)
    model.train().requires_grad_(True)
    training = np.median(seconds_of_each(lambda: update(model), updates))
    model.eval().requires_grad_(False)
    data = np.random.default_rng(1).integers(0, 256, count, np.uint8).tobytes()
    tracing = np.median(seconds_of_each(lambda: trace(model, data), 3))
    return {
        "model": name,
        "parameters": model.config.parameters,
        "training, bytes/s": round(MATCHED.bytes_an_update / training),
        "trace, ms per 1,000 bytes": round(1e6 * tracing / count, 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--updates", type=int, default=5)
    parser.add_argument("--bytes", type=int, default=1000)
    options = parser.parse_args()
    names = [name for name in PRESETS if name.startswith("matched-")]
    table = pd.DataFrame([measure(name, options.updates, options.bytes) for name in names])
    rival = table.set_index("model").loc[RIVAL]
    for column, ratio in (
        ("training, bytes/s", "training speed / stacked"),
        ("trace, ms per 1,000 bytes", "trace time / stacked"),
    ):
        table[ratio] = (table[column] / rival[column]).round(2)
    print(f"{torch.get_num_threads()} threads, {MATCHED.sequences} sequences of {MATCHED.length}")
    head, *rows = table.to_string(index=False).split("\n")
    print(head)
    for name, row in zip(names, rows, strict=True):
        print(row)
        print(reasons(fresh_model(PRESETS[name].model), options.bytes))


if __name__ == "__main__":
    main()
