"""A text as the model reads it, byte by byte, and as a person does, character by character."""

import codecs
import re
from dataclasses import dataclass, field, replace

import charset_normalizer
import numpy as np

REPLACEMENT = "\N{REPLACEMENT CHARACTER}"

# UTF-32 first: its little-endian mark begins with that of UTF-16.
BYTE_ORDER_MARKS = (
    (codecs.BOM_UTF32_LE, "UTF-32"),
    (codecs.BOM_UTF32_BE, "UTF-32"),
    (codecs.BOM_UTF16_LE, "UTF-16"),
    (codecs.BOM_UTF16_BE, "UTF-16"),
)

# What an old text file may be written in, and what people call it. Of equally likely guesses the
# first is taken. Left out are the many encodings a short text would only be taken for by mistake.
OLD_ENCODINGS = {
    "cp1252": "Windows-1252",
    "cp1250": "Windows-1250",
    "cp1251": "Windows-1251",
    "cp1253": "Windows-1253",
    "cp1254": "Windows-1254",
    "cp1255": "Windows-1255",
    "cp1256": "Windows-1256",
    "iso8859_2": "ISO 8859-2",
    "koi8_r": "KOI8-R",
    "cp932": "Shift JIS",
    "euc_jp": "EUC-JP",
    "gb18030": "GB 18030",
    "big5": "Big5",
    "cp949": "EUC-KR",
}

NAMED_BYTES = {0x20: "space", 0x0A: "new line", 0x09: "tab", 0x0D: "carriage return"}


@dataclass(frozen=True)
class Text:
    """A text in both readings.

    `data` is what the model reads: `characters` in UTF-8. `last_byte` int64 [character] is the
    index in `data` of each character's last byte, whose values stand for the character.
    `note` is a sentence for the user if the text is not exactly what was handed in.
    """

    data: bytes
    characters: str
    last_byte: np.ndarray = field(compare=False, repr=False)
    note: str | None = None


def from_string(characters: str) -> Text:
    """The text of a string; each lone surrogate, which UTF-8 cannot hold, becomes U+FFFD."""
    clean, lone = re.subn("[\ud800-\udfff]", REPLACEMENT, characters)
    note = None
    if lone:
        what = "1 character that is" if lone == 1 else f"{lone:,} characters that are"
        shown = "is" if lone == 1 else "are"
        note = f"{what} half of a pair (a lone surrogate) {shown} shown as {REPLACEMENT}."
    return _text(clean, note)


def from_bytes(data: bytes, name: str = "This file") -> Text:
    """The text of a file, whatever it is: never an error, and a note unless it is UTF-8.

    `name` is the file's name, for the note.
    """
    name = _plain(name)
    marked = _marked_encoding(data)
    if marked:
        return _text(data.decode(marked, "replace"), _read_as(name, marked))
    data = data.removeprefix(codecs.BOM_UTF8)
    try:
        return _text(data.decode("utf-8"), None)
    except UnicodeDecodeError:
        return _not_utf8(data, name)


def truncate(text: Text, max_bytes: int) -> Text:
    """The text's beginning of at most `max_bytes` bytes, cut between two characters."""
    if len(text.data) <= max_bytes:
        return text
    kept = int(np.searchsorted(text.last_byte, max_bytes))
    end = int(text.last_byte[kept - 1]) + 1 if kept else 0
    note = f"The text has {len(text.data):,} bytes; the first {end:,} are shown."
    return replace(
        text,
        data=text.data[:end],
        characters=text.characters[:kept],
        last_byte=text.last_byte[:kept],
        note=f"{text.note} {note}" if text.note else note,
    )


def character_losses(text: Text, loss: np.ndarray) -> np.ndarray:
    """Nats spent on each character [character]: the sum over its bytes of `loss` [byte].

    The first character is NaN, as nothing predicts the first byte. ValueError if `loss` does not
    have one number for each byte.
    """
    if loss.shape != (len(text.data),):
        raise ValueError(f"The text has {len(text.data)} bytes, the losses have {loss.shape}.")
    if not text.characters:
        return loss
    first_byte = np.concatenate(([0], text.last_byte[:-1] + 1))
    losses = np.add.reduceat(loss, first_byte)
    losses[0] = np.nan
    return losses


def printable_byte(byte: int) -> str:
    """A label for a byte 0..255 in a list: the character itself where ASCII can print it."""
    if byte in NAMED_BYTES:
        return NAMED_BYTES[byte]
    return chr(byte) if 0x20 < byte < 0x7F else f"byte {byte:02X}"


def _text(characters: str, note: str | None) -> Text:
    data = characters.encode("utf-8")
    return Text(data, characters, _last_bytes(data), note)


def _last_bytes(data: bytes) -> np.ndarray:
    """int64 [character]: a character ends where a byte begins that continues none."""
    values = np.frombuffer(data, np.uint8)
    begins = np.flatnonzero((values & 0b1100_0000) != 0b1000_0000)
    last_byte = np.append(begins[1:], len(data)) - 1 if data else begins
    last_byte = last_byte.astype(np.int64)
    last_byte.flags.writeable = False
    return last_byte


def _marked_encoding(data: bytes) -> str | None:
    return next((name for mark, name in BYTE_ORDER_MARKS if data.startswith(mark)), None)


def _not_utf8(data: bytes, name: str) -> Text:
    # With this error handler each undecodable byte becomes one lone surrogate.
    escaped = data.decode("utf-8", "surrogateescape")
    invalid = len(re.findall("[\udc80-\udcff]", escaped))
    beyond_ascii = np.count_nonzero(np.frombuffer(data, np.uint8) >= 0x80)
    # In an old encoding hardly two bytes form valid UTF-8 by chance; if most do, it is UTF-8.
    mostly_utf8 = beyond_ascii > 2 * invalid
    if not mostly_utf8 and (encoding := _guessed_encoding(data)):
        return _text(data.decode(encoding, "replace"), _read_as(name, OLD_ENCODINGS[encoding]))
    what = "1 byte that is" if invalid == 1 else f"{invalid:,} bytes that are"
    shown = "is" if invalid == 1 else "are"
    note = f"{name} is not UTF-8 throughout; {what} no valid UTF-8 {shown} shown as {REPLACEMENT}."
    return _text(data.decode("utf-8", "replace"), note)


def _guessed_encoding(data: bytes) -> str | None:
    """The likeliest old encoding of a text, or None for what looks like no text in any."""
    if b"\0" in data:
        return None
    matches = charset_normalizer.from_bytes(data, cp_isolation=list(OLD_ENCODINGS))
    best = matches.best()
    equals = {
        encoding
        for match in matches
        if match.chaos <= best.chaos and match.coherence >= best.coherence
        for encoding in match.could_be_from_charset
    }
    return next((encoding for encoding in OLD_ENCODINGS if encoding in equals), None)


def _read_as(name: str, encoding: str) -> str:
    return f"{name} is not UTF-8; it was read as {encoding}."


def _plain(name: str) -> str:
    """A file's name without what a page might take for markup, and not too long to show."""
    return re.sub(r"[^\w .()-]", "?", name)[:80] or "This file"
