"""Sums drawn from a seed, and models trained to add."""

import csv
import json
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from test_resume import assert_same_run, interrupt
from torch.nn import functional

from gridlstm import commands, evaluation
from gridlstm.addition import (
    MAX_DIGITS,
    AdditionError,
    Layout,
    Sums,
    add,
    carries_of,
    layout_of,
    shortest_length,
)
from gridlstm.carry import rank_by_carry
from gridlstm.checkpoint import load_model, read_metadata
from gridlstm.config import ModelConfig
from gridlstm.errors import UserError
from gridlstm.progress import Cancelled
from gridlstm.training.run import Run, Workers, train
from gridlstm.training.settings import SettingsError, TrainingSettings
from gridlstm.training.state import ResumeError, read_state, state_path, write_state
from gridlstm.training.tasks import AdditionTask, validate_addition

CPU = Workers(0, 1, torch.device("cpu"))
STACKED = ModelConfig("stacked", 2, 8, dropout=0.3)
GRID = ModelConfig("grid", 2, 8, "all", dropout=0.3)
SETTINGS = TrainingSettings(
    task="addition",
    digits=2,
    length=11,
    sequences=4,
    learning_rate=0.01,
    validate_every=5,
    save_every=3,
    precision="float32",
    updates=20,
)
every_model = pytest.mark.parametrize("config", [STACKED, GRID], ids=["stacked", "grid"])


def one_sentence(caught) -> str:
    message = str(caught.value)
    assert message.endswith(".") and len(message.splitlines()) == 1
    return message


def as_text(column: np.ndarray) -> str:
    return bytes(column.astype(np.uint8)).decode()


def numbers(operands: np.ndarray) -> list[tuple[int, int]]:
    return [tuple(int("".join(map(str, number))) for number in pair) for pair in operands]


# -- A sum ----------------------------------------------------------------------------------------


def test_a_sum_is_laid_out_as_documented():
    inputs, target = Layout(3, 12).lay_out(np.array([[[1, 2, 3], [8, 9, 9]]]))
    assert as_text(inputs[:, 0]) == "123+899=----"
    assert as_text(target[-5:, 0]) == "1022\n"
    assert Layout(3, 12).answered == 5
    padded = Layout(3, 14)
    inputs, target = padded.lay_out(np.array([[[0, 0, 7], [0, 5, 0]]]))
    assert as_text(inputs[:, 0]) == "--007+050=----"
    assert as_text(target[-5:, 0]) == "0057\n"
    assert padded.question(7, 50) == b"--007+050=----"


@given(data=st.data(), digits=st.integers(1, 30))
def test_any_sum_is_right(data, digits):
    pairs = [
        [data.draw(st.integers(0, 10**digits - 1)) for _ in range(2)]
        for _ in range(data.draw(st.integers(1, 4)))
    ]
    operands = np.array([[[int(d) for d in f"{n:0{digits}}"] for n in pair] for pair in pairs])
    layout = Layout(digits, shortest_length(digits))
    inputs, target = layout.lay_out(operands)
    for sample, (a, b) in enumerate(pairs):
        assert as_text(inputs[:, sample]).encode() == layout.question(a, b)
        assert as_text(target[-layout.answered :, sample]) == f"{a + b:0{digits + 1}}\n"
        # What is carried into a place is what the digits behind it add up to beyond it.
        places = 10 ** np.arange(digits, -1, -1, dtype=object)
        expected = [a % place + b % place >= place for place in places]
        assert carries_of(a, b, digits).tolist() == expected


def test_carries_are_those_done_by_hand():
    assert carries_of(123, 899, 3).tolist() == [True, True, True, False]
    assert carries_of(905, 190, 3).tolist() == [True, False, False, False]
    assert carries_of(5, 5, 3).tolist() == [False, False, True, False]


def test_adding_does_not_change_the_operands():
    operands = np.array([[[9, 9], [0, 1]]])
    sums, _ = add(operands)
    assert sums.tolist() == [[1, 0, 0]] and operands.tolist() == [[[9, 9], [0, 1]]]


@pytest.mark.parametrize("pair", [(100, 1), (1, 100), (-1, 2)])
def test_a_number_that_does_not_fit_is_one_sentence(pair):
    with pytest.raises(AdditionError) as caught:
        Layout(2, 9).question(*pair)
    assert "2 digits" in one_sentence(caught)


