"""The page of curves: every run in one picture, held against a baseline, and other people's."""

import base64
import json
import math
import os
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from app_pages import plain, said
from streamlit.testing.v1 import AppTest

from dashboard import words
from dashboard.charts.theme import CATEGORICAL
from dashboard.screens import foreign_runs
from dashboard.screens.curves.baseline import BEST_STACKED
from dashboard.screens.curves.runs import CurveRun, Group, without_seed
from dashboard.screens.curves.styles import styles
from gridlstm.checkpoint import Data, Metadata, write_checkpoint
from gridlstm.config import ModelConfig
from gridlstm.curves import COLUMNS

ROOT = Path(__file__).parents[1]
LN2 = math.log(2)
GRID, STACKED = "Grid LSTM, 3 layers, 2 units", "Stacked LSTM, 3 layers, 2 units"
# The tables in their order on the page.
GROUPS, REACHED, RUNS = range(3)


def curve(losses: list[float], step: int = 100) -> pd.DataFrame:
    """A frame as `read_curve` returns it."""
    updates = np.arange(1, len(losses) + 1) * step
    return pd.DataFrame(
        {
            "update": updates,
            "epoch": updates / 1000,
            "bytes": updates * 4096,
            "train_loss": np.array(losses) + 0.5,
            "val_loss": np.array(losses, dtype=float),
            "learning_rate": 0.002,
            "seconds": updates * 0.5,
        }
    )


def add_run(
    folder: Path,
    name: str,
    losses: list[float],
    sha256: str = "a" * 64,
    seed: int = 1,
    begun_from: str | None = None,
    **columns: list[float],
) -> None:
    """A tiny checkpoint with a curve; the weights play no part here."""
    architecture, layers = name.split("-")[:2]
    grid = architecture == "grid"
    config = ModelConfig(architecture, int(layers), 2, "all" if grid else None)
    tensors = {key: np.zeros(shape, np.float16) for key, shape in config.tensor_shapes().items()}
    data = Data(f"text-{sha256[0]}.txt", sha256, 1000, 0.95, math.log(32))
    training = {"seed": seed, "learning_rate": 0.002, "begun_from": begun_from}
    about = Metadata(config, data, training=training)
    write_checkpoint(folder / f"{name}.safetensors", tensors, about)
    curve(losses).assign(**columns).to_csv(folder / f"{name}.csv", index=False)


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    """A folder of checkpoints of the test's own, which the page reads."""
    from dashboard.serving import loading

    monkeypatch.setattr(loading, "FOLDER", tmp_path)
    published = ROOT / "checkpoints" / "published_curves.csv"
    (tmp_path / published.name).write_bytes(published.read_bytes())
    return tmp_path


def open_page(**query: str) -> AppTest:
    page = AppTest.from_file(
        str(ROOT / "dashboard" / "screens" / "curves" / "view.py"), default_timeout=30
    )
    for key, value in query.items():
        page.query_params[key] = value
    return ran(page)


def ran(page: AppTest) -> AppTest:
    page.run()
    assert not page.exception, page.exception[0].message
    return page


def table(page: AppTest, number: int) -> pd.DataFrame:
    return page.dataframe[number].value.set_index("Model")


def drawn(page: AppTest) -> dict[str, dict]:
    """The lines of the first picture by name."""
    return {line["name"]: line for line in picture(page)["data"]}


def numbers(packed: dict) -> list[float]:
    """What plotly sends to the browser as bytes."""
    return np.frombuffer(base64.b64decode(packed["bdata"]), packed["dtype"]).tolist()


def picture(page: AppTest, number: int = 0) -> dict:
    return json.loads(page.get("plotly_chart")[number].proto.spec)


# -- The baseline ----------------------------------------------------------------------------------


def test_the_page_compares_all_models_with_the_best_stacked_one(folder):
    add_run(folder, "stacked-3", [2.5, 2.0])
    add_run(folder, "grid-3", [2.4, 1.9])
    page = open_page()
    groups, runs = table(page, GROUPS), table(page, RUNS)
    assert groups["Against the baseline"].to_dict() == pytest.approx({GRID: -5, STACKED: 0})
    assert groups["Best, bits"][GRID] == pytest.approx(1.9 / math.log(2))
    assert groups["Is it more than noise?"][GRID] == "noise unknown: one seed each"
    assert groups["Is it more than noise?"][STACKED] == "baseline"
    assert runs["Best against the baseline's"].to_dict() == pytest.approx({GRID: -5, STACKED: 0})
    assert set(runs["Measured on"]) == {"text-a.txt"}
    assert (runs["Architecture"][GRID], runs["Layers"][GRID], runs["Units"][GRID]) == (
        *("Grid LSTM", 3, 2),
    )
    config = ModelConfig("grid", 3, 2, "all")
    assert runs["Parameters"][GRID] == groups["Parameters"][GRID] == config.parameters
    spent = 200 * 4096 * config.operations_per_token * 6
    assert runs["10¹² operations"][GRID] == pytest.approx(spent / 1e12)
    assert set(drawn(page)) == {GRID, STACKED}


