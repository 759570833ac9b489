"""Training in this process, on texts and models small enough for seconds."""

import csv
import json
import math
import re
import subprocess
import sys
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from conftest import TEXT
from torch.nn import functional

from gridlstm import commands
from gridlstm.checkpoint import load_model, read_metadata, read_tensors
from gridlstm.config import OPTIONS, ModelConfig
from gridlstm.corpus import CorpusError, byte_entropy, cut_into_streams
from gridlstm.evaluation import evaluate
from gridlstm.training import run as training
from gridlstm.training.curve_log import CurveLogError
from gridlstm.training.presets import PRESETS
from gridlstm.training.run import DivergedError, Run, Workers, train
from gridlstm.training.settings import SettingsError, TrainingSettings
from gridlstm.training.state import read_progress, state_path
from gridlstm.training.tasks import TextTask

STACKED = ModelConfig("stacked", 2, 8)
GRID = ModelConfig("grid", 2, 8, "all")
CPU = Workers(0, 1, torch.device("cpu"))
SMALL = TrainingSettings(
    sequences=4, length=10, learning_rate=0.01, validate_every=10, precision="float32", updates=20
)
every_model = pytest.mark.parametrize("config", [STACKED, GRID], ids=["stacked", "grid"])


def curve(out):
    """The rows of a curve as numbers."""
    with open(out.with_suffix(".csv"), newline="") as file:
        return [{k: float(v) for k, v in row.items()} for row in csv.DictReader(file)]


# -- What a run does ------------------------------------------------------------------------------


@every_model
def test_the_loss_falls_below_byte_frequencies(tmp_path, corpus, config):
    out = tmp_path / "model.safetensors"
    train(config, replace(SMALL, updates=400, validate_every=100), corpus, out)
    losses = [row["val_loss"] for row in curve(out)]
    assert losses[0] > losses[-1]
    assert losses[-1] < 0.8 * byte_entropy(corpus.validation)
    assert curve(out)[-1]["train_loss"] == pytest.approx(losses[-1], abs=0.2)


