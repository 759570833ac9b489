"""The gated recurrent unit of Cho et al. (2014) as char-rnn and torch have it, layer above layer:
`r, z = sigmoid(W_r,z [h ; below] + b_r,z)`, `g = tanh(W_below below + b_g + r * (W_h h + b_h))`,
`h' = z * h + (1 - z) * g`. So h is itself a memory that is carried linearly; the update gate z
keeps it.

It trains through `torch.nn.GRU`, which keeps two biases for each gate that are only ever added.
"""

from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional

from gridlstm.networks.cells import State
from gridlstm.networks.holds import Holds
from gridlstm.networks.layerwise import Products
from gridlstm.networks.lstm import Values, allows_at_once
from gridlstm.networks.lstm_at_once import memories
from gridlstm.networks.products import JoinedProduct, spread
from gridlstm.networks.rnn import TorchNetwork

QUANTITIES = "time.hidden", "time.reset", "time.update", "time.candidate"


def _gates(from_h: Tensor, from_below: Tensor, bias: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """r, z, g from the products of h and of what is below [..., 3U], and the candidate's bias."""
    (r_h, z_h, g_h), (r, z, g) = from_h.chunk(3, -1), from_below.chunk(3, -1)
    r, z = (r + r_h).sigmoid(), (z + z_h).sigmoid()
    return r, z, (g + r * (g_h + bias)).tanh()


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
        product = products.of(layer, "time")
        if allows_at_once(read, state, holds, layer) and not product.gains_by_steps(
            len(state[0]), len(read)
        ):
            quantities = self._at_once(layer, product, read, *state)
        else:
            quantities = zip(*self._step_by_step(layer, product, read, *state, holds), strict=True)
        return dict(zip(QUANTITIES, quantities, strict=True))

    def _step_by_step(
        self, layer: int, product: JoinedProduct, read: Tensor, h: Tensor, holds: Holds | None
    ) -> Iterator[tuple[Tensor, ...]]:
        """Those of each position of `read` [T, A, U], from h [B, U]."""
        bias = self._candidate_bias(layer)
        from_h, from_below = product.over_time(read, len(h))
        for below in spread(from_below, len(h)):
            r, z, g = _gates(from_h(h), below, bias)
            if holds is not None:
                holds.put(z, "time.update", layer)
            h = z * h + (1 - z) * g
            if holds is not None:
                holds.put(h, "time.hidden", layer)
            yield h, r, z, g

    def _at_once(
        self, layer: int, product: JoinedProduct, read: Tensor, h: Tensor
    ) -> tuple[Tensor, ...]:
        """Those of all positions of `read` [T, B, U], of which nothing is held: given the hidden
        states of torch's GRU, every gate follows from one product over all positions.

        The states are then those that follow from the gates: torch computes (h - g) * z + g, which
        moves a state that is to be held, z = 1, by a rounding a position."""
        recurrent, below, of_recurrent, of_below = self.parts(layer)
        weights = below, recurrent, of_below, of_recurrent
        hidden = torch.gru(read, h[None], weights, True, 1, 0.0, False, False, False)[0]
        before, rows = torch.cat((h[None], hidden[:-1])), hidden[..., 0].numel()
        sums = product.of_h.over(rows)(before), product.of_below.over(rows)(read)
        r, z, g = _gates(*sums, self._candidate_bias(layer))
        return memories(z, (1 - z) * g, h), r, z, g

    def _candidate_bias(self, layer: int) -> Tensor:
        # Not by its name, which would put all of the layer's weights together at every call.
        return self.parts(layer)[2][2 * self.config.units :]

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
