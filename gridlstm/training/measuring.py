"""The minute before a plan's training: is what a device does right, and how fast is it?

Each model makes its first updates in every way that the device has (`gridlstm.training.ways`). A
way whose losses are not those of the plain one, or that fails, is not taken; of the others, the
fastest is. Then runs are interrupted and gone on with, and validations timed.
"""

import gc
import math
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch

from gridlstm.backends import gates
from gridlstm.corpus import Corpus
from gridlstm.progress import Cancelled
from gridlstm.training.experiment import Step, TurnPlan, join_lines
from gridlstm.training.learner import Learner
from gridlstm.training.replay import CALLS_BEFORE_RECORDING
from gridlstm.training.run import Run
from gridlstm.training.tasks import TextTask
from gridlstm.training.time_log import TimeLog
from gridlstm.training.ways import PLAIN, Way, list_ways
from gridlstm.training.workers import Workers

# Updates that are not timed: torch chooses its algorithms, and a GPU records its work.
WARM_UP = CALLS_BEFORE_RECORDING + 1
MIN_UPDATES = WARM_UP + 4
# Products in bfloat16 make of another rounding another run: single losses soon differ by hundredths
# of a nat. What is wrong makes more of a difference in the mean, or from the first update on.
FIRST_LOSS_TOLERANCE, MEAN_LOSS_TOLERANCE = 0.01, 0.02
GATE_TOLERANCE = 1e-5
RESUMED_LOSS_TOLERANCE = 1e-3


@dataclass
class Pace:
    """How fast a model is on this machine: updates a second; seconds of a point of the curve, of
    the whole validation part, and of saving."""

    updates_per_second: float
    point: float
    whole_part: float
    saving: float = 0.0

    def seconds_of_cooldown(self, updates: int, validate_every: int) -> float:
        """Of so many updates with their points, of the whole validation part for the best weights
        before and after, and of saving."""
        points = updates // validate_every + 2
        return (
            updates / self.updates_per_second
            + points * self.point
            + 2 * self.whole_part
            + 3 * self.saving
        )


@dataclass(frozen=True)
class Series:
    """A model's first updates in one way: the losses, nats per byte, and the speed."""

    losses: list[float]
    updates_per_second: float


