"""What a recurrence loses where another program has a core, and what `gridlstm` does against it.

    python benchmarks/busy.py [--positions 50]

The rival is torch as it comes, whose threads keep a core busy for 3 ms while they wait for each
other. Both run nn.LSTM, 6 layers of 256 units, in processes of their own with as many threads as
there are cores; first alone, then beside a process that does nothing but count, as if started from
another terminal: Linux shares the cores among sessions.
"""

import argparse
import os
import subprocess
import sys

RECURRENCE = """
import sys, time
import gridlstm
import torch

torch.set_num_threads(int(sys.argv[1]))
net = torch.nn.LSTM(256, 256, 6).eval().requires_grad_(False)
read = torch.randn(int(sys.argv[2]), 1, 256)
net(read)
times = []
for _ in range(3):
    start = time.perf_counter()
    net(read)
    times.append(time.perf_counter() - start)
print(min(times))
"""
COUNT = "while True: pass"
# What GNU's OpenMP does where the environment says nothing.
AS_IT_COMES = {"GOMP_SPINCOUNT": "300000"}


def milliseconds(positions: int, environment: dict[str, str]) -> float:
    """A position, in a process of its own."""
    arguments = [sys.executable, "-c", RECURRENCE, str(os.cpu_count()), str(positions)]
    done = subprocess.run(
        arguments, env=os.environ | environment, capture_output=True, text=True, check=True
    )
    return 1e3 * float(done.stdout) / positions


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--positions", type=int, default=50)
    positions = parser.parse_args().positions
    print(f"{os.cpu_count()} threads and cores; ms a position of nn.LSTM, 6 x 256")
    print(f"{'':<20}{'torch as it comes':>20}{'with gridlstm':>16}{'ratio':>8}")
    for name, others in (("alone", 0), ("a core is taken", 1)):
        counting = [
            subprocess.Popen([sys.executable, "-c", COUNT], start_new_session=True)
            for _ in range(others)
        ]
        try:
            rival, ours = (milliseconds(positions, given) for given in (AS_IT_COMES, {}))
        finally:
            for process in counting:
                process.kill()
        print(f"{name:<20}{rival:>20.2f}{ours:>16.2f}{rival / ours:>8.1f}", flush=True)


if __name__ == "__main__":
    main()
