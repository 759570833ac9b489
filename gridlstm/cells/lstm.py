"""The LSTM of Hochreiter and Schmidhuber (1997) with the forget gate of Gers et al. (2000), and the
stacked LSTM of char-rnn: each layer an LSTM along time, fed by the hidden state of that below."""

from torch import Tensor, nn

from gridlstm.architectures import LSTM
from gridlstm.cells import Cell, Layer, Values
from gridlstm.cells.arithmetic import gates_of, tanh

NAMES = {along: [f"{along}.{kind}" for kind in LSTM] for along in ("time", "depth")}


def lstm(
    layer: Layer,
    dimension: str,
    sums: Tensor,
    cell: Tensor,
    joined: Tensor | float = 0.0,
    activation: str = "sigmoid",
) -> dict[str, Tensor]:
    """`c' = f*c + i*g`, `h = o*tanh(c')` from sums [..., 4U], by name of quantity.

    What is `joined` is added to the new memory; `activation` names what gates go through. Changes
    `sums` where no gradient is recorded.
    """
    i, f, o, g = gates_of(sums.to(cell.dtype), activation)
    f = layer.clamp(f"{dimension}.forget", f)
    cell = (f * cell).addcmul_(i, g)
    if isinstance(joined, Tensor):
        cell = cell + joined
    cell = layer.clamp(f"{dimension}.cell", cell)
    return dict(zip(NAMES[dimension], (cell, o * tanh(cell), i, f, o, g), strict=True))


def lstm_step(layer: Layer, of_hidden, sums: Tensor, h: Tensor, c: Tensor) -> dict[str, Tensor]:
    """An LSTM along time at one position."""
    return lstm(layer, "time", sums + of_hidden(h), c)


class StackedLSTM(Cell):
    """Its option `gates` says what the gates go through (`cells.arithmetic.GATE_ACTIVATIONS`)."""

    outputs = "time.hidden"
    forget = (("time.bias", 1),)

    def __init__(self, config) -> None:
        super().__init__(config)
        self.module = nn.LSTM if config.gates == "sigmoid" else None

    def read(self, layer: Layer) -> dict[str, Values]:
        is_usual = self.config.gates == "sigmoid"
        return layer.over_time(lstm_step if is_usual else self._step, "time")

    def _step(self, layer: Layer, of_hidden, sums: Tensor, h: Tensor, c: Tensor) -> dict:
        return lstm(layer, "time", sums + of_hidden(h), c, activation=self.config.gates)
