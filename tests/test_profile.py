"""A profile's counts against NumPy on a whole trace, and files that are not what they say."""

import io
import json
import zipfile
from dataclasses import replace

import numpy as np
import pytest
import torch

from gridlstm.analysis.bins import fine_codes
from gridlstm.analysis.profile.file import BROKEN, read_profile, to_bytes, write_profile
from gridlstm.analysis.profile.making import make_profile
from gridlstm.analysis.profile.profile import HIGHEST, NO_CONTEXT, STEPS, WINDOW, ProfileError
from gridlstm.analysis.properties import PROPERTIES
from gridlstm.analysis.ranking import auc
from gridlstm.config import ModelConfig
from gridlstm.long_text import read_long_text
from gridlstm.model import LanguageModel
from gridlstm.stretches import WARM_UP, cut
from gridlstm.trace import trace

# Words made by chance, so that values differ from place to place as those of a real text do.
PARTS = ("http://{}.com/{} ", "[[{} {}]] ", "Über {}, {}.\n", "{} {} 42 ")


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(1)
    made = LanguageModel(ModelConfig("grid", layers=2, units=4, tie="none"))
    made.initialise(0.7, 1.0)
    return made.eval()


@pytest.fixture(scope="module")
def text(tmp_path_factory, model):
    path = tmp_path_factory.mktemp("corpus") / "text.txt"
    random = np.random.default_rng(1)
    words = ["".join(random.choice(list("abcdefghij"), 4)) for _ in range(900)]
    parts = [PARTS[n].format(*random.choice(words, 2)) for n in random.integers(0, 4, 600)]
    path.write_text("".join(parts), encoding="utf-8")
    return read_long_text(path, model.vocabulary)


@pytest.fixture(scope="module")
def profile(model, text):
    return make_profile(model, text, "text.txt")


@pytest.fixture(scope="module")
def stretches(model, text):
    """Of each stretch its positions, and a trace of it as of a text of its own."""
    cuts = cut(len(text.tokens))
    for_each = []
    for stretch in range(cuts.count):
        at = np.arange(cuts.start(stretch), cuts.start(stretch) + cuts.length)
        encoded = bytes(text.tokens[at].astype(np.uint8))
        for_each.append((at, trace(model, encoded, dtype=np.float32).values))
    assert len(for_each) == 2
    return for_each


def counted(text, at):
    return (np.arange(len(at)) >= WARM_UP) & text.ends[at]


def test_histograms_and_shares_are_those_of_a_trace(profile, text, stretches):
    for q, quantity in enumerate(profile.about.quantities):
        values = np.concatenate([v[quantity][:, counted(text, at)] for at, v in stretches], axis=1)
        is_gate = quantity.split(".")[1] in ("input", "forget", "output")
        values = np.tanh(values) if quantity.endswith("cell") else values
        low, high = (0.1, 0.9) if is_gate else (-0.5, 0.5)
        np.testing.assert_allclose(profile.above[q], (values > high).mean(1), atol=2e-3)
        np.testing.assert_allclose(profile.below[q], (values < low).mean(1), atol=2e-3)
        edges = np.linspace(0 if is_gate else -1, 1, 33)
        expected = np.histogram(values[1, :, 2], edges)[0] / values.shape[1]
        np.testing.assert_allclose(profile.histogram[q, 1, 2], expected, atol=2e-3)


def test_properties_are_scored_on_each_half(profile, text, stretches):
    memory = profile.about.memories.index("time.cell")
    for scores, (at, values) in zip((profile.found, profile.held_out), stretches, strict=True):
        where = counted(text, at)
        # A unit that hardly moves, as some here, has few codes: their ties are not the profile's.
        codes = fine_codes(torch.from_numpy(values["time.cell"].copy()), "cell").numpy()
        for number, name in enumerate(profile.about.properties):
            if profile.about.measures[number] == "auc":
                of_text = PROPERTIES[name].measure(text.characters)[profile.character_of]
                marks = of_text[at][where].astype(bool)
                expected = [auc(layer[where], marks) for layer in codes]
                np.testing.assert_allclose(scores[memory, :, :, number], expected, atol=3e-3)
    assert {"url", "wiki-link"} <= set(profile.about.properties)
    assert set(profile.about.measures) == {"auc", "rho"}


