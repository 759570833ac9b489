"""Numbers with their nouns, in messages."""


def counted(number: int, one: str, several: str = "") -> str:
    """`1 span`, `1,200 spans`; `several` where it takes more than an s."""
    return f"{number:,} {one if number == 1 else several or one + 's'}"
