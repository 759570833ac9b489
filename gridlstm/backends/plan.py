"""In which order a network is read, and with which arithmetic, and why.

`plan` is the one place where this is chosen. Every threshold stands here, with the measurement that
set it; all are of CPUs unless said otherwise.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch

from gridlstm import schedules
from gridlstm.clamps import Clamps
from gridlstm.config import ModelConfig

# A product with a weight of so many elements, too many for the near caches, takes less time once
# the weight lies in an order made for it: a fifth less for many rows, half for a few, and again
# half where its numbers can lie there in float16. For single rows a weight must have more elements.
MIN_LARGE, MIN_LARGE_FOR_ONE_ROW = 2**18, 2**20
# With more rows the sums take longer than the reading of the weight, however few bytes it has.
MAX_ROWS_IN_FLOAT16 = 64
# To make the order costs as much as some tens of products of a few rows, or one of a thousand rows.
MIN_CALLS, MIN_ROWS = 64, 2048
# Where there are as many positions, what a recurrence of torch makes ready for them has paid.
MIN_POSITIONS_AT_ONCE = 32
# Positions of a staggered block. Shorter ones cost more for what is made ready for each, longer
# ones for the steps at both ends in which not every layer has a block.
MAX_BLOCK = 64
# Numbers that a staggered step computes at a time, in float32.
MAX_STAGGERED_NUMBERS = 2**23
# Blocks of positions that threads compute at once, a layer each. For each block torch's recurrence
# puts its weights in order anew, which takes as long as some 20 positions; in the first and in the
# last blocks threads wait for each other. (Measured with 256 units on two cores: a thread alone
# takes 18 microseconds a position and layer, two that share each product no less than 13.)
MIN_PARALLEL_BLOCK, MAX_PARALLEL_BLOCKS = 64, 8
# Of more sequences products are so large that threads share them well.
MAX_PARALLEL_SEQUENCES = 8
# Numbers computed at a time, in float32: they are what a trace needs in memory beyond its result.
MAX_NUMBERS = 2**25
# Of short rows so many positions at a time are enough: with more, each layer gives memory back and
# asks for it anew.
MAX_POSITIONS = 1024
# Where layers are staggered so many take little memory, and with fewer the steps in which not every
# layer has a block would be many.
MAX_STAGGERED_POSITIONS = 4096


@dataclass(frozen=True)
class Shape:
    """What is to be read: `sequences` side by side, `positions` of each in one call, and `total`
    positions in all before the weights change."""

    positions: int
    sequences: int
    total: int


@dataclass(frozen=True)
class Plan:
    """`order` names a schedule, of blocks of `block` positions where it has any; `recurrences` what
    computes each layer along time; `workers` how many threads compute blocks at once; `reasons` say
    why, a sentence each."""

    order: str
    recurrences: tuple[str, ...]
    reasons: tuple[str, ...]
    block: int = 0
    workers: int = 1

    def steps(self, positions: int) -> schedules.Schedule:
        layers = len(self.recurrences)
        if self.order == "staggered":
            return schedules.staggered(layers, positions, self.block)
        of_order = {
            "layer by layer": schedules.layer_by_layer,
            "position by position": schedules.position_by_position,
            "together": schedules.together,
        }
        return of_order[self.order](layers, positions)


def plan(
    config: ModelConfig,
    shape: Shape,
    device: str,
    gradients: bool,
    clamps: Clamps | None = None,
    *,
    in_low_precision: bool = False,
    shown: bool = True,
    in_float16: Callable[[], bool] = lambda: False,
    threads: int = 1,
) -> Plan:
    """How a model of this kind is to be read on a `device` ("cpu", "cuda").

    `in_low_precision` says that products are in another type than states; `shown` that every
    quantity is asked for, not the outputs alone; `in_float16` is asked whether all weights of
    hidden states are numbers of float16, which takes time; `threads` is how many torch uses.
    """
    plain = gradients or in_low_precision
    if not shown and config.form.walks:
        return _walk(config, device)
    if not shown and config.form.recurrence and config.architecture != "grid":
        return _torch_module(config, device, in_low_precision)
    if config.form.feedback:
        reason = "Every layer reads what all layers showed at the position before."
        if plain or clamps is not None or device != "cpu":
            return Plan("position by position", ("cells",) * config.layers, (reason,))
        return Plan("together", ("in place",) * config.layers, (reason,))
    order, block, reasons = "layer by layer", 0, ["Each layer is read before the one above."]
    if clamps is None and not plain and staggers(config) and _gains_by_staggering(config, shape):
        order, block = "staggered", MAX_BLOCK
        reasons = [
            f"Layers share weights of {_weight(config):,} numbers, at least "
            f"{MIN_LARGE_FOR_ONE_ROW:,}: read once a position for all layers, in blocks of at most "
            f"{MAX_BLOCK} positions."
        ]
    sequences = shape.sequences * (config.layers if block else 1)
    recurrences = []
    for layer in range(config.layers):
        clamped = clamps is not None and clamps.concern("time", layer)
        how, why = _recurrence(
            config, layer, shape, device, sequences, plain, clamped, block, in_float16
        )
        recurrences.append(how)
        reasons.append(f"Layer {layer + 1}: {why}")
    if not plain:
        reasons.append(_why_packed(config, shape, sequences, device))
    workers = min(threads, config.layers)
    blocks = min(MAX_PARALLEL_BLOCKS, shape.positions // MIN_PARALLEL_BLOCK)
    if (
        order == "layer by layer"
        and set(recurrences) <= {"at once", "in place"}
        and clamps is None
        and device == "cpu"
        and min(workers, blocks) > 1
        and shape.sequences <= MAX_PARALLEL_SEQUENCES
    ):
        order, block = "staggered", -(-shape.positions // blocks)
        reasons[0] = (
            f"{workers} threads compute a layer each, on blocks of {block} positions, as soon as "
            "the layer below has come that far: they need not wait for each other at each position."
        )
    else:
        workers = 1
    return Plan(order, tuple(recurrences), tuple(_grouped(reasons)), block, workers)


def _walk(config: ModelConfig, device: str) -> Plan:
    how = "Triton's kernels compute the gates" if device == "cuda" else "torch computes the gates"
    reason = f"A grid of which outputs alone are asked is walked along its diagonals; {how}."
    return Plan("diagonals", ("walk",) * config.layers, (reason,))


_TORCH_MODULE = {
    "float32 states": "torch's recurrences would keep states in the type of the products: in "
    "bfloat16 a cell of 4 no longer grows by 0.01.",
    "torch": "torch's recurrence, a layer a call: its own dropout between layers draws one number "
    "after the other, which took a quarter of an update.",
    "torch in one call": "cuDNN works on several layers at once.",
}


def _torch_module(config: ModelConfig, device: str, in_low_precision: bool) -> Plan:
    how = "torch" if device == "cpu" else "torch in one call"
    how = "float32 states" if in_low_precision else how
    return Plan("layer by layer", (how,) * config.layers, (_TORCH_MODULE[how],))


def _recurrence(
    config: ModelConfig,
    layer: int,
    shape: Shape,
    device: str,
    sequences: int,
    plain: bool,
    clamped: bool,
    block: int,
    in_float16: Callable[[], bool],
) -> tuple[str, str]:
    """What computes a layer along time, and why."""
    kind = config.form.recurrence_of(layer)
    positions = min(shape.positions, block or shape.positions)
    if plain:
        return "cells", "the equations themselves, as gradients or other types are asked for."
    if kind is None:
        return "in place", "step by step, as torch has no recurrence that shows as much."
    if clamped:
        return "in place", "step by step, as units of it are clamped."
    if positions < MIN_POSITIONS_AT_ONCE:
        return "in place", f"step by step: fewer than {MIN_POSITIONS_AT_ONCE} positions."
    if _gains_by_steps(config, shape, device, sequences, in_float16):
        return "in place", "step by step, as its weight is read faster in an order made for it."
    return "at once", f"torch's {kind}, and its gates read off or computed after it."


def _gains_by_steps(
    config: ModelConfig,
    shape: Shape,
    device: str,
    sequences: int,
    in_float16: Callable[[], bool],
) -> bool:
    """Whether products with h step by step take less time than torch's recurrence.

    A GRU's needs a product over all positions after it, so that steps gain wherever an order made
    for them does, and for a single sequence in float16. torch's LSTM does more at a step for what
    it reads: there steps gain only where a large weight is read in float16, for a few sequences,
    and for a single one where others are to come, as torch's LSTM would need the weight in an order
    of its own.
    """
    units, float32 = config.units, torch.float32
    if config.form.recurrence == "GRU":
        large = gains_by_packing(3 * units * units, sequences, device, float32)
        return shape.positions >= MIN_CALLS and large and (sequences > 1 or in_float16())
    large = gains_by_packing(4 * units * units, 1, device, float32)
    few = 1 < sequences <= MAX_ROWS_IN_FLOAT16
    return few and large and in_float16()


def staggers(config: ModelConfig) -> bool:
    """Whether a model's layers share all their weights, these are too large for the near caches
    (smaller ones take no time to be read again), and side by side they take little memory."""
    return (
        config.tie == "all"
        and config.layers > 1
        and _weight(config) >= MIN_LARGE_FOR_ONE_ROW
        and config.layers * MAX_BLOCK * config.values_a_layer <= MAX_STAGGERED_NUMBERS
    )


def _gains_by_staggering(config: ModelConfig, shape: Shape) -> bool:
    """Whether side by side takes less than three quarters of the positions, one after the other,
    that layer by layer takes."""
    blocks, block = schedules.split_evenly(shape.positions, MAX_BLOCK)
    positions = (blocks + config.layers - 1) * block
    return 4 * positions < 3 * config.layers * shape.positions


def _weight(config: ModelConfig) -> int:
    """Numbers of an LSTM's weight."""
    return 4 * config.units * 2 * config.units


