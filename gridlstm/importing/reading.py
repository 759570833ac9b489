"""Files of other programs, recognised together by what is in them, and read as one model."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from gridlstm.array_types import NumberArray
from gridlstm.importing.archives import Archive, is_zip
from gridlstm.importing.bundles import (
    is_bundle_index,
    read_bundle_index,
    read_variable,
    shard_of,
)
from gridlstm.importing.errors import DamagedFileError, ForeignModelError
from gridlstm.importing.foreign_model import ForeignModel, Question, check_model
from gridlstm.importing.hdf5 import is_hdf5
from gridlstm.importing.json_files import parse_json
from gridlstm.importing.keras import is_keras_archive, read_keras_archive, read_keras_hdf5
from gridlstm.importing.ml5 import is_ml5_manifest, read_ml5
from gridlstm.importing.pickles import read_pickle
from gridlstm.importing.pytorch import read_pytorch
from gridlstm.importing.refusals import explain_refusal
from gridlstm.importing.tensorflow import model_of_variables
from gridlstm.importing.tfjs import is_tfjs_model, read_tfjs
from gridlstm.importing.torch7 import is_torch7, read_torch7
from gridlstm.importing.torch7_models import is_torch_rnn_json, read_torch7_model
from gridlstm.importing.torch_files import (
    is_legacy_torch,
    is_safetensors,
    pickle_of_zip,
    read_legacy_torch,
    read_pickled_torch,
    read_safetensors,
    read_torch_zip,
)
from gridlstm.importing.vocabularies import find_misfit, find_vocabulary, vocabulary_from_text
from gridlstm.vocabulary import Vocabulary

MAX_FILES = 1_000
_BY_FREQUENCY = ("char-rnn (TensorFlow 1)", "ml5 charRNN")
MAX_MODEL_BYTES = 4 << 30
UNFORESEEN = "The file is damaged, or laid out in a way that is not known."
NamedBytes = tuple[str, bytes]


@dataclass(frozen=True, eq=False)
class NamedFile:
    """A file's name, without its folders, and its bytes."""

    name: str
    data: memoryview


def read_model(
    files: Sequence[Path | str | NamedBytes],
    *,
    vocabulary: Path | str | NamedBytes | None = None,
    training_text: str | None = None,
    lowercase: bool = False,
    answers: Mapping[str, str] | None = None,
) -> ForeignModel:
    """The one model that the files make together, whatever program wrote them.

    A file is a path, or its name and its bytes as a visitor uploads it. A `vocabulary`, a file of
    JSON or a pickle, or a `training_text` (all of whose characters are put in lower case first if
    `lowercase`) stands in the place of the one in the files. `answers` are the user's to the
    `questions` of an earlier reading, by their keys; where one is missing its default is taken and
    the question is in the model. A model whose files have no vocabulary has None, and the question
    `vocabulary`.

    Nothing in a file is executed. Raises ForeignModelError: one sentence that says why.
    """
    named = _unpacked([_named(file) for file in files])
    answers = answers or {}
    primary = _primary(named)
    others = [file for file in named if file is not primary]
    try:
        # Numbers too large for single precision become infinite, and are refused as such.
        with np.errstate(all="ignore"):
            model = _READERS.get(_kind(primary), _read_pickle)(primary, others, answers)
    except ForeignModelError:
        raise
    except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError) as error:
        # No reader should come to this, and no test lets one; but a visitor's page must go on.
        raise DamagedFileError(UNFORESEEN) from error
    _check_memory(model, named)
    model = check_model(_with_tokens(model, others, vocabulary, training_text, lowercase))
    return model


# -- Files -----------------------------------------------------------------------------------------


def _named(file: Path | str | NamedBytes) -> NamedFile:
    if isinstance(file, tuple):
        name, data = file
        return NamedFile(_base_name(name), memoryview(data))
    path = Path(file)
    try:
        if path.is_dir():
            raise ForeignModelError(f"{path.name} is a folder; name the files in it.")
        if path.stat().st_size > MAX_MODEL_BYTES:
            raise ForeignModelError(f"{path.name} is larger than {MAX_MODEL_BYTES >> 30} GB.")
        return NamedFile(path.name, memoryview(path.read_bytes()))
    except OSError as error:
        reason = error.strerror or "it cannot be opened"
        raise ForeignModelError(f"{path.name} cannot be read: {reason}.") from error


def _base_name(name: str) -> str:
    return name.replace("\\", "/").rpartition("/")[2]


def _unpacked(files: list[NamedFile]) -> list[NamedFile]:
    """The files, and in the place of a zip archive that is no model itself what is in it."""
    if not files:
        raise ForeignModelError("There is no file to read.")
    found: list[NamedFile] = []
    for file in files:
        if is_zip(file.data) and _kind(file) == "zip":
            archive = Archive(file.data)
            found += [
                NamedFile(_base_name(name), archive.read(name))
                for name in list(archive.members)[:MAX_FILES]
                if not name.startswith("__MACOSX/")
            ]
        else:
            found.append(file)
    if len(found) > MAX_FILES:
        raise ForeignModelError(f"There are more than {MAX_FILES:,} files.")
    return found


