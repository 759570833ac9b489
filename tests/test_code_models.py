"""Models of two texts, Wikipedia markup and Linux kernel source, kept apart wherever they are
shown; and what is shipped of the kernel's source."""

import hashlib
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from app_checkpoints import about, curve, random_tensors
from app_pages import (
    captions,
    checked,
    chosen_cell,
    drawn,
    figures,
    go,
    paste,
    plain,
    press,
    traced,
)

from dashboard.screens import choices
from dashboard.screens.curves.selection import ALL_DATA
from gridlstm.analysis.properties import PROPERTIES
from gridlstm.analysis.ranking import rank_units
from gridlstm.checkpoint import Data, load_model, read_metadata, write_checkpoint
from gridlstm.config import ModelConfig
from gridlstm.corpora.enwik8 import ENWIK8
from gridlstm.corpora.known import KNOWN, kind_of, title_of
from gridlstm.corpus import byte_entropy, read_bytes
from gridlstm.curves import read_curve
from gridlstm.evaluation import evaluate
from gridlstm.training.presets import PRESETS

CHECKPOINTS = Path(__file__).parents[1] / "checkpoints"
VALIDATION = CHECKPOINTS / "data" / "linux-kernel-validation.txt.xz"
WIKI, KERNEL = "Wikipedia markup", "Linux kernel source"
SHA256 = {known.title: sha256 for sha256, known in KNOWN.items()}
PAGES = ("cells", "gates", "find", "provenance", "switch_off")


# -- Texts by their checksums ----------------------------------------------------------------------


def data(sha256: str, name: str = "a name.txt") -> Data:
    return Data(name, sha256, 1000, 0.95, 3.2)


def test_a_text_is_known_by_its_checksum_and_never_by_its_name():
    assert title_of(data(SHA256[KERNEL])) == KERNEL
    assert kind_of(data(SHA256[KERNEL])) == "code"
    assert kind_of(data(SHA256[WIKI], "linux-kernel.txt")) == "wiki"
    assert title_of(data("0" * 64, "linux-kernel.txt")) == "linux-kernel.txt"
    assert kind_of(data("0" * 64, "linux-kernel.txt")) is None


def test_the_checksums_are_those_of_the_texts():
    shipped = read_bytes(CHECKPOINTS / "data" / "wiki-markup.txt.xz")
    assert hashlib.sha256(shipped).hexdigest() == SHA256[WIKI]
    assert KNOWN[ENWIK8.sha256].kind == "wiki"


# -- On the pages ----------------------------------------------------------------------------------


@pytest.fixture
def two_texts(tmp_path) -> Path:
    """Three models of Wikipedia, and two like them of the kernel, with lower losses and names that
    say nothing."""
    of_texts = (
        (WIKI, "a", 1.4, ("grid", "stacked", "gru")),
        (KERNEL, "b", 1.1, ("grid", "stacked")),
    )
    for text, letter, loss, architectures in of_texts:
        for number, architecture in enumerate(architectures):
            path, lowest = tmp_path / f"{letter}-{number}.safetensors", loss + 0.1 * number
            config = ModelConfig(architecture, 2, 8, "all" if architecture == "grid" else None)
            metadata = replace(about(config, validation_loss=lowest), data=data(SHA256[text]))
            write_checkpoint(path, random_tensors(config), metadata)
            curve(path.with_suffix(".csv"), lowest)
    return tmp_path


CALLED = [
    "Grid LSTM, 2 layers, 8 units · Wikipedia markup",
    "Stacked LSTM, 2 layers, 8 units · Wikipedia markup",
    "GRU, 2 layers, 8 units · Wikipedia markup",
    "Grid LSTM, 2 layers, 8 units · Linux kernel source",
    "Stacked LSTM, 2 layers, 8 units · Linux kernel source",
]


@pytest.mark.parametrize("page", PAGES)
def test_a_model_is_called_with_its_text_and_no_loss_of_another_ranks_it(visit, two_texts, page):
    app = visit(page, folder=two_texts)
    assert app.selectbox(key="model").options == CALLED
    assert f"**{WIKI}**; **{KERNEL}**" in app.selectbox(key="model").help


