"""What a model writes: against the chances of an independent reference, and a trace of the text."""

import io
import math
import os
import subprocess
import sys

import app_checkpoints
import numpy as np
import pytest
import reference
from app_checkpoints import ROOT

from gridlstm import commands
from gridlstm import sampling as sampling_module
from gridlstm.architectures import ARCHITECTURES
from gridlstm.backends import plan as planning
from gridlstm.clamps import Clamp
from gridlstm.sampling import Choice, SamplingError, probabilities_of, sample, write
from gridlstm.trace import trace

KINDS = [("stacked", None), ("grid", "none"), ("grid", "depth"), ("grid", "all")]
# What a step takes from a model must be there in every architecture.
OTHERS = [(name, None) for name, known in ARCHITECTURES.items() if name not in ("grid", "stacked")]
PRIME = "Grüße [http://".encode()
CHOICES = [
    Choice(),
    Choice(0.7),
    Choice(1.3, top_k=5),
    Choice(0.9, top_p=0.6),
    Choice(2.0, top_k=20, top_p=0.8),
    Choice(0.8, top_k=1),
    Choice(0),
]


def expected_chances(probabilities, temperature, top_k, top_p) -> np.ndarray:
    """Temperature, then top-k, then top-p, in the plainest way: byte by byte, likeliest first."""
    if temperature == 0:
        return np.array([float(byte == probabilities.argmax()) for byte in range(256)])
    powers = [chance ** (1 / temperature) for chance in probabilities]
    ranked = sorted(range(256), key=lambda byte: (-powers[byte], byte))[:top_k]
    total = sum(powers[byte] for byte in ranked)
    kept, together = {}, 0.0
    for byte in ranked:
        if together >= top_p:
            break
        kept[byte] = powers[byte] / total
        together += kept[byte]
    return np.array([kept.get(byte, 0) / sum(kept.values()) for byte in range(256)])


def tensors_of(model):
    return {name: tensor.detach().numpy() for name, tensor in model.to_tensors().items()}


# -- Chances --------------------------------------------------------------------------------------


@pytest.mark.parametrize("choice", CHOICES)
def test_the_chances_are_those_of_the_plain_way(choice):
    for seed in range(5):
        logits = np.random.default_rng(seed).normal(0, 3, 256)
        plain = np.exp(logits) / np.exp(logits).sum()
        expected = expected_chances(plain, choice.temperature, choice.top_k, choice.top_p)
        np.testing.assert_allclose(probabilities_of(logits, choice), expected, atol=1e-12)


def test_chances_by_hand():
    """Half, a quarter, an eighth, an eighth: top-p takes the byte that reaches it, and no more."""
    logits = np.full(256, -np.inf)
    logits[[7, 3, 9, 200]] = np.log([1 / 2, 1 / 4, 1 / 8, 1 / 8])

    def kept(**options):
        probabilities = probabilities_of(logits, Choice(**options))
        return {int(byte): float(probabilities[byte]) for byte in np.flatnonzero(probabilities)}

    assert kept(top_p=0.5) == pytest.approx({7: 1})
    assert kept(top_p=0.51) == pytest.approx({7: 2 / 3, 3: 1 / 3})
    assert kept(top_k=3) == pytest.approx({7: 4 / 7, 3: 2 / 7, 9: 1 / 7})
    # Of the two left by top-k the first has two thirds: the chances are scaled before top-p.
    assert kept(top_k=2, top_p=0.6) == pytest.approx({7: 1})
    # The temperature comes first: cold, the likeliest alone reaches what it does not warm.
    assert kept(temperature=0.25, top_p=0.9) == pytest.approx({7: 1})
    assert set(kept(top_p=0.9)) == {7, 3, 9, 200}
    assert kept(temperature=1e-320) == {7: 1}


def test_a_byte_without_a_chance_is_never_drawn():
    probabilities = np.zeros(256)
    probabilities[[5, 9]] = [0.3, 0.7 - 1e-9]
    drawn = [sampling_module._choose(probabilities, n) for n in (0.0, 0.3 - 1e-9, 0.3, 1 - 2**-53)]
    assert drawn == [5, 5, 9, 9]


