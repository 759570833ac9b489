"""What a trace promises besides right values, which test_models.py checks."""

import gc
import math
import tempfile
from pathlib import Path

import numpy as np
import pytest
import torch

from gridlstm.backends import at_once, linear
from gridlstm.backends import plan as planning
from gridlstm.backends.fast import FAST
from gridlstm.backends.linear import reads_float16
from gridlstm.backends.plan import MAX_BLOCK, Shape
from gridlstm.cells.lstm import lstm_step
from gridlstm.clamps import Clamp, clamps_of
from gridlstm.config import ModelConfig
from gridlstm.evaluation import evaluate
from gridlstm.progress import Cancelled
from gridlstm.schedules import split_evenly
from gridlstm.trace import TraceError, trace

KINDS = [("stacked", None), ("grid", "none"), ("grid", "depth"), ("grid", "all")]
every_kind = pytest.mark.parametrize(("architecture", "tie"), KINDS)
TEXT = "The quick brown fox — über http://example.org/ 🦊\n".encode() * 3


@pytest.fixture
def storage(tmp_path, monkeypatch):
    """The folder in which temporary files are made."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def same(one, other):
    assert one.quantities == other.quantities
    for quantity in one.quantities:
        np.testing.assert_array_equal(one.values[quantity], other.values[quantity])
    np.testing.assert_array_equal(one.loss, other.loss)
    np.testing.assert_array_equal(one.next_token, other.next_token)


@every_kind
def test_shapes_and_types(make_model, architecture, tie):
    model = make_model(architecture, 3, 4, tie)
    traced = trace(model, TEXT)
    assert (bytes(traced.tokens.tolist()), traced.layers, traced.units) == (TEXT, 3, 4)
    assert traced.quantities == model.config.quantities
    for values in traced.values.values():
        assert (values.shape, values.dtype) == ((3, len(TEXT), 4), np.float16)
    assert (traced.loss.shape, traced.loss.dtype) == ((len(TEXT),), np.float32)
    assert (traced.next_token.shape, traced.next_token.dtype) == ((len(TEXT), 256), np.float16)
    dimensions = {quantity.split(".")[0] for quantity in traced.quantities}
    assert dimensions == ({"time"} if architecture == "stacked" else {"time", "depth"})


@every_kind
def test_float16_is_as_faithful_as_stated(make_model, architecture, tie):
    model = make_model(architecture, 3, 8, tie)
    half, exact = trace(model, TEXT), trace(model, TEXT, dtype=np.float32)
    for quantity, values in exact.values.items():
        error = np.abs(half.values[quantity].astype(np.float64) - values)
        if quantity.endswith(".cell"):
            # Values under the smallest normal float16 are off by half its last place, 2**-25.
            assert (error <= np.maximum(np.abs(values) / 2000, 2**-25)).all()
        else:
            assert error.max() <= 0.00025


@every_kind
def test_the_loss_is_that_of_evaluation(make_model, architecture, tie):
    model = make_model(architecture, 3, 6, tie)
    traced = trace(model, TEXT, ())
    assert traced.values == {}
    assert np.isnan(traced.loss[0]) and np.isfinite(traced.loss[1:]).all()
    data = np.frombuffer(TEXT, np.uint8)
    assert traced.nats_per_byte == pytest.approx(evaluate(model, data).nats_per_byte, rel=1e-5)
    of_the_coming = traced.next_token[np.arange(len(TEXT) - 1), data[1:]]
    np.testing.assert_allclose(np.exp(-traced.loss[1:]), of_the_coming, rtol=1e-3, atol=1e-6)
    np.testing.assert_allclose(traced.next_token.sum(1, dtype=np.float64), 1, atol=1e-2)


@every_kind
def test_only_what_is_asked_for_is_held(make_model, architecture, tie):
    model = make_model(architecture, 2, 4, tie)
    whole = trace(model, TEXT)
    asked = ("time.output", "time.cell")
    part = trace(model, TEXT, asked)
    assert part.quantities == asked
    for quantity in asked:
        np.testing.assert_array_equal(part.values[quantity], whole.values[quantity])
    np.testing.assert_array_equal(part.loss, whole.loss)


@every_kind
@pytest.mark.parametrize("piece", [1, 7, len(TEXT) - 1, len(TEXT)])
def test_pieces_are_the_whole(make_model, monkeypatch, architecture, tie, piece):
    model = make_model(architecture, 3, 4, tie, double=True)
    whole = trace(model, TEXT, dtype=np.float64)
    monkeypatch.setattr(planning, "MAX_POSITIONS", piece)
    pieces = trace(model, TEXT, dtype=np.float64)
    for quantity in whole.quantities:
        np.testing.assert_allclose(
            pieces.values[quantity], whole.values[quantity], atol=1e-12, rtol=0
        )
    np.testing.assert_allclose(pieces.loss, whole.loss, atol=1e-6, rtol=0)
    np.testing.assert_allclose(pieces.next_token, whole.next_token, atol=1e-3, rtol=0)


def test_a_large_trace_lies_on_disk_as_long_as_it_lives(make_model, storage):
    model = make_model("grid", 2, 4, "all")
    in_memory = trace(model, TEXT)
    size = sum(values.nbytes for values in in_memory.values.values())
    assert not list(storage.iterdir())

    same(trace(model, TEXT, max_in_memory=size), in_memory)
    gc.collect()
    assert not list(storage.iterdir())

    on_disk = trace(model, TEXT, max_in_memory=size - 1)
    same(on_disk, in_memory)
    assert all(isinstance(values, np.memmap) for values in on_disk.values.values())
    (folder,) = storage.iterdir()
    assert {file.stem for file in folder.iterdir()} == set(model.config.quantities)
    array = on_disk.values["time.cell"]
    del on_disk
    gc.collect()
    assert not list(storage.iterdir())
    # An array that outlives its trace can still be read.
    np.testing.assert_array_equal(array, in_memory.values["time.cell"])


@pytest.mark.parametrize("most", [1, 3, 64])
def test_blocks_are_as_even_as_can_be(most):
    for positions in range(1, 300):
        count, block = split_evenly(positions, most)
        assert block <= most and (count - 1) * block < positions <= count * block
        assert count == math.ceil(positions / most)
        assert block == 1 or (block - 1) * count < positions


def test_large_layers_with_shared_weights_do_side_by_side_what_they_do_one_above_the_other(
    make_model, monkeypatch
):
    """Over pieces that are no whole number of blocks, as wide as such layers must be."""
    model, text = make_model("grid", 3, 368, "all", double=True), (TEXT * 3)[:211]
    with torch.no_grad():
        for weights in model.parameters():
            weights.mul_(0.1)  # or rounding grows from position to position
    told, piece = [], 150
    monkeypatch.setattr(planning, "MAX_STAGGERED_POSITIONS", piece)
    staggered = trace(model, text, dtype=np.float64, progress=told.append)
    same(trace(model, text, dtype=np.float64, max_in_memory=0), staggered)
    blocks = math.ceil(piece / MAX_BLOCK)
    assert len(told) == 3 * (blocks + 1)  # the second piece is less than a block
    assert all(a < b for a, b in zip(told, told[1:], strict=False)) and told[-1] == 1.0
    monkeypatch.setattr(planning, "staggers", lambda config: False)
    one_above_the_other = trace(model, text, dtype=np.float64)
    for quantity, values in one_above_the_other.values.items():
        np.testing.assert_allclose(
            staggered.values[quantity], values, atol=1e-9, rtol=0, err_msg=quantity
        )
    np.testing.assert_allclose(staggered.loss, one_above_the_other.loss, atol=1e-6, rtol=0)


def test_side_by_side_no_layer_needs_its_weights_in_the_order_of_torchs_lstm(
    make_model, monkeypatch
):
    """Not even the lowest and the top one, which read a block alone; in float16, as files hold."""
    model, text = make_model("grid", 3, 512, "all"), (TEXT * 5)[: 5 * MAX_BLOCK]
    with torch.no_grad():
        for weights in model.parameters():
            weights.copy_((weights * 0.1).half())
    if not reads_float16(next(model.parameters())):
        pytest.skip("torch has no products with weights of float16 here")
    asked, plain = [], at_once.lstm_at_once
    monkeypatch.setitem(FAST["at once"], lstm_step, lambda *a: asked.append(1) or plain(*a))
    staggered = trace(model, text, dtype=np.float32)
    assert not asked
    monkeypatch.setattr(planning, "staggers", lambda config: False)
    one_above_the_other = trace(model, text, dtype=np.float32)
    assert asked
    for quantity, values in one_above_the_other.values.items():
        np.testing.assert_allclose(staggered.values[quantity], values, atol=1e-5, rtol=0)


def test_weights_are_made_ready_once_for_long_and_short_readings(make_model, monkeypatch):
    """As sampling reads: what it begins from, side by side, and then byte by byte."""
    model, made = make_model("grid", 3, 512, "all"), []
    plain = linear.packed
    monkeypatch.setattr(linear, "packed", lambda w, *a: made.append(w.shape) or plain(w, *a))
    long = torch.randint(256, (5 * MAX_BLOCK, 1))
    with torch.inference_mode():
        reader = model.recurrent.reader(Shape(1, 1, len(long) + 1))
        _, state = reader(model.embedding(long), model.start(1))
        reader(model.embedding(long[:1]), state)
    assert sorted(map(tuple, made)) == [(2048, 512)] * 2 + [(2048, 1024)]


def test_large_layers_with_held_units_are_read_in_pieces_as_small_as_any():
    """One above the other: each computes all of a piece at once."""
    config = ModelConfig("grid", 3, 1000, "all")
    clamps = clamps_of([[Clamp("time.cell", 2, 5, 0.0)]], config, torch.zeros(1))
    positions = planning.positions_at_once(config, clamps)
    computed = positions * config.values_a_layer
    assert 0 < computed <= planning.MAX_NUMBERS
    assert positions < planning.positions_at_once(config, None)


@pytest.mark.parametrize("piece", [1, 10, 512])
def test_progress_rises_to_one(make_model, monkeypatch, piece):
    monkeypatch.setattr(planning, "MAX_POSITIONS", piece)
    told = []
    trace(make_model("stacked", 1, 4), TEXT, progress=told.append)
    assert len(told) == -(-len(TEXT) // piece)
    assert all(a < b for a, b in zip(told, told[1:], strict=False))
    assert told[0] > 0 and told[-1] == 1.0


@pytest.mark.parametrize("max_in_memory", [0, 2**30])
def test_a_cancelled_trace_leaves_nothing(make_model, monkeypatch, storage, max_in_memory):
    monkeypatch.setattr(planning, "MAX_POSITIONS", 10)
    told = []

    def cancel(share):
        told.append(share)
        if len(told) == 3:
            raise Cancelled

    with pytest.raises(Cancelled):
        trace(make_model("grid", 2, 4, "none"), TEXT, max_in_memory=max_in_memory, progress=cancel)
    assert len(told) == 3
    assert not list(storage.iterdir())


@pytest.fixture
def largest_file():
    """Sets how many bytes a file may have from now on, as if the disk were full."""
    resource = pytest.importorskip("resource", reason="there are no limits to files here")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    yield lambda size: resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("when", ["at the start", "midway"])
def test_without_room_for_its_files_a_trace_says_so_and_leaves_nothing(
    make_model, monkeypatch, storage, largest_file, when
):
    monkeypatch.setattr(planning, "MAX_POSITIONS", 10)
    model, told = make_model("grid", 2, 64, "none"), []
    if when == "at the start":
        largest_file(2000)
    with pytest.raises(TraceError, match="make room on the disk"):
        trace(
            model,
            TEXT,
            max_in_memory=0,
            progress=lambda share: told.append(share) or largest_file(2000),
        )
    assert bool(told) == (when == "midway")
    assert not list(storage.iterdir())
    largest_file(2**40)
    same(trace(model, TEXT, max_in_memory=0), trace(model, TEXT))


@every_kind
@pytest.mark.parametrize("training", [False, True])
def test_the_model_is_not_changed(make_model, architecture, tie, training):
    """Nor does its dropout touch the trace, nor the trace the random numbers."""
    model = make_model(architecture, 2, 4, tie, dropout=0.5).train(training)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    numbers = torch.get_rng_state()
    first, second = trace(model, TEXT), trace(model, TEXT)
    same(first, second)
    same(first, trace(make_model(architecture, 2, 4, tie), TEXT))
    after = model.state_dict()
    assert after.keys() == before.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert model.training is training
    model.zero_grad()
    torch.set_rng_state(numbers)
    trace(model, TEXT)
    assert torch.equal(torch.get_rng_state(), numbers)


def test_a_text_of_one_byte(make_model):
    traced = trace(make_model("grid", 3, 4, "all"), b"\0")
    assert np.isnan(traced.loss).all() and np.isnan(traced.nats_per_byte)
    assert all(values.shape == (3, 1, 4) for values in traced.values.values())
    assert all(np.isfinite(values).all() for values in traced.values.values())
    assert traced.next_token.shape == (1, 256)


def test_the_likeliest_bytes_are_in_order(make_model):
    traced = trace(make_model("grid", 2, 4, "all"), TEXT)
    likeliest, probabilities = traced.likeliest(5)
    assert likeliest.shape == probabilities.shape == (len(TEXT), 5)
    for position in range(len(TEXT)):
        expected = sorted(range(256), key=lambda b: (-float(traced.next_token[position, b]), b))[:5]
        assert likeliest[position].tolist() == expected
        np.testing.assert_array_equal(
            probabilities[position], traced.next_token[position, expected]
        )


@pytest.mark.parametrize(
    ("architecture", "data", "quantities", "named"),
    [
        ("grid", b"", None, "empty"),
        ("grid", b"text", ["time.memory"], "time.memory"),
        ("grid", b"text", ["time.cell", ""], "''"),
        ("stacked", b"text", ["depth.cell"], "depth.cell"),
    ],
)
def test_what_cannot_be_traced_is_one_sentence(make_model, architecture, data, quantities, named):
    model = make_model(architecture, 2, 4, "all" if architecture == "grid" else None)
    with pytest.raises(TraceError) as caught:
        trace(model, data, quantities)
    message = str(caught.value)
    assert named in message and message.endswith(".") and len(message.splitlines()) == 1


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs Linux's /proc")
def test_what_is_written_to_files_does_not_stay_in_memory(make_model):
    """The memory mapped from files, which would grow with the text, stays far below the trace."""
    model = make_model("grid", 4, 128, "all")

    def mapped() -> int:
        lines = Path("/proc/self/status").read_text().splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("RssFile"))

    trace(model, bytes(100), max_in_memory=0)  # loads what libraries load when first used
    before = mapped()
    traced = trace(model, bytes(3000), max_in_memory=0)
    size = sum(values.nbytes for values in traced.values.values())
    assert mapped() - before < size / 2


def test_a_memory_along_time_and_depth_at_once_may_outgrow_float16(make_model):
    """All gates open and all writes 1: the top layer's memory grows as a power of the length."""
    model = make_model("depth-gated", 4, 2, None)
    with torch.no_grad():
        for name, tensor in model.recurrent.to_tensors().items():
            tensor.fill_(50.0 if name.endswith("bias") else 0.0)
    cells = trace(model, b"x" * 60, ["time.cell", "time.forget"]).values
    written = np.ones(60)
    for layer in range(4):
        written = np.cumsum(written)  # c' = c + 1 + what the layer below has
        np.testing.assert_allclose(cells["time.cell"][layer, :, 0], written, rtol=1e-5)
        written = written + 1
    assert cells["time.cell"].max() > np.finfo(np.float16).max
    assert cells["time.forget"].dtype == np.float16
