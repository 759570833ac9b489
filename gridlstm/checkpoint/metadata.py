"""What a checkpoint says about itself: one JSON document, written and checked."""

import json
import math
import reprlib
from dataclasses import asdict, dataclass, field, replace

from gridlstm.config import ConfigError, ModelConfig
from gridlstm.errors import UserError
from gridlstm.vocabulary import Vocabulary, VocabularyError, vocabulary_from_json

# What is written: version 1 has no vocabularies, and none of the options below.
FORMAT_VERSION = 2
READ_VERSIONS = (1, 2)
# What a model has besides that since version 2, and what it is where a document does not say it.
SINCE_VERSION_2 = {"gates": (None, "sigmoid"), "vocabulary_size": (256,), "embedding_size": (None,)}
# The document's name in the metadata of a .safetensors file.
METADATA_KEY = "gridlstm"


class CheckpointError(UserError):
    """A file that is no usable checkpoint; the message is one sentence for the user."""


@dataclass(frozen=True)
class Data:
    """What a model was trained and validated on; `byte_entropy` in nats, of the validation part.

    Of a model of another program it may not be known: then `sha256` is empty, `bytes` 0, and `name`
    says where the model is from.
    """

    name: str
    sha256: str
    bytes: int
    train_fraction: float
    byte_entropy: float

    @property
    def measured_on(self) -> tuple[str, int, float]:
        """What losses are of: only those of which it is equal can be compared."""
        return self.sha256 or self.name, self.bytes, self.train_fraction

    @property
    def is_known(self) -> bool:
        return bool(self.sha256 or self.bytes)


@dataclass(frozen=True)
class Metadata:
    """All that a checkpoint says about itself.

    `validation_loss` is in nats per byte, measured over `validation_bytes` with the weights as they
    stand in the file. `training` holds the settings of the run by name. `vocabulary` is None of a
    model over the 256 bytes.
    """

    model: ModelConfig
    data: Data
    training: dict = field(default_factory=dict)
    updates: int = 0
    bytes_seen: int = 0
    validation_loss: float = math.nan
    validation_bytes: int = 0
    seconds: float = 0.0
    machine: str = ""
    libraries: dict = field(default_factory=dict)
    vocabulary: Vocabulary | None = None


def to_document(metadata: Metadata) -> dict:
    """What stands in a file: in version 1, which older programs read, where that can say it."""
    document = asdict(replace(metadata, vocabulary=None))
    model, vocabulary = document["model"], metadata.vocabulary
    for name, usual in SINCE_VERSION_2.items():
        if model[name] in usual:
            del model[name]
    del document["vocabulary"]
    if vocabulary is not None:
        document["vocabulary"] = vocabulary.to_json()
    is_new = vocabulary is not None or model.keys() & SINCE_VERSION_2.keys()
    return {"format_version": FORMAT_VERSION if is_new else 1, **document}


def to_text(metadata: Metadata) -> str:
    """The document as it stands in a file."""
    return json.dumps(to_document(metadata), ensure_ascii=False)


def parse(text: str | None) -> Metadata:
    """Read and check a document. Raises CheckpointError."""
    if text is None:
        raise CheckpointError(
            f"The file has no {METADATA_KEY!r} entry in its metadata, so its architecture is "
            "unknown."
        )
    try:
        document = json.loads(text)
        version = document.pop("format_version")
        if type(version) is not int or version not in READ_VERSIONS:
            raise CheckpointError(
                f"The checkpoint has format version {reprlib.repr(version)}; this program reads "
                f"{' and '.join(map(str, READ_VERSIONS))}."
            )
        model = ModelConfig(**document.pop("model"))
        data = Data(**document.pop("data"))
        vocabulary = document.pop("vocabulary", None)
        if vocabulary is not None:
            vocabulary = vocabulary_from_json(vocabulary)
            if version == 1:
                raise CheckpointError("A checkpoint of version 1 has no vocabulary.")
        metadata = Metadata(model=model, data=data, vocabulary=vocabulary, **document)
    except (ConfigError, VocabularyError) as error:
        raise CheckpointError(str(error)) from error
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        if isinstance(error, CheckpointError):
            raise
        raise CheckpointError("The checkpoint's metadata is not as it should be.") from error
    _check_types(metadata)
    tokens = 256 if vocabulary is None else len(vocabulary)
    if model.vocabulary_size != tokens:
        raise CheckpointError(
            f"The vocabulary has {tokens:,} tokens and the model {model.vocabulary_size:,}."
        )
    return metadata


def _check_types(metadata: Metadata) -> None:
    """Every field must be of its declared kind: what follows shows, formats and reckons with them.

    A loss may be NaN, for not measured.
    """
    data = metadata.data
    counts = (metadata.updates, metadata.bytes_seen, metadata.validation_bytes, data.bytes)
    dicts = (metadata.training, metadata.libraries)
    checks = (
        (_is_text, (metadata.machine, data.name, data.sha256)),
        (lambda value: type(value) is int and 0 <= value < 2**63, counts),
        (_is_number, (metadata.seconds, data.byte_entropy, data.train_fraction)),
        (lambda value: _is_number(value) or value != value, (metadata.validation_loss,)),
        (lambda value: 0 < value < 1, (data.train_fraction,)),
        (lambda value: type(value) is dict and all(map(_is_text, value)), dicts),
    )
    for is_right, values in checks:
        for value in values:
            if not is_right(value):
                raise _wrong(value)
    for value in (value for entries in dicts for value in entries.values()):
        if not (value is None or type(value) is bool or _is_number(value) or _is_text(value)):
            raise _wrong(value)


def _is_text(value: object) -> bool:
    """Whether it is a string that can be written: JSON may hold half a surrogate pair."""
    return type(value) is str and value.encode(errors="ignore").decode() == value


def _is_number(value: object) -> bool:
    """Whether it is a finite number small enough for any format."""
    return type(value) in (int, float) and -(2**63) <= value < 2**63


def _wrong(value: object) -> CheckpointError:
    return CheckpointError(f"The checkpoint's metadata holds a wrong value: {reprlib.repr(value)}.")
