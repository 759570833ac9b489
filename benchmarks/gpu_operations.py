"""What an update of the tied grid asks of a GPU, counted without one. `--against`: of two builds.

    python benchmarks/gpu_operations.py [--preset seed-grid-6] [--against ../other-build]

The update runs on the meta device, where tensors have shapes and no numbers, in bfloat16 and with
the fused gate kernels and the multi-tensor optimiser, as on a GPU. Each operation of torch that
would start a kernel is one, and so is a gate kernel; views and allocations are none. Bytes are
those of all tensors that an operation reads and writes, as if no cache kept anything: what an
operation writes and the next one reads counts twice, and so do weights, at every step.
It counts; it does not time.
"""

import argparse
import inspect
import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import gridlstm

# isort: split
import torch
from torch import Tensor
from torch.nn import functional
from torch.utils import _foreach_utils
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

PRODUCTS = {"mm", "bmm", "addmm", "baddbmm"}
COPIES = {"copy_", "_to_copy", "clone", "cat", "stack", "roll"}
FILLS = {"zero_", "fill_", "zeros", "zeros_like", "new_zeros", "full", "full_like", "ones_like"}
ALLOCATIONS = {"empty", "empty_like", "empty_strided", "new_empty", "new_empty_strided"}
# They read as much as they write, of however large a table.
LOOK_UPS = {"index", "embedding"}
# No kernel either: a tensor that is only looked at in another way.
FREE = ALLOCATIONS | {"_unsafe_view", "detach", "lift_fresh", "_local_scalar_dense"}


class OperationCounter(TorchDispatchMode):
    """Counts `operations` and `bytes` by kind while it is entered."""

    def __init__(self) -> None:
        super().__init__()
        self.operations: Counter[str] = Counter()
        self.bytes: Counter[str] = Counter()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        result = func(*args, **kwargs)
        name = func.overloadpacket.__name__
        if not (func.is_view or name in FREE):
            self.add(_kind(name), _moved(func, name, args, kwargs, result))
        return result

    def add(self, kind: str, moved: int) -> None:
        self.operations[kind] += 1
        self.bytes[kind] += moved


def _kind(name: str) -> str:
    if name.startswith("_foreach"):
        return "optimiser"
    kinds = {"products": PRODUCTS, "copies": COPIES, "fills": FILLS}
    return next((kind for kind, names in kinds.items() if name in names), "other")


def _moved(func, name: str, args: tuple, kwargs: dict[str, Any], result: object) -> int:
    """The bytes that an operation reads and writes."""
    given = dict(zip((a.name for a in func._schema.arguments), args, strict=False)) | kwargs
    if name in LOOK_UPS:
        return 2 * _bytes_of(result)
    moved, written = 0, 0
    for argument in func._schema.arguments:
        size = _bytes_of(given.get(argument.name))
        if argument.alias_info is not None and argument.alias_info.is_write:
            written += size
            only_written = argument.kwarg_only or name in COPIES | FILLS
            moved += 0 if only_written or name == "index_put_" else size
        else:
            moved += size
    if name == "index_put_":
        written = _bytes_of(given["values"])
    return moved + (written or _bytes_of(result))


def _bytes_of(tensors: object) -> int:
    """Of all tensors in it; what is expanded lies in memory once."""
    return sum(
        tensor.element_size() * _elements(tensor)
        for tensor in tree_leaves(tensors)
        if isinstance(tensor, Tensor)
    )


def _elements(tensor: Tensor) -> int:
    product = 1
    for size, stride in zip(tensor.shape, tensor.stride(), strict=True):
        product *= size if stride else min(size, 1)
    return product


def _counted(kernel: Callable[..., None], counter: OperationCounter) -> Callable[..., None]:
    """A gate kernel's stand-in, which adds its bytes to the counter."""
    signature = inspect.signature(kernel)

    def count(*args, **kwargs) -> None:
        moved = 0
        for name, given in signature.bind(*args, **kwargs).arguments.items():
            # On the way there, sums are read and gates written in their place.
            both = name == "gates" and kernel.__name__ == "update"
            moved += _bytes_of(given) * (2 if both else 1)
        counter.add("gate kernels", moved)

    return count


def _grid_modules():
    """This build's walk over the grid, its kernels, and the name by which it asks for them."""
    # By its folders, not by what can be imported: another build may be installed.
    if (Path(gridlstm.__file__).parent / "backends").is_dir():
        folder, asked_by = "gridlstm.backends", "fused_kernels"
    else:
        folder, asked_by = "gridlstm.networks", "_fused_gates"
    return *(import_module(f"{folder}.{name}") for name in ("grid_walk", "fused_gates")), asked_by