def test_who_reaches_the_best_stacked_loss_and_when(folder):
    add_run(folder, "stacked-3", [2.5, 2.0, 2.1])
    add_run(folder, "grid-3", [2.4, 1.9, 1.8])
    add_run(folder, "grid-6", [2.4, 2.3])
    page = open_page()
    reached = table(page, REACHED)
    assert list(reached["There"]) == ["reached", "reached", "not reached"]
    assert reached["At update"][GRID] == 200
    assert reached["Million bytes"][GRID] == pytest.approx(200 * 4096 / 1e6)
    assert pd.isna(reached["At update"]["Grid LSTM, 6 layers, 2 units"])
    labels = [note["text"] for note in picture(page)["layout"]["annotations"]]
    assert f"Baseline's best: {2 / math.log(2):.3f} bits" in labels


def test_another_baseline_can_be_chosen(folder):
    add_run(folder, "stacked-3", [2.5, 2.0])
    add_run(folder, "grid-3", [2.4, 1.6])
    page = open_page(baseline=GRID)
    assert table(page, GROUPS)["Against the baseline"][STACKED] == pytest.approx(25)
    assert table(page, REACHED)["There"][STACKED] == "not reached"
    page.selectbox(key="baseline").set_value(BEST_STACKED)
    assert table(ran(page), GROUPS)["Against the baseline"][GRID] == pytest.approx(-20)


def test_the_longer_run_counts_only_so_far_unless_asked_otherwise(folder):
    add_run(folder, "stacked-3", [2.5, 2.0, 1.0])
    add_run(folder, "grid-3", [2.4, 1.9])
    page = open_page()
    assert table(page, GROUPS)["Against the baseline"][GRID] == pytest.approx(-5)
    page.segmented_control(key="compared").set_value("at their best")
    assert table(ran(page), GROUPS)["Against the baseline"][GRID] == pytest.approx(90)


# -- Seeds -----------------------------------------------------------------------------------------


def test_runs_that_differ_in_their_seed_are_one_line_and_one_row(folder):
    for seed, last in ((1, 1.90), (2, 1.92), (3, 1.88)):
        add_run(folder, f"grid-3-seed-{seed}", [2.4, last], seed=seed)
    add_run(folder, "stacked-3", [2.5, 2.0])
    page = open_page(loss_in="nats")
    label = f"{GRID}, 3 seeds"
    groups = table(page, GROUPS)
    assert groups["Seeds"].to_dict() == {label: 3, STACKED: 1}
    assert groups["Best, nats"][label] == pytest.approx(1.9)
    assert groups["±"][label] == pytest.approx(0.02)
    # 4.303 * 0.02 * sqrt(1 + 1/3) is 0.0994: just less than the difference of 0.1.
    assert groups["Is it more than noise?"][label] == "beyond noise"
    assert sorted(table(page, RUNS)["Seed"]) == [1, 1, 2, 3]
    lines = drawn(page)
    assert set(lines) == {label, f"{label}, lowest to highest", STACKED}
    page.toggle(key="mean").set_value(False)
    assert len(drawn(ran(page))) == 4


def test_runs_begun_from_seeds_of_one_model_are_seeds_of_one_too(folder):
    begun_from = {1: "grid-3.safetensors", 2: "grid-3-seed-2.safetensors", 3: "other.safetensors"}
    for seed, name in begun_from.items():
        add_run(folder, f"grid-3-cooled-{seed}", [2.4, 1.9], seed=seed, begun_from=name)
    assert sorted(table(open_page(), GROUPS)["Seeds"]) == [1, 2]


def test_runs_that_differ_in_more_than_their_seed_stand_apart(folder):
    add_run(folder, "grid-3-a", [2.4], seed=1)
    add_run(folder, "grid-3-b", [2.4], seed=2, sha256="b" * 64)
    add_run(folder, "grid-6-c", [2.4], seed=3)
    page = open_page(measured_on="All data")
    # A table for each of the two texts.
    assert [len(table(page, number)) for number in (GROUPS, GROUPS + 1)] == [2, 1]


