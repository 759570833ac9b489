"""How many threads torch uses for one visitor's work beside what else the machine does.

Its threads wait for each other at every product. Where one of them has to wait for a processor, all
do, so that two threads beside a program that is busy are many times slower than one.
"""

import functools
import threading
import time

# Whether there are processors to spare is judged over so long: work with one thread had one for
# nearly all of that time, and the thread that tells others what to do for most of it.
SECONDS_TO_JUDGE, MIN_SHARE_ALONE, MIN_SHARE_OF_SEVERAL = 0.2, 0.9, 0.7
# Once there were none to spare, nobody tries again for so long.
SECONDS_TO_REST = 120


class Threads:
    """The threads of one piece of work, in the thread that it is done in: a share of those that
    torch has at first, and one alone where the machine is seen to have no processor to spare."""

    def __init__(self) -> None:
        self._may_be_several = True
        self.resume()

    def resume(self) -> None:
        """Work begins, or goes on after a pause, by which nothing is judged."""
        self._clock, self._processor = time.monotonic(), time.thread_time()

    def share(self, working: int) -> None:
        """Use no more than are due to one of so many that work at once."""
        import torch

        before = torch.get_num_threads()
        self._judge(before)
        due = max(1, _threads_at_first() // max(1, working))
        count = due if self._may_be_several and not _is_resting() else 1
        if count != before:  # a setting of each thread
            torch.set_num_threads(count)
            self.resume()

    def _judge(self, count: int) -> None:
        passed = time.monotonic() - self._clock
        if passed < SECONDS_TO_JUDGE:
            return
        share = (time.thread_time() - self._processor) / passed
        if count > 1 and share < MIN_SHARE_OF_SEVERAL:
            _rest()
        self._may_be_several = share >= (MIN_SHARE_OF_SEVERAL if count > 1 else MIN_SHARE_ALONE)
        self.resume()


# When somebody may try several threads again, of all visitors.
_again = 0.0
_resting = threading.Lock()


def _rest() -> None:
    global _again
    with _resting:
        _again = time.monotonic() + SECONDS_TO_REST


def _is_resting() -> bool:
    with _resting:
        return time.monotonic() < _again


@functools.cache
def _threads_at_first() -> int:
    import torch

    return torch.get_num_threads()
