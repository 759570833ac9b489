"""How long do visitors wait for a coloured text who come at once, and do clicks go on meanwhile?

    python benchmarks/visitors.py [--visitors 8] [--bytes 4000] [--model grid-6]

Starts a server and speaks to it as browsers do, over websockets, so that no browser takes the
cores that are measured. Each visitor types a text of their own and opens the page Cells; what is
measured is the time until the coloured text arrives: first of lone visitors, then of all at once.
Meanwhile one more visitor, whose text is there, goes from unit to unit. Seconds; the same in
processor seconds of the server, which hardly depend on what else the machine does. Needs Linux.
"""

import argparse
import asyncio
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from common import processor_seconds
from server import free_port, wait_until_open
from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.Common_pb2 import StringArray
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from streamlit.proto.WidgetStates_pb2 import WidgetState
from websockets.asyncio.client import connect

ROOT = Path(__file__).parents[1]
PATIENCE = 600
LONE = 3
SECONDS_BETWEEN_CLICKS = 2


class Visitor:
    """A session with the server, and what is chosen in its widgets, by their ids."""

    def __init__(self, socket, query: str, server: int) -> None:
        self.socket, self.query, self.page, self.server = socket, query, "", server
        self.chosen: dict[str, WidgetState] = {}

    async def run(self, page: str | None = None) -> np.ndarray:
        """Send what is chosen, and take the page anew, or another one; the seconds until its
        coloured text, or until its end if it has none: by the clock and of the server's processor.
        """
        begun, coloured = self._clocks(), None
        self.page = self.page if page is None else page
        request = BackMsg()
        request.rerun_script.query_string = self.query
        request.rerun_script.page_name = self.page
        request.rerun_script.widget_states.widgets.extend(self.chosen.values())
        await self.socket.send(request.SerializeToString())
        async with asyncio.timeout(PATIENCE):
            while True:
                message = ForwardMsg.FromString(await self.socket.recv())
                element = message.delta.new_element
                self._take(element)
                if element.HasField("exception"):
                    raise RuntimeError(element.exception.message)
                if coloured is None and element.bidi_component.id.endswith("-coloured"):
                    coloured = self._clocks() - begun
                if message.HasField("script_finished"):
                    return self._clocks() - begun if coloured is None else coloured

    def _clocks(self) -> np.ndarray:
        return np.array([time.perf_counter(), processor_seconds(self.server)])

    def _take(self, element) -> None:
        """Keep what a widget is at: what the server sets it to or, where it is new, its default."""
        kind = element.WhichOneof("type")
        if kind not in VALUES:
            return
        widget = getattr(element, kind)
        if widget.set_value or widget.id not in self.chosen:
            self.chosen[widget.id] = WidgetState(id=widget.id, **VALUES[kind](widget))

    def choose(self, key: str, **value) -> None:
        self.chosen.update(
            {id: WidgetState(id=id, **value) for id in self.chosen if id.endswith(f"-{key}")}
        )

    async def type(self, text: str) -> None:
        """Open the first page and put in a text."""
        await self.run("text")
        self.choose("source", string_array_value=StringArray(data=["Type or paste"]))
        await self.run()
        self.choose("pasted", string_value=text)
        await self.run()

    async def choose_unit(self, unit: int) -> np.ndarray:
        self.choose("unit", double_value=unit)
        return await self.run()


def _selected(box) -> dict:
    if box.set_value:
        return {"string_value": box.raw_value}
    return {"string_value": box.options[box.default]}


def _pressed(group) -> dict:
    at = [group.options[i].content for i in group.default]
    return {"string_array_value": StringArray(data=group.raw_values if group.set_value else at)}


# What the widgets of the pages Text and Cells are at, as a browser tells it.
VALUES = {
    "selectbox": _selected,
    "button_group": _pressed,
    "number_input": lambda box: {"double_value": box.value if box.set_value else box.default},
    "checkbox": lambda box: {"bool_value": box.value if box.set_value else box.default},
    "text_area": lambda box: {"string_value": box.value if box.set_value else box.default},
}


