"""Networks that keep their weights in a module of torch's, and train through its recurrences: the
stacked LSTM, the GRU and the plain RNN.

torch keeps an LSTM's gates as i, f, g, o, and two biases for each gate that are only ever added: of
an LSTM the second stays 0 here and is not trained; the GRU's candidate needs both.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from gridlstm.backends.plan import Shape, plan
from gridlstm.backends.recurrence import GRUSteps, LSTMSteps, RNNSteps, Steps, read_recurrence
from gridlstm.cells.arithmetic import State, swap_gates
from gridlstm.dropout import drop
from gridlstm.network import Network

RECURRENCES: dict[str, Callable[..., tuple[Tensor, ...]]] = {
    "LSTM": torch.lstm,
    "GRU": torch.gru,
    "RNN_TANH": torch.rnn_tanh,
}


class TorchNetwork(Network):
    """A module of torch's that speaks the project's tensor names."""

    def add_parameters(self) -> None:
        config, is_lstm = self.config, self.cell.module is nn.LSTM
        between = config.dropout if config.layers > 1 else 0.0
        kind = self.cell.module
        assert kind is not None
        module = kind(config.input_size, config.units, config.layers, dropout=between)
        # Under its name in the states that runs are resumed from.
        self.name = "lstm" if is_lstm else "torch"
        setattr(self, self.name, module)
        if is_lstm:
            for layer in range(config.layers):
                self.torch_weights(layer)[3].requires_grad_(False).zero_()

    @property
    def module(self) -> nn.RNNBase:
        module: nn.RNNBase = getattr(self, self.name)
        return module

    def torch_weights(self, layer: int) -> list[Tensor]:
        """A layer's weights for what is below and for h, and the biases of both."""
        names = "weight_ih", "weight_hh", "bias_ih", "bias_hh"
        return [getattr(self.module, f"{name}_l{layer}") for name in names]

    @torch.no_grad()
    def initialise(self, forget_bias: float) -> None:
        """Set the bias of an LSTM's forget gates; its redundant bias stays 0."""
        if self.module.mode == "LSTM":
            for layer in range(self.config.layers):
                _, _, bias, redundant = self.torch_weights(layer)
                bias[self.config.units : 2 * self.config.units] = forget_bias
                redundant.zero_()

    def of(self, layer: int, name: str) -> Tensor:
        """One of a layer's tensors, its columns [h ; below]: the biases of a gate added up, those
        of a GRU's candidate apart."""
        of_below, of_h, bias, bias_of_h = self.torch_weights(layer)
        gates = 2 * self.config.units
        if name == "time.candidate_bias":
            return bias_of_h[gates:]
        if name == "time.bias":
            if self.module.mode == "GRU":
                bias_of_h = pad(bias_of_h[:gates], (0, self.config.units))
            found = bias + bias_of_h
        else:
            found = torch.cat((of_h, of_below), 1)
        return swap_gates(found) if self.module.mode == "LSTM" else found

    @torch.no_grad()
    def load_tensors(self, tensors: dict[str, Tensor]) -> None:
        """Take the values of `to_tensors`' names and shapes."""
        units = self.config.units
        for layer in range(self.config.layers):
            weight, bias = (tensors[f"layers.{layer}.time.{kind}"] for kind in ("weight", "bias"))
            if self.module.mode == "LSTM":
                weight, bias = swap_gates(weight), swap_gates(bias)
            of_h, of_below = weight.split((units, self.config.input_width(layer)), 1)
            of_candidate = tensors.get(f"layers.{layer}.time.candidate_bias")
            second = torch.zeros_like(bias)
            if of_candidate is not None:
                second[2 * units :] = of_candidate
            given = of_below, of_h, bias, second
            for mine, value in zip(self.torch_weights(layer), given, strict=True):
                mine.copy_(value)

    def forward(self, embedded: Tensor, state: State) -> tuple[Tensor, State]:
        """embedded [T, B, I], states [L, B, U] -> the top layer's h [T, B, U], new states."""
        device, (positions, sequences, _) = embedded.device.type, embedded.shape
        chosen = plan(
            self.config,
            Shape(positions, sequences, positions),
            device,
            torch.is_grad_enabled(),
            in_low_precision=torch.is_autocast_enabled(device),
            shown=False,
        )
        return read_layers(self.module, embedded, state, chosen.recurrences[0])


def read_layers(
    module: nn.RNNBase, inputs: Tensor, state: State, recurrence: str
) -> tuple[Tensor, State]:
    """inputs [T, B, I], state [L, B, U] -> the top layer's h [T, B, U], new state, by what a plan
    calls a recurrence."""
    if recurrence == "torch in one call":
        top, after = module(inputs, _to_torch_state(state))
        return top, after if isinstance(after, tuple) else (after,)
    read_layer = {"float32 states": _read_in_half_precision, "torch": _read_with_torch}[recurrence]
    dropout, by_layer = module.dropout if module.training else 0, []
    for layer in range(module.num_layers):
        if layer > 0:
            inputs = drop(inputs, dropout)
        inputs, after = read_layer(module, layer, inputs, tuple(part[layer] for part in state))
        by_layer.append(after)
    return inputs, tuple(torch.stack(parts) for parts in zip(*by_layer, strict=True))


def _read_with_torch(
    module: nn.RNNBase, layer: int, inputs: Tensor, state: State
) -> tuple[Tensor, State]:
    recurrence, weights = RECURRENCES[module.mode], module.all_weights[layer]
    before = _to_torch_state(tuple(part[None] for part in state))
    top, *after = recurrence(inputs, before, weights, True, 1, 0.0, module.training, False, False)
    return top, tuple(part[0] for part in after)


def _read_in_half_precision(
    module: nn.RNNBase, layer: int, inputs: Tensor, state: State
) -> tuple[Tensor, State]:
    weights: tuple[Tensor, Tensor, Tensor, Tensor | None]
    kind: Callable[[Tensor, State], Steps]
    own: list[Tensor] = [*module.all_weights[layer]]
    of_inputs, of_h, bias, bias_of_h = own
    if module.mode == "LSTM":
        of_inputs, of_h, bias = map(swap_gates, (of_inputs, of_h, bias + bias_of_h))
        kind, weights = LSTMSteps, (of_inputs, of_h, bias, None)
    elif module.mode == "GRU":
        kind, weights = GRUSteps, (of_inputs, of_h, bias, bias_of_h)
    else:
        kind, weights = RNNSteps, (of_inputs, of_h, bias + bias_of_h, None)
    dtype = torch.get_autocast_dtype(inputs.device.type)
    return read_recurrence(kind, inputs, weights, state, dtype)


def _to_torch_state(state: State) -> State | Tensor:
    """The state of an LSTM, or h alone."""
    return state if len(state) > 1 else state[0]