def positions_at_once(config: ModelConfig, clamps: Clamps | None) -> int:
    """How many positions of a text a model is to read at a time, with these clamps, if any."""
    if clamps is None and staggers(config):
        # What is read, the same padded, and the outputs of the top layer are there for all
        # positions.
        return max(1, min(MAX_STAGGERED_POSITIONS, MAX_NUMBERS // (3 * config.units)))
    widest = max(config.values_a_layer, config.input_size, config.vocabulary_size)
    return max(1, min(MAX_POSITIONS, MAX_NUMBERS // widest))


def gains_by_packing(size: int, rows: int, device: str, dtype: torch.dtype) -> bool:
    """Whether a product of so many rows with a weight of so many numbers is faster in an order made
    for it."""
    return (
        size >= (MIN_LARGE if rows > 1 else MIN_LARGE_FOR_ONE_ROW)
        and device == "cpu"
        and dtype == torch.float32
        and torch.backends.mkldnn.is_available()
    )


def gains_by_columns(rows: int, size: int) -> bool:
    """Whether a product of so many rows with a weight of so many numbers, which is in no order made
    for it, is faster if what one input is multiplied with lies side by side: in half the time where
    one row is multiplied with a weight that is in the near caches."""
    return rows == 1 and size < MIN_LARGE_FOR_ONE_ROW


def packs_weights(shape: Shape, part: str, layers: int) -> bool:
    """Whether so much is to be read with a weight that so many layers share that an order made for
    it pays: hidden states are read position by position, all else call by call."""
    calls = layers * (shape.total if part == "hidden" else -(-shape.total // shape.positions))
    return calls >= MIN_CALLS or layers * shape.total * shape.sequences >= MIN_ROWS


def _why_packed(config: ModelConfig, shape: Shape, sequences: int, device: str) -> str:
    """Whether weights that hidden states are multiplied with are made ready, and why."""
    shapes = [of for of in config.form.layer(config, 0).values() if len(of) == 2]
    sizes = [rows * (columns - config.input_size) for rows, columns in shapes]
    if not any(gains_by_packing(size, sequences, device, torch.float32) for size in sizes):
        return "Products are plain: no weight is so large that an order made for it gains."
    if not packs_weights(shape, "hidden", config.layers if config.tie == "all" else 1):
        return f"Products are plain: {shape.total} positions do not pay for an order of weights."
    return f"Large weights are put in an order made for them: {shape.total} positions pay for it."


def needs_plain_products(device: str) -> bool:
    """Whether gradients are recorded or products done in another type than their rows are in: what
    is faster on a device can do neither."""
    return torch.is_grad_enabled() or torch.is_autocast_enabled(device)


def multiplies_natively(dtype: torch.dtype, device: torch.device) -> bool:
    """Whether a product of this type is the processor's own.

    Measured on a CPU with AVX512-BF16 and without AMX: torch's product of bfloat16 takes twice as
    long as that of float32, so that there the same numbers are multiplied in float32.
    """
    return dtype != torch.bfloat16 or device.type != "cpu" or torch.cpu._is_amx_tile_supported()


def _grouped(reasons: list[str]) -> list[str]:
    """Reasons that several layers share, once, with the layers before them."""
    layers: dict[str, list[str]] = {}
    for reason in reasons:
        name, mark, why = reason.partition(": ")
        own = bool(mark) and name.startswith("Layer ")
        layers.setdefault(why if own else reason, []).append(name[6:] if own else "")
    return [f"Layer {', '.join(of)}: {why}" if of[0] else why for why, of in layers.items()]
