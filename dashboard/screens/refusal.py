"""What a part returns in place of its result where it has none: the view decides what follows."""

from dataclasses import dataclass

import streamlit as st


@dataclass(frozen=True)
class Refusal:
    """One sentence (Markdown) that tells the visitor why; no error where something is only missing
    as yet."""

    sentence: str
    is_error: bool = True

    def show(self) -> None:
        (st.error if self.is_error else st.info)(self.sentence)