@every_model
def test_updates_are_those_of_a_plain_loop(tmp_path, corpus, config):
    """Carried state, summed loss, clipping by element, RMSprop: written out here once more."""
    settings = replace(SMALL, clip=0.5, updates=6, decay=0.5, decay_from_epoch=1, sequences=40)
    out = tmp_path / "model.safetensors"
    run = Run(config, settings, corpus, out, CPU)
    expected = Run(config, settings, corpus, out, CPU).learner.model.train()
    run.go()

    streams = cut_into_streams(corpus.train, settings.sequences, settings.length)
    weights = [p for p in expected.parameters() if p.requires_grad]
    squares = [torch.zeros_like(p) for p in weights]
    state, clipped = expected.start(settings.sequences), 0
    for update in range(6):
        inputs, target = (torch.from_numpy(x.astype(np.int64)) for x in streams.piece(update))
        logits, state = expected(inputs, tuple(part.detach() for part in state))
        losses = functional.cross_entropy(
            logits.flatten(0, 1), target.flatten(), reduction="none"
        ).view(target.shape)
        gradients = torch.autograd.grad(losses.sum(0).mean(), weights)
        clipped += sum(int((g.abs() > 0.5).sum()) for g in gradients)
        rate = 0.01 * 0.5 ** max(0, update // streams.pieces)  # halved after each epoch
        with torch.no_grad():
            for weight, square, gradient in zip(weights, squares, gradients, strict=True):
                gradient = gradient.clip(-0.5, 0.5)
                square.copy_(0.95 * square + 0.05 * gradient**2)
                weight -= rate * gradient / (square.sqrt() + 1e-8)
    assert clipped > 0 and streams.pieces < 6
    named = dict(run.learner.model.named_parameters())
    for name, weight in expected.named_parameters():
        torch.testing.assert_close(named[name], weight, atol=2e-5, rtol=0, msg=name)


def test_the_learning_rate_falls_once_an_epoch_from_the_tenth_on():
    settings = TrainingSettings(updates=1)
    epochs = (0, 5, 9.99, 10, 10.99, 11, 20)
    rates = {epoch: settings.learning_rate_at(0, epoch) for epoch in epochs}
    assert rates == pytest.approx(
        {e: 0.001 for e in (0, 5, 9.99)}
        | {e: 0.00097 for e in (10, 10.99)}
        | {11: 0.001 * 0.97**2, 20: 0.001 * 0.97**11}
    )


def test_the_learning_rate_falls_to_0_in_the_last_updates():
    settings = replace(SMALL, updates=20, cooldown=4, decay=0.5, decay_from_epoch=1)
    rates = [settings.learning_rate_at(update, epoch=0) for update in range(22)]
    assert rates == pytest.approx([0.01] * 17 + [0.0075, 0.005, 0.0025, 0.0, 0.0][: 22 - 17])
    assert settings.learning_rate_at(18, epoch=2) == pytest.approx(0.25 * 0.005)
    by_bytes = replace(settings, updates=None, bytes=20 * 40)
    assert [by_bytes.learning_rate_at(update, 0) for update in range(22)] == rates
    all_of_it = replace(settings, cooldown=40)
    assert all_of_it.learning_rate_at(0, 0) == pytest.approx(0.005)


def test_updates_have_the_rate_that_falls(tmp_path, corpus):
    """RMSprop's first step is as long as the rate, over the root of what it forgets a step."""
    settings = replace(SMALL, updates=4, cooldown=8, clip=100.0)
    run = Run(STACKED, settings, corpus, tmp_path / "model.safetensors", CPU)
    before = run.learner.model.decoder.bias.detach().clone()
    run.learner.update(1)
    moved = (run.learner.model.decoder.bias.detach() - before).abs()
    assert moved.median().item() == pytest.approx(0.01 * 3 / 8 / math.sqrt(0.05), rel=0.01)


@pytest.mark.parametrize(
    "config", [STACKED, *(ModelConfig("grid", 2, 8, tie) for tie in ("none", "depth", "all"))]
)
def test_parameters_start_uniform_with_forget_gates_at_one(tmp_path, corpus, config):
    config = replace(config, units=64)
    model = Run(
        config, replace(SMALL, scale=0.08), corpus, tmp_path / "m.safetensors", CPU
    ).learner.model
    for name, tensor in model.to_tensors().items():
        values = tensor.detach().numpy()
        if name.endswith((".time.bias", ".depth.bias")):
            assert (values[64:128] == 1).all(), name
            values = np.concatenate((values[:64], values[128:]))
        assert np.abs(values).max() <= 0.08
        if values.size > 10_000:
            # A uniform distribution reaches its bounds and has this standard deviation.
            assert values.min() < -0.0799 and values.max() > 0.0799
            assert values.std() == pytest.approx(0.08 / math.sqrt(3), rel=0.02)
            assert values.mean() == pytest.approx(0, abs=0.002)


@every_model
def test_the_same_seed_gives_the_same_run(tmp_path, corpus, config):
    config = replace(config, dropout=0.3)
    for name, seed in (("one", 1), ("again", 1), ("other", 2)):
        train(config, replace(SMALL, seed=seed), corpus, tmp_path / f"{name}.safetensors")
    loss = {
        name: [row["val_loss"] for row in curve(tmp_path / f"{name}.safetensors")]
        for name in ("one", "again", "other")
    }
    assert loss["one"] == loss["again"] != loss["other"]


# -- When it stops --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("stops", "updates"),
    [
        ({"updates": 7}, 7),
        ({"bytes": 280}, 7),
        ({"bytes": 281}, 8),
        ({"updates": 7, "bytes": 10_000}, 7),
        ({"updates": 100, "bytes": 1}, 1),
        ({"minutes": 0.1}, 6),
        ({"minutes": 0.1, "updates": 5}, 5),
    ],
    ids=str,
)
def test_it_stops_when_told(tmp_path, corpus, monkeypatch, stops, updates):
    ticks = iter(range(10_000))  # a clock that goes a second an update
    monkeypatch.setattr(training, "time", SimpleNamespace(monotonic=lambda: next(ticks)))
    out = tmp_path / "model.safetensors"
    train(STACKED, replace(SMALL, **{"updates": None} | stops), corpus, out)
    assert curve(out)[-1]["update"] == updates
    assert read_metadata(out).updates == updates
    assert read_metadata(out).bytes_seen == updates * 40


