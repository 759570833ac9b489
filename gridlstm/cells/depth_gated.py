"""The depth-gated LSTM (Yao et al. 2015, arXiv 1508.03790): a stacked LSTM whose memories are also
joined from layer to layer, by a depth gate.

`c' = f*c + i*g + d*below` with `below` the memory of the layer below at the same character and
`d = sigmoid(W x + b + w_before * c + w_below * below)` (the paper's equation 8; x is the
hidden state of the layer below). The LSTM itself is the one used throughout, without peepholes.
The first layer has no memory below: its depth gate is 0.
"""

import torch
from torch import Tensor

from gridlstm.cells import Cell, Layer, Values, joined
from gridlstm.cells.arithmetic import LinearMap
from gridlstm.cells.lstm import lstm, lstm_step
from gridlstm.sequences import spread


class DepthGatedLSTM(Cell):
    outputs, memory = "time.hidden", "time.cell"
    forget = (("time.bias", 1),)

    def read(self, layer: Layer) -> dict[str, Values]:
        if layer.memory is None:
            values = layer.over_time(lstm_step, "time")
            closed = torch.zeros_like(joined(values["time.cell"]))
            return {**values, "depth.gate": layer.clamp("depth.gate", closed)}
        below = spread(layer.memory, layer.sequences)
        sums = layer.of_inputs("depth") + layer.tensor("depth.below") * below
        return layer.over_time(self.step, "time", sums, below)

    @staticmethod
    def step(
        layer: Layer,
        of_hidden: LinearMap,
        sums: Tensor,
        for_depth: Tensor,
        below: Tensor,
        h: Tensor,
        c: Tensor,
    ) -> dict[str, Tensor]:
        depth = torch.addcmul(for_depth, layer.tensor("depth.before"), c).sigmoid()
        depth = layer.clamp("depth.gate", depth)
        values = lstm(layer, "time", sums + of_hidden(h), c, depth * below)
        return {**values, "depth.gate": depth}
