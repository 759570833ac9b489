"""What each command adds itself to: the subcommands of `python -m gridlstm`."""

import argparse
from typing import TypeAlias

# The class is private, but `add_subparsers` returns it; at run time it takes no parameter.
Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"
