"""What the time of a plan goes into: a file of JSON lines that no moment is missing from."""

import json
from collections import defaultdict
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from gridlstm.checkpoint import write_aside
from gridlstm.errors import UserError

SECONDS_A_MINUTE = 60


# What one line of the log says: a JSON object, whose facts differ by activity.
Line = dict[str, Any]


class TimeLogError(UserError):
    """A file that is no log; the message is one sentence for the user."""


class TimeLog:
    """Says of every second of a plan, over all calls of a command, what it went into.

    `mark` says it of the time since the mark before, so nothing can be left out; `note` adds what
    takes no time. Times are seconds since the plan began; those between two calls do not count.
    """

    def __init__(self, path: Path, now: Callable[[], float], began: float | None = None):
        self.path, self._now = path, now
        self._began = now() if began is None else began
        self.lines = read_log(path)
        self._before = self._marked = max((line["to"] for line in _marks(self.lines)), default=0.0)
        self.call = 1 + max((line["call"] for line in self.lines), default=0)

    @property
    def seconds(self) -> float:
        """How long the plan has been worked on, in all calls."""
        return self._before + self._now() - self._began

    def mark(self, activity: str, **facts: object) -> float:
        """Say that the time since the last mark went into an activity; return the seconds."""
        begun, self._marked = self._marked, self.seconds
        self._add({"from": begun, "to": self._marked, "activity": activity, **facts})
        return self._marked - begun

    def note(self, what: str, **facts: object) -> None:
        """Add something that takes no time."""
        self._add({"at": self.seconds, "note": what, **facts})

    def last(self, what: str) -> Line | None:
        """The last note of that name in any call."""
        return next((line for line in reversed(self.lines) if line.get("note") == what), None)

    def minutes(self) -> dict[int, dict[str, float]]:
        """What each minute of this call went into, see `minutes_of`."""
        return minutes_of(line for line in self.lines if line["call"] == self.call)

    def _add(self, facts: Line) -> None:
        self.lines.append({"call": self.call, **facts})
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with open(self.path, "a", encoding="utf-8") as file:
            file.write(json.dumps(self.lines[-1]) + "\n")


def read_log(path: Path) -> list[Line]:
    """The lines of a log; none where there is no file. A last line that was not written to its end,
    as its process was killed, is taken out of the file. Raises TimeLogError."""
    if not path.exists():
        return []
    text = path.read_bytes().decode("utf-8", errors="replace")
    whole = text[: text.rfind("\n") + 1]
    try:
        lines = [json.loads(line) for line in whole.splitlines()]
        if any(type(line["call"]) is not int for line in lines):
            raise ValueError("not a number of a call")
        for line in _marks(lines):
            if not 0 <= line["from"] <= line["to"]:
                raise ValueError("time that goes back")
    except (LookupError, TypeError, ValueError, RecursionError) as error:
        raise TimeLogError(f"{path.name} is not a log that these runs wrote.") from error
    if whole != text:
        write_aside(path, lambda aside: aside.write_text(whole, encoding="utf-8"))
    return lines


def minutes_of(lines: Iterable[Line]) -> dict[int, dict[str, float]]:
    """For each minute of the plan, counted from 1, the seconds of each activity in it, by the name
    of the activity and that of the model, if it is of one."""
    minutes: dict[int, dict[str, float]] = defaultdict(lambda: defaultdict(float))
    for line in _marks(lines):
        name = " ".join(filter(None, (line["activity"], line.get("model"))))
        at = line["from"]
        while at < line["to"]:
            minute = int(at // SECONDS_A_MINUTE)
            end = min(line["to"], SECONDS_A_MINUTE * (minute + 1))
            minutes[minute + 1][name] += end - at
            at = end
    return {minute: dict(spent) for minute, spent in minutes.items()}


def _marks(lines: Iterable[Line]) -> Iterable[Line]:
    return (line for line in lines if "activity" in line)
