"""A model by the path of its file, whether it is a checkpoint of ours or another program's."""

from collections.abc import Callable
from pathlib import Path

from gridlstm.checkpoint import Metadata, load_model, read_metadata
from gridlstm.checkpoint.names import ENDING, LISTS, is_foreign_name, is_index
from gridlstm.checkpoint.opening import opened
from gridlstm.importing.conversion import to_model
from gridlstm.importing.foreign_model import ForeignModel
from gridlstm.importing.reading import MAX_FILES, read_model
from gridlstm.model import LanguageModel

# What lies beside a model and may be its vocabulary: so called, and no larger.
VOCABULARIES = (".json", ".pkl", ".pickle", ".p")
MAX_BESIDE = 16 * 2**20


def is_foreign(path: Path) -> bool:
    """Whether a file that there is is not a checkpoint of ours: a state dict may be called
    `.safetensors`, too. Raises CheckpointError for one so called that cannot be read."""
    if not path.is_file() or is_index(path):
        return False
    if path.name.lower().endswith(ENDING):
        with opened(path) as tensors:
            return tensors.text is None
    return True


def foreign_models(folder: Path) -> dict[str, Path]:
    """The models of other programs' in a folder, and in the folders in it where such a one has its
    several files, by a name of their own, sorted. They are told by the names of their files."""
    found: dict[str, Path] = {}
    inner = sorted(path for path in folder.iterdir() if path.is_dir())
    for place in (folder, *inner):
        for path in sorted(place.iterdir()):
            if path.is_file() and is_foreign_name(path.name):
                found.setdefault(_name(path), path)
    return dict(sorted(found.items()))


def _name(path: Path) -> str:
    """A model's name: that of its folder where each program calls the file the same."""
    if path.name.lower() in LISTS:
        return path.parent.name
    return path.name.removesuffix(".index") if path.suffix == ".index" else path.stem


def open_model(
    path: Path | str, tell: Callable[[str], None] | None = None
) -> tuple[LanguageModel, Metadata]:
    """The model in a file, in evaluation mode, and what it says of itself: as `load_model` or, of
    another program's, as `read_model` with the usual answers to what its files do not say, which
    `tell` is told in sentences. Raises CheckpointError, ForeignModelError."""
    path = Path(path)
    if not is_foreign(path):
        return load_model(path)
    foreign = read_foreign(path)
    if tell is not None:
        for sentence in assumptions(foreign):
            tell(sentence)
    return to_model(foreign, path.name)


def read_about(path: Path | str) -> Metadata:
    """What a model says of itself. Raises CheckpointError, ForeignModelError."""
    path = Path(path)
    if not is_foreign(path):
        return read_metadata(path)
    return to_model(read_foreign(path), path.name)[1]


def assumptions(foreign: ForeignModel) -> list[str]:
    """A sentence for each question that its files leave open, and what was taken."""
    return [
        f"{question.text} Taken: {question.default}."
        for question in foreign.questions
        if question.default is not None
    ]


def read_foreign(path: Path) -> ForeignModel:
    """The model of another program's in a file, with what belongs to it beside. Raises
    ForeignModelError."""
    return read_model([path, *files_beside(path)])


def files_beside(path: Path) -> list[Path]:
    """The files in a model's folder that may belong to it: all that are no models themselves where
    it is in several files; else its namesakes, and where no other model of a program is there, what
    may be a vocabulary."""
    others = [other for other in sorted(path.parent.iterdir())[:MAX_FILES] if other.is_file()]
    rivals = [other for other in others if other != path and _may_own(other, path)]
    others = [
        other for other in others if other not in (path, *rivals) and not _is_checkpoint(other)
    ]
    if path.name.lower().endswith(LISTS):
        return [other for other in others if _may_be_listed(other, path)]
    return [
        other
        for other in others
        if other.suffix.lower() in VOCABULARIES
        and other.stat().st_size <= MAX_BESIDE
        and (not rivals or _stem(other) == _stem(path))
    ]


def _may_own(other: Path, path: Path) -> bool:
    """Whether what lies in the folder may as well belong to this file, another model."""
    return is_foreign_name(other.name) or (_is_checkpoint(path) and _is_checkpoint(other))


def _is_checkpoint(path: Path) -> bool:
    return path.name.lower().endswith(ENDING) or is_index(path)


def _may_be_listed(other: Path, path: Path) -> bool:
    """Of TensorFlow's checkpoints, which lie there by the half dozen, only the one's own numbers;
    never the graph."""
    name = other.name
    is_own = name.startswith(path.name.removesuffix(".index") + ".data-")
    return (is_own or ".data-" not in name) and not name.endswith(".meta")


def _stem(path: Path) -> str:
    return path.name.split(".")[0]
