"""Texts made and fetched: what comes out, and what a hostile archive or a bad server leads to."""

import hashlib
import http.server
import io
import json
import random
import re
import tarfile
import threading
import tracemalloc
import zipfile
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

import numpy as np
import pytest

from gridlstm import commands
from gridlstm.corpora.archive import READ_LIMIT
from gridlstm.corpora.download import ATTEMPTS, DownloadError
from gridlstm.corpora.enwik8 import ENWIK8, Source, archive_path, fetch
from gridlstm.corpora.linux_kernel import make
from gridlstm.corpus import CorpusError

FILES = {
    f"linux/{folder}/{name}": f"/* {folder}/{name} */\n".encode() * (3 + len(folder) + place)
    for folder in ("drivers/net", "kernel", "include", "mm")
    for place, name in enumerate(("a.c", "b.h", "z.c", "README", "d.S", "e.cc", "f.h.in"))
}
SOURCES = {name: data for name, data in FILES.items() if name.endswith((".c", ".h"))}
TOTAL = sum(map(len, SOURCES.values()))


def one_sentence(caught) -> str:
    message = str(caught.value)
    assert message.endswith(".") and len(message.splitlines()) == 1
    return message


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def add(tar, name, data=b"", **fields):
    """Add a member with these fields; its size is the data's unless given."""
    member = tarfile.TarInfo(name)
    member.size = len(data)
    for key, value in fields.items():
        setattr(member, key, value)
    tar.addfile(member, io.BytesIO(data))


def pack(path, files, mode="w", form=tarfile.PAX_FORMAT):
    with tarfile.open(path, mode, format=form) as tar:
        for name, data in files.items():
            add(tar, name, data)
    return path


def expected_text(files, size, seed):
    """The text by the naive way: all in memory."""
    generator = random.Random(seed)
    order = sorted((generator.random(), name) for name in sorted(files))
    return b"".join(files[name] for _, name in order)[:size]


class TestLinuxKernel:
    @pytest.mark.parametrize("size", [1, 500, TOTAL - 1, TOTAL])
    @pytest.mark.parametrize("seed", [0, 7])
    def test_the_text_is_that_of_the_naive_way(self, tmp_path, size, seed):
        archive = pack(tmp_path / "linux.tar", FILES)
        made = make(archive, tmp_path / "text", size, seed)
        text = (tmp_path / "text").read_bytes()
        assert text == expected_text(SOURCES, size, seed)
        assert (made.bytes, made.sha256) == (size, sha256(text))

    def test_the_files_used_are_counted_with_the_one_that_is_cut(self, tmp_path):
        archive = pack(tmp_path / "linux.tar", FILES)
        assert make(archive, tmp_path / "text", TOTAL).files == len(SOURCES)
        assert make(archive, tmp_path / "text", 1).files == 1

    def test_the_archives_order_packing_and_format_do_not_matter_the_seed_does(self, tmp_path):
        names = random.Random(0).sample(sorted(FILES), len(FILES))
        shuffled = {name: FILES[name] for name in names}
        texts = {
            make(pack(tmp_path / name, files, mode, form), tmp_path / "text", 900).sha256
            for name, files, mode, form in (
                ("a.tar", FILES, "w", tarfile.PAX_FORMAT),
                ("b.tar.xz", shuffled, "w:xz", tarfile.PAX_FORMAT),
                ("c.tar.gz", shuffled, "w:gz", tarfile.GNU_FORMAT),
                ("d.tar.bz2", FILES, "w:bz2", tarfile.USTAR_FORMAT),
            )
        }
        assert len(texts) == 1
        assert make(tmp_path / "a.tar", tmp_path / "text", 900, seed=1).sha256 not in texts

    def test_only_regular_files_count_and_nothing_is_extracted(self, tmp_path):
        folder = tmp_path / "inner"
        folder.mkdir()
        outside = {"/etc/evil.c": b"absolute\n", "../../up.h": b"up\n", "a\udce4\n.c": b"odd\n"}
        with tarfile.open(folder / "linux.tar", "w") as tar:
            for name, data in (FILES | outside).items():
                add(tar, name, data)
            add(tar, "link.c", type=tarfile.SYMTYPE, linkname="/etc/passwd")
            add(tar, "hard.c", type=tarfile.LNKTYPE, linkname="linux/kernel/a.c")
            add(tar, "folder.c", type=tarfile.DIRTYPE)
            add(tar, "pipe.c", type=tarfile.FIFOTYPE)
            add(tar, "device.h", type=tarfile.CHRTYPE)
            add(tar, "empty.h")
        everything = SOURCES | outside
        size = sum(map(len, everything.values()))
        made = make(folder / "linux.tar", folder / "text", size)
        assert (folder / "text").read_bytes() == expected_text(everything, size, 0)
        assert made.files == len(everything)
        assert {path.name for path in folder.iterdir()} == {"linux.tar", "text"}
        assert set(tmp_path.iterdir()) == {folder}

    def test_of_two_files_of_one_name_the_later_counts(self, tmp_path):
        with tarfile.open(tmp_path / "linux.tar", "w") as tar:
            add(tar, "a.c", b"old one\n")
            add(tar, "a.c", b"new\n")
        make(tmp_path / "linux.tar", tmp_path / "text", 4)
        assert (tmp_path / "text").read_bytes() == b"new\n"

    def test_memory_does_not_grow_with_a_member(self, tmp_path):
        zeros = bytes(24 * READ_LIMIT)
        with tarfile.open(tmp_path / "linux.tar.gz", "w:gz", compresslevel=1) as tar:
            for name in ("a.c", "b.txt"):
                add(tar, name, zeros)
        del zeros
        tracemalloc.start()
        make(tmp_path / "linux.tar.gz", tmp_path / "text", 20 * READ_LIMIT)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert peak < 8 * READ_LIMIT
        assert (tmp_path / "text").stat().st_size == 20 * READ_LIMIT

    def test_progress_goes_from_nothing_to_all(self, tmp_path):
        shares = []
        archive = pack(tmp_path / "linux.tar", FILES)
        make(archive, tmp_path / "text", 900, progress=shares.append)
        assert shares == sorted(shares)
        assert 0 < shares[0] < 0.5 and shares[-1] == pytest.approx(1, abs=0.2)


