"""Where a training run stands, and the file that it is resumed from.

The file is a `.safetensors` file, `NAME.state.safetensors` beside the checkpoint: the tensors, and
one JSON document about the run. Nothing is ever unpickled.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from gridlstm.checkpoint import write_aside
from gridlstm.config import ModelConfig
from gridlstm.errors import UserError
from gridlstm.training.curve_log import CurvePoint
from gridlstm.training.settings import TrainingSettings

DOCUMENT_KEY = "run"
# What a run may be resumed with: settings that only say when to stop, validate and save.
MAY_CHANGE = {
    "updates",
    "bytes",
    "minutes",
    "patience",
    "validate_every",
    "validation_bytes",
    "save_every",
}


class ResumeError(UserError):
    """A training state that cannot be gone on from; the message is one sentence for the user."""


@dataclass
class Progress:
    """Where a run stands: all that a resumed one needs besides tensors.

    `loss_sum` and `loss_count` are of the updates since the last point of the curve; `finished_at`
    is the last update at which the settings said stop and the checkpoint was given its loss on the
    whole validation part, 0 if that was never; `begun_from` names the checkpoint whose weights the
    run began with, None where they were drawn, and `begun_at` is the update at which it did. Points
    up to there are those of the checkpoint's own run.
    """

    update: int = 0
    seconds: float = 0.0
    loss_sum: float = 0.0
    loss_count: int = 0
    finished_at: int = 0
    begun_from: str | None = None
    begun_at: int = 0
    points: list[CurvePoint] = field(default_factory=list)

    @property
    def best(self) -> float:
        """The lowest validation loss of this run so far, nats per byte."""
        return min((point.val_loss for point in self._own_points), default=float("inf"))

    @property
    def _own_points(self) -> list[CurvePoint]:
        return [point for point in self.points if point.update > self.begun_at]

    def has_ended(self, settings: TrainingSettings) -> bool:
        """Whether the settings say stop here, or said so before."""
        minutes = settings.minutes
        return (
            self.update >= settings.goal
            or (minutes is not None and self.seconds >= 60 * minutes)
            or self._has_stalled(settings.patience)
        )

    def owes_a_point(self, settings: TrainingSettings) -> bool:
        """Whether the curve is to have a point here that has not been measured."""
        return self.loss_count > 0 and self.update % settings.validate_every == 0

    def is_complete(self, settings: TrainingSettings) -> bool:
        """Whether a run with these settings has nothing left to do, be it that it went further."""
        return self.has_ended(settings) and self.finished_at >= min(self.update, settings.goal)

    def _has_stalled(self, patience: int | None) -> bool:
        """Judged by the points of the curve alone, so the same after a run was resumed."""
        points = self._own_points
        if patience is None or not points:
            return False
        best = min(points, key=lambda point: point.val_loss)
        return points[-1].update - best.update >= patience


@dataclass(frozen=True)
class State:
    """What lies in the file; `model` and `settings` by name, `sha256` of the data."""

    model: dict
    settings: dict
    sha256: str
    progress: Progress
    tensors: dict[str, Tensor]


def state_path(out: Path) -> Path:
    """Where the state of the run that writes the checkpoint `out` lies."""
    return out.with_suffix(".state.safetensors")


def write_state(path: Path, state: State) -> None:
    """Write a state; the file is written aside and renamed."""
    document = {
        "model": state.model,
        "settings": state.settings,
        "sha256": state.sha256,
        "progress": asdict(state.progress),
    }
    whole = {name: tensor.detach().cpu().contiguous() for name, tensor in state.tensors.items()}
    text = {DOCUMENT_KEY: json.dumps(document)}
    write_aside(path, lambda aside: save_file(whole, aside, metadata=text))


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Within, whatever a file that holds no whole state makes fail becomes a ResumeError."""
    try:
        yield
    except ResumeError:
        raise
    except FileNotFoundError as error:
        raise ResumeError(f"There is no {path.name} to go on from.") from error
    # A safetensors file that no run wrote can lack anything, or hold it in another shape.
    except (
        OSError,
        SafetensorError,
        LookupError,
        TypeError,
        ValueError,
        RuntimeError,
    ) as error:
        raise ResumeError(f"{path.name} is not a whole training state.") from error


def read_state(path: Path) -> State:
    """Read all of a state. Raises what `reading` makes a ResumeError of."""
    with safe_open(path, framework="pt") as file:
        document = json.loads(file.metadata()[DOCUMENT_KEY])
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    progress = _progress(document["progress"])
    return State(document["model"], document["settings"], document["sha256"], progress, tensors)


def read_progress(path: Path) -> Progress:
    """Read only where a run stands; one without a file has not begun. Raises ResumeError."""
    if not path.exists():
        return Progress()
    # For torch safetensors opens a file twice, and in between a run may have replaced it.
    with reading(path), safe_open(path, framework="numpy") as file:
        return _progress(json.loads(file.metadata()[DOCUMENT_KEY])["progress"])


def _progress(document: dict) -> Progress:
    points = [CurvePoint(**point) for point in document.pop("points")]
    return Progress(points=points, **document)


def check_same_run(
    path: Path, state: State, model: ModelConfig, settings: TrainingSettings, sha256: str
) -> None:
    """Raise ResumeError if the state is of another model, other settings or other data."""
    # A run begun before there was one of the settings had what is now its default.
    settings_before, model_before = TrainingSettings(**state.settings), ModelConfig(**state.model)
    before = {**asdict(settings_before), **asdict(model_before), "data": state.sha256}
    now = {**asdict(settings), **asdict(model), "data": sha256}
    changed = sorted(name for name in now if name not in MAY_CHANGE and now[name] != before[name])
    if changed:
        raise ResumeError(f"The run in {path.name} was begun with another {', '.join(changed)}.")