def as_on_a_gpu(counter: OperationCounter) -> ExitStack:
    """Within, the meta device takes the ways of a GPU, with products in bfloat16."""
    walk, kernels, asked_by = _grid_modules()
    names = "update", "update_backward"
    stand_ins = SimpleNamespace(**{n: _counted(getattr(kernels, n), counter) for n in names})
    devices = _foreach_utils._get_foreach_kernels_supported_devices()
    stack = ExitStack()
    for target, name, value in (
        (walk, asked_by, lambda like: stand_ins),
        (torch, "is_autocast_enabled", lambda device: True),
        (torch, "get_autocast_dtype", lambda device: torch.bfloat16),
        (_foreach_utils, "_get_foreach_kernels_supported_devices", lambda: [*devices, "meta"]),
    ):
        stack.enter_context(patch.object(target, name, value))
    return stack


def count_update(preset: str) -> OperationCounter:
    """Operations and bytes of one update of a preset's model, as `Learner.step` makes it."""
    from gridlstm.model import LanguageModel
    from gridlstm.training.presets import PRESETS

    settings, bfloat16 = PRESETS[preset].training, torch.bfloat16
    with torch.device("meta"):
        model = LanguageModel(PRESETS[preset].model)
        texts = torch.zeros(2, settings.length, settings.sequences, dtype=torch.int64)
    read, target = texts
    carried, decoder = model.start(settings.sequences), model.decoder
    optimiser = torch.optim.RMSprop(model.parameters(), settings.learning_rate, foreach=True)

    def decode(top: Tensor) -> Tensor:  # what autocast does
        operands = (x.to(bfloat16) for x in (top, decoder.weight, decoder.bias))
        return functional.linear(*operands)

    counter = OperationCounter()
    with as_on_a_gpu(counter), patch.object(decoder, "forward", decode):
        for parameter in model.parameters():  # the optimiser's sums are made at the first update
            parameter.grad = torch.zeros_like(parameter)
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)
        with counter:
            logits, state = model(read, carried)
            answers = logits.float()
            loss = functional.cross_entropy(answers.flatten(0, 1), target.flatten())
            (loss * settings.length).backward()
            torch.nn.utils.clip_grad_value_(model.parameters(), settings.clip)
            optimiser.step()
            for before, now in zip(carried, state, strict=True):
                before.copy_(now.detach())
    return counter


def _count_of_build(folder: Path, preset: str) -> dict[str, dict[str, int]]:
    """What this program counts with the package of another folder."""
    command = [sys.executable, __file__, "--preset", preset, "--json"]
    environment = os.environ | {"PYTHONPATH": str(folder.resolve())}
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, check=True)
    return json.loads(done.stdout)


def _rows(count: dict[str, dict[str, int]], kinds: Iterable[str]) -> list[tuple[int, float]]:
    """Operations and gigabytes of each kind, then of all."""
    rows = [(count["operations"].get(k, 0), count["bytes"].get(k, 0) / 1e9) for k in kinds]
    return [*rows, (sum(row[0] for row in rows), sum(row[1] for row in rows))]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--preset", default="seed-grid-6")
    parser.add_argument("--against", type=Path, metavar="FOLDER", help="another build's folder")
    parser.add_argument("--json", action="store_true", help="this build's counts alone, as JSON")
    options = parser.parse_args()
    counter = count_update(options.preset)
    counts = [{"operations": dict(counter.operations), "bytes": dict(counter.bytes)}]
    if options.json:
        print(json.dumps(counts[0]))
        return
    if options.against:
        counts.append(_count_of_build(options.against, options.preset))
    kinds = sorted({kind for count in counts for kind in count["operations"]})
    others = len(counts) - 1
    titles = ("", "operations", "GB", *("other: operations", "GB", "ratio", "of GB") * others)
    print(("{:<14}{:>12}{:>9}" + "{:>19}{:>9}{:>8}{:>8}" * others).format(*titles))
    for kind, *rows in zip([*kinds, "all"], *(_rows(c, kinds) for c in counts), strict=True):
        line = f"{kind:<14}{rows[0][0]:>12,}{rows[0][1]:>9.2f}"
        for operations, moved in rows[1:]:
            ratios = (f"{a / b:.2f}" if b else "" for a, b in zip(rows[0], rows[1], strict=True))
            line += f"{operations:>19,}{moved:>9.2f}" + "".join(f"{r:>8}" for r in ratios)
        print(line)


if __name__ == "__main__":
    main()
