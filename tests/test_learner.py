"""What a GPU asks of an update, as far as it can be seen without one."""

from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import pytest
import torch

from gridlstm.config import ModelConfig
from gridlstm.corpus import Corpus, cut_into_streams
from gridlstm.evaluation import evaluate
from gridlstm.training.learner import Learner
from gridlstm.training.replay import CALLS_BEFORE_RECORDING, Replayed
from gridlstm.training.settings import TrainingSettings
from gridlstm.training.tasks import task_of
from gridlstm.training.workers import Workers, workers

DATA = np.random.default_rng(1).integers(0, 256, 5000).astype(np.uint8)
CORPUS = Corpus("noise", DATA, 0.9, "0")
MODELS = {
    "grid": ModelConfig("grid", 3, 8, "all", dropout=0.25),
    "grid, own weights": ModelConfig("grid", 3, 8, "none", dropout=0.25),
    "grid, tanh in depth": ModelConfig("grid", 3, 8, "all", depth="tanh", dropout=0.25),
    **{
        name: ModelConfig(name, 3, 8, dropout=0.25)
        for name in (
            "stacked",
            "depth-gated",
            "gated-feedback",
            "highway",
            "grid-1d",
            "gru",
            "rnn",
        )
    },
}
every_model = pytest.mark.parametrize("config", MODELS.values(), ids=MODELS)


SETTINGS = TrainingSettings(sequences=4, length=10, updates=5, precision="float32")
SUMS = replace(SETTINGS, task="addition", digits=2, length=9, train_fraction=0.5)


def learner(config, device="cpu", optimiser="rmsprop", team=Workers) -> Learner:
    settings = replace(SETTINGS, optimiser=optimiser)
    team = team(0, 1, torch.device(device))
    return Learner(config, settings, task_of(settings, CORPUS), team)


class NeverAsking(Workers):
    """A process that lets the loss lie where it is."""

    def mean(self, mine):
        return mine


@every_model
def test_an_update_never_waits_for_a_number(monkeypatch, config):
    """Tensors without numbers in them raise where one is asked for, as a recording would."""
    monkeypatch.setattr(torch, "is_autocast_enabled", lambda device: False)
    learning = learner(config, "meta", team=NeverAsking)
    learning.update(0)
    loss = learning.update(1)
    with pytest.raises(RuntimeError, match="meta"):
        loss.item()


# -- What it reads --------------------------------------------------------------------------------


def test_the_text_is_read_from_where_the_model_is():
    batch = task_of(SETTINGS, CORPUS).batches(slice(0, 4), torch.device("meta"))(0)
    assert (batch.inputs.device.type, batch.target.device.type) == ("meta", "meta")
    assert batch.inputs.dtype == torch.uint8  # a byte of memory for a byte of text


def test_the_pieces_of_a_text_come_one_after_the_other_and_again():
    batch = task_of(SETTINGS, CORPUS).batches(slice(0, 4), torch.device("cpu"))
    streams = cut_into_streams(CORPUS.train, SETTINGS.sequences, SETTINGS.length)
    for update in (0, 1, streams.pieces - 1, streams.pieces, 3 * streams.pieces + 2):
        begin = update % streams.pieces * SETTINGS.length
        expected = streams.rows[:, begin : begin + SETTINGS.length + 1].T
        found = batch(update)
        assert found.counted == SETTINGS.length
        np.testing.assert_array_equal(found.inputs, expected[:-1])
        np.testing.assert_array_equal(found.target, expected[1:])


@pytest.mark.parametrize("settings", [SETTINGS, SUMS], ids=["text", "addition"])
def test_processes_share_the_sequences_of_an_update(settings):
    task = task_of(settings, CORPUS if settings is SETTINGS else None)
    cpu = torch.device("cpu")
    whole, *shares = (
        task.batches(sequences, cpu)(3) for sequences in (slice(0, 4), slice(0, 2), slice(2, 4))
    )
    assert torch.equal(torch.cat([share.inputs for share in shares], 1), whole.inputs)
    assert torch.equal(torch.cat([share.target for share in shares], 1), whole.target)
    assert {share.counted for share in shares} == {whole.counted}


# -- Where it lies --------------------------------------------------------------------------------