@pytest.mark.parametrize(
    ("digits", "length", "named"),
    [
        (0, 50, "1 to 100"),
        (-3, 50, "1 to 100"),
        (MAX_DIGITS + 1, 1000, "1 to 100"),
        (16, 50, "51"),
        (4, 14, "15"),
        (1, 10**9, "1,000"),
    ],
)
def test_digits_that_do_not_fit_are_one_sentence(digits, length, named):
    with pytest.raises(AdditionError) as caught:
        replace(SETTINGS, digits=digits, length=length)
    assert named in one_sentence(caught)


def test_the_paper_s_digits_fit_the_usual_sequence():
    assert Layout(15, TrainingSettings(updates=1).length).front == 2


@pytest.mark.parametrize("wrong", [{"task": "text"}, {"digits": None}, {"task": "chess"}], ids=str)
def test_settings_that_do_not_belong_together_are_one_sentence(wrong):
    with pytest.raises(SettingsError) as caught:
        replace(SETTINGS, **wrong)
    one_sentence(caught)


def test_what_a_checkpoint_tells_of_its_layout():
    good = {"task": "addition", "digits": 3, "length": 12}
    assert layout_of(good) == Layout(3, 12)
    for wrong in ("text", None, 3):
        assert layout_of({**good, "task": wrong}) is None
    for wrong in (None, "3", 3.0, True, 0, 4, -1, 10**30):
        assert layout_of({**good, "digits": wrong}) is None
        if wrong != 4:
            assert layout_of({**good, "length": wrong}) is None
    assert layout_of({}) is None


# -- Drawn ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("digits", [1, 2, 15])
def test_no_pair_is_both_trained_and_validated_on(digits):
    sums = Sums(Layout(digits, shortest_length(digits)), 0.8)
    trained = {pair for update in range(40) for pair in numbers(sums.training(1, update, 50))}
    validated = set(numbers(sums.validation()))
    assert len(validated) == min(1000, len(sums.validation()))
    assert len(validated) == 1000 or digits == 1 and 10 <= len(validated) <= 30
    assert not trained & validated


def test_the_share_to_train_on_is_that_of_the_setting():
    every = np.stack(np.meshgrid(*[range(10)] * 4), -1).reshape(-1, 2, 2)
    for fraction in (0.5, 0.95):
        part = Sums(Layout(2, 9), fraction).is_for_training(every)
        assert part.mean() == pytest.approx(fraction, abs=0.02)
    # A pair that is trained on at one share is at every larger one.
    assert not (
        Sums(Layout(2, 9), 0.5).is_for_training(every)
        & ~Sums(Layout(2, 9), 0.6).is_for_training(every)
    ).any()


def test_digits_are_drawn_evenly():
    drawn = Sums(Layout(3, 12), 0.95).training(1, 0, 20_000)
    shares = np.stack([(drawn == digit).mean(axis=0) for digit in range(10)])
    assert shares == pytest.approx(np.full((10, 2, 3), 0.1), abs=0.01)


def test_every_update_has_its_own_samples_and_always_the_same():
    sums = Sums(Layout(6, 21), 0.95)
    first = sums.training(1, 5, 30)
    np.testing.assert_array_equal(first, sums.training(1, 5, 30))
    assert set(numbers(first)).isdisjoint(numbers(sums.training(1, 6, 30)))
    assert set(numbers(first)).isdisjoint(numbers(sums.training(2, 5, 30)))


def test_validation_is_the_same_whatever_the_seed():
    tasks = [AdditionTask(replace(SETTINGS, seed=seed, sequences=seed)) for seed in (1, 2)]
    np.testing.assert_array_equal(tasks[0].inputs, tasks[1].inputs)
    assert tasks[0].data == tasks[1].data
    assert tasks[0].data != AdditionTask(replace(SETTINGS, digits=1)).data


@pytest.mark.parametrize(("fraction", "part"), [(1e-9, "train"), (1 - 1e-9, "validate")])
def test_a_part_without_pairs_is_one_sentence(fraction, part):
    with pytest.raises(AdditionError) as caught:
        AdditionTask(replace(SETTINGS, digits=1, train_fraction=fraction))
    assert f"to {part} on" in one_sentence(caught)


# -- Trained --------------------------------------------------------------------------------------


def curve(out):
    with open(out.with_suffix(".csv"), newline="") as file:
        return [{k: float(v) for k, v in row.items()} for row in csv.DictReader(file)]