# -- What is written ------------------------------------------------------------------------------


@pytest.mark.parametrize(("architecture", "tie"), KINDS)
@pytest.mark.parametrize("choice", [Choice(0.7), Choice(1.2, top_k=40, top_p=0.9)])
def test_each_byte_is_where_its_random_number_falls(make_model, architecture, tie, choice):
    """Among the chances that the reference makes of all the text before it, read anew."""
    model = make_model(architecture, 2, 5, tie, double=True).eval()
    steps = list(write(model, PRIME, 10, choice=choice, seed=3))
    data, tensors = PRIME + bytes(step.token for step in steps), tensors_of(model)
    numbers = np.random.default_rng(3).random(10)
    for n, step in enumerate(steps):
        plain = reference.run(architecture, 2, tensors, data[: len(PRIME) + n]).next_byte[-1]
        probabilities = expected_chances(plain, choice.temperature, choice.top_k, choice.top_p)
        edges = np.append(0, np.cumsum(probabilities))
        assert edges[step.token] - 1e-9 <= numbers[n] < edges[step.token + 1] + 1e-9
        assert step.probability == pytest.approx(probabilities[step.token], abs=1e-9)
        assert step.loss == pytest.approx(-math.log(plain[step.token]), abs=1e-9)


@pytest.mark.parametrize(("architecture", "tie"), [*KINDS, *OTHERS])
@pytest.mark.parametrize("clamps", [[], [1.5]])
def test_losses_and_values_are_those_of_a_trace_of_the_text(make_model, architecture, tie, clamps):
    model = make_model(architecture, 3, 6, tie).eval()
    quantities = model.config.quantities
    clamps = [Clamp(model.config.clampable[0], 2, 1, value) for value in clamps]
    steps = list(write(model, PRIME, 30, quantities=quantities, clamps=clamps))
    data = PRIME + bytes(step.token for step in steps)
    traced = trace(model, data, dtype=np.float32, clamps=clamps)
    losses = [step.loss for step in steps]
    np.testing.assert_allclose(losses, traced.loss[len(PRIME) :], atol=1e-5)
    for quantity, values in traced.values.items():
        written = np.stack([step.values[quantity] for step in steps], axis=1)
        np.testing.assert_allclose(written, values[:, len(PRIME) :], atol=1e-5)


def test_only_the_quantities_asked_for(make_model):
    model = make_model("grid", 2, 5, "all").eval()
    [step] = write(model, PRIME, 1, quantities=["depth.forget"])
    assert set(step.values) == {"depth.forget"} and step.values["depth.forget"].shape == (2, 5)
    [step] = write(model, PRIME, 1)
    assert step.values == {}


def test_a_long_prime_is_read_in_pieces_to_the_same_end(make_model, monkeypatch):
    model = make_model("grid", 2, 5, "all", double=True).eval()
    whole = [step.loss for step in write(model, PRIME * 5, 5)]
    monkeypatch.setattr(planning, "MAX_POSITIONS", 3)
    assert [step.loss for step in write(model, PRIME * 5, 5)] == pytest.approx(whole, abs=1e-12)


def test_the_seed_decides_and_nothing_else(make_model):
    model = make_model("stacked", 2, 5).eval()
    first = [step.token for step in write(model, PRIME, 40, seed=2)]
    assert first == list(sample(model, PRIME, 40, seed=2))
    assert first[:20] == list(sample(model, PRIME, 20, seed=2))
    assert first != list(sample(model, PRIME, 40, seed=3))
    assert list(write(model, PRIME, 0)) == []


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"prime": b""}, "at least one character"),
        ({"length": -1}, "length must be 0"),
        ({"seed": -1}, "seed must be 0"),
        ({"quantities": ["time.soul"]}, "no 'time.soul'"),
    ],
)
def test_what_cannot_be_written(make_model, options, message):
    model = make_model("stacked", 1, 5)
    with pytest.raises(SamplingError, match=message):
        write(model, **{"prime": PRIME, "length": 1} | options)


