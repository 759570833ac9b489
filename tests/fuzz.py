"""Hostile inputs made of good ones: each must give one clear sentence or a right result, within
bounds of memory and time.

`python tests/fuzz.py --minutes 30` goes on for as long, from a seed on; `tests/test_fuzz.py` does a
fixed number in CI. What fails is printed with its kind and seed, and `--kind KIND --seed SEED` does
that one again.
"""

import argparse
import bz2
import gzip
import io
import json
import lzma
import math
import os
import random
import resource
import signal
import struct
import subprocess
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Callable
from contextlib import contextmanager, redirect_stderr, suppress
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
from safetensors.numpy import load as load_tensors

from gridlstm.checkpoint import (
    Data,
    Metadata,
    WriteError,
    join,
    load_model,
    read_metadata,
    read_tensors,
    split,
    write_checkpoint,
)
from gridlstm.config import ModelConfig
from gridlstm.corpus import CorpusError, read_bytes, read_corpus
from gridlstm.curves import read_curve
from gridlstm.curves.importing import guess_columns, import_runs, join_files, read_file
from gridlstm.errors import UserError
from gridlstm.text import ENCODINGS, from_bytes
from gridlstm.training.curve_log import COLUMNS, CurvePoint, write_curve
from gridlstm.training.run import train
from gridlstm.training.settings import TrainingSettings
from gridlstm.training.state import read_progress, read_settings, state_path

# Of the processor's time, for one input; and of memory, beyond what inputs before it took.
MAX_SECONDS = 20.0
MAX_BYTES = 400 * 2**20
MAX_SENTENCE = 500

TEXT = "Grüße from http://example.org/, a cat sat on a mat, 世界!\n".encode() * 40
PACKED = {".xz": lzma.compress, ".gz": gzip.compress, ".bz2": bz2.compress}
CONFIG = ModelConfig("grid", 2, 4, "depth")
SETTINGS = TrainingSettings(
    sequences=2, length=5, validate_every=3, save_every=2, validation_bytes=20, updates=6
)


class FuzzError(AssertionError):
    """An input that was neither refused in one sentence nor read right."""


# -- Bytes -----------------------------------------------------------------------------------------


def mutate(data: bytes, chance: random.Random) -> bytes:
    """One to four changes at random places: cut, flipped, taken out, put in, doubled, zeroed."""
    for _ in range(chance.randint(1, 4)):
        if not data:
            return data
        place, length = chance.randrange(len(data)), chance.choice([1, 2, 8, 64, 1000])
        before, piece, after = data[:place], data[place : place + length], data[place + length :]
        match chance.randrange(7):
            case 0:
                data = before
            case 1:
                flipped = bytes(byte ^ 1 << chance.randrange(8) for byte in piece[:4])
                data = before + flipped + piece[4:] + after
            case 2:
                data = before + after
            case 3:
                data = before + chance.randbytes(length) + piece + after
            case 4:
                data = before + piece * chance.choice([2, 2, 100]) + after
            case 5:
                data = before + bytes(len(piece)) + after
            case 6:
                number = chance.choice([0, 1, 2**31, 2**62, 2**63, 2**64 - 1])
                data = before + struct.pack("<Q", number) + data[place + 8 :]
    return data


ODD_TEXTS = [
    "",
    "0",
    "-1",
    "1e400",
    "nan",
    "inf",
    "9" * 400,
    "x" * 20_000,
    "\0",
    "\ud800",
    "1_0",
    "́",
]
ODD_NUMBERS = [0, -1, 1, 2.5, 2**31, 2**53 + 1, 2**63, 10**400, 1e308, math.nan, -math.inf]


def odd_value(chance: random.Random):
    nested: list = []
    for _ in range(chance.choice([1, 10, 400])):
        nested = [nested]
    odd = [None, True, {}, [], nested, {"a": 1}, *ODD_TEXTS, *ODD_NUMBERS]
    return chance.choice(odd)


