"""Models, texts and traces for the pages: found, checked, cached, and kept apart by visitor.

torch and pandas are imported where they are first needed, so that the first heading does not wait
for them.
"""

import functools
import importlib
import math
import os
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import streamlit as st

from dashboard.serving import libraries
from dashboard.serving.estimates import estimate_reading_seconds
from dashboard.serving.file_version import FileVersion
from dashboard.serving.kept import kept
from dashboard.serving.shelf import Shelf, shelf
from dashboard.session import Value
from dashboard.words import verbatim
from gridlstm.checkpoint import (
    METADATA_KEY,
    Metadata,
    checkpoint_path,
    index_name,
    is_foreign_name,
    is_index,
    is_shard,
    load_model,
    model_name,
    read_metadata,
    shards_beside,
    shipped,
)
from gridlstm.corpora.known import kind_of, title_of
from gridlstm.errors import UserError
from gridlstm.progress import Progress
from gridlstm.temporary import TemporaryFolder, remove_left_folders
from gridlstm.text import Text

if TYPE_CHECKING:
    import pandas as pd

    from gridlstm.importing import ForeignModel
    from gridlstm.trace import Trace

FOLDER = shipped.folder()
PUBLISHED_CURVES = "published_curves.csv"
# Traces held at a time, for all visitors together, and the bytes of one and of all of them that may
# lie in memory: the others lie on disk.
MAX_TRACES = 6
MAX_TRACE_BYTES, MAX_ALL_TRACES_BYTES = 2**29, 3 * 2**29
# The bytes that traces in the making may take, and the lock under which they are promised.
_promised: list[int] = []
_promising = threading.Lock()
# Of one visitor's own models and curves.
MAX_UPLOADED_BYTES, MAX_UPLOADED_FILES = 10**9, 100
# Whose metadata and whose curves are remembered, of all visitors.
MAX_KNOWN_FILES = 256
# In characters: a visitor's file may call its text anything.
MAX_TITLE_CHARACTERS = 60


@dataclass(frozen=True)
class ModelEntry:
    """A model that the pages can offer. A run still in training may have no weights yet.

    `title` is its own among all that are offered.
    """

    name: str
    title: str
    version: FileVersion
    metadata: Metadata | None
    curve: "pd.DataFrame | None"
    uploaded: bool = False

    @property
    def path(self) -> Path:
        return self.version.path

    @property
    def text(self) -> str:
        """What it was trained on, in plain words and shortened; empty where no file tells."""
        title = " ".join(title_of(self.metadata.data).split()) if self.metadata else ""
        return title if len(title) <= MAX_TITLE_CHARACTERS else f"{title[:MAX_TITLE_CHARACTERS]}…"

    @property
    def kind(self) -> str | None:
        """What is written in that text, as far as it is known: "wiki" or "code"."""
        return kind_of(self.metadata.data) if self.metadata else None

    @property
    def initialised_from(self) -> str | None:
        """The name of the model whose weights its training went on from, if it did."""
        begun_from = self.metadata.training.get("begun_from") if self.metadata else None
        return model_name(Path(begun_from)) if type(begun_from) is str else None


@dataclass(frozen=True)
class Catalogue:
    """All models this visitor has, and one sentence (Markdown) for each file that is unusable."""

    models: list[ModelEntry]
    problems: list[str]

    @property
    def usable(self) -> dict[str, ModelEntry]:
        """Those with weights, by name."""
        return {entry.name: entry for entry in self.models if entry.metadata is not None}


@dataclass
class Uploads:
    """One visitor's own files, in a folder that goes when the visit ends."""

    folder: TemporaryFolder = field(default_factory=lambda: TemporaryFolder("upload"))

    @property
    def path(self) -> Path:
        return Path(self.folder.name)

    def sizes(self) -> dict[str, int]:
        """The bytes of each file, by its name."""
        files = [path for path in self.path.iterdir() if not path.name.startswith(".")]
        return {path.name: path.stat().st_size for path in files}


# What the list of arrays in a checkpoint of this program's begins with.
_DOCUMENT = f'"{METADATA_KEY}"'.encode()
_UPLOADS: Value[Uploads] = Value("uploads")