# -- Other data ------------------------------------------------------------------------------------


def test_models_measured_on_other_data_are_not_compared_nor_drawn_unasked(folder):
    add_run(folder, "stacked-3", [2.5, 2.0])
    add_run(folder, "stacked-6", [2.5, 2.1])
    add_run(folder, "grid-3", [2.4, 1.9], sha256="b" * 64)
    page = open_page()
    assert GRID not in drawn(page)
    assert any("not shown: 1" in caption.value for caption in page.caption)
    page.selectbox(key="measured_on").set_value("All data")
    other = table(ran(page), GROUPS + 1)
    assert math.isnan(other["Against the baseline"][GRID])
    assert other["Is it more than noise?"][GRID].startswith("not compared")
    assert any("not all measured on the same text" in note.value for note in page.info)
    page.selectbox(key="measured_on").set_value("text-b.txt")
    assert set(drawn(ran(page))) == {GRID}


def test_right_answers_are_shown_where_runs_have_them(folder):
    add_run(folder, "grid-3", [2.4, 1.9], accuracy=[0.1, 0.6])
    add_run(folder, "stacked-3", [2.5, 2.0])
    page = open_page()
    page.segmented_control(key="shown").set_value("accuracy")
    line = drawn(ran(page))[GRID]
    assert list(drawn(page)) == [GRID]
    assert "higher is better" in picture(page)["layout"]["yaxis"]["title"]["text"]
    assert line["showlegend"]
    (folder / "grid-3.csv").unlink()
    assert not [c for c in open_page().segmented_control if c.key == "shown"]


# -- The picture -----------------------------------------------------------------------------------


def test_a_link_opens_the_same_view(folder):
    add_run(folder, "stacked-3", [2.5, 2.0])
    add_run(folder, "grid-3", [2.4, 1.9])
    page = open_page(runs=GRID, against="Bytes read", loss_in="nats", training="true", log_x="true")
    assert set(drawn(page)) == {GRID, f"{GRID}, training"}
    assert list(page.dataframe[RUNS].value["Model"]) == [GRID]
    layout = picture(page)["layout"]
    assert layout["xaxis"]["title"]["text"] == "Bytes read in training"
    assert layout["xaxis"]["type"] == "log"
    # The best stacked model counts although it is hidden.
    assert table(page, GROUPS)["Against the baseline"][GRID] == pytest.approx(-5)


def test_colours_are_by_what_is_chosen_and_stay_when_others_are_hidden(folder):
    for name in ("grid-3", "grid-6", "stacked-3", "stacked-6", "gru-3"):
        add_run(folder, name, [2.0])
    for colour_by, count in (("Architecture", 3), ("Layers", 2), ("Units", 1), ("Each its own", 5)):
        styles = {n: line["line"] for n, line in drawn(open_page(colour_by=colour_by)).items()}
        assert len({style["color"] for style in styles.values()}) == count
        assert len({(style["color"], style["dash"]) for style in styles.values()}) == 5
    page = open_page()
    together = drawn(page)[STACKED]["line"]
    page.pills(key="architectures").set_value(["Stacked LSTM"])
    lines = drawn(ran(page))
    assert len(lines) == 2 and lines[STACKED]["line"] == together


def test_fifteen_runs_have_fifteen_styles(folder):
    for layers in range(1, 9):
        add_run(folder, f"grid-{layers}", [2.0])
        add_run(folder, f"gru-{layers}", [2.0])
    for colour_by in ("Each its own", "Layers"):
        lines = drawn(open_page(colour_by=colour_by)).values()
        assert len({(line["line"]["color"], line["line"]["dash"]) for line in lines}) == 16


def test_more_kinds_than_colours_still_have_styles_of_their_own():
    frame = curve([2.0])
    kinds = [Group(f"{n}", (run_of(n, frame),)) for n in range(1, 12)]
    found = styles(kinds, "layers").values()
    assert len({(style.colour, style.pattern) for style in found}) == 11
    assert len({style.colour for style in found}) == len(CATEGORICAL)


def run_of(layers: int, frame: pd.DataFrame) -> CurveRun:
    config = ModelConfig("gru", layers, 2)
    return CurveRun(f"{layers}", "", frame, config, 1, "data", "data", 3.0, layers)


