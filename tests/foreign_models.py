"""The models of other people's that lie beside the project, with the reference figures of their
README: for tests, which are skipped where the folder is not."""

import re
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[2] / "shared" / "models"
README = FOLDER / "README.md"


def table(heading: str) -> list[list[str]]:
    """The rows of the table under a heading of the README, without the header."""
    if not README.is_file():
        return []
    text = README.read_text(encoding="utf-8").split(f"### {heading}\n")[1].split("\n#")[0]
    rows = [line for line in text.splitlines() if line.startswith("|")]
    return [[field.strip() for field in row.strip("|").split("|")] for row in rows[2:]]


LOSSES = {row[0]: row for row in table("Reference losses")}
CELLS = table("Reference cells")
NAMES = list(LOSSES)
needs_models = pytest.mark.skipif(
    not NAMES, reason="the models of other people's (shared/models) are not beside the project"
)


def files(name: str) -> list[Path]:
    """What a person would bring: the named file and what lies beside it but other models."""
    path = FOLDER / name
    others = {FOLDER / other for other in NAMES} - {path}
    beside = (file for file in sorted(path.parent.iterdir()) if file not in others)
    return [path, *(file for file in beside if file not in (path, path.parent / "sample.txt"))]


def sample(name: str) -> str:
    return (FOLDER / name).parent.joinpath("sample.txt").read_bytes().decode()


def loss(name: str) -> float:
    return float(LOSSES[name][8].strip("*"))


def layers_and_units(name: str) -> tuple[str, int, int]:
    cell, layers, units = re.fullmatch(r"(\w+) (\d+) × (\d+)", LOSSES[name][2]).groups()
    return cell.lower(), int(layers), int(units)
