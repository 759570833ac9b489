"""How fast units are ranked, against scikit-learn's AUC unit by unit in the same run.

    python benchmarks/ranking.py --positions 10000 --units 256
    python benchmarks/ranking.py --positions 20000 --units 1000 --layers 6 --quantities 4

The activations are made up: what is measured is ranking, which does not ask where they come from.
The second table is of a whole model, every layer of every quantity being the same array, so that
it needs no memory to speak of: all units ranked on the whole text, and `find_cells`, which ranks
on half of it, with the baseline and the bootstrap. scikit-learn's time there is one layer's by
the number of layers.
"""

import argparse
from collections.abc import Callable

import numpy as np
from common import timed
from sklearn.metrics import roc_auc_score

from gridlstm.analysis.held_out import find_cells
from gridlstm.analysis.ranking import auc, rank_units

REPEATS = 3


def main() -> None:
    options = _options()
    print("one layer, seconds, the best of", REPEATS, "runs")
    print(
        f"{'numbers':>8} {'marked':>7} {'ours':>9} {'sklearn':>9} {'ratio':>7} {'difference':>11}"
    )
    for number in (np.float16, np.float32):
        for share in (0.02, 0.2):
            values, marks = _activations(options.positions, options.units, share, number)
            ours, areas = _measured(lambda v=values, m=marks: auc(v, m))
            theirs, expected = _measured(lambda v=values, m=marks: _scikit_learn(v, m))
            difference = np.abs(areas - expected).max()
            print(
                f"{np.dtype(number).name:>8} {share:>7.0%} {ours:>9.4f} {theirs:>9.4f} "
                f"{theirs / ours:>6.1f}x {difference:>11.1e}"
            )
    _whole_model(options)


def _whole_model(options: argparse.Namespace) -> None:
    activations, marks = _activations(options.positions, options.units, 0.05, np.float16)
    layers = np.broadcast_to(activations, (options.layers, *activations.shape))
    values = {f"quantity {number}": layers for number in range(options.quantities)}
    numbers = np.cumsum(~marks) % 83.0
    positions = np.arange(options.positions)
    count = options.layers * options.quantities
    print(f"\nall {count * options.units:,} units, seconds, one run")
    once, _ = _measured(lambda: _scikit_learn(activations, marks), repeats=1)
    theirs = once * count
    for name, compute in (
        ("rank_units, marks", lambda: rank_units(values, marks)),
        ("rank_units, numbers", lambda: rank_units(values, numbers)),
        ("find_cells, marks", lambda: find_cells(values, marks, positions)),
        ("find_cells, numbers", lambda: find_cells(values, numbers, positions)),
    ):
        seconds, _ = _measured(compute, repeats=1)
        print(f"{name:<22} {seconds:>8.2f} {theirs / seconds:>6.1f}x")
    print(f"{'sklearn, marks':<22} {theirs:>8.2f}")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--positions", type=int, default=10_000)
    parser.add_argument("--units", type=int, default=256)
    parser.add_argument("--layers", type=int, default=6)
    parser.add_argument("--quantities", type=int, default=4)
    return parser.parse_args()


def _activations(
    positions: int, units: int, share: float, number: type
) -> tuple[np.ndarray, np.ndarray]:
    """Values [position, unit] like tanh(c), and marks [position] that some units follow."""
    random = np.random.default_rng(0)
    marks = random.random(positions) < share
    marks[:2] = True, False
    follows = random.normal(size=units)
    values = np.tanh(random.normal(size=(positions, units)) + np.outer(marks, follows))
    return values.astype(number), marks


def _scikit_learn(values: np.ndarray, marks: np.ndarray) -> np.ndarray:
    return np.array([roc_auc_score(marks, unit.astype(np.float64)) for unit in values.T])


def _measured(compute: Callable, repeats: int = REPEATS) -> tuple[float, object]:
    """The best time of a few in seconds, and the result."""
    runs = [timed(compute) for _ in range(repeats)]
    return min(seconds for seconds, _ in runs), runs[-1][1]


if __name__ == "__main__":
    main()
