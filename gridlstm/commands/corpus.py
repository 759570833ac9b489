"""Make or fetch a large text to train on."""

import argparse
import json
from dataclasses import asdict
from pathlib import Path

from gridlstm.commands.bar import progress_bar
from gridlstm.commands.options import check_writable
from gridlstm.commands.parsers import Commands
from gridlstm.corpora import linux_kernel
from gridlstm.corpora.enwik8 import ENWIK8, fetch


def add(commands: Commands) -> None:
    command = commands.add_parser(
        "corpus",
        help="make or fetch a large text to train on",
        description="Make or fetch a text of 100 million bytes; print one JSON object about it.",
    )
    corpora = command.add_subparsers(dest="corpus", required=True, metavar="CORPUS")
    _add_linux_kernel(corpora)
    _add_enwik8(corpora)


def _add_linux_kernel(corpora: Commands) -> None:
    corpus = corpora.add_parser(
        "linux-kernel",
        help="the Linux kernel's source, from an archive of it",
        description="Write the .c and .h files of a source archive, in a random order that the "
        "seed and the files' names decide, as one text. Print one JSON object: file, bytes, files "
        "(how many were used), sha256.",
        epilog="Debian's package linux-source-6.1 holds such an archive. The kernel's licence, "
        "GPL-2.0, is that of the text too.",
    )
    corpus.set_defaults(run=_linux_kernel)
    corpus.add_argument(
        "--from",
        dest="archive",
        type=Path,
        required=True,
        metavar="ARCHIVE",
        help="a .tar, .tar.xz, .tar.gz or .tar.bz2, such as linux-source-6.1.tar.xz",
    )
    _add_out(corpus, "linux-kernel.txt")
    corpus.add_argument(
        "--bytes", type=int, default=linux_kernel.BYTES, help="the text's size (%(default)s)"
    )
    corpus.add_argument("--seed", type=int, default=0, help="seed of the order (%(default)s)")


def _add_enwik8(corpora: Commands) -> None:
    corpus = corpora.add_parser(
        "enwik8",
        help="the first 10^8 bytes of English Wikipedia, from their author's site",
        description="Fetch enwik8 and check it; a transfer that broke off goes on where it did, "
        "and nothing is fetched where the text is there already. Print one JSON object: file, "
        "bytes, sha256.",
        epilog="The text is by Wikipedia's contributors; its licences are CC BY-SA and GFDL.",
    )
    corpus.set_defaults(run=_enwik8)
    _add_out(corpus, "enwik8")


def _add_out(corpus: argparse.ArgumentParser, name: str) -> None:
    corpus.add_argument(
        "--out", type=Path, default=Path(name), help="the file to write (%(default)s)"
    )


def _linux_kernel(options: argparse.Namespace) -> int:
    check_writable(options.out)
    with progress_bar("reading") as progress:
        made = linux_kernel.make(
            options.archive, options.out, options.bytes, options.seed, progress
        )
    print(json.dumps({"file": str(options.out), **asdict(made)}))
    return 0


def _enwik8(options: argparse.Namespace) -> int:
    check_writable(options.out)
    with progress_bar("fetching") as progress:
        fetch(options.out, ENWIK8, progress)
    print(json.dumps({"file": str(options.out), "bytes": ENWIK8.bytes, "sha256": ENWIK8.sha256}))
    return 0
