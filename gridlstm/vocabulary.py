"""What the tokens of a model stand for, and a text as a model reads it: token by token.

A token is a byte of UTF-8 (`BYTES`, the usual vocabulary, has all 256), or a character. Besides
there may be special tokens, which no text holds, and indices whose sign is lost. Knows no torch.
"""

import reprlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from gridlstm.config import MAX_VOCABULARY
from gridlstm.errors import UserError
from gridlstm.plurals import counted

MAX_SPECIAL_TOKENS = 16
MAX_SPECIAL_LENGTH, MAX_SOURCE_LENGTH = 24, 200
# What a vocabulary's JSON document may hold.
KEYS = {"tokens", "unknown", "begin", "lowercase", "source"}


NAMED_BYTES = {0x20: "space", 0x0A: "new line", 0x09: "tab", 0x0D: "carriage return"}


class VocabularyError(UserError):
    """A vocabulary that cannot be; the message is one sentence for the user."""


@dataclass(frozen=True, eq=False)
class EncodedText:
    """A text as a model reads it; a position of a trace is one of its tokens.

    `tokens` int64 [token]. `character` int64 [token] is the index of the character that a token is
    of, -1 of the token that is put before a text; `byte_counts` int64 [token] says how many of the
    text's UTF-8 bytes it stands for. `last_token` int64 [character] is the position whose values
    stand for a character: of one that is skipped, the position before it (0 where there is none).

    Of the characters (bool [character]) those `skipped` are not read, or not all of their bytes;
    those `unknown` are read as the vocabulary's unknown token; those `lowered` in lower case.
    """

    tokens: np.ndarray
    character: np.ndarray
    byte_counts: np.ndarray
    last_token: np.ndarray
    skipped: np.ndarray
    unknown: np.ndarray
    lowered: np.ndarray

    def __len__(self) -> int:
        return len(self.tokens)

    @property
    def characters(self) -> int:
        return len(self.last_token)

    @property
    def is_exact(self) -> bool:
        """Whether every character is read as what it is: only then is a sum of losses one of the
        whole text, and may be compared with that of another model."""
        return not (self.skipped | self.unknown | self.lowered).any()

    @property
    def note(self) -> str | None:
        """A sentence on what is not read as it is, with its share, if there is any."""
        parts = [
            f"{_share(of.mean())} {what}"
            for of, what in (
                (self.skipped, "are unknown to the model and skipped"),
                (self.unknown, "are unknown to the model and read as its token for such"),
                (self.lowered, "are read in lower case, as the model's program did"),
            )
            if of.any()
        ]
        return f"Of this text's characters {', '.join(parts)}." if parts else None

    def sum_by_character(self, values: np.ndarray) -> np.ndarray:
        """The sum over each character's tokens of `values` [token]: [character], NaN of those of
        which no token was read. ValueError if there is not one value for each token."""
        if values.shape != self.tokens.shape:
            raise ValueError(f"The text has {len(self)} tokens, the values have {values.shape}.")
        sums = np.full(self.characters, np.nan, np.result_type(values, np.float32))
        first = np.flatnonzero(np.diff(self.character, prepend=-2))
        first = first[self.character[first] >= 0]
        if len(first):
            sums[self.character[first]] = np.add.reduceat(values, first)
        return sums


