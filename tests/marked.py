"""Texts marked by hand: two strings of the same length, one above the other.

`⏎` stands for a newline and `→` for a tab, so that marks stay below their characters. `#` is
inside, a digit is a depth or a position, `.` is outside or 0.
"""

import numpy as np

from gridlstm.analysis.properties import PROPERTIES


def written(text: str) -> str:
    """The text that the example stands for."""
    return text.replace("⏎", "\n").replace("→", "\t")


def drawn(measured: np.ndarray) -> str:
    """Marks or small numbers [character] as in the examples."""
    if measured.dtype == bool:
        return "".join("#" if marked else "." for marked in measured)
    assert measured.dtype == np.float64
    return "".join(f"{number:g}" if number else "." for number in measured)


def measured(name: str, text: str) -> str:
    """What the property of that name gives for the text of an example, as it is drawn there."""
    return drawn(PROPERTIES[name].measure(written(text)))


def examples(marked: dict[str, list[tuple[str, str]]]) -> list[tuple[str, str, str]]:
    """(name, text, marks) of each example, for `pytest.mark.parametrize`."""
    return [(name, *example) for name, found in marked.items() for example in found]
