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
from gridlstm.networks.layerwise import LayerwiseNetwork, Products
from gridlstm.networks.lstm import Values, joined, lstm_over_time, lstm_update
from gridlstm.networks.products import product_of_both, spread

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
        self,
        layer: int,
        products: Products,
        read: Tensor,
        memory: Tensor | None,
        state: State,
        holds: Holds | None,
    ) -> dict[str, Values]:
        time = lstm_over_time(read, products.of(layer, "time"), state, holds, layer)
        new = joined(time["time.hidden"])
        seen = new if self.config.priority == "depth" else torch.cat((state[0][None], new[:-1]))
        sums = product_of_both(seen, read, products.of(layer, "depth")).to(seen.dtype)
        return {**time, **self._depth(layer, sums, memory, holds)}

    def _depth(
        self, layer: int, sums: Tensor, memory: Tensor | None, holds: Holds | None
    ) -> dict[str, Values]:
        """What is handed up, from the sums before the gates [T, B, 4U]: all positions at once."""
        if memory is None:
            return {"depth.hidden": TRANSFERS[self.config.depth](sums)}
        memory = spread(memory, sums.shape[1])
        values = lstm_update(sums, memory, holds, layer, "depth")
        return {f"depth.{kind}": of_kind for kind, of_kind in values.items()}
