"""What the tokens that a model reads are to the characters of a text.

A model over the 256 bytes has no vocabulary in its file; a text knows its bytes without it.
"""

import numpy as np

from dashboard.serving.loading import ModelEntry
from gridlstm.text import Text, character_losses
from gridlstm.vocabulary import BYTES, EncodedText, Vocabulary


def vocabulary_of(entry: ModelEntry) -> Vocabulary:
    """What the model's tokens stand for."""
    return entry.metadata.vocabulary or BYTES


def token_name(entry: ModelEntry) -> str:
    """What a model reads and writes: a byte or a character."""
    return "byte" if vocabulary_of(entry).of_bytes else "character"


def positions_of(entry: ModelEntry, text: Text, inputs: EncodedText | None) -> np.ndarray:
    """The position that stands for each character, int64 [character], where the model reads the
    text as `inputs`, which a model over the bytes does not need."""
    return text.last_byte if entry.metadata.vocabulary is None else inputs.last_token


def losses_of(
    entry: ModelEntry, text: Text, inputs: EncodedText | None, loss: np.ndarray
) -> np.ndarray:
    """Nats spent on each character, float32 [character], from those on each token; NaN of those
    that nothing predicts and of those that the model does not read."""
    if entry.metadata.vocabulary is None:
        return character_losses(text, loss)
    return inputs.sum_by_character(loss)


def skipped_in(entry: ModelEntry, inputs: EncodedText | None) -> np.ndarray | None:
    """The characters that the model does not read, bool [character]; None where it reads all."""
    if entry.metadata.vocabulary is None or not inputs.skipped.any():
        return None
    return inputs.skipped
