"""How many operations an update of the tied grid asks of a GPU: counted, so the same everywhere."""

import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

# Found, not imported: other tests choose Triton's interpreter before they import it.
if find_spec("triton") is None:
    pytest.skip("the kernels for a GPU are written in Triton", allow_module_level=True)
sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))

from gpu_operations import count_update  # noqa: E402

# Before each step wrote where the next one reads: 1,430 operations and 12.4 GB.
OPERATIONS_BEFORE, BYTES_BEFORE = 1430, 12.39e9


def test_an_update_of_the_tied_grid_stays_at_a_third_of_the_operations_it_had():
    counter = count_update("seed-grid-6")
    steps = 50 + 2 * 6 - 1
    assert counter.operations["gate kernels"] >= 2 * steps  # at least one a step each way
    assert sum(counter.operations.values()) <= 0.3 * OPERATIONS_BEFORE
    assert sum(counter.bytes.values()) <= 0.8 * BYTES_BEFORE
