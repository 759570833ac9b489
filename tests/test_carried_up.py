"""Written low and carried up: planted answers, the clamp that it stands for, plain loops."""

from dataclasses import replace

import numpy as np
import pytest

from gridlstm.analysis import carried_up as subject
from gridlstm.analysis.carried_up import carried_up, low_part, marks_of
from gridlstm.analysis.depth_provenance import depth_written
from gridlstm.analysis.provenance import ProvenanceError
from gridlstm.clamps import HeldDirection, RemovedShare
from gridlstm.direction import random_directions
from gridlstm.intervention import losses
from gridlstm.trace import trace

SENTENCE = "plain words of no kind, é and so on; [http://www.example.org/a?b=c] again. "
TEXT = SENTENCE * 36
MARKS = np.array([c in "[htp:/w.exampl" for c in SENTENCE] * 36)


@pytest.fixture
def model(make_model):
    return make_model("grid", 3, 6, "none").eval()


@pytest.fixture
def found(model):
    return carried_up(model, model.encode(TEXT), MARKS, name="planted", random=4)


def test_parts_add_up_and_figures_lie_within_their_intervals(found):
    assert found.lowest == 1 and list(found.layers["layer"]) == [1, 2, 3]
    assert found.layers["written"].sum() == pytest.approx(1, abs=1e-4)
    assert found.written_low.value == pytest.approx(found.layers["written"].iloc[0], abs=1e-6)
    for figure in (found.written_low, found.survived, found.rise):
        assert figure.low <= figure.value <= figure.high
    kinds = ["direction", *["random"] * 4, *["moved"] * 4, "whole", *["random whole"] * 4]
    assert list(found.losses["kind"]) == kinds
    assert found.holds == (found.is_written_low and found.is_carried and found.is_used)


def test_the_figures_against_plain_sums(model, found):
    """Who wrote it and what survived, from the attribution itself, character by character."""
    encoded = model.encode(TEXT)
    values = trace(model, encoded, dtype=np.float32).values
    whole = depth_written(values, found.direction)
    part = found.split.held_out.slice
    at, marks = encoded.last_token[part], MARKS[part]
    shares, written = whole.shares[:, at], whole.written[0, at]
    contrast = [share[marks].mean() - share[~marks].mean() for share in shares]
    np.testing.assert_allclose(found.layers["written"], contrast / np.sum(contrast), atol=1e-4)
    sent = written - written[~marks].mean()
    left = shares[0] - shares[0][~marks].mean()
    slope = (sent * left)[marks].sum() / (sent**2)[marks].sum()
    assert found.survived.value == pytest.approx(slope, abs=1e-4)


def test_the_loss_is_that_of_the_clamps(model, found):
    encoded = model.encode(TEXT)
    others = random_directions(found.direction, 4, seed=1)
    clamps = [
        [],
        *([RemovedShare(each, upto=1)] for each in (found.direction, *others)),
        *([HeldDirection(each)] for each in (found.direction, *others)),
    ]
    by_character = [encoded.sum_by_character(loss) for loss in losses(model, encoded, clamps)]
    part = found.split.held_out.slice
    rises = np.array([loss[part] - by_character[0][part] for loss in by_character[1:]])
    marks = MARKS[part]
    told = found.losses[found.losses["kind"] != "moved"]
    np.testing.assert_allclose(told["change_inside"], rises[:, marks].mean(axis=1), atol=2e-5)
    np.testing.assert_allclose(told["change_outside"], rises[:, ~marks].mean(axis=1), atol=2e-5)
    assert found.rise.value == pytest.approx(told["change_inside"].iloc[0], abs=1e-6)


def test_the_low_part_of_many_directions_is_that_of_each(model, found):
    values = trace(model, TEXT.encode(), dtype=np.float32).values
    vectors = found.direction.vector[:, None].astype(np.float32)
    written, arrived = low_part(values, vectors, 2)
    whole = depth_written(values, found.direction)
    np.testing.assert_allclose(written[:, 0], whole.written[:2].sum(axis=0), atol=1e-4)
    np.testing.assert_allclose(arrived[:, 0], whole.shares[:2].sum(axis=0), atol=1e-4)


def test_what_holds_is_told_by_the_figures(found):
    figure, losses_ = subject.Figure, found.losses.assign(change_inside=0.0)
    good = replace(
        found,
        written_low=figure(0.8, 0.7, 0.9),
        survived=figure(0.9, 0.8, 1),
        random_survived=np.full(4, 0.5),
        losses=losses_,
        rise=figure(0.1, 0.05, 0.2),
    )
    assert good.holds
    assert not replace(good, written_low=figure(0.6, 0.4, 0.8)).holds
    assert not replace(good, random_survived=np.full(4, 0.95)).holds
    assert not replace(good, rise=figure(0.1, -0.05, 0.2)).holds
    assert not replace(good, losses=losses_.assign(change_inside=0.2)).holds


def test_a_number_is_read_as_above_its_median():
    np.testing.assert_array_equal(marks_of(np.array([1.0, 5, 2])), [False, True, False])


def test_what_cannot_be_followed_is_said(make_model, model):
    for other, message in (
        (make_model("stacked", 2, 6), "carries no memory up"),
        (make_model("grid", 1, 6, "all"), "has one layer"),
    ):
        with pytest.raises(ProvenanceError, match=message):
            carried_up(other, other.encode(TEXT), MARKS)
    with pytest.raises(ProvenanceError, match="not 3"):
        carried_up(model, model.encode(TEXT), MARKS, lowest=3)
