"""Named settings: the published experiment's, and those of the models shipped here."""

from dataclasses import dataclass, replace

from gridlstm.config import ModelConfig
from gridlstm.settings import TrainingSettings


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


# Every architecture at 6 layers, with as many units as give it, within 5 %, the 1,707,264
# parameters of small-stacked-3.
MATCHED_UNITS = {
    "grid": 128,
    "stacked": 184,
    "depth-gated": 176,
    "gated-feedback": 144,
    "highway": 256,
    "grid-1d": 184,
    "gru": 208,
    "rnn": 352,
}
MATCHED = replace(SMALL, bytes=10_000_000)

PRESETS = {
    **{
        f"{family}-{name}": Preset(model, training)
        for family, units, training in (("seed", 1000, SEED), ("small", 256, SMALL))
        for name, model in _models(units).items()
    },
    **{
        f"matched-{architecture}-6": Preset(
            ModelConfig(
                architecture, 6, units, "none" if architecture == "grid" else None, dropout=0.25
            ),
            MATCHED,
        )
        for architecture, units in MATCHED_UNITS.items()
    },
}
