"""A text as the model reads it, byte by byte, and as a person does, character by character."""

import codecs
import re
import unicodedata
from dataclasses import dataclass, field, replace

import charset_normalizer
import numpy as np

from gridlstm.array_types import FloatArray, IntArray
from gridlstm.vocabulary import printable_byte as printable_byte  # who shows a text labels bytes

REPLACEMENT = "\N{REPLACEMENT CHARACTER}"

# UTF-32 first: its little-endian mark begins with that of UTF-16.
BYTE_ORDER_MARKS = (
    (codecs.BOM_UTF32_LE, "UTF-32", "utf_32_le"),
    (codecs.BOM_UTF32_BE, "UTF-32", "utf_32_be"),
    (codecs.BOM_UTF16_LE, "UTF-16", "utf_16_le"),
    (codecs.BOM_UTF16_BE, "UTF-16", "utf_16_be"),
)
# Bytes that no text in one byte a character has.
CONTROL_BYTES = [byte for byte in range(0x20) if byte not in b"\t\n\f\r"]

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

# All that a person can choose, by Python's name of each.
ENCODINGS = {
    "utf_8": "UTF-8",
    "utf_16_le": "UTF-16, little-endian",
    "utf_16_be": "UTF-16, big-endian",
    **OLD_ENCODINGS,
    "iso8859_15": "ISO 8859-15 (Western)",
    "mac_roman": "Mac Roman (Western)",
    "mac_cyrillic": "Mac Cyrillic",
    "cp437": "DOS 437 (US)",
    "cp850": "DOS 850 (Western)",
    "cp852": "DOS 852 (Central European)",
    "cp866": "DOS 866 (Cyrillic)",
}
# The most bytes that a character takes in any of them, and before the first, the byte order mark.
MAX_CHARACTER_BYTES, MAX_MARK_BYTES = 4, 4
# From so many bytes an encoding is guessed.
GUESSED_FROM_BYTES = 2**16
# A carriage return that ends a line: not one before a line feed, or before one more of such a pair.
LONE_RETURN = re.compile(r"\r(?!\r*\n)")


@dataclass(frozen=True)
class Text:
    """A text in both readings.

    `data` is what the model reads: `characters` in UTF-8. `last_byte` int64 [character] is the
    index in `data` of each character's last byte, whose values stand for the character.
    `note` is a sentence for the user if the text is not exactly what was handed in. `encoding` is
    what a file's bytes were read as, by Python's name, and `guessed` whether a person may know
    better.
    """

    data: bytes
    characters: str
    last_byte: IntArray = field(compare=False, repr=False)
    note: str | None = None
    encoding: str = field(default="utf_8", compare=False)
    guessed: bool = field(default=False, compare=False)


def from_string(characters: str) -> Text:
    """The text of a string; each lone surrogate, which UTF-8 cannot hold, becomes U+FFFD."""
    clean, lone = re.subn("[\ud800-\udfff]", REPLACEMENT, characters)
    note = None
    if lone:
        what = "1 character that is" if lone == 1 else f"{lone:,} characters that are"
        shown = "is" if lone == 1 else "are"
        note = f"{what} half of a pair (a lone surrogate) {shown} shown as {REPLACEMENT}."
    return _text(clean, note)


def from_bytes(
    data: bytes,
    name: str = "This file",
    *,
    encoding: str | None = None,
    max_bytes: int | None = None,
    is_whole: bool = True,
) -> Text:
    """The text of a file, whatever it is: never an error, and a note unless it is UTF-8.

    `name` is the file's name, for the note; `encoding` a key of `ENCODINGS`, found out unless
    given. With `max_bytes` only so much of the text's beginning, in UTF-8, is decoded and returned,
    with a note: `bytes_needed(max_bytes)` of the file are enough for that, and `is_whole` says
    whether `data` are all of it. Line ends that are a carriage return alone become line feeds.
    """
    begun = data if max_bytes is None else data[: bytes_needed(max_bytes)]
    begun_is_whole = is_whole and len(begun) == len(data)
    text = _decode(begun, _plain(name), encoding, begun_is_whole)
    if max_bytes is None or (begun_is_whole and len(text.data) <= max_bytes):
        return text
    total = len(text.data) if begun_is_whole else None
    if is_whole and not text.guessed and text.encoding == "utf_8" and encoding is None:
        total = len(data.removeprefix(codecs.BOM_UTF8))
    return _cut(text, max_bytes, total)