def change_a_value(document, chance: random.Random) -> None:
    """Put something odd into the place of a value somewhere in a JSON document, or drop it, or add
    one."""
    places = []

    def collect(inner) -> None:
        for key in inner if isinstance(inner, dict) else range(len(inner)):
            places.append((inner, key))
            if isinstance(inner[key], dict | list):
                collect(inner[key])

    collect(document)
    inner, key = chance.choice(places)
    if chance.random() < 0.1:
        del inner[key]
    elif isinstance(inner, dict) and chance.random() < 0.1:
        inner[chance.choice([*ODD_TEXTS, "units"])] = odd_value(chance)
    else:
        inner[key] = odd_value(chance)


def doubled(text: bytes, chance: random.Random) -> bytes:
    """A JSON document in which a name stands twice, which no `dict` can hold."""
    places = [i for i in range(len(text)) if text[i : i + 1] == b"{"]
    place = chance.choice(places) + 1
    end = text.find(b",", place)
    return text[:place] + text[place : end + 1] + text[place:] if end > 0 else text


def mutate_safetensors(data: bytes, key: str, chance: random.Random) -> bytes:
    """Change the bytes anywhere, or what the header says, or what the document in it says."""
    way = chance.randrange(5)
    if way == 0:
        return mutate(data, chance)
    (size,) = struct.unpack_from("<Q", data)
    header, tensors = json.loads(data[8 : 8 + size]), data[8 + size :]
    if way == 1:
        change_a_value(header, chance)
    elif way == 2:
        document = json.loads(header["__metadata__"][key])
        change_a_value(document, chance)
        header["__metadata__"][key] = json.dumps(document)
    elif way == 3:
        name, other = chance.sample([name for name in header if name != "__metadata__"], 2)
        header[name], header[other] = header[other], header[name]
    text = json.dumps(header).encode()
    if way == 4:
        text = chance.choice([doubled, mutate])(text, chance)
    return struct.pack("<Q", len(text)) + text + tensors


# -- Good files ------------------------------------------------------------------------------------


