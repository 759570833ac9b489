"""Models of other programs in our terms: saved, loaded, traced, evaluated and sampled, they give
what their equations give, one character at a time in float64."""

import json
import math

import numpy as np
import pytest
import torch
import torch7_writer
from foreign_reference import run, run_indices
from safetensors.numpy import save_file
from torch.nn import functional

from gridlstm.checkpoint import CheckpointError, load_model, read_metadata, write_checkpoint
from gridlstm.checkpoint.metadata import to_document
from gridlstm.clamps import Clamp
from gridlstm.config import ConfigError, ModelConfig
from gridlstm.evaluation import evaluate_text
from gridlstm.importing import LayerArrays, model_from_arrays, read_model, to_model
from gridlstm.intervention import losses
from gridlstm.model import LanguageModel
from gridlstm.sampling import Choice, sample, write
from gridlstm.trace import trace
from gridlstm.vocabulary import Vocabulary

# Of one, two, three and four bytes.
SIGNS = "ab\u00e9\u00e4\u2019\u3042\N{FOX FACE}\n cdefg"
UNITS = 5
CELLS = {"lstm": (4, "ifog"), "gru": (3, "rzn"), "rnn": (1, "h")}


def text_of(length: int, signs: str = SIGNS) -> str:
    return "".join(np.random.default_rng(4).choice(list(signs), length))


def arrays_of(cell, layers=2, units=UNITS, width=None, signs=SIGNS, scale=0.8, **more):
    """A model of random arrays; one-hot without a `width`."""
    count, order = CELLS[cell]
    chance = np.random.default_rng(1)

    def draw(*shape):
        return chance.normal(0, scale, shape).astype(np.float32)

    read = [width or len(signs), *[units] * (layers - 1)]
    made = [
        LayerArrays(
            draw(count * units, columns),
            draw(count * units, units),
            draw(count * units),
            draw(count * units),
        )
        for columns in read
    ]
    return model_from_arrays(
        cell,
        made,
        draw(len(signs), units),
        draw(len(signs)),
        embedding=draw(len(signs), width) if width else None,
        vocabulary=signs,
        order=order,
        **more,
    )


FORMS = {
    "characters of several bytes": ("lstm", {"width": UNITS}),
    "an embedding narrower than the units": ("lstm", {"width": 3}),
    "an embedding wider than the units": ("lstm", {"width": 9}),
    "more one-hot inputs than units": ("lstm", {}),
    "one layer of one unit": ("lstm", {"layers": 1, "units": 1, "width": 4}),
    "hard sigmoid": ("lstm", {"gates": "hard_sigmoid"}),
    "hard sigmoid of Keras 3": ("lstm", {"gates": "hard_sigmoid_6", "width": 3}),
    "GRU, reset after": ("gru", {"width": 3}),
    "GRU, reset before": ("gru", {"reset": "before"}),
    "GRU, reset before, hard": ("gru", {"reset": "before", "gates": "hard_sigmoid"}),
    "GRU, reset after, hard": ("gru", {"gates": "hard_sigmoid_6", "width": 8}),
    "plain RNN": ("rnn", {"width": 7}),
    "plain RNN, one-hot": ("rnn", {}),
}


@pytest.fixture(params=FORMS)
def foreign(request):
    cell, options = FORMS[request.param]
    return arrays_of(cell, **options)


def saved(foreign, folder) -> LanguageModel:
    """As it comes back from a checkpoint."""
    model, metadata = to_model(foreign, "a test")
    path = folder / "model.safetensors"
    write_checkpoint(path, {n: t.numpy() for n, t in model.to_tensors().items()}, metadata)
    loaded, again = load_model(path)
    assert again.model == metadata.model and again.vocabulary == metadata.vocabulary
    assert loaded.vocabulary == foreign.vocabulary
    return loaded


@pytest.mark.parametrize(("layers", "tied"), [(1, False), (3, False), (3, True)])
def test_a_grid_of_torch_7_gives_what_its_equations_give(tmp_path, layers, tied):
    graph, _ = torch7_writer.grid_lstm(6, UNITS, layers, tied=tied)
    signs = ["a", "b", "c", b"\xc3", b"\xa9", "\n"]
    content = torch7_writer.write(torch7_writer.checkpoint(graph, signs))
    foreign = read_model([("model.t7", content)])
    model, tokens = saved(foreign, tmp_path), np.random.default_rng(0).integers(0, 6, 60)
    assert model.config.tie == ("depth" if tied else "none")
    text = b"".join(map(model.vocabulary.bytes_of, tokens))
    traced, expected = trace(model, text, dtype=np.float32), run_indices(foreign, tokens)
    np.testing.assert_allclose(traced.values["time.cell"], expected.cell, atol=2e-5)
    probabilities = functional.softmax(torch.from_numpy(expected.logits), -1)
    np.testing.assert_allclose(traced.next_token, probabilities, atol=6e-4)
    assert traced.nats_per_token == pytest.approx(expected.loss, abs=1e-5)


