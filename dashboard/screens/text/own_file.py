"""A visitor's text file: read as what it looks like, or as what the visitor knows it is written in.

One named key of the session, `own_file`, beside `encoding`, the selector's own.
"""

from dataclasses import dataclass

import streamlit as st

from dashboard.screens import choices
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
            max_bytes=choices.MOST_BYTES,
            is_whole=self.is_whole,
        )


def take_file(name: str, data: bytes) -> None:
    """Take a file's text into use."""
    found = from_bytes(data, name, max_bytes=choices.MOST_BYTES)
    beginning = data[: bytes_needed(choices.MOST_BYTES)]
    is_whole = len(beginning) == len(data)
    st.session_state["own_file"] = OwnFile(name, beginning, is_whole, found)
    st.session_state["encoding"] = AS_GUESSED
    choices.use_text(found, name)


def forget_file() -> None:
    """A text that comes from elsewhere is in use."""
    st.session_state.pop("own_file", None)


def choose_encoding() -> None:
    """A selector of what the file in use is written in, where its bytes do not say for sure."""
    if "own_text" not in st.session_state or "own_file" not in st.session_state:
        return
    found = st.session_state["own_file"].found
    if not found.guessed:
        return
    st.selectbox(
        "Written in (encoding)",
        [AS_GUESSED, *ENCODINGS],
        format_func=lambda name: ENCODINGS.get(name, f"Guessed: {ENCODINGS[found.encoding]}"),
        help="Which character each byte stands for. The file does not say, so it was guessed. "
        "Choose another where the text below looks wrong.",
        key="encoding",
        on_change=_take_encoding,
        persist_state="session",
        width=320,
    )


def _take_encoding() -> None:
    file = st.session_state["own_file"]
    choices.use_text(file.read_as(st.session_state["encoding"]), file.name)
