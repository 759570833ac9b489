"""torch's own recurrences, several layers of them."""

import torch
from torch import Tensor, nn

from gridlstm.networks.cells import State
from gridlstm.networks.dropout import drop

RECURRENCES = {"LSTM": torch.lstm, "GRU": torch.gru, "RNN_TANH": torch.rnn_tanh}


def read_layers(module: nn.RNNBase, embedded: Tensor, state: State) -> tuple[Tensor, State]:
    """embedded [T, B, U], state [L, B, U] -> the top layer's h [T, B, U], new state.

    On a GPU in one call, as cuDNN works on several layers at once. On a CPU layer by layer, for our
    own dropout between them: torch draws its masks one number after the other, which took a quarter
    of an update.
    """
    if embedded.device.type != "cpu":
        top, after = module(embedded, _as_torch_has_it(state))
        return top, after if isinstance(after, tuple) else (after,)
    recurrence, dropout = RECURRENCES[module.mode], module.dropout if module.training else 0
    read, by_layer = embedded, []
    for layer, weights in enumerate(module.all_weights):
        if layer > 0:
            read = drop(read, dropout)
        before = _as_torch_has_it(tuple(part[layer, None] for part in state))
        read, *after = recurrence(
            read, before, weights, True, 1, 0.0, module.training, False, False
        )
        by_layer.append(after)
    return read, tuple(torch.cat(parts) for parts in zip(*by_layer, strict=True))


def _as_torch_has_it(state: State) -> State | Tensor:
    """The state of an LSTM, or h alone."""
    return state if len(state) > 1 else state[0]