@dataclass(frozen=True)
class Vocabulary:
    """What each index stands for: a `bytes` of one byte or a character (all of one kind), the name
    of a special token such as `<pad>`, which no text holds, or None where the vocabulary lost it.

    `unknown` is the index that is read for whatever is not known, which is skipped without one;
    `begin` that which is put before a text. With `lowercase` a capital that is not known is read as
    its small letter. `source` says in words where the vocabulary is from.
    """

    tokens: tuple[str | bytes | None, ...]
    source: str = field(default="", compare=False)
    unknown: int | None = None
    begin: int | None = None
    lowercase: bool = False
    notes: tuple[str, ...] = field(default=(), compare=False)

    def __len__(self) -> int:
        return len(self.tokens)

    @cached_property
    def of_bytes(self) -> bool:
        """Whether the tokens are bytes rather than characters."""
        return any(isinstance(token, bytes) for token in self.tokens)

    @property
    def lost(self) -> tuple[int, ...]:
        """The indices that the vocabulary does not name."""
        return tuple(index for index, token in enumerate(self.tokens) if token is None)

    @cached_property
    def index(self) -> dict[str | bytes, int]:
        """The index of each character, or byte, that a text can hold."""
        return {
            token: index
            for index, token in enumerate(self.tokens)
            if token is not None and len(token) == 1
        }

    @property
    def several_bytes(self) -> int:
        """How many of the characters UTF-8 writes in several bytes."""
        return sum(isinstance(token, str) and token > "\x7f" for token in self.index)

    @property
    def title(self) -> str:
        """In words, such as "104 characters, of which 28 need several bytes"."""
        parts = [counted(len(self.index), "byte" if self.of_bytes else "character")]
        if several := self.several_bytes:
            parts.append(f"of which {several:,} need{'s' * (several == 1)} several bytes")
        if special := len(self) - len(self.index) - len(self.lost):
            parts.append(counted(special, "special token"))
        if lost := len(self.lost):
            parts.append(f"{counted(lost, 'index', 'indices')} whose sign is lost")
        return ", ".join(parts)

    # -- Texts -------------------------------------------------------------------------------------

    def encode(self, text: str | bytes) -> EncodedText:
        """The text as a model with this vocabulary reads it. Bytes are UTF-8: a model over bytes
        reads them as they are, for others what is none becomes U+FFFD."""
        indices, character, byte_counts, lowered = (
            self._encode_bytes(text) if self.of_bytes else self._encode_characters(text)
        )
        count = int(character[-1]) + 1 if len(character) else 0
        missing, marks = indices < 0, np.zeros((2, count), bool)
        marks[int(self.unknown is not None), character[missing]] = True
        if self.unknown is not None:
            indices[missing] = self.unknown
        read = indices >= 0
        indices, character, byte_counts = indices[read], character[read], byte_counts[read]
        if self.begin is not None:
            indices = np.append(self.begin, indices)
            character, byte_counts = np.append(-1, character), np.append(0, byte_counts)
        last = np.searchsorted(character, np.arange(count), side="right") - 1
        skipped, unknown = marks
        arrays = indices, character, byte_counts, np.maximum(last, 0), skipped, unknown, lowered
        for array in arrays:
            array.flags.writeable = False
        return EncodedText(*arrays)

    def _encode_bytes(self, text: str | bytes) -> tuple[np.ndarray, ...]:
        data = text.encode(errors="surrogatepass") if isinstance(text, str) else bytes(text)
        data = np.frombuffer(data, np.uint8)
        begins = (data & 0b1100_0000) != 0b1000_0000
        begins[:1] = True
        character = np.cumsum(begins) - 1
        lowered = np.zeros(np.count_nonzero(begins), bool)
        return self._index_of_byte[data], character, np.ones(len(data), np.int64), lowered

    def _encode_characters(self, text: str | bytes) -> tuple[np.ndarray, ...]:
        if not isinstance(text, str):
            text = bytes(text).decode(errors="replace")
        codes = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32)
        different, which = np.unique(codes, return_inverse=True)
        signs = list(map(chr, different.tolist()))
        indices = np.array([self.index.get(sign, -1) for sign in signs], np.int64)
        lowered = np.zeros(len(signs), bool)
        if self.lowercase:
            lower = np.array([self.index.get(sign.lower(), -1) for sign in signs], np.int64)
            lowered = (indices < 0) & (lower >= 0)
            indices = np.where(lowered, lower, indices)
        byte_counts = 1 + sum((codes > most).astype(np.int64) for most in (0x7F, 0x7FF, 0xFFFF))
        return indices[which], np.arange(len(codes)), byte_counts, lowered[which]

    @cached_property
    def _index_of_byte(self) -> np.ndarray:
        """int64 [256], -1 of bytes that are not known."""
        table = np.full(256, -1, np.int64)
        for token, index in self.index.items():
            table[token[0]] = index
        return table

    @cached_property
    def writable(self) -> np.ndarray:
        """Which tokens a text can hold, bool [token]: neither special ones nor lost ones."""
        marks = np.zeros(len(self), bool)
        marks[list(self.index.values())] = True
        marks.flags.writeable = False
        return marks

    def bytes_of(self, token: int) -> bytes:
        """A token in UTF-8: nothing for one that no text holds."""
        sign = self.tokens[token]
        if sign is None or len(sign) != 1:
            return b""
        return sign if isinstance(sign, bytes) else sign.encode()

    def decode(self, tokens: Iterable[int]) -> str:
        """The text that tokens make; bytes that are no UTF-8 become U+FFFD."""
        return b"".join(map(self.bytes_of, tokens)).decode(errors="replace")

    def label(self, token: int) -> str:
        """What a token is called in a list: the character itself where it can be seen."""
        sign = self.tokens[token]
        if sign is None:
            return f"lost sign {token}"
        if isinstance(sign, bytes):
            return printable_byte(sign[0])
        if len(sign) != 1 or (sign > "\x7f" and sign.isprintable() and not sign.isspace()):
            return sign
        return printable_byte(ord(sign)) if sign <= "\x7f" else f"U+{ord(sign):04X}"

    # -- As JSON -----------------------------------------------------------------------------------

    def to_json(self) -> dict:
        """The vocabulary as a checkpoint holds it: bytes are numbers, lost signs null."""
        return {
            "tokens": [token[0] if isinstance(token, bytes) else token for token in self.tokens],
            "unknown": self.unknown,
            "begin": self.begin,
            "lowercase": self.lowercase,
            "source": self.source[:MAX_SOURCE_LENGTH],
        }


