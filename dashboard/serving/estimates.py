"""How long work will take, roughly, before it is begun: only to put short work before long.

Measured on one processor of 2.1 GHz; the queue corrects them by what work has taken since.
"""

from typing import TYPE_CHECKING

from gridlstm.config import ModelConfig

if TYPE_CHECKING:
    from gridlstm.trace import Trace

SECONDS_A_MULTIPLICATION = 3e-11
# Ranked, counted or added up.
SECONDS_A_VALUE = 4e-8


def estimate_reading_seconds(config: ModelConfig, positions: int) -> float:
    """For a model to read so many positions of a text."""
    return SECONDS_A_MULTIPLICATION * positions * config.operations_per_token


def estimate_ranking_seconds(trace: "Trace", quantities: int = 1) -> float:
    """To go through all units of so many of a trace's quantities, as a ranking does."""
    return SECONDS_A_VALUE * quantities * trace.layers * trace.units * len(trace.tokens)
