"""A recurrent network whose depth is Highway layers (Srivastava, Greff and Schmidhuber 2015, arXiv
1505.00387): `y = T * H + (1 - T) * below`, equations 2 and 3.

H and T read the layer's own y at the character before, too: that makes it recurrent. What is
carried up is the byte's embedding, of which each layer keeps the share `C = 1 - T` of each unit,
the carry gate; the gate is learnt as C, whose bias of 1 at the start is T's of -1 in the paper.
"""

from torch import Tensor

from gridlstm.networks.cells import State
from gridlstm.networks.holds import Holds
from gridlstm.networks.layerwise import LayerwiseNetwork, Products
from gridlstm.networks.lstm import Values
from gridlstm.networks.products import add_spread, spread


class HighwayRNN(LayerwiseNetwork):
    hands_up = "depth.cell", "depth.cell"

    def initialise(self, forget_bias: float) -> None:
        """Set the bias of the carry gates."""
        self.set_bias("depth.bias", slice(self.config.units), forget_bias)

    def first_memory(self, embedded: Tensor) -> Tensor:
        return embedded

    def read_layer(
        self,
        layer: int,
        products: Products,
        read: Tensor,
        memory: Tensor,
        state: State,
        holds: Holds | None,
    ) -> dict[str, Values]:
        (y,), steps = state, []
        from_y, from_below = products.of(layer, "depth").over_time(read, len(y))
        for sums, carried in zip(from_below, spread(memory, len(y)), strict=True):
            sums = add_spread(from_y(y), sums).to(y.dtype)
            carry, candidate = sums.chunk(2, -1)
            carry, candidate = carry.sigmoid(), candidate.tanh()
            if holds is not None:
                holds.put(carry, "depth.carry", layer)
            y = carry * carried + (1 - carry) * candidate
            if holds is not None:
                holds.put(y, "depth.cell", layer)
            steps.append((y, carry, candidate))
        names = "depth.cell", "depth.carry", "depth.candidate"
        return dict(zip(names, zip(*steps, strict=True), strict=True))