# A rate that soon ruins the model: the loss rises from some point on.
RUINOUS = replace(SMALL, sequences=20, learning_rate=0.02, decay=3.0, decay_from_epoch=0)


@pytest.mark.parametrize("patience", [1, 10, 11, 25, 40])
def test_it_stops_when_it_no_longer_improves(tmp_path, corpus, patience):
    """The points are those of a run without end, up to the first that lies so far from the best."""
    long, out = tmp_path / "long.safetensors", tmp_path / "model.safetensors"
    train(STACKED, replace(RUINOUS, updates=200), corpus, long)
    expected = []
    for row in curve(long):
        expected.append((row["update"], row["val_loss"]))
        best = min(expected, key=lambda point: point[1])[0]
        if row["update"] - best >= patience:
            break
    assert len(expected) < len(curve(long))
    assert train(STACKED, replace(RUINOUS, updates=200, patience=patience), corpus, out)
    assert [(row["update"], row["val_loss"]) for row in curve(out)] == expected
    assert read_metadata(out).updates == best
    assert read_metadata(out).training["patience"] == patience


def test_it_goes_on_while_it_improves(tmp_path, corpus):
    out = tmp_path / "model.safetensors"
    train(STACKED, replace(SMALL, updates=50, patience=10), corpus, out)
    losses = [row["val_loss"] for row in curve(out)]
    assert len(losses) == 5 and losses == sorted(losses, reverse=True)


# -- What it writes -------------------------------------------------------------------------------


