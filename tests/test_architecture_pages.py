"""Every page with a model of every architecture: what it has is shown, in its own words."""

import numpy as np
import pytest
from app_checkpoints import about, random_tensors
from app_pages import captions, checked, drawn, figures, said

from dashboard import words
from gridlstm.architectures import ARCHITECTURES
from gridlstm.checkpoint import load_model, write_checkpoint
from gridlstm.config import ModelConfig
from gridlstm.equations import equations
from gridlstm.text import from_string
from gridlstm.trace import trace

CONFIGS = {
    **{name: ModelConfig(name, 3, 6, "none" if name == "grid" else None) for name in ARCHITECTURES},
    "grid-tanh": ModelConfig("grid", 3, 6, "all", depth="tanh"),
    "grid-no-priority": ModelConfig("grid", 3, 6, "depth", priority="none"),
}
every_architecture = pytest.mark.parametrize("name", CONFIGS)


@pytest.fixture(scope="module")
def zoo(tmp_path_factory):
    """A folder with a small model of every architecture."""
    folder = tmp_path_factory.mktemp("zoo")
    for name, config in CONFIGS.items():
        write_checkpoint(folder / f"{name}.safetensors", random_tensors(config), about(config))
    return folder


@every_architecture
def test_the_cells_page_offers_what_the_model_has(visit, zoo, name):
    app = visit("cells", folder=zoo, model=name, layer="2", unit="1")
    offered = app.selectbox(key="quantity").options
    config = CONFIGS[name]
    assert offered == [w.label for q, w in words.QUANTITIES.items() if q in config.quantities]
    for quantity in config.quantities:
        app.selectbox(key="quantity").set_value(quantity)
        checked(app.run())
        assert len(drawn(app)["values"]) == 3


@every_architecture
def test_the_gates_page_shows_the_gates_that_keep_memories(visit, zoo, name):
    app = visit("gates", folder=zoo, model=name)
    found, memories = figures(app), CONFIGS[name].form.memories
    assert {memory.along for memory in memories} <= set(found)
    assert ("feedback" in found) == (name == "gated-feedback")
    if name == "rnn":
        assert any("has no gate that keeps a memory" in line for line in said(app))
    if name == "gru":
        assert "Update gate (z)" in captions(app)


def test_which_layer_reads_which(visit, zoo):
    app = visit("gates", folder=zoo, model="gated-feedback")
    app.toggle(key="feedback_mean").set_value(False)
    checked(app.run())
    app.number_input(key="feedback_at").set_value(5)
    checked(app.run())
    picture = figures(app)["feedback"]["data"][0]
    shown = np.frombuffer(app_checkpoints_bytes(picture["z"]), picture["z"]["dtype"]).reshape(3, 3)
    assert ((shown > 0) & (shown < 1)).all() and np.ptp(shown) > 0.01


def app_checkpoints_bytes(array: dict) -> bytes:
    import base64

    return base64.b64decode(array["bdata"])


@every_architecture
def test_the_models_page_tells_how_every_quantity_is_computed(visit, zoo, name):
    config = CONFIGS[name]
    table = visit("models", folder=zoo, model=name).table[-1].value
    told = equations(config).layer
    assert set(told) == set(config.quantities)
    for quantity, latex in told.items():
        assert table.loc[words.QUANTITIES[quantity].label].tolist() == [f"${latex}$"]


@every_architecture
def test_who_wrote_it_is_told_where_a_memory_is_carried(visit, zoo, name):
    config = CONFIGS[name]
    app = visit("provenance", folder=zoo, model=name, layer="3", unit="1")
    if not config.form.memories:
        assert any("carries nothing linearly" in line for line in said(app))
        return
    for along in ("depth", "time"):
        if config.memory(along) is None:
            assert "it cannot be told" in captions(app)
            continue
        app.segmented_control(key="provenance").set_value(along)
        checked(app.run())
        key = "depth-shares" if along == "depth" else "time-shares"
        values = drawn(app, key)["values"]
        if along == "depth":
            np.testing.assert_allclose(values[:-1].sum(axis=0), values[-1], atol=1e-4)
    if name == "highway":
        assert "written by the byte itself" in drawn(app, "depth-shares")["rows"]


@every_architecture
@pytest.mark.parametrize("page", ["switch_off", "find"])
def test_a_unit_can_be_searched_for_and_held(visit, zoo, name, page):
    app = visit(page, folder=zoo, model=name)
    if page == "switch_off":
        offered = app.selectbox(key="quantity").options
        assert set(offered) == {words.QUANTITIES[q].label for q in CONFIGS[name].clampable}


@pytest.mark.parametrize("name", ["highway", "depth-gated", "gru", "grid-1d", "grid-no-priority"])
def test_shares_add_up_to_the_memory(zoo, name):
    """For every linear memory, to 1e-4 in float32, along both dimensions."""
    from gridlstm.analysis.depth_provenance import depth_shares, depth_start
    from gridlstm.analysis.time_provenance import time_shares

    model, _ = load_model(zoo / f"{name}.safetensors")
    values = trace(model, from_string("see [http://a.b c] é").data, dtype=np.float32).values
    for memory in model.config.form.memories:
        cells = values[memory.cell]
        if memory.along == "depth":
            for layer in range(3):
                whole = depth_shares(values, 2, layer, memory).sum(axis=0)
                if memory.starts:
                    whole = whole + depth_start(values, 2, layer, memory)
                np.testing.assert_allclose(whole, cells[layer, :, 2], atol=1e-4)
        else:
            for position in (0, 1, cells.shape[1] - 1):
                parts = time_shares(values, 1, 3, position, memory)
                assert abs(parts.sum() - cells[1, position, 3]) < 1e-4


def test_what_the_byte_itself_left_is_the_embedding_times_the_carry_gates(zoo):
    from gridlstm.analysis.depth_provenance import depth_start

    model, _ = load_model(zoo / "highway.safetensors")
    data = b"abc"
    values = trace(model, data, dtype=np.float32).values
    embedded = model.embedding.weight.numpy()[list(data)]
    memory = model.config.memory("depth")
    expected = embedded * values["depth.carry"].prod(axis=0)
    found = np.stack([depth_start(values, unit, None, memory) for unit in range(6)], axis=1)
    np.testing.assert_allclose(found, expected, atol=1e-5)
