"""JSON that others wrote: vocabularies, manifests, configurations."""

import json
from typing import Any

from gridlstm.importing.errors import DamagedFileError, ForeignModelError

MAX_JSON = 16 << 20
# Each takes up to thirty times the memory of the signs that write it.
MAX_JSON_CONTAINERS = 250_000


def parse_json(data: bytes | memoryview, what: str) -> Any:
    """What the JSON says; `what` names it in an error. Of a name that stands twice the last counts.
    Raises DamagedFileError, ForeignModelError."""
    data = bytes(data)
    if len(data) > MAX_JSON or data.count(b"{") + data.count(b"[") > MAX_JSON_CONTAINERS:
        raise ForeignModelError(f"{what[0].upper()}{what[1:]} is too large.")
    try:
        return json.loads(str(data, "utf-8-sig"))
    except (ValueError, RecursionError) as bad:
        raise DamagedFileError(f"{what[0].upper()}{what[1:]} is not valid JSON.") from bad