def catalogue() -> Catalogue:
    """The checkpoints and curves of the folder, then the visitor's own."""
    models, problems = _scan(FOLDER, uploaded=False)
    if _UPLOADS.is_chosen:
        mine, more = _scan(_UPLOADS.value.path, uploaded=True)
        models, problems = models + mine, problems + more
    return Catalogue(_add_unique_titles(models), problems)


def _add_unique_titles(models: list[ModelEntry]) -> list[ModelEntry]:
    """With titles that no two of them share, as selectors and pictures need them: the file's name
    where another model of the text has the same shape, the text where there are several."""
    several_texts = len({entry.text for entry in models if entry.metadata}) > 1
    alike = Counter((entry.title, entry.text, entry.uploaded) for entry in models)

    def title(entry: ModelEntry) -> str:
        title = entry.title
        if alike[entry.title, entry.text, entry.uploaded] > 1:
            title += f" · {entry.name}"
        elif entry.uploaded:
            title += " (mine)"
        return f"{title} · {entry.text}" if several_texts and entry.text else title

    return [replace(entry, title=title(entry)) for entry in models]


def shipped_metadata(name: str) -> Metadata | None:
    """What the folder's checkpoint of that name says about itself; None if there is no whole one.

    Looks at this one file alone. A link may name anything.
    """
    if name not in {model_name(path) for path in FOLDER.glob("*.safetensors*")}:
        return None
    return _try_reading(_metadata, checkpoint_path(FOLDER, name), problems=[])


def _scan(folder: Path, uploaded: bool) -> tuple[list[ModelEntry], list[str]]:
    models, problems = [], []
    files = [path for path in folder.glob("*") if _is_offered(path) and path.is_file()]
    for stem in sorted({model_name(path) for path in files}):
        path = checkpoint_path(folder, stem)
        if not path.exists() and shards_beside(path):
            problems.append(verbatim(f"{stem}: the shards lack their index, {index_name(stem)}."))
        metadata = _try_reading(_metadata, path, problems)
        curve = _try_reading(_curve, folder / f"{stem}.csv", problems)
        if metadata is not None or (curve is not None and not path.exists()):
            title = metadata.model.title if metadata else f"{stem} (no weights yet)"
            name = f"{stem} (mine)" if uploaded else stem
            models.append(ModelEntry(name, title, _version(path), metadata, curve, uploaded))
    for stem, path in _foreign_models(folder).items():
        metadata = _try_reading(_metadata, path, problems)
        if metadata is not None and stem not in {entry.name for entry in models}:
            title, version = metadata.model.title, _version(path)
            models.append(ModelEntry(stem, title, version, metadata, None, uploaded))
    return _sort_by_interest(models), problems


def _foreign_models(folder: Path) -> dict[str, Path]:
    """The models of other programs in a folder and those in it, by name."""
    files = (path.name for path in (*folder.glob("*"), *folder.glob("*/*")))
    if not any(map(is_foreign_name, files)):
        return {}
    # Imports torch, which the first heading does not wait for.
    from gridlstm.importing.opening import foreign_models

    return foreign_models(folder)


def _sort_by_interest(models: list[ModelEntry]) -> list[ModelEntry]:
    """Text by text, since losses on different texts rank nothing: those read before addition, those
    that a GPU trained on first, then those of most models. On a text those trained on a GPU first,
    then by their loss; models without weights at the end."""

    def of_text(members: list[ModelEntry]) -> tuple:
        adds = members[0].metadata.training.get("task") == "addition"
        return adds, not any(map(_on_gpu, members)), -len(members), members[0].text

    ordered = [
        entry
        for members in sorted(by_text(models), key=of_text)
        for entry in sorted(members, key=lambda e: (not _on_gpu(e), _loss(e), e.name))
    ]
    return ordered + sorted((e for e in models if e.metadata is None), key=lambda e: e.name)


