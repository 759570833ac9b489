import bz2
import gzip
import hashlib
import lzma
import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import entropy

from gridlstm.corpus import (
    CorpusError,
    byte_entropy,
    cut_into_streams,
    evaluation_blocks,
    read_bytes,
    read_corpus,
)

TEXT = "Grüße, 世界! \0\x1b[31m\r\n".encode() * 40 + bytes(range(256))
COMPRESSED = {".xz": lzma.compress, ".gz": gzip.compress, ".bz2": bz2.compress}


def one_sentence(caught) -> str:
    message = str(caught.value)
    assert message.endswith(".") and len(message.splitlines()) == 1
    return message


@pytest.mark.parametrize(("fraction", "cut"), [(0.95, 950), (0.5, 500), (0.3337, 333)])
def test_the_split_is_exact_and_in_order(tmp_path, fraction, cut):
    data = np.random.default_rng(0).integers(0, 256, 1000, dtype=np.uint8).tobytes()
    path = tmp_path / "text"
    path.write_bytes(data)
    corpus = read_corpus(path, fraction)
    assert corpus.train.tobytes() == data[:cut]
    assert corpus.validation.tobytes() == data[cut:]
    assert corpus.name == "text"
    assert corpus.sha256 == hashlib.sha256(data).hexdigest()


@pytest.mark.parametrize("ending", COMPRESSED)
def test_a_compressed_file_is_its_content(tmp_path, ending):
    plain, packed = tmp_path / "plain.txt", tmp_path / f"packed.txt{ending}"
    plain.write_bytes(TEXT)
    packed.write_bytes(COMPRESSED[ending](TEXT))
    assert read_bytes(packed).tobytes() == read_bytes(plain).tobytes() == TEXT
    assert read_corpus(packed, 0.9).sha256 == read_corpus(plain, 0.9).sha256


@pytest.mark.parametrize("ending", ["", *COMPRESSED])
def test_of_a_beginning_no_more_is_read_than_is_asked_for(tmp_path, ending):
    """What lies behind may be damaged, or expand to any size."""
    noise = np.random.default_rng(0).integers(0, 256, 3_000_000, dtype=np.uint8).tobytes()
    packed = COMPRESSED.get(ending, bytes)(noise)
    path = tmp_path / f"text{ending}"
    path.write_bytes(packed[:2_000_000] + b"damaged from here on")
    for size in (0, 1, 4096, 1_000_000):
        assert read_bytes(path, size).tobytes() == noise[:size]
    if ending:
        with pytest.raises(CorpusError):
            read_bytes(path)
    path.write_bytes(packed)
    assert read_bytes(path, 10**12).tobytes() == read_bytes(path).tobytes() == noise


@pytest.mark.parametrize("ending", COMPRESSED)
def test_a_little_file_that_expands_without_end_takes_little_memory(tmp_path, ending):
    path = tmp_path / f"bomb{ending}"
    opener = {".xz": lzma.open, ".gz": gzip.open, ".bz2": bz2.open}[ending]
    with opener(path, "wb") as file:
        for _ in range(100):
            file.write(bytes(2**20))
    assert path.stat().st_size < 200_000
    tracemalloc.start()
    assert not read_bytes(path, 1000).any()
    assert tracemalloc.get_traced_memory()[1] < 2**24
    tracemalloc.stop()


def test_what_is_read_whole_has_a_limit_that_is_said(tmp_path, monkeypatch):
    monkeypatch.setattr("gridlstm.corpus.MAX_WHOLE_BYTES", 1000)
    for ending, compress in {"": bytes, **COMPRESSED}.items():
        path = tmp_path / f"text{ending}"
        path.write_bytes(compress(b"x" * 1000))
        assert len(read_bytes(path)) == 1000
        path.write_bytes(compress(b"x" * 1001))
        for size in (None, 5000):
            with pytest.raises(CorpusError) as caught:
                read_bytes(path, size)
            assert "more than 1,000 bytes" in one_sentence(caught)
        assert len(read_bytes(path, 1000)) == 1000


def test_what_is_read_is_not_to_be_changed(tmp_path):
    path = tmp_path / "text.txt"
    path.write_bytes(TEXT)
    with pytest.raises(ValueError, match="read-only"):
        read_bytes(path)[0] = 1