class Good:
    """Good files of every kind, in a folder of their own, and their bytes."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.text = folder / "text.txt"
        self.text.write_bytes(TEXT)
        self.corpus = read_corpus(self.text, SETTINGS.train_fraction)
        self.checkpoint = folder / "model.safetensors"
        generator = np.random.default_rng(0)
        shapes = CONFIG.tensor_shapes()
        tensors = {n: generator.uniform(-1, 1, s).astype(np.float16) for n, s in shapes.items()}
        data = Data("text.txt", "ab" * 32, len(TEXT), 0.95, 3.0)
        training = {"seed": 1, "task": "text", "begun_from": None}
        write_checkpoint(self.checkpoint, tensors, Metadata(CONFIG, data, training, 7, 70, 5.5, 49))
        self.index = split(self.checkpoint, folder / "shards", 5000)
        self.run = folder / "run" / "run.safetensors"
        with redirect_stderr(io.StringIO()):
            train(CONFIG, SETTINGS, self.corpus, self.run)
        self.curve = folder / "curve.csv"
        points = [CurvePoint(n, n / 9, n * 10, 3 / n, 4 / n, 0.01, n * 1.5) for n in range(1, 30)]
        write_curve(self.curve, points)
        self.events = self._events()
        self.bombs = {ending: compress(bytes(20_000_000)) for ending, compress in PACKED.items()}

    def _events(self) -> bytes:
        from torch.utils.tensorboard import SummaryWriter

        with SummaryWriter(self.folder / "log") as writer:
            for step in range(20):
                writer.add_scalar("loss/val", 4 / (step + 1), step)
                writer.add_scalar("loss/train", 3 / (step + 1), step)
        return next((self.folder / "log").iterdir()).read_bytes()


# -- The kinds -------------------------------------------------------------------------------------


def fuzz_checkpoint(good: Good, folder: Path, chance: random.Random) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(mutate_safetensors(good.checkpoint.read_bytes(), "gridlstm", chance))
    metadata = read_metadata(path)
    model, again = load_model(path)
    _require(metadata == again or metadata.validation_loss != again.validation_loss, "two readings")
    json.dumps(asdict(metadata))
    _require(metadata.model.title.isprintable(), "title")
    stored = {name.removeprefix("model."): t for name, t in load_tensors(path.read_bytes()).items()}
    for name, tensor in read_tensors(path, metadata).items():
        _require(np.isfinite(tensor).all(), "finite weights")
        if stored[name].dtype.kind == "f":
            _require(np.array_equal(tensor, stored[name].astype(np.float32)), "the file's weights")
    _require(model.config == metadata.model, "configuration")


def fuzz_shards(good: Good, folder: Path, chance: random.Random) -> None:
    for path in good.index.parent.iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    index = folder / good.index.name
    path = chance.choice(sorted(folder.iterdir()))
    if path == index:
        document = json.loads(index.read_bytes())
        change_a_value(document, chance)
        text = json.dumps(document).encode()
        index.write_bytes(chance.choice([text, mutate(text, chance), doubled(text, chance)]))
    elif chance.random() < 0.1:
        path.unlink()
    else:
        path.write_bytes(mutate_safetensors(path.read_bytes(), "gridlstm", chance))
    join(index, folder / "joined.safetensors")
    metadata = read_metadata(folder / "joined.safetensors")
    joined = read_tensors(folder / "joined.safetensors", metadata)
    for name, tensor in read_tensors(index, read_metadata(index)).items():
        _require(np.array_equal(tensor, joined[name]), "joined weights")


def fuzz_state(good: Good, folder: Path, chance: random.Random) -> None:
    out = folder / "run.safetensors"
    state = state_path(good.run).read_bytes()
    state_path(out).write_bytes(mutate_safetensors(state, "run", chance))
    out.write_bytes(good.run.read_bytes())
    config, settings = read_settings(state_path(out))
    reached = read_progress(state_path(out)).update
    # As the command has it: other limits may be given, all else is the state's.
    settings = replace(settings, updates=min(reached + 2, 10**6), bytes=None, minutes=0.05)
    settings = replace(settings, validation_bytes=20, patience=None)
    try:
        with redirect_stderr(io.StringIO()):
            train(config, settings, good.corpus, out, resume=True)
    finally:
        read_metadata(out)
    _require(read_progress(state_path(out)).update >= reached, "progress")


def mutate_csv(data: bytes, chance: random.Random) -> bytes:
    rows = [line.split(",") for line in data.decode().splitlines()]
    for _ in range(chance.randint(1, 3)):
        row = chance.choice(rows)
        match chance.randrange(5):
            case 0:
                row[chance.randrange(len(row))] = str(odd_value(chance))
            case 1:
                rows[0][chance.randrange(len(rows[0]))] = chance.choice([*ODD_TEXTS, *COLUMNS])
            case 2:
                rows.insert(chance.randrange(len(rows)), list(row))
            case 3:
                chance.shuffle(rows)
            case 4:
                row.append('"')
    text = chance.choice(["\n", "\r\n", "\r"]).join(",".join(row) for row in rows)
    data = text.encode("utf-8", "surrogatepass")
    return data if chance.random() < 0.8 else mutate(data, chance)


def fuzz_curve(good: Good, folder: Path, chance: random.Random) -> None:
    frame = read_curve(mutate_csv(good.curve.read_bytes(), chance))
    _require(bool(np.isfinite(frame[list(COLUMNS)].to_numpy(float)).all()), "finite numbers")
    _require(bool((np.diff(frame["update"]) > 0).all()), "growing updates")


def fuzz_foreign(good: Good, folder: Path, chance: random.Random) -> None:
    header = chance.choice(
        ["step,loss,val_loss", "epoch,step,train_loss,val_loss,lr", "Step,a - val/loss"]
    )
    rows = [",".join(str(n + k) for k in range(header.count(",") + 1)) for n in range(30)]
    _import("log.csv", mutate_csv("\n".join([header, *rows]).encode(), chance))


def fuzz_events(good: Good, folder: Path, chance: random.Random) -> None:
    _import("events.out.tfevents.1", mutate(good.events, chance))


def _import(name: str, data: bytes) -> None:
    for found in join_files([(name, read_file(name, data))]):
        for frame in import_runs(found, guess_columns(found.log)).curves.values():
            known = [n for n in ("update", "epoch", "seconds") if not frame[n].isna().all()]
            _require(bool((np.diff(frame[known[0]]) > 0).all()), f"growing {known[0]}s")
            _require(bool(np.isfinite(frame["val_loss"]).all()), "finite losses")


def fuzz_text(good: Good, folder: Path, chance: random.Random) -> None:
    codec = chance.choice([*ENCODINGS, "utf_16", "utf_32"])
    data = TEXT.decode().encode(codec, "replace") * chance.choice([1, 1, 30])
    data = chance.choice([data, mutate(data, chance), chance.randbytes(chance.randrange(300))])
    encoding = chance.choice([None, None, *ENCODINGS])
    limit = chance.choice([None, 0, 1, 7, 1000, 10**6])
    text = from_bytes(data, chance.choice(ODD_TEXTS), encoding=encoding, max_bytes=limit)
    _require(text.data.decode() == text.characters, "UTF-8")
    _require(len(text.last_byte) == len(text.characters), "a place for each character")
    _require(limit is None or len(text.data) <= limit, "the limit")
    if text.note is None:
        _require(text.data in (data, data.removeprefix(b"\xef\xbb\xbf")), "a text as it was")


def fuzz_compressed(good: Good, folder: Path, chance: random.Random) -> None:
    ending = chance.choice(list(PACKED))
    path = folder / f"text{ending}"
    packed = chance.choice([PACKED[ending](TEXT), PACKED[ending](b""), good.bombs[ending]])
    path.write_bytes(mutate(packed, chance) if chance.random() < 0.8 else packed)
    limit = chance.choice([None, 100, 10**5])
    try:
        found = read_bytes(path, limit).tobytes()
    except CorpusError as error:
        # The library's words on what is damaged are not ours.
        raise CorpusError(str(error).splitlines()[0]) from error
    _require(limit is None or len(found) <= limit, "the limit")


@contextmanager
def _largest_file(size: int):
    """Within, no file can be larger, as if the disk were full."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def fuzz_full_disk(good: Good, folder: Path, chance: random.Random) -> None:
    """Whatever is written is whole afterwards, or as it was before."""
    for path in (*good.run.parent.iterdir(), *good.index.parent.iterdir(), good.checkpoint):
        (folder / path.name).write_bytes(path.read_bytes())
    out, index = folder / good.run.name, folder / good.index.name
    more = replace(SETTINGS, updates=12)
    work: Callable[[], object] = chance.choice(
        [
            lambda: train(CONFIG, more, good.corpus, out, resume=True),
            lambda: split(folder / "model.safetensors", folder, chance.choice([4000, 8000])),
            lambda: join(index, folder / "model.safetensors"),
        ]
    )
    try:
        size = chance.choice([0, 100, 1000, 3000, 6000, 20_000])
        with _largest_file(size), redirect_stderr(io.StringIO()):
            work()
    except WriteError:
        pass
    _require(not list(folder.glob(".*")), "nothing half written")
    for path in (out, folder / "model.safetensors", index):
        load_model(path)
    reached = read_progress(state_path(out)).update
    with redirect_stderr(io.StringIO()):
        train(CONFIG, more, good.corpus, out, resume=True)
    _require(6 <= reached <= read_progress(state_path(out)).update == 12, "progress")


