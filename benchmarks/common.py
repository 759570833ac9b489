"""What the benchmarks share: a model with random weights, and the clock."""

import time
from collections.abc import Callable

import torch

from gridlstm.config import ModelConfig
from gridlstm.model import LanguageModel


def fresh_model(
    config: ModelConfig, scale: float = 0.08, forget_bias: float = 1.0
) -> LanguageModel:
    """A model to be read, not trained. Random weights: they cost what trained ones do, being
    numbers of float16 as in the files that training writes."""
    torch.manual_seed(1)
    model = LanguageModel(config)
    model.initialise(scale, forget_bias)
    for parameter in model.eval().requires_grad_(False).parameters():
        parameter.copy_(parameter.half())
    return model


def timed(work: Callable[[], object]) -> tuple[float, object]:
    """The seconds that it took, and the result."""
    begun = time.perf_counter()
    result = work()
    return time.perf_counter() - begun, result


def seconds(work: Callable[[], object]) -> float:
    return timed(work)[0]


def seconds_of_each(work: Callable[[], object], repeats: int) -> list[float]:
    """The seconds of each of some runs, after one that is not counted."""
    work()
    return [seconds(work) for _ in range(repeats)]


def reasons(model: LanguageModel, positions: int, sequences: int = 1, **more) -> str:
    """Under a row: how so much is read, and why (`gridlstm.backends.plan`)."""
    from gridlstm.backends.linear import LayerWeights
    from gridlstm.backends.plan import Shape, plan

    shape = Shape(positions, sequences, positions)
    weights = LayerWeights(model.recurrent, shape)
    more.setdefault("gradients", False)
    made = plan(
        model.config,
        shape,
        model.decoder.weight.device.type,
        in_float16=lambda: weights.in_float16,
        threads=torch.get_num_threads(),
        **more,
    )
    return "    " + " ".join((f"{made.order.capitalize()}.", *made.reasons))
