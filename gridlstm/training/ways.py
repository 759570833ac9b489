"""The ways in which a device can do an update; all give the same numbers, but for rounding."""

from dataclasses import dataclass

import torch

from gridlstm.backends import gates
from gridlstm.training import replay


@dataclass(frozen=True, order=True)
class Way:
    """Whether an LSTM's gates are one kernel (else: torch's operations), and whether an update is
    recorded once and replayed as a CUDA graph."""

    fused: bool
    graphs: bool

    def __str__(self) -> str:
        gates = "fused gates" if self.fused else "plain gates"
        return f"{gates}, {'CUDA graphs' if self.graphs else 'no graphs'}"

    def take(self) -> None:
        """Let everything that is made from now on work in this way."""
        gates.fused_kernels_allowed = self.fused
        replay.recording_allowed = self.graphs


PLAIN = Way(fused=False, graphs=False)


def list_ways(device: torch.device) -> list[Way]:
    """The ways that a device has, the plain one, which the others must agree with, first."""
    if device.type != "cuda":
        return [PLAIN]
    return [PLAIN, Way(True, False), Way(False, True), Way(True, True)]