def header(name="a.c", kind=tarfile.REGTYPE, size=0, size_field=None):
    """One header block; `size_field` replaces its 12 bytes of size."""
    member = tarfile.TarInfo(name)
    member.type, member.size = kind, size
    block = bytearray(member.tobuf(tarfile.GNU_FORMAT)[: tarfile.BLOCKSIZE])
    if size_field:
        block[124:136] = size_field
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block)


END = bytes(2 * tarfile.BLOCKSIZE)
GOOD = header(size=512) + b"x" * 512
NOISE = np.random.default_rng(0).integers(1, 256, 4096, dtype=np.uint8).tobytes()
HOSTILE = {
    "empty.tar": b"",
    "text.tar": b"This is no archive. " * 100,
    "noise.tar.xz": NOISE,
    "noise.tar.gz": NOISE,
    "noise.tar.bz2": NOISE,
    "huge member.tar": GOOD + header("b.txt", size=10**13),
    "member cut short.tar": GOOD + header(size=5000) + b"y" * 600,
    "negative size.tar": GOOD + header(size_field=b"\xff" * 10 + b"\xf8\0") + END,
    "damaged header.tar": GOOD + NOISE[:512] + GOOD + END,
    "long name.tar": header("././@LongLink", b"L", 2**21) + b"n" * 2**21 + GOOD + END,
    "long extended header.tar": header("pax", b"x", 2**31) + b"n" * 2**21,
    "name of 4000.tar": header("././@LongLink", b"L", 4000) + b"n" * 4096 + GOOD + END,
}


