"""`gridlstm app`: which program it hands over to, and with what."""

import os
import sys
from pathlib import Path

import pytest

from gridlstm.checkpoint import shipped
from gridlstm.commands import run

ROOT = Path(__file__).parents[1]


@pytest.fixture
def started(monkeypatch):
    """The programs that this process would have become."""
    programs = []
    monkeypatch.setattr(os, "execv", lambda path, arguments: programs.append((path, arguments)))
    return programs


def test_it_becomes_streamlit_with_the_shipped_models(started, monkeypatch):
    monkeypatch.delenv("GRIDLSTM_CHECKPOINTS", raising=False)
    run(["app", "--", "--server.port", "8600"])
    script = str(ROOT / "dashboard" / "app.py")
    rest = ["-m", "streamlit", "run", script, "--server.port", "8600"]
    assert started == [(sys.executable, [sys.executable, *rest])]
    assert shipped.folder() == ROOT / "checkpoints"


def test_another_folder_of_models(started, monkeypatch, tmp_path):
    monkeypatch.setenv("GRIDLSTM_CHECKPOINTS", "elsewhere")
    run(["app", "--checkpoints", str(tmp_path)])
    assert shipped.folder() == tmp_path and len(started) == 1


def test_a_folder_that_is_not_there(started, capsys, tmp_path):
    assert run(["app", "--checkpoints", str(tmp_path / "none")]) == 2
    assert "There is no folder" in capsys.readouterr().err and not started
