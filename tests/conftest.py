import functools
import os
from dataclasses import replace

import pytest
from app_pages import folder, shipped, visit  # noqa: F401  (fixtures)
from hypothesis import settings
from streamlit.components.v2 import manifest_scanner

# Sums are then added up in the same order in this process and in those that the tests start.
os.environ["OMP_NUM_THREADS"] = "1"

# No test is timed: a busy machine would fail it.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")

TEXT = b"a cat sat on a mat, and a rat sat on a hat. " * 60


@pytest.fixture(scope="session", autouse=True)
def components_are_looked_for_once():
    """Streamlit looks through all installed packages for them whenever a visit begins."""
    scan = functools.cache(manifest_scanner.scan_component_manifests)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(manifest_scanner, "scan_component_manifests", scan)
        yield


@pytest.fixture
def make_model():
    """A function that makes a model with random weights, large enough that gates open and close."""
    import torch

    from gridlstm.config import ModelConfig
    from gridlstm.model import LanguageModel

    def make(architecture, layers, units, tie=None, dropout=0.0, *, double=False, seed=0):
        torch.manual_seed(seed)
        model = LanguageModel(ModelConfig(architecture, layers, units, tie, dropout))
        model.initialise(scale=0.8, forget_bias=1.0)
        return model.double() if double else model

    return make


@pytest.fixture(params=["in place", "at once", "staggered"])
def each_way(request, monkeypatch):
    """How long texts are read by large models, done with short ones by small models: an LSTM over
    time at once or not, and layers that share their weights a block of positions apart."""
    from gridlstm import network
    from gridlstm.backends.plan import plan

    def chosen(config, shape, device, gradients, clamps=None, **more):
        made = plan(config, shape, device, gradients, clamps, **more)
        if "cells" in made.recurrences:
            return made
        how = "in place" if request.param == "in place" else "at once"
        recurrences = tuple(
            "in place" if clamps and clamps.concern("time", layer) else how
            for layer in range(config.layers)
        )
        staggers = request.param == "staggered" and config.tie == "all" and clamps is None
        order = "staggered" if staggers else made.order
        return replace(made, order=order, recurrences=recurrences, block=3)

    monkeypatch.setattr(network, "plan", chosen)


@pytest.fixture
def corpus(tmp_path):
    """A small text to train on, nine tenths of it, in the folder that the test works in."""
    from gridlstm.corpus import read_corpus

    path = tmp_path / "text.txt"
    path.write_bytes(TEXT)
    return read_corpus(path, 0.9)
