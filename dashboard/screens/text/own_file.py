"""A visitor's text file: read as what it looks like, or as what the visitor knows it is written
in."""

from dataclasses import dataclass

import streamlit as st

from dashboard.screens import choices
from dashboard.session import Value, session
from gridlstm.text import ENCODINGS, Text, bytes_needed, from_bytes

# No encoding's name. (None would be no choice at all to a selector.)
AS_GUESSED = ""


@dataclass(frozen=True)
class OwnFile:
    """Its name, so much of its beginning as can be of use, whether that is all of it, and the text
    that was found in it."""

    name: str
    data: bytes
    is_whole: bool
    found: Text

    def read_as(self, encoding: str) -> Text:
        """The text in an encoding, or what was found where that is `AS_GUESSED`."""
        if encoding == AS_GUESSED:
            return self.found
        return from_bytes(
            self.data,
            self.name,
            encoding=encoding,
            max_bytes=choices.MAX_SHOWN_BYTES,
            is_whole=self.is_whole,
        )


_OWN_FILE: Value[OwnFile] = Value("own_file")
_ENCODING: Value[str] = Value("encoding")


def take_file(name: str, data: bytes) -> None:
    """Take a file's text into use."""
    found = from_bytes(data, name, max_bytes=choices.MAX_SHOWN_BYTES)
    beginning = data[: bytes_needed(choices.MAX_SHOWN_BYTES)]
    is_whole = len(beginning) == len(data)
    _OWN_FILE.set(OwnFile(name, beginning, is_whole, found))
    _ENCODING.set(AS_GUESSED)
    choices.use_text(found, name)


def forget_file() -> None:
    """A text that comes from elsewhere is in use."""
    _OWN_FILE.forget()


def choose_encoding() -> None:
    """A selector of what the file in use is written in, where its bytes do not say for sure."""
    if not session.has_own_text or not _OWN_FILE.is_chosen:
        return
    found = _OWN_FILE.value.found
    if not found.guessed:
        return
    st.selectbox(
        "Written in (encoding)",
        [AS_GUESSED, *ENCODINGS],
        format_func=lambda name: ENCODINGS.get(name, f"Guessed: {ENCODINGS[found.encoding]}"),
        help="Which character each byte stands for. The file does not say, so it was guessed. "
        "Choose another where the text below looks wrong.",
        key=_ENCODING.key,
        on_change=_take_encoding,
        persist_state="session",
        width=320,
    )


def _take_encoding() -> None:
    file = _OWN_FILE.value
    choices.use_text(file.read_as(_ENCODING.value), file.name)
