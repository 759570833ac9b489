"""Long texts read in stretches, and counts of values in bins, against exact computation."""

import numpy as np
import pytest
import torch

from gridlstm.analysis import corpus_search, partial_search
from gridlstm.analysis.bins import (
    BINS,
    FINE,
    Bins,
    Calibration,
    bin_tables,
    counts_of,
    fine_codes,
    fine_values,
)
from gridlstm.analysis.corpus_search import Search
from gridlstm.analysis.histograms import (
    Counts,
    auc_of_counts,
    best_thresholds_of_counts,
    f1_of_counts,
    shifted_scores,
    spearman_of_counts,
    target_of,
)
from gridlstm.analysis.memory_horizon import HorizonError, memory_horizon
from gridlstm.analysis.ranking import auc, spearman
from gridlstm.analysis.thresholds import best_thresholds, f1_scores
from gridlstm.checkpoint.shipped import folder as shipped_folder
from gridlstm.importing.opening import open_model
from gridlstm.stretches import (
    WARM_UP,
    Corpus,
    Piece,
    Stretches,
    StretchesError,
    cut,
    groups_of,
)
from gridlstm.trace import trace

KINDS = {"forget": (0, 1), "candidate": (-1, 1), "cell": (-30, 30)}
PLACE = ("time.cell", 0)


def random_bins(units: int, seed: int = 0) -> tuple[Bins, torch.Tensor]:
    """Bins of units, and values [200, 3, unit] to be counted in them."""
    values = torch.randn(200, 3, units, generator=torch.Generator().manual_seed(seed)) * 2
    codes = fine_codes(values.flatten(0, 1), "cell")
    seen = torch.stack([torch.bincount(of, minlength=FINE) for of in codes.T])
    return Bins({PLACE: bin_tables(seen, "cell")}), values


def target(length: int, is_mark: bool) -> np.ndarray:
    random = np.random.default_rng(3)
    return random.random(length) < 0.2 if is_mark else random.integers(0, 9, length) * 1.0


# -- Bins ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_codes_rise_with_values_and_say_what_these_are(kind):
    low, high = KINDS[kind]
    ends = [low, high, 0.0, 1e-9, 1 - 1e-7, 0.5]
    values = np.sort(np.append(np.linspace(low, high, 4001), ends)).astype(np.float32)
    codes = fine_codes(torch.from_numpy(values), kind).numpy()
    assert codes.min() >= 0 and codes.max() < FINE
    assert (np.diff(codes) >= 0).all()
    lowest = fine_values(kind)
    assert (np.diff(lowest) > 0).all()
    assert (lowest[codes] <= values + 1e-6).all()
    inner = codes < FINE - 1
    assert (values[inner] <= lowest[codes[inner] + 1] + 1e-6).all()


def test_bins_hold_about_as_many_values_each_and_begin_where_they_say():
    bins, values = random_bins(5)
    found = bins.of(PLACE, values)
    counts = counts_of(found).numpy()
    assert counts.shape == (5, BINS) and (counts.sum(1) == 600).all()
    assert counts.max() <= 600 / BINS * 5
    for unit in range(5):
        lowest = bins.lowest_values(PLACE, unit)
        of_unit = values[..., unit].flatten().numpy()
        assert (lowest[found[:, unit].numpy()] <= of_unit + 1e-6).all()


# -- Counts ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("is_mark", [True, False])
@pytest.mark.parametrize("cuts", [(), (1, 7, 8, 150), tuple(range(1, 200))])
def test_cutting_into_pieces_changes_no_sum(is_mark, cuts):
    bins, values = random_bins(4)
    ends = np.random.default_rng(5).random(600) < 0.9
    held = target_of(target(int(ends.sum()), is_mark), ends)
    positions = np.arange(600).reshape(3, 200).T
    sums = []
    for borders in ((0, 200), (0, *cuts, 200)):
        counts = Counts(bins, held, [100, 250], range(600))
        for start, stop in zip(borders, borders[1:], strict=False):
            piece = Piece(positions[start:stop], [0, 1, 2])
            counts.see(piece, 0, {"time.cell": values[start:stop]})
        sums.append(counts.sums)
    for whole, of_pieces in zip(*sums, strict=True):
        torch.testing.assert_close(of_pieces, whole, rtol=1e-5, atol=1e-3)
    for n in range(2):  # whole numbers: to the last count
        assert torch.equal(sums[0][n], sums[1][n])
    assert sums[0][0].sum() == 4 * ends.sum()