@every_model
def test_the_curve(tmp_path, corpus, config):
    out = tmp_path / "model.safetensors"
    train(config, replace(SMALL, updates=25, decay_from_epoch=0, decay=0.5), corpus, out)
    first_line = out.with_suffix(".csv").read_text().splitlines()[0]
    assert first_line == "update,epoch,bytes,train_loss,val_loss,learning_rate,seconds"
    rows = curve(out)
    pieces = cut_into_streams(corpus.train, 4, 10).pieces
    assert [row["update"] for row in rows] == [10, 20, 25]
    assert [row["bytes"] for row in rows] == [400, 800, 1000]
    assert [row["epoch"] for row in rows] == pytest.approx([n / pieces for n in (10, 20, 25)])
    assert [row["learning_rate"] for row in rows] == pytest.approx(
        [0.01 * 0.5 ** (n // pieces + 1) for n in (10, 20, 25)]
    )
    assert all(0 < row["val_loss"] < 8 and 0 < row["train_loss"] < 8 for row in rows)
    seconds = [row["seconds"] for row in rows]
    assert 0 < seconds[0] < seconds[1] < seconds[2]


def test_the_training_loss_of_a_point_is_the_mean_since_the_last(tmp_path, corpus):
    for every in (1, 4):
        settings = replace(SMALL, updates=8, validate_every=every)
        train(STACKED, settings, corpus, tmp_path / f"{every}.safetensors")
    single = [row["train_loss"] for row in curve(tmp_path / "1.safetensors")]
    means = [row["train_loss"] for row in curve(tmp_path / "4.safetensors")]
    assert means == pytest.approx([np.mean(single[:4]), np.mean(single[4:])], rel=1e-5)


@every_model
@pytest.mark.parametrize("validation_bytes", [None, 50])
def test_the_stated_loss_is_what_evaluate_measures(
    tmp_path, corpus, capsys, config, validation_bytes
):
    """On the whole validation part, even if the points of the curve were measured on less."""
    out = tmp_path / "model.safetensors"
    settings = replace(SMALL, train_fraction=0.9, validation_bytes=validation_bytes)
    train(config, settings, corpus, out)
    capsys.readouterr()
    arguments = ["evaluate", str(out), str(tmp_path / "text.txt"), "--part", "validation"]
    assert commands.run(arguments) == 0
    found, stated = json.loads(capsys.readouterr().out), read_metadata(out)
    assert found["nats_per_byte"] == pytest.approx(stated.validation_loss, rel=0.005)
    assert found["bytes"] == stated.validation_bytes == len(corpus.validation) - 1


def test_the_checkpoint_is_the_best_of_the_run(tmp_path, corpus):
    """A rate that ruins the model after its first epochs must not ruin the checkpoint."""
    out = tmp_path / "model.safetensors"
    settings = replace(SMALL, updates=60, learning_rate=0.02, decay=3.0, decay_from_epoch=0)
    train(STACKED, replace(settings, sequences=20), corpus, out)
    rows = curve(out)
    best = min(rows, key=lambda row: row["val_loss"])
    assert best is not rows[-1]
    assert read_metadata(out).updates == best["update"]
    assert read_metadata(out).validation_loss == pytest.approx(best["val_loss"], rel=0.005)


def test_the_checkpoint_says_what_it_is(tmp_path, corpus):
    out = tmp_path / "model.safetensors"
    train(replace(GRID, dropout=0.25), SMALL, corpus, out)
    about = read_metadata(out)
    assert about.model == replace(GRID, dropout=0.25)
    assert (about.data.name, about.data.sha256) == ("text.txt", corpus.sha256)
    assert (about.data.bytes, about.data.train_fraction) == (len(TEXT), 0.9)
    assert about.data.byte_entropy == pytest.approx(byte_entropy(corpus.validation))
    assert about.training["learning_rate"] == 0.01 and about.training["seed"] == 1
    assert about.training["precision"] == "float32"
    assert about.libraries["torch"].split("+")[0] == torch.__version__.split("+")[0]
    assert about.machine and about.seconds > 0


@every_model
def test_a_run_begun_from_a_checkpoint(tmp_path, corpus, config):
    """It has the weights and the place in the text; the optimiser and the state begin anew."""
    first, later = tmp_path / "first.safetensors", tmp_path / "later.safetensors"
    train(config, replace(SMALL, updates=15), corpus, first)
    settings = replace(SMALL, updates=18, cooldown=3, validate_every=1)
    before = Run(config, settings, corpus, later, CPU)
    before.begin_from(first)
    model, about = load_model(first)
    for name, weight in model.to_tensors().items():
        assert torch.equal(before.learner.model.to_tensors()[name], weight), name
    train(config, settings, corpus, later, begin_from=first)
    past, own = curve(later)[:-3], curve(later)[-3:]
    assert past and past == [row for row in curve(first) if row["update"] <= about.updates]
    assert [row["update"] for row in own] == [16, 17, 18]
    assert [row["bytes"] for row in own] == [640, 680, 720]
    assert own[-1]["seconds"] > about.seconds
    assert read_metadata(later).training["begun_from"] == "first.safetensors"
    assert read_metadata(first).training["begun_from"] is None

    streams = cut_into_streams(corpus.train, settings.sequences, settings.length)
    inputs, target = (torch.from_numpy(x.astype(np.int64)) for x in streams.piece(about.updates))
    logits, _ = model(inputs, model.start(settings.sequences))
    loss = functional.cross_entropy(logits.flatten(0, 1), target.flatten()).item()
    assert own[0]["train_loss"] == pytest.approx(loss, abs=1e-5)


def test_a_run_begun_from_a_checkpoint_is_judged_by_its_own_points(tmp_path, corpus):
    """The best of them is kept and patience counts from it, however low the past was; without the
    past's curve it begins one of its own."""
    first, later = tmp_path / "first.safetensors", tmp_path / "later.safetensors"
    train(GRID, replace(SMALL, updates=15), corpus, first)
    rows = first.with_suffix(".csv").read_text().splitlines()
    at_no_loss = [",".join([*row.split(",")[:4], "0.001", *row.split(",")[5:]]) for row in rows[1:]]
    first.with_suffix(".csv").write_text("\n".join([rows[0], *at_no_loss]) + "\n")
    settings = replace(SMALL, updates=30, validate_every=1, patience=10, learning_rate=1e-12)
    train(GRID, settings, corpus, later, begin_from=first)
    assert read_metadata(later).updates == 16
    assert curve(later)[-1]["update"] == 26
    assert min(row["val_loss"] for row in curve(later)) == 0.001

    first.with_suffix(".csv").unlink()
    train(GRID, settings, corpus, tmp_path / "alone.safetensors", begin_from=first)
    assert curve(tmp_path / "alone.safetensors")[0]["update"] == 16


@pytest.mark.parametrize("bad", ["", "update\n1\n", "nonsense", "a,b\n\0,1\n"])
def test_a_broken_curve_of_the_past_is_one_sentence(tmp_path, corpus, bad):
    first, later = tmp_path / "first.safetensors", tmp_path / "later.safetensors"
    train(GRID, replace(SMALL, updates=5), corpus, first)
    header, *rows = first.with_suffix(".csv").read_text().splitlines()
    first.with_suffix(".csv").write_text(bad or "\n".join([header, rows[0].replace(",", ",x", 1)]))
    with pytest.raises(CurveLogError) as caught:
        train(GRID, replace(SMALL, updates=9), corpus, later, begin_from=first)
    assert str(caught.value) == "first.csv is not a curve that a training wrote."


def test_dropout_may_be_another_than_that_of_the_checkpoint_begun_from(tmp_path, corpus):
    first, later = tmp_path / "first.safetensors", tmp_path / "later.safetensors"
    train(GRID, replace(SMALL, updates=5), corpus, first)
    train(replace(GRID, dropout=0.5), replace(SMALL, updates=6), corpus, later, begin_from=first)
    assert read_metadata(later).model == replace(GRID, dropout=0.5)


def test_half_precision_on_disk_is_not_felt_in_the_loss(tmp_path, corpus):
    run = Run(GRID, SMALL, corpus, tmp_path / "model.safetensors", CPU)
    run.go()
    exact = evaluate(run.learner.model, corpus.validation).nats_per_byte
    assert read_metadata(run.out).validation_loss == pytest.approx(exact, rel=0.005)


def test_nothing_is_drawn_where_standard_error_is_no_terminal(tmp_path, corpus, capsys):
    train(STACKED, SMALL, corpus, tmp_path / "model.safetensors")
    printed = capsys.readouterr()
    assert printed.out == ""
    assert not any(mark in printed.err for mark in ("\r", "\x1b", "%"))
    lines = printed.err.splitlines()
    assert len([line for line in lines if "bits per byte at update" in line]) == 2
    assert "update 10" in lines[0] and "update 20" in lines[1]


def test_plain_lines_tell_how_far_it_is(tmp_path, corpus, capsys, monkeypatch):
    monkeypatch.setattr("gridlstm.training.progress_line.SECONDS_BETWEEN_LINES", 0.0)
    train(STACKED, replace(SMALL, updates=3), corpus, tmp_path / "model.safetensors")
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("update")]
    assert len(lines) == 3
    for line in lines:
        assert "bits per byte" in line and "bytes/s" in line and "left" in line


# -- When it diverges -----------------------------------------------------------------------------

# Every few updates at thirty times the rate, so that soon the loss is no number.
DIVERGING = replace(SMALL, sequences=40, learning_rate=0.03, decay=30.0, decay_from_epoch=0)


def files_of(run_folder):
    return {path.name: path.read_bytes() for path in run_folder.iterdir()}


@pytest.mark.parametrize("validate_every", [1, 7, 1000])
def test_the_first_loss_that_is_not_finite_ends_a_run(tmp_path, corpus, validate_every):
    """The best checkpoint so far stays, whole, and the state before; the same end comes again."""
    settings = replace(DIVERGING, updates=1000, validate_every=validate_every, save_every=5)
    out = tmp_path / "runs" / "model.safetensors"
    with pytest.raises(DivergedError) as caught:
        train(STACKED, settings, corpus, out)
    message = str(caught.value)
    assert message.endswith(".") and len(message.splitlines()) == 1
    stopped = int(re.search("of update ([0-9]+) is no number", message)[1])
    assert 7 < stopped < 1000
    points = curve(out) if out.exists() else []
    assert [row["update"] for row in points] == list(range(validate_every, stopped, validate_every))
    if points:
        best = min(points, key=lambda row: row["val_loss"])
        assert f"model.safetensors, of update {best['update']:.0f}, is kept" in message
        assert read_metadata(out).updates == best["update"]
        model, about = load_model(out)
        measured = evaluate(model, corpus.validation).nats_per_byte
        assert measured == pytest.approx(about.validation_loss, rel=0.005)
    else:
        assert "there is no checkpoint yet" in message
    assert all(math.isfinite(value) for row in points for value in row.values())
    progress = read_progress(state_path(out))
    assert stopped - 5 <= progress.update < stopped and math.isfinite(progress.loss_sum)
    kept = files_of(out.parent)
    with pytest.raises(DivergedError, match=f"of update {stopped} "):
        train(STACKED, settings, corpus, out, resume=True)
    assert files_of(out.parent).keys() == kept.keys()
    if points:
        assert files_of(out.parent)["model.safetensors"] == kept["model.safetensors"]


def test_a_validation_loss_that_is_not_finite_ends_a_run(tmp_path, corpus, monkeypatch):
    """Also where that of the training still is, and on the whole validation part at the end."""
    for whole in (False, True):
        out = tmp_path / f"{whole}.safetensors"
        validate = TextTask.validate

        def broken(task, model, max_bytes=None, progress=None, whole=whole, validate=validate):
            result = validate(task, model, max_bytes, progress)
            if (max_bytes is None) == whole:
                result = replace(result, loss=replace(result.loss, nats_per_byte=math.inf))
            return result

        with monkeypatch.context() as patch:
            patch.setattr(TextTask, "validate", broken)
            with pytest.raises(DivergedError, match="validation loss of update"):
                train(GRID, replace(SMALL, validation_bytes=50), corpus, out)
        assert out.exists() == whole
        if whole:
            assert math.isfinite(read_metadata(out).validation_loss)


def test_a_weight_too_large_for_half_precision_is_kept_in_single(tmp_path, corpus):
    """So that a checkpoint that is written can be read."""
    run = Run(GRID, SMALL, corpus, tmp_path / "model.safetensors", CPU)
    with torch.no_grad():
        run.learner.model.decoder.bias[3] = -1e6
    run._update()
    run._validate(SimpleNamespace(say=print), lambda: False)
    tensors = read_tensors(run.out, read_metadata(run.out))
    assert tensors["decoder.bias"][3] == pytest.approx(-1e6, rel=1e-6)


def test_the_learning_rate_grows_to_a_number_at_most():
    settings = replace(SMALL, decay=1e18, decay_from_epoch=0)
    assert settings.learning_rate_at(0, 50.0) == sys.float_info.max


# -- What it refuses ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "wrong",
    [
        {"updates": None},
        {"updates": 0},
        {"minutes": -1.0},
        {"patience": 0},
        {"sequences": 0},
        {"length": 0},
        {"learning_rate": 0.0},
        {"learning_rate": math.nan},
        {"clip": 0.0},
        {"smoothing": 1.0},
        {"train_fraction": 1.0},
        {"train_fraction": math.nan},
        {"validate_every": 0},
        {"validation_bytes": 0},
        {"cooldown": 0},
        {"cooldown": 3, "updates": None, "minutes": 1.0},
        {"scale": math.inf},
        {"forget_bias": 1e39},
        {"forget_bias": math.nan},
        {"clip": math.inf},
        {"decay": 1e300},
        {"decay_from_epoch": -math.inf},
        {"minutes": math.inf},
        {"updates": 2**63},
        {"seed": -1},
        {"seed": 2**64},
        {"optimiser": "sgd"},
        {"precision": "float16"},
    ],
    ids=str,
)
def test_a_wrong_setting_is_one_sentence(wrong):
    with pytest.raises(SettingsError) as caught:
        replace(SMALL, **wrong)
    assert len(str(caught.value).splitlines()) == 1