@every_model
def test_a_model_learns_to_add(tmp_path, config):
    """One-digit numbers, by a model of a size and a time that tests have."""
    out = tmp_path / "model.safetensors"
    settings = replace(
        SETTINGS,
        digits=1,
        length=6,
        sequences=50,
        optimiser="adam",
        updates=250,
        scale=0.5,
        train_fraction=0.8,
    )
    config = replace(config, units=32, layers=1, dropout=0.0)
    train(config, replace(settings, validate_every=50), None, out)
    rows = curve(out)
    assert rows[-1]["train_loss"] < 0.5 * rows[0]["train_loss"]
    assert rows[-1]["val_loss"] < 0.85 * rows[0]["val_loss"]
    assert rows[-1]["digit_accuracy"] > 0.5 and rows[-1]["accuracy"] > rows[0]["accuracy"]
    assert read_metadata(out).validation_loss == pytest.approx(rows[-1]["val_loss"], rel=0.05)


@every_model
def test_updates_are_those_of_a_plain_loop(tmp_path, config):
    """New samples and an empty state each time, the loss of the answer alone: once more here."""
    config = replace(config, dropout=0.0)
    settings = replace(SETTINGS, clip=0.05, updates=6)
    run = Run(config, settings, None, tmp_path / "model.safetensors", CPU)
    expected = Run(config, settings, None, tmp_path / "model.safetensors", CPU).learner.model
    run.go()
    weights = [p for p in expected.parameters() if p.requires_grad]
    squares = [torch.zeros_like(p) for p in weights]
    sums = Sums(Layout(2, 11), settings.train_fraction)
    for update in range(6):
        questions, answers = [], []
        for a, b in numbers(sums.training(1, update, 4)):
            questions.append(list(f"--{a:02}+{b:02}=---".encode()))
            answers.append(list(f"{a + b:03}\n".encode()))
        logits, _ = expected(torch.tensor(questions).T, expected.start(4))
        losses = functional.cross_entropy(
            logits[-4:].flatten(0, 1), torch.tensor(answers).T.flatten(), reduction="none"
        )
        gradients = torch.autograd.grad(losses.sum() / 4, weights)
        with torch.no_grad():
            for weight, square, gradient in zip(weights, squares, gradients, strict=True):
                gradient = gradient.clip(-0.05, 0.05)
                square.copy_(0.95 * square + 0.05 * gradient**2)
                weight -= 0.01 * gradient / (square.sqrt() + 1e-8)
    named = dict(run.learner.model.named_parameters())
    for name, weight in expected.named_parameters():
        torch.testing.assert_close(named[name], weight, atol=2e-5, rtol=0, msg=name)


@every_model
@pytest.mark.parametrize("at", [1, 5, 13])
def test_an_interrupted_run_goes_on_to_the_same_numbers(tmp_path, monkeypatch, config, at):
    straight, parts = tmp_path / "straight.safetensors", tmp_path / "parts.safetensors"
    train(config, SETTINGS, None, straight)
    interrupt(monkeypatch, at)
    assert not train(config, SETTINGS, None, parts)
    monkeypatch.undo()
    assert train(config, SETTINGS, None, parts, resume=True)
    assert_same_run(parts, straight)


def test_a_run_of_other_sums_is_not_gone_on_with(tmp_path, corpus):
    out = tmp_path / "model.safetensors"
    train(GRID, replace(SETTINGS, updates=5), None, out)
    for other, named in (
        (replace(SETTINGS, digits=1), "data, digits"),
        (replace(SETTINGS, train_fraction=0.9), "data, train_fraction"),
    ):
        with pytest.raises(ResumeError) as caught:
            train(GRID, other, None, out, resume=True)
        assert named in one_sentence(caught)
    with pytest.raises(ResumeError) as caught:
        train(GRID, replace(SETTINGS, task="text", digits=None), corpus, out, resume=True)
    assert "task" in one_sentence(caught)


def test_a_run_begun_before_there_were_tasks_is_gone_on_with(tmp_path, corpus):
    straight, parts = tmp_path / "straight.safetensors", tmp_path / "parts.safetensors"
    settings = replace(SETTINGS, task="text", digits=None, train_fraction=0.9)
    train(GRID, settings, corpus, straight)
    train(GRID, replace(settings, updates=10), corpus, parts)
    old = read_state(state_path(parts))
    for name in ("task", "digits"):
        del old.settings[name]
    write_state(state_path(parts), old)
    assert train(GRID, settings, corpus, parts, resume=True)
    assert_same_run(parts, straight)