@pytest.mark.parametrize(
    "options",
    [
        {"temperature": -0.1},
        {"temperature": math.nan},
        {"temperature": math.inf},
        {"top_k": 0},
        {"top_k": 65537},
        {"top_p": 0},
        {"top_p": 1.1},
        {"top_p": math.nan},
    ],
)
def test_a_choice_that_cannot_be(options):
    with pytest.raises(SamplingError):
        Choice(**options)


def test_chances_that_are_not_finite_are_a_sentence(make_model):
    """A stranger's checkpoint may hold numbers whose products overflow."""
    model = make_model("stacked", 1, 5).eval()
    # Whatever the sign of the sum of the top layer, one of these is beyond float32.
    model.decoder.bias.data.fill_(3.4e38)
    model.decoder.weight.data.fill_(3.4e38)
    model.decoder.weight.data[::2] *= -1
    with pytest.raises(SamplingError, match="not finite"):
        list(write(model, PRIME, 1))


# -- The command ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    folder = tmp_path_factory.mktemp("checkpoints")
    return app_checkpoints.checkpoint(folder / "model.safetensors", app_checkpoints.GRID)


def run(monkeypatch, *arguments) -> tuple[int, bytes]:
    """The status, and what went to standard output."""
    out = io.TextIOWrapper(io.BytesIO())
    monkeypatch.setattr(sys, "stdout", out)
    status = commands.run(["sample", *map(str, arguments)])
    return status, out.buffer.getvalue()


def test_the_command_writes_what_the_library_does(path, tmp_path, monkeypatch):
    from gridlstm.checkpoint import load_model

    model, _ = load_model(path)
    status, written = run(monkeypatch, path, "--prime", PRIME.decode(), "--length", 30)
    assert (status, written) == (0, bytes(sample(model, PRIME, 30)))
    options = ["--temperature", 0.8, "--top-k", 30, "--top-p", 0.9, "--seed", 7, "--length", 30]
    (tmp_path / "prime.txt").write_bytes(PRIME)
    choice = Choice(0.8, 30, 0.9)
    expected = bytes(step.token for step in write(model, PRIME, 30, choice=choice, seed=7))
    assert run(monkeypatch, path, "--prime-file", tmp_path / "prime.txt", *options)[1] == expected


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ([], "--prime"),
        (["--prime", ""], "at least one character"),
        (["--prime", "x", "--prime-file", "y"], "--prime"),
        (["--prime-file", "nowhere.txt"], "nowhere.txt"),
        (["--prime", "x", "--length", "-3"], "length"),
        (["--prime", "x", "--length", "long"], "--length"),
        (["--prime", "x", "--temperature", "-1"], "temperature"),
        (["--prime", "x", "--temperature", "nan"], "temperature"),
        (["--prime", "x", "--top-k", "0"], "Top-k"),
        (["--prime", "x", "--top-p", "2"], "Top-p"),
        (["--prime", "x", "--seed", "-1"], "seed"),
    ],
)
def test_a_mistake_is_one_line_and_status_2(path, capsys, options, named):
    try:
        status = commands.run(["sample", str(path), *options])
    except SystemExit as exit:  # argparse leaves by itself
        status = exit.code
    printed = capsys.readouterr()
    assert (status, printed.out) == (2, "")
    assert len(printed.err.splitlines()) == 1 and named in printed.err


def test_a_reader_that_has_had_enough_ends_it_quietly(path):
    """As in `sample … | head -c 10`; the text comes as it is written, not at the end."""
    command = [sys.executable, "-m", "gridlstm", "sample", path, "--prime", "x"]
    program = subprocess.Popen(
        [*command, "--length", "1000000000"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=ROOT,
        env=os.environ,
    )
    with program:
        assert len(program.stdout.read(10)) == 10
        program.stdout.close()
        assert program.wait(timeout=60) == 0
        assert program.stderr.read() == b""
