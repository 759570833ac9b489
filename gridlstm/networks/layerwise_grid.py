"""The two-dimensional Grid LSTM, one layer above the other, in all its forms (Kalchbrenner,
Danihelka and Graves 2015).

The usual one (sections 3.1, 3.2, 3.5); without depth priority (section 3.2: the depth LSTM sees h
of the character before, as the time LSTM does); and with a plain tanh or ReLU layer along depth in
place of the LSTM (section 3.4, where the time dimension alone has a memory; it always sees the new
time state, unless priority is none).
"""

import torch
from torch import Tensor

from gridlstm.networks.cells import State
from gridlstm.networks.holds import Holds
from gridlstm.networks.layerwise import (
    LayerwiseNetwork,
    Values,
    by_name,
    lstm_over_time,
    lstm_update,
    product_of_both,
    split_columns,
)

TRANSFERS = {"tanh": torch.tanh, "relu": torch.relu}


class LayerwiseGrid(LayerwiseNetwork):
    @property
    def hands_up(self) -> tuple[str, str | None]:
        return "depth.hidden", "depth.cell" if self.config.depth == "lstm" else None

    def initialise(self, forget_bias: float) -> None:
        """Set the bias of the forget gates."""
        units = self.config.units
        self.set_bias("time.bias", slice(units, 2 * units), forget_bias)
        if self.config.depth == "lstm":
            self.set_bias("depth.bias", slice(units, 2 * units), forget_bias)

    def first_memory(self, embedded: Tensor) -> Tensor | None:
        return torch.zeros_like(embedded) if self.config.depth == "lstm" else None

    def read_layer(
        self, layer: int, read: Tensor, memory: Tensor | None, state: State, holds: Holds | None
    ) -> dict[str, Values]:
        weight, bias = self.of(layer, "time.weight"), self.of(layer, "time.bias")
        steps = lstm_over_time(read, *split_columns(weight), bias, state, holds, layer)
        new = torch.stack([step["hidden"] for step in steps])
        seen = new if self.config.priority == "depth" else torch.cat((state[0][None], new[:-1]))
        return {**by_name(steps, "time"), **self._depth(layer, seen, read, memory, holds)}

    def _depth(
        self, layer: int, seen: Tensor, read: Tensor, memory: Tensor | None, holds: Holds | None
    ) -> dict[str, Values]:
        """What is handed up from h as it is `seen` and from below: all positions at once."""
        weight, bias = self.of(layer, "depth.weight"), self.of(layer, "depth.bias")
        sums = product_of_both(seen, read, weight, bias).to(seen.dtype)
        if memory is None:
            return {"depth.hidden": TRANSFERS[self.config.depth](sums)}
        values = lstm_update(sums, memory, holds, layer, "depth")
        return {f"depth.{kind}": of_kind for kind, of_kind in values.items()}
