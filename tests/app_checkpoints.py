"""Small checkpoints, whole and broken, and the browser: shared by the tests of the pages."""

import contextlib
import json
import math
import os
import pickle
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from gridlstm.checkpoint import FORMAT_VERSION, Data, Metadata, write_checkpoint
from gridlstm.config import ModelConfig
from gridlstm.training.curve_log import COLUMNS, CurvePoint, write_curve

ROOT = Path(__file__).parents[1]
BROWSER_ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]

GRID = ModelConfig("grid", 3, 8, "all", 0.25)
STACKED = ModelConfig("stacked", 2, 8, None, 0.25)
DATA = Data(name="a text.xz", sha256="ab" * 32, bytes=1000, train_fraction=0.95, byte_entropy=3.2)


# -- Whole files ----------------------------------------------------------------------------------


def random_tensors(config: ModelConfig, seed: int = 0) -> dict[str, np.ndarray]:
    """Weights large enough that gates open and close."""
    generator = np.random.default_rng(seed)
    return {
        name: generator.uniform(-1.5, 1.5, shape).astype(np.float32)
        for name, shape in config.tensor_shapes().items()
    }


def about(config: ModelConfig, **changed) -> Metadata:
    facts = {
        "training": {"seed": 1, "learning_rate": 0.001, "minutes": None},
        "updates": 7,
        "bytes_seen": 3_400_000,
        "validation_loss": 1.25,
        "validation_bytes": 49,
        "seconds": 90.0,
        "machine": "a machine",
        "libraries": {"torch": "2.13.0"},
    }
    return Metadata(model=config, data=DATA, **facts | changed)


def checkpoint(path: Path, config: ModelConfig, seed: int = 0, **changed) -> Path:
    """A whole checkpoint with random weights; `changed` replaces entries of its metadata."""
    write_checkpoint(path, random_tensors(config, seed), about(config, **changed))
    return path


def curve(path: Path, last: float = 1.25) -> Path:
    """A whole curve of four validations, down to `last` nats."""
    losses = np.linspace(2.5, last, 4)
    points = [
        CurvePoint(10 * n, n / 4, 500 * n, loss + 0.1, loss, 0.001, 22.5 * n)
        for n, loss in enumerate(losses.tolist(), start=1)
    ]
    write_curve(path, points)
    return path


def good_folder(folder: Path) -> Path:
    """Two models with their curves."""
    for name, config, loss in (("grid-3", GRID, 1.25), ("stacked-2", STACKED, 1.5)):
        checkpoint(folder / f"{name}.safetensors", config, validation_loss=loss)
        curve(folder / f"{name}.csv", loss)
    return folder


# -- Broken files ---------------------------------------------------------------------------------


def _save(path: Path, document: dict | None = None, **tensors) -> None:
    """A grid checkpoint with another document, or with tensors replaced; None drops one."""
    document = document or {"format_version": FORMAT_VERSION, **asdict(about(GRID))}
    changed = {name.replace("__", "."): tensor for name, tensor in tensors.items()}
    kept = {n: t for n, t in (random_tensors(GRID) | changed).items() if t is not None}
    save_file(kept, path, metadata={"gridlstm": json.dumps(document)})


def with_model(path: Path, **changed) -> None:
    """A grid checkpoint that makes other claims about its model than its weights bear out."""
    document = {"format_version": FORMAT_VERSION, **asdict(about(GRID))}
    document["model"] |= changed
    _save(path, document)


def _truncated(path: Path) -> None:
    checkpoint(path, GRID)
    path.write_bytes(path.read_bytes()[:-1000])


# By name: what makes the file, and a piece of the sentence that the visitor reads.
BROKEN: dict[str, tuple[Callable[[Path], object], str]] = {
    "truncated": (_truncated, "not a whole .safetensors file"),
    "empty": (lambda path: path.write_bytes(b""), "not a whole .safetensors file"),
    "text": (lambda path: path.write_text("just a text " * 9), "not a whole .safetensors file"),
    "pickle": (lambda path: path.write_bytes(pickle.dumps(list(range(99)))), "not a whole"),
    "no metadata": (lambda path: save_file(random_tensors(GRID), path), "no 'gridlstm' entry"),
    "architecture": (lambda path: with_model(path, architecture="mamba"), "'mamba'"),
    "version": (lambda path: _save(path, {"format_version": 99}), "format version 99"),
    "units": (lambda path: with_model(path, units=10**9), "1000000000"),
    "lacking": (lambda path: _save(path, decoder__bias=None), "lacks tensor 'decoder.bias'"),
    "surplus": (lambda path: _save(path, more=np.ones(3, np.float32)), "surplus tensor 'more'"),
    "misshapen": (lambda path: _save(path, decoder__bias=np.ones(3, np.float32)), "shape [3]"),
}
# Only reading the weights shows this one, so the file is first refused when it is used.
NOT_FINITE = "values that are not finite"


def not_finite(path: Path) -> Path:
    _save(path, decoder__bias=np.full(256, math.nan, np.float32))
    return path


BROKEN_CURVES: dict[str, bytes] = {
    "no columns": b"update,loss\n1,2\n",
    "words": (",".join(COLUMNS) + "\n1,0.1,50,2.5,low,0.001,3\n").encode(),
    "no rows": (",".join(COLUMNS) + "\n").encode(),
    "binary": bytes(range(256)),
}


# -- The browser ----------------------------------------------------------------------------------


def chromium() -> str:
    """The path of Chromium. Without one the test is skipped, or fails where one is required."""
    found = shutil.which("chromium")
    if found is None:
        reason = "no browser: there is no program `chromium`"
        if os.environ.get("BROWSER_REQUIRED"):
            pytest.fail(reason)
        pytest.skip(reason)
    return found


@contextlib.contextmanager
def launched():
    """A headless Chromium, driven by Playwright."""
    path = chromium()
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=BROWSER_ARGUMENTS)
        yield browser
        browser.close()


@contextlib.contextmanager
def serving(script: Path, folder: Path, **environment: str) -> Iterator[str]:
    """The address of a Streamlit server that runs `script`, started in `folder`.

    It may not complain of a widget with two values, which it does on its own terminal alone.
    """
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    command = [sys.executable, "-m", "streamlit", "run", str(script), f"--server.port={port}"]
    command += ["--server.address=127.0.0.1", "--server.headless=true"]
    command += ["--browser.gatherUsageStats=false"]
    with tempfile.TemporaryFile() as terminal:
        server = subprocess.Popen(
            command,
            cwd=folder,
            env=os.environ | environment,
            stdout=terminal,
            stderr=subprocess.STDOUT,
        )
        try:
            _wait_until_healthy(f"http://127.0.0.1:{port}/_stcore/health", server)
            yield f"http://127.0.0.1:{port}"
        finally:
            server.terminate()
            server.wait(timeout=20)
        terminal.seek(0)
        complaint = re.search(rb"The widget with key.*", terminal.read())
        assert not complaint, complaint[0]


def _wait_until_healthy(url: str, server: subprocess.Popen) -> None:
    for _ in range(240):
        assert server.poll() is None, "the server stopped"
        try:
            with urllib.request.urlopen(url, timeout=2):
                return
        except OSError:
            time.sleep(0.25)
    raise AssertionError("the server never answered")
