"""Tables for people, as Markdown."""

import re
from collections.abc import Collection

NOTHING = "–"


def table(rows: list[dict[str, str]], left: Collection[str]) -> str:
    """Rows of cells by their headings, the same in every row; aligned right but for `left`."""
    lines = [list(rows[0]), ["---" if heading in left else "---:" for heading in rows[0]]]
    lines += [list(row.values()) for row in rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def escaped(name: str) -> str:
    """A name that may hold anything, so that a table shows it as it is."""
    return re.sub(r"([\\`*_{}\[\]<>|#~])", r"\\\1", " ".join(name.split()))