def test_a_text_too_short_for_the_batch_is_one_sentence(tmp_path, corpus):
    with pytest.raises(CorpusError) as caught:
        train(STACKED, replace(SMALL, sequences=1000), corpus, tmp_path / "model.safetensors")
    assert "1000 sequences" in str(caught.value)
    assert not list(tmp_path.glob("model*"))


@pytest.mark.parametrize(
    ("config", "changed", "named"),
    [(replace(GRID, units=9), {}, "another model"), (STACKED, {}, "another model"),
     (GRID, {"updates": 5}, "5 updates already"), (GRID, {"length": 9}, "bytes an update")],
)  # fmt: skip
def test_what_cannot_be_begun_from_is_one_sentence(tmp_path, corpus, config, changed, named):
    first, later = tmp_path / "first.safetensors", tmp_path / "later.safetensors"
    train(GRID, replace(SMALL, updates=5), corpus, first)
    with pytest.raises(SettingsError) as caught:
        settings = replace(SMALL, **{"updates": 30, **changed})
        train(config, settings, corpus, later, begin_from=first)
    assert named in str(caught.value) and len(str(caught.value).splitlines()) == 1
    assert not list(tmp_path.glob("later*"))


@pytest.mark.parametrize("device", ["abacus", "cuda:99"])
def test_a_device_that_is_not_there_is_one_sentence(tmp_path, corpus, device):
    with pytest.raises(SettingsError) as caught:
        train(STACKED, SMALL, corpus, tmp_path / "model.safetensors", device=device)
    assert device in str(caught.value) and len(str(caught.value).splitlines()) == 1


