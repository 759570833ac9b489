"""One text read many times side by side, each time with holds of its own.

Information only goes up and forward, except in gated feedback. So a reading is the one without any
holds up to its lowest held layer, which then is all that it has to itself.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain

import torch
from torch import Tensor

from gridlstm.model import LanguageModel
from gridlstm.networks.cells import State
from gridlstm.networks.holds import Hold, Holds, check_hold, holds_of
from gridlstm.networks.layerwise import LayerwiseNetwork, Products


class WholeReadings:
    """Readings of all layers, for every architecture. Raises HoldError."""

    def __init__(self, model: LanguageModel, interventions: Sequence[Sequence[Hold]]) -> None:
        self.reader, self.state = model.recurrent.reader(), model.start(len(interventions))
        self.layers_at_once = model.config.layers
        self.holds = holds_of(interventions, model.config, model.decoder.weight)
        self.of = torch.arange(len(interventions), device=model.decoder.weight.device)

    def read(self, embedded: Tensor) -> Tensor:
        """Read on: embedded bytes [T, 1, U] -> what the decoder gets of each reading [T, R, U].

        `of` [intervention] says which of the R readings is an intervention's, `layers_at_once` of
        how many layers all that is computed is in memory at a time.
        """
        shared = embedded.expand(-1, len(self.of), -1)
        top, self.state = self.reader(shared, self.state, holds=self.holds)
        return top


@dataclass
class Level:
    """What is held of the sequences that a layer reads, and what it carries [sequence, U]."""

    holds: Holds
    state: State


class ReadingsFromBelow:
    """Readings each from its lowest held layer up, for layers that run one above the other.

    The first sequence has no holds. Those of a layer come before those that begin above it, which
    up to there are the first one. Raises HoldError.
    """

    layers_at_once = 1

    def __init__(self, model: LanguageModel, interventions: Sequence[Sequence[Hold]]) -> None:
        self.network, like = model.recurrent, model.decoder.weight
        self.products, self.levels = Products(model.recurrent), []
        for hold in chain.from_iterable(interventions):
            check_hold(hold, model.config)
        begins = [min((hold.layer for hold in holds), default=0) for holds in interventions]
        order = sorted((n for n, begin in enumerate(begins) if begin), key=begins.__getitem__)
        self.of = torch.zeros(len(begins), dtype=torch.int64, device=like.device)
        self.of[order] = torch.arange(1, len(order) + 1, device=like.device)
        for layer in range(1, model.config.layers + 1):
            read = [interventions[n] for n in order if begins[n] <= layer]
            state = tuple(part[0] for part in model.start(len(read) + 1))
            self.levels.append(Level(holds_of([[], *read], model.config, like), state))

    def read(self, embedded: Tensor) -> Tensor:
        """As that of `WholeReadings`."""
        network = self.network
        read, memory = embedded, network.first_memory(embedded)
        for layer, level in enumerate(self.levels):
            below = read, memory
            values = network.read_layer(layer, self.products, *below, level.state, level.holds)
            level.state = network.carried_on(values)
            read, memory = network.handed_up(values)
        return read


def readings(
    model: LanguageModel, interventions: Sequence[Sequence[Hold]]
) -> WholeReadings | ReadingsFromBelow:
    """The readings of a text under each intervention. Raises HoldError."""
    layerwise = isinstance(model.recurrent, LayerwiseNetwork)
    return (ReadingsFromBelow if layerwise else WholeReadings)(model, interventions)
