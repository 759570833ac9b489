"""How fast units are ranked, against scikit-learn's AUC unit by unit in the same run.

    python benchmarks/ranking.py --positions 10000 --units 256

The activations are made up: what is measured is sorting, which does not ask where they come from.
"""

import argparse
import time
from collections.abc import Callable

import numpy as np
from sklearn.metrics import roc_auc_score

from gridlstm.analysis.ranking import auc

REPEATS = 3


def main() -> None:
    options = _options()
    print("seconds, the best of", REPEATS, "runs")
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


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--positions", type=int, default=10_000)
    parser.add_argument("--units", type=int, default=256)
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


def _measured(compute: Callable[[], np.ndarray]) -> tuple[float, np.ndarray]:
    """The best time of a few in seconds, and the result."""
    seconds = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        result = compute()
        seconds.append(time.perf_counter() - start)
    return min(seconds), result


if __name__ == "__main__":
    main()
