"""A model by the path of its file, whether it is a checkpoint of ours or another program's."""

from collections.abc import Callable
from pathlib import Path

from gridlstm.checkpoint import Metadata, load_model, read_metadata
from gridlstm.checkpoint.names import ENDING, is_index
from gridlstm.checkpoint.opening import opened
from gridlstm.importing.conversion import to_model
from gridlstm.importing.foreign_model import ForeignModel
from gridlstm.importing.reading import MAX_FILES, read_model
from gridlstm.model import LanguageModel

# Files of other programs that are one model each, by how their names end; of models in several
# files, that which lists the others.
ENDINGS = (".t7", ".pt", ".pth", ".net", ".ckpt", ".h5", ".hdf5", ".keras")
LISTS = (".index", "manifest.json", "model.json")
# What lies beside a model and may be its vocabulary is no larger.
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


def is_foreign_name(name: str) -> bool:
    """Whether a file in a folder of models is to be taken for another program's, by its name."""
    return name.lower().endswith((*ENDINGS, *LISTS)) and not name.lower().endswith(
        ".safetensors.index.json"
    )


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
    it is in several files; else its namesakes, and where no other model is there, what may be a
    vocabulary."""
    others = [other for other in sorted(path.parent.iterdir())[:MAX_FILES] if other.is_file()]
    models = [other for other in others if _is_model(other) and other != path]
    others = [other for other in others if other != path and other not in models]
    if path.name.lower().endswith(LISTS):
        return others
    stem = path.name.split(".")[0]
    small = [other for other in others if other.stat().st_size <= MAX_BESIDE]
    return [
        other
        for other in small
        if other.suffix.lower() in (".json", ".pkl", ".pickle", ".p")
        and (not models or other.name.split(".")[0] == stem)
    ]


def _is_model(path: Path) -> bool:
    return is_foreign_name(path.name) or path.name.lower().endswith(ENDING) or is_index(path)
