"""The recurrent part of a model: the weights of its layers, and a text read with them.

What a layer computes is told by its cell (`gridlstm.cells`), in which order layers are computed and
how fast by a plan (`gridlstm.backends.plan`). Shapes: L layers, T positions, B sequences, U units,
I numbers that the first layer reads of a token (the embedding, or a one-hot vector).
"""

from collections import defaultdict
from collections.abc import Callable, Hashable, Iterator, Sequence
from functools import partial
from itertools import chain
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from gridlstm.backends.fast import FAST
from gridlstm.backends.feedback import read_feedback
from gridlstm.backends.linear import LayerWeights
from gridlstm.backends.parallel import Work, results_of, torch_threads
from gridlstm.backends.plan import Plan, Shape, plan
from gridlstm.cells import Cell, Layer, Values, joined
from gridlstm.cells.arithmetic import State, swap_gates
from gridlstm.clamps import Clamps
from gridlstm.config import ModelConfig
from gridlstm.dropout import drop
from gridlstm.schedules import Block

# Is given what each layer, from 0, did, as soon as it is known: the layer, the position, from 0, at
# which it begins, and its quantities from there on [T, B, U] by name. A layer's positions come in
# their order, all at once or some at a time, and no position before the layer below has told it.
Observer = Callable[[int, int, dict[str, Tensor]], None]


class Network(nn.Module):
    """The layers of any architecture."""

    def __init__(self, config: ModelConfig, cell: Cell) -> None:
        super().__init__()
        self.config, self.cell = config, cell
        self.add_parameters()

    # -- Weights ----------------------------------------------------------------------------------

    def add_parameters(self) -> None:
        """Make the parameters, all 0: one for each tensor of a checkpoint, called as it is there,
        unless a network keeps them in another order."""
        for name, shape in self.config.layer_shapes().items():
            self.register_parameter(_attribute(name), nn.Parameter(torch.zeros(shape)))

    def of(self, layer: int, name: str) -> Tensor:
        """One of a layer's tensors, the shared one where it has none of its own."""
        own = _attribute(f"layers.{layer}.{name}")
        found = own if hasattr(self, own) else _attribute(f"layers.0.{name}")
        tensor: Tensor = getattr(self, found)
        return tensor

    def torch_weights(self, layer: int) -> list[Tensor]:
        """The weights of a layer's LSTM along time as torch.lstm takes them: for what is below, for
        h, and two biases, of which the second is 0."""
        widths = self.config.units, self.config.input_width(layer)
        of_h, of_below = swap_gates(self.of(layer, "time.weight")).split(widths, dim=1)
        bias = swap_gates(self.of(layer, "time.bias"))
        return [of_below.contiguous(), of_h.contiguous(), bias, torch.zeros_like(bias)]

    def to_tensors(self) -> dict[str, Tensor]:
        """The tensors of a checkpoint by name (a shared one under layer 0)."""
        tensors = {}
        for name in self.config.layer_shapes():
            _, layer, rest = name.split(".", 2)
            tensors[name] = self.of(int(layer), rest)
        return tensors

    @torch.no_grad()
    def load_tensors(self, tensors: dict[str, Tensor]) -> None:
        """Take the values of `to_tensors`' names and shapes."""
        for name, mine in self.to_tensors().items():
            mine.copy_(tensors[name])

    @torch.no_grad()
    def initialise(self, forget_bias: float) -> None:
        """Set the biases of the gates that keep a memory."""
        for name, gate in self.cell.forget:
            rows = slice(gate * self.config.units, (gate + 1) * self.config.units)
            for tensor, bias in self.to_tensors().items():
                if tensor.endswith(f".{name}"):
                    bias[rows] = forget_bias

    # -- Reading ----------------------------------------------------------------------------------

    def forward(self, embedded: Tensor, state: State) -> tuple[Tensor, State]:
        """embedded [T, B, I], states [L, B, U] -> the outputs of the top layer [T, B, U], new
        states."""
        positions, sequences, _ = embedded.shape
        dropout = self.config.dropout if self.training else 0
        reader = Reader(self, Shape(positions, sequences, positions))
        return reader(embedded, state, dropout=dropout)

    def reader(self, shape: Shape) -> "Reader":
        """What reads embedded tokens without dropout, for many calls."""
        return Reader(self, shape)


