"""How fast is training? Ratios to the stacked LSTM and to bare matrix products, in this run.

    python benchmarks/train.py [--device cuda] [--preset seed] [--updates 100]

Whole updates of a preset's four models, as `train` makes them: read, predict, go back, clip, step.
`matrix rate` is the multiply-adds a second as a share of those of one large square product in the
same type, the most that could be reached: an update has three times the multiply-adds of reading,
and every other thing costs extra.
`per operation` compares the models' speeds at equal multiply-adds with that of the stacked LSTM of
as many layers, which goes through torch's own (on a GPU: cuDNN's). Random bytes and weights: they
cost what others do.
On a GPU the last rows, `persistent-N`, are cuDNN at its best, which the stacked LSTM is not: N
layers, each called alone, of a size and type for which torch asks for persistent kernels. Forward
and backward through the layers only: they neither predict nor step.
"""

import argparse
import time
from dataclasses import replace

import gridlstm  # noqa: F401 (it says how torch's threads wait, so it comes first)

# isort: split
import numpy as np
import torch
from common import reasons
from torch import Tensor, nn

from gridlstm.commands.memory import keep_freed_memory
from gridlstm.corpus import Corpus
from gridlstm.training.learner import Learner
from gridlstm.training.presets import PRESETS, Preset
from gridlstm.training.replay import CALLS_BEFORE_RECORDING
from gridlstm.training.tasks import task_of
from gridlstm.training.workers import Workers, machine_kind

MODELS = ("stacked-3", "grid-3", "stacked-6", "grid-6")

# torch (aten/src/ATen/native/cudnn/RNN.cpp) asks for persistent kernels where the type is float16,
# a call has one layer, units and inputs are multiples of 128, at most 1,024 units, and sequences a
# multiple of 8, at most 128.
PERSISTENT_UNITS, PERSISTENT_SEQUENCES, PERSISTENT_LENGTH = 1024, 48, 50


def wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def multiply_adds_a_second(dtype: torch.dtype, device: torch.device) -> float:
    """Of one large product, by the best of five measurements."""
    size, repeats = (8192, 20) if device.type == "cuda" else (1024, 5)
    left, right = (torch.randn(size, size, device=device).to(dtype) for _ in range(2))
    taken = []
    for _ in range(6):
        wait(device)
        begun = time.perf_counter()
        for _ in range(repeats):
            left @ right
        wait(device)
        taken.append(time.perf_counter() - begun)
    return repeats * size**3 / min(taken[1:])


def learner_of(preset: Preset, device: torch.device) -> Learner:
    """A learner with random bytes to read: forty updates' worth, again and again."""
    settings = replace(preset.training, validation_bytes=None)
    random = np.random.default_rng(1)
    data = random.integers(0, 256, 40 * settings.bytes_an_update).astype(np.uint8)
    corpus = Corpus("random bytes", data, settings.train_fraction, "")
    return Learner(preset.model, settings, task_of(settings, corpus), Workers(0, 1, device))


def seconds_an_update(learner: Learner, updates: int) -> float:
    """The mean of so many updates, after those in which a GPU records its work."""
    for number in range(CALLS_BEFORE_RECORDING + 1):
        learner.update(number)
    begun = time.perf_counter()
    for number in range(updates):
        learner.update(number)
    return (time.perf_counter() - begun) / updates


def seconds_of_lstms(layers: int, inputs: Tensor, updates: int) -> float:
    """The mean of so many forward and backward passes through LSTMs, each in a call of its own, as
    wide as their inputs [T, B, U], in their type and on their device."""
    units = inputs.shape[-1]
    lstms = [nn.LSTM(units, units).to(inputs) for _ in range(layers)]
    inputs = inputs.detach().requires_grad_()  # as embedded bytes are
    weights = [weight for lstm in lstms for weight in lstm.parameters()]
    begun = 0.0
    for number in range(-3, updates):
        if number == 0:
            wait(inputs.device)
            begun = time.perf_counter()
        outputs = inputs
        for lstm in lstms:
            outputs, _ = lstm(outputs)
        torch.autograd.grad(outputs, [inputs, *weights], torch.ones_like(outputs))
    wait(inputs.device)
    return (time.perf_counter() - begun) / updates


def print_persistent(device: torch.device, rates: dict[str, float], updates: int) -> None:
    """The rows of LSTMs with persistent kernels, beside the stacked LSTMs' `rates`."""
    shape = PERSISTENT_LENGTH, PERSISTENT_SEQUENCES, PERSISTENT_UNITS
    inputs, an_update = torch.randn(shape, device=device).half(), shape[0] * shape[1]
    for layers in (3, 6):
        taken = seconds_of_lstms(layers, inputs, updates)
        rate = 3 * layers * 8 * PERSISTENT_UNITS**2 * an_update / taken
        share = rate / multiply_adds_a_second(inputs.dtype, device)
        print(f"{f'persistent-{layers}':<14}{'float16':>10}{1 / taken:>12.2f}"
              f"{an_update / taken:>14,.0f}{share:>14.1%}"
              f"{rate / rates[f'stacked-{layers}']:>16.2f}", flush=True)  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--preset", choices=("seed", "small"), default="small")
    parser.add_argument("--updates", type=int, default=5)
    options = parser.parse_args()
    keep_freed_memory()
    device = torch.device(options.device)
    print(f"{machine_kind(device)}; preset {options.preset}, {options.updates} updates each")
    head = "model", "type", "updates/s", "bytes/s", "matrix rate", "per operation"
    print("{:<14}{:>10}{:>12}{:>14}{:>14}{:>16}".format(*head))
    rates: dict[str, float] = {}
    for name in MODELS:
        learner = learner_of(PRESETS[f"{options.preset}-{name}"], device)
        a_byte, an_update = learner.config.operations_per_token, learner.settings.bytes_an_update
        taken = seconds_an_update(learner, options.updates)
        rates[name] = 3 * a_byte * an_update / taken
        share = rates[name] / multiply_adds_a_second(learner.dtype, device)
        rival = rates[name.replace("grid", "stacked")]
        dtype = str(learner.dtype).removeprefix("torch.")
        print(f"{name:<14}{dtype:>10}{1 / taken:>12.2f}{an_update / taken:>14,.0f}"
              f"{share:>14.1%}{rates[name] / rival:>16.2f}", flush=True)  # fmt: skip
        settings = learner.settings
        shape = settings.length, settings.sequences
        print(reasons(learner.model, *shape, gradients=True), flush=True)
    if device.type == "cuda":
        print_persistent(device, rates, options.updates)


if __name__ == "__main__":
    main()