RUN_AND_SAVE = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from fuzz import CONFIG, SETTINGS, replace, read_corpus, train
settings = replace(SETTINGS, updates=10**6, save_every=1)
text, out = map(Path, sys.argv[2:])
corpus = read_corpus(text, settings.train_fraction)
print("begins", flush=True)
train(CONFIG, settings, corpus, out, resume=True)
"""


def fuzz_kill(good: Good, folder: Path, chance: random.Random) -> None:
    """A training that writes all the time is killed at any moment."""
    for path in good.run.parent.iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    out = folder / good.run.name
    process = subprocess.Popen(
        [sys.executable, "-c", RUN_AND_SAVE, str(Path(__file__).parent), good.text, out],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    _require(process.stdout.readline() == b"begins\n", "the training begins")
    time.sleep(chance.uniform(0, 1))
    process.send_signal(signal.SIGKILL)
    process.communicate()
    reached = read_progress(state_path(out)).update
    load_model(out)
    read_curve(out.with_suffix(".csv"))
    with redirect_stderr(io.StringIO()):
        train(CONFIG, replace(SETTINGS, updates=reached + 3), good.corpus, out, resume=True)
    _require(not list(folder.glob(".*")), "what was left is removed")


KINDS: dict[str, Callable[[Good, Path, random.Random], None]] = {
    "checkpoint": fuzz_checkpoint,
    "shards": fuzz_shards,
    "state": fuzz_state,
    "curve": fuzz_curve,
    "foreign": fuzz_foreign,
    "events": fuzz_events,
    "text": fuzz_text,
    "compressed": fuzz_compressed,
    "full disk": fuzz_full_disk,
    "kill": fuzz_kill,
}


def _require(clamps: bool, what: str) -> None:
    if not clamps:
        raise FuzzError(f"not right: {what}")


# -- The inputs one by one -------------------------------------------------------------------------


def try_one(good: Good, kind: str, seed: int) -> bool:
    """Do one input; return whether it was refused. Raises FuzzError, and whatever else comes out of
    it that should not: a library's warning, too, as nobody is told of what it says."""
    chance = random.Random(f"{kind} {seed}")
    memory, started = _begin_peak(), time.process_time()
    refused = False
    with tempfile.TemporaryDirectory(dir=good.folder) as folder, warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            KINDS[kind](good, Path(folder), chance)
        except UserError as error:
            refused = True
            _check_sentence(str(error))
    _require(time.process_time() - started < MAX_SECONDS, "the time")
    _require(_peak_memory() - memory < MAX_BYTES, "the memory")
    return refused