class TestHostileArchives:
    @pytest.mark.parametrize("name", HOSTILE)
    def test_it_is_one_sentence_and_leaves_nothing(self, tmp_path, name):
        (tmp_path / name).write_bytes(HOSTILE[name])
        with pytest.raises(CorpusError) as caught:
            make(tmp_path / name, tmp_path / "text", 100)
        assert name in one_sentence(caught)
        assert [path.name for path in tmp_path.iterdir()] == [name]

    def test_the_good_part_of_them_is_good(self, tmp_path):
        (tmp_path / "good.tar").write_bytes(GOOD + END)
        assert make(tmp_path / "good.tar", tmp_path / "text", 512).files == 1

    @pytest.mark.parametrize("ending", ["xz", "gz", "bz2"])
    @pytest.mark.parametrize("fault", ["cut short", "damaged", "damaged at the end"])
    def test_a_broken_compressed_archive_is_one_sentence(self, tmp_path, ending, fault):
        noisy = {f"{name}.c": NOISE for name in "abcdefgh"}
        archive = pack(tmp_path / f"linux.tar.{ending}", noisy, f"w:{ending}")
        packed = bytearray(archive.read_bytes())
        place = len(packed) // 2 if fault == "damaged" else len(packed) - 12
        if fault == "cut short":
            del packed[place:]
        else:
            packed[place] ^= 0x5A
            packed[place + 5] ^= 0x5A
        archive.write_bytes(packed)
        with pytest.raises(CorpusError) as caught:
            make(archive, tmp_path / "text", 100)
        assert archive.name in one_sentence(caught)
        assert not (tmp_path / "text").exists()

    def test_too_many_members_are_refused(self, tmp_path, monkeypatch):
        monkeypatch.setattr("gridlstm.corpora.archive.MEMBER_LIMIT", len(FILES) - 1)
        archive = pack(tmp_path / "linux.tar", FILES)
        with pytest.raises(CorpusError) as caught:
            make(archive, tmp_path / "text", 100)
        assert "members" in one_sentence(caught)

    @pytest.mark.parametrize("size", [TOTAL + 1, 0, -5])
    def test_a_size_that_cannot_be_is_one_sentence(self, tmp_path, size):
        archive = pack(tmp_path / "linux.tar", FILES)
        (tmp_path / "text").write_bytes(b"an older text")
        with pytest.raises(CorpusError) as caught:
            make(archive, tmp_path / "text", size)
        assert f"{size:,}" in one_sentence(caught)
        assert (tmp_path / "text").read_bytes() == b"an older text"


@dataclass
class Site:
    """What a server has and how it behaves; `asked` collects the Range of each request."""

    content: bytes
    knows_ranges: bool = True
    tells_size: bool = True
    status: int = 200
    # Bytes after which each answer breaks off; None, and all answers after the last, do not.
    breaks: list = field(default_factory=list)
    asked: list = field(default_factory=list)
    url: str = ""


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        site = self.server.site
        wanted = self.headers.get("Range")
        site.asked.append(wanted)
        if site.status != 200:
            self.send_error(site.status)
            return
        begin = int(re.fullmatch(r"bytes=(\d+)-", wanted)[1]) if wanted else 0
        begin = begin if site.knows_ranges else 0
        body = site.content[begin:]
        if begin:
            self.send_response(206)
            size = len(site.content)
            self.send_header("Content-Range", f"bytes {begin}-{size - 1}/{size}")
        else:
            self.send_response(200)
        if site.tells_size:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        end = site.breaks.pop(0) if site.breaks else None
        self.wfile.write(body[:end])

    def log_message(self, *_):
        pass


@contextmanager
def serving(content, **behaviour):
    """A site on this machine, for as long as the context lasts."""
    site = Site(content, **behaviour)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.site = site
        site.url = f"http://127.0.0.1:{server.server_port}/text.zip"
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield site
        finally:
            server.shutdown()
            thread.join()


def zipped(name: str, data: bytes) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, data)
    return packed.getvalue()


# Half of it cannot be compressed, so that the archive takes many reads.
TEXT = np.random.default_rng(1).integers(0, 256, 150_000, dtype=np.uint8).tobytes() + bytes(99_999)
ZIP = zipped("text8", TEXT)


def source(site: Site, packed: bytes = ZIP) -> Source:
    """What the good file is, at that site."""
    return Source(site.url, len(packed), sha256(packed), "text8", len(TEXT), sha256(TEXT))