def test_two_models_side_by_side_say_that_they_are_of_two_texts(visit, two_texts):
    app = visit("cells", folder=two_texts, model="a-0", beside="a-1")
    assert "different texts" not in captions(app)
    checked(app.selectbox(key="beside").set_value("b-0").run())
    assert f"different texts: **{WIKI}**, **{KERNEL}**" in captions(app)
    assert drawn(app)["title"].startswith(CALLED[0])
    assert drawn(app, "coloured2")["title"].startswith(CALLED[3])


def test_models_of_one_shape_and_text_are_told_apart_by_their_names(visit, two_texts):
    for ending in ("safetensors", "csv"):
        shutil.copy(two_texts / f"a-0.{ending}", two_texts / f"c-0.{ending}")
    app = visit("cells", folder=two_texts, model="a-0", beside="c-0")
    twins = [f"Grid LSTM, 2 layers, 8 units · {name} · {WIKI}" for name in ("a-0", "c-0")]
    assert app.selectbox(key="model").options == [*twins, *CALLED[1:]]
    for key, title in zip(("coloured", "coloured2"), twins, strict=True):
        assert drawn(app, key)["title"].startswith(title)


def test_models_of_one_title_are_two_lines_of_the_picture_by_layer(visit, two_texts):
    app = visit(
        "find", folder=two_texts, model="a-0", sample="kernel-driver.txt", property="c-comment"
    )
    checked(app.multiselect(key="find_beside").set_value(["b-0"]).run())
    lines = figures(app)["by_layer"]["data"]
    assert {line["name"].split(":")[0] for line in lines} == {CALLED[0], CALLED[3]}
    assert "different texts" in captions(app)


def test_each_text_has_a_table_of_its_own_on_the_page_of_models(visit, two_texts):
    app = visit("models", folder=two_texts)
    titles = [f"Trained on {text}" for text in (WIKI, KERNEL)]
    headings = [heading.value for heading in app.header]
    assert [heading for heading in headings if heading.startswith("Trained on")] == titles
    files = [list(table.value["File"]) for table in app.dataframe]
    assert files == [
        [f"a-{n}.safetensors" for n in range(3)],
        ["b-0.safetensors", "b-1.safetensors"],
    ]


def test_each_text_has_its_own_pictures_tables_and_sentence_on_the_page_of_curves(visit, two_texts):
    app = visit("curves", folder=two_texts)
    assert app.selectbox(key="measured_on").options == [WIKI, KERNEL, ALL_DATA]
    assert len(app.dataframe) == 3 and f"the data **{WIKI}**" in captions(app)
    assert app.multiselect(key="runs").options == [title.split(" · ")[0] for title in CALLED[:3]]
    checked(app.selectbox(key="measured_on").set_value(ALL_DATA).run())
    pictures = figures(app)
    assert {"curves", "curves_2", "curves_cost", "curves_cost_2"} <= set(pictures)
    for key in ("curves", "curves_cost"):
        assert len(pictures[key]["data"]) == 3 and len(pictures[f"{key}_2"]["data"]) == 2
    # The three tables, each once for either text.
    assert [len(table.value) for table in app.dataframe] == [3, 2] * 3
    sentences = [plain(text.value) for text in app.markdown if "has the lowest loss" in text.value]
    assert [sentence.split(":")[0] for sentence in sentences] == [f"On {WIKI}", f"On {KERNEL}"]
    assert "Linux" not in sentences[0] and "Wikipedia" not in sentences[1]


# -- A text and a property that suit the model -----------------------------------------------------


@pytest.mark.parametrize(("model", "kind"), [("a-0", "wiki"), ("b-0", "code"), ("none", "wiki")])
def test_a_link_to_a_model_begins_with_a_sample_of_its_kind(visit, two_texts, model, kind):
    app = visit("cells", folder=two_texts, model=model)
    assert choices.samples()[app.session_state["sample"]].kind == kind
    assert "another kind" not in captions(app)


def test_a_sample_that_suits_the_model_is_offered_and_opens_on_the_cell_of_comments(
    visit, two_texts
):
    app = visit("cells", folder=two_texts, model="b-1", sample="wiki-urls.txt", unit="3")
    assert f"trained on **{KERNEL}**, the text is another kind" in captions(app)
    press(app, "Read “Linux kernel: a driver”")
    assert "another kind" not in captions(app)
    assert drawn(app)["characters"].startswith("// SPDX-License-Identifier: GPL-2.0-or-later")
    text = drawn(app)["characters"]
    cells = traced(two_texts / "b-1.safetensors", text).values["time.cell"]
    best = rank_units({"time.cell": cells}, PROPERTIES["c-comment"].measure(text), top=1).iloc[0]
    assert chosen_cell(app) == (best["quantity"], best["layer"], best["unit"])


