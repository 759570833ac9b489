"""Is this build as fast as another one? Ratios of the two, measured in turns.

    git worktree add ../before COMMIT
    python benchmarks/paired.py --against ../before [--only trace train] [--check 0.97]

Each build computes in a process of its own, one while the other waits: traces, updates of training,
ablations and sampling, all with random weights, which cost what trained ones do. A ratio is the
other build's time by this one's, so that above 1 this one is faster: of the least times, and the
median of the ratios of each turn. With `--check`, the exit status is 1 if a ratio of least times is
below.
"""

import argparse
import os
import statistics
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

LENGTH, SHORT = 1000, 300
TRACES = [
    ("grid", 3, 256, "all"),
    ("grid", 6, 256, "all"),
    ("grid", 6, 256, "none"),
    ("stacked", 3, 256, None),
    ("stacked", 6, 256, None),
    ("stacked", 3, 1000, None),
    ("gru", 6, 256, None),
]
MATCHED = "grid", "stacked", "depth-gated", "gated-feedback", "highway", "grid-1d", "gru", "rnn"
TRAINED = "small-stacked-3", "small-grid-3", "small-stacked-6", "small-grid-6"
Work = Callable[[], object]


def works() -> dict[str, Callable[[], Work]]:
    """What is measured, by name: functions that make the work ready."""
    found: dict[str, Callable[[], Work]] = {}
    for architecture, layers, units, tie in TRACES:
        name = f"trace {architecture} {layers} x {units}" + (f" {tie}" if tie else "")
        found[name] = partial(traced, architecture, layers, units, tie)
    for name in MATCHED:
        found[f"trace matched-{name}-6"] = partial(traced_preset, f"matched-{name}-6")
    for name in TRAINED:
        found[f"train {name}"] = partial(trained, name)
    for architecture, tie in (("grid", "all"), ("stacked", None)):
        found[f"ablation {architecture} 6 x 256"] = partial(ablated, architecture, tie)
        found[f"sampling {architecture} 6 x 128"] = partial(sampled, architecture, tie)
    return found


def text(length: int) -> bytes:
    return (bytes(range(32, 127)) * (length // 95 + 1))[:length]


def traced(architecture: str, layers: int, units: int, tie: str | None) -> Work:
    from common import fresh_model

    from gridlstm.config import ModelConfig
    from gridlstm.trace import trace

    return partial(trace, fresh_model(ModelConfig(architecture, layers, units, tie)), text(LENGTH))


def traced_preset(name: str) -> Work:
    from common import fresh_model

    from gridlstm.trace import trace
    from gridlstm.training.presets import PRESETS

    return partial(trace, fresh_model(PRESETS[name].model), text(LENGTH))


def trained(name: str) -> Work:
    import torch
    from train import learner_of

    from gridlstm.training.presets import PRESETS

    return partial(learner_of(PRESETS[name], torch.device("cpu")).update, 0)


def ablated(architecture: str, tie: str | None) -> Work:
    import numpy as np
    import pandas as pd
    from common import fresh_model

    from gridlstm.config import ModelConfig
    from gridlstm.intervention import ablate
    from gridlstm.text import from_string

    model = fresh_model(ModelConfig(architecture, 6, 256, tie))
    told = from_string(text(SHORT).decode())
    cells = pd.DataFrame({"layer": [2, 4, 6], "quantity": "time.cell", "unit": [3, 5, 7]})
    return partial(ablate, model, told, np.arange(SHORT) % 2 == 0, cells)


def sampled(architecture: str, tie: str | None) -> Work:
    from common import fresh_model

    from gridlstm.config import ModelConfig
    from gridlstm.sampling import write

    model = fresh_model(ModelConfig(architecture, 6, 128, tie))
    return lambda: list(write(model, b"The website is ", SHORT))


# -- The two processes ----------------------------------------------------------------------------


class Build:
    """A process with one build: what it is told to measure, it answers with seconds."""

    def __init__(self, folder: Path) -> None:
        self.process = subprocess.Popen(
            [sys.executable, __file__, "--serve"],
            env=os.environ | {"PYTHONPATH": str(folder)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def seconds(self, name: str) -> float:
        """The seconds of one run; the first of a name is not counted."""
        self.process.stdin.write(f"{name}\n")
        self.process.stdin.flush()
        return float(self.process.stdout.readline())

    def close(self) -> None:
        self.process.stdin.close()
        self.process.wait()


def serve() -> None:
    """Measure what is asked for, a name a line; works are made ready once, one kept at a time."""
    import gridlstm  # noqa: F401 (it says how torch's threads wait, so it comes first)

    # isort: split
    from common import seconds

    from gridlstm.commands.memory import keep_freed_memory

    keep_freed_memory()
    known, ready, work = works(), None, None
    for line in sys.stdin:
        if (name := line.strip()) != ready:
            ready, work = name, known[name]()
            work()
        print(seconds(work), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--against", type=Path, help="a folder with the other build")
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--only", nargs="+", default=[""], help="beginnings of names")
    parser.add_argument("--check", type=float, default=0.0, help="least ratio that passes")
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        serve()
        return
    if options.against is None or not (options.against / "gridlstm").is_dir():
        parser.error("--against needs a folder that holds another build's gridlstm")
    here, there = Build(Path(__file__).parents[1]), Build(options.against.resolve())
    print(f"{'':<32}{'here ms':>10}{'there ms':>10}{'ratio':>8}{'median of ratios':>18}")
    slower = False
    for name in works():
        if not name.startswith(tuple(options.only)):
            continue
        turns = [(here.seconds(name), there.seconds(name)) for _ in range(options.repeats)]
        ours, theirs = (min(times) for times in zip(*turns, strict=True))
        median = statistics.median(b / a for a, b in turns)
        slower |= theirs / ours < options.check
        print(f"{name:<32}{1e3 * ours:>10.1f}{1e3 * theirs:>10.1f}{theirs / ours:>8.2f}"
              f"{median:>18.2f}", flush=True)  # fmt: skip
    here.close()
    there.close()
    sys.exit(slower)


if __name__ == "__main__":
    main()