class TestFetch:
    def test_the_file_comes_whole_and_alone(self, tmp_path):
        shares = []
        with serving(ZIP) as site:
            fetch(tmp_path / "deep" / "text8", source(site), shares.append)
        assert (tmp_path / "deep" / "text8").read_bytes() == TEXT
        assert [path.name for path in (tmp_path / "deep").iterdir()] == ["text8"]
        assert site.asked == [None]
        assert shares == sorted(shares) and shares[-1] == 1

    def test_what_is_there_is_not_fetched_again(self, tmp_path):
        (tmp_path / "text8").write_bytes(TEXT)
        with serving(ZIP) as site:
            fetch(tmp_path / "text8", source(site))
        assert site.asked == []

    @pytest.mark.parametrize("there", [b"", TEXT[:-1], TEXT[:-1] + b"x"])
    def test_another_file_that_is_there_is_replaced(self, tmp_path, there):
        (tmp_path / "text8").write_bytes(there)
        with serving(ZIP) as site:
            fetch(tmp_path / "text8", source(site))
        assert (tmp_path / "text8").read_bytes() == TEXT

    def test_a_broken_transfer_asks_only_for_the_rest(self, tmp_path):
        with serving(ZIP, breaks=[70_000, 5, 0]) as site:
            fetch(tmp_path / "text8", source(site))
        assert site.asked == [None, "bytes=70000-", "bytes=70005-", "bytes=70005-"]
        assert (tmp_path / "text8").read_bytes() == TEXT

    def test_the_next_call_goes_on_where_the_last_gave_up(self, tmp_path):
        with serving(ZIP, breaks=[100] * ATTEMPTS) as site:
            with pytest.raises(DownloadError) as caught:
                fetch(tmp_path / "text8", source(site))
            assert f"{100 * ATTEMPTS:,} of {len(ZIP):,} bytes" in one_sentence(caught)
            assert not (tmp_path / "text8").exists()
            fetch(tmp_path / "text8", source(site))
        assert site.asked[-1] == f"bytes={100 * ATTEMPTS}-"
        assert (tmp_path / "text8").read_bytes() == TEXT

    def test_a_server_without_ranges_sends_all_again(self, tmp_path):
        with serving(ZIP, knows_ranges=False, breaks=[70_000]) as site:
            fetch(tmp_path / "text8", source(site))
        assert site.asked == [None, "bytes=70000-"]
        assert (tmp_path / "text8").read_bytes() == TEXT

    def test_an_archive_that_is_whole_is_only_unpacked(self, tmp_path):
        archive_path(tmp_path / "text8").write_bytes(ZIP)
        with serving(ZIP) as site:
            fetch(tmp_path / "text8", source(site))
        assert site.asked == []
        assert (tmp_path / "text8").read_bytes() == TEXT

    def test_a_file_of_another_size_is_refused_before_anything_is_written(self, tmp_path):
        kept = archive_path(tmp_path / "text8")
        for content, begun in ((ZIP + b"x", b""), (ZIP[:-1], b""), (ZIP + b"x", ZIP[:1000])):
            kept.write_bytes(begun)
            with serving(content) as site, pytest.raises(DownloadError) as caught:
                fetch(tmp_path / "text8", source(site))
            assert "not the file expected" in one_sentence(caught)
            assert kept.read_bytes() == begun
            assert not (tmp_path / "text8").exists()

    @pytest.mark.parametrize("begun", [b"", b"another file's beginning", ZIP + b"x"])
    @pytest.mark.parametrize("content", [ZIP[:-1] + b"x", ZIP + bytes(9_000_000)])
    def test_a_wrong_file_is_removed(self, tmp_path, begun, content):
        archive_path(tmp_path / "text8").write_bytes(begun)
        told = len(content) == len(ZIP)
        with (
            serving(content, tells_size=told, knows_ranges=told) as site,
            pytest.raises(DownloadError) as caught,
        ):
            fetch(tmp_path / "text8", source(site))
        assert "checksum" in one_sentence(caught) and "removed" in str(caught.value)
        assert list(tmp_path.iterdir()) == []

    @pytest.mark.parametrize(
        ("packed", "words"),
        [
            (zipped("text8", TEXT + b"x"), "larger than"),
            (zipped("text8", bytes(10**7)), "larger than"),
            (zipped("text8", TEXT[:-1]), "wrong checksum"),
            (zipped("text8", TEXT[:-1] + b"x"), "wrong checksum"),
            (zipped("text9", TEXT), "no zip archive with a file text8"),
            (b"no archive at all", "no zip archive with a file text8"),
        ],
    )
    def test_an_archive_without_the_text_is_removed(self, tmp_path, packed, words):
        with serving(packed) as site, pytest.raises(DownloadError) as caught:
            fetch(tmp_path / "text8", source(site, packed))
        assert words in one_sentence(caught) and "removed" in str(caught.value)
        assert list(tmp_path.iterdir()) == []

    @pytest.mark.parametrize("status", [404, 416, 503])
    def test_a_server_that_refuses_is_one_sentence(self, tmp_path, status):
        archive_path(tmp_path / "text8").write_bytes(ZIP[:1000])
        with serving(ZIP, status=status) as site, pytest.raises(DownloadError) as caught:
            fetch(tmp_path / "text8", source(site))
        assert str(status) in one_sentence(caught)
        assert archive_path(tmp_path / "text8").read_bytes() == ZIP[:1000]

    def test_a_server_that_is_gone_is_one_sentence(self, tmp_path):
        with serving(ZIP) as site:
            pass
        with pytest.raises(DownloadError) as caught:
            fetch(tmp_path / "text8", source(site))
        assert site.url in one_sentence(caught) and "reached" in str(caught.value)
        assert list(tmp_path.iterdir()) == []


