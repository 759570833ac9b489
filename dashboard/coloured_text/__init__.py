"""The coloured text: a text whose every character stands on the colour of a value.

A Streamlit component in plain JavaScript, a module for each subject. The text goes to the browser
as code points and is put into the page as text nodes only, so nothing a user types is ever read as
HTML.
"""

import hashlib
import json
import unicodedata
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import streamlit as st

from dashboard.charts import theme
from dashboard.coloured_text.javascript import join_modules
from dashboard.session import Value

_FOLDER = Path(__file__).parent

# Registered once, at import: registering again on each run would reload it in every open page.
_component = st.components.v2.component(
    "grid_lstm_coloured_text",
    js=join_modules(_FOLDER / "coloured_text.mjs"),
    css=(_FOLDER / "coloured_text.css").read_text(encoding="utf-8"),
)

_CONTROL_NAMES = {0: "null", 9: "tab", 10: "newline", 13: "carriage return", 27: "escape"}


@dataclass(frozen=True)
class Scale:
    """How values become colours.

    Values from `low` to `middle` take the first half of `colours` (CSS, at most 256 of them),
    values from `middle` to `high` the second half; what lies outside takes the end colours.
    `quantity` names what is shown, for example "tanh(c) of the depth cell".
    """

    quantity: str
    colours: tuple[str, ...]
    low: float
    middle: float
    high: float
    low_label: str
    middle_label: str
    high_label: str

    def __post_init__(self):
        if not 2 <= len(self.colours) <= 256:
            raise ValueError(f"a scale has 2 to 256 colours, not {len(self.colours)}")
        if not self.low < self.middle < self.high:
            raise ValueError(f"a scale rises: {self.low}, {self.middle}, {self.high} do not")


@dataclass(frozen=True)
class Likeliest:
    """The likeliest next tokens after each character, the likeliest first.

    `next_tokens` integers [character, guess], `probabilities` float32 [character, guess]. `labels`
    say what each of the tokens is called; without them they are bytes.
    """

    next_tokens: np.ndarray
    probabilities: np.ndarray
    labels: dict[int, str] | None = None


@dataclass(frozen=True)
class Selection:
    """The characters the user selected: `start` to `end`, `end` not included."""

    start: int
    end: int


@dataclass(frozen=True)
class Place:
    """Characters to show, `start` to `end`, `end` not included; a new `call` shows them anew."""

    start: int
    end: int
    call: int


def cell_scale(quantity: str, limit: float = 1.0) -> Scale:
    """The scale of a cell or hidden value: -limit to limit, the neutral colour at zero."""
    signed = theme.signed(limit)
    end = f"{signed.high:.3g}"
    return Scale(quantity, signed.colours, signed.low, 0.0, signed.high, f"−{end}", "0", end)


def gate_scale(quantity: str) -> Scale:
    """The scale of a gate: 0 (shut) to 1 (open)."""
    gate = theme.GATE
    return Scale(quantity, gate.colours, gate.low, 0.5, gate.high, "0 shut", "0.5", "1 open")


def surprise_scale(maximum: float, quantity: str = "loss") -> Scale:
    """The scale of a loss in bits: 0 (foreseen) to `maximum` (a surprise)."""
    middle = maximum / 2
    labels = ("0 bits", f"{middle:.3g}", f"{maximum:.3g} bits")
    return Scale(quantity, theme.GATE.colours, 0.0, middle, maximum, *labels)


def coloured_text(
    characters: str,
    values: np.ndarray,
    *,
    rows: list[str],
    chosen_row: int,
    scale: Scale,
    title: str,
    key: str,
    losses: np.ndarray | None = None,
    likeliest: Likeliest | None = None,
    skipped: np.ndarray | None = None,
    show_whitespace: bool = False,
    height: int = 360,
    strips: str = "The same unit in every layer",
    place: Place | None = None,
    from_end: bool = False,
) -> Selection | None:
    """Draw the text coloured by one row of values, and below it a strip for every row.

    `values` float [row, character]; `rows` their labels, the lowest layer first (the strips are
    drawn with the last row on top); `chosen_row` the row that colours the text. `losses`
    float [character] in bits; NaN in `values` or `losses` means that there is no value. Characters
    that are `skipped`, bool [character], are hatched and have neither.
    `height` is the greatest height of the text in pixels: a longer one scrolls. `strips` says what
    the strips show. At a `place` the text is scrolled there, once for each call, and outlined.

    A text that begins with all of the one drawn before grows: what is selected and pointed at stays
    so, and it stays scrolled where it was, or at its end if it was there. Any other is shown from
    its start, or `from_end`.

    Returns what the user has selected in this text, or None. Raises ValueError where the arrays
    do not fit the text.
    """
    values = np.atleast_2d(np.asarray(values, dtype=np.float32))
    _check_shapes(len(characters), values, rows, chosen_row, losses, likeliest)
    if skipped is not None:
        values = np.where(skipped, np.float32("nan"), values)
    if place is not None and not 0 <= place.start < place.end <= len(characters):
        raise ValueError(f"{place} in {len(characters)} characters")
    code_points, text = _encoded(characters)
    arrays = {"codePoints": code_points, "values": values}
    if losses is not None:
        arrays["losses"] = np.asarray(losses, dtype=np.float32)
    if likeliest is not None:
        arrays["nextTokens"] = np.asarray(likeliest.next_tokens, dtype=np.uint32)
        arrays["probabilities"] = np.asarray(likeliest.probabilities, dtype=np.float32)
    if skipped is not None:
        arrays["skipped"] = np.asarray(skipped, dtype=np.uint8)
    selected = _selected(Value(key).get(), code_points)
    header = {
        "text": text,
        "title": title,
        "rows": list(rows),
        "strips": strips,
        "chosenRow": int(chosen_row),
        "scale": _scale_for_browser(scale),
        "names": {ord(c): _name(c) for c in sorted(set(characters))},
        "tokens": likeliest and likeliest.labels,
        "showWhitespace": bool(show_whitespace),
        "height": int(height),
        "selection": selected and {"start": selected.start, "end": selected.end},
        "place": place and asdict(place),
        "fromEnd": bool(from_end),
    }
    result = _component(
        data=_pack(header, arrays),
        default={"selection": None},
        on_selection_change=lambda: None,
        key=key,
    )
    return _selected(result, code_points)