def test_best_losses_are_shown_against_their_cost(folder):
    add_run(folder, "grid-3", [2.4, 1.9, 2.0])
    add_run(folder, "stacked-3", [2.5, 2.0, 1.8])
    config = ModelConfig("grid", 3, 2, "all")
    page = open_page(loss_in="nats")

    def places() -> dict:
        points = picture(page, 1)["data"]
        return {p["name"]: (p["x"][0], p["y"][0]) for p in points}

    grid, stacked = (f"{name} LSTM, 3 layers, 2 units" for name in ("Grid", "Stacked"))
    assert places()[grid] == pytest.approx((config.parameters, 1.9))
    page.segmented_control(key="cost").set_value("operations")
    ran(page)
    assert places()[grid][0] == 200 * 4096 * config.operations_per_token * 6
    assert places()[stacked][1] == pytest.approx(1.8)


def test_published_curves_come_with_a_warning(folder):
    add_run(folder, "grid-3", [2.4, 1.9])
    page = open_page()
    assert not page.warning
    page.toggle(key="published").set_value(True).run()
    assert "other data" in page.warning[0].value
    assert sum(line["line"]["dash"] == "dot" for line in drawn(page).values()) == 4


def test_a_run_in_training_appears_and_moves(folder):
    add_run(folder, "stacked-3", [2.5, 2.0])
    page = open_page()
    curve([2.6]).to_csv(folder / "grid-3.csv", index=False)
    page.run()
    assert len(page.dataframe[RUNS].value) == 2
    curve([2.6, 2.3, 2.1]).to_csv(folder / "grid-3.csv", index=False)
    page.run()
    assert table(page, RUNS)["At update"]["grid-3 (no weights yet)"] == 300
    assert table(page, RUNS)["Measured on"]["grid-3 (no weights yet)"] == "not known"


def test_a_broken_curve_is_named_beside_good_ones(folder):
    add_run(folder, "grid-3", [2.4, 1.9])
    (folder / "bad.csv").write_text(",".join(COLUMNS) + "\n1,1,1,1,good,1,1\n")
    page = open_page()
    told = page.warning[0].value
    assert words.verbatim("bad.csv") in told and words.verbatim("val_loss") in told
    assert len(page.dataframe[RUNS].value) == 1


def test_broken_published_curves_leave_the_page_standing(folder):
    add_run(folder, "grid-3", [2.4, 1.9])
    (folder / "published_curves.csv").write_bytes(b"\x00\x01")
    page = open_page(published="true")
    assert any("published_curves.csv" in note for note in said(page))
    assert len(drawn(page)) == 1


def test_an_empty_folder_gets_a_friendly_sentence(folder):
    page = open_page()
    assert "no curves yet" in page.info[0].value
    assert not page.get("plotly_chart")


def test_a_log_axis_says_which_points_it_cannot_show(folder):
    add_run(folder, "grid-3", [2.4, 1.9])
    frame = curve([2.4, 1.9])
    frame["update"] -= 100
    frame.to_csv(folder / "grid-3.csv", index=False)
    assert any("points not shown: 1" in note.value for note in open_page(log_x="true").info)
    assert not open_page().info


# -- Other people's runs ---------------------------------------------------------------------------

LOG = b"step,val_loss\n100,2.0\n200,1.5\n"
EXPORT = b'"Step","lstm seed 1 - val_loss","lstm seed 2 - val_loss"\n1,2.0,2.2\n2,1.0,\n3,,1.2\n'


def bring(page: AppTest, *files: tuple[str, bytes]) -> AppTest:
    (uploader,) = page.file_uploader
    uploader.set_value([(name, data, "application/octet-stream") for name, data in files])
    return ran(page)


def test_imported_runs_are_marked_drawn_and_not_compared(folder):
    add_run(folder, "stacked-3", [2.5, 2.0])
    page = bring(open_page(), ("their.csv", LOG))
    line = drawn(page)["their (imported)"]
    assert numbers(line["x"]) == [100, 200]
    assert numbers(line["y"]) == pytest.approx([2 / math.log(2), 1.5 / math.log(2)])
    groups = table(page, GROUPS)
    assert math.isnan(groups["Against the baseline"]["their (imported)"])
    assert groups["Is it more than noise?"]["their (imported)"].startswith("not compared")
    assert table(page, REACHED)["There"]["their (imported)"] == "not compared"
    assert any(
        "not known what the **imported or watched** runs" in note.value for note in page.info
    )
    other = open_page()
    assert "their (imported)" not in drawn(other)


