"""Other people's runs: logs, exports and event files become curves, or one sentence each."""

import io
import math
import struct
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gridlstm.curves import (
    Columns,
    CurveError,
    event_files,
    guess_columns,
    import_runs,
    importing,
    read_curve,
    read_foreign,
)
from gridlstm.training.curve_log import COLUMNS

LN2 = math.log(2)


def text(*lines: str) -> bytes:
    return "\n".join([*lines, ""]).encode()


def imported(name: str, data: bytes, unit: str = "nats") -> dict:
    foreign = read_foreign(name, data)
    return import_runs(foreign, guess_columns(foreign.columns), unit)


def points(frame) -> list[tuple]:
    return list(zip(frame["update"], frame["val_loss"], strict=True))


# -- CSV -------------------------------------------------------------------------------------------


def test_ones_own_curve_is_taken_as_it_is():
    data = text(",".join(COLUMNS), "100,0.5,4096,2.5,2.25,0.002,10.5", "200,1,8192,2,1.75,0.002,21")
    (frame,) = imported("my-run.csv", data, "bits").values()
    assert frame.equals(read_curve(data))
    assert list(imported("my-run.csv", data)) == ["my-run"]


def test_a_log_with_rows_of_training_and_of_validation_between():
    data = text(
        "epoch,step,train_loss,val_loss,note",
        "0,10,3.0,,",
        "0,10,,2.5,first",
        "1,20,2.0,,",
        "1,20,,NaN,",
        "1,30,,1.5,",
    )
    (frame,) = imported("metrics.csv", data).values()
    assert points(frame) == [(10, 2.5), (30, 1.5)]
    assert set(COLUMNS) <= set(frame) and frame["bytes"].isna().all()
    assert frame["update"].dtype == np.int64


def test_losses_in_bits_become_nats():
    (frame,) = imported("a.csv", text("iter,val,train", "1,2.0,3.0"), "bits").values()
    assert frame["val_loss"][0] == pytest.approx(2 * LN2)
    assert frame["train_loss"][0] == pytest.approx(3 * LN2)


@pytest.mark.parametrize(
    ("header", "update", "loss"),
    [
        ("step,val_loss", "step", "val_loss"),
        ("Iteration,Train Loss,Validation Loss", "Iteration", "Validation Loss"),
        ("global_step,eval/loss,loss", "global_step", "eval/loss"),
        ("iters,loss/val", "iters", "loss/val"),
        ("epoch,loss,val_loss,accuracy", "epoch", "val_loss"),
        ("epoch,trainer/global_step,valid_loss", "trainer/global_step", "valid_loss"),
        ("update,loss", "update", None),
        ("x,y", None, None),
    ],
)
def test_columns_are_guessed_by_their_names(header, update, loss):
    columns = guess_columns(header.split(","))
    assert (columns.update, columns.val_loss) == (update, loss)


def test_a_loss_not_said_to_be_of_validation_is_not_taken_for_it():
    foreign = read_foreign("a.csv", text("update,loss", "1,2.0"))
    with pytest.raises(CurveError, match="'update', 'loss'") as caught:
        import_runs(foreign, guess_columns(foreign.columns))
    assert "validation loss" in str(caught.value)
    (frame,) = import_runs(foreign, Columns(update="update", val_loss="loss")).values()
    assert points(frame) == [(1, 2.0)]


def test_a_column_of_names_makes_several_runs():
    data = text("model,update,val_loss", "a,1,2.0", "b,1,3.0", "a,2,1.5")
    curves = imported("all.csv", data)
    assert {name: points(frame) for name, frame in curves.items()} == {
        "a": [(1, 2.0), (2, 1.5)],
        "b": [(1, 3.0)],
    }


# -- Weights & Biases ------------------------------------------------------------------------------

EXPORT = text(
    '"Step","lstm - big - val_loss","lstm - big - val_loss__MIN","lstm - big - val_loss__MAX",'
    '"gru - _step","gru - _step__MIN","gru - _step__MAX","gru - val_loss"',
    '"0","3.5","3.5","3.5","0","0","0","3.0"',
    '"100","2.5","2.5","2.5","","","",""',
    '"200","","","","200","200","200","NaN"',
    '"300","1.5","1.5","1.5","300","300","300","1.25"',
)


