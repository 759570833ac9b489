"""`gridlstm COMMAND`, or `python -m gridlstm COMMAND`: results on standard output, everything else
on standard error.

A mistake of the user's is one line on standard error and exit status 2.
"""

import sys

from gridlstm.commands import run
from gridlstm.commands.memory import keep_freed_memory


def main() -> int:
    keep_freed_memory()
    return run(sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())
