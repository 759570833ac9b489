"""The gated recurrent unit of Cho et al. (2014) as char-rnn and torch have it, layer above layer:
`r, z = sigmoid(W_r,z [h ; below] + b_r,z)`, `g = tanh(W_below below + b_g + r * (W_h h + b_h))`,
`h' = z * h + (1 - z) * g`. So h is itself a memory that is carried linearly; the update gate z
keeps it.

It trains through `torch.nn.GRU`, which keeps two biases for each gate that are only ever added.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from gridlstm.networks.cells import State
from gridlstm.networks.holds import Holds
from gridlstm.networks.layerwise import Products
from gridlstm.networks.lstm import Values
from gridlstm.networks.products import spread
from gridlstm.networks.rnn import TorchNetwork


class GRU(TorchNetwork):
    kind = nn.GRU

    def read_layer(
        self,
        layer: int,
        products: Products,
        read: Tensor,
        memory: None,
        state: State,
        holds: Holds | None,
    ) -> dict[str, Values]:
        (h,), steps = state, []
        # Not by its name, which would put all of the layer's weights together at every call.
        bias = self.parts(layer)[2][2 * self.config.units :]
        from_h, from_below = products.of(layer, "time").over_time(read, len(h))
        for below in spread(from_below, len(h)):
            (r, z, g), (r_h, z_h, g_h) = below.chunk(3, -1), from_h(h).chunk(3, -1)
            r, z = (r + r_h).sigmoid(), (z + z_h).sigmoid()
            g = (g + r * (g_h + bias)).tanh()
            if holds is not None:
                holds.put(z, "time.update", layer)
            h = z * h + (1 - z) * g
            if holds is not None:
                holds.put(h, "time.hidden", layer)
            steps.append((h, r, z, g))
        names = "time.hidden", "time.reset", "time.update", "time.candidate"
        return dict(zip(names, zip(*steps, strict=True), strict=True))

    def tensors_of(self, layer: int) -> dict[str, Tensor]:
        """Columns [h ; below], rows reset, update, candidate; both biases of a gate added up, those
        of the candidate apart."""
        recurrent, below, of_recurrent, of_below = self.parts(layer)
        gates = 2 * self.config.units
        added = functional.pad(of_recurrent[:gates], (0, self.config.units))
        return {
            "time.weight": torch.cat((recurrent, below), 1),
            "time.bias": of_below + added,
            "time.candidate_bias": of_recurrent[gates:],
        }

    @torch.no_grad()
    def load_tensors(self, tensors: dict[str, Tensor]) -> None:
        """Take the values of `to_tensors`' names and shapes."""
        gates = 2 * self.config.units
        for layer in range(self.config.layers):
            own, (recurrent, below, of_recurrent, of_below) = (
                f"layers.{layer}.time",
                self.parts(layer),
            )
            for mine, given in zip(
                (recurrent, below), tensors[f"{own}.weight"].chunk(2, 1), strict=True
            ):
                mine.copy_(given)
            of_below.copy_(tensors[f"{own}.bias"])
            of_recurrent[:gates] = 0
            of_recurrent[gates:] = tensors[f"{own}.candidate_bias"]