def test_an_export_of_weights_and_biases_holds_several_runs():
    assert read_foreign("wandb_export.csv", EXPORT).kind == "Weights & Biases export"
    curves = imported("wandb_export.csv", EXPORT)
    assert {name: points(frame) for name, frame in curves.items()} == {
        "lstm - big": [(0, 3.5), (100, 2.5), (300, 1.5)],
        "gru": [(0, 3.0), (300, 1.25)],
    }


def test_an_export_of_another_metric_asks_which_it_is():
    data = text('"Step","a - perplexity"', "1,9.0")
    foreign = read_foreign("e.csv", data)
    assert foreign.columns == ["Step", "perplexity"]
    with pytest.raises(CurveError, match="'perplexity'"):
        import_runs(foreign, guess_columns(foreign.columns))
    assert list(import_runs(foreign, Columns("Step", "perplexity"))) == ["a"]


# -- What is wrong ---------------------------------------------------------------------------------

BAD = {
    "empty": (b"", "empty"),
    "binary": (bytes(range(256)), "binary"),
    "not UTF-8": (b"step,val_loss\n1,\xff\n", "UTF-8"),
    "a header alone": (b"step,val_loss\n", "no rows"),
    "no numbers": (text("step,val_loss", "one,two"), "no column of numbers"),
    "a short row": (text("step,val_loss", "1"), "line 2 is 1"),
    "a column twice": (text("step,loss,loss", "1,2,3"), "more than once"),
    "below zero": (text("step,val_loss", "1,-2"), "below zero"),
    "not finite": (text("step,val_loss", "1,inf"), "not finite"),
    "half updates": (text("step,val_loss", "1.5,2"), "whole numbers"),
    "huge updates": (text("step,val_loss", "1e300,2"), "whole numbers"),
    "updates that go back": (text("step,val_loss", "2,2", "1,2"), "does not grow"),
    "no common row": (text("step,val_loss", "1,", ",2"), "No row has both"),
    "percent": (text("step,val_loss,val_accuracy", "1,2,97"), "no share"),
    "long names": (text("a" * 5000 + ",b", "1,2"), "cannot be told"),
    "many names": (text(",".join(f"c{n}" for n in range(400)), ",".join(["1"] * 400)), "more"),
    "too many columns": (text(",".join(map(str, range(600))), ",".join(["1"] * 600)), "500"),
    "an event file of nothing": (b"", "empty"),
}


@pytest.mark.parametrize(("data", "expected"), BAD.values(), ids=BAD.keys())
def test_a_bad_file_gets_one_sentence(data, expected):
    with pytest.raises(CurveError) as caught:
        imported("theirs.csv", data)
    sentence = str(caught.value)
    assert expected in sentence and sentence.endswith(".") and "\n" not in sentence
    assert len(sentence) < 700


def test_too_many_runs_are_refused(monkeypatch):
    monkeypatch.setattr(importing, "MOST_RUNS", 1)
    with pytest.raises(CurveError, match="more than 1 runs"):
        read_foreign("e.csv", EXPORT)


@settings(max_examples=30)
@given(st.binary(max_size=200))
def test_no_bytes_do_worse_than_a_sentence(data):
    for name in ("a.csv", "events.out.tfevents.1"):
        try:
            imported(name, b"step,val_loss\n" + data)
            imported(name, data)
        except CurveError as error:
            assert str(error).endswith(".")


# -- TensorBoard -----------------------------------------------------------------------------------


@pytest.fixture
def events(tmp_path):
    """A function that writes an event file with torch's own writer and returns its bytes."""
    from torch.utils.tensorboard import SummaryWriter

    def write(**scalars: list[tuple[int, float]]) -> bytes:
        writer = SummaryWriter(tmp_path / "log")
        for tag, values in scalars.items():
            for step, value in values:
                writer.add_scalar(tag.replace("__", "/"), value, step, walltime=1000.0 + step)
        writer.add_histogram("weights", np.arange(9.0), 1)
        writer.add_text("note", "a text", 1)
        writer.close()
        (path,) = (tmp_path / "log").iterdir()
        return path.read_bytes()

    return write


