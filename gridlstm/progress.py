"""How a long computation tells how far it is, and how its caller stops it."""

from collections.abc import Callable

# Called with the fraction done, 0 to 1. To stop the computation, raise Cancelled from it.
Progress = Callable[[float], None]


class Cancelled(Exception):
    """Raised by a caller's progress function; the computation ends and nothing of it is kept."""