def test_imported_seeds_are_a_group_and_compared_within_their_file(folder):
    page = bring(open_page(), ("wandb.csv", EXPORT + b"4,,\n"), ("their.csv", LOG))
    label = "lstm (imported), 2 seeds"
    page.segmented_control(key="compared").set_value("at their best")
    page.selectbox(key="baseline").set_value(label)
    groups = table(ran(page), GROUPS)
    assert groups["Seeds"][label] == 2 and groups["Is it more than noise?"][label] == "baseline"
    assert groups["Is it more than noise?"]["their (imported)"].startswith("not compared")


def test_columns_that_no_name_tells_are_chosen(folder):
    page = bring(open_page(), ("odd.csv", b"n,quality\n1,2.0\n2,1.0\n"))
    assert "'n', 'quality'" in said(page)[0]
    assert not page.get("plotly_chart")
    (key,) = page.session_state["imported_runs"]
    page.selectbox(key=f"update {key}").set_value("n")
    page.selectbox(key=f"loss {key}").set_value("quality")
    assert not ran(page).error
    page.segmented_control(key=f"unit {key}").set_value("bits")
    ran(page)
    assert numbers(drawn(page)["odd (imported)"]["y"]) == pytest.approx([2.0, 1.0])
    page.button(key=f"take away {key}").click()
    assert not ran(page).get("plotly_chart")


def test_a_bad_file_is_one_sentence_and_the_rest_is_kept(folder):
    page = bring(open_page(), ("![p](http://e.org/p.png).csv", b"\0\1"), ("their.csv", LOG))
    (error,) = page.error
    assert "![p]" not in error.value and "binary" in error.value
    assert list(drawn(page)) == ["their (imported)"]
    assert not bring(page, ("more.csv", LOG)).error
    assert set(drawn(page)) == {"their (imported)", "more (imported)"}


def test_names_of_imported_runs_become_no_markup(folder):
    name = "<img src=x onerror=alert(1)>"
    page = bring(open_page(), ("a.csv", f'model,step,val_loss\n"{name}",1,2\n'.encode()))
    assert "<img" not in page.get("plotly_chart")[0].proto.spec.replace("\\u003c", "<")
    assert page.dataframe[RUNS].value["Model"][0] == f"{name} (imported)"


def test_no_more_files_than_a_visit_may_hold(folder, monkeypatch):
    monkeypatch.setattr(foreign_runs, "MAX_IMPORTED", 1)
    page = bring(open_page(), ("a.csv", LOG), ("b.csv", LOG))
    assert "No more than 1 files" in page.error[0].value
    assert list(drawn(page)) == ["a (imported)"]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("lstm seed 3", ("lstm", 3)),
        ("lstm-seed-12-big", ("lstm-big", 12)),
        ("lstm_seed=4", ("lstm", 4)),
        ("grid seed7", ("grid", 7)),
        ("seed 5", ("seed 5", 5)),
        ("linseed 5", ("linseed 5", None)),
        ("lstm", ("lstm", None)),
    ],
)
def test_seeds_in_names(name, expected):
    assert without_seed(name) == expected


def lines(page: AppTest) -> list[str]:
    """The line of each log, brought or watched, as it reads."""
    return [plain(box.label) for box in page.expander]


def test_the_line_of_a_file_says_what_was_taken_for_what(folder):
    log = b"epoch,train_bpc,val_bpc\n1,2.10,1.90\n2,1.70,1.60\n2,1.70,1.50\n"
    page = bring(open_page(against="Epochs"), ("their.csv", log))
    assert lines(page) == [
        "**their.csv**: table, 1 run, validation loss from 'val_bpc', in bits, 2 points; "
        "1 repeated epoch: the later were kept"
    ]
    assert numbers(drawn(page)["their (imported)"]["y"]) == pytest.approx([1.9, 1.5])


@pytest.mark.parametrize(
    "header", [b"Step,val_loss,run - val_loss", b"Step,run - Step,run - val_loss"]
)
def test_columns_of_one_name_end_the_page_for_nobody(folder, watched, header):
    data = header + b"\n1,2.0,2.5\n2,1.0,1.5\n"
    (watched / "theirs.csv").write_bytes(data)
    page = bring(open_page(), ("mine.csv", data))
    assert len(drawn(page)) == 2
    assert [button.label for button in page.button] == ["Take away"]


def test_whatever_a_file_raises_is_its_sentence_and_it_can_be_taken_away(folder, monkeypatch):
    from gridlstm.curves.importing import runs

    page = bring(open_page(), ("their.csv", LOG))

    def fail(found, columns):
        raise ZeroDivisionError

    monkeypatch.setattr(runs, "import_runs", fail)
    page = bring(page, ("more.csv", LOG))
    assert any("No curve can be made of the file (ZeroDivisionError)" in line
               for line in lines(page))  # fmt: skip
    assert list(drawn(page)) == ["their (imported)"]
    assert [button.label for button in page.button] == ["Take away", "Take away"]
    page.button[1].click()
    assert len(lines(ran(page))) == 1