@dataclass
class Measurement:
    """The measuring of a plan on a device. Raises Cancelled when the process is asked to stop."""

    plan: TurnPlan
    corpus: Corpus
    team: Workers
    log: TimeLog
    say: Callable[[str], None]
    stop: Callable[[], bool]
    faults: dict[Way, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._until = self.log.seconds + self.plan.measured_seconds
        self._ways = list_ways(self.team.device)
        steps = len(self.plan.steps)
        self._to_do = steps * len(self._ways) + len(self.plan.resumed) + steps

    def measure(self) -> tuple[Way, dict[str, Pace]]:
        """The way to take, and the pace of each run by name; each result is said as it comes."""
        self._check_gates()
        series = {step.name: self._measure_ways(step) for step in self.plan.steps}
        way = self._chosen(series)
        way.take()
        for step in self.plan.steps:
            if step.name in self.plan.resumed:
                self._check_resumed(step, series[step.name][way])
        paces = {}
        for step in self.plan.steps:
            point, whole_part = self._seconds_of_validation(step)
            speed = series[step.name][way].updates_per_second
            paces[step.name] = Pace(speed, point, whole_part)
        return way, paces

    # -- Right or wrong ---------------------------------------------------------------------------

    def _check_gates(self) -> None:
        """The fused gates on random numbers, against the plain ones."""
        if not any(way.fused for way in self._ways):
            return
        Way(fused=True, graphs=False).take()
        step = self.plan.steps[0]
        try:
            error = largest_gate_error(step.training.sequences, step.model.units, self.team.device)
            wrong = not error <= GATE_TOLERANCE
            words = f"off by {error:.1e}, {'WRONG' if wrong else 'right'}"
        # Triton has errors of its own, which are of no kind that could be named without it.
        except Exception as error:
            wrong, words = True, f"FAILED, {join_lines(error)}"
        self._tell("gates", f"fused gates on random numbers: {words}")
        if wrong:
            self.faults |= {way: words for way in self._ways if way.fused}

    def _measure_ways(self, step: Step) -> dict[Way, Series]:
        """The series of the ways in which it could be done."""
        found: dict[Way, Series] = {}
        for way in self._ways:
            seconds = self._share()
            if way in self.faults:
                continue
            try:
                found[way] = self._series(step, way, seconds)
            except Cancelled:
                raise
            except Exception as error:  # as above
                self.faults[way] = f"{step.name} FAILED, {join_lines(error)}"
                self._tell("updates", f"{step.name}, {way}: FAILED, {join_lines(error)}")
                continue
            losses, speed = found[way].losses, found[way].updates_per_second
            difference = disagreement(losses, found[PLAIN].losses) if PLAIN in found else None
            words = f"{speed:.2f} updates/s, loss {losses[0]:.4f} to {losses[-1]:.4f}"
            if way != PLAIN and PLAIN in found:
                words += f", {f'WRONG: {difference}' if difference else 'as with plain gates'}"
            if difference:
                self.faults[way] = f"{step.name}: {difference}"
            self._tell(
                "updates",
                f"{step.name}, {way}: {words}",
                model=step.name,
                fused=way.fused,
                graphs=way.graphs,
                updates=len(losses),
                updates_per_second=speed,
                losses=losses,
            )
        return found

    def _chosen(self, series: dict[str, dict[Way, Series]]) -> Way:
        """The fastest way that is right for all models."""

        def round_of(way: Way) -> float:
            return sum(1 / found[way].updates_per_second for found in series.values())

        right = [
            way
            for way in self._ways
            if way not in self.faults and all(way in found for found in series.values())
        ]
        if not right:
            raise RuntimeError(f"No way of training works here: {self.faults.get(PLAIN, '')}")
        chosen = min(right, key=round_of)
        reasons = [f"taken: {chosen}"]
        for part in ("fused", "graphs"):
            if getattr(chosen, part) or not any(getattr(way, part) for way in self._ways):
                continue
            name = {"fused": "fused gates", "graphs": "CUDA graphs"}[part]
            faults = [why for way, why in self.faults.items() if getattr(way, part)]
            slower = any(getattr(way, part) for way in right)
            reasons.append(f"{name} are {'slower' if slower else f'wrong ({faults[0]})'}")
        self._tell("way", "; ".join(reasons), fused=chosen.fused, graphs=chosen.graphs)
        return chosen

    def _check_resumed(self, step: Step, straight: Series) -> None:
        """A run that is saved half way and gone on with by another, against one that is not."""
        possible = int(self._share() * straight.updates_per_second)
        updates = max(MIN_UPDATES, min(len(straight.losses), possible))
        half = updates // 2
        with tempfile.TemporaryDirectory() as folder:
            out = Path(folder) / "run.safetensors"
            first = self._run(step, out)
            losses = [self._update(first.learner, number) for number in range(half)]
            first.progress.update = half
            first.save()
            second = self._run(step, out)
            second.resume()
            losses += [self._update(second.learner, number) for number in range(half, updates)]
        expected = straight.losses[:updates]
        apart = max(abs(a - b) for a, b in zip(losses, expected, strict=True))
        at_once = abs(losses[half] - expected[half])
        wrong = not at_once <= RESUMED_LOSS_TOLERANCE or disagreement(losses, expected)
        self._tell(
            "resumed",
            f"{step.name} interrupted at update {half} of {updates}: "
            + (
                "the losses of an uninterrupted run to the last bit"
                if apart == 0
                else f"losses up to {apart:.1e} nats from those of an uninterrupted run, "
                f"{at_once:.1e} right after it, {'WRONG' if wrong else 'right'}"
            ),
            model=step.name,
            largest_difference=apart,
            difference_at_once=at_once,
            right=not wrong,
        )

    # -- How fast ---------------------------------------------------------------------------------

    def _series(self, step: Step, way: Way, seconds: float) -> Series:
        """Up to the plan's number of updates, fewer if the seconds are over before."""
        way.take()
        learner = Learner(step.model, step.training, self._task(step), self.team)
        losses: list[float] = []
        begun = warm = self.log.seconds
        for number in range(max(MIN_UPDATES, self.plan.measured_updates)):
            if number == WARM_UP:
                warm = self.log.seconds
            losses.append(self._update(learner, number))
            if number + 1 >= MIN_UPDATES and self.log.seconds - begun >= seconds:
                break
        speed = (len(losses) - WARM_UP) / max(self.log.seconds - warm, 1e-9)
        if self.team.device.type == "cuda":
            # A learner refers to itself. Collected later, it could fall into another's recording.
            del learner
            gc.collect()
        return Series(losses, speed)

    def _seconds_of_validation(self, step: Step) -> tuple[float, float]:
        """Of a point of the curve, and, from a measurement of a part, of the whole validation part,
        which is read with products in float32."""
        self._share()
        task = self._task(step)
        learner = Learner(step.model, step.training, task, self.team)
        counted = step.training.validation_bytes
        begun = self.log.seconds
        with learner.autocast():
            result = task.validate(learner.model, counted)
        point = self.log.seconds - begun
        task.validate(learner.model, counted)
        parts = len(self.corpus.validation) / result.loss.bytes
        whole_part = (self.log.seconds - begun - point) * max(1.0, parts)
        self._tell(
            "validation",
            f"{step.name}: a point of the curve in {point:.2f} s, the whole validation part in "
            f"{whole_part:.1f} s (reckoned)",
            model=step.name,
            point=point,
            whole_part=whole_part,
        )
        return point, whole_part

    # -- What they share --------------------------------------------------------------------------

    def _share(self) -> float:
        """The seconds of one measurement: an equal share of those left."""
        share = (self._until - self.log.seconds) / self._to_do
        self._to_do -= 1
        return max(0.0, share)

    def _update(self, learner: Learner, number: int) -> float:
        if self.stop():
            raise Cancelled
        return learner.update(number)

    def _run(self, step: Step, out: Path) -> Run:
        return Run(step.model, step.training, self.corpus, out, self.team)

    def _task(self, step: Step) -> TextTask:
        return TextTask(step.training, self.corpus)

    def _tell(self, what: str, words: str, **facts: object) -> None:
        """Say a result at once, and keep it with the time that it took."""
        self.say(f"measured: {words}")
        self.log.mark("measuring", measured=what, words=words, **facts)


def disagreement(losses: Sequence[float], expected: Sequence[float]) -> str | None:
    """In what the losses of the same updates differ more than rounding can explain; None if they
    do not. Only as many are compared as both have."""
    count = min(len(losses), len(expected))
    found, expected = losses[:count], expected[:count]
    if not all(map(math.isfinite, found)):
        return "losses are no finite numbers"
    if abs(found[0] - expected[0]) > FIRST_LOSS_TOLERANCE:
        return f"the first loss is {found[0]:.4f}, not {expected[0]:.4f}"
    mean, expected_mean = sum(found) / count, sum(expected) / count
    if abs(mean - expected_mean) > MEAN_LOSS_TOLERANCE * expected_mean:
        return f"the mean loss is {mean:.4f}, not {expected_mean:.4f}"
    return None


def largest_gate_error(sequences: int, units: int, device: torch.device) -> float:
    """The largest difference between what the fused and the plain gates make of the same random
    sums [B, 4U], cells and gradients [B, U], forward and back, all in float32."""
    random = torch.Generator().manual_seed(1)

    def draw(columns: int) -> torch.Tensor:
        return torch.randn(sequences, columns, generator=random).to(device)

    sums, cell, grad_hidden, grad_new_cell = draw(4 * units), draw(units), draw(units), draw(units)
    fused = gates.fused_kernels(sums)
    assert fused is not None, "only a GPU has them"
    results = []
    for forward, backward in (
        (gates.lstm_forward, gates.lstm_backward),
        (fused.update, fused.update_backward),
    ):
        values, new_cell, hidden = sums.clone(), torch.empty_like(cell), torch.empty_like(cell)
        grad_gates, grad_cell = torch.empty_like(values), torch.empty_like(cell)
        forward(values, cell, new_cell, hidden)
        backward(values, cell, new_cell, grad_hidden, grad_new_cell, grad_gates, grad_cell)
        results.append(torch.cat((values, new_cell, hidden, grad_gates, grad_cell), dim=1))
    return float((results[0] - results[1]).abs().max())