async def visits(port: int, server: int, texts: list[str], model: str) -> list[Visitor]:
    """Visitors who have typed these texts, on the first page."""
    found = []
    for text in texts:
        address = f"ws://localhost:{port}/_stcore/stream"
        # As a browser: what nobody has looked at yet stops no answer, and nothing asks for one.
        options = {"max_size": None, "max_queue": None, "ping_interval": None}
        opened = await connect(address, subprotocols=["streamlit"], **options)
        found.append(Visitor(opened, f"model={model}", server))
        await found[-1].type(text)
    return found


async def measure(port: int, server: int, visitors: int, size: int, model: str) -> None:
    texts = [text_of(number, size) for number in range(1 + LONE + visitors)]
    clicking, *lone = await visits(port, server, texts[: 1 + LONE], model)
    await clicking.run("cells")  # libraries, the model
    alone = np.array([await visitor.run("cells") for visitor in lone])
    clicks_alone = np.array([await clicking.choose_unit(unit) for unit in range(8)])

    crowd = await visits(port, server, texts[1 + LONE :], model)
    coming = [asyncio.create_task(visitor.run("cells")) for visitor in crowd]
    clicks, unit = [], 8
    while not all(task.done() for task in coming):
        clicks.append(await clicking.choose_unit(unit := unit + 1))
        await asyncio.sleep(SECONDS_BETWEEN_CLICKS)
    waited, clicks = np.array([await task for task in coming]), np.array(clicks)
    for clock, name in enumerate(("by the clock", "of the server's processor")):
        print(f"seconds {name}:")
        one, last = np.median(alone[:, clock]), waited[:, clock].max()
        print(f"  a lone visitor's text: {seconds(alone[:, clock])}; median {one:.2f}")
        print(f"  {visitors} at once: {seconds(np.sort(waited[:, clock]))}")
        print(f"  the last waited {last / one:.1f} times as long as a lone visitor")
    quick, longest = np.mean(clicks[:, 0] < 1), clicks[:, 0].max()
    print(
        f"{len(clicks)} clicks meanwhile: median {np.median(clicks[:, 0]):.2f}, longest "
        f"{longest:.2f}, {quick:.0%} under a second; of a lone visitor: median "
        f"{np.median(clicks_alone[:, 0]):.2f}, longest {clicks_alone[:, 0].max():.2f}"
    )


def text_of(number: int, size: int) -> str:
    """A text of so many bytes, of each number another."""
    words = (ROOT / "dashboard" / "samples" / "wiki-links.txt").read_text(encoding="utf-8")
    plain = words.encode("ascii", "replace").decode()
    return (f"Visitor {number}. " + plain * (size // len(plain) + 1))[:size]


def seconds(values: np.ndarray) -> str:
    return " ".join(f"{value:.2f}" for value in values)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--visitors", type=int, default=8)
    parser.add_argument("--bytes", type=int, default=4_000)
    parser.add_argument("--model", default="grid-6")
    settings = parser.parse_args()
    port = free_port()
    app = ROOT / "dashboard" / "app.py"
    command = [sys.executable, "-m", "streamlit", "run", str(app), f"--server.port={port}"]
    with tempfile.TemporaryFile() as terminal:
        server = subprocess.Popen(
            [*command, "--server.headless=true"], cwd=ROOT, stdout=terminal, stderr=terminal
        )
        try:
            wait_until_open(port, PATIENCE)
            asyncio.run(
                measure(port, server.pid, settings.visitors, settings.bytes, settings.model)
            )
        except BaseException:
            terminal.seek(0)
            print(terminal.read().decode(errors="replace"), file=sys.stderr)
            raise
        finally:
            server.terminate()
            server.wait(timeout=20)


if __name__ == "__main__":
    main()