def test_a_file_brought_again_is_read_again(folder):
    page = bring(open_page(), ("odd.csv", b"step,val_loss,other\n1,2,4\n2,1,3\n"))
    (key,) = page.session_state["imported_runs"]
    choose(page, key, loss="other")
    assert numbers(drawn(page)["odd (imported)"]["y"]) == pytest.approx([4 / LN2, 3 / LN2])
    page = bring(page, ("odd.csv", b"step,val_loss,other\n1,2,4\n2,1,3\n"))
    assert numbers(drawn(page)["odd (imported)"]["y"]) == pytest.approx([2 / LN2, 1 / LN2])
    assert len(lines(page)) == 1


def choose(page: AppTest, key: str, **chosen: str) -> AppTest:
    """Open a log's line and choose there."""
    page.session_state["opened_logs"][key] = True
    ran(page)
    for label, value in chosen.items():
        page.selectbox(key=f"{label} {key}").set_value(value)
    return ran(page)


def test_of_another_metric_the_unit_is_guessed_anew(folder):
    data = b"step,train_loss,train_bpc,val_loss,val_bpc\n1,1,1.5,2,2.5\n"
    page = bring(open_page(loss_in="bits", training="true"), ("a.csv", data))
    (key,) = page.session_state["imported_runs"]
    choose(page, key, loss="val_bpc")
    found = {name: numbers(line["y"])[0] for name, line in drawn(page).items()}
    assert found == pytest.approx({"a (imported)": 2.5, "a (imported), training": 1.5})
    page.segmented_control(key=f"unit {key}").set_value("nats")
    assert numbers(drawn(ran(page))["a (imported)"]["y"]) == pytest.approx([2.5 / LN2])


def test_files_of_one_name_are_told_apart_and_runs_can_be_named(folder):
    page = bring(open_page(), ("metrics.csv", LOG), ("metrics.csv", LOG.replace(b"1.5", b"1.7")))
    assert set(drawn(page)) == {"metrics (imported)", "metrics (2) (imported)"}
    key, _ = page.session_state["imported_runs"]
    page.session_state["opened_logs"][key] = True
    ran(page).text_input(key=f"name {key} metrics").set_value("![big](x)")
    assert set(drawn(ran(page))) == {"![big](x) (imported)", "metrics (2) (imported)"}


def test_downloads_of_training_and_validation_are_one_run(folder):
    download = b"Wall time,Step,Value\n1698314503.53,100,%s\n1698314563.61,200,%s\n"
    page = bring(
        open_page(loss_in="nats", training="true", against="Wall time"),
        ("run-lstm_val-tag-loss.csv", download % (b"2.5", b"2.1")),
    )
    page = bring(page, ("run-lstm_train-tag-loss.csv", download % (b"2.6", b"2.2")))
    found = {name: numbers(line["y"]) for name, line in drawn(page).items()}
    assert found == {"lstm (imported)": [2.5, 2.1], "lstm (imported), training": [2.6, 2.2]}
    assert numbers(drawn(page)["lstm (imported)"]["x"]) == pytest.approx([0, 1.0013], abs=1e-3)


def test_a_run_of_epochs_alone_is_drawn_against_epochs_and_elsewhere_said(folder):
    add_run(folder, "grid-3", [2.4, 1.9])
    data = b"epoch,loss,val_loss\n0,3,2.5\n1,2,1.5\n"
    page = bring(open_page(loss_in="nats"), ("keras.csv", data), ("their.csv", LOG))
    assert set(drawn(page)) == {GRID, "their (imported)"}
    said_of_it = "Not drawn against updates of the weights: keras (imported). Its log counts epochs"
    assert any(plain(note.value).startswith(said_of_it) for note in page.info)
    assert pd.isna(table(page, RUNS)["At update"]["keras (imported)"])
    assert table(page, RUNS)["Best, nats"]["keras (imported)"] == 1.5
    page.segmented_control(key="against").set_value("epoch")
    line = drawn(ran(page))["keras (imported)"]
    assert (numbers(line["x"]), numbers(line["y"])) == ([1, 2], [2.5, 1.5])
    assert "at update" not in line["hovertemplate"]


