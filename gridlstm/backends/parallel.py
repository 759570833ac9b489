"""Works that need each other's results, done by some threads at once, the caller's among them."""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import CancelledError
from contextlib import contextmanager
from dataclasses import dataclass, field
from threading import Event, Thread
from typing import Any, Generic, TypeVar, cast

import torch

Result = TypeVar("Result")


@contextmanager
def torch_threads(count: int) -> Iterator[None]:
    """Within, torch uses so many threads for what this thread asks of it."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@dataclass(eq=False)
class Work(Generic[Result]):
    """What `compute` gives, once all that it `needs` is done; or the error that it raised."""

    compute: Callable[[], Result]
    needs: Sequence["Work[Any]"] = ()
    done: Event = field(default_factory=Event)
    error: BaseException | None = None
    result: Result | None = None

    def run(self, threads: int) -> None:
        """Do it with so many of torch's threads. What needs a work that failed fails likewise."""
        try:
            for needed in self.needs:
                needed.wait()
            with torch_threads(threads):
                self.result = self.compute()
        except BaseException as error:  # raised in the caller's thread
            self.error = error
        finally:
            self.done.set()

    def cancel(self) -> None:
        self.error = CancelledError()
        self.done.set()

    def wait(self) -> None:
        self.done.wait()
        if self.error is not None:
            raise self.error

    def take(self) -> Result:
        """Its result, which is then kept no longer."""
        self.wait()
        result, self.result = self.result, None
        return cast(Result, result)


def results_of(works: Sequence[Work[Result]], workers: int) -> Iterator[Result]:
    """The result of each work, in their order, as soon as it and those before it are there.

    A work needs earlier ones alone. So many threads compute, one of them the caller's, each with
    its share of torch's threads. Raises what a work raises; where the caller asks for no more, what
    was not begun is not done.
    """
    left, share = deque(works), max(1, torch.get_num_threads() // workers)
    arguments = left, share, torch.is_inference_mode_enabled()
    others = [Thread(target=_work_on, args=arguments) for _ in range(workers - 1)]
    for other in others:
        other.start()
    try:
        for work in works:
            while not work.done.is_set() and (own := _next(left)):
                own.run(share)
            yield work.take()
    finally:
        while unwanted := _next(left):
            unwanted.cancel()
        for other in others:
            other.join()


def _next(left: deque[Work[Result]]) -> Work[Result] | None:
    """The next work, which no other thread gets."""
    try:
        return left.popleft()
    except IndexError:
        return None


def _work_on(left: deque[Work[Any]], share: int, inference: bool) -> None:
    with torch.inference_mode(inference), torch.no_grad():  # modes of a thread
        while work := _next(left):
            work.run(share)
