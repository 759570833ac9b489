"""The gated recurrent unit of Cho et al. (2014), layer above layer: `h' = z * h + (1 - z) * g` with
`r, z = sigmoid(W_r,z [h ; below] + b_r,z)`. So h is itself a memory that is carried linearly; the
update gate z keeps it.

Its option `reset` says where r is put: `after`, as torch and cuDNN have it, on the product,
`g = tanh(W_below below + b_g + r * (W_h h + b_h))`; or `before`, as the paper and char-rnn have it,
on the state, `g = tanh(W_below below + b_g + W_h (r * h))`. (char-rnn's z is our 1 - z.)

Its option `gates` says what r and z go through (`cells.arithmetic.GATE_ACTIVATIONS`).
"""

from functools import partial

import torch
from torch import Tensor, nn

from gridlstm.cells import Cell, Layer, Values
from gridlstm.cells.arithmetic import GATE_ACTIVATIONS


def gru_gates(
    of_hidden: Tensor, of_inputs: Tensor, bias: Tensor, activation=torch.sigmoid
) -> tuple[Tensor, Tensor, Tensor]:
    """r, z, g from the products of h and of the inputs [..., 3U], and the candidate's own bias,
    with the reset after the product."""
    (r_h, z_h, g_h), (r, z, g) = of_hidden.chunk(3, -1), of_inputs.chunk(3, -1)
    r, z = activation(r + r_h), activation(z + z_h)
    return r, z, (g + r * (g_h + bias)).tanh()


def gru_step(
    layer: Layer, of_hidden, sums: Tensor, h: Tensor, activation=torch.sigmoid
) -> dict[str, Tensor]:
    r, z, g = gru_gates(of_hidden(h), sums, layer.tensor("time.candidate_bias"), activation)
    return _update(layer, h, r, z, g)


def _update(layer: Layer, h: Tensor, r: Tensor, z: Tensor, g: Tensor) -> dict[str, Tensor]:
    z = layer.clamp("time.update", z)
    h = layer.clamp("time.hidden", z * h + (1 - z) * g)
    return {"time.hidden": h, "time.reset": r, "time.update": z, "time.candidate": g}


class GRU(Cell):
    outputs = "time.hidden"

    def __init__(self, config) -> None:
        super().__init__(config)
        is_torchs = config.reset == "after" and config.gates == "sigmoid"
        self.module = nn.GRU if is_torchs else None

    def read(self, layer: Layer) -> dict[str, Values]:
        activation = GATE_ACTIVATIONS[self.config.gates]
        if self.module is not None:
            return layer.over_time(gru_step, "time")
        if self.config.reset == "after":
            return layer.over_time(partial(gru_step, activation=activation), "time")
        gates = 2 * self.config.units
        of_gates, of_candidate = slice(gates), slice(gates, None)
        recurrent = layer.of_hidden("time", of_gates), layer.of_hidden("time", of_candidate)

        def step(layer: Layer, _, sums: Tensor, h: Tensor) -> dict[str, Tensor]:
            r, z = activation(sums[..., of_gates] + recurrent[0](h)).chunk(2, -1)
            g = (sums[..., of_candidate] + recurrent[1](r * h)).tanh()
            return _update(layer, h, r, z, g)

        return layer.over_time(step, "time")
