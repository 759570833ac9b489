"""Which sign each index of a model stands for: found in its files, beside them, or in its text."""

import re
import string
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import replace
from typing import Any

import numpy as np

from gridlstm.importing.errors import ForeignModelError
from gridlstm.importing.records import Record
from gridlstm.vocabulary import MAX_SPECIAL_LENGTH, MAX_SPECIAL_TOKENS, Vocabulary

# The alphabet of spro/char-rnn.pytorch, which a file of it does not hold.
PRINTABLE = string.printable
MAX_SEARCHED_VALUES = 200_000
_SPECIAL = re.compile(
    r"[<\[{|_(#].*[>\]}|_)#]|(pad|padding|unk|unknown|oov|s?bos|sos|eos|eot|start|end|stop|mask)",
    re.I | re.S,
)
_UNKNOWN = re.compile(r"\W*(unk|unknown|oov)\W*", re.I)
_BEGIN = re.compile(r"\W*(s|bos|sos|start|begin|go)\W*", re.I)
_LONE = re.compile("[\ud800-\udfff]")
_BYTE = re.compile(r"\[(\d{1,3})\]")


def make_vocabulary(raw: object, size: int, source: str, base: int = 0) -> Vocabulary:
    """The tokens that `raw` lists: a string or sequence in the order of the indices, or a mapping
    from sign to index or from index to sign, counted from `base`. A number is a byte's.

    Raises ForeignModelError, in a sentence that says what does not fit a model of `size` tokens.
    """
    return _checked(_listed(raw, size, base), size, source)


def vocabulary_from_text(text: str, size: int, lowercase: bool = False) -> Vocabulary:
    """The different characters of a training text, sorted: what most programs take. Raises
    ForeignModelError if they are not `size`."""
    text = text.lower() if lowercase else text
    found = sorted(set(text))
    if len(found) != size:
        # Python's open() makes one sign of the two that end a line in files of Windows.
        plain = sorted(set(text.replace("\r\n", "\n").replace("\r", "\n")))
        found = plain if len(plain) == size else found
    if len(found) != size:
        lower = "" if lowercase else _if_lower(text, size)
        raise ForeignModelError(
            f"The training text has {len(found):,} different characters and the model knows "
            f"{size:,}, so that it is not the text the model was trained on, or was changed "
            f"before{lower}."
        )
    return replace(_checked(found, size, "the training text"), lowercase=lowercase)


def _if_lower(text: str, size: int) -> str:
    return "; in lower case it would have as many" if len(set(text.lower())) == size else ""


def find_vocabulary(root: object, size: int, source: str, base: int = 0) -> Vocabulary | None:
    """The vocabulary of `size` tokens somewhere among containers and records, found by what it
    looks like; None if there is none. Raises ForeignModelError if two contradict each other."""
    found: list[Vocabulary] = []
    for value in _containers(root):
        if not _may_list(value, size):
            continue
        try:
            tokens = make_vocabulary(value, size, source, base)
        except ForeignModelError:
            continue
        if tokens not in found:
            found.append(tokens)
    if not found:
        return None
    fewest = min(len(tokens.lost) for tokens in found)
    best = [tokens for tokens in found if len(tokens.lost) == fewest]
    if len(best) > 1:
        raise ForeignModelError(
            "The files hold several vocabularies that contradict each other; give the right one "
            "alone."
        )
    return best[0]


def find_misfit(root: object) -> int | None:
    """How many entries the largest thing has that looks like a vocabulary of any size."""
    sizes = [len(value) for value in _containers(root) if _lists_signs(value)]
    return max(sizes, default=None)


# -- What a vocabulary looks like ------------------------------------------------------------------