def test_what_no_importer_can_know_is_said_where_foreign_runs_are_drawn(folder):
    from dashboard.screens.curves.picture import describe_unknown_formats

    page = bring(open_page(), ("their.csv", LOG))
    (note,) = [note.value for note in page.info if "not known what the" in note.value]
    for words_of_it in ("weight penalties", "first dimension", "NaN as 0.0", "moving average",
                        "docs/formats.md"):  # fmt: skip
        assert words_of_it in note
    assert "**fastai**" in describe_unknown_formats()
    assert any("**fastai**" in text.value for text in page.markdown)


# -- Watched folders -------------------------------------------------------------------------------


@pytest.fixture
def watched(folder, monkeypatch) -> Path:
    there = folder / "watched"
    there.mkdir()
    monkeypatch.setenv(foreign_runs.WATCHED, os.pathsep.join([str(there), str(folder / "gone")]))
    return there


def test_a_watched_folder_is_shown_and_moves(watched):
    (watched / "theirs.csv").write_bytes(LOG)
    (watched / "deep").mkdir()
    curve([2.0, 1.75]).to_csv(watched / "deep" / "ours.csv", index=False)
    page = open_page(loss_in="nats")
    assert said(page)[0] == "GRIDLSTM_RUNS: there is no folder gone."
    assert {name: numbers(line["y"]) for name, line in drawn(page).items()} == {
        "theirs (watched)": [2.0, 1.5],
        "deep/ours (watched)": [2.0, 1.75],
    }
    # Half a line, as while it is written.
    (watched / "theirs.csv").write_bytes(LOG + b"300,1.25\n400,1.")
    assert numbers(drawn(ran(page))["theirs (watched)"]["y"]) == [2.0, 1.5, 1.25]


def test_a_watched_run_with_a_checkpoint_beside_it_is_compared(folder, watched):
    add_run(folder, "stacked-3", [2.5, 2.0])
    add_run(watched, "grid-3", [2.4, 1.9])
    page = open_page()
    assert table(page, GROUPS)["Against the baseline"][GRID] == pytest.approx(-5)


def test_bad_files_in_a_watched_folder_are_named_and_break_nothing(watched):
    (watched / "good.csv").write_bytes(LOG)
    (watched / "bad.csv").write_bytes(b"\0" * 50)
    (watched / "events.out.tfevents.1").write_bytes(b"brain.Event:2")
    (watched / "begun.csv").write_bytes(b"")
    (watched / "lost.csv").symlink_to("nowhere")
    (watched / "a.csv").mkdir()
    page = open_page()
    names = [plain(box.value).split(":")[0] for box in page.warning]
    assert names == ["bad.csv", "events.out.tfevents.1", "lost.csv", "GRIDLSTM_RUNS"]
    assert list(drawn(page)) == ["good (watched)"]


def test_without_the_setting_no_folder_is_read(folder, monkeypatch):
    monkeypatch.delenv(foreign_runs.WATCHED, raising=False)
    assert foreign_runs.watched() == foreign_runs.Watched([], [], [])


def test_the_seeds_of_one_model_side_by_side_in_a_watched_folder_are_one_line(watched):
    for seed, last in ((1, b"1.5"), (2, b"1.7")):
        (watched / f"net seed {seed}.csv").write_bytes(LOG.replace(b"1.5", last))
    (watched / "other").mkdir()
    (watched / "other" / "net seed 3.csv").write_bytes(LOG)
    page = open_page(loss_in="nats")
    lines = {name: numbers(line["y"]) for name, line in drawn(page).items() if "lowest" not in name}
    assert lines == {
        "net (watched), 2 seeds": pytest.approx([2.0, 1.6]),
        "other/net seed 3 (watched)": [2.0, 1.5],
    }


def test_a_watched_logs_columns_can_be_corrected(watched):
    (watched / "theirs.csv").write_bytes(b"step,val_loss,val_other_loss\n1,2,4\n2,1,3\n")
    page = open_page(loss_in="nats")
    (key,) = page.session_state["opened_logs"]
    choose(page, key, loss="val_other_loss")
    assert numbers(drawn(page)["theirs (watched)"]["y"]) == [4, 3]
    page.segmented_control(key=f"unit {key}").set_value("bits")
    assert numbers(drawn(ran(page))["theirs (watched)"]["y"]) == pytest.approx([4 * LN2, 3 * LN2])
    # It is this visitor's choice alone.
    assert numbers(drawn(open_page(loss_in="nats"))["theirs (watched)"]["y"]) == [2, 1]


FOREIGN_LOGS = Path(__file__).parent / "data" / "foreign_logs"


