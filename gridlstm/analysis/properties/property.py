"""What a property is."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from gridlstm.array_types import NumberArray
from gridlstm.errors import UserError


class PropertyError(UserError):
    """A property that does not exist, cannot be measured, or tells no two characters apart."""


@dataclass(frozen=True)
class Property:
    """Something that is true of some characters of a text, or a number that each of them has.

    `name` is used in commands and addresses, `title` in lists. `measure` maps the characters of a
    text to bool [character] if `kind` is "mark", and to float64 [character] if it is "number".
    """

    name: str
    title: str
    explanation: str
    kind: Literal["mark", "number"]
    measure: Callable[[str], NumberArray]
