"""How the C library keeps the memory of a command."""

import ctypes
import os
import platform

# mallopt's numbers for what the variables of the environment say, and the most it takes.
THRESHOLDS = {"MALLOC_TRIM_THRESHOLD_": -1, "MALLOC_MMAP_THRESHOLD_": -3}
MAX_KEPT_BYTES = 2**31 - 1


def keep_freed_memory() -> None:
    """Let glibc keep what is freed for the next that is asked for, unless the environment says how.

    An update in training asks for the same hundreds of megabytes as the one before. Given back in
    between, every page of them would be fetched and zeroed anew: on a CPU up to a third of the
    time. Does nothing where another C library is used.
    """
    if platform.libc_ver()[0] != "glibc" or THRESHOLDS.keys() & os.environ.keys():
        return
    for threshold in THRESHOLDS.values():
        ctypes.CDLL(None).mallopt(threshold, MAX_KEPT_BYTES)