def _listed(raw: object, size: int, base: int) -> list[Any]:
    """What is listed for each index, None where nothing is."""
    if isinstance(raw, np.ndarray):
        raw = raw.tolist() if raw.ndim == 1 else None
    if isinstance(raw, Mapping):
        return _listed_by_index(raw, size, base)
    if isinstance(raw, Set) or not isinstance(raw, Sequence):
        raise ForeignModelError(
            "A vocabulary is a string or a list in the order of the indices, or a mapping."
        )
    raw = list(raw)
    if len(raw) != size:
        raise ForeignModelError(
            f"The vocabulary has {len(raw):,} signs and the model knows {size:,}."
        )
    return raw


def _listed_by_index(raw: Mapping[Any, Any], size: int, base: int) -> list[Any]:
    pairs = list(raw.items())
    if all(not isinstance(value, str) and _as_index(value) is not None for _, value in pairs):
        by_number = [(_as_index(value), key) for key, value in pairs]
    else:
        by_number = [(_as_index(key), value) for key, value in pairs]
    listed: list[Any] = [None] * size
    for number, sign in by_number:
        if number is None or not base <= number < size + base:
            raise ForeignModelError(
                f"The vocabulary names an index that a model of {size:,} tokens does not have."
            )
        if listed[number - base] is not None:
            raise ForeignModelError(f"The vocabulary names two signs for index {number}.")
        listed[number - base] = sign
    if len(pairs) < size and (len(pairs) < size / 2 or size - len(pairs) > MAX_SPECIAL_TOKENS):
        raise ForeignModelError(
            f"The vocabulary has {len(pairs):,} signs and the model knows {size:,}."
        )
    return listed


def _as_index(value: object) -> int | None:
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, np.integer):
        return int(value)
    if isinstance(value, str) and re.fullmatch(r"[0-9]{1,9}", value):
        return int(value)
    return None


def _checked(listed: list[Any], size: int, source: str) -> Vocabulary:
    """Vocabulary without duplicates; raises ForeignModelError."""
    signs = _as_bytes(listed)
    if len(signs) != size:
        raise ForeignModelError(
            f"The vocabulary has {len(signs):,} signs and the model knows {size:,}."
        )
    # Half of a pair, as Python 2 has characters beyond 16 bits, is in no text by itself.
    signs = [None if isinstance(s, str) and _LONE.search(s) else s for s in signs]
    seen: dict[str | bytes, int] = {}
    for index, sign in enumerate(signs):
        if sign is None:
            continue
        if not isinstance(sign, str | bytes):
            raise ForeignModelError("The vocabulary lists something that is no character.")
        if seen.setdefault(sign, index) != index:
            raise ForeignModelError(
                f"The vocabulary has {sign!r} twice, at {seen[sign]} and {index}."
            )
    special = {sign: index for sign, index in seen.items() if len(sign) != 1}
    words = [sign for sign in special if isinstance(sign, bytes) or not _is_special(sign)]
    named = {sign: index for sign, index in special.items() if isinstance(sign, str)}
    if words or len(special) > MAX_SPECIAL_TOKENS:
        shown = (words or list(special))[0]
        raise ForeignModelError(
            f"The vocabulary has tokens of several characters, such as {shown[:20]!r}; only models "
            "over characters can be read."
        )
    return Vocabulary(
        tuple(sign or None for sign in signs),
        source,
        _named(named, _UNKNOWN),
        _named(named, _BEGIN),
        notes=_lost_note(signs),
    )


def _is_special(sign: str) -> bool:
    return not sign or (len(sign) <= MAX_SPECIAL_LENGTH and _SPECIAL.fullmatch(sign) is not None)


def _named(special: Mapping[str, int], pattern: re.Pattern[str]) -> int | None:
    return next((index for sign, index in special.items() if pattern.fullmatch(sign)), None)