def test_scores_are_those_of_the_bins():
    """Against exact computation on the bins themselves as values."""
    bins, values = random_bins(6)
    codes = bins.of(PLACE, values).numpy()
    marks, number = target(600, True), target(600, False)
    positions = np.arange(600).reshape(200, 3)
    counted = {}
    for name, of in (("marks", marks), ("number", number)):
        counted[name] = Counts(bins, target_of(of, np.ones(600, bool)), [130, 222], range(600))
        counted[name].see(Piece(positions, [0, 1, 2]), 0, {"time.cell": values})
    every, inside = (of[PLACE].numpy() for of in (counted["marks"].every, counted["marks"].inside))
    np.testing.assert_allclose(auc_of_counts(every, inside), auc(codes.astype(float), marks))
    weights = counted["number"].weights.numpy()
    rho = spearman_of_counts(every, counted["number"].inside[PLACE].numpy(), weights)
    np.testing.assert_allclose(rho, spearman(codes.astype(float), number), atol=1e-3)
    signs = np.array([1, -1, 1, -1, 1, -1])
    found, f1 = best_thresholds_of_counts(every, inside, signs)
    expected, best = best_thresholds(codes.astype(float), marks, signs)
    np.testing.assert_allclose(f1, best)
    np.testing.assert_allclose(f1_of_counts(every, inside, signs, found),
                               f1_scores(codes.astype(float), marks, signs, expected))  # fmt: skip


def test_scores_of_shifts_are_near_the_exact_ones():
    """Of a slow unit, which every fourth position shows as well as all."""
    slow = np.cumsum(np.random.default_rng(1).normal(size=8000)).astype(np.float32)
    values = torch.from_numpy(slow)[:, None, None]
    codes = fine_codes(values.flatten(0, 1), "cell")
    bins = Bins({PLACE: bin_tables(torch.bincount(codes[:, 0], minlength=FINE)[None], "cell")})
    marks = np.arange(8000) % 1700 < 300
    shifts = [400, 1000, 3100]
    counts = Counts(bins, target_of(marks, np.ones(8000, bool)), shifts, range(8000))
    counts.see(Piece(np.arange(8000)[:, None], [0]), 0, {"time.cell": values})
    moved = np.stack([np.roll(marks, -shift) for shift in shifts], 1)
    exact = auc(slow[:, None], moved)[0]
    np.testing.assert_allclose(shifted_scores(counts, PLACE)[:, 0], exact, atol=0.02)


# -- Reading ---------------------------------------------------------------------------------------


def test_a_stretch_is_read_as_a_text_of_its_own(make_model):
    model = make_model("grid", 2, 4, "depth")
    text = np.random.default_rng(0).integers(32, 127, 4100).astype(np.uint8)
    corpus = Corpus(model, text, Stretches(4100, 5))
    seen = {}

    class Keep:
        def see(self, piece, layer, values):
            for column, stretch in enumerate(piece.stretches):
                for at, row in zip(piece.positions[:, column], values["depth.cell"][:, column],
                                   strict=True):  # fmt: skip
                    seen[layer, stretch, int(at)] = row.clone()

    groups = groups_of(model, range(5))
    corpus.read(groups, 300, [Keep()])
    corpus.read(groups, corpus.stretches.length, [Keep()])
    assert len(seen) == 2 * 4100
    for stretch in (0, 3):
        start = corpus.stretches.start(stretch)
        alone = trace(model, text[start : start + 820].tobytes(), ["depth.cell"], dtype=np.float32)
        for layer in range(2):
            read = torch.stack([seen[layer, stretch, start + n] for n in range(820)])
            np.testing.assert_allclose(read, alone.values["depth.cell"][layer], atol=1e-5)


def test_a_text_that_is_shorter_than_what_is_left_out_is_one_sentence():
    with pytest.raises(StretchesError, match="500"):
        cut(WARM_UP)
    assert cut(9000).count == 2 and cut(10**7).count == 32


