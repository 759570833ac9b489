"""The gate that keeps the memory from below has nothing to keep in the first layer."""

import pytest
from app_checkpoints import about, random_tensors
from app_pages import captions, go, said

from gridlstm.architectures import ARCHITECTURES
from gridlstm.checkpoint import write_checkpoint
from gridlstm.clamps import Clamp
from gridlstm.config import ModelConfig
from gridlstm.intervention import losses

SENTENCE = "Holding this gate changes nothing"
CONFIGS = {
    name: ModelConfig(name, 2, 5, "none" if name == "grid" else None) for name in ARCHITECTURES
}
KEEPS_FROM_BELOW = {
    name: config.memory("depth").keep for name, config in CONFIGS.items() if config.memory("depth")
}


@pytest.mark.parametrize("name", KEEPS_FROM_BELOW)
@pytest.mark.parametrize("layer", [1, 2])
def test_the_page_says_so_exactly_where_holding_it_changes_nothing(
    visit, make_model, tmp_path, name, layer
):
    config, gate = CONFIGS[name], KEEPS_FROM_BELOW[name]
    model = make_model(name, config.layers, config.units, config.tie)
    clamps = [[], [Clamp(gate, layer, unit=1, value=0.9)]]
    as_it_is, held = losses(model, b"a cat sat on a mat", clamps)
    changes = (abs(as_it_is[1:] - held[1:]) > 1e-5).any()
    assert changes == (layer == 2 or name == "highway")

    write_checkpoint(tmp_path / "one.safetensors", random_tensors(config), about(config))
    app = visit(folder=tmp_path, model="one", quantity=gate, layer=str(layer), unit="1")
    go(app, "switch_off")
    assert said(app) == []
    assert (SENTENCE in captions(app)) == (not changes)
