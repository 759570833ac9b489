#!/usr/bin/env bash
# torch 2.13.0: `torch.utils.flop_counter.FlopCounterMode` counts no operation at all for `nn.LSTM` on
# a CPU, with gradients or without, though it counts those of `nn.GRU`, `nn.RNN` and `nn.LSTMCell`
# exactly. A model whose recurrence is an LSTM looks as if it cost its decoder alone, and an LSTM
# beside a GRU of the same size looks free. An LSTM on a CPU is one call of oneDNN's
# (`mkldnn_rnn_layer`), which the counter does not know; with oneDNN switched off it is counted right.
# ptflops 0.7.5, which rests on the same counting with `backend="aten"`, gives 0 for it too.
# So: count a recurrence's multiply-adds from its shapes.
#
# Seen:
#   expected LSTM 13107200, GRU 9830400, RNN 3276800
#   LSTM 0 (with gradients 0, without oneDNN 13107200), ptflops 0
#   GRU 9830400, RNN 3276800, LSTMCell 13107200
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check torch==2.13.0 numpy==2.4.6 ptflops==0.7.5
"$folder/venv/bin/python" - <<'PYTHON'
import torch
from ptflops import get_model_complexity_info
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

positions, sequences, units = 50, 4, 64
inputs = torch.randn(positions, sequences, units)


def expected(gates):
    """Two operations a multiply-add, for [h ; input] of each gate, sequence and position."""
    return 2 * positions * sequences * gates * units * 2 * units


def counted(read, gradients=False):
    with torch.set_grad_enabled(gradients), FlopCounterMode(display=False) as counter:
        read()
    return counter.get_total_flops()


def step_by_step(cell):
    state = None
    for x in inputs:
        state = cell(x, state)


lstm, cell = nn.LSTM(units, units), nn.LSTMCell(units, units)
found = {
    "LSTM": counted(lambda: lstm(inputs)),
    "LSTM with gradients": counted(lambda: lstm(inputs), gradients=True),
    "GRU": counted(lambda: nn.GRU(units, units)(inputs)),
    "RNN": counted(lambda: nn.RNN(units, units)(inputs)),
    "LSTMCell": counted(lambda: step_by_step(cell)),
    "LSTM by ptflops": get_model_complexity_info(
        lstm, (positions, units), as_strings=False, print_per_layer_stat=False, backend="aten"
    )[0],
}
with torch.backends.mkldnn.flags(enabled=False):
    found["LSTM without oneDNN"] = counted(lambda: lstm(inputs))
print("torch", torch.__version__, found)
assert found == {
    "LSTM": 0,
    "LSTM with gradients": 0,
    "GRU": expected(3),
    "RNN": expected(1),
    "LSTMCell": expected(4),
    "LSTM by ptflops": 0,
    "LSTM without oneDNN": expected(4),
}, "the behaviour has changed"
PYTHON