class TestCommand:
    def test_linux_kernel_prints_one_json_object(self, tmp_path, capsys):
        archive, out = pack(tmp_path / "linux.tar.xz", FILES, "w:xz"), tmp_path / "new" / "text"
        arguments = ["--from", str(archive), "--out", str(out), "--bytes", "700", "--seed", "3"]
        assert commands.run(["corpus", "linux-kernel", *arguments]) == 0
        printed = capsys.readouterr()
        assert printed.err == ""
        text = expected_text(SOURCES, 700, 3)
        made = json.loads(printed.out)
        assert 0 < made.pop("files") < len(SOURCES)
        assert made == {"file": str(out), "bytes": 700, "sha256": sha256(text)}
        assert out.read_bytes() == text

    def test_enwik8_prints_one_json_object(self, tmp_path, capsys, monkeypatch):
        monkeypatch.chdir(tmp_path)
        with serving(ZIP) as site:
            monkeypatch.setattr("gridlstm.commands.corpus.ENWIK8", source(site))
            for _ in range(2):
                assert commands.run(["corpus", "enwik8"]) == 0
                printed = capsys.readouterr()
                assert printed.err == ""
                assert json.loads(printed.out) == {
                    "file": "enwik8",
                    "bytes": len(TEXT),
                    "sha256": sha256(TEXT),
                }
        assert site.asked == [None]

    @pytest.mark.parametrize(
        ("arguments", "named"),
        [
            ([], "CORPUS"),
            (["war-and-peace"], "war-and-peace"),
            (["linux-kernel"], "--from"),
            (["linux-kernel", "--from", "nowhere.tar"], "nowhere.tar"),
            (["linux-kernel", "--from", "."], "."),
            (["linux-kernel", "--from", "linux.tar", "--bytes", "many"], "many"),
            (["linux-kernel", "--from", "linux.tar", "--bytes", "10000000"], "10,000,000"),
            (["linux-kernel", "--from", "linux.tar", "--out", "."], "."),
            (["linux-kernel", "--from", "broken.tar.xz"], "broken.tar.xz"),
            (["enwik8", "--out", "."], "."),
            (["enwik8"], "reached"),
        ],
    )
    def test_a_mistake_is_one_line_and_status_2(
        self, tmp_path, capsys, monkeypatch, arguments, named
    ):
        monkeypatch.chdir(tmp_path)
        with serving(ZIP) as gone:
            pass
        monkeypatch.setattr("gridlstm.commands.corpus.ENWIK8", replace(ENWIK8, url=gone.url))
        pack(tmp_path / "linux.tar", FILES)
        (tmp_path / "broken.tar.xz").write_bytes(b"no archive")
        before = set(tmp_path.iterdir())
        try:
            status = commands.run(["corpus", *arguments])
        except SystemExit as exit:
            status = exit.code
        printed = capsys.readouterr()
        assert (status, printed.out) == (2, "")
        assert len(printed.err.splitlines()) == 1 and named in printed.err
        assert set(tmp_path.iterdir()) == before