# -- Recognising -----------------------------------------------------------------------------------


def _kind(file: NamedFile) -> str:
    """What a file is, by its first bytes and what is in it."""
    data = file.data
    if is_zip(data):
        return _kind_of_archive(Archive(data))
    if is_hdf5(data):
        return "hdf5"
    if is_legacy_torch(data):
        return "legacy torch"
    if is_safetensors(data):
        return "safetensors"
    if is_torch7(data):
        return "torch 7"
    if is_bundle_index(data):
        return "bundle"
    if _begins_as_json(data):
        return _kind_of_json(file)
    return "pickle" if _begins_as_pickle(data) else "unknown"


def _kind_of_json(file: NamedFile) -> str:
    try:
        content = parse_json(file.data, file.name[:80])
    except DamagedFileError:
        # Raw numbers may begin as JSON does.
        if file.name.lower().endswith(".json"):
            raise
        return "unknown"
    if is_ml5_manifest(content):
        return "ml5"
    return "tfjs" if is_tfjs_model(content) else "json"


def _kind_of_archive(archive: Archive) -> str:
    if pickle_of_zip(archive):
        return "torch zip"
    return "keras" if is_keras_archive(archive) else "zip"


def _primary(files: list[NamedFile]) -> NamedFile:
    """The one file that holds, or lists, the model's weights. Raises ForeignModelError."""
    kinds = {id(file): _kind(file) for file in files}
    found = [file for file in files if kinds[id(file)] in _READERS]
    if len(found) > 1:
        names = ", ".join(file.name[:60] for file in found[:4])
        raise ForeignModelError(f"There are several models ({names}); bring one at a time.")
    # A bare pickle is mostly a vocabulary, but whole models of torch are written so as well.
    found = found or [file for file in files if kinds[id(file)] == "pickle"][:1]
    if not found:
        raise ForeignModelError(_explain_missing_model(files))
    return found[0]


def _explain_missing_model(files: list[NamedFile]) -> str:
    """Why there is no model among the files."""
    for file in files:
        if why := explain_refusal(file.name, file.data):
            return f"{file.name[:80]} {why}."
        if shard_of(file.name):
            return f"{file.name[:80]} holds a checkpoint's numbers; its .index is missing."
    names = ", ".join(file.name[:60] for file in files[:4])
    return f"No model of a program that is known was found in {names}."


def _read_torch_zip(
    file: NamedFile, others: list[NamedFile], answers: Mapping[str, str]
) -> ForeignModel:
    return read_pytorch(read_torch_zip(Archive(file.data)), answers)


def _read_legacy_torch(
    file: NamedFile, others: list[NamedFile], answers: Mapping[str, str]
) -> ForeignModel:
    return read_pytorch(read_legacy_torch(file.data), answers)


def _read_pickle(
    file: NamedFile, others: list[NamedFile], answers: Mapping[str, str]
) -> ForeignModel:
    return read_pytorch(read_pickled_torch(file.data), answers)


def _read_safetensors(
    file: NamedFile, others: list[NamedFile], answers: Mapping[str, str]
) -> ForeignModel:
    tensors, metadata = read_safetensors(file.data)
    return read_pytorch([tensors, _unfolded(metadata)], answers)


def _read_torch7(
    file: NamedFile, others: list[NamedFile], answers: Mapping[str, str]
) -> ForeignModel:
    found = (parse_json(other.data, other.name[:80]) for other in others if _kind(other) == "json")
    histories = next((content for content in found if is_torch_rnn_json(content)), None)
    return read_torch7_model(read_torch7(file.data), histories)


def _read_ml5(file: NamedFile, others: list[NamedFile], answers: Mapping[str, str]) -> ForeignModel:
    manifest = parse_json(file.data, file.name[:80])
    return read_ml5(manifest, {other.name: other.data for other in others}, answers)


def _read_bundle(
    file: NamedFile, others: list[NamedFile], answers: Mapping[str, str]
) -> ForeignModel:
    bundle = read_bundle_index(file.data)
    shards = {shard_of(other.name): other.data for other in others if shard_of(other.name)}
    if not shards and bundle.shards == 1 and others:
        # A browser may have renamed it; of what is beside an index the numbers are the largest.
        shards[0, 1] = max((other.data for other in others), key=len)

    def array(name: str) -> NumberArray:
        entry = bundle.entries[name]
        if (entry.shard, bundle.shards) not in shards:
            raise ForeignModelError(
                f"The data file ….data-{entry.shard:05}-of-{bundle.shards:05} is missing: it "
                "belongs to the checkpoint's index."
            )
        return read_variable(entry, shards[entry.shard, bundle.shards])

    shapes = {name: entry.shape for name, entry in bundle.entries.items() if entry.kind}
    return model_of_variables(shapes, array, "char-rnn (TensorFlow 1)", answers)


