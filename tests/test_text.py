import json
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gridlstm import text
from gridlstm.text import REPLACEMENT

SAMPLES = Path(__file__).parents[1] / "dashboard" / "samples"
ANY_STRING = st.text(st.characters(), max_size=60)  # lone surrogates too


def last_bytes_by_encoding(characters):
    """The definition, one character at a time."""
    ends, end = [], -1
    for character in characters:
        end += len(character.encode("utf-8"))
        ends.append(end)
    return ends


@given(ANY_STRING)
def test_both_readings_agree_for_every_string(characters):
    read = text.from_string(characters)
    assert read.data.decode("utf-8") == read.characters
    assert read.last_byte.dtype == np.int64
    assert read.last_byte.tolist() == last_bytes_by_encoding(read.characters)


@given(ANY_STRING)
def test_only_lone_surrogates_are_replaced_and_then_noted(characters):
    lone = ["\ud800" <= character <= "\udfff" for character in characters]
    expected = [REPLACEMENT if half else c for c, half in zip(characters, lone, strict=True)]
    read = text.from_string(characters)
    assert list(read.characters) == expected
    assert bool(read.note) == any(lone)


@given(st.binary(max_size=300))
def test_any_file_is_read(data):
    read = text.from_bytes(data, "a file")
    assert read.data.decode("utf-8") == read.characters
    assert read.last_byte.tolist() == last_bytes_by_encoding(read.characters)
    changed = read.data not in (data, data.removeprefix(b"\xef\xbb\xbf"))
    assert bool(read.note) == changed


@pytest.mark.parametrize(
    "characters",
    ["", "a", "Ωmega \N{GRINNING FACE}", "a\r\nb\r\n", "\0\x01\x1b", "שלום عالم", "<script>"],
)
def test_plain_utf8_is_kept_as_it_is(characters):
    read = text.from_bytes(characters.encode("utf-8"), "a file")
    assert (read.characters, read.note) == (characters, None)


def test_a_utf8_byte_order_mark_is_no_part_of_the_text():
    read = text.from_bytes("né".encode("utf-8-sig"), "a file")
    assert (read.characters, read.note) == ("né", None)


@pytest.mark.parametrize(
    "codec, mark, name",
    [
        ("utf-16-le", b"\xff\xfe", "UTF-16"),
        ("utf-16-be", b"\xfe\xff", "UTF-16"),
        ("utf-32-le", b"\xff\xfe\0\0", "UTF-32"),
        ("utf-32-be", b"\0\0\xfe\xff", "UTF-32"),
    ],
)
def test_marked_utf16_and_utf32(codec, mark, name):
    characters = "Grüße \N{GRINNING FACE}\r\n"
    read = text.from_bytes(mark + characters.encode(codec), "notes.txt")
    assert read.characters == characters
    assert read.note == f"notes.txt is not UTF-8; it was read as {name}."


GERMAN = "Grüße aus München, wo die Straßen größer sind als üblich."
FRENCH = "Le café était fermé à cause de la fête; nous sommes allés à l'hôtel où l'été passait."
QUOTED = "He said “hello” – and it’s fine… for now. The rest is quite ordinary English text."
RUSSIAN = "Привет, как дела? Сегодня хорошая погода и мы идём гулять в парк."
JAPANESE = "これは日本語の文章です。今日は天気がいいので散歩に行きます。"


@pytest.mark.parametrize(
    "characters, codec, name",
    [
        (GERMAN, "cp1252", "Windows-1252"),
        (FRENCH, "cp1252", "Windows-1252"),
        (QUOTED, "cp1252", "Windows-1252"),
        (RUSSIAN, "cp1251", "Windows-1251"),
        (RUSSIAN, "koi8_r", "KOI8-R"),
        (JAPANESE, "cp932", "Shift JIS"),
    ],
)
def test_old_encodings_are_guessed_and_named(characters, codec, name):
    read = text.from_bytes(characters.encode(codec))
    assert read.characters == characters
    assert read.note == f"This file is not UTF-8; it was read as {name}."


CHINESE = (
    "他说这是一个很长的句子，\n里面有许多不同的汉字和标点。\n我们今天去公园散步，天气非常好。\n" * 3
)


@pytest.mark.parametrize("codec", ["utf_16_le", "utf_16_be"])
@pytest.mark.parametrize("characters", [GERMAN, QUOTED, RUSSIAN, CHINESE, "a = 1\r\n", "Ω"])
def test_utf16_without_a_mark_is_found_out_and_named(characters, codec):
    if characters == "Ω":
        characters = "The Ω of it\n"
    read = text.from_bytes(characters.encode(codec), "notes.txt")
    assert read.characters == characters
    order = {"utf_16_le": "little", "utf_16_be": "big"}[codec]
    assert read.note == (
        f"notes.txt is not UTF-8; it was read as UTF-16, {order}-endian, without a byte order mark."
    )
    assert (read.encoding, read.guessed) == (codec, True)