BYTES = Vocabulary(tuple(bytes([byte]) for byte in range(256)), "the 256 bytes")


def printable_byte(byte: int) -> str:
    """A label for a byte 0..255 in a list: the character itself where ASCII can print it."""
    if byte in NAMED_BYTES:
        return NAMED_BYTES[byte]
    return chr(byte) if 0x20 < byte < 0x7F else f"byte {byte:02X}"


def vocabulary_from_json(document: object) -> Vocabulary:
    """The vocabulary of a checkpoint's document. Raises VocabularyError for all that `to_json`
    would not have written."""
    if type(document) is not dict or document.keys() != KEYS:
        raise VocabularyError("The vocabulary is not as it should be.")
    listed, source = document["tokens"], document["source"]
    if type(listed) is not list or not 1 <= len(listed) <= MAX_VOCABULARY:
        raise VocabularyError(f"A vocabulary lists from 1 to {MAX_VOCABULARY:,} tokens.")
    if type(document["lowercase"]) is not bool or not _is_text(source, MAX_SOURCE_LENGTH):
        raise VocabularyError("The vocabulary is not as it should be.")
    tokens = tuple(map(_token, listed))
    _check_tokens(tokens)
    for name in ("unknown", "begin"):
        index = document[name]
        if index is not None and not (type(index) is int and 0 <= index < len(tokens)):
            raise VocabularyError(f"The vocabulary's {name} token is none of its own.")
    return Vocabulary(tokens, source, document["unknown"], document["begin"], document["lowercase"])


def _token(listed: object) -> str | bytes | None:
    if listed is None or _is_text(listed, MAX_SPECIAL_LENGTH) and listed:
        return listed
    if type(listed) is int and 0 <= listed < 256:
        return bytes([listed])
    raise VocabularyError(f"The vocabulary lists {reprlib.repr(listed)}, which is no token.")


def _check_tokens(tokens: Sequence[str | bytes | None]) -> None:
    signs = [token for token in tokens if token is not None]
    if len(set(signs)) != len(signs):
        raise VocabularyError("The vocabulary lists a token twice.")
    single = {type(sign) for sign in signs if len(sign) == 1}
    if len(single) > 1:
        raise VocabularyError("The vocabulary lists bytes and characters.")
    if not single or sum(len(sign) != 1 for sign in signs) > MAX_SPECIAL_TOKENS:
        raise VocabularyError(
            "A vocabulary has characters or bytes, and at most "
            f"{MAX_SPECIAL_TOKENS} special tokens."
        )


def _is_text(value: object, most: int) -> bool:
    """Whether it is a string that can be written: JSON may hold half a surrogate pair."""
    return (
        type(value) is str
        and len(value) <= most
        and value.encode(errors="ignore").decode() == value
    )


def _share(share: float) -> str:
    """A share in words: a small one is not called none."""
    return "under 0.1 %" if share < 0.0005 else f"{100 * share:.1f} %"