@pytest.mark.parametrize("length", [1, 7, 90])
def test_a_trace_gives_what_the_equations_give(foreign, tmp_path, length):
    """Short, step by step; long, through torch's recurrences where they are."""
    model, text = saved(foreign, tmp_path), text_of(length)
    traced, expected = trace(model, text, dtype=np.float32), run(foreign, text * 2)
    for quantity, values in (("time.cell", expected.cell), ("time.hidden", expected.hidden)):
        if quantity in traced.values:
            np.testing.assert_allclose(traced.values[quantity], values[:, :length], atol=2e-5)
    probabilities = functional.softmax(torch.from_numpy(expected.logits[:length]), -1)
    np.testing.assert_allclose(traced.next_token, probabilities, atol=6e-4)
    assert traced.next_token.shape == (length, len(SIGNS))


def test_its_loss_is_that_of_the_equations_for_each_byte(foreign, tmp_path):
    model, text = saved(foreign, tmp_path), text_of(80)
    expected = run(foreign, text).loss
    found, traced = evaluate_text(model, text), trace(model, text, ())
    assert traced.nats_per_token == pytest.approx(expected, abs=1e-5)
    assert found.nats_per_character == pytest.approx(expected, abs=1e-5)
    sizes = len(text[1:].encode())
    assert (found.bytes, found.characters) == (sizes, 79) and found.is_comparable
    for figure in (found.nats_per_byte, traced.nats_per_byte):
        assert figure * sizes == pytest.approx(expected * 79, rel=1e-5)
    assert found.uniform == pytest.approx(math.log(len(SIGNS)))


def test_it_is_trained_like_any_other(foreign, tmp_path):
    """The same loss and a gradient that goes down, through the module that training uses."""
    model = saved(foreign, tmp_path).requires_grad_(True).train()
    tokens = torch.from_numpy(model.encode(text_of(30)).tokens.copy())[:, None]

    def loss():
        logits, _ = model(tokens[:-1], model.start(1))
        return functional.cross_entropy(logits[:, 0], tokens[1:, 0])

    first = loss()
    assert first.item() == pytest.approx(run(foreign, text_of(30)).loss, abs=1e-4)
    first.backward()
    with torch.no_grad():
        for parameter in model.parameters():
            assert parameter.grad is not None or not parameter.requires_grad
            if parameter.grad is not None:
                parameter -= 1e-3 * parameter.grad
    assert loss().item() < first.item()


def test_a_held_unit_costs_the_same_by_every_way(foreign, tmp_path):
    model, text = saved(foreign, tmp_path), text_of(60)
    clamp = Clamp(model.config.clampable[0], 1, 0, 0.25)
    plain, held = losses(model, text, [[], [clamp]])
    np.testing.assert_allclose(plain[1:], trace(model, text).loss[1:], atol=1e-4)
    np.testing.assert_allclose(held[1:], trace(model, text, clamps=[clamp]).loss[1:], atol=1e-4)
    assert np.abs(held - plain)[1:].max() > 1e-5


def test_texts_are_given_as_bytes_too(tmp_path):
    model, text = saved(arrays_of("lstm"), tmp_path), text_of(40)
    for given in (text.encode(), model.encode(text)):
        np.testing.assert_array_equal(trace(model, given).loss, trace(model, text).loss)


def test_the_distributions_of_a_large_vocabulary_lie_on_disk(tmp_path, monkeypatch):
    model, text = saved(arrays_of("lstm"), tmp_path), text_of(40)
    plain = trace(model, text)
    monkeypatch.setattr("gridlstm.trace.MAX_TRACE_MEMORY", 100)
    monkeypatch.setattr("gridlstm.trace.MAX_SORTED", 3 * len(SIGNS))
    on_disk = trace(model, text)
    assert isinstance(on_disk.next_token, np.memmap)
    np.testing.assert_array_equal(on_disk.next_token, plain.next_token)
    for found, expected in zip(on_disk.likeliest(5), plain.likeliest(5), strict=True):
        np.testing.assert_array_equal(found, expected)
    tokens, probabilities = plain.likeliest(1000)
    assert tokens.shape == probabilities.shape == (40, len(SIGNS))
    assert (np.diff(probabilities.astype(np.float32), axis=1) <= 0).all()


# -- What is not known -----------------------------------------------------------------------------


