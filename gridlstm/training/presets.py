"""Named settings: the published experiment's, and those of the models shipped here."""

from dataclasses import dataclass, replace

from gridlstm.config import ModelConfig
from gridlstm.training.settings import TrainingSettings


@dataclass(frozen=True)
class Preset:
    """A model and how to train it."""

    model: ModelConfig
    training: TrainingSettings


# coreylynch/grid-lstm: 1000 units, 50 sequences of 50 bytes, RMSprop. It read ten times the text of
# the one shipped here; on little text a model is at its best long before the 90,000th update.
SEED = TrainingSettings(updates=90_000, validate_every=1000, patience=8000)
# At 256 units, fed so that two CPU cores are used well. The initial range is the experiment's times
# sqrt(1000 / 256), so that sums over the inputs of a unit begin as large as there. Sequences are
# short, so that there are twice the updates for the bytes that two cores can read.
SMALL = TrainingSettings(
    sequences=64,
    length=32,
    learning_rate=0.002,
    scale=0.16,
    validate_every=240,
    validation_bytes=65_536,
    bytes=20_000_000,
)


def _models(units: int) -> dict[str, ModelConfig]:
    return {
        f"{architecture}-{layers}": ModelConfig(architecture, layers, units, tie, dropout=0.25)
        for architecture, tie in (("stacked", None), ("grid", "all"))
        for layers in (3, 6)
    }


# Every architecture and form of the grid at 6 layers, with as many units as give it, within 5 %,
# the 1,707,264 parameters of small-stacked-3.
MATCHED_MODELS = {
    "grid": ModelConfig("grid", 6, 128, "none", dropout=0.25),
    "grid-no-priority": ModelConfig("grid", 6, 128, "none", dropout=0.25, priority="none"),
    "grid-tanh": ModelConfig("grid", 6, 164, "none", dropout=0.25, depth="tanh"),
    "stacked": ModelConfig("stacked", 6, 184, dropout=0.25),
    "depth-gated": ModelConfig("depth-gated", 6, 176, dropout=0.25),
    "gated-feedback": ModelConfig("gated-feedback", 6, 144, dropout=0.25),
    "highway": ModelConfig("highway", 6, 256, dropout=0.25),
    "grid-1d": ModelConfig("grid-1d", 6, 184, dropout=0.25),
    "gru": ModelConfig("gru", 6, 208, dropout=0.25),
    "rnn": ModelConfig("rnn", 6, 352, dropout=0.25),
}
MATCHED = replace(SMALL, bytes=10_000_000)

PRESETS = {
    **{
        f"{family}-{name}": Preset(model, training)
        for family, units, training in (("seed", 1000, SEED), ("small", 256, SMALL))
        for name, model in _models(units).items()
    },
    **{f"matched-{name}-6": Preset(model, MATCHED) for name, model in MATCHED_MODELS.items()},
}