def test_scores_of_a_shipped_model_are_within_the_stated_error():
    """About 0.002 from the exact AUC of the same values, for all units of a layer."""
    model = open_model(shipped_folder() / "cooled-stacked-3.safetensors")[0]
    text = np.frombuffer((b"See [http://example.org/a/b?c=1 here] or the [[list of it]]. ") * 800,
                         np.uint8)  # fmt: skip
    noise = np.random.default_rng(2).integers(97, 123, len(text)).astype(np.uint8)
    text = np.where(np.random.default_rng(3).random(len(text)) < 0.2, noise, text)
    marks = np.arange(len(text)) % 61 < 21
    corpus = Corpus(model, text, cut(len(text)))
    kept = []

    class Keep:
        def see(self, piece, layer, values):
            if layer == 2:
                of = {q: v.flatten(0, 1).clone().numpy() for q, v in values.items()}
                kept.append((piece.positions.ravel(), of))

    groups = groups_of(model, range(corpus.stretches.count))
    calibration = Calibration(model.config, ["time.cell", "time.forget", "time.hidden"])
    corpus.read(groups, corpus_search.CALIBRATED_FROM, [])
    corpus.read(groups, WARM_UP, [calibration])
    counts = Counts(calibration.bins(), target_of(marks, np.ones(len(text), bool)))
    corpus.read(groups, corpus.stretches.length, [counts, Keep()])
    positions = np.concatenate([at for at, _ in kept])
    for (quantity, layer), every in counts.every.items():
        if layer == 2:
            values = np.concatenate([of[quantity] for _, of in kept])
            exact = auc(values, marks[positions])
            inside = counts.inside[quantity, layer].numpy()
            off = np.abs(auc_of_counts(every.numpy(), inside) - exact).max()
            assert off <= 0.0022, (quantity, off)


def test_a_search_goes_on_where_it_was_stopped(make_model, tmp_path):
    model = make_model("grid", 2, 4, "depth")
    text = np.random.default_rng(0).integers(32, 127, 12000).astype(np.uint8)
    held = target_of(text < 60, np.ones(12000, bool))

    def search():
        return Search(Corpus(model, text, Stretches(12000, 6)), held, top=4, shifts=3)

    whole = search().run()
    for stops in (3, 7):  # in the first half, and in the second
        first, rounds = search(), []

        def stop(read, rounds=rounds, stops=stops):
            rounds.append(read)
            if len(rounds) == stops:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            first.run(stop)
        assert (first.held is None) == (stops == 3)
        name = partial_search.identity_of(first)
        partial_search.save(first, tmp_path / "sums", name)
        second = search()
        partial_search.resume(second, tmp_path / "sums", name)
        assert second.tokens_left == first.tokens_left < first.tokens
        again = second.run()
        assert again.cells.equals(whole.cells)
        assert (again.baseline.best == whole.baseline.best).all()
    with pytest.raises(partial_search.PartialError, match="another search"):
        partial_search.resume(search(), tmp_path / "sums", "other")
    (tmp_path / "sums").write_bytes(b"no tensors")
    with pytest.raises(partial_search.PartialError, match="no partial sums"):
        partial_search.resume(search(), tmp_path / "sums", name)


def test_blocks_are_eighths_of_stretches():
    positions = np.array([500, 500 + 437, 500 + 438, 3999, 4500])
    found = corpus_search.blocks_of(Stretches(8000, 2), positions)
    assert found.tolist() == [0, 0, 1, 7, 8]


# -- How far back a model remembers ----------------------------------------------------------------


def test_the_memory_horizon_is_the_difference_of_two_readings(make_model):
    model = make_model("stacked", 2, 4)
    tokens = np.random.default_rng(0).integers(0, 256, 90)
    frame = memory_horizon(model, tokens, after=(3, 20), places=2)
    cells = trace(model, tokens.astype(np.uint8).tobytes(), ["time.cell"], dtype=np.float32)
    for count in (3, 20):
        most = np.zeros(2)
        for start in (20, 70):
            part = tokens[start : start + count].astype(np.uint8).tobytes()
            begun = trace(model, part, ["time.cell"], dtype=np.float32).values["time.cell"][:, -1]
            there = cells.values["time.cell"][:, start + count - 1]
            most = np.maximum(most, np.abs(begun - there).max(1))
        np.testing.assert_allclose(frame[f"after_{count}"], most, atol=1e-6)
    with pytest.raises(HorizonError, match="it takes 40"):
        memory_horizon(model, tokens[:39], after=(20,))


@pytest.mark.parametrize("name, least, most", [
    ("cooled-stacked-3", [1e-3, 0, 0], [30, 1, 2e-3]),
    ("matched-gru-6", [0.05, 0.05, 0.05], [2, 2, 2]),
])  # fmt: skip
def test_shipped_models_remember_as_far_as_measured(name, least, most):
    """A few hundred positions bring the stacked LSTM back within 0.002; the GRU, none of 2,048."""
    from lzma import open as open_xz

    model = open_model(shipped_folder() / f"{name}.safetensors")[0]
    with open_xz(shipped_folder() / "data" / "wiki-markup.txt.xz") as file:
        tokens = np.frombuffer(file.read(4600), np.uint8)
    found = memory_horizon(model, tokens, places=2).drop(columns="layer").max().to_numpy()
    assert (found >= least).all() and (found <= most).all(), found
