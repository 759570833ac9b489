"""How soon is the first page there? Seconds from `streamlit run`, against a page of one line.

    PYTHONPATH=tests python benchmarks/start.py [--repeats 5]

Each repeat starts a new server of either program and opens it in a new window of a browser that is
already running, as soon as the server answers. The floor is a program of one line, `st.title`:
nothing that Streamlit serves can be there sooner. `server` is the time that the server's process
has had on a processor until then, which hardly depends on what else the machine does. Medians, in
seconds. Needs Linux and what the tests in a browser need.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from app_checkpoints import launched
from common import processor_seconds
from server import free_port, wait_until_open

ROOT = Path(__file__).parents[1]
APP = ROOT / "dashboard" / "app.py"
PATIENCE = 120  # seconds
HEADING = "h1"
COLOURED = ".coloured-text .text .block > span"
WIDTH, HEIGHT = 1440, 900


def start(browser, script: Path, wanted: list[str]) -> list[tuple[float, float]]:
    """Start a server of `script`, open it, and wait until each wanted piece is seen.

    Returns for each the seconds since the start, by the clock and of the server's processor.
    """
    port = free_port()
    command = [sys.executable, "-m", "streamlit", "run", str(script), f"--server.port={port}"]
    begun = time.perf_counter()
    server = subprocess.Popen(
        [*command, "--server.headless=true"],
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    found = []
    try:
        page = browser.new_context(viewport={"width": WIDTH, "height": HEIGHT}).new_page()
        page.set_default_timeout(1000 * PATIENCE)
        wait_until_open(port, PATIENCE)
        page.goto(f"http://localhost:{port}", wait_until="commit")
        for piece in wanted:
            page.locator(piece).first.wait_for()
            found.append((time.perf_counter() - begun, processor_seconds(server.pid)))
        page.context.close()
    finally:
        server.terminate()
        server.wait(timeout=PATIENCE)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    taken = []
    with tempfile.TemporaryDirectory() as folder, launched() as browser:
        one_line = Path(folder) / "floor.py"
        one_line.write_text('import streamlit as st\n\nst.title("Floor")\n')
        # The first start after a change compiles Python's files; it is not counted.
        for _ in range(options.repeats + 1):
            floor = start(browser, one_line, [HEADING])
            taken.append(floor + start(browser, APP, [HEADING, COLOURED]))
    seconds = np.array(taken[1:])
    print(f"medians of {options.repeats}, with {os.cpu_count()} processors")
    print(f"{'':<22}{'seconds':>9}{'server':>9}{'ratio to floor':>17}{'fastest':>10}")
    for place, name in enumerate(("floor, heading", "first heading", "first coloured text")):
        clock, processor = np.median(seconds[:, place], axis=0)
        ratio = np.median(seconds[:, place, 0] / seconds[:, 0, 0])
        fastest = seconds[:, place, 0].min()
        print(f"{name:<22}{clock:>9.2f}{processor:>9.2f}{ratio:>17.2f}{fastest:>10.2f}")


if __name__ == "__main__":
    main()