class Reader:
    """Reads embedded tokens on from a state, telling an observer, if any, what happens inside.

    `shape` says how much is to be read with it: what it makes ready of the weights it keeps, so it
    shows what these were when they were first used.
    """

    def __init__(self, network: Network, shape: Shape) -> None:
        self.network, self.shape = network, shape
        self._plans: dict[Hashable, tuple[Plan, Clamps | None]] = {}
        self.weights = LayerWeights(network, shape)

    def __call__(
        self,
        embedded: Tensor,
        state: State,
        observer: Observer | None = None,
        clamps: Clamps | None = None,
        dropout: float = 0,
    ) -> tuple[Tensor, State]:
        """embedded [T, B, I], states [L, B, U] -> what the decoder gets [T, B, U], new states."""
        states = list(zip(*(part.unbind() for part in state), strict=True))
        top = self.read(embedded, states, [clamps] * len(states), observer, dropout)
        return top, tuple(torch.stack(parts) for parts in zip(*states, strict=True))

    def plan(self, positions: int, sequences: int, device: str, clamps: Clamps | None) -> Plan:
        """How so much is read, where gradients and types are as they are now."""
        gradients, low = torch.is_grad_enabled(), torch.is_autocast_enabled(device)
        threads = torch.get_num_threads()
        key = positions, sequences, device, gradients, low, threads, id(clamps)
        if key not in self._plans:
            made = plan(
                self.network.config,
                Shape(positions, sequences, self.shape.total),
                device,
                gradients,
                clamps,
                in_low_precision=low,
                in_float16=lambda: self.weights.in_float16,
                threads=threads,
            )
            self._plans[key] = made, clamps  # kept, as another one could get its id
        return self._plans[key][0]

    def read(
        self,
        embedded: Tensor,
        states: list[State],
        clamps: Sequence[Clamps | None],
        observer: Observer | None = None,
        dropout: float = 0,
    ) -> Tensor:
        """embedded [T, A, U] -> what the decoder gets [T, B, U].

        `states` of each layer [B, U] are replaced by the new ones. A layer may have more sequences
        than the one below it: each beyond those gets from below what the first gets.
        """
        work = _Work(self, embedded, states, clamps, dropout)
        chosen = work.plans[0]
        buffer = _Buffer() if chosen.order == "position by position" else None
        told = buffer.keep if observer and buffer else observer
        for block, values in work.blocks(chosen, keep_all=told is not None):
            if told is not None:
                told(block.layer, block.start, {name: joined(of) for name, of in values.items()})
        if observer and buffer:
            buffer.tell(observer)
        return work.top[0] if len(work.top) == 1 else torch.cat(work.top)