@every_model
@pytest.mark.parametrize("optimiser", ["rmsprop", "adam"])
def test_what_an_update_reads_and_writes_stays_where_it_is(config, optimiser):
    learning = learner(config, optimiser=optimiser)
    learning.update(0)

    def places() -> list[int]:
        of_optimiser = (slots.values() for slots in learning.optimiser.state.values())
        tensors = [learning.inputs, learning.target, learning.loss, *learning.carried]
        tensors += [*learning.model.parameters(), *(slot for of in of_optimiser for slot in of)]
        return [tensor.data_ptr() for tensor in tensors]

    before, carried = places(), [tensor.clone() for tensor in learning.carried]
    learning.update(1)
    assert places() == before
    assert not any(map(torch.equal, carried, learning.carried))


@pytest.fixture
def pretended_gpu(monkeypatch):
    """A GPU on which work that is recorded is not done, and done anew when it is replayed."""

    class Recording:
        def replay(self):
            self.work()

    @contextmanager
    def record(recording):
        assert recorder.work is None
        recording.work, recorder.work = recorder.next, True
        recorder.is_recording = True
        yield
        recorder.is_recording = False

    class Stream:
        def wait_stream(self, other):
            assert other is not self

    class recorder:
        is_recording, work, next = False, None, None

    @contextmanager
    def stream(_):
        yield

    for name, what in {
        "CUDAGraph": Recording,
        "graph": record,
        "Stream": Stream,
        "current_stream": Stream,
        "stream": stream,
    }.items():
        monkeypatch.setattr(torch.cuda, name, what)
    return recorder


def test_a_process_works_on_its_own_gpu(monkeypatch):
    """Kernels, streams and recordings go to the current device."""
    chosen = []
    monkeypatch.setattr("gridlstm.training.workers._usable", torch.device)
    monkeypatch.setattr(torch.cuda, "set_device", chosen.append)
    with workers("cuda:3") as team:
        assert [team.device] == chosen == [torch.device("cuda:3")]
    with workers("cpu"):
        assert len(chosen) == 1


def test_work_is_done_once_a_call_before_at_and_after_the_recording(pretended_gpu):
    done = []

    def work():
        if not pretended_gpu.is_recording:
            done.append(len(done))

    pretended_gpu.next = work
    replayed = Replayed(work, torch.device("cuda"))
    for calls in range(1, CALLS_BEFORE_RECORDING + 4):
        replayed()
        assert done == list(range(calls))
        assert (pretended_gpu.work is not None) == (calls > CALLS_BEFORE_RECORDING)


def test_on_a_cpu_nothing_is_recorded(pretended_gpu):
    done = []
    replayed = Replayed(lambda: done.append(1), torch.device("cpu"))
    for _ in range(CALLS_BEFORE_RECORDING + 2):
        replayed()
    assert len(done) == CALLS_BEFORE_RECORDING + 2 and pretended_gpu.work is None


on_a_gpu = (
    pytest.mark.cuda,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="this machine has no CUDA GPU"),
)


@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=on_a_gpu)])
@pytest.mark.parametrize("updates", [1, CALLS_BEFORE_RECORDING + 2])
@pytest.mark.parametrize(("name", "settings"), [("grid", SETTINGS), ("highway", SUMS)])
def test_who_takes_up_the_tensors_of_a_learner_goes_on_as_it_did(name, settings, updates, device):
    """With dropout; on a GPU from before the recording and from after it."""
    team, corpus = Workers(0, 1, torch.device(device)), CORPUS if settings is SETTINGS else None

    def fresh() -> Learner:
        return Learner(MODELS[name], settings, task_of(settings, corpus), team)

    first, numbers = fresh(), range(updates, updates + CALLS_BEFORE_RECORDING + 3)
    for number in range(updates):
        first.update(number)
    kept = {name: tensor.clone() for name, tensor in first.tensors().items()}
    expected = [first.update(number) for number in numbers]
    second = fresh()
    second.restore(kept)
    found = [second.update(number) for number in numbers]
    assert found == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("device", [pytest.param("cuda", marks=on_a_gpu)])
@every_model
def test_a_replayed_update_is_the_update(config, device):
    """Without dropout, since a GPU draws other masks; its LSTM products are in TF32."""
    config = replace(config, dropout=0.0)
    found, expected = (learner(config, where) for where in (device, "cpu"))
    for number in range(CALLS_BEFORE_RECORDING + 4):
        assert found.update(number) == pytest.approx(expected.update(number), abs=2e-3)
    losses = [evaluate(of.model, CORPUS.validation).nats_per_byte for of in (found, expected)]
    assert losses[0] == pytest.approx(losses[1], abs=2e-3)