def _read_keras(
    file: NamedFile, others: list[NamedFile], answers: Mapping[str, str]
) -> ForeignModel:
    return read_keras_archive(Archive(file.data), answers)


def _read_hdf5(
    file: NamedFile, others: list[NamedFile], answers: Mapping[str, str]
) -> ForeignModel:
    return read_keras_hdf5(file.data, answers)


def _read_tfjs(
    file: NamedFile, others: list[NamedFile], answers: Mapping[str, str]
) -> ForeignModel:
    content = parse_json(file.data, file.name[:80])
    return read_tfjs(content, {other.name: other.data for other in others}, answers)


def _unfolded(metadata: Mapping[str, object]) -> list[object]:
    """Metadata, which are strings, together with the JSON that some of them are."""
    found: list[object] = list(metadata.values())
    for value in metadata.values():
        if isinstance(value, str) and value[:1] in ("{", "["):
            try:
                found.append(parse_json(value.encode(errors="surrogatepass"), "the metadata"))
            except ForeignModelError:
                continue
    return found


# A pickle is asked last, since most of them are vocabularies.
_READERS = {
    "torch zip": _read_torch_zip,
    "legacy torch": _read_legacy_torch,
    "safetensors": _read_safetensors,
    "torch 7": _read_torch7,
    "tfjs": _read_tfjs,
    "keras": _read_keras,
    "hdf5": _read_hdf5,
    "bundle": _read_bundle,
    "ml5": _read_ml5,
}


# -- The vocabulary --------------------------------------------------------------------------------


def _with_tokens(
    model: ForeignModel,
    others: list[NamedFile],
    vocabulary: Path | str | NamedBytes | None,
    training_text: str | None,
    lowercase: bool,
) -> ForeignModel:
    """The model with its vocabulary, or with the question for it."""
    size = model.vocabulary_size
    tokens: Vocabulary | None
    if vocabulary is not None:
        tokens = _tokens_of_file(_named(vocabulary), size)
    elif training_text is not None:
        tokens = vocabulary_from_text(training_text, size, lowercase)
        if model.program in _BY_FREQUENCY:
            model = model.with_note(
                "The characters of the training text were put in their sorted order; programs of "
                "this kind mostly order them by frequency: look at the loss, or bring the pickled "
                "vocabulary."
            )
    else:
        tokens = model.vocabulary or _tokens_beside(others, size)
    if tokens is not None:
        return replace(model, vocabulary=tokens, notes=(*model.notes, *tokens.notes))
    text = (
        f"The files do not say which characters the {size:,} indices stand for. Bring the "
        "vocabulary (JSON or a pickle) or the training text."
    )
    question = Question("vocabulary", text)
    return replace(model, questions=(*model.questions, question))


def _tokens_of_file(file: NamedFile, size: int) -> Vocabulary:
    """The vocabulary in a file that was named as one. Raises ForeignModelError."""
    content = _plain_data(file)
    tokens = None if content is None else find_vocabulary(content, size, file.name[:80])
    if tokens is None:
        other = None if content is None else find_misfit(content)
        raise ForeignModelError(
            f"{file.name[:80]} holds no vocabulary."
            if other is None
            else f"The vocabulary in {file.name[:80]} has {other:,} entries, which does not fit "
            f"the {size:,} that the model knows."
        )
    return tokens


def _tokens_beside(others: list[NamedFile], size: int) -> Vocabulary | None:
    """The vocabulary that fits among the files beside the model."""
    for file in others:
        try:
            content = _plain_data(file)
        except ForeignModelError:
            continue
        if content is not None and (tokens := find_vocabulary(content, size, file.name[:80])):
            return tokens
    return None


def _plain_data(file: NamedFile) -> object:
    """What JSON or a pickle says; None for other files."""
    if _begins_as_json(file.data):
        return parse_json(file.data, file.name[:80])
    if _begins_as_pickle(file.data):
        return read_pickle(file.data)[0]
    return None


def _begins_as_pickle(data: memoryview) -> bool:
    return bytes(data[:1]) in (b"\x80", b"(", b"c", b"]", b"}")


def _begins_as_json(data: memoryview) -> bool:
    return bytes(data[:64]).lstrip(b"\xef\xbb\xbf \t\r\n")[:1] in (b"{", b"[")


def _check_memory(model: ForeignModel, files: list[NamedFile]) -> None:
    """Raises DamagedFileError where a small file shows the same numbers again and again."""
    size = sum(array.nbytes for array in model.arrays.values())
    if size > 2 * sum(len(file.data) for file in files) + (1 << 20):
        raise DamagedFileError("The file claims more weights than it has room for.")
