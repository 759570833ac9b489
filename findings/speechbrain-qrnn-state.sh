#!/usr/bin/env bash
# SpeechBrain 1.1.2: the state that `QuasiRNN` returns is not the state after the last position. It is
# the memory of the batch's last sequence at every position, `[layer, position, unit]` where
# `[layer, sequence, unit]` is meant and taken. Given back to read on, it is added to the batch by
# broadcasting: with as many sequences as positions the shapes fit and each sequence starts from a
# moment of another one's past; with one sequence the output grows to as many sequences as the last
# chunk had positions; else torch refuses. Reading each text at once never shows it. It strikes who
# reads on in chunks: truncated backpropagation with the state carried, and generating.
# So: take the state from the output of a QRNN without output gate (its output is its memory), at the
# last position, and compare a reading in chunks to one at once before believing it.
#
# Seen:
#   5 sequences in chunks of 5 positions: state [1, 5, 8], chunks differ from one reading by 0.15
#   it is the last sequence's memory at every position: True
#   1 sequence in chunks of 5: one reading [1, 10, 8], its second chunk [5, 5, 8]
#   with the memory taken from the output: differ by 0.00
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check torch==2.13.0 torchaudio==2.11.1 \
    speechbrain==1.1.2 numpy==2.4.6
# torchaudio's compiled part looks for CUDA's libraries; nothing here needs it.
rm -rf "$folder"/venv/lib/python3*/site-packages/torchaudio/lib
"$folder/venv/bin/python" - <<'PYTHON'
import torch
from speechbrain.nnet.RNN import QuasiRNN

torch.manual_seed(0)
torch.set_grad_enabled(False)
network = QuasiRNN(8, input_size=3)


def memories(network, inputs):
    """The memories [sequence, position, unit] of a QRNN of one layer: c' = f z + (1 - f) c."""
    z, f = torch.nn.functional.linear(inputs, network.qrnn[0].w.weight, network.qrnn[0].w.bias).chunk(3, -1)[:2]
    c, all_positions = 0, []
    for position in range(inputs.shape[1]):
        forget = torch.sigmoid(f[:, position])
        c = forget * torch.tanh(z[:, position]) + (1 - forget) * c
        all_positions.append(c)
    return torch.stack(all_positions, 1)


inputs = torch.randn(5, 10, 3)
at_once, _ = network(inputs)
_, state = network(inputs[:, :5])
second, _ = network(inputs[:, 5:], state)
difference = (second - at_once[:, 5:]).abs().max().item()
print(f"5 sequences in chunks of 5 positions: state {list(state.shape)},", end=" ")
print(f"chunks differ from one reading by {difference:.2f}")
expected = memories(network, inputs[:, :5])
is_last_sequence = torch.allclose(state[0], expected[-1], atol=1e-6)
print("it is the last sequence's memory at every position:", is_last_sequence)
assert is_last_sequence and difference > 0.05, "the behaviour has changed"
assert not torch.allclose(state[0], expected[:, -1], atol=1e-2), "the behaviour has changed"

one = inputs[:1]
_, state = network(one[:, :5])
shapes = list(network(one)[0].shape), list(network(one[:, 5:], state)[0].shape)
print(f"1 sequence in chunks of 5: one reading {shapes[0]}, its second chunk {shapes[1]}")
assert shapes == ([1, 10, 8], [5, 5, 8]), "the behaviour has changed"

plain = QuasiRNN(8, input_size=3, output_gate=False)
at_once, _ = plain(inputs)
first, _ = plain(inputs[:, :5])
second, _ = plain(inputs[:, 5:], first[:, -1][None])
rest = (second - at_once[:, 5:]).abs().max().item()
print(f"with the memory taken from the output: differ by {rest:.2f}")
assert rest < 1e-6
PYTHON