def test_the_curve_has_accuracies_and_that_of_a_text_has_none(tmp_path, corpus):
    out = tmp_path / "model.safetensors"
    train(GRID, SETTINGS, None, out)
    rows = curve(out)
    assert list(rows[0])[-2:] == ["accuracy", "digit_accuracy"]
    assert [row["bytes"] for row in rows] == [4 * 11 * n for n in (5, 10, 15, 20)]
    assert all(row["epoch"] == 0 for row in rows)
    text = tmp_path / "text.safetensors"
    train(GRID, replace(SETTINGS, task="text", digits=None, train_fraction=0.9), corpus, text)
    assert list(curve(text)[0])[-1] == "seconds"


def test_what_is_measured(tmp_path, make_model):
    """Loss and accuracies, from the model's own forward pass on each question alone."""
    model, layout = make_model("grid", 2, 16, "all"), Layout(2, 9)
    pairs = [(7, 35), (99, 99), (0, 12)]
    questions = [layout.question(a, b) for a, b in pairs]
    answers = [f"{a + b:03}\n".encode() for a, b in pairs]
    losses, predictions = [], []
    for question, answer in zip(questions, answers, strict=True):
        logits = model(torch.tensor(list(question))[:, None], model.start(1))[0][-4:, 0]
        losses.append(functional.cross_entropy(logits, torch.tensor(list(answer))).item())
        predictions.append(logits.argmax(-1).tolist())
    inputs = np.array([list(question) for question in questions]).T
    # Taken as right: all of the first guess, two of the three digits of the second, none of the
    # third but its end.
    predictions = np.array(predictions).T
    target = np.full((9, 3), ord("-"))
    target[-4:] = predictions
    target[-3, 1] = (target[-3, 1] + 1) % 256
    target[-4:-1, 2] = (target[-4:-1, 2] + 1) % 256
    found = validate_addition(model, inputs, target, layout)
    assert (found.accuracy, found.digit_accuracy) == (pytest.approx(1 / 3), pytest.approx(5 / 9))
    target[-4:] = np.array([list(answer) for answer in answers]).T
    found = validate_addition(model, inputs, target, layout)
    assert found.loss.nats_per_byte == pytest.approx(np.mean(losses), rel=1e-5)
    assert found.loss.bytes == 12


def test_points_of_the_curve_may_be_measured_on_fewer_samples():
    model = Run(GRID, SETTINGS, None, None, CPU).learner.model
    task = AdditionTask(SETTINGS)
    assert task.validate(model).loss.bytes == 4 * task.inputs.shape[1] > 44
    found = task.validate(model, 41)
    assert found.loss.bytes == 44
    first = validate_addition(model, task.inputs[:, :11], task.target[:, :11], task.layout)
    assert found == first