def test_to_a_text_of_ones_own_nothing_is_offered(visit, two_texts):
    app = go(
        paste(visit(folder=two_texts, model="b-0"), "my [[text]] of http://e.org/ and more"),
        "cells",
    )
    assert "another kind" not in captions(app)


def test_a_property_of_code_comes_first_for_a_model_of_code_until_another_is_chosen(
    visit, two_texts
):
    app = visit("find", folder=two_texts, model="a-0", sample="code.txt")
    assert app.session_state["property"] == "url"
    checked(app.selectbox(key="model").set_value("b-0").run())
    box = app.selectbox(key="property")
    assert box.value == "c-comment" and set(choices.OF_CODE) < set(PROPERTIES)
    assert box.options[:2] == ["Inside a comment (C)", "Inside a string (C)"]
    checked(box.set_value("number").run())
    checked(app.selectbox(key="model").set_value("a-0").run())
    assert app.selectbox(key="property").value == "number"
    go(app, "switch_off")
    assert app.selectbox(key="property").value == "number"


def test_the_kernel_s_sample_lies_where_its_list_says_in_the_validation_part():
    shipped = read_bytes(VALIDATION).tobytes()
    sample = (choices.SAMPLES / "kernel-driver.txt").read_bytes()
    assert shipped[1_508_954 : 1_511_794 + 1] == sample
    text = sample.decode("ascii")
    for name in choices.OF_CODE:
        measured = PROPERTIES[name].measure(text)
        assert 0 < measured.astype(bool).sum() < len(text), name


# -- What is shipped -------------------------------------------------------------------------------

TRAINED = [path.stem for path in sorted(CHECKPOINTS.glob("kernel-*.safetensors"))]
COOLED = [path.stem for path in sorted(CHECKPOINTS.glob("cooled-kernel-*.safetensors"))]


@pytest.fixture(scope="module")
def validation():
    """The validation part of the kernel's text, uint8 [byte]."""
    return read_bytes(VALIDATION)


def test_the_shipped_part_is_the_last_twentieth(validation):
    assert VALIDATION.stat().st_size < 1_300_000
    assert len(validation) == 5_000_000
    stated = "442734ff63c21747b5ccfc8fd476efa644223faa261a3bb5d93ee0731c351830"
    assert hashlib.sha256(validation).hexdigest() == stated
    assert stated in (CHECKPOINTS / "data" / "README.md").read_text()


@pytest.mark.parametrize("name", TRAINED)
def test_a_model_of_the_kernel_differs_from_that_of_wikipedia_in_its_text_alone(name, validation):
    metadata = read_metadata(CHECKPOINTS / f"{name}.safetensors")
    other = read_metadata(CHECKPOINTS / f"{name.removeprefix('kernel-')}.safetensors")
    assert metadata.data.sha256 == SHA256[KERNEL]
    assert metadata.data.bytes * (1 - metadata.data.train_fraction) == pytest.approx(
        len(validation)
    )
    assert metadata.data.byte_entropy == pytest.approx(byte_entropy(validation))
    assert metadata.model == other.model == PRESETS[f"small-{name.removeprefix('kernel-')}"].model
    for setting, value in other.training.items():
        assert setting == "precision" or metadata.training[setting] == value, setting
    assert metadata.validation_bytes == len(validation) - 1
    assert read_curve(CHECKPOINTS / f"{name}.csv")["bytes"].iloc[-1] == 20_000_768


@pytest.mark.parametrize("name", [*TRAINED, *COOLED])
def test_a_model_of_the_kernel_is_that_of_its_curve(name, validation):
    """On an eighth of the bytes of a point of the curve, which scatters by some percent."""
    model, metadata = load_model(CHECKPOINTS / f"{name}.safetensors")
    points = read_curve(CHECKPOINTS / f"{name}.csv")
    stated = points.loc[points["update"] == metadata.updates, "val_loss"].item()
    assert stated == points["val_loss"].min()
    assert evaluate(model, validation, 8192).nats_per_byte == pytest.approx(stated, rel=0.1)
