"""A server that a benchmark starts: where it listens, and from when on it answers."""

import socket
import time


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def wait_until_open(port: int, seconds: float) -> None:
    """Return as soon as somebody listens there. Raises TimeoutError after so many seconds."""
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        with socket.socket() as caller:
            if caller.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.01)
    raise TimeoutError("the server never answered")
