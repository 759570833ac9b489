"""The server as it is started: who gets a session."""

import socket
from urllib.parse import urlsplit

import app_checkpoints
import pytest
from app_checkpoints import ROOT


@pytest.fixture(scope="module")
def port(tmp_path_factory):
    folder = str(app_checkpoints.good_folder(tmp_path_factory.mktemp("checkpoints")))
    app = ROOT / "dashboard" / "app.py"
    with app_checkpoints.serving(app, ROOT, GRIDLSTM_CHECKPOINTS=folder) as address:
        yield urlsplit(address).port


def answer(port: int, host: str) -> int:
    """The status with which a session is given (101) or refused, to who calls the server so."""
    request = [
        "GET /_stcore/stream HTTP/1.1",
        f"Host: {host}",
        f"Origin: http://{host}",
        "Connection: Upgrade",
        "Upgrade: websocket",
        "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
    ]
    with socket.create_connection(("127.0.0.1", port), timeout=60) as connection:
        connection.sendall("\r\n".join([*request, "", ""]).encode())
        return int(connection.recv(100).split()[1])


def test_only_this_machine_s_own_names_get_a_session(port):
    for host in (f"localhost:{port}", f"127.0.0.1:{port}", "LOCALHOST", f"[::1]:{port}"):
        assert answer(port, host) == 101, host
    for host in ("evil.example", f"evil.example:{port}", "localhost.evil.example", "127.0.0.1.nip"):
        assert answer(port, host) == 403, host
