"""A model that another program wrote: recognised, asked about, and shown to be read right."""

import itertools
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import TYPE_CHECKING

import streamlit as st

from dashboard.screens import choices, foreign_runs
from dashboard.serving import loading
from dashboard.serving.estimates import estimate_reading_seconds
from dashboard.serving.kept import kept
from dashboard.serving.loading import ModelEntry
from dashboard.session import Value, session
from dashboard.words import verbatim
from gridlstm.checkpoint import is_foreign_name, is_shard
from gridlstm.errors import UserError
from gridlstm.text import from_bytes

if TYPE_CHECKING:
    from gridlstm.importing import ForeignModel, Question

VOCABULARY, TRAINING_TEXT = "Its vocabulary (JSON or a pickle)", "The text it was trained on"
MAX_NAME = 60
# So are files called in every model of some programs.
COMMON = ("manifest.json", "model.json")
# So much of a training text is read for its characters.
MAX_TRAINING_TEXT = 200_000_000
NamedBytes = tuple[str, bytes]


@dataclass
class BroughtModel:
    """The files of one model of another program's, and what the visitor says of it.

    `asked` are the questions that its files leave open; the files' bytes are let go once there are
    none. `recognised` is what was found in the files, in words. `title` is what the checkpoint made
    of it is called, and `name` its name in the catalogue, once there is one. `fault` says why the
    files, as answered, make no model.
    """

    files: list[NamedBytes]
    number: int
    answers: dict[str, str] = field(default_factory=dict)
    vocabulary: NamedBytes | None = None
    training_text: str | None = None
    lowercase: bool = False
    asked: tuple["Question", ...] = ()
    recognised: dict[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    tokens: int = 0
    has_curve: bool = False
    title: str = ""
    name: str = ""
    fault: str = ""

    def read(self) -> None:
        """Read the files with the answers, and keep the model where its vocabulary is known."""
        from gridlstm.importing import read_model

        try:
            foreign = read_model(
                self.files,
                vocabulary=self.vocabulary,
                training_text=self.training_text,
                lowercase=self.lowercase,
                answers=self.answers,
            )
            self._describe(foreign)
            if foreign.vocabulary is not None:
                self._keep(foreign)
            self.fault = ""
        except UserError as error:
            self.fault = str(error)

    def _describe(self, foreign: "ForeignModel") -> None:
        from gridlstm.importing.proof import recognised

        self.asked = self.asked or foreign.questions
        self.recognised, self.notes = recognised(foreign), foreign.notes
        self.tokens, self.has_curve = foreign.vocabulary_size, foreign.curve is not None
        self.title = self.title or _free_title(_title(self.files, foreign.program))

    def _keep(self, foreign: "ForeignModel") -> None:
        self.name = loading.keep_foreign(self.title, foreign).name
        if foreign.curve is not None:
            losses = foreign.curve.to_csv().encode()
            foreign_runs.bring([(f"{self.title}.losses.csv", losses)])
        if not self.asked:
            self.files = []


def _title(files: list[NamedBytes], program: str) -> str:
    """What a model is called: as its file, or where each program calls that the same, as the
    program."""
    names = [PurePath(name.replace("\\", "/")).name for name, _ in files]
    own = [n for n in names if is_foreign_name(n) and not n.lower().endswith(COMMON)]
    name = own[0] if own else names[0] if len(names) == 1 else program
    stem = name.removesuffix(".index").rsplit(".", 1)[0] if name in names else name
    clean = "".join(c if c.isalnum() or c in " -_." else "_" for c in stem[:MAX_NAME]).strip(" .")
    # A training state and a shard are no models.
    if clean.lower().endswith(".state") or is_shard(PurePath(f"{clean}.safetensors")):
        clean += " model"
    return clean or "model"


def _free_title(title: str) -> str:
    """The title itself or, where another model of the visitor's is called so, with a number."""
    taken = {PurePath(name).stem for name, _ in loading.uploaded_files()}
    numbered = (title if n == 1 else f"{title} {n}" for n in itertools.count(1))
    return next(name for name in numbered if name not in taken)


_BROUGHT: Value[BroughtModel] = Value("brought_model")
_TIMES: Value[int] = Value("brought_models", 0)


def bring_other(files: list[NamedBytes]) -> str | None:
    """Take the files of another program's model; a sentence where they are none."""
    _TIMES.set(_TIMES.value + 1)
    brought = BroughtModel(files, _TIMES.value)
    brought.read()
    if not brought.recognised:
        return brought.fault
    _BROUGHT.set(brought)
    return None


def show_brought(models: dict[str, ModelEntry]) -> None:
    """What was recognised in the files that were brought last, what they leave open, and how well
    the model reads the text in use."""
    brought = _BROUGHT.get()
    if brought is None or (brought.name and brought.name not in models):
        return
    with st.container(border=True):
        st.subheader(f"Recognised: {verbatim(brought.title)}", anchor=False)
        found = {what: verbatim(said) for what, said in brought.recognised.items()}
        left, right = st.columns(2, gap="medium")
        with left:
            st.table(found)
        with right:
            for note in brought.notes:
                st.caption(verbatim(note))
            _ask(brought)
            if brought.fault:
                st.error(verbatim(brought.fault))
            if brought.name:
                _show_proof(models[brought.name])
                _lead_on(brought, models[brought.name])


def _ask(brought: BroughtModel) -> None:
    """The questions that the files leave open; the model is read anew with each answer."""
    answers, wants_vocabulary = {}, False
    for question in brought.asked:
        if not question.choices:
            wants_vocabulary = True
            continue
        given = brought.answers.get(question.key, question.default)
        answers[question.key] = st.selectbox(
            verbatim(question.text),
            question.choices,
            index=question.choices.index(given) if given in question.choices else None,
            key=f"answer {question.key} {brought.number}",
        )
    answers = {key: answer for key, answer in answers.items() if answer is not None}
    changed = answers != {
        question.key: brought.answers.get(question.key, question.default)
        for question in brought.asked
        if question.key in answers
    }
    if wants_vocabulary:
        changed |= _ask_for_vocabulary(brought)
    if changed:
        brought.answers = answers
        brought.read()
        st.rerun()


def _ask_for_vocabulary(brought: BroughtModel) -> bool:
    """Places for a vocabulary or a training text; whether another one has been given."""
    st.markdown(
        f"Which characters its **{brought.tokens:,} tokens** stand for, the files do not say.",
        help="A model knows characters by number alone. Which number stands for which is in its "
        "vocabulary; many programs make that of the sorted characters of the training text.",
    )
    kind = st.radio(
        "Bring",
        [VOCABULARY, TRAINING_TEXT],
        horizontal=True,
        label_visibility="collapsed",
        key=f"vocabulary kind {brought.number}",
    )
    is_text = kind == TRAINING_TEXT
    file = st.file_uploader(kind, key=f"{kind} {brought.number}")
    lowercase = is_text and st.toggle(
        "It was put in lower case first", key=f"lower case {brought.number}"
    )
    if file is None:
        return False
    given = file.name, file.getvalue()
    try:
        text = from_bytes(given[1], file.name, max_bytes=MAX_TRAINING_TEXT) if is_text else None
    except UserError as error:
        st.error(verbatim(f"{file.name}: {error}"))
        return False
    asked = (None if is_text else given), text and text.characters, lowercase
    if asked == (brought.vocabulary, brought.training_text, brought.lowercase):
        return False
    brought.vocabulary, brought.training_text, brought.lowercase = asked
    return True


def _show_proof(entry: ModelEntry) -> None:
    """The model's loss on the text in use, beside what needs no model."""
    from gridlstm.curves import convert
    from gridlstm.importing.proof import prove

    text = choices.current_text()
    try:
        proof = kept(
            "proofs",
            entry.version,
            text.data,
            lambda progress: prove(loading.model_of(entry), text.characters, progress),
            label="The model reads the text in use …",
            seconds=estimate_reading_seconds(entry.metadata.model, len(text.data)),
        )
    except UserError as error:
        st.warning(verbatim(f"On the text in use nothing can be shown: {error}"))
        return
    found = proof.evaluation
    st.markdown(
        f"**On the text in use, {verbatim(choices.current_title())}**, in bits per character:",
        help="The mean surprise: how many yes-or-no questions the model needs to know the next "
        "character. That it is low does not prove that all was read right, as small mistakes cost "
        "little; that it is high shows that something was not. Choose on the page Text what the "
        "model was trained on.",
    )
    with st.container(horizontal=True, gap="large"):
        for label, nats, meaning in (
            ("This model", found.nats_per_character, "What the model needs for a character."),
            (
                "Frequencies alone",
                found.unigram,
                "What knowing only how frequent each character of this very text is would need "
                "(a unigram model).",
            ),
            (
                "Knowing nothing",
                found.uniform,
                "What guessing evenly among its vocabulary would need (a uniform guess).",
            ),
        ):
            bits = float(convert(nats, "bits"))
            st.metric(label, f"{bits:.3f}", help=f"{meaning} {nats:.4f} nats.", width="content")
    per_byte = f"{found.bits_per_byte:.3f} bits per byte"
    st.caption(f"{per_byte}, over {found.characters:,} characters ({found.bytes:,} bytes).")
    if proof.note:
        st.caption(
            f"{verbatim(proof.note)} Losses of models that read different characters are compared "
            "per byte, and not at all where some are skipped."
        )
    if proof.warning:
        st.warning(verbatim(proof.warning))


def _lead_on(brought: BroughtModel, entry: ModelEntry) -> None:
    """To the other pages, and the model as a file of this program's."""
    if brought.has_curve:
        st.caption("The losses of its training are among the runs on the page Curves.")
    with st.container(horizontal=True):
        if st.button("Look inside", icon=":material/grid_view:", type="primary"):
            choices.open_page(choices.CELLS_PAGE, {session.model: entry.name})
        st.download_button(
            "Download as .safetensors",
            entry.path.read_bytes,
            file_name=entry.path.name,
            icon=":material/download:",
            help="The same model as a checkpoint of this program's, which every command takes.",
        )