class _Work:
    """One call of a reader: what each layer carries, and what is waiting for it from below."""

    def __init__(
        self,
        reader: Reader,
        embedded: Tensor,
        states: list[State],
        clamps: Sequence[Clamps | None],
        dropout: float,
    ) -> None:
        self.reader, self.embedded, self.states = reader, embedded, states
        self.clamps, self.dropout = clamps, dropout
        self.cell, form = reader.network.cell, reader.network.config.form
        self.carried, self.feedback = tuple(form.state.values()), form.feedback
        self.waiting: dict[tuple[int, int], tuple[Tensor, Tensor | None]] = {}
        self.everywhere: Tensor | None = None
        self.top: list[Tensor] = []
        device = embedded.device.type
        self.plans = [
            reader.plan(len(embedded), len(hidden), device, of_layer)
            for (hidden, *_), of_layer in zip(states, clamps, strict=True)
        ]

    def blocks(self, chosen: Plan, keep_all: bool) -> Iterator[tuple[Block, dict[str, Values]]]:
        """All blocks in the order of a plan, each with its quantities."""
        steps = chosen.steps(len(self.embedded))
        if chosen.order == "together":
            yield from self._read_together(*steps)
            return
        if chosen.workers == 1:
            for step in steps:
                yield from self.read(step, keep_all)
            return
        works: list[Work[tuple[Block, dict[str, Values]]]] = []
        last: dict[int, Work[tuple[Block, dict[str, Values]]]] = {}
        for block in chain.from_iterable(map(reversed, steps)):
            # In a step from the top down, so that the last of the layer below is that below it.
            needs = [last[layer] for layer in (block.layer - 1, block.layer) if layer in last]
            last[block.layer] = Work(partial(self._read_alone, block, keep_all), needs)
            works.append(last[block.layer])
        yield from results_of(works, chosen.workers)

    def _read_together(self, step: list[Block]) -> Iterator[tuple[Block, dict[str, Values]]]:
        weights = self.reader.weights.feedback()
        with torch_threads(1):  # its products are too small to be shared
            of_layers = read_feedback(weights, self.embedded, self.states)
        self.top.append(joined(of_layers[-1][self.cell.outputs]))
        for block, values in zip(step, of_layers, strict=True):
            self._keep_state(block.layer, values, block.stop)
            yield block, values

    def _read_alone(self, block: Block, keep_all: bool) -> tuple[Block, dict[str, Values]]:
        (result,) = self.read([block], keep_all)
        return result

    def read(self, step: list[Block], keep_all: bool) -> Iterator[tuple[Block, dict[str, Values]]]:
        """The quantities of each block of a step, joined where all of them are kept."""
        values = self.cell.read(self._layer(step))
        if keep_all or len(step) > 1:
            values = {quantity: joined(of) for quantity, of in values.items()}
        for n, block in enumerate(step):
            own, length = values, block.stop - block.start
            if len(step) > 1:
                sequences = len(self.states[block.layer][0])
                rows = slice(n * sequences, (n + 1) * sequences)
                own = {quantity: joined(of)[:, rows] for quantity, of in values.items()}
            above = joined(own[self.cell.outputs])
            self._pass_up(block, above, own)
            if above.shape[0] > length:
                own = {quantity: of[:length] for quantity, of in own.items()}
            self._keep_state(block.layer, own, length)
            yield block, own

    def _layer(self, step: list[Block]) -> Layer:
        """The layers of a step as one, of as many sequences as all of them."""
        lowest = step[0].layer
        if lowest == 0:
            self._begin(step)
        inputs, memory = _concatenate([self.waiting.pop(block[:2]) for block in step], dim=1)
        assert inputs is not None  # a memory alone may be missing
        dropout = self.dropout if lowest > 0 else 0
        recurrence = self.plans[lowest].recurrences[lowest]
        return Layer(
            lowest,
            self.reader.weights,
            drop(inputs, dropout),
            memory,
            cast(State, _concatenate([self.states[block.layer] for block in step], dim=0)),
            self.carried,
            self.clamps[lowest],
            self.everywhere,
            FAST[recurrence],
        )

    def _begin(self, step: list[Block]) -> None:
        """What the first layer reads in a step, filled up to the length of the other blocks."""
        here, longest = step[0], max(block.stop - block.start for block in step)
        embedded = self.embedded[here.start : here.stop]
        if len(embedded) < longest:
            embedded = functional.pad(embedded, (0, 0, 0, 0, 0, longest - len(embedded)))
        self.waiting[here[:2]] = embedded, self.cell.first_memory(embedded)
        if self.feedback:
            self.everywhere = torch.cat([hidden for hidden, *_ in self.states], -1)

    def _pass_up(self, block: Block, above: Tensor, values: dict[str, Values]) -> None:
        if block.layer + 1 == len(self.states):
            self.top.append(above[: block.stop - block.start])
            return
        memory = self.cell.memory
        carried = (
            above if memory == self.cell.outputs else joined(values[memory]) if memory else None
        )
        self.waiting[block.layer + 1, block.start] = above, carried

    def _keep_state(self, layer: int, values: dict[str, Values], length: int) -> None:
        """Keep of a layer's quantities what it carries on from the last position [B, U]: copied, as
        a view would keep all the other positions."""
        last = [values[quantity][-1] for quantity in self.carried]
        if length > 1:
            last = [part.clone() for part in last]
        before = self.states[layer][0].dtype
        if last[0].dtype != before:
            last = [part.to(before) for part in last]
        self.states[layer] = tuple(last)


class _Buffer:
    """Keeps what layers did position by position, and tells it layer by layer."""

    def __init__(self) -> None:
        self._kept: dict[int, list[dict[str, Tensor]]] = defaultdict(list)

    def keep(self, layer: int, start: int, values: dict[str, Tensor]) -> None:
        self._kept[layer].append(values)

    def tell(self, observer: Observer) -> None:
        for layer, kept in self._kept.items():
            observer(layer, 0, {name: torch.cat([part[name] for part in kept]) for name in kept[0]})


def _concatenate(parts: Sequence[tuple[Tensor | None, ...]], dim: int) -> tuple[Tensor | None, ...]:
    """What several layers get, each part of it along one dimension after the other."""
    if len(parts) == 1:
        return parts[0]
    together = zip(*parts, strict=True)
    return tuple(None if part[0] is None else torch.cat(part, dim) for part in together)


def _attribute(name: str) -> str:
    return name.replace(".", "_")
