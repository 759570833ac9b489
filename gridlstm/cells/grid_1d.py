"""The one-dimensional Grid LSTM over depth (Kalchbrenner, Danihelka and Graves 2015, section 3.3):
an LSTM that goes up the layers, `d_l, m_l = lstm(W [d_l,t-1 ; d_l-1] + b, m_l-1)`, and has no
memory in time: what a layer knows of the characters before is its own hidden state at the last one.
"""

from torch import Tensor

from gridlstm.cells import Cell, Layer, Values, no_memory, spread
from gridlstm.cells.lstm import lstm


class DepthGridLSTM(Cell):
    outputs, memory = "depth.hidden", "depth.cell"
    forget = (("depth.bias", 1),)

    def first_memory(self, embedded: Tensor) -> Tensor:
        return no_memory(embedded, self.config.units)

    def read(self, layer: Layer) -> dict[str, Values]:
        return layer.over_time(self.step, "depth", spread(layer.memory, layer.sequences))

    @staticmethod
    def step(layer: Layer, of_hidden, sums: Tensor, m: Tensor, d: Tensor) -> dict[str, Tensor]:
        return lstm(layer, "depth", sums + of_hidden(d), m)