def by_text(models: Iterable[ModelEntry]) -> list[list[ModelEntry]]:
    """The models with weights of each text that they were trained on, in the order of the first of
    each: losses can be compared within one."""
    parts: dict[tuple, list[ModelEntry]] = {}
    for entry in models:
        if entry.metadata is not None:
            parts.setdefault(entry.metadata.data.measured_on, []).append(entry)
    return list(parts.values())


def _on_gpu(entry: ModelEntry) -> bool:
    """Whether a GPU trained it; of a model of another program's that is not known."""
    machine = entry.metadata.machine
    return bool(machine) and not machine.startswith("CPU")


def _loss(entry: ModelEntry) -> float:
    loss = entry.metadata.validation_loss
    return math.inf if math.isnan(loss) else loss


def _is_offered(path: Path) -> bool:
    """Whether a file has the name of a checkpoint or curve, not of what is kept beside them."""
    return (
        (path.suffix in (".safetensors", ".csv") or is_index(path))
        and not path.name.startswith(".")
        and not path.name.endswith(".state.safetensors")
        and path.name != PUBLISHED_CURVES
    )


def _version(path: Path) -> FileVersion:
    """Of a checkpoint or curve; of an index together with its shards."""
    return FileVersion.of(path, *(shards_beside(path) if is_index(path) else ()))


def _try_reading(read: Callable, path: Path, problems: list[str]):
    """What `read` makes of an existing file, or None, with a sentence if the file is bad."""
    version = _version(path)
    if not version.exists:
        return None
    try:
        return read(version)
    except (UserError, OSError) as error:
        problems.append(verbatim(f"{path.name}: {error}"))
        return None


# Python's memory of results, which nobody changes: Streamlit's hashes the arguments and copies the
# result in each run of a page, which took a fifth of the time of a click.
@functools.lru_cache(maxsize=MAX_KNOWN_FILES)
def _metadata(version: FileVersion) -> Metadata:
    if is_foreign_name(version.path.name):
        from gridlstm.importing.opening import read_about

        return read_about(version.path)
    return read_metadata(version.path)


@functools.lru_cache(maxsize=MAX_KNOWN_FILES)
def _curve(version: FileVersion) -> "pd.DataFrame":
    from gridlstm.curves import read_curve

    return read_curve(version.path)


def is_own_upload(name: str, data: bytes) -> bool:
    """Whether a file that is brought is a checkpoint or a curve of this program's, or a part of
    one: anything else may belong to another program's model."""
    path = Path(name.lower())
    if path.suffix == ".csv" or is_index(path) or is_shard(path):
        return True
    # Of safetensors, the list of all arrays comes first: ours has the document of a model.
    size = int.from_bytes(data[:8], "little")
    return name.lower().endswith(".safetensors") and (
        len(data) < 8 + size or _DOCUMENT in data[: 8 + size]
    )


def keep_upload(name: str, data: bytes) -> None:
    """Keep a visitor's file, checked; only this visitor will see it.

    Raises UserError, and keeps nothing, if it is no usable checkpoint or curve.
    """
    uploads = _UPLOADS.set_if_new(Uploads)
    path = uploads.path / Path(name).name
    _check_room(uploads, path, len(data))
    path = path.with_suffix(path.suffix.lower())
    if is_index(path) or is_shard(path):
        model = model_name(path)
        raise UserError(
            f"This is a part of a checkpoint in shards; make one file of it, with python -m "
            f"gridlstm join {index_name(model)} --out {model}.safetensors, and bring that."
        )
    if not _is_offered(path):
        raise UserError("The files of a model are called NAME.safetensors and NAME.csv.")
    aside = uploads.path / f".checking{path.suffix}"
    try:
        aside.write_bytes(data)
        if path.suffix == ".csv":
            from gridlstm.curves import read_curve

            read_curve(aside)
        else:
            load_model(aside)
        os.replace(aside, path)
    except OSError as error:
        raise UserError(f"It could not be kept: {error.strerror}.") from error
    finally:
        aside.unlink(missing_ok=True)


