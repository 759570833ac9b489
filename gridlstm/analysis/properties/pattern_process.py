"""Patterns are searched for in processes of their own, bounded in time and in memory.

A search can take as long as it likes, and as much memory. Within this process nothing could end it
but itself, by the processor time of all threads: beside those of a busy server, much too soon. In a
process of its own it counts its own time alone, the system bounds its memory, and the clock ends
what does not end itself. Such a process is kept for the next pattern, so that none waits for a
start.
"""

import atexit
import json
import os
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from threading import BoundedSemaphore, Event, Timer
from typing import NotRequired, TypedDict

WORKER = Path(__file__).with_name("pattern_worker.py")
# On a busy machine a search gets only a part of a processor: the clock ends it after so many times
# the processor time that it may take, and not before so many seconds, for its start.
MAX_CLOCK = 10
MIN_CLOCK_SECONDS = 5
# What it may take of memory, with the interpreter's own; and more for each byte of the text.
MAX_MEMORY = 256 * 2**20
MEMORY_PER_BYTE = 8
MAX_PROCESSES = max(2, os.cpu_count() or 1)


class Answer(TypedDict):
    """What a `pattern_worker` says, or what is said in its place."""

    fault: str | None
    reason: NotRequired[str]
    again: NotRequired[bool]
    characters: NotRequired[int]


class PatternProcess:
    """A process that marks the matches of one pattern after another, by one thread at a time."""

    def __init__(self) -> None:
        # Without -P the modules beside the program would stand before those of Python.
        self._process = subprocess.Popen(
            [sys.executable, "-P", str(WORKER)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        assert self._process.stdin and self._process.stdout  # as both are pipes
        self._requests, self._answers = self._process.stdin, self._process.stdout
        self.is_usable = True

    def ask(
        self, pattern: str, characters: str, seconds: float, memory: int
    ) -> tuple[Answer, bytes]:
        """The answer, and the marks; it is usable again only if it says so."""
        text = characters.encode(errors="surrogatepass")
        request = {
            "pattern": pattern,
            "seconds": seconds,
            "memory": memory + MEMORY_PER_BYTE * len(text),
            "bytes": len(text),
        }
        late = Event()
        clock = max(MIN_CLOCK_SECONDS, MAX_CLOCK * seconds)

        def end() -> None:
            late.set()
            self._process.kill()

        timer = Timer(clock, end)
        timer.start()
        self.is_usable = False
        try:
            answer, marks = self._answer(json.dumps(request).encode() + b"\n" + text)
        finally:
            timer.cancel()
            timer.join()
        if late.is_set():
            return {"fault": "time"}, b""
        if answer["fault"] is None and len(marks) < len(characters):
            return {"fault": "end"}, b""
        self.is_usable = answer.get("again", False)
        return answer, marks

    def _answer(self, request: bytes) -> tuple[Answer, bytes]:
        """What it says before it ends, should it do so."""
        with suppress(OSError):  # it ended before it read the request
            self._requests.write(request)
            self._requests.flush()
        line = self._answers.readline()
        if not line.endswith(b"\n"):
            return {"fault": "end"}, b""
        answer: Answer = json.loads(line)
        return answer, self._answers.read(answer["characters"])

    @property
    def runs(self) -> bool:
        return self._process.poll() is None

    def end(self) -> None:
        self._process.kill()
        with suppress(OSError):
            self._process.communicate()


_idle: list[PatternProcess] = []
_free = BoundedSemaphore(MAX_PROCESSES)


def matched(
    pattern: str, characters: str, seconds: float, memory: int = MAX_MEMORY
) -> tuple[Answer, bytes]:
    """What a `pattern_worker` answers, and a byte for each character: 1 in a match, else 0.

    The fault is "end" where it ended by itself, as for want of memory. `seconds` are processor time
    of the search, `memory` bytes. OSError if no process can be started.
    """
    with _free:
        process = _taken()
        try:
            return process.ask(pattern, characters, seconds, memory)
        finally:
            if process.is_usable and not _idle:
                _idle.append(process)
            else:
                process.end()


def _taken() -> PatternProcess:
    """The one that is kept, if nothing ended it meanwhile, or a new one."""
    while _idle:
        with suppress(IndexError):  # another thread took it
            process = _idle.pop()
            if process.runs:
                return process
            process.end()
    return PatternProcess()


@atexit.register
def _end_idle() -> None:
    while _idle:
        _idle.pop().end()


if hasattr(os, "register_at_fork"):
    # Two processes would ask the same one.
    os.register_at_fork(after_in_child=_idle.clear)
