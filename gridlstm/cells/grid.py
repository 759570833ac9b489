"""The two-dimensional Grid LSTM in all its forms (Kalchbrenner, Danihelka and Graves 2015).

The usual one (sections 3.1, 3.2, 3.5); without depth priority (section 3.2: the depth LSTM sees h
of the character before, as the time LSTM does); and with a plain tanh or ReLU layer along depth in
place of the LSTM (section 3.4, where the time dimension alone has a memory).
"""

import torch
from torch import Tensor

from gridlstm.cells import Cell, Layer, Values, joined, no_memory, spread
from gridlstm.cells.lstm import lstm, lstm_step

TRANSFERS = {"tanh": torch.tanh, "relu": torch.relu}


class GridLSTM(Cell):
    outputs = "depth.hidden"

    def __init__(self, config) -> None:
        super().__init__(config)
        self.has_memory = config.depth == "lstm"
        self.memory = "depth.cell" if self.has_memory else None
        self.forget = (("time.bias", 1), ("depth.bias", 1))[: 1 + self.has_memory]

    def first_memory(self, embedded: Tensor) -> Tensor | None:
        return no_memory(embedded, self.config.units) if self.has_memory else None

    def read(self, layer: Layer) -> dict[str, Values]:
        time = layer.over_time(lstm_step, "time")
        seen = joined(time["time.hidden"])
        if self.config.priority == "none":
            seen = torch.cat((layer.state[0][None], seen[:-1]))
        sums = layer.of_both("depth", seen)
        if not self.has_memory:
            return {**time, "depth.hidden": TRANSFERS[self.config.depth](sums)}
        return {**time, **lstm(layer, "depth", sums, spread(layer.memory, layer.sequences))}