def bytes_needed(max_bytes: int) -> int:
    """How many bytes of a file hold at least `max_bytes` of its text in UTF-8, in any encoding."""
    return MAX_MARK_BYTES + MAX_CHARACTER_BYTES * max_bytes


def truncate(text: Text, max_bytes: int) -> Text:
    """The text's beginning of at most `max_bytes` bytes, cut between two characters."""
    return text if len(text.data) <= max_bytes else _cut(text, max_bytes, len(text.data))


def _cut(text: Text, max_bytes: int, total: int | None) -> Text:
    """The same of a longer text, of `total` bytes if that is known."""
    kept = int(np.searchsorted(text.last_byte, max_bytes))
    end = int(text.last_byte[kept - 1]) + 1 if kept else 0
    long = "The text is longer" if total is None else f"The text has {total:,} bytes"
    note = f"{long}; the first {end:,} are shown."
    if total is None:
        note = f"{long}; of its bytes the first {end:,} are shown."
    return replace(
        text,
        data=text.data[:end],
        characters=text.characters[:kept],
        last_byte=text.last_byte[:kept],
        note=f"{text.note} {note}" if text.note else note,
    )


def character_losses(text: Text, loss: FloatArray) -> FloatArray:
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


def _text(
    characters: str, note: str | None, encoding: str = "utf_8", guessed: bool = False
) -> Text:
    data = characters.encode("utf-8")
    return Text(data, characters, _last_bytes(data), note, encoding, guessed)


def _last_bytes(data: bytes) -> IntArray:
    """int64 [character]: a character ends where a byte begins that continues none."""
    values = np.frombuffer(data, np.uint8)
    begins = np.flatnonzero((values & 0b1100_0000) != 0b1000_0000)
    last_byte = np.append(begins[1:], len(data)) - 1 if data else begins
    last_byte = last_byte.astype(np.int64)
    last_byte.flags.writeable = False
    return last_byte


# -- Encodings ------------------------------------------------------------------------------------


def _decode(data: bytes, name: str, encoding: str | None, is_whole: bool) -> Text:
    """The text of a file's bytes, or of its beginning if they are not all."""
    if encoding is not None:
        return _chosen(data, name, encoding, is_whole)
    mark, marked, codec = _byte_order_mark(data)
    if marked:
        characters = _characters(data.removeprefix(mark), codec, is_whole)
        return _file_text(characters, _read_as(name, marked), codec)
    data = data.removeprefix(codecs.BOM_UTF8)
    if utf16 := _unmarked_utf16(data):
        note = f"{name} is not UTF-8; it was read as {ENCODINGS[utf16]}, without a byte order mark."
        return _file_text(_characters(data, utf16, is_whole), note, utf16, guessed=True)
    try:
        return _file_text(_characters(data, "utf_8", is_whole, "strict"), None)
    except UnicodeDecodeError:
        return _not_utf8(data, name, is_whole)


def _chosen(data: bytes, name: str, encoding: str, is_whole: bool) -> Text:
    mark, _, codec = _byte_order_mark(data)
    data = data.removeprefix(mark if codec == encoding else codecs.BOM_UTF8)
    if encoding == "utf_8":
        return _broken_utf8(data, name, is_whole)
    note = f"{name} was read as {ENCODINGS[encoding]}, as chosen."
    return _file_text(_characters(data, encoding, is_whole), note, encoding)


def _file_text(
    characters: str, note: str | None, encoding: str = "utf_8", guessed: bool = False
) -> Text:
    """The text of a file, in which a carriage return alone, as old Macs wrote it, ends a line."""
    if len(LONE_RETURN.findall(characters)) > characters.count("\n"):
        characters = LONE_RETURN.sub("\n", characters)
        ends = "Its lines end with a carriage return (CR) alone; each was read as a new line (LF)."
        note = f"{note} {ends}" if note else ends
    return _text(characters, note, encoding, guessed)