@pytest.mark.parametrize(
    "data",
    [
        b"abc\0",
        b"one\0two\0three\0",
        b"name\0value\0name\0value",
        b"\0\0\0\0",
        bytes(range(256)) * 3,
        b"\x7fELF\x02\x01\x01" + bytes(9) + b"\x03\0>\0\x01\0\0\0",
        "Grüße\0 und".encode("cp1252"),
        b"plain text that has a zero\0 in the middle of it",
    ],
)
def test_zeros_alone_make_no_utf16(data):
    assert text.from_bytes(data).encoding not in ("utf_16_le", "utf_16_be")


@pytest.mark.parametrize("codec", ["utf-8", "cp1252", "utf-16-le", "utf-16"])
def test_a_carriage_return_alone_ends_a_line_with_a_note(codec):
    """As old Macs wrote them."""
    read = text.from_bytes("Grüße,\rlieber Mac.\r\rBis dann, üblicherweise\r".encode(codec))
    assert read.characters == "Grüße,\nlieber Mac.\n\nBis dann, üblicherweise\n"
    assert read.note.endswith(
        "Its lines end with a carriage return (CR) alone; each was read as a new line (LF)."
    )
    assert read.data.decode() == read.characters


@pytest.mark.parametrize(
    "characters", ["a\r\nb\r\n", "a\r\r\nb\r\r\n", "a\nb\r\nc\n", "one\ntwo\rstill two\nthree\n"]
)
def test_other_line_ends_stay_as_they_are(characters):
    read = text.from_bytes(characters.encode())
    assert (read.characters, read.note) == (characters, None)


@pytest.mark.parametrize("encoding", text.ENCODINGS)
def test_a_chosen_encoding_is_taken(encoding):
    """Whatever the bytes look like; of every encoding that is offered."""
    can_be = "Stra?e, ok"
    for letter in "ßЖ語שع":
        try:
            letter.encode(encoding)
        except UnicodeEncodeError:
            continue
        can_be = can_be.replace("?", letter)
        break
    read = text.from_bytes(can_be.encode(encoding), "a.txt", encoding=encoding)
    assert read.characters == can_be
    assert (read.encoding, read.guessed) == (encoding, False)
    chosen = f"a.txt was read as {text.ENCODINGS[encoding]}, as chosen."
    assert read.note == (None if encoding == "utf_8" else chosen)


def test_what_western_dos_and_mac_wrote_can_be_chosen():
    """Bytes by hand: ü is 0x81 in DOS' code page 850 and 0x9F in Mac Roman."""
    assert text.from_bytes(b"Gr\x81\xe1e", encoding="cp850").characters == "Grüße"
    assert text.from_bytes(b"Gr\x9f\xa7e\rX", encoding="mac_roman").characters == "Grüße\nX"


def test_a_chosen_encoding_that_does_not_fit_is_no_error():
    for encoding in text.ENCODINGS:
        read = text.from_bytes(bytes(range(256)) + b"\xff", encoding=encoding)
        assert read.data.decode() == read.characters
    read = text.from_bytes("Grüße".encode("cp1252"), "a.txt", encoding="utf_8")
    assert read.characters == f"Gr{REPLACEMENT * 2}e" and "2 bytes" in read.note


def test_a_mark_of_the_chosen_encoding_is_no_part_of_the_text():
    for mark, codec in ((b"\xff\xfe", "utf_16_le"), (b"\xfe\xff", "utf_16_be"), (b"", "utf_8")):
        data = (mark or b"\xef\xbb\xbf") + "né".encode(codec)
        assert text.from_bytes(data, encoding=codec).characters == "né"


@pytest.mark.parametrize(
    ("codec", "mark"),
    [
        ("utf-8", b""),
        ("cp1252", b""),
        ("cp932", b""),
        ("gb18030", b""),
        ("utf-16-le", b"\xff\xfe"),
        ("utf-16-be", b""),
        ("utf-32-be", b"\0\0\xfe\xff"),
    ],
)
@pytest.mark.parametrize("max_bytes", [1, 2, 3, 50, 500])
def test_the_beginning_of_a_file_is_the_beginning_of_its_text(codec, mark, max_bytes):
    """Only what is used is decoded, and no character is cut."""
    characters = JAPANESE if codec in ("cp932", "gb18030") else FRENCH
    characters = characters.replace("œ", "oe") * 200
    data = mark + characters.encode(codec)
    encoding = {"cp932": "cp932", "gb18030": "gb18030"}.get(codec)
    whole = text.from_bytes(data, encoding=encoding)
    assert whole.characters == characters
    needed = text.bytes_needed(max_bytes)
    for begun in (data, data[:needed], data[: needed + 1]):
        is_whole = begun == data
        read = text.from_bytes(begun, encoding=encoding, max_bytes=max_bytes, is_whole=is_whole)
        expected = text.truncate(whole, max_bytes)
        assert (read.characters, read.data) == (expected.characters, expected.data)
        assert read.last_byte.tolist() == expected.last_byte.tolist()
        assert f"the first {len(read.data):,} are shown." in read.note
        if codec == "utf-8" and is_whole:
            assert f"has {len(data):,} bytes" in read.note
        else:
            assert "The text is longer" in read.note


