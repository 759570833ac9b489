"""sLSTM (Beck et al. 2024, xLSTM, arXiv 2405.04517, equations 8 to 17), one head, full weights.

`c' = f*c + i*g`, `n' = f*n + i`, `h = o * c' / n'`, with an exponential input gate `i = exp(z_i)`.
The paper leaves the forget gate to be exponential or a sigmoid; it is a sigmoid here, as in its
authors' code. Gates are scaled by a stabiliser, `m' = max(log f + m, z_i)`, which cancels in h:
`i = exp(z_i - m')`, `f = exp(log f + m - m')`; what is shown are the scaled gates, both in 0..1.
Where nothing was read yet (n = 0) there is nothing to keep, and m is what the input gate asks for.
"""

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from gridlstm.cells import Cell, Layer, Values
from gridlstm.cells.arithmetic import LinearMap

QUANTITIES = "hidden", "cell", "normaliser", "stabiliser", "input", "forget", "output", "candidate"


class SLSTM(Cell):
    outputs = "time.hidden"
    forget = (("time.bias", 1),)

    def read(self, layer: Layer) -> dict[str, Values]:
        return layer.over_time(self.step, "time")

    @staticmethod
    def step(
        layer: Layer, of_hidden: LinearMap, sums: Tensor, h: Tensor, c: Tensor, n: Tensor, m: Tensor
    ) -> dict[str, Tensor]:
        i, f, o, g = (sums + of_hidden(h)).chunk(4, -1)
        log_kept = torch.where(n == 0, -torch.inf, logsigmoid(f) + m)
        m = torch.maximum(log_kept, i)
        i, f, o, g = (i - m).exp(), (log_kept - m).exp(), o.sigmoid(), g.tanh()
        f = layer.clamp("time.forget", f)
        c = layer.clamp("time.cell", f * c + i * g)
        # A forget gate that is clamped may leave nothing to divide by.
        n = (f * n + i).clamp(min=torch.finfo(n.dtype).tiny)
        values = o * c / n, c, n, m, i, f, o, g
        return {f"time.{kind}": of for kind, of in zip(QUANTITIES, values, strict=True)}
