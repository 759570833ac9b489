"""What libraries cost every visitor once they are imported, and what is done about it."""

import gc
import sys
import threading

# So many modules more than the last time are worth the search for garbage that this takes.
MIN_NEW_MODULES = 50
_settled, _settling = 0, threading.Lock()


def settle() -> None:
    """Where libraries have been imported since the last time, leave them out of the search for
    garbage, and let NumPy use one thread.

    Streamlit has all objects searched after every run of a page, and nobody else is served
    meanwhile: those that torch, pandas and plotly are made of take most of that time, and are never
    garbage. NumPy's products are small here, and threads that wait for the next one keep a
    processor busy; how many torch may use is told by `dashboard.serving.threads`.
    """
    global _settled
    with _settling:
        modules = len(sys.modules)
        if modules - _settled < MIN_NEW_MODULES:
            return
        _settled = modules
        _limit_numpy()
        # What is garbage already is not to be kept for ever.
        gc.collect()
        gc.freeze()


def _limit_numpy() -> None:
    """Also SciPy's copy of the same library, once that is imported."""
    from threadpoolctl import threadpool_limits

    threadpool_limits(1, user_api="blas")
