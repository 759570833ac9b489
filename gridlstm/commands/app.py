"""The dashboard, started from wherever it is installed."""

import argparse
import os
import sys
from importlib.util import find_spec
from pathlib import Path

from gridlstm.commands.parsers import Commands
from gridlstm.errors import UserError


def add(commands: Commands) -> None:
    command = commands.add_parser(
        "app",
        help="start the dashboard",
        description="Start the dashboard with the shipped models and print the address at which a "
        "browser opens it. What stands after -- goes to Streamlit, as -- --server.port 8600.",
    )
    command.set_defaults(run=_app)
    command.add_argument(
        "--checkpoints", type=Path, metavar="FOLDER", help="another folder of models"
    )
    command.add_argument("streamlit", nargs="*", help="after --: options of Streamlit's")


def _app(options: argparse.Namespace) -> int:
    dashboard = find_spec("dashboard")
    if dashboard is None or find_spec("streamlit") is None:
        raise UserError("The dashboard is not installed: `pip install .` in its folder does so.")
    if options.checkpoints is not None:
        if not options.checkpoints.is_dir():
            raise UserError(f"There is no folder {options.checkpoints}.")
        os.environ["GRIDLSTM_CHECKPOINTS"] = str(options.checkpoints.resolve())
    (folder, *_) = dashboard.submodule_search_locations or [""]
    script = Path(folder) / "app.py"
    arguments = [sys.executable, "-m", "streamlit", "run", str(script), *options.streamlit]
    sys.stdout.flush()
    os.execv(sys.executable, arguments)
