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

    Gates [L, U, 3U + L], of the layer's own hidden state with columns of 0 for the resets; resets
    of the hidden states of all layers [L * U, L * L]; candidates [L, U, U], [L, L * U, U].
    """

    bias: Tensor
    gates_of_hidden: Tensor
    gates_of_below: Tensor
    resets_of_hidden: Tensor
    candidate_bias: Tensor
    candidate_of_hidden: Tensor
    candidate_of_below: Tensor

    @classmethod
    def of(cls, layers: Iterable[dict[str, Tensor]]) -> "FeedbackWeights":
        """From each layer's tensors by the rest of their names."""
        parts = []
        for tensors in layers:
            gates, candidate, resets = (
                tensors[name] for name in ("time.weight", "time.candidate", "feedback.weight")
            )
            units, count = len(candidate), len(resets)
            bias, candidate_bias = tensors["time.bias"].split((3 * units, units))
            none = gates.new_zeros(count)
            of_hidden, of_below = gates.split(units, 1)
            parts.append((
                torch.cat((bias, none))[None],
                torch.cat((of_hidden, none[:, None].expand(-1, units))).T,
                torch.cat((of_below, resets[:, -units:])).T,
                resets[:, :-units].T,
                candidate_bias[None],
                candidate[:, :-units].T,
                candidate[:, -units:].T,
            ))  # fmt: skip
        biases, *of_gates, of_resets, candidate_biases, above, under = zip(*parts, strict=True)
        to_hidden, to_below = map(torch.stack, of_gates)
        return cls(
            torch.stack(biases),
            to_hidden,
            to_below,
            torch.cat(of_resets, 1),
            torch.stack(candidate_biases),
            torch.stack(above),
            torch.stack(under),
        )


def read_feedback(
    weights: FeedbackWeights, inputs: Tensor, states: Sequence[State]
) -> list[dict[str, Values]]:
    """The quantities [T, B, U] of all layers by name, from `inputs` [T, B, U] and states [B, U]."""
    (positions, sequences, units), layers = inputs.shape, len(states)
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
    of_columns = weights.gates_of_below, weights.candidate_of_below, weights.candidate_of_hidden
    columns = list(
        zip(*(part.unbind() for part in (*of_columns, weights.candidate_bias)), strict=True)
    )
    for below, everywhere in zip(inputs.unbind(), hidden[:-1].unbind(), strict=True):
        sums = torch.baddbmm(weights.bias, everywhere.transpose(0, 1), weights.gates_of_hidden)
        of_resets = torch.mm(everywhere.flatten(1), weights.resets_of_hidden)
        sums[..., 3 * units :] += of_resets.view(sequences, layers, layers).transpose(0, 1)
        for layer, own in enumerate(sums.unbind()):
            of_gates, reset, i, f, o, g, cell, new = next(of_layers[layer])
            to_gates, from_below, from_hidden, bias = columns[layer]
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
