"""Where a training run stands, and the file that it is resumed from.

The file is a `.safetensors` file, `NAME.state.safetensors` beside the checkpoint: the tensors, and
one JSON document about the run. Nothing is ever unpickled.
"""

import json
import math
import typing
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor, dtype

from gridlstm.checkpoint import CheckpointError, open_safetensors, unchanged, write_aside
from gridlstm.config import ModelConfig
from gridlstm.errors import UserError
from gridlstm.training.curve_log import CurvePoint
from gridlstm.training.settings import TrainingSettings

DOCUMENT_KEY = "run"
# As the format allows: a point of the curve takes 200 bytes, and there may be one an update.
MAX_STATE_HEADER_BYTES = 100_000_000
# What each optimiser keeps of a parameter: tensors of its shape, but for the count of steps.
SLOTS = {"rmsprop": {"step", "square_avg"}, "adam": {"step", "exp_avg", "exp_avg_sq"}}
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

    def is_point_due(self, settings: TrainingSettings) -> bool:
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


_Kind = typing.TypeVar("_Kind")


@dataclass(frozen=True)
class State:
    """What lies in the file; `model` and `settings` by name, `sha256` of the data."""

    model: dict[str, typing.Any]
    settings: dict[str, typing.Any]
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
    except (ResumeError, CheckpointError):
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
    with unchanged(path), open_safetensors(path, MAX_STATE_HEADER_BYTES, "pt") as file:
        document = json.loads(file.metadata()[DOCUMENT_KEY])
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    model, settings = document["model"], document["settings"]
    _built(ModelConfig, model)
    _built(TrainingSettings, settings)
    progress = _progress(document["progress"])
    return State(model, settings, document["sha256"], progress, tensors)


def read_settings(path: Path) -> tuple[ModelConfig, TrainingSettings]:
    """Read only what a run trains and how. Raises ResumeError, also where the tensors are of a
    smaller run: what a file says is to take no more memory than the file itself."""
    with reading(path), open_safetensors(path, MAX_STATE_HEADER_BYTES) as file:
        document = json.loads(file.metadata()[DOCUMENT_KEY])
        model = _built(ModelConfig, document["model"])
        settings = _built(TrainingSettings, document["settings"])
        shapes = {name: file.get_slice(name).get_shape() for name in file.keys()}  # noqa: SIM118
    held = sum(math.prod(shape) for name, shape in shapes.items() if name.startswith("model."))
    carried = {shape[0] for name, shape in shapes.items() if name.startswith("carried.") and shape}
    if model.parameters > held or carried != {settings.sequences}:
        raise ResumeError(f"{path.name} is not a whole training state.")
    return model, settings


def read_progress(path: Path) -> Progress:
    """Read only where a run stands; one without a file has not begun. Raises ResumeError."""
    if not path.exists():
        return Progress()
    with reading(path):
        return _progress(_document(path)["progress"])


def _document(path: Path) -> dict[str, typing.Any]:
    with open_safetensors(path, MAX_STATE_HEADER_BYTES) as file:
        document: dict[str, typing.Any] = json.loads(file.metadata()[DOCUMENT_KEY])
        return document


def _progress(document: dict[str, typing.Any]) -> Progress:
    if type(document["points"]) is not list:
        raise TypeError("points")
    points = [_built(CurvePoint, point) for point in document["points"]]
    progress = _built(Progress, {**document, "points": points})
    if min(progress.update, progress.loss_count, progress.finished_at, progress.begun_at) < 0:
        raise ValueError("a count below 0")
    return progress


def _built(kind: type[_Kind], document: dict[str, typing.Any]) -> _Kind:
    """A dataclass of what stands in a file, where each value is of its field's type: what follows
    reckons with them. Raises TypeError, ValueError."""
    declared = typing.get_type_hints(kind)
    if type(document) is not dict:
        raise TypeError(kind)
    for name, value in document.items():
        if not _is_of(value, declared[name]):
            raise TypeError(name)
    return kind(**document)


def _is_of(value: object, declared: type) -> bool:
    types = typing.get_args(declared) or (declared,)
    if type(value) is float:
        return float in types and math.isfinite(value)
    if type(value) is int:
        return (int in types or float in types) and -(2**63) <= value < 2**63
    # A list holds what has been built before.
    return type(value) in types or (type(value) is list and typing.get_origin(declared) is list)


def check_tensors(
    tensors: dict[str, Tensor],
    expected: dict[str, Tensor],
    parameters: Sequence[Tensor],
    optimiser: str,
) -> None:
    """Raise ValueError if the tensors of a state are not of the names, shapes and types of those
    `expected` and, once there was an update, of what the optimiser keeps of each parameter."""
    wanted: dict[str, tuple[tuple[int, ...], dtype]] = {
        name: (tensor.shape, tensor.dtype) for name, tensor in expected.items()
    }
    if any(name.startswith("optimiser.") for name in tensors):
        wanted |= {
            f"optimiser.{index}.{slot}": (() if slot == "step" else tensor.shape, tensor.dtype)
            for index, tensor in enumerate(parameters)
            for slot in SLOTS[optimiser]
        }
    found = {name: (tensor.shape, tensor.dtype) for name, tensor in tensors.items()}
    if found != wanted:
        raise ValueError("other tensors")


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
