"""The gated-feedback RNN with LSTM units (Chung et al. 2015, arXiv 1502.02367): every layer also
reads what all layers, upper ones too, showed at the character before, each through its own gate.

The gate from layer i to layer j is one number, the global reset gate
`r_ij = sigmoid(w_j below + u_ij h*)` (equation 6), where h* are the hidden states of all layers
at the character before and `below` is that of the layer below. The candidate is
`g_j = tanh(W below + sum_i r_ij * U_ij h_i + b)` (equation 9 of the paper, the biases added);
the input, forget and output gates are those of a stacked LSTM.
"""

import torch
from torch.nn.functional import linear

from gridlstm.cells import Cell, Layer, Values
from gridlstm.cells.lstm import lstm
from gridlstm.sequences import spread


class GatedFeedbackLSTM(Cell):
    """It is read position by position, [1, B, U] at a time."""

    outputs = "time.hidden"
    forget = (("time.bias", 1),)

    def read(self, layer: Layer) -> dict[str, Values]:
        (h, c), units = layer.state, self.config.units
        below, everywhere = spread(layer.inputs[0], layer.sequences), layer.everywhere
        assert everywhere is not None
        weight, of_candidate = layer.tensor("time.weight"), layer.tensor("time.candidate")
        bias, of_reset = layer.tensor("time.bias"), layer.tensor("feedback.weight")
        reset = linear(torch.cat((everywhere, below), -1), of_reset).sigmoid()
        gated = (everywhere.unflatten(-1, (-1, units)) * reset[..., None]).flatten(-2)
        gates = linear(torch.cat((h, below), -1), weight, bias[: 3 * units])
        candidate = linear(torch.cat((gated, below), -1), of_candidate, bias[3 * units :])
        values = lstm(layer, "time", torch.cat((gates, candidate), -1), c)
        values["feedback.reset"] = reset.to(c.dtype)
        return {quantity: of[None] for quantity, of in values.items()}