def test_a_text_that_is_not_cut_is_the_same_with_a_limit():
    for data in (GERMAN.encode("cp1252"), GERMAN.encode(), b"", b"\xff\xfea\0"):
        for max_bytes in (100, 10_000):
            assert text.from_bytes(data, max_bytes=max_bytes) == text.from_bytes(data)


@pytest.mark.parametrize("codec", ["cp1252", "utf-16-le", "utf-8", "cp932"])
def test_ten_megabytes_take_little_memory(codec):
    characters = JAPANESE if codec == "cp932" else GERMAN + "\n"
    data = characters.encode(codec)
    data *= 10_000_000 // len(data)
    tracemalloc.start()
    read = text.from_bytes(data, max_bytes=20_000)
    assert tracemalloc.get_traced_memory()[1] < 8_000_000
    tracemalloc.stop()
    assert 19_990 <= len(read.data) <= 20_000
    assert read.characters.startswith(characters)


def test_a_utf8_file_with_a_few_broken_bytes_stays_utf8():
    read = text.from_bytes("Grüße, ".encode() + b"\x80\xff" + "Ωmega".encode())
    assert read.characters == f"Grüße, {REPLACEMENT}{REPLACEMENT}Ωmega"
    assert "2 bytes that are no valid UTF-8 are shown as �" in read.note


def test_a_character_cut_in_two_at_the_end_is_one_broken_place():
    read = text.from_bytes("Grüße \N{GRINNING FACE}".encode()[:-1])
    assert read.characters == f"Grüße {REPLACEMENT}"
    assert "3 bytes" in read.note


def test_a_binary_file_is_shown_as_broken_utf8():
    read = text.from_bytes(b"\x7fELF\x02\x01\0\0\xff\xfe\xfdabc", "program")
    assert read.characters == f"\x7fELF\x02\x01\0\0{REPLACEMENT * 3}abc"
    assert read.note.startswith("program is not UTF-8 throughout; 3 bytes")


def test_the_name_brings_no_markup_into_the_note():
    note = text.from_bytes(GERMAN.encode("cp1252"), "<b>![x](http://y)*.txt").note
    assert not set("<>[]!*") & set(note)


@given(st.text(max_size=40), st.integers(0, 80))
def test_truncation_keeps_the_longest_beginning_of_whole_characters(characters, limit):
    whole = text.from_string(characters)
    cut = text.truncate(whole, limit)
    kept = len(cut.characters)
    assert cut.characters == characters[:kept]
    assert len(cut.data) <= limit
    assert kept == len(characters) or len(characters[: kept + 1].encode()) > limit
    assert cut.data.decode("utf-8") == cut.characters
    assert cut.last_byte.tolist() == last_bytes_by_encoding(cut.characters)
    assert bool(cut.note) == (kept < len(characters))


def test_truncation_says_what_is_shown_after_what_was_decoded():
    read = text.from_bytes(b"\xff\xfe" + ("é" * 30_000).encode("utf-16-le"))
    cut = text.truncate(read, 20_001)
    assert cut.note == (
        "This file is not UTF-8; it was read as UTF-16. "
        "The text has 60,000 bytes; the first 20,000 are shown."
    )


def test_a_characters_loss_is_the_sum_over_its_bytes():
    read = text.from_string("éa\N{GRINNING FACE}b")
    loss = np.array([np.nan, 9, 0.5, 1, 2, 4, 8, 0.25], np.float32)
    losses = text.character_losses(read, loss)
    assert np.isnan(losses[0])
    assert losses[1:].tolist() == [0.5, 15, 0.25]


@given(st.text(min_size=1, max_size=40))
def test_no_loss_is_lost(characters):
    read = text.from_string(characters)
    loss = np.arange(len(read.data), dtype=np.float32)
    first = len(characters[0].encode())
    losses = text.character_losses(read, loss)
    assert len(losses) == len(characters)
    assert np.nansum(losses) == loss[first:].sum()


def test_losses_of_an_empty_text_and_of_another_text():
    empty = text.from_string("")
    assert text.character_losses(empty, np.zeros(0, np.float32)).shape == (0,)
    with pytest.raises(ValueError, match="1 bytes"):
        text.character_losses(text.from_string("a"), np.zeros(2, np.float32))


def test_every_byte_has_a_label_of_its_own_that_can_be_seen():
    labels = [text.printable_byte(byte) for byte in range(256)]
    assert len(set(labels)) == 256
    assert all(label.isprintable() and label.strip() for label in labels)
    assert [labels[byte] for byte in b"a~ \n"] == ["a", "~", "space", "new line"]


def test_equal_texts_are_equal_and_can_be_keys():
    assert len({text.from_string("ab"), text.from_string("ab"), text.from_string("ac")}) == 2


def test_the_samples_are_listed_and_are_plain_utf8_texts_of_a_readable_length():
    listed = json.loads((SAMPLES / "index.json").read_text(encoding="utf-8"))
    assert {entry["file"] for entry in listed} == {path.name for path in SAMPLES.glob("*.txt")}
    for entry in listed:
        assert entry["title"] and entry["description"]
        read = text.from_bytes((SAMPLES / entry["file"]).read_bytes(), entry["file"])
        assert read.note is None
        assert 1500 <= len(read.characters) <= 4000