def test_an_event_file_is_read_by_tensorboards_own_reader(events):
    data = events(loss__val=[(10, 2.5), (20, 2.25)], loss__train=[(5, 3.0), (10, 2.75), (20, 2.5)])
    foreign = read_foreign("lstm/events.out.tfevents.1.host", data)
    assert foreign.columns == ["step", "seconds", "loss/val", "loss/train"]
    (frame,) = imported("lstm/events.out.tfevents.1.host", data).values()
    assert points(frame) == [(10, 2.5), (20, 2.25)]
    assert frame["train_loss"].tolist() == [2.75, 2.5]
    assert frame["seconds"].tolist() == [5.0, 15.0]
    assert list(foreign.runs) == ["lstm"]


def test_scalars_that_newer_writers_store_as_tensors_are_read():
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.summary.writer.record_writer import RecordWriter

    file = io.BytesIO()
    writer = RecordWriter(file)
    writer.write(Event(file_version="brain.Event:2").SerializeToString())
    for step, loss in ((1, 2.0), (2, 1.5)):
        event = Event(step=step, wall_time=step)
        value = event.summary.value.add(tag="val_loss")
        value.metadata.plugin_data.plugin_name = "scalars"
        value.tensor.dtype = 1
        value.tensor.float_val.append(loss)
        writer.write(event.SerializeToString())
    (frame,) = imported("events", file.getvalue()).values()
    assert points(frame) == [(1, 2.0), (2, 1.5)]


def test_an_event_file_cut_anywhere_is_read_so_far_or_refused(events):
    data = events(val_loss=[(step, 2.0) for step in range(1, 4)])
    lengths = set()
    for end in range(0, len(data), 53):
        try:
            lengths.add(len(next(iter(imported("x.tfevents", data[:end]).values()))))
        except CurveError as error:
            assert str(error).endswith(".")
    assert lengths == {1, 2, 3}


def test_a_record_that_claims_to_be_huge_takes_no_memory():
    from tensorboard.compat.tensorflow_stub.pywrap_tensorflow import masked_crc32c

    length = struct.pack("<Q", 2**62)
    data = length + struct.pack("<I", masked_crc32c(length)) + b"x" * 50
    with pytest.raises(CurveError, match="no whole record"):
        event_files.read_events(data)


def test_a_tensor_that_claims_to_be_huge_is_not_unfolded():
    from tensorboard.compat.proto.tensor_pb2 import TensorProto

    huge = TensorProto(dtype="DT_FLOAT", float_val=[1.0])
    huge.tensor_shape.dim.add(size=10**12)
    assert event_files._number(huge) is None
    assert event_files._number(TensorProto(dtype="DT_FLOAT", float_val=[1.5])) == 1.5


def test_a_damaged_event_file_gets_a_sentence(events):
    data = bytearray(events(val_loss=[(1, 2.0)]))
    data[30] ^= 255
    with pytest.raises(CurveError, match="no scalars|damaged"):
        event_files.read_events(bytes(data))


def test_event_files_past_the_limits_are_refused(events, monkeypatch):
    data = events(val_loss=[(1, 2.0), (2, 1.5)], other=[(1, 2.0)])
    for limit, words in (("MOST_VALUES", "too many"), ("MOST_TAGS", "more than 1")):
        with monkeypatch.context() as patch:
            patch.setattr(event_files, limit, 1)
            with pytest.raises(CurveError, match=words):
                event_files.read_events(data)
    monkeypatch.setattr(event_files, "MOST_BYTES", 100)
    with pytest.raises(CurveError, match="larger than"):
        event_files.read_events(data)


def test_tensorboard_is_imported_only_for_an_event_file():
    script = "import sys, gridlstm.curves; assert 'tensorboard' not in sys.modules"
    subprocess.run([sys.executable, "-c", script], check=True, timeout=60)
