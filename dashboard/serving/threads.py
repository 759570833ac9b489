"""How many threads torch uses for one visitor's work beside what else the machine does.

Its threads wait for each other at every product. Where one of them has to wait for a processor, all
do, so that two threads beside a program that is busy are many times slower than one.
"""

import functools
import time

# Whether threads have processors of their own is judged over so long, and they have where the one
# that tells the others what to do had a processor for this share of the time.
SECONDS_TO_JUDGE, MIN_SHARE_OF_TIME = 0.2, 0.7


class Threads:
    """The threads of one piece of work, in the thread that it is done in: a share of those that
    torch has at first, and one alone once they have been seen to wait for a processor."""

    def __init__(self) -> None:
        self._are_held_up = False
        self._begin_to_judge()

    def share(self, working: int) -> None:
        """Use no more than are due to one of so many that work at once."""
        import torch

        before = torch.get_num_threads()
        self._judge(before)
        count = 1 if self._are_held_up else max(1, _threads_at_first() // max(1, working))
        if count != before:  # a setting of each thread
            torch.set_num_threads(count)
            self._begin_to_judge()

    def resume(self) -> None:
        """Work goes on after a pause, which is not to be judged by."""
        self._begin_to_judge()

    def _begin_to_judge(self) -> None:
        self._clock, self._processor = time.monotonic(), time.thread_time()

    def _judge(self, count: int) -> None:
        passed = time.monotonic() - self._clock
        if passed >= SECONDS_TO_JUDGE:
            used = time.thread_time() - self._processor
            self._are_held_up |= count > 1 and used < MIN_SHARE_OF_TIME * passed
            self._begin_to_judge()


@functools.cache
def _threads_at_first() -> int:
    import torch

    return torch.get_num_threads()
