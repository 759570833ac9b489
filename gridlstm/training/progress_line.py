"""What a person watching a training run sees on standard error."""

import math
import sys
import time
from typing import NoReturn, Self

from tqdm import tqdm

SECONDS_BETWEEN_LINES = 30.0


class ProgressLine:
    """A bar on a terminal; where there is none, a plain line now and then."""

    def __init__(self, goal: int, shown: bool):
        self.goal = goal if goal < sys.maxsize else None
        self.shown = shown
        self.bar: tqdm[NoReturn] | None = None
        self.bytes, self.smoothed = 0, math.nan
        self.begun = self.last = time.monotonic()

    def __enter__(self) -> Self:
        if self.shown and sys.stderr.isatty():
            self.bar = tqdm(total=self.goal, unit=" updates", dynamic_ncols=True)
        return self

    def __exit__(self, *_: object) -> None:
        if self.bar is not None:
            self.bar.close()

    def show(self, update: int, loss: float, more_bytes: int) -> None:
        """Report an update and its loss in nats per byte."""
        first = math.isnan(self.smoothed)
        self.smoothed = loss if first else 0.98 * self.smoothed + 0.02 * loss
        self.bytes += more_bytes
        now = time.monotonic()
        bits, rate = self.smoothed / math.log(2), self.bytes / max(now - self.begun, 1e-9)
        if self.bar is not None:
            self.bar.set_postfix_str(
                f"{bits:.3f} bits per byte, {rate:,.0f} bytes/s", refresh=False
            )
            self.bar.update(update - self.bar.n)
        elif self.shown and now - self.last >= SECONDS_BETWEEN_LINES:
            self.last = now
            left = ""
            if self.goal is not None:
                seconds = (self.goal - update) * more_bytes / rate
                left = f", {seconds / 60:.0f} minutes left"
            self.say(f"update {update:,}: {bits:.3f} bits per byte, {rate:,.0f} bytes/s{left}")

    def say(self, message: str) -> None:
        """Print a line without breaking the bar."""
        if self.bar is not None:
            self.bar.write(message, file=sys.stderr)
        elif self.shown:
            print(message, file=sys.stderr, flush=True)
