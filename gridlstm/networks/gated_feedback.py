"""The gated-feedback RNN with LSTM units (Chung et al. 2015, arXiv 1502.02367): every layer also
reads what all layers, upper ones too, showed at the character before, each through its own gate.

The gate from layer i to layer j is one number, the global reset gate
`r_ij = sigmoid(w_j below + u_ij h*)` (equation 6), where h* are the hidden states of all layers
at the character before and `below` is that of the layer below. The candidate is
`g_j = tanh(W below + sum_i r_ij * U_ij h_i + b)` (equation 9 of the paper, the biases added);
the input, forget and output gates are those of a stacked LSTM.
"""

import torch
from torch import Tensor
from torch.nn import functional

from gridlstm.architectures import LSTM
from gridlstm.networks.cells import Observer, Reader, State
from gridlstm.networks.dropout import drop
from gridlstm.networks.holds import Holds
from gridlstm.networks.layerwise import Weights


class GatedFeedbackLSTM(Weights):
    def initialise(self, forget_bias: float) -> None:
        """Set the bias of the forget gates."""
        units = self.config.units
        self.set_bias("time.bias", slice(units, 2 * units), forget_bias)

    def forward(self, embedded: Tensor, state: State) -> tuple[Tensor, State]:
        """embedded [T, B, U], state h and c [L, B, U] -> the top layer's h [T, B, U], new state."""
        top = []
        for x in embedded:
            rows = self._step(x, state, None)
            state = tuple(torch.stack([row[kind] for row in rows]) for kind in ("hidden", "cell"))
            top.append(state[0][-1])
        return torch.stack(top), state

    def reader(self) -> Reader:
        return self._read

    def _read(
        self,
        embedded: Tensor,
        state: State,
        observer: Observer | None = None,
        holds: Holds | None = None,
    ) -> tuple[Tensor, State]:
        steps = []
        for x in embedded:
            rows = self._step(x, state, holds)
            steps.append({kind: torch.stack([row[kind] for row in rows]) for kind in rows[0]})
            state = steps[-1]["hidden"], steps[-1]["cell"]
        names = {"feedback.reset": "reset", **{f"time.{kind}": kind for kind in LSTM}}
        for layer in range(self.config.layers if observer else 0):
            of_layer = {
                name: torch.stack([step[kind][layer] for step in steps])
                for name, kind in names.items()
            }
            observer(layer, 0, of_layer)
        return torch.stack([step["hidden"][-1] for step in steps]), state

    def _step(self, below: Tensor, state: State, holds: Holds | None) -> list[dict[str, Tensor]]:
        """What every layer does at one position, by kind: [B, U], the resets [B, L]."""
        before = torch.cat(tuple(state[0]), dim=-1)
        rows = []
        for layer, own in enumerate(zip(*state, strict=True)):
            if layer > 0:
                below = drop(below, self.config.dropout if self.training else 0)
            rows.append(self._layer(layer, below, before, own, holds))
            below = rows[-1]["hidden"]
        return rows

    def _layer(
        self, layer: int, below: Tensor, before: Tensor, state: State, holds: Holds | None
    ) -> dict[str, Tensor]:
        units, (h, c) = self.config.units, state
        bias = self.of(layer, "time.bias")
        reset = functional.linear(
            torch.cat((before, below), -1), self.of(layer, "feedback.weight")
        ).sigmoid()
        gated = (before.unflatten(-1, (-1, units)) * reset[..., None]).flatten(-2)
        gates = functional.linear(
            torch.cat((h, below), -1), self.of(layer, "time.weight"), bias[: 3 * units]
        )
        i, f, o = gates.to(c.dtype).sigmoid().chunk(3, -1)
        g = functional.linear(
            torch.cat((gated, below), -1), self.of(layer, "time.candidate"), bias[3 * units :]
        )
        g = g.to(c.dtype).tanh()
        if holds is not None:
            holds.put(f, "time.forget", layer)
        c = f * c + i * g
        if holds is not None:
            holds.put(c, "time.cell", layer)
        values = (c, o * c.tanh(), i, f, o, g)
        return {**dict(zip(LSTM, values, strict=True)), "reset": reset.to(c.dtype)}