def selected_in(key: str, characters: str) -> Selection | None:
    """What is selected in the text drawn under `key`, for before it is drawn again."""
    code_points, _ = _encoded(characters)
    return _selected(Value(key).get(), code_points)


def as_selected(characters: str, start: int, end: int) -> dict:
    """What to keep in the session under the key of a text that is not drawn yet, so that it will
    be drawn with the characters from `start` to `end` selected."""
    _, text = _encoded(characters)
    return {"selection": {"text": text, "start": int(start), "end": int(end)}}


def _encoded(characters: str) -> tuple[np.ndarray, str]:
    """The code points uint32 [character], and the name of the text."""
    code_points = np.frombuffer(characters.encode("utf-32-le", "surrogatepass"), dtype=np.uint32)
    return code_points, _digest(code_points)


def _digest(code_points: np.ndarray) -> str:
    """What names a text: it depends on every character."""
    return hashlib.blake2b(code_points.tobytes(), digest_size=12).hexdigest()


def _check_shapes(
    length: int,
    values: np.ndarray,
    rows: list[str],
    chosen_row: int,
    losses: np.ndarray | None,
    likeliest: Likeliest | None,
) -> None:
    """Raise ValueError where something does not fit `length` characters and the labelled rows."""
    if values.shape != (len(rows), length):
        raise ValueError(f"values {values.shape} for {len(rows)} rows and {length} characters")
    if not 0 <= chosen_row < len(rows):
        raise ValueError(f"row {chosen_row} chosen of {len(rows)}")
    if losses is not None and np.shape(losses) != (length,):
        raise ValueError(f"losses {np.shape(losses)} for {length} characters")
    if likeliest is not None:
        shape = np.shape(likeliest.next_tokens)
        if shape[:1] != (length,) or np.shape(likeliest.probabilities) != shape:
            raise ValueError(f"likeliest tokens {shape} for {length} characters")


def _scale_for_browser(scale: Scale) -> dict:
    return {
        "quantity": scale.quantity,
        "colours": list(scale.colours),
        "stops": [scale.low, scale.middle, scale.high],
        "labels": [scale.low_label, scale.middle_label, scale.high_label],
    }


def _name(character: str) -> str:
    """What Unicode calls a character, in small letters."""
    code = ord(character)
    kind = {"Cc": "control character", "Cs": "lone surrogate", "Co": "private use"}.get(
        unicodedata.category(character), "unassigned"
    )
    return _CONTROL_NAMES.get(code) or unicodedata.name(character, kind).lower()


def _pack(header: dict, arrays: dict[str, np.ndarray]) -> bytes:
    """One binary message: header length (uint32), header (JSON), arrays, all aligned to 4 bytes.

    The header tells each array's name, kind, offset after the header, and number of elements.
    """
    body, listing = [], []
    offset = 0
    for name, array in arrays.items():
        raw = array.tobytes()
        listing.append([name, array.dtype.name, offset, array.size])
        padding = -len(raw) % 4
        body += [raw, bytes(padding)]
        offset += len(raw) + padding
    head = json.dumps(header | {"arrays": listing}, ensure_ascii=True).encode("ascii")
    head += b" " * (-len(head) % 4)
    return b"".join([len(head).to_bytes(4, "little"), head, *body])


def _selected(state, code_points: np.ndarray) -> Selection | None:
    """The selection in the component's state, if it is one of this very text, or of a shorter one
    that this text begins with: the browser keeps it while a text grows."""
    chosen = state.get("selection") if state else None
    if not isinstance(chosen, dict):
        return None
    start, end = chosen.get("start"), chosen.get("end")
    length = chosen.get("length", len(code_points))
    if not all(isinstance(number, int) for number in (start, end, length)):
        return None
    if not 0 <= start < end <= length <= len(code_points):
        return None
    is_of_this = chosen.get("text") == _digest(code_points[:length])
    return Selection(start, end) if is_of_this else None