def test_contexts_are_the_extremes_and_do_not_overlap(profile, text, stretches):
    allowed = [(at[WARM_UP:-20], values["depth.cell"][:, WARM_UP:-20]) for at, values in stretches]
    at = np.concatenate([of for of, _ in allowed])
    values = np.concatenate([of for _, of in allowed], axis=1)
    memory = profile.about.memories.index("depth.cell")
    for layer in range(2):
        for unit in range(4):
            places = profile.contexts[memory, layer, unit]
            mine = values[layer, :, unit]
            assert mine[at == places[0]] == pytest.approx(mine.max(), abs=1e-6)
            free = (np.abs(at[:, None] - places[:HIGHEST]) >= WINDOW).all(1)
            lowest = pytest.approx(mine[free].min(), abs=1e-6)
            assert mine[at == places[HIGHEST]] == lowest
            found = np.sort(places[places != NO_CONTEXT])
            assert len(found) > 2 * HIGHEST and np.diff(found).min() >= WINDOW
            context = profile.context(memory, layer, unit, 0)
            assert (
                context.text
                == text.characters[profile.character_of[context.position] - context.centre :][
                    : len(context.text)
                ]
            )
            expected = np.tanh(mine.max())
            if text.ends[context.position]:
                assert context.values[context.centre] == pytest.approx(expected, abs=0.6 / STEPS)


def test_what_is_written_is_read_again(profile, model, tmp_path):
    path = tmp_path / "model.profile.npz"
    write_profile(profile, path)
    again = read_profile(path, model.checksum())
    assert again.about == profile.about and again.text == profile.text
    for name in ("contexts", "coloured", "samples", "half_life", "ends"):
        assert np.array_equal(getattr(again, name), getattr(profile, name))
    np.testing.assert_allclose(again.held_out, profile.held_out, atol=1e-3)
    assert [of.name for of in tmp_path.iterdir()] == [path.name]


def rewritten(data: bytes, change) -> bytes:
    """The archive with its entries changed: `change` takes and returns them by name."""
    with zipfile.ZipFile(io.BytesIO(data)) as packed:
        entries = {name: packed.read(name) for name in packed.namelist()}
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as packed:
        for name, content in change(entries).items():
            packed.writestr(name, content)
    return out.getvalue()


def npy(array) -> bytes:
    out = io.BytesIO()
    np.save(out, array)
    return out.getvalue()


def promising(shape) -> bytes:
    """An array whose header promises more than there is."""
    out = io.BytesIO()
    header = {"descr": "<f2", "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(out, header)
    return out.getvalue()


HOSTILE = {
    "nothing in it": lambda e: {},
    "an array missing": lambda e: {k: v for k, v in e.items() if k != "found.npy"},
    "one too many": lambda e: {**e, "more.npy": npy(np.zeros(1))},
    "objects": lambda e: {**e, "about.npy": npy(np.array([{}], object))},
    "a promise": lambda e: {**e, "histogram.npy": promising((10**6, 10**6, 10**3, 32))},
    "a bomb": lambda e: {**e, "samples.npy": bytes(500 * 10**6)},
    "another shape": lambda e: {**e, "chance.npy": npy(np.zeros(3, np.float16))},
    "out of the text": lambda e: {**e, "sampled.npy": npy(np.full(1024, 10**8, np.int32))},
    "no JSON": lambda e: {**e, "about.npy": npy(np.frombuffer(b"[" * 9000, np.uint8))},
}


@pytest.mark.parametrize("fault", HOSTILE)
def test_hostile_files_are_refused_in_one_sentence(profile, fault):
    with pytest.raises(ProfileError) as refused:
        read_profile(rewritten(to_bytes(profile), HOSTILE[fault]))
    assert str(refused.value) == BROKEN


def test_broken_files_and_those_of_other_models_are_refused(profile, tmp_path):
    data = to_bytes(profile)
    for broken in (b"", b"x", data[: len(data) // 2], json.dumps({}).encode()):
        with pytest.raises(ProfileError):
            read_profile(broken)
    with pytest.raises(ProfileError, match="another model"):
        read_profile(data, "0" * 64)
    with pytest.raises(ProfileError, match="no file"):
        read_profile(tmp_path / "none.profile.npz")


def test_texts_too_short_are_refused(model, text):
    with pytest.raises(ProfileError, match="8,000 positions at least"):
        make_profile(model, replace(text, tokens=text.tokens[:7000]), "short")
