"""A long text under the microscope: how fast, against the build before and against the floor.

    git worktree add ../before cd2d104
    python benchmarks/corpus.py --against ../before [--megabyte] [--evaluate]

`find --property url` with `grid-6`, all quantities, on 100,000 bytes of the shipped wiki text, by
each build in a process of its own, in turns: seconds, processor seconds and the most memory. Then
where this build's time goes: reading alone, what counting adds, and how far reading is from its
floor, the products alone at the speed that this machine has for large ones. With `--megabyte` the
same on 1,000,000 bytes, which may take 10.5 times as long; with `--evaluate` the loss on 5 MB.
"""

import argparse
import json
import lzma
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]
MODEL = ROOT / "checkpoints" / "grid-6.safetensors"
WIKI = ROOT / "checkpoints" / "data" / "wiki-markup.txt.xz"
RUN = """
import resource, sys
from gridlstm.__main__ import main
main()
used = resource.getrusage(resource.RUSAGE_SELF)
print(used.ru_utime + used.ru_stime, used.ru_maxrss, file=sys.stderr)
"""


def command(build: Path, *arguments: str) -> tuple[float, float, float, str]:
    """Seconds, processor seconds, megabytes at most, and what a command of a build prints."""
    begun = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-c", RUN, *arguments],
        env=os.environ | {"PYTHONPATH": str(build)},
        cwd=build,
        capture_output=True,
        text=True,
        check=True,
    )
    seconds = time.perf_counter() - begun
    processor, kilobytes = done.stderr.splitlines()[-1].split()
    return seconds, float(processor), float(kilobytes) / 1000, done.stdout


def compare(
    name: str, builds: dict[str, Path], arguments: dict[str, list[str]], turns: int
) -> dict:
    """A row a build, of its fastest turn, and the ratio of the other's time to this one's."""
    best = {}
    for _ in range(turns):
        for which, build in builds.items():
            measured = command(build, *arguments[which])
            best[which] = min(best.get(which, measured), measured)
    for which, (seconds, processor, megabytes, _) in best.items():
        print(f"{name:<28}{which:<8}{seconds:>8.1f} s{processor:>9.1f} s of processors"
              f"{megabytes:>8.0f} MB", flush=True)  # fmt: skip
    if "before" in best:
        ratios = [before / here for before, here in zip(best["before"][:2], best["here"][:2],
                                                        strict=True)]  # fmt: skip
        print(f"{'':<28}{ratios[0]:.2f} times as fast, {ratios[1]:.2f} by processor time")
    return best


def floor(data: bytes) -> None:
    """Reading alone and counting, a thread, beside the products alone."""
    import numpy as np
    import torch

    from gridlstm.analysis.bins import Calibration
    from gridlstm.analysis.histograms import Counts
    from gridlstm.importing.opening import open_model
    from gridlstm.stretches import WARM_UP, Corpus, cut, groups_of

    model, _ = open_model(MODEL)
    torch.set_num_threads(1)
    tokens = np.frombuffer(data, np.uint8)
    corpus = Corpus(model, tokens, cut(len(tokens)))
    config = model.config
    weights = sum(tensor.numel() for tensor in model.recurrent.parameters())
    shared = config.layers if config.tie == "all" else 1
    values = config.layers * config.values_a_layer
    print(f"weights {4 * weights:,} bytes; a byte of text takes {shared * weights:,} multiply-adds "
          f"and has {values:,} values to count")  # fmt: skip
    seconds, groups, positions = {}, groups_of(model, range(8)), 1024
    calibration = Calibration(config)
    corpus.read(groups, WARM_UP, [calibration])
    counts = Counts(calibration.bins())
    for name, observers in (("reading", []), ("reading and counting", [counts])):
        begun, before = time.process_time(), groups[0].read
        corpus.read(groups, before + positions, observers)
        read = (groups[0].read - before) * sum(len(group.stretches) for group in groups)
        seconds[name] = 1e5 * (time.process_time() - begun) / read
        print(f"{name:<28}{seconds[name]:>8.1f} s of processors for 100,000 bytes")
    square = torch.randn(2048, 1024)
    begun = time.process_time()
    for _ in range(5):
        square @ square.t()
    rate = 5 * 2048 * 2048 * 1024 / (time.process_time() - begun)
    least = 1e5 * shared * weights / rate
    counting = seconds["reading and counting"] - seconds["reading"]
    print(f"{'products alone':<28}{least:>8.1f} s; reading takes {seconds['reading'] / least:.2f} "
          f"times that, counting {counting / seconds['reading']:.2f} times reading (of the half "
          "that cells are found on, so half as much of a text)")  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--against", type=Path, help="a folder with the build before")
    parser.add_argument("--turns", type=int, default=2)
    parser.add_argument("--megabyte", action="store_true")
    parser.add_argument("--evaluate", action="store_true")
    options = parser.parse_args()
    with lzma.open(WIKI) as file:
        data = file.read(5_000_000)
    builds = {"here": ROOT} | ({"before": options.against.resolve()} if options.against else {})
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "text.txt"
        file.write_bytes(data[:100_000])
        find = ["find", str(MODEL), str(file), "--property", "url"]
        arguments = {"here": find, "before": [*find, "--bytes", "100000"]}
        short = compare("find, 100,000 bytes", builds, arguments, options.turns)
        floor(data[:100_000])
        if options.megabyte:
            file.write_bytes(data[:1_000_000])
            long = compare("find, 1,000,000 bytes", {"here": ROOT}, arguments, 1)
            print(f"{'':<28}{long['here'][1] / short['here'][1]:.2f} times 100,000 bytes (10.5)")
        if options.evaluate:
            file.write_bytes(data)
            evaluate = dict.fromkeys(builds, ["evaluate", str(MODEL), str(file)])
            found = compare("evaluate, 5,000,000 bytes", builds, evaluate, 1)
            print({name: json.loads(of[3])["nats_per_byte"] for name, of in found.items()})


if __name__ == "__main__":
    main()