def test_the_experiment_s_presets():
    """The values of the design's first section."""
    expected = TrainingSettings(
        sequences=50,
        length=50,
        optimiser="rmsprop",
        learning_rate=0.001,
        smoothing=0.95,
        clip=5.0,
        decay=0.97,
        decay_from_epoch=10,
        scale=0.08,
        forget_bias=1.0,
        train_fraction=0.95,
        validate_every=1000,
        updates=90_000,
        patience=8000,
    )
    for layers in (3, 6):
        grid, stacked = PRESETS[f"seed-grid-{layers}"], PRESETS[f"seed-stacked-{layers}"]
        assert grid.training == stacked.training == expected
        assert (grid.model.layers, grid.model.units, grid.model.dropout) == (layers, 1000, 0.25)
        none = dict.fromkeys(OPTIONS)
        assert stacked.model == replace(grid.model, architecture="stacked", **none)


def test_the_shipped_models_differ_in_architecture_and_depth_only():
    small = {name: preset for name, preset in PRESETS.items() if name.startswith("small-")}
    assert set(small) == {f"small-{a}-{n}" for a in ("grid", "stacked") for n in (3, 6)}
    assert len({preset.training for preset in small.values()}) == 1
    assert len({(p.model.units, p.model.dropout) for p in small.values()}) == 1
    assert next(iter(small.values())).training.bytes >= 20_000_000