def _as_bytes(listed: list[Any]) -> list[Any]:
    """Numbers and signs such as `[226]`, which stand for bytes, as bytes, and then all of them; a
    list of UTF-8's whole characters as characters."""
    if any(isinstance(sign, int) for sign in listed):
        if not all(isinstance(sign, int) and 0 <= sign < 256 for sign in listed):
            raise ForeignModelError("A number in a vocabulary is that of a byte, from 0 to 255.")
        return [bytes([sign]) for sign in listed]
    texts = [sign for sign in listed if isinstance(sign, str)]
    if any(_BYTE.fullmatch(sign) for sign in texts) and all(
        sign <= "\x7f" and (len(sign) == 1 or _is_special(sign)) for sign in texts
    ):
        return [_byte(sign) if isinstance(sign, str) else sign for sign in listed]
    if any(isinstance(sign, bytes) and len(sign) > 1 for sign in listed):
        return [_character(sign) if isinstance(sign, bytes) else sign for sign in listed]
    if any(isinstance(sign, bytes) for sign in listed):
        # Python 2 writes bytes of ASCII as it writes text.
        return [
            sign.encode() if isinstance(sign, str) and sign.isascii() and len(sign) == 1 else sign
            for sign in listed
        ]
    return listed


def _byte(sign: str) -> str | bytes:
    match = _BYTE.fullmatch(sign)
    if match and int(match[1]) < 256:
        return bytes([int(match[1])])
    return sign.encode() if len(sign) == 1 else sign


def _character(sign: bytes) -> str | bytes:
    try:
        return sign.decode()
    except UnicodeDecodeError:
        return sign


def _lost_note(signs: list[Any]) -> tuple[str, ...]:
    lost = [index for index, sign in enumerate(signs) if not sign]
    if not lost:
        return ()
    known = {sign for sign in signs if isinstance(sign, str)}
    letters = [letter for letter in string.ascii_letters if letter not in known]
    # A few missing letters are likely the lost ones; many say only that the text has no others.
    likely = f"; of the Latin letters it lacks {', '.join(letters)}" if len(letters) <= 4 else ""
    places = ", ".join(map(str, lost[:8])) + (", …" if len(lost) > 8 else "")
    return (
        f"The vocabulary names no sign for {len(lost)} of the model's {len(signs)} indices "
        f"({places}){likely if letters else ''}: these are neither read nor written.",
    )


# -- Looking for one -------------------------------------------------------------------------------


def _containers(root: object) -> Iterator[Any]:
    """Everything that may list signs, the nearest first and each once."""
    waiting, seen = deque([root]), set()
    searched = 0
    while waiting and searched < MAX_SEARCHED_VALUES:
        value = waiting.popleft()
        if id(value) in seen:
            continue
        seen.add(id(value))
        searched += 1
        if isinstance(value, str | bytes | np.ndarray):
            yield value
        elif isinstance(value, Mapping):
            yield value
            waiting.extend(_worth_searching(value.values()))
        elif isinstance(value, list | tuple):
            yield value
            waiting.extend(_worth_searching(value))
        elif isinstance(value, Record):
            waiting.extend(_worth_searching((value.arguments, value.state, value.items)))


def _worth_searching(values: Iterable[object]) -> list[Any]:
    kinds = (str, np.ndarray, Mapping, list, tuple, Record)
    return [value for value in values if isinstance(value, kinds)]


def _may_list(value: Any, size: int) -> bool:
    if isinstance(value, str):
        return len(value) == size
    near = size - MAX_SPECIAL_TOKENS <= len(value) <= size and len(value) >= size / 2
    return near and _lists_signs(value)


def _lists_signs(value: Any) -> bool:
    """Whether almost all of it are single signs, or a mapping of such to or from indices."""
    if isinstance(value, str | bytes) or not len(value):
        return False
    if isinstance(value, np.ndarray):
        return value.ndim == 1 and value.dtype.kind in "US"
    if isinstance(value, Mapping):
        return _single(value.keys()) or _single(value.values())
    return _single(value)


def _single(signs: Iterable[object]) -> bool:
    signs = list(signs)
    longer = sum(not _is_sign(sign) for sign in signs)
    return longer <= min(MAX_SPECIAL_TOKENS, len(signs) // 2)


def _is_sign(sign: object) -> bool:
    if isinstance(sign, bytes):
        return 1 <= len(sign) <= 4
    return isinstance(sign, str) and (len(sign) == 1 or _BYTE.fullmatch(sign) is not None)
