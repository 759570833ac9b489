"""Work on a GPU that is recorded once and then launched as a whole."""

from collections.abc import Callable

import torch

# Libraries choose their algorithms and take their workspace at the first calls: not to be recorded.
CALLS_BEFORE_RECORDING = 3
# Set to False where recordings were measured to be wrong or slow (`gridlstm.training.ways`).
recording_allowed = True


class Replayed:
    """Calls `work`; on a CUDA device the first calls run as they are, those after replay a
    recording (a CUDA graph), where a small kernel costs its own time and not that of its launch.

    So `work` must read and write tensors that stay where they are, and never wait for the GPU.
    """

    def __init__(self, work: Callable[[], None], device: torch.device):
        self._work, self._records = work, device.type == "cuda" and recording_allowed
        self._calls = 0
        self._recording: torch.cuda.CUDAGraph | None = None

    def __call__(self) -> None:
        """Do the work once."""
        if not self._records:
            self._work()
        elif self._calls < CALLS_BEFORE_RECORDING:
            self._calls += 1
            self._concatenate()
        else:
            if self._recording is None:
                self._recording = torch.cuda.CUDAGraph()
                with torch.cuda.graph(self._recording):
                    self._work()
            self._recording.replay()

    def _concatenate(self) -> None:
        """On a stream of its own: what is used on the usual one cannot be recorded afterwards."""
        usual, beside = torch.cuda.current_stream(), torch.cuda.Stream()
        beside.wait_stream(usual)
        with torch.cuda.stream(beside):
            self._work()
        usual.wait_stream(beside)
