"""The processes that share a training run, started by `torchrun`, and the device of this one."""

import os
import platform
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, distributed
from torch.distributed.elastic.utils.store import barrier as wait_for_all
from torch.distributed.rendezvous import rendezvous

from gridlstm.training.settings import SettingsError


@dataclass(frozen=True)
class Workers:
    """The processes that share the sequences of each update, and the device of this one."""

    rank: int
    count: int
    device: torch.device

    @property
    def is_rank_zero(self) -> bool:
        return self.rank == 0

    def share(self, sequences: int) -> slice:
        """The sequences of this process. Raises SettingsError if they cannot be shared equally."""
        if sequences % self.count:
            raise SettingsError(
                f"{sequences} sequences cannot be shared by {self.count} processes."
            )
        size = sequences // self.count
        return slice(self.rank * size, (self.rank + 1) * size)

    def gather(self, mine: Tensor) -> Tensor:
        """Every process's tensor, joined along the first axis."""
        if self.count == 1:
            return mine
        parts = [torch.empty_like(mine, memory_format=torch.contiguous_format)
                 for _ in range(self.count)]  # fmt: skip
        distributed.all_gather(parts, mine.contiguous())
        return torch.cat(parts)

    def add(self, sums: Sequence[Tensor]) -> None:
        """Put into each tensor the sum of those of all processes."""
        if self.count == 1:
            return
        for mine in sums:
            whole = mine.to(self.device, torch.int64 if mine.dtype == torch.int16 else mine.dtype)
            distributed.all_reduce(whole)
            mine.copy_(whole)

    def mean(self, mine: Tensor) -> float:
        """The mean of every process's number."""
        if self.count == 1:
            return mine.item()
        total = mine.clone()
        distributed.all_reduce(total)
        return total.item() / self.count

    def any(self, mine: bool) -> bool:
        """Whether any of the processes says so: all come to the same answer."""
        if self.count == 1:
            return mine
        return self.mean(torch.tensor(float(mine), device=self.device)) > 0


ALONE = Workers(0, 1, torch.device("cpu"))


@contextmanager
def workers(device_name: str | None) -> Iterator[Workers]:
    """Join the processes that `torchrun` started, if it did; yield this one's `Workers`."""
    count, rank = int(os.environ.get("WORLD_SIZE", 1)), int(os.environ.get("RANK", 0))
    local = int(os.environ.get("LOCAL_RANK", 0))
    if device_name is None:
        device_name = "cuda" if torch.cuda.is_available() else "cpu"
    device = _usable(f"cuda:{local}" if device_name == "cuda" and count > 1 else device_name)
    if device.type == "cuda":
        # Streams, recordings and what processes say to each other go to the current device.
        torch.cuda.set_device(device)
    if count == 1:
        yield Workers(0, 1, device)
        return
    store, *_ = next(rendezvous("env://"))
    backend = "nccl" if device.type == "cuda" else "gloo"
    distributed.init_process_group(backend, store=store, rank=rank, world_size=count)
    try:
        yield Workers(rank, count, device)
        # Measured: a process that tears its group down before the others are done sometimes aborts.
        # By the store, as after gloo's own barrier another process may still be leaving it.
        wait_for_all(store, count, "gridlstm/done")
    finally:
        distributed.destroy_process_group()


def _usable(name: str) -> torch.device:
    try:
        return torch.empty(0, device=name).device
    # Torch raises AssertionError where it was built without the device, else RuntimeError.
    except (RuntimeError, AssertionError) as error:
        raise SettingsError(f"This machine has no device {name!r} that torch can use.") from error


def machine_kind(device: torch.device) -> str:
    """The kind of machine, in words."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    name = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        models = [line for line in cpuinfo.read_text().splitlines() if "model name" in line]
        name = models[0].split(":", 1)[1].strip() if models else name
    threads = torch.get_num_threads()
    return f"CPU, {threads} thread{'s' if threads > 1 else ''}, {name}"