@pytest.mark.skipif(not torch.cuda.is_available(), reason="this machine has no CUDA GPU")
@pytest.mark.cuda
@every_model
def test_a_gpu_trains_too(tmp_path, corpus, config):
    out = tmp_path / "model.safetensors"
    train(config, replace(SMALL, precision="auto"), corpus, out, device="cuda")
    assert curve(out)[-1]["val_loss"] < curve(out)[0]["val_loss"]
    assert read_metadata(out).training["precision"] == "bfloat16"


# What a machine that only trains may lack.
LACKING = "streamlit", "plotly", "pandas", "sklearn", "scipy", "tensorboard", "triton"
WITHOUT = """
import sys

sys.modules |= dict.fromkeys(sys.argv[1].split())
from gridlstm import commands

for command in sys.argv[2:]:
    assert commands.run(command.split()) == 0, command
"""


def test_training_asks_for_no_library_of_the_pages(tmp_path):
    (tmp_path / "text.txt").write_bytes(TEXT)
    model = "--architecture grid --tie all --layers 2 --units 8"
    lines = (
        f"train text.txt {model} --sequences 4 --length 5 --updates 3 --out grid.safetensors",
        "evaluate grid.safetensors text.txt",
        "shard grid.safetensors --out shards",
        "experiment --preset small --wiki text.txt --minutes 0.000001 --out runs",
    )
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT, " ".join(LACKING), *lines],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert "nats_per_byte" in done.stdout
