"""minGRU (Feng et al. 2024, arXiv 2410.01201, section 3.1): a GRU whose gate and candidate do not
read the state before, so that all positions are computed at once.

`z = sigmoid(W_z below + b_z)`, `g = W_g below + b_g`, `h' = z * h + (1 - z) * g`. (The paper's z is
our 1 - z: here as in a GRU the update gate z keeps.)
"""

from gridlstm.cells import Cell, Layer, Values
from gridlstm.cells.arithmetic import carry_linearly


class MinGRU(Cell):
    outputs = "time.hidden"

    def read(self, layer: Layer) -> dict[str, Values]:
        z, g = layer.of_inputs("time").chunk(2, -1)
        z = layer.clamp("time.update", z.sigmoid())
        # A clamped state needs no step of its own: it is read by no gate.
        h = layer.clamp("time.hidden", carry_linearly(z, (1 - z) * g, *layer.state))
        return {"time.hidden": h, "time.update": z, "time.candidate": g}