def test_skipped_characters_are_not_read(tmp_path):
    model = saved(arrays_of("gru", width=3), tmp_path)
    text = "abXc\u00df\u00e9dXX"
    traced = trace(model, text, dtype=np.float32)
    plain = trace(model, "abc\u00e9d", dtype=np.float32)
    np.testing.assert_array_equal(traced.values["time.hidden"], plain.values["time.hidden"])
    by_character = traced.text.sum_by_character(traced.loss)
    assert np.isnan(by_character).tolist() == [c in "Xa\u00df" for c in text]
    found = evaluate_text(model, text)
    assert (found.skipped, found.unknown, found.characters) == (4, 0, 4)
    assert not found.is_comparable and found.bytes == len("bc\u00e9d".encode())


def test_an_unknown_token_is_counted(tmp_path):
    foreign = arrays_of("lstm", signs="?abcdef")
    foreign = foreign.with_vocabulary(Vocabulary(tuple("?abcdef"), unknown=0))
    model = saved(foreign, tmp_path)
    np.testing.assert_array_equal(trace(model, "abXc").loss, trace(model, "ab?c").loss)
    found = evaluate_text(model, "abXc")
    assert (found.unknown, found.skipped, found.is_comparable) == (1, 0, False)


def test_nothing_that_is_known(tmp_path):
    model = saved(arrays_of("lstm"), tmp_path)
    for ask in (
        lambda: trace(model, "XYZ"),
        lambda: losses(model, "XYZ", [[]]),
        lambda: write(model, "XYZ", 3),
        lambda: evaluate_text(model, "XYZa"),
    ):
        with pytest.raises(Exception, match=r"^[A-Z].*\.$") as refusal:
            ask()
        assert "knows" in str(refusal.value) or "two tokens" in str(refusal.value)


# -- Sampling --------------------------------------------------------------------------------------


SPECIAL = ("<pad>", "a", None, "\u2019", "<unk>", "\N{FOX FACE}", "b")


@pytest.mark.parametrize("temperature", [0, 0.3, 1, 5, 1e6])
def test_a_sample_never_leaves_the_vocabulary(tmp_path, temperature):
    foreign = arrays_of("lstm", signs="0123456")
    # The tokens that no text holds are the likeliest by far.
    foreign.decoder_bias[[0, 2, 4]] += 20
    foreign = foreign.with_vocabulary(Vocabulary(SPECIAL, unknown=4))
    model = saved(foreign, tmp_path)
    written = list(sample(model, "ab", 300, temperature=temperature, seed=3))
    assert set(written) <= {1, 3, 5, 6}
    assert set(model.vocabulary.decode(written)) <= set("ab\u2019\N{FOX FACE}")
    assert temperature in (0, 0.3) or set(written) == {1, 3, 5, 6}


def test_a_step_of_a_sample_is_that_of_the_equations(tmp_path):
    foreign = arrays_of("gru", reset="before")
    model = saved(foreign, tmp_path)
    steps = list(write(model, "ab", 25, choice=Choice(1.5, top_k=9), seed=2))
    tokens = [0, 1, *(step.token for step in steps)]
    logits = run_indices(foreign, tokens).logits
    for n, step in enumerate(steps):
        row = logits[n + 1]
        loss = np.log(np.exp(row - row.max()).sum()) + row.max() - row[step.token]
        assert step.loss == pytest.approx(loss, abs=1e-4)
        assert (row > row[step.token]).sum() < 9


# -- In files --------------------------------------------------------------------------------------


@pytest.fixture
def good(tmp_path):
    """A path, the document and the tensors of a model with a vocabulary of its own."""
    model, metadata = to_model(arrays_of("gru", width=3, gates="hard_sigmoid"), "a test")
    tensors = {name: tensor.numpy() for name, tensor in model.to_tensors().items()}
    return tmp_path / "good.safetensors", to_document(metadata), tensors


def written(path, document, tensors):
    save_file(tensors, path, metadata={"gridlstm": json.dumps(document)})
    return path


def test_the_file_holds_what_the_format_says(good):
    _, document, tensors = good
    assert document["format_version"] == 2
    assert document["model"]["vocabulary_size"] == len(SIGNS)
    assert document["model"]["embedding_size"] == 3
    assert document["model"]["gates"] == "hard_sigmoid"
    assert document["vocabulary"]["tokens"] == list(SIGNS)
    assert tensors["embedding.weight"].shape == (len(SIGNS), 3)
    assert tensors["decoder.weight"].shape == (len(SIGNS), UNITS)
    assert tensors["layers.0.time.weight"].shape == (3 * UNITS, UNITS + 3)
    assert tensors["layers.1.time.weight"].shape == (3 * UNITS, 2 * UNITS)


