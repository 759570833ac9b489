"""Which text a model was trained on, in plain words.

A checkpoint has its text's checksum and the name that the file had. A name says little, and may be
that of another text; the checksum is that of one text alone.
"""

from dataclasses import dataclass
from typing import Literal

from gridlstm.checkpoint import Data

Kind = Literal["wiki", "code"]


@dataclass(frozen=True)
class KnownText:
    """`title` in plain words; `kind` is what is written in it: wiki markup or program code."""

    title: str
    kind: Kind


# By the sha256 of the bytes after decompression.
KNOWN = {
    # checkpoints/data/wiki-markup.txt.xz
    "a25643a70ae023e53910dd85e8ffa523ad69bf797259a17dadcd84e0e816333e": KnownText(
        "Wikipedia markup", "wiki"
    ),
    "2b49720ec4d78c3c9fabaee6e4179a5e997302b3a70029f30f2d582218c024a8": KnownText(
        "Wikipedia markup (enwik8)", "wiki"
    ),
    # Made by `python -m gridlstm corpus linux-kernel` of Debian's linux-source-6.1, 6.1.192-2.
    "0b433287efad2d93b4592b20c2bc6d88d825e51d103cfd6673bcafd35d87e6ac": KnownText(
        "Linux kernel source", "code"
    ),
}


def title_of(data: Data) -> str:
    """What the data are called: in plain words if they are known, else by their own name."""
    known = KNOWN.get(data.sha256)
    return known.title if known else data.name


def kind_of(data: Data) -> Kind | None:
    """What is written in the data, None if that is not known."""
    known = KNOWN.get(data.sha256)
    return known.kind if known else None
