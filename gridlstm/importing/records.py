"""What stands for an object of a class that is not read: its name and its state, nothing else."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(eq=False, repr=False)
class Record:
    """An inert object of another program: `name` is its class as the file writes it, `arguments`
    what it would have been made with, `state` what it held and `items` what was put into it."""

    name: str
    arguments: tuple[Any, ...] = ()
    state: Any = None
    items: dict[Any, Any] | list[Any] = field(default_factory=dict)

    def get(self, key: str, default: Any = None) -> Any:
        """What the state holds under a name."""
        found = self.state if isinstance(self.state, Mapping) else {}
        return found.get(key, default)

    def __repr__(self) -> str:
        return f"Record({self.name})"
