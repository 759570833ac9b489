"""Layers of an LSTM, a GRU or a plain RNN that keep their weights in a module of torch's."""

import torch
from torch import Tensor, nn

from gridlstm.networks.cells import State, swap_gates
from gridlstm.networks.dropout import drop
from gridlstm.networks.recurrence import GRUSteps, LSTMSteps, RNNSteps, read_recurrence

RECURRENCES = {"LSTM": torch.lstm, "GRU": torch.gru, "RNN_TANH": torch.rnn_tanh}


def read_layers(module: nn.RNNBase, inputs: Tensor, state: State) -> tuple[Tensor, State]:
    """inputs [T, B, U], state [L, B, U] -> the top layer's h [T, B, U], new state.

    In float32 on a GPU in one call, as cuDNN works on several layers at once. On a CPU layer by
    layer, for our own dropout between them: torch draws its masks one number after the other, which
    took a quarter of an update. Under autocast by our own recurrence, as torch would keep states in
    the type of the products, too.
    """
    device = inputs.device.type
    autocast = torch.is_autocast_enabled(device)
    if device != "cpu" and not autocast:
        top, after = module(inputs, _as_torch_has_it(state))
        return top, after if isinstance(after, tuple) else (after,)
    read_layer = _read_in_half_precision if autocast else _read_with_torch
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
    before = _as_torch_has_it(tuple(part[None] for part in state))
    top, *after = recurrence(inputs, before, weights, True, 1, 0.0, module.training, False, False)
    return top, tuple(part[0] for part in after)


def _read_in_half_precision(
    module: nn.RNNBase, layer: int, inputs: Tensor, state: State
) -> tuple[Tensor, State]:
    of_inputs, of_h, bias, bias_of_h = module.all_weights[layer]
    if module.mode == "LSTM":
        of_inputs, of_h, bias = map(swap_gates, (of_inputs, of_h, bias + bias_of_h))
        kind, weights = LSTMSteps, (of_inputs, of_h, bias, None)
    elif module.mode == "GRU":
        kind, weights = GRUSteps, (of_inputs, of_h, bias, bias_of_h)
    else:
        kind, weights = RNNSteps, (of_inputs, of_h, bias + bias_of_h, None)
    dtype = torch.get_autocast_dtype(inputs.device.type)
    return read_recurrence(kind, inputs, weights, state, dtype)


def _as_torch_has_it(state: State) -> State | Tensor:
    """The state of an LSTM, or h alone."""
    return state if len(state) > 1 else state[0]