def test_one_hot_input_is_stored_as_what_it_is():
    model, metadata = to_model(arrays_of("lstm"))
    assert "embedding.weight" not in model.to_tensors()
    assert metadata.model.embedding_size == 0
    shape = model.to_tensors()["layers.0.time.weight"].shape
    assert shape == (4 * UNITS, UNITS + len(SIGNS))
    assert metadata.model.parameters == sum(t.numel() for t in model.to_tensors().values())


def test_a_model_over_bytes_is_written_as_before(make_model):
    """Older programs read it: nothing in its document is new."""
    from gridlstm.checkpoint import Data, Metadata

    for architecture in ("grid", "stacked", "gru"):
        tie = "all" if architecture == "grid" else None
        model = make_model(architecture, 2, 4, tie)
        document = to_document(Metadata(model.config, Data("x", "", 1, 0.9, 3.0)))
        assert document["format_version"] == 1 and "vocabulary" not in document
        assert document["model"].keys() <= {
            *("architecture", "layers", "units", "tie", "dropout", "priority", "depth", "reset")
        }


@pytest.mark.parametrize(
    ("place", "value", "why"),
    [
        (("vocabulary",), None, "The vocabulary has 256 tokens and the model 14"),
        (("vocabulary", "tokens"), ["a", "b"], "The vocabulary has 2 tokens and the model 14"),
        (("vocabulary", "tokens"), ["a"] * 14, "lists a token twice"),
        (("vocabulary", "tokens"), [*SIGNS[:13], [1]], "no token"),
        (("vocabulary",), {"tokens": list(SIGNS)}, "not as it should be"),
        (("model", "vocabulary_size"), 13, "has 14 tokens and the model 13"),
        (("model", "vocabulary_size"), 65537, "from 1 to 65536"),
        (("model", "vocabulary_size"), "14", "from 1 to 65536"),
        (("model", "embedding_size"), -1, "from 0"),
        (("model", "embedding_size"), 2**40, "from 0"),
        (("model", "embedding_size"), [3], "from 0"),
        (("model", "embedding_size"), 4, "embedding.weight has shape"),
        (("model", "embedding_size"), 0, "surplus tensor 'embedding.weight'"),
        (("model", "embedding_size"), None, "embedding.weight has shape"),
        (("model", "gates"), "tanh", "gates must be one of"),
        (("model", "gates"), ["sigmoid"], "gates must be one of"),
        (("format_version",), True, "format version True"),
        (("format_version",), 1, "of version 1"),
    ],
    ids=lambda value: str(value)[:30].encode("ascii", "replace").decode(),
)
def test_a_hostile_document_is_refused(good, place, value, why):
    path, document, tensors = good
    inner = document
    for key in place[:-1]:
        inner = inner[key]
    inner[place[-1]] = value
    for read in (read_metadata, load_model):
        with pytest.raises(CheckpointError, match=why) as refusal:
            read(written(path, document, tensors))
        assert "\n" not in str(refusal.value) and len(str(refusal.value)) < 300


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (("highway", 2, 4, None), "carries its input up"),
        (("grid", 2, 4, "all"), "share weights"),
        (("grid", 2, 4, "depth"), "share weights"),
    ],
)
def test_widths_that_cannot_be(arguments, why):
    with pytest.raises(ConfigError, match=why):
        ModelConfig(*arguments, embedding_size=3)


@pytest.mark.parametrize(
    "config",
    [
        ModelConfig("grid", 2, 4, "none", embedding_size=3),
        ModelConfig("grid", 1, 4, "all", embedding_size=0, vocabulary_size=9),
        ModelConfig("grid", 2, 4, "none", depth="tanh", embedding_size=6),
        *(
            ModelConfig(name, 2, 4, embedding_size=size)
            for name in ("depth-gated", "gated-feedback", "grid-1d", "min-gru", "min-lstm", "slstm")
            for size in (3, 0)
        ),
    ],
    ids=lambda config: f"{config.architecture}-{config.embedding_size}",
)
def test_every_architecture_reads_inputs_of_any_width(config):
    """What layers do in a trace is what the trained forward pass gives."""
    torch.manual_seed(0)
    signs = tuple(map(chr, range(65, 65 + config.vocabulary_size)))
    model = LanguageModel(config, Vocabulary(signs))
    model.initialise(0.8, 1.0)
    tokens = np.random.default_rng(0).integers(0, config.vocabulary_size, 50)
    text = model.vocabulary.decode(tokens)
    with torch.no_grad():
        logits, _ = model(torch.from_numpy(tokens)[:, None], model.start(1))
    expected = logits[:, 0].softmax(-1)
    np.testing.assert_allclose(trace(model, text).next_token, expected, atol=6e-4)
