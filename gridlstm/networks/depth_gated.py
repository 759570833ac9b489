"""The depth-gated LSTM (Yao et al. 2015, arXiv 1508.03790): a stacked LSTM whose memories are also
joined from layer to layer, by a depth gate.

`c' = f*c + i*g + d*below` with `below` the memory of the layer below at the same character and
`d = sigmoid(W x + b + w_before * c + w_below * below)` (the paper's equation 8; x is the
hidden state of the layer below). The LSTM itself is the one used throughout, without peepholes.
The first layer has no memory below: its depth gate is 0.
"""

import torch
from torch import Tensor
from torch.nn import functional

from gridlstm.networks.cells import State
from gridlstm.networks.holds import Holds
from gridlstm.networks.layerwise import LayerwiseNetwork, Products
from gridlstm.networks.lstm import Values, by_name, lstm_update
from gridlstm.networks.products import add_spread, spread


class DepthGatedLSTM(LayerwiseNetwork):
    hands_up = "time.hidden", "time.cell"

    def initialise(self, forget_bias: float) -> None:
        """Set the bias of the forget gates; the depth gates begin half open."""
        units = self.config.units
        self.set_bias("time.bias", slice(units, 2 * units), forget_bias)

    def read_layer(
        self,
        layer: int,
        products: Products,
        read: Tensor,
        memory: Tensor | None,
        state: State,
        holds: Holds | None,
    ) -> dict[str, Values]:
        (h, c), steps, gates = state, [], []
        from_h, from_below = products.of(layer, "time").over_time(read, len(h))
        from_memory = self._from_memory(layer, read, memory, len(h))
        for sums, (for_depth, carried) in zip(from_below, from_memory, strict=True):
            depth, joined = torch.zeros_like(c), None
            if carried is not None:
                depth = (for_depth + self.of(layer, "depth.before") * c).sigmoid()
            if holds is not None:
                holds.put(depth, "depth.gate", layer)
            if carried is not None:
                joined = depth * carried
            sums = add_spread(from_h(h), sums)
            steps.append(lstm_update(sums, c, holds, layer, joined=joined))
            h, c = steps[-1]["hidden"], steps[-1]["cell"]
            gates.append(depth)
        return {**by_name(steps, "time"), "depth.gate": gates}

    def _from_memory(self, layer: int, read: Tensor, memory: Tensor | None, sequences: int):
        """At each position what below gives to the sums of the depth gate, and the memory below."""
        if memory is None:
            return [(None, None)] * len(read)
        weight, bias = self.of(layer, "depth.weight"), self.of(layer, "depth.bias")
        sums = functional.linear(read, weight, bias) + self.of(layer, "depth.below") * memory
        return zip(spread(sums, sequences), spread(memory, sequences), strict=True)
