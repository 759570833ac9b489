"""Grid LSTM and stacked LSTM, trained, observed and compared.

Sets, unless the environment does, how long torch's threads keep a core busy while they wait for
each other: about 50 microseconds, not the 3 milliseconds of GNU's OpenMP. Between two products of a
recurrence one thread computes that long: a thread that sleeps meanwhile wakes too late for its
share of the next (after 10 microseconds, training on a CPU is a third slower). Where a program of
another session has one of the cores (training in another terminal), a wait lasts as long as is
allowed, and a recurrence waits at each product (`benchmarks/busy.py` measures what is lost).
"""

import os

if not {"OMP_WAIT_POLICY", "GOMP_SPINCOUNT"} & os.environ.keys():
    os.environ.update(OMP_WAIT_POLICY="PASSIVE", GOMP_SPINCOUNT="5000")
