"""One text read many times side by side, each time with holds of its own.

Information only goes up and forward, except in gated feedback. So a reading is the one without any
holds up to its lowest held layer, which then is all that it has to itself.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from gridlstm.model import LanguageModel
from gridlstm.networks.cells import State
from gridlstm.networks.holds import Hold, Holds, holds_of
from gridlstm.networks.layerwise import LayerwiseNetwork


class WholeReadings:
    """Readings of all layers, for every architecture. Raises HoldError."""

    def __init__(self, model: LanguageModel, interventions: Sequence[Sequence[Hold]]) -> None:
        self.network, self.state = model.recurrent, model.start(len(interventions))
        self.layers_at_once = model.config.layers
        self.holds = holds_of(interventions, model.config, model.decoder.weight)
        self.of = torch.arange(len(interventions), device=model.decoder.weight.device)

    def read(self, embedded: Tensor) -> Tensor:
        """Read on: embedded bytes [T, 1, U] -> what the decoder gets of each reading [T, R, U].

        `of` [intervention] says which of the R readings is an intervention's, `layers_at_once` of
        how many layers all that is computed is in memory at a time.
        """
        shared = embedded.expand(-1, len(self.of), -1)
        seen = self.network.observe(shared, self.state, self.holds)
        self.state = seen.state
        return seen.top


@dataclass
class Part:
    """Sequences that a layer reads at once: what is held of them, what it carries [sequence, U]."""

    holds: Holds
    state: State


class ReadingsFromBelow:
    """Readings each from its lowest held layer up, for layers that run one above the other.

    In each layer two parts are read: the sequences that are apart already, of which the first has
    no holds, and those that begin here, which read of the first what all of them share. Raises
    HoldError.
    """

    layers_at_once = 1

    def __init__(self, model: LanguageModel, interventions: Sequence[Sequence[Hold]]) -> None:
        self.network, layers = model.recurrent, model.config.layers
        like = model.decoder.weight
        holds_of(interventions, model.config, like)
        begins = [min((hold.layer for hold in holds), default=0) for holds in interventions]
        apart, self.layers, of = [[]], [], torch.zeros(len(begins), dtype=torch.int64)
        for layer in range(1, layers + 1):
            here = [n for n, begin in enumerate(begins) if begin == layer]
            new = [interventions[n] for n in here]
            of[here] = torch.arange(len(here)) + len(apart)
            self.layers.append([self._part(model, part) for part in (apart, new) if part])
            apart = apart + new
        self.of = of.to(like.device)

    @staticmethod
    def _part(model: LanguageModel, interventions: Sequence[Sequence[Hold]]) -> Part:
        holds = holds_of(interventions, model.config, model.decoder.weight)
        return Part(holds, tuple(x[0] for x in model.start(len(interventions))))

    def read(self, embedded: Tensor) -> Tensor:
        """As that of `WholeReadings`."""
        network = self.network
        carried = network.config.form.state.values()
        read, memory = embedded, network.first_memory(embedded)
        for layer, parts in enumerate(self.layers):
            below, above = (read, memory), []
            for part in parts:
                values = network.read_layer(layer, *below, part.state, part.holds)
                part.state = tuple(values[quantity][-1] for quantity in carried)
                above.append(network.handed_up(values))
                below = tuple(x if x is None else x[:, :1].contiguous() for x in (read, memory))
            read, memory = map(_joined, zip(*above, strict=True))
        return read


def _joined(parts: Sequence[Tensor | None]) -> Tensor | None:
    return None if parts[0] is None else torch.cat(parts, dim=1)


def readings(
    model: LanguageModel, interventions: Sequence[Sequence[Hold]]
) -> WholeReadings | ReadingsFromBelow:
    """The readings of a text under each intervention. Raises HoldError."""
    layerwise = isinstance(model.recurrent, LayerwiseNetwork)
    return (ReadingsFromBelow if layerwise else WholeReadings)(model, interventions)
