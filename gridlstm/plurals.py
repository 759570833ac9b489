"""Numbers with their nouns, in messages."""


def counted(number: int, noun: str) -> str:
    """`1 span`, `1,200 spans`."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"
