import bz2
import gzip
import hashlib
import lzma

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
