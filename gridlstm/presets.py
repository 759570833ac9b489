"""Named settings: the published experiment's, and those of the small models shipped here."""

from dataclasses import dataclass

from gridlstm.config import ModelConfig
from gridlstm.settings import TrainingSettings


@dataclass(frozen=True)
class Preset:
    """A model and how to train it."""

    model: ModelConfig
    training: TrainingSettings


# coreylynch/grid-lstm: 1000 units, 50 sequences of 50 bytes, RMSprop.
SEED = TrainingSettings(updates=90_000, validate_every=1000)
# The same at 256 units, fed so that two CPU cores are used well, and for as long as they allow.
SMALL = TrainingSettings(
    sequences=64, length=64, learning_rate=0.002, validate_every=250, validation_bytes=131_072,
    bytes=20_000_000,
)  # fmt: skip


def _models(units: int) -> dict[str, ModelConfig]:
    return {
        f"{architecture}-{layers}": ModelConfig(architecture, layers, units, tie, dropout=0.25)
        for architecture, tie in (("stacked", None), ("grid", "all"))
        for layers in (3, 6)
    }


PRESETS = {
    f"{family}-{name}": Preset(model, training)
    for family, units, training in (("seed", 1000, SEED), ("small", 256, SMALL))
    for name, model in _models(units).items()
}