@pytest.mark.parametrize("ending", COMPRESSED)
@pytest.mark.parametrize("fault", ["cut short", "damaged", "another format"])
def test_a_broken_archive_is_one_sentence(tmp_path, ending, fault):
    noise = np.random.default_rng(0).integers(0, 30, 5000, dtype=np.uint8).tobytes()
    packed = COMPRESSED[ending](noise)
    middle = bytes(byte ^ 0x5A for byte in packed[300:340])
    broken = {
        "cut short": packed[: len(packed) // 2],
        "damaged": packed[:300] + middle + packed[340:],
        "another format": b"just some text",
    }[fault]
    path = tmp_path / f"text{ending}"
    path.write_bytes(broken)
    with pytest.raises(CorpusError) as caught:
        read_bytes(path)
    assert path.name in one_sentence(caught)


def test_a_missing_file_and_a_folder_are_one_sentence(tmp_path):
    for path in (tmp_path / "nowhere.txt", tmp_path):
        with pytest.raises(CorpusError) as caught:
            read_corpus(path, 0.95)
        assert path.name in one_sentence(caught)


@pytest.mark.parametrize("size", [0, 1, 3, 20])
def test_a_file_too_short_to_split_is_one_sentence(tmp_path, size):
    path = tmp_path / "short.txt"
    path.write_bytes(b"x" * size)
    with pytest.raises(CorpusError) as caught:
        read_corpus(path, 0.95)
    assert f"{size} bytes" in one_sentence(caught)


def test_the_shortest_file_that_splits(tmp_path):
    path = tmp_path / "short.txt"
    path.write_bytes(b"abcd")
    corpus = read_corpus(path, 0.5)
    assert (corpus.train.tobytes(), corpus.validation.tobytes()) == (b"ab", b"cd")


@given(st.binary(min_size=1, max_size=200))
def test_byte_entropy_is_scipy_s(data):
    counts = np.unique(np.frombuffer(data, np.uint8), return_counts=True)[1]
    found = byte_entropy(np.frombuffer(data, np.uint8))
    assert found == pytest.approx(entropy(counts), abs=1e-12)


def test_byte_entropy_by_hand():
    assert byte_entropy(np.frombuffer(b"aaaa", np.uint8)) == 0
    assert byte_entropy(np.frombuffer(b"aabb", np.uint8)) == pytest.approx(np.log(2))
    assert byte_entropy(np.arange(256, dtype=np.uint8)) == pytest.approx(8 * np.log(2))


@given(size=st.integers(6, 400), streams=st.integers(1, 5), length=st.integers(1, 12))
def test_streams_predict_every_byte_once_an_epoch(size, streams, length):
    data = np.arange(size)  # every place in the text can be told from every other
    if size // streams < length + 1:
        with pytest.raises(CorpusError):
            cut_into_streams(data, streams, length)
        return
    cut = cut_into_streams(data, streams, length)
    pieces = [cut.piece(number) for number in range(cut.pieces)]
    per_stream = size // streams
    for read, target in pieces:
        assert read.shape == target.shape == (length, streams)
        assert read.dtype == np.int64
        np.testing.assert_array_equal(target, read + 1)  # the byte that comes next
    read = np.concatenate([piece[0] for piece in pieces])
    np.testing.assert_array_equal(read[0], np.arange(streams) * per_stream)
    # Each stream goes on where its last piece ended, and leaves out less than a piece at its end.
    np.testing.assert_array_equal(np.diff(read, axis=0), 1)
    assert 0 < per_stream - len(read) <= length
    again = cut.piece(cut.pieces)
    np.testing.assert_array_equal(again[0], pieces[0][0])


@given(total=st.integers(2, 5000), streams=st.integers(1, 64))
def test_evaluation_blocks_hold_every_predicted_byte_once(total, streams):
    blocks = list(evaluation_blocks(total, streams))
    assert len(blocks) == streams
    assert [place for start, stop in blocks for place in range(start, stop)] == list(
        range(1, total)
    )
    lengths = [stop - start for start, stop in blocks]
    assert max(lengths) - min(lengths) <= 1
