"""Layers with gated feedback, all of them position by position, every number in its place.

A layer needs the one below at the same position, which needs the top one at the position before: so
each position takes all weights, and they are too many to stay in the near caches. What is left to
gain is fewer operations. What layers read of the position before is multiplied for all of them at
once; gates and resets, which read the same, are one product. Nothing has a gradient.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from gridlstm.cells import Values
from gridlstm.cells.arithmetic import State, update_lstm
from gridlstm.cells.lstm import NAMES


@dataclass(frozen=True)
class FeedbackWeights:
    """Those of L layers by what they are multiplied with. Gates i, f, o are followed by a layer's
    resets, one for each layer that it reads: 3U + L columns, with the biases [L, 1, 3U + L].

    `gates_of_hidden` [L, U, 3U + L], of the layer's own hidden state with columns of 0 for the
    resets; `resets_of_hidden` [L * U, L * L] of the hidden states of all layers. `columns` has of
    each layer the gates and resets [I, 3U + L] and the candidates [I, U] of what is below, the
    candidates [L * U, U] of all hidden states, and their bias [1, U].
    """

    bias: Tensor
    gates_of_hidden: Tensor
    resets_of_hidden: Tensor
    columns: Sequence[tuple[Tensor, Tensor, Tensor, Tensor]]

    @classmethod
    def of(cls, layers: Iterable[dict[str, Tensor]]) -> "FeedbackWeights":
        """From each layer's tensors by the rest of their names."""
        biases, of_hidden, resets_of_hidden, columns = [], [], [], []
        for tensors in layers:
            gates, candidate, resets = (
                tensors[name] for name in ("time.weight", "time.candidate", "feedback.weight")
            )
            units, count = len(candidate), len(resets)
            bias, candidate_bias = tensors["time.bias"].split((3 * units, units))
            none, hidden = gates.new_zeros(count, units), count * units
            biases.append(torch.cat((bias, none[:, 0]))[None])
            of_hidden.append(torch.cat((gates[:, :units], none)).T)
            resets_of_hidden.append(resets[:, :hidden].T)
            of_below = torch.cat((gates[:, units:], resets[:, hidden:]))
            weights = of_below, candidate[:, hidden:], candidate[:, :hidden]
            columns.append((*(weight.T.contiguous() for weight in weights), candidate_bias[None]))
        stacked = torch.stack(biases), torch.stack(of_hidden)
        return cls(*stacked, torch.cat(resets_of_hidden, 1), columns)


def read_feedback(
    weights: FeedbackWeights, inputs: Tensor, states: Sequence[State]
) -> list[dict[str, Values]]:
    """The quantities [T, B, U] of all layers by name, from `inputs` [T, B, I] and states [B, U]."""
    positions, layers, (sequences, units) = len(inputs), len(states), states[0][0].shape
    hidden = inputs.new_empty(positions + 1, sequences, layers, units)
    hidden[0] = torch.stack([h for h, _ in states], 1)
    gates = inputs.new_empty(layers, positions, sequences, 3 * units + layers)
    candidates, cells = inputs.new_empty(2, layers, positions, sequences, units)
    parts = *gates[..., : 3 * units].chunk(3, -1), candidates, cells
    resets, new_hidden = gates[..., 3 * units :], hidden[1:].permute(2, 0, 1, 3)
    every = gates, resets[..., None], *parts, new_hidden
    of_layers = [
        zip(*(part[layer].unbind() for part in every), strict=True) for layer in range(layers)
    ]
    before, gated = [c for _, c in states], torch.empty_like(hidden[0])
    of_gated = gated.flatten(1)
    for below, everywhere in zip(inputs.unbind(), hidden[:-1].unbind(), strict=True):
        sums = torch.baddbmm(weights.bias, everywhere.transpose(0, 1), weights.gates_of_hidden)
        of_resets = torch.mm(everywhere.flatten(1), weights.resets_of_hidden)
        sums[..., 3 * units :] += of_resets.view(sequences, layers, layers).transpose(0, 1)
        for layer, own in enumerate(sums.unbind()):
            of_gates, reset, i, f, o, g, cell, new = next(of_layers[layer])
            to_gates, from_below, from_hidden, bias = weights.columns[layer]
            torch.addmm(own, below, to_gates, out=of_gates).sigmoid_()
            torch.mul(everywhere, reset, out=gated)
            torch.addmm(bias, below, from_below, out=g).addmm_(of_gated, from_hidden)
            update_lstm((i, f, o, g), before[layer], cell, new)
            before[layer], below = cell, new
    i, f, o = parts[:3]
    return [
        dict(zip(NAMES["time"], of_layer, strict=True)) | {"feedback.reset": of_resets}
        for *of_layer, of_resets in zip(cells, new_hidden, i, f, o, candidates, resets, strict=True)
    ]