@every_model
@pytest.mark.parametrize("samples_at_once", [3, 128])
@pytest.mark.parametrize("values", [1, 999, 2**22])
def test_sums_are_measured_in_pieces_of_bounded_size(monkeypatch, config, samples_at_once, values):
    model, layout = Run(config, SETTINGS, None, None, CPU).learner.model.eval(), Layout(3, 20)
    inputs, target = layout.lay_out(Sums(layout, 0.9).validation(7))
    logits = model(torch.from_numpy(inputs), model.start(7))[0][-5:]
    monkeypatch.setattr(evaluation, "SAMPLES_AT_ONCE", samples_at_once)
    monkeypatch.setattr(evaluation, "MAX_VALUES_AT_ONCE", values)
    sizes, told = [], []
    watched = model.recurrent.register_forward_pre_hook(lambda _, given: sizes.append(given[0]))
    loss, right = evaluation.evaluate_answers(model, inputs, target, 5, told.append)
    watched.remove()
    expected = functional.cross_entropy(
        logits.flatten(0, 1).double(), torch.from_numpy(target[-5:]).flatten()
    )
    assert loss.nats_per_byte == pytest.approx(expected.item(), rel=1e-6) and loss.bytes == 35
    assert (right == (logits.argmax(-1).numpy() == target[-5:])).all()
    rows = min(7, samples_at_once)
    most = max(rows, values // model.config.values_a_layer)
    assert all(len(piece) * piece.shape[1] <= most for piece in sizes)
    assert sum(len(piece) * piece.shape[1] for piece in sizes) == 7 * 20
    assert told == sorted(told) and told[0] == 0 and told[-1] == 1


def test_measuring_sums_can_be_cancelled():
    model, task = Run(GRID, SETTINGS, None, None, CPU).learner.model, AdditionTask(SETTINGS)

    def cancel(share):
        raise Cancelled

    with pytest.raises(Cancelled):
        task.validate(model, progress=cancel)
    with pytest.raises(Cancelled):
        rank_by_carry(model, task.layout, 0.95, progress=cancel)


def test_measuring_leaves_a_training_model_training():
    model = Run(GRID, SETTINGS, None, None, CPU).learner.model.train()
    task = AdditionTask(SETTINGS)
    assert task.validate(model) == task.validate(model)  # without dropout
    assert model.training


def test_the_checkpoint_says_what_it_is(tmp_path):
    out = tmp_path / "model.safetensors"
    train(GRID, SETTINGS, None, out)
    about = read_metadata(out)
    assert about.data.name == "addition of 2-digit numbers"
    assert (about.data.bytes, about.data.train_fraction) == (0, 0.95)
    assert layout_of(about.training) == Layout(2, 11)
    # Of the 10,000 pairs that there are.
    assert about.validation_bytes == pytest.approx(0.05 * 10_000 * 4, rel=0.1)
    # Digits but the sum's first are about even, the end is a quarter of all.
    assert 1.5 < about.data.byte_entropy < math.log(11)
    model, _ = load_model(out)
    found = AdditionTask(SETTINGS).validate(model)
    assert found.loss.nats_per_byte == pytest.approx(about.validation_loss, rel=1e-3)


# -- As a command ---------------------------------------------------------------------------------

MODEL = [
    f"--{name}={value}"
    for name, value in {
        "architecture": "grid",
        "tie": "all",
        "layers": 2,
        "units": 8,
        "sequences": 4,
        "updates": 2,
    }.items()
]


def test_the_command(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for name, more in (("four", []), ("one", ["--digits", "1", "--length", "8"])):
        arguments = ["train", "--task", "addition", *MODEL, *more, "--out", f"{name}.safetensors"]
        assert commands.run(arguments) == 0
    printed = capsys.readouterr()
    assert printed.out == "" and "% right" in printed.err
    assert layout_of(read_metadata(tmp_path / "four.safetensors").training) == Layout(4, 15)
    assert layout_of(read_metadata(tmp_path / "one.safetensors").training) == Layout(1, 8)
    assert commands.run(["describe", "four.safetensors"]) == 0
    assert json.loads(capsys.readouterr().out)["training"]["task"] == "addition"


def test_a_preset_s_sequences_are_as_long_as_sums_need(tmp_path):
    out = tmp_path / "model.safetensors"
    arguments = ["train", "--preset", "small-grid-3", *MODEL, "--task", "addition"]
    assert commands.run([*arguments, "--digits", "15", "--out", str(out)]) == 0
    assert layout_of(read_metadata(out).training) == Layout(15, 48)


MISTAKES = {
    "a file for sums": (["text.txt", "--task", "addition"], "text.txt"),
    "no file for a text": ([], "a file of data"),
    "digits of a text": (["text.txt", "--digits", "3"], "--digits"),
    "digits of a text by name": (["text.txt", "--task", "text", "--digits", "3"], "--digits"),
    "another task": (["--task", "subtraction"], "subtraction"),
    "no digits": (["--task", "addition", "--digits", "0"], "1 to 100"),
    "digits in words": (["--task", "addition", "--digits", "many"], "--digits"),
    "too many digits": (["--task", "addition", "--digits", "10000"], "1 to 100"),
    "too many for the sequence": (
        ["--task", "addition", "--digits", "16", "--length", "50"],
        "51",
    ),
    "no pairs left": (
        ["--task", "addition", "--digits", "1", "--train-fraction", "0.99999999"],
        "--train-fraction",
    ),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_one_line_and_status_2(tmp_path, monkeypatch, capsys, mistake):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "text.txt").write_bytes(b"a cat sat on a mat. " * 50)
    arguments, named = MISTAKES[mistake]
    try:
        status = commands.run(["train", *arguments, *MODEL, "--out", "model.safetensors"])
    except SystemExit as exit:  # argparse leaves by itself
        status = exit.code
    printed = capsys.readouterr()
    assert (status, printed.out) == (2, "")
    assert len(printed.err.splitlines()) == 1 and named in printed.err
    assert not list(tmp_path.glob("*.safetensors"))


def test_a_corpus_for_another_task_is_refused(corpus, tmp_path):
    for settings, text in (
        (SETTINGS, corpus),
        (replace(SETTINGS, task="text", digits=None), None),
    ):
        with pytest.raises(UserError) as caught:
            train(GRID, settings, text, tmp_path / "model.safetensors")
        one_sentence(caught)
