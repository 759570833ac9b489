"""Whether a model of another program was read right: what was recognised, and what a text shows.

A low loss does not prove it, since small mistakes cost little; a high one disproves it.
"""

from dataclasses import dataclass

from gridlstm.evaluation import TextEvaluation, evaluate_text
from gridlstm.importing.foreign_model import ForeignModel
from gridlstm.model import LanguageModel
from gridlstm.progress import Progress
from gridlstm.vocabulary import EncodedText

# Of a shorter text its own frequencies know more than those of the language.
MIN_CHARACTERS = 300
CELLS = {"lstm": "LSTM", "gru": "GRU", "rnn": "plain RNN (tanh)", "grid": "Grid LSTM"}


@dataclass(frozen=True)
class Proof:
    """A model's loss on a text, and a sentence of warning where that speaks against the model."""

    evaluation: TextEvaluation
    note: str | None
    warning: str | None


def recognised(foreign: ForeignModel) -> dict[str, str]:
    """What was found in the files, in words, by what it is."""
    found = {
        "Program": foreign.program,
        "Cell": CELLS[foreign.cell],
        "Layers": f"{len(foreign.layers)}",
        "Units": f"{foreign.units:,}",
        "Input": "one-hot"
        if foreign.embedding is None
        else f"embedding of {foreign.input_width:,} numbers",
        "Vocabulary": f"{foreign.vocabulary_size:,} tokens, not known which"
        if foreign.vocabulary is None
        else foreign.vocabulary.title,
    }
    if foreign.vocabulary is not None:
        found["Vocabulary from"] = foreign.vocabulary.source
    if foreign.gates != "sigmoid":
        found["Gates go through"] = foreign.gates
    if foreign.reset is not None:
        found["Reset"] = f"{foreign.reset} the product with the state"
    if foreign.window is not None:
        found["Trained on"] = f"windows of {foreign.window:,} characters, read as a stream here"
    return found


def prove(
    model: LanguageModel, text: EncodedText | str | bytes, progress: Progress | None = None
) -> Proof:
    """What a model's loss on a text says. Raises CorpusError where it can predict nothing of it."""
    text = model.encode(text)
    found = evaluate_text(model, text, progress)
    return Proof(found, text.note, _warning(found))


def _warning(found: TextEvaluation) -> str | None:
    if found.nats_per_character < found.unigram:
        return None
    if found.characters < MIN_CHARACTERS:
        return (
            f"The text is too short to tell: of {found.characters} characters their own "
            "frequencies say much."
        )
    return (
        "The loss is no better than that of knowing only how frequent each character is: the model "
        "is untrained, its vocabulary is not its own, or it was trained on quite another kind of "
        "text than this."
    )