def test_runs_of_event_files_are_called_by_their_folders(watched):
    for name in ("two-experiments", "add-scalars", "add-hparams", "lightning-tb-resumed"):
        shutil.copytree(FOREIGN_LOGS / name, watched / "deep" / "er" / name)
    page = open_page()
    assert set(drawn(page)) == {
        f"deep/er/{name} (watched)"
        for name in ("two-experiments/a/version_0", "two-experiments/b/version_0", "add-scalars",
                     "add-hparams", "lightning-tb-resumed")
    }  # fmt: skip
    assert [plain(box.value) for box in page.warning] == ["GRIDLSTM_RUNS: there is no folder gone."]


def test_files_without_a_curve_are_listed_and_no_warning(watched):
    (watched / "app.log").write_text("started\n")
    shutil.copytree(FOREIGN_LOGS / "add-hparams" / "end", watched / "end")
    (watched / "GOOD.CSV").write_bytes(LOG)
    for state, losses in ((10, 1), (20, 2)):
        (watched / f"checkpoint-{state}").mkdir()
        history = [{"step": 10 * n, "eval_loss": 3 - n} for n in range(1, losses + 1)]
        (watched / f"checkpoint-{state}" / "trainer_state.json").write_text(
            json.dumps({"log_history": history})
        )
    page = open_page(loss_in="nats")
    assert {name: numbers(line["y"]) for name, line in drawn(page).items()} == {
        "GOOD (watched)": [2.0, 1.5],
        "checkpoint-20/trainer_state (watched)": [2, 1],
    }
    assert len(page.warning) == 1
    told = [plain(caption.value) for caption in page.caption]
    assert "Earlier states of trainings of which a later one is read: 1." in told
    assert any(text.startswith("app.log: ") for text in told)
    assert any(text.startswith("end: Figures written with a model's") for text in told)


# -- The answer in a sentence ----------------------------------------------------------------------


def answers(page: AppTest) -> list[str]:
    return [plain(text.value) for text in page.markdown if "has the lowest loss" in text.value]


def test_the_answer_with_one_seed_each(folder):
    add_run(folder, "stacked-3", [2.5, 2.0])
    add_run(folder, "grid-3", [2.4, 1.9])
    assert answers(open_page(loss_in="nats")) == [
        f"**{GRID}** has the lowest loss, **1.900 nats per byte**, **5.0 % below** the baseline, "
        f"{STACKED}. With one seed each, nobody can tell how much of that is luck."
    ]


@pytest.mark.parametrize(
    ("losses", "words"),
    [
        # Half a 95 % interval of (2 + 2) runs that lie 0.02 apart in each group:
        # t(0.975, 2) · 0.01414 · 1 = 0.0609 nats, 3.0 % of 2.01.
        ((1.89, 1.91), "That is **more than** the noise of the seeds, ±3.0 %."),
        ((1.98, 2.00), "That is **within** the noise of the seeds, ±3.0 %: it may be luck."),
    ],
)
def test_the_answer_with_several_seeds(folder, losses, words):
    for seed, (ours, theirs) in enumerate(zip(losses, (2.0, 2.02), strict=True), start=1):
        add_run(folder, f"grid-3-{seed}", [2.4, ours], seed=seed)
        add_run(folder, f"stacked-3-{seed}", [2.5, theirs], seed=seed)
    (answer,) = answers(open_page(loss_in="nats"))
    assert answer.startswith(f"**{GRID}, 2 seeds** has the lowest loss, **{np.mean(losses):.3f} ")
    assert answer.endswith(words)


def test_where_the_baseline_is_ahead_the_answer_tells_how_far(folder):
    add_run(folder, "stacked-3", [2.5, 2.0])
    add_run(folder, "grid-3", [2.4, 2.1])
    (answer,) = answers(open_page())
    assert f"the next, {GRID}, is **5.0 % above** it." in answer


def test_the_answer_is_one_for_each_data_set_and_none_for_a_single_model(folder):
    add_run(folder, "stacked-3", [2.5, 2.0])
    assert answers(open_page()) == []
    add_run(folder, "grid-3", [2.4, 1.9])
    for name in ("grid-4", "stacked-4"):
        add_run(folder, name, [2.4, 1.9], sha256="b" * 64)
    found = answers(open_page(measured_on="All data"))
    assert {answer.split(":")[0] for answer in found} == {"On text-a.txt", "On text-b.txt"}
    assert len(found) == 2
    assert len(answers(open_page(measured_on="text-b.txt"))) == 1
