import numpy as np
import pytest
import reference
import torch

from gridlstm import evaluation
from gridlstm.corpus import CorpusError
from gridlstm.evaluation import Evaluation, evaluate
from gridlstm.progress import Cancelled

KINDS = [("stacked", None), ("grid", "none"), ("grid", "depth"), ("grid", "all")]
every_kind = pytest.mark.parametrize(("architecture", "tie"), KINDS)


def random_text(size):
    return np.random.default_rng(5).integers(0, 256, size).astype(np.uint8)


def reference_loss(model, data):
    config = model.config
    tensors = {name: tensor.detach().numpy() for name, tensor in model.to_tensors().items()}
    return reference.run(config.architecture, config.layers, tensors, data.tobytes()).loss


@every_kind
def test_a_short_text_is_read_as_the_reference_reads_it(make_model, architecture, tie):
    model = make_model(architecture, 3, 6, tie, double=True)
    data = random_text(300)  # more than two of the pieces that it is read in
    result = evaluate(model, data)
    assert result.nats_per_byte == pytest.approx(reference_loss(model, data)[1:].mean(), rel=1e-6)
    assert result.bytes == 299
    assert result.bits_per_byte == pytest.approx(result.nats_per_byte / np.log(2))


@every_kind
def test_many_streams_give_the_loss_of_one(make_model, monkeypatch, architecture, tie):
    """A model with a short memory is as it was after the bytes that warm each stream up."""
    model = make_model(architecture, 2, 6, tie, double=True)
    model.initialise(scale=0.5, forget_bias=0.0)
    data = random_text(5003)
    monkeypatch.setattr(evaluation, "SHORTEST_STREAM", 10**9)
    one = evaluate(model, data)
    for shortest in (700, 300):
        monkeypatch.setattr(evaluation, "SHORTEST_STREAM", shortest)
        many = evaluate(model, data)
        assert many.bytes == one.bytes == 5002
        assert many.nats_per_byte == pytest.approx(one.nats_per_byte, rel=1e-9)


def test_streams_are_warmed_up(make_model, monkeypatch):
    """Without the bytes before each stream the result is another, so the warming up counts."""
    model = make_model("grid", 2, 6, "all", double=True)
    data = random_text(5003)
    monkeypatch.setattr(evaluation, "SHORTEST_STREAM", 300)
    warm = evaluate(model, data)
    monkeypatch.setattr(
        evaluation,
        "_warmed_up",
        lambda model, forward, tokens, first, *_: model.start(len(first)),
    )
    assert abs(evaluate(model, data).nats_per_byte - warm.nats_per_byte) > 1e-5


def test_most_bytes_are_the_beginnings_of_the_streams(make_model, monkeypatch):
    model = make_model("stacked", 2, 6, double=True)
    model.initialise(scale=0.5, forget_bias=0.0)
    data = random_text(3001)
    monkeypatch.setattr(evaluation, "SHORTEST_STREAM", 1000)  # 3 streams of 1000 predicted bytes
    result = evaluate(model, data, max_bytes=90)
    counted = np.concatenate([start + np.arange(30) for start in (1, 1001, 2001)])
    assert result.bytes == 90
    expected = reference_loss(model, data)[counted].mean()
    assert result.nats_per_byte == pytest.approx(expected, rel=1e-6)
    # A count that the streams cannot share evenly is rounded up, and stated as it is.
    assert evaluate(model, data, max_bytes=91).bytes == 93
    assert evaluate(model, data, max_bytes=10**9) == evaluate(model, data)


def test_there_is_no_dropout_and_the_mode_is_given_back(make_model):
    model = make_model("grid", 2, 6, "all", dropout=0.5)
    data = random_text(50)
    for training in (True, False):
        model.train(training)
        assert evaluate(model, data) == evaluate(model, data)
        assert model.training is training
    assert evaluate(make_model("grid", 2, 6, "all"), data) == evaluate(model, data)


@pytest.mark.parametrize("size", [0, 1])
def test_nothing_to_predict_is_one_sentence(make_model, size):
    with pytest.raises(CorpusError) as caught:
        evaluate(make_model("stacked", 1, 4), random_text(size))
    assert len(str(caught.value).splitlines()) == 1


def test_two_bytes_are_enough(make_model):
    model = make_model("stacked", 1, 4, double=True)
    data = random_text(2)
    loss = reference_loss(model, data)[1]
    assert evaluate(model, data) == Evaluation(pytest.approx(loss, rel=1e-6), 1)


def test_the_model_is_not_changed(make_model):
    model = make_model("grid", 2, 6, "depth")
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    evaluate(model, random_text(40))
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())


def test_it_tells_how_far_it_is_and_can_be_stopped(make_model):
    model, data = make_model("grid", 2, 4, "all"), random_text(1000)
    shares = []
    evaluate(model, data, progress=shares.append)
    assert shares == sorted(shares) and len(shares) > 3 and shares[-1] == 1

    def stop(share):
        shares.append(share)
        raise Cancelled

    shares.clear()
    with pytest.raises(Cancelled):
        evaluate(model, data, progress=stop)
    assert len(shares) == 1
