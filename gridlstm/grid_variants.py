"""Other forms of the two-dimensional Grid LSTM (Kalchbrenner, Danihelka and Graves 2015): without
depth priority (section 3.2: the depth LSTM sees h of the character before, as the time LSTM does),
and with a plain tanh or ReLU layer along depth in place of the LSTM (section 3.4, where the time
dimension alone has a memory; it always sees the new time state, unless priority is none).
"""

import torch
from torch import Tensor
from torch.nn import functional

from gridlstm.cells import State
from gridlstm.config import ModelConfig
from gridlstm.holds import Holds
from gridlstm.layerwise import LayerwiseNetwork, Values, by_name, lstm_update, split_columns

TRANSFERS = {"tanh": torch.tanh, "relu": torch.relu}


class GridVariant(LayerwiseNetwork):
    def __init__(self, config: ModelConfig):
        super().__init__(config)
        self.hands_up = "depth.hidden", "depth.cell" if config.depth == "lstm" else None

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
        recurrent, below = split_columns(self.of(layer, "time.weight"))
        (h, c), steps = state, []
        for sums in functional.linear(read, below, self.of(layer, "time.bias")):
            steps.append(lstm_update(sums + functional.linear(h, recurrent), c, holds, layer))
            h, c = steps[-1]["hidden"], steps[-1]["cell"]
        new = torch.stack([step["hidden"] for step in steps])
        seen = new if self.config.priority == "depth" else torch.cat((state[0][None], new[:-1]))
        return {**by_name(steps, "time"), **self._depth(layer, seen, read, memory, holds)}

    def _depth(
        self, layer: int, seen: Tensor, read: Tensor, memory: Tensor | None, holds: Holds | None
    ) -> dict[str, Values]:
        """What is handed up from h as it is `seen` and from below: all positions at once."""
        sums = functional.linear(
            torch.cat((seen, read), -1),
            self.of(layer, "depth.weight"),
            self.of(layer, "depth.bias"),
        ).to(seen.dtype)
        if memory is None:
            return {"depth.hidden": TRANSFERS[self.config.depth](sums)}
        values = lstm_update(sums, memory, holds, layer, "depth")
        return {f"depth.{kind}": of_kind for kind, of_kind in values.items()}
