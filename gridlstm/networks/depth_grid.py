"""The one-dimensional Grid LSTM over depth (Kalchbrenner, Danihelka and Graves 2015, section 3.3):
an LSTM that goes up the layers, `d_l, m_l = lstm(W [d_l,t-1 ; d_l-1] + b, m_l-1)`, and has no
memory in time: what a layer knows of the characters before is its own hidden state at the last one.
"""

import torch
from torch import Tensor

from gridlstm.networks.cells import State
from gridlstm.networks.holds import Holds
from gridlstm.networks.layerwise import LayerwiseNetwork, Products
from gridlstm.networks.lstm import Values, by_name, lstm_update
from gridlstm.networks.products import add_spread, spread


class DepthGridLSTM(LayerwiseNetwork):
    hands_up = "depth.hidden", "depth.cell"

    def initialise(self, forget_bias: float) -> None:
        """Set the bias of the forget gates."""
        units = self.config.units
        self.set_bias("depth.bias", slice(units, 2 * units), forget_bias)

    def first_memory(self, embedded: Tensor) -> Tensor:
        return torch.zeros_like(embedded)

    def read_layer(
        self,
        layer: int,
        products: Products,
        read: Tensor,
        memory: Tensor,
        state: State,
        holds: Holds | None,
    ) -> dict[str, Values]:
        (h,), steps = state, []
        from_h, from_below = products.of(layer, "depth").over_time(read, len(h))
        for sums, carried in zip(from_below, spread(memory, len(h)), strict=True):
            sums = add_spread(from_h(h), sums)
            steps.append(lstm_update(sums, carried, holds, layer, "depth"))
            h = steps[-1]["hidden"]
        return by_name(steps, "depth")
