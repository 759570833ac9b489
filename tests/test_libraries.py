"""What imported libraries cost: in a process of its own, which is left as it was."""

import json
import os
import subprocess
import sys

SETTLE = """
import gc, json
import pandas, scipy.linalg
from threadpoolctl import threadpool_info
from dashboard.serving.libraries import settle

def threads():
    found = threadpool_info()
    return [library["num_threads"] for library in found if library["user_api"] == "blas"]

class Thing:
    def __init__(self):
        self.me = self

def things():
    return sum(isinstance(found, Thing) for found in gc.get_objects())

told = {"threads at first": threads()}
gc.disable()
Thing()
settle()
told["threads"] = threads()
told["objects"] = len(gc.get_objects())
told["frozen"] = gc.get_freeze_count()
gc.unfreeze()
told["garbage kept"] = things()
gc.freeze()
before = gc.get_freeze_count()
kept = [Thing() for _ in range(1000)]
settle()
told["frozen again"] = gc.get_freeze_count() - before
del kept
gc.collect()
told["left of what came later"] = things()
print(json.dumps(told))
"""


def test_libraries_are_left_out_of_the_search_for_garbage_and_numpy_has_one_thread():
    environment = os.environ | {"OPENBLAS_NUM_THREADS": "2", "OMP_NUM_THREADS": "2"}
    done = subprocess.run(
        [sys.executable, "-c", SETTLE], env=environment, capture_output=True, check=True, text=True
    )
    told = json.loads(done.stdout)
    assert set(told["threads at first"]) == {2} and set(told["threads"]) == {1}
    assert told["frozen"] > 50_000 and told["objects"] < 1000
    assert told["garbage kept"] == 0
    assert told["frozen again"] == 0 and told["left of what came later"] == 0
