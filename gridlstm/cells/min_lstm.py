"""minLSTM (Feng et al. 2024, arXiv 2410.01201, section 3.2): an LSTM whose gates do not read the
state before, with no output gate, and whose gates are scaled to a sum of 1.

`f, i = sigmoid(W_f,i below + b_f,i)`, `g = W_g below + b_g`,
`h' = f / (f + i) * h + i / (f + i) * g`.
What is shown as forget and input gate are the scaled ones.
"""

from torch.nn.functional import logsigmoid

from gridlstm.cells import Cell, Layer, Values
from gridlstm.cells.arithmetic import carry_linearly


class MinLSTM(Cell):
    outputs = "time.hidden"
    forget = (("time.bias", 1),)

    def read(self, layer: Layer) -> dict[str, Values]:
        i, f, g = layer.of_inputs("time").chunk(3, -1)
        # f / (f + i) of two sigmoids, without a division of 0 by 0 where both are closed.
        log_i, log_f = logsigmoid(i), logsigmoid(f)
        i, f = (log_i - log_f).sigmoid(), (log_f - log_i).sigmoid()
        f = layer.clamp("time.forget", f)
        h = layer.clamp("time.hidden", carry_linearly(f, i * g, *layer.state))
        return {"time.hidden": h, "time.input": i, "time.forget": f, "time.candidate": g}