def keep_foreign(name: str, foreign: "ForeignModel") -> ModelEntry:
    """Keep another program's model as a checkpoint called `name`; only this visitor will see it.

    Raises UserError, and keeps nothing, if it cannot be one.
    """
    from gridlstm.checkpoint import write_checkpoint
    from gridlstm.importing import to_model

    model, metadata = to_model(foreign, name)
    tensors = {key: tensor.numpy() for key, tensor in model.to_tensors().items()}
    uploads = _UPLOADS.set_if_new(Uploads)
    path = uploads.path / f"{name}.safetensors"
    _check_room(uploads, path, sum(array.nbytes for array in tensors.values()))
    try:
        write_checkpoint(path, tensors, metadata)
    except OSError as error:
        raise UserError(f"It could not be kept: {error.strerror}.") from error
    return next(entry for entry in catalogue().models if entry.path == path)


def _check_room(uploads: Uploads, path: Path, size: int) -> None:
    """Raises UserError where a visitor's files, with one of so many bytes at the path, would be
    more than they may be."""
    sizes = {**uploads.sizes(), path.name: size}
    if sum(sizes.values()) > MAX_UPLOADED_BYTES:
        raise UserError(
            "Your models would take more than 1 GB together; take some of them away below first."
        )
    if len(sizes) > MAX_UPLOADED_FILES:
        raise UserError(
            f"You have {MAX_UPLOADED_FILES} files here already; take some of them away below first."
        )


def uploaded_files() -> list[tuple[str, int]]:
    """The names of the visitor's own files, and their sizes in bytes."""
    if not _UPLOADS.is_chosen:
        return []
    return sorted(_UPLOADS.value.sizes().items())


def remove_upload(name: str) -> None:
    """Take one of the visitor's own files away."""
    path = _UPLOADS.value.path / name
    path.unlink(missing_ok=True)


@st.cache_resource(max_entries=8, show_spinner=False)
def _model(version: FileVersion):
    if is_foreign_name(version.path.name):
        from gridlstm.importing.opening import open_model

        return open_model(version.path)[0]
    return load_model(version.path)[0]


def model_of(entry: ModelEntry):
    """The model itself, which is never changed; loaded once. Raises UserError."""
    return _model(entry.version)


@functools.cache
def remove_left_folders_in_background() -> threading.Thread:
    """Have removed what killed servers have left, visitors' models among it, as this one starts."""
    thread = threading.Thread(target=remove_left_folders, daemon=True)
    thread.start()
    return thread


@functools.cache
def import_libraries_in_background() -> None:
    """Have torch and pandas, which take a second or two, imported while the visitor is busy
    elsewhere."""

    def import_libraries() -> None:
        for module in ("gridlstm.trace", "gridlstm.curves"):
            importlib.import_module(module)
        libraries.settle()

    threading.Thread(target=import_libraries, daemon=True).start()


def traced(entry: ModelEntry, text: Text) -> "Trace":
    """All that the model does while it reads a text: from the store, or made when it is its turn,
    under a progress bar. Leaving the page or changing a choice cancels it. Raises UserError."""
    # A model over the bytes reads also what is no UTF-8.
    inputs = text.data if entry.metadata.vocabulary is None else text.characters

    def make(progress: Progress) -> "Trace":
        from gridlstm.trace import trace

        model = _model(entry.version)
        with reserve_trace_memory() as most:
            return trace(model, inputs, progress=progress, max_in_memory=most)

    return kept(
        "traces",
        entry.version,
        text.data,
        make,
        label=f"{entry.title} reads the text …",
        seconds=estimate_reading_seconds(entry.metadata.model, len(text.data)),
        max_results=MAX_TRACES,
    )


@contextmanager
def reserve_trace_memory() -> Iterator[int]:
    """Within, how many bytes of one more trace may lie in memory, beside those that are kept and
    those that other visitors' traces in the making may take."""
    with _promising:
        taken = sum(trace.bytes_in_memory for trace in _traces().results())
        most = max(0, min(MAX_TRACE_BYTES, MAX_ALL_TRACES_BYTES - taken - sum(_promised)))
        _promised.append(most)
    try:
        yield most
    finally:
        with _promising:
            _promised.remove(most)


def _traces() -> Shelf:
    return shelf("traces", MAX_TRACES)
