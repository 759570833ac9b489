"""The gated recurrent unit of Cho et al. (2014), layer above layer: `h' = z * h + (1 - z) * g` with
`r, z = sigmoid(W_r,z [h ; below] + b_r,z)`. So h is itself a memory that is carried linearly; the
update gate z keeps it.

Its option `reset` says where r is put: `after`, as torch and cuDNN have it, on the product,
`g = tanh(W_below below + b_g + r * (W_h h + b_h))`; or `before`, as the paper and char-rnn have it,
on the state, `g = tanh(W_below below + b_g + W_h (r * h))`. (char-rnn's z is our 1 - z.)
"""

from torch import Tensor, nn

from gridlstm.cells import Cell, Layer, Values
from gridlstm.cells.arithmetic import LinearMap
from gridlstm.config import ModelConfig


def gru_gates(of_hidden: Tensor, of_inputs: Tensor, bias: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """r, z, g from the products of h and of the inputs [..., 3U], and the candidate's own bias,
    with the reset after the product."""
    (r_h, z_h, g_h), (r, z, g) = of_hidden.chunk(3, -1), of_inputs.chunk(3, -1)
    r, z = (r + r_h).sigmoid(), (z + z_h).sigmoid()
    return r, z, (g + r * (g_h + bias)).tanh()


def gru_step(layer: Layer, of_hidden: LinearMap, sums: Tensor, h: Tensor) -> dict[str, Tensor]:
    r, z, g = gru_gates(of_hidden(h), sums, layer.tensor("time.candidate_bias"))
    return _update(layer, h, r, z, g)


def _update(layer: Layer, h: Tensor, r: Tensor, z: Tensor, g: Tensor) -> dict[str, Tensor]:
    z = layer.clamp("time.update", z)
    h = layer.clamp("time.hidden", z * h + (1 - z) * g)
    return {"time.hidden": h, "time.reset": r, "time.update": z, "time.candidate": g}


class GRU(Cell):
    outputs = "time.hidden"

    def __init__(self, config: ModelConfig) -> None:
        super().__init__(config)
        self.module = nn.GRU if config.reset == "after" else None

    def read(self, layer: Layer) -> dict[str, Values]:
        if self.config.reset == "after":
            return layer.over_time(gru_step, "time")
        gates = 2 * self.config.units
        of_gates, of_candidate = slice(gates), slice(gates, None)
        recurrent = layer.of_hidden("time", of_gates), layer.of_hidden("time", of_candidate)

        def step(layer: Layer, _: LinearMap, sums: Tensor, h: Tensor) -> dict[str, Tensor]:
            r, z = (sums[..., of_gates] + recurrent[0](h)).sigmoid().chunk(2, -1)
            g = (sums[..., of_candidate] + recurrent[1](r * h)).tanh()
            return _update(layer, h, r, z, g)

        return layer.over_time(step, "time")
