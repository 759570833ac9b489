"""The words in which the pages speak of quantities: plain ones first, the field's term after."""

import html
import re
import string
from dataclasses import dataclass

from gridlstm.architectures import GATE_KINDS


@dataclass(frozen=True)
class Word:
    """What a quantity is called, and what it is in one sentence."""

    label: str
    meaning: str


_DIMENSIONS = {
    "time": ("Time", "from one character to the next"),
    "depth": ("Depth", "from one layer up to the next"),
}
# Of quantities that only some architectures have.
_OWN = {
    "depth.gate": Word("Depth gate", "1 adds all of the memory of the layer below, 0 none of it."),
    "depth.carry": Word(
        "Carry gate (1 - T)", "1 hands on what came from below as it is, 0 replaces it."
    ),
    "time.update": Word("Update gate (z)", "1 keeps the state as it was, 0 replaces it."),
    "time.reset": Word("Reset gate (r)", "0 hides the state before from what is to replace it."),
    "feedback.reset": Word(
        "Feedback gate (global reset)",
        "1 lets a layer read what the layer with the unit's number, counted from 0, showed at the "
        "character before, 0 hides it.",
    ),
}
_KINDS = {
    "cell": ("memory (cell c)", "What a cell remembers; it is carried {way}."),
    "forget": ("forget gate", "1 keeps the memory on its way {way}, 0 wipes it."),
    "input": ("input gate", "1 lets something new be written into the memory carried {way}."),
    "output": ("output gate", "1 shows the memory carried {way} to other cells, 0 hides it."),
    "candidate": ("candidate (g)", "What would be written, -1 to 1, if the input gate lets it."),
    "hidden": (
        "hidden state (h)",
        "What a unit shows, in an LSTM its output gate times tanh of its memory.",
    ),
}
# The order in which they are offered: memories and their forget gates first.
_ORDER = [
    *(f"{d}.{k}" for d in _DIMENSIONS for k in ("cell", "forget")),
    *(f"{d}.{k}" for d in _DIMENSIONS for k in ("input", "output", "candidate", "hidden")),
]


def _word(quantity: str) -> Word:
    dimension, kind = quantity.split(".")
    name, way = _DIMENSIONS[dimension]
    label, meaning = _KINDS[kind]
    return Word(f"{name} {label}", meaning.format(way=way))


QUANTITIES: dict[str, Word] = {**{quantity: _word(quantity) for quantity in _ORDER}, **_OWN}

# How a memory is shown. A cell is unbounded, so its tanh is the picture unless asked otherwise.
MEMORY_SHOWN_AS = {
    "tanh": Word("tanh(c)", "squeezed into -1 to 1 (Karpathy, Johnson and Li 2015)"),
    "c": Word("c itself", "as it is, without bounds"),
    "h": Word("h = o·tanh(c)", "as other cells see it, through the output gate (Karpathy 2015)"),
}

PARAMETERS = "How many numbers the training has set: all weights and biases."


def is_gate(quantity: str) -> bool:
    """Whether values lie in 0..1 (the candidate lies in -1..1)."""
    return quantity.split(".")[1] in GATE_KINDS


def shown_name(quantity: str, memory_as: str) -> str:
    """What a picture of the quantity shows, to be written on it."""
    dimension, kind = quantity.split(".")
    if kind == "cell":
        return f"{MEMORY_SHOWN_AS[memory_as].label} of the {dimension} memory"
    return QUANTITIES[quantity].label


def verbatim(text: str) -> str:
    """Markdown that shows the text as it is: a file's name, say, is never a link or a picture.

    What Streamlit makes links, pictures and arrows of even where every sign is escaped is parted by
    a character that is not seen.
    """
    parted = _MADE_OF_TEXT.sub(_PARTING, " ".join(text.split()))
    return re.sub(f"[{re.escape(string.punctuation)}]", r"\\\g<0>", parted)


def verbatim_in_chart(text: str) -> str:
    """The same for plotly, which reads a few tags and entities wherever it shows text, but no
    quotes."""
    return html.escape(text, quote=False)


# U+2060, a joiner: of no width, and no place to break a line.
_PARTING = "\u2060"
# The places at which to part http://a, www.a, a@b, :smile: and :material_home:, and arrows and
# signs such as -> and >= that stand alone: Streamlit looks for them in text that is read already,
# without its escapes.
_MADE_OF_TEXT = re.compile(
    r"(?<=:)(?=//)|(?<=www)(?=\.)|(?<=[\w.+-])(?=@)|(?<=:)(?=[\w+-]+:)"
    r"|(?:(?<=^[<>~-])|(?<=\s[<>~-]))(?=-?[-=>](?!\S))",
    re.IGNORECASE,
)
