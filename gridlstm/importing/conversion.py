"""From what a reader makes of another program's files to a model of ours: the one common step."""

import re
from dataclasses import replace

import numpy as np
import torch

from gridlstm.checkpoint import Data, Metadata
from gridlstm.config import ConfigError, ModelConfig
from gridlstm.importing.errors import ForeignModelError
from gridlstm.importing.foreign_model import CellWeights, ForeignModel
from gridlstm.model import LanguageModel
from gridlstm.vocabulary import BYTES, Vocabulary, VocabularyError, vocabulary_from_json

ARCHITECTURES = {"lstm": "stacked", "grid": "grid", "gru": "gru", "rnn": "rnn"}
UNKNOWN_TEXT = "text not known"


def to_model(foreign: ForeignModel, name: str = "") -> tuple[LanguageModel, Metadata]:
    """The model with the same weights, in evaluation mode, and what is known of it; `name` is that
    of the file that it was in. Both have the `ModelConfig`. Raises ForeignModelError, above all for
    a model without a vocabulary."""
    vocabulary = foreign.vocabulary
    if vocabulary is None:
        raise ForeignModelError(
            f"Which characters the model's {foreign.vocabulary_size:,} indices stand for is not "
            "known: give the vocabulary (JSON or a pickle), or the text it was trained on."
        )
    _check_vocabulary(vocabulary)
    model = build_model(foreign)
    return model, metadata_of(foreign, model.config, name)


def build_model(
    foreign: ForeignModel, kind: type[LanguageModel] = LanguageModel, dropout: float = 0.0
) -> LanguageModel:
    """The model itself, as a `kind` of its class. Raises ForeignModelError."""
    config = replace(config_of(foreign), dropout=dropout)
    # A new model draws random weights: not from the caller's random numbers.
    with torch.random.fork_rng(devices=[]):
        model = kind(config, foreign.vocabulary)
    model.load_tensors({name: torch.tensor(array) for name, array in tensors_of(foreign).items()})
    return model.eval().requires_grad_(False)


def _check_vocabulary(vocabulary: Vocabulary) -> None:
    """That a checkpoint can hold it; readers take some that it cannot, from hostile files."""
    try:
        if vocabulary_from_json(vocabulary.to_json()) == vocabulary:
            return
    except VocabularyError as error:
        raise ForeignModelError(str(error)) from error
    raise ForeignModelError("The vocabulary has tokens that are neither bytes nor characters.")


def config_of(foreign: ForeignModel) -> ModelConfig:
    """What kind of model it is. Raises ForeignModelError."""
    has_gates = foreign.cell in ("lstm", "gru")
    try:
        return ModelConfig(
            ARCHITECTURES[foreign.cell],
            len(foreign.layers),
            foreign.units,
            tie=foreign.tie,
            reset=foreign.reset if foreign.cell == "gru" else None,
            gates=foreign.gates if has_gates else None,
            vocabulary_size=foreign.vocabulary_size,
            embedding_size=0 if foreign.embedding is None else foreign.input_width,
        )
    except ConfigError as error:
        raise ForeignModelError(str(error)) from error


def tensors_of(foreign: ForeignModel) -> dict[str, np.ndarray]:
    """The tensors of a checkpoint by name; those that layers share once, under the first."""
    tensors = {"decoder.weight": foreign.decoder_weight, "decoder.bias": foreign.decoder_bias}
    if foreign.embedding is not None:
        tensors["embedding.weight"] = foreign.embedding
    for number, layer in enumerate(foreign.layers):
        for dimension, cell, is_shared in (
            ("time", layer.time, foreign.tie == "all"),
            ("depth", layer.depth, foreign.tie in ("all", "depth")),
        ):
            if cell is not None and not (number and is_shared):
                tensors |= _cell_tensors(f"layers.{number}.{dimension}", cell)
    return {name: np.ascontiguousarray(array, np.float32) for name, array in tensors.items()}


def _cell_tensors(name: str, cell: CellWeights) -> dict[str, np.ndarray]:
    tensors = {f"{name}.weight": cell.weight, f"{name}.bias": cell.bias}
    if cell.candidate_bias is not None:
        tensors[f"{name}.candidate_bias"] = cell.candidate_bias
    return tensors


def metadata_of(foreign: ForeignModel, config: ModelConfig, name: str) -> Metadata:
    """What is known of the model; the text that it was trained on is not."""
    training = {"trained_by": foreign.program}
    if foreign.window is not None:
        training["window"] = foreign.window
    if foreign.notes:
        training["notes"] = " ".join(foreign.notes)
    is_usual = foreign.vocabulary == BYTES
    return Metadata(
        model=config,
        data=Data(
            _printable(f"{UNKNOWN_TEXT} ({name})" if name else UNKNOWN_TEXT), "", 0, 0.95, 0.0
        ),
        training={key: _printable(v) if isinstance(v, str) else v for key, v in training.items()},
        vocabulary=None if is_usual else foreign.vocabulary,
    )


def _printable(text: str) -> str:
    """What a file says of itself, without what no file of ours may hold."""
    return re.sub("[\ud800-\udfff]", "?", text)
