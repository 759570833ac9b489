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

from gridlstm.cells import Cell, Layer, Values, spread
from gridlstm.cells.arithmetic import LinearMap
from gridlstm.cells.lstm import lstm


class DepthGatedLSTM(Cell):
    outputs, memory = "time.hidden", "time.cell"
    forget = (("time.bias", 1),)

    def read(self, layer: Layer) -> dict[str, Values]:
        if layer.memory is None:
            return layer.over_time(self.step, "time", None, None)
        weight, bias, below = (layer.tensor(f"depth.{n}") for n in ("weight", "bias", "below"))
        sums = functional.linear(layer.inputs, weight, bias) + below * layer.memory
        given = spread(sums, layer.sequences), spread(layer.memory, layer.sequences)
        return layer.over_time(self.step, "time", *given)

    @staticmethod
    def step(
        layer: Layer,
        of_hidden: LinearMap,
        sums: Tensor,
        for_depth: Tensor | None,
        below: Tensor | None,
        h: Tensor,
        c: Tensor,
    ) -> dict[str, Tensor]:
        joined: Tensor | float
        if below is None or for_depth is None:
            depth, joined = layer.clamp("depth.gate", torch.zeros_like(c)), 0.0
        else:
            depth = (for_depth + layer.tensor("depth.before") * c).sigmoid()
            depth = layer.clamp("depth.gate", depth)
            joined = depth * below
        return {**lstm(layer, "time", sums + of_hidden(h), c, joined), "depth.gate": depth}
