"""What several commands ask of their options."""

import argparse
import tempfile
from pathlib import Path


def add_checkpoint_and_file(command: argparse.ArgumentParser) -> None:
    """The two arguments of every command that lets a model read a file."""
    command.add_argument("checkpoint", type=Path, help="a .safetensors file")
    command.add_argument("file", type=Path, help="any file; .xz, .gz and .bz2 are decompressed")


def check_writable(out: Path) -> None:
    """Raise, before hours are spent, the OSError that writing `out` would end in."""
    if out.is_dir():
        raise IsADirectoryError(f"{out} is a folder.")
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=out.parent):
        pass