def _characters(data: bytes, codec: str, is_whole: bool, errors: str = "replace") -> str:
    """What the bytes say; a character that is cut at the end of a beginning is left out."""
    return codecs.getincrementaldecoder(codec)(errors).decode(data, final=is_whole)


def _byte_order_mark(data: bytes) -> tuple[bytes, str | None, str]:
    """The mark that UTF-16 or UTF-32 begins with, what that is called, and Python's name of it."""
    found = (row for row in BYTE_ORDER_MARKS if data.startswith(row[0]))
    return next(found, (b"", None, ""))


def _unmarked_utf16(data: bytes) -> str | None:
    """Python's name of UTF-16 if a text looks like it: zeros mostly in one byte of each two, hardly
    a text if read byte by byte, and one if read by twos."""
    sample = data[: GUESSED_FROM_BYTES & ~1]
    sample = sample[: len(sample) & ~1]
    pairs = np.frombuffer(sample, np.uint8).reshape(-1, 2)
    zeros = np.count_nonzero(pairs == 0, axis=0)
    codec = "utf_16_le" if zeros[1] > zeros[0] else "utf_16_be"
    if 2 * zeros.min() >= zeros.max():
        return None
    controls = np.isin(pairs, CONTROL_BYTES).mean()
    # Of Latin letters half of the bytes are zeros, of Chinese characters a few are control bytes.
    if controls <= (0.25 if _is_utf8(sample) else 0.04):
        return None
    try:
        characters = _characters(sample, codec, False, "strict")
    except UnicodeDecodeError:
        return None
    readable = sum(map(_is_readable, characters))
    return codec if readable >= 0.95 * len(characters) else None


def _is_utf8(data: bytes) -> bool:
    try:
        _characters(data, "utf_8", False, "strict")
    except UnicodeDecodeError:
        return False
    return True


def _is_readable(character: str) -> bool:
    """Whether it is a character that a text has: assigned, and no control character."""
    return character in "\t\n\f\r" or unicodedata.category(character) not in ("Cc", "Cn", "Co")


def _not_utf8(data: bytes, name: str, is_whole: bool) -> Text:
    invalid = _invalid_bytes(data, is_whole)
    beyond_ascii = np.count_nonzero(np.frombuffer(data, np.uint8) >= 0x80)
    # In an old encoding hardly two bytes form valid UTF-8 by chance; if most do, it is UTF-8.
    mostly_utf8 = beyond_ascii > 2 * invalid
    if not mostly_utf8 and (encoding := _detect_encoding(data)):
        note = _read_as(name, OLD_ENCODINGS[encoding])
        return _file_text(_characters(data, encoding, is_whole), note, encoding, guessed=True)
    return _broken_utf8(data, name, is_whole)


def _broken_utf8(data: bytes, name: str, is_whole: bool) -> Text:
    """The text in UTF-8, with a note on the bytes that are none, if there are any."""
    invalid = _invalid_bytes(data, is_whole)
    what = "1 byte that is" if invalid == 1 else f"{invalid:,} bytes that are"
    shown = "is" if invalid == 1 else "are"
    note = f"{name} is not UTF-8 throughout; {what} no valid UTF-8 {shown} shown as {REPLACEMENT}."
    characters = _characters(data, "utf_8", is_whole)
    return _file_text(characters, note if invalid else None, guessed=bool(invalid))


def _invalid_bytes(data: bytes, is_whole: bool) -> int:
    # With this error handler each undecodable byte becomes one lone surrogate.
    escaped = _characters(data, "utf_8", is_whole, "surrogateescape")
    return len(re.findall("[\udc80-\udcff]", escaped))


def _detect_encoding(data: bytes) -> str | None:
    """The likeliest old encoding of a text, or None for what looks like no text in any."""
    if b"\0" in data:
        return None
    # Before the first byte beyond ASCII a character begins in each of them.
    beyond = re.search(rb"[\x80-\xff]", data)
    assert beyond is not None  # else it would have been read as UTF-8
    sample = data[max(0, beyond.start() - GUESSED_FROM_BYTES // 4) :][:GUESSED_FROM_BYTES]
    matches = charset_normalizer.from_bytes(sample, cp_isolation=list(OLD_ENCODINGS))
    best = matches.best()
    if best is None:
        return None
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
