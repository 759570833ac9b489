"""A model that learns: one update of its weights after another, its state carried between them.

All that an update reads and writes stays where it is, so that a GPU can replay it
(`gridlstm.training.replay`): the batch, the carried state, the weights, the optimiser's sums, the
rate.
"""

from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor
from torch.nn import functional
from torch.nn.parallel import DistributedDataParallel

from gridlstm.config import ModelConfig
from gridlstm.model import LanguageModel
from gridlstm.training.replay import Replayed
from gridlstm.training.settings import TrainingSettings
from gridlstm.training.tasks import Task
from gridlstm.training.workers import Workers


def matmul_dtype(precision: str, device: torch.device) -> torch.dtype:
    """The type of matrix products: for "auto", bfloat16 where the processor is faster in it."""
    if precision == "auto":
        # A CPU without instructions for it (AMX, AVX512-BF16) multiplies bfloat16 more slowly.
        fast = (
            device.type == "cuda"
            or torch.cpu._is_amx_tile_supported()
            or torch.cpu._is_avx512_bf16_supported()
        )
        precision = "bfloat16" if fast else "float32"
    dtype: torch.dtype = getattr(torch, precision)
    return dtype


class Learner:
    """A model, its optimiser and the state that it carries, of this process's share of the
    sequences. Raises SettingsError if the processes cannot share them equally."""

    def __init__(
        self, config: ModelConfig, settings: TrainingSettings, task: Task, team: Workers
    ) -> None:
        self.config, self.settings, self.task, self.team = config, settings, task, team
        self.mine = team.share(settings.sequences)
        torch.manual_seed(settings.seed)
        self.model = LanguageModel(config)
        self.model.initialise(settings.scale, settings.forget_bias)
        self.model.to(team.device)
        self.dtype = matmul_dtype(settings.precision, team.device)
        self.optimiser = _optimiser(settings, self.model)
        self.forward = self.model if team.count == 1 else DistributedDataParallel(self.model)
        # Processes must not draw the same dropout masks.
        torch.manual_seed(settings.seed + team.rank)
        self.carried = self.model.start(self.mine.stop - self.mine.start)
        self.loss = torch.zeros((), device=team.device)
        self.batches = task.batches(self.mine, team.device)
        batch = self.batches(0)
        self.inputs, self.target = (
            torch.zeros(rows.shape, dtype=torch.int64, device=team.device)
            for rows in (batch.inputs, batch.target[-batch.counted :])
        )
        # What processes say to each other in the middle of an update is not recorded.
        self._replayed = Replayed(self.step, team.device) if team.count == 1 else self.step

    def autocast(self) -> AbstractContextManager[object]:
        """Within, matrix products are done in the type that was chosen for them."""
        if self.dtype == torch.float32:
            return nullcontext()
        # Weights that were cast before are not kept: a recording would not see them change.
        return torch.autocast(self.team.device.type, self.dtype, cache_enabled=False)

    def update(self, number: int) -> float:
        """The update of that number; return its loss in nats per byte."""
        self._set_rate(self.settings.learning_rate_at(number, self.task.epoch(number)))
        batch = self.batches(number)
        self.inputs.copy_(batch.inputs)
        self.target.copy_(batch.target[-batch.counted :])
        self._replayed()
        return self.team.mean(self.loss)

    def _set_rate(self, rate: float) -> None:
        for group in self.optimiser.param_groups:
            if isinstance(group["lr"], Tensor):
                group["lr"].fill_(rate)
            else:
                group["lr"] = rate

    def step(self) -> None:
        """Learn from the batch that lies in `inputs` and `target`; write `loss` and `carried`."""
        with self.autocast():
            logits, state = self.forward(self.inputs, self.carried)
        counted = len(self.target)
        answers = logits[-counted:].float()
        loss = functional.cross_entropy(answers.flatten(0, 1), self.target.flatten())
        # As in char-rnn the gradient that is clipped is that of a sequence's summed loss.
        (loss * counted).backward()
        torch.nn.utils.clip_grad_value_(self.model.parameters(), self.settings.clip)
        self.optimiser.step()
        self.optimiser.zero_grad(set_to_none=True)
        self.loss.copy_(loss.detach())
        if self.task.carries_state:
            for carried, now in zip(self.carried, state, strict=True):
                carried.copy_(now.detach())

    # -- Where it stands --------------------------------------------------------------------------

    def tensors(self) -> dict[str, Tensor]:
        """All tensors that it needs to go on to the same numbers, those of all processes together:
        all of them must call."""
        tensors = {f"model.{name}": tensor for name, tensor in self.model.state_dict().items()}
        for index, slots in self.optimiser.state_dict()["state"].items():
            tensors |= {f"optimiser.{index}.{slot}": tensor for slot, tensor in slots.items()}
        for name, carried in zip(self.config.state, self.carried, strict=True):
            tensors[f"carried.{name}"] = self.team.gather(carried.transpose(0, 1))
        device = self.team.device
        if device.type == "cuda":
            generator = torch.cuda.get_rng_state(device)
        else:
            generator = torch.get_rng_state()
        return tensors | {"generators": self.team.gather(generator[None].to(device))}

    def restore(self, tensors: dict[str, Tensor]) -> None:
        """Go back to where `tensors` were taken."""
        device = self.team.device
        self.model.load_state_dict(_under("model.", tensors))
        slots: dict[int, dict[str, Tensor]] = {}
        for name, tensor in _under("optimiser.", tensors).items():
            index, slot = name.split(".")
            slots.setdefault(int(index), {})[slot] = tensor
        whole = self.optimiser.state_dict()
        self.optimiser.load_state_dict({**whole, "state": slots})
        for name, carried in zip(self.config.state, self.carried, strict=True):
            carried.copy_(tensors[f"carried.{name}"][self.mine].transpose(0, 1))
        # Cloned, since torch reads a generator's state from where its storage begins.
        generator = tensors["generators"][self.team.rank].clone()
        if device.type == "cuda":
            torch.cuda.set_rng_state(generator, device)
        else:
            torch.set_rng_state(generator)


def _optimiser(settings: TrainingSettings, model: LanguageModel) -> torch.optim.Optimizer:
    parameters = [p for p in model.parameters() if p.requires_grad]
    rate: float | Tensor = settings.learning_rate
    on_gpu = parameters[0].device.type == "cuda"
    if on_gpu:
        # What a replayed update reads must lie on the GPU.
        rate = torch.tensor(rate, device=parameters[0].device)
    if settings.optimiser == "adam":
        return torch.optim.Adam(parameters, rate, capturable=on_gpu)
    return torch.optim.RMSprop(parameters, rate, alpha=settings.smoothing, capturable=on_gpu)


def _under(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """The tensors whose name begins with prefix, by the rest of it."""
    return {
        name.removeprefix(prefix): tensor
        for name, tensor in tensors.items()
        if name.startswith(prefix)
    }
