"""What a part returns in place of its result where it has none: the view decides what follows."""

from dataclasses import dataclass
from typing import TypeGuard

import streamlit as st


@dataclass(frozen=True)
class Refusal:
    """One sentence (Markdown) that tells the visitor why; no error where something is only missing
    as yet."""

    sentence: str
    is_error: bool = True

    def show(self) -> None:
        (st.error if self.is_error else st.info)(self.sentence)


def refused(result: object) -> TypeGuard[Refusal]:
    """Whether it is a refusal; its sentence is then shown."""
    if isinstance(result, Refusal):
        result.show()
        return True
    return False
