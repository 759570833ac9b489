"""A recurrent network whose depth is Highway layers (Srivastava, Greff and Schmidhuber 2015, arXiv
1505.00387): `y = T * H + (1 - T) * below`, equations 2 and 3.

H and T read the layer's own y at the character before, too: that makes it recurrent. What is
carried up is the byte's embedding, of which each layer keeps the share `C = 1 - T` of each unit,
the carry gate; the gate is learnt as C, whose bias of 1 at the start is T's of -1 in the paper.
"""

from torch import Tensor

from gridlstm.cells import Cell, Layer, Values
from gridlstm.cells.arithmetic import LinearMap


class HighwayRNN(Cell):
    outputs = memory = "depth.cell"
    forget = (("depth.bias", 0),)

    def first_memory(self, embedded: Tensor) -> Tensor:
        return embedded

    def read(self, layer: Layer) -> dict[str, Values]:
        return layer.over_time(self.step, "depth", layer.memories)

    @staticmethod
    def step(
        layer: Layer, of_hidden: LinearMap, sums: Tensor, below: Tensor, y: Tensor
    ) -> dict[str, Tensor]:
        carry, candidate = (sums + of_hidden(y)).chunk(2, -1)
        carry, candidate = layer.clamp("depth.carry", carry.sigmoid()), candidate.tanh()
        y = layer.clamp("depth.cell", carry * below + (1 - carry) * candidate)
        return {"depth.cell": y, "depth.carry": carry, "depth.candidate": candidate}