def _check_sentence(message: str) -> None:
    is_one = len(message.splitlines()) == 1 and message.endswith(".")
    if not is_one or len(message) > MAX_SENTENCE or "Traceback" in message:
        raise FuzzError(f"no clear sentence: {message[:1000]!r}")
    message.encode()


def _begin_peak() -> int:
    """Let the peak of this process' memory begin anew, where the system can (Linux), so that what
    took more before hides nothing; return it."""
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")
    return _peak_memory()


def _peak_memory() -> int:
    """The most bytes that this process has held since then."""
    with suppress(OSError):
        lines = Path("/proc/self/status").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:")) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--seed", type=int, default=0, help="the first (%(default)s)")
    parser.add_argument("--kind", choices=KINDS, help="only that kind")
    parser.add_argument("--once", action="store_true", help="only the first seed")
    options = parser.parse_args()
    kinds = [options.kind] if options.kind else list(KINDS)
    until, seed = time.monotonic() + 60 * options.minutes, options.seed
    done, refusals, failures = dict.fromkeys(kinds, 0), dict.fromkeys(kinds, 0), 0
    with tempfile.TemporaryDirectory() as folder:
        good = Good(Path(folder))
        while time.monotonic() < until:
            for kind in kinds:
                if kind == "kill" and seed % 50 and not options.kind:
                    continue  # it takes seconds
                done[kind] += 1
                try:
                    refusals[kind] += try_one(good, kind, seed)
                except Exception:
                    failures += 1
                    print(f"--kind {kind!r} --seed {seed} --once", flush=True)
                    traceback.print_exc()
            seed += 1
            if options.once:
                break
    for kind in kinds:
        print(f"{kind:12} {done[kind]:8,} inputs, {refusals[kind]:8,} refused in one sentence")
    return min(failures, 1)


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    sys.exit(main())
