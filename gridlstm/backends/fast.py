"""What does the same as a cell's step at all positions, by what a plan calls it."""

from collections.abc import Callable

from gridlstm.backends.at_once import gru_at_once, lstm_at_once, rnn_at_once
from gridlstm.backends.in_place import depth_gated_in_place, highway_in_place, lstm_in_place
from gridlstm.cells import Step, Values
from gridlstm.cells.depth_gated import DepthGatedLSTM
from gridlstm.cells.grid_1d import DepthGridLSTM
from gridlstm.cells.gru import gru_step
from gridlstm.cells.highway import HighwayRNN
from gridlstm.cells.lstm import lstm_step
from gridlstm.cells.rnn import RNN

FAST: dict[str, dict[Step, Callable[..., dict[str, Values]]]] = {
    "at once": {lstm_step: lstm_at_once, gru_step: gru_at_once, RNN.step: rnn_at_once},
    "in place": {
        lstm_step: lstm_in_place,
        DepthGridLSTM.step: lstm_in_place,
        DepthGatedLSTM.step: depth_gated_in_place,
        HighwayRNN.step: highway_in_place,
    },
    "cells": {},
}
