"""The plain recurrent network of char-rnn: `h' = tanh(W [h ; below] + b)`, layer above layer."""

from torch import Tensor, nn

from gridlstm.cells import Cell, Layer, Values
from gridlstm.cells.arithmetic import LinearMap


class RNN(Cell):
    outputs = "time.hidden"
    module = nn.RNN

    def read(self, layer: Layer) -> dict[str, Values]:
        return layer.over_time(self.step, "time")

    @staticmethod
    def step(layer: Layer, of_hidden: LinearMap, sums: Tensor, h: Tensor) -> dict[str, Tensor]:
        return {"time.hidden": layer.clamp("time.hidden", (sums + of_hidden(h)).tanh())}
