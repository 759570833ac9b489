"""Where the models are that the program comes with."""

import os
from pathlib import Path

import gridlstm

ROOT = Path(gridlstm.__file__).parent


def folder() -> Path:
    """The folder of models: that which the environment's GRIDLSTM_CHECKPOINTS names, else what an
    installation brought along, else `checkpoints/` of a checkout."""
    if named := os.environ.get("GRIDLSTM_CHECKPOINTS"):
        return Path(named)
    installed = ROOT / "shipped"
    return installed if installed.is_dir() else ROOT.parent / "checkpoints"
