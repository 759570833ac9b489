"""Grid LSTM and stacked LSTM, trained, observed and compared.

Sets, unless the environment does, how long torch's threads keep a core busy while they wait for
each other: about 10 microseconds, not the 3 milliseconds of GNU's OpenMP. Where a program of
another session has one of the cores (training in another terminal), every wait would last those
milliseconds, and a recurrence waits at each product: measured, it takes fifty times as long
(`benchmarks/busy.py`).
"""

import os

if not {"OMP_WAIT_POLICY", "GOMP_SPINCOUNT"} & os.environ.keys():
    os.environ.update(OMP_WAIT_POLICY="PASSIVE", GOMP_SPINCOUNT="1000")
