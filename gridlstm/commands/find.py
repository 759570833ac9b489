"""The cells that follow a property of a text, found on one part of it and judged on another."""

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from gridlstm.analysis.properties import PROPERTIES, measure_named
from gridlstm.commands.bar import progress_bar
from gridlstm.commands.options import (
    add_checkpoint_and_file,
    add_encoding,
    check_quantities,
    encode_text,
    open_checkpoint,
    read_beginning,
)
from gridlstm.commands.parsers import Commands
from gridlstm.corpus import MAX_WHOLE_BYTES
from gridlstm.plurals import counted

if TYPE_CHECKING:
    import pandas as pd

    from gridlstm.analysis.corpus_search import Search
    from gridlstm.analysis.held_out import Findings, Part, Split

# Up to so many bytes everything is kept and every score exact; longer texts are read in stretches.
MAX_EXACT_BYTES = 40_000
# Seconds between two moments at which partial sums are saved.
SAVED_EVERY = 60


def add(commands: Commands) -> None:
    command = commands.add_parser(
        "find",
        help="the cells that follow a property of a text",
        description="Rank every unit of every layer on the first half of a text by how well it "
        "follows a property, and print how the best do on the second half, which the ranking never "
        "saw (with a 95 % interval where both have the property in 5 places or more). Below, on "
        "standard error: what the best of all units reaches by chance. A text of more than "
        f"{MAX_EXACT_BYTES:,} bytes is read in stretches side by side, in bounded memory; scores "
        "are then from histograms, an AUC mostly within 0.002 of the exact one (0.015 was the most "
        "measured, of saturated units: --exact tells). `torchrun --nproc-per-node N -m gridlstm "
        "find ...` shares it among processes. What is interrupted goes on with --resume.",
        epilog="properties:\n"
        + "\n".join(f"  {found.name:20} {found.title}" for found in PROPERTIES.values())
        + "\n  pattern:REGEX        Inside a match of a regular expression"
        + "\n  span:START-END       Those characters, from 0, without END itself",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.set_defaults(run=_find)
    add_checkpoint_and_file(command)
    command.add_argument("--property", required=True, metavar="NAME", help="one of those below")
    command.add_argument(
        "--quantities", nargs="+", help="such as time.cell depth.cell (all, unless given)"
    )
    command.add_argument(
        "--top", type=_count, default=20, help="how many units to print (%(default)s)"
    )
    command.add_argument(
        "--by-layer",
        action="store_true",
        help="print instead the best unit of each quantity and layer; no chance baseline",
    )
    command.add_argument(
        "--bytes", type=_count, help="how much of the file's beginning is read (all of it)"
    )
    command.add_argument(
        "--exact",
        action="store_true",
        help="keep every value of a long text, too, for exact scores: 36 kB a byte with the 6 "
        "layers of 256 units of grid-6, on disk from 1 GB on",
    )
    command.add_argument(
        "--stretches",
        type=_count,
        default=32,
        help="into how many a long text is cut, of 4,000 positions at least "
        "(%(default)s): more of them keep more processors busy",
    )
    command.add_argument(
        "--resume", action="store_true", help="go on with the same search that was interrupted"
    )
    add_encoding(command)
    command.add_argument("--json", action="store_true", help="one JSON object a line, not a table")


def _count(text: str) -> int:
    if not text.isdecimal() or not int(text):
        raise argparse.ArgumentTypeError(f"{text!r} is no number from 1 on")
    return int(text)


def _find(options: argparse.Namespace) -> int:
    if not options.exact and (options.bytes is None or options.bytes > MAX_EXACT_BYTES):
        # One more, by which a longer text is told.
        beginning = read_beginning(options.file, options.encoding, MAX_EXACT_BYTES + 1)
        if len(beginning.data) > MAX_EXACT_BYTES:
            return _find_in_stretches(options)
    return _find_exactly(options)


def _find_exactly(options: argparse.Namespace) -> int:
    from gridlstm.analysis.held_out import best_by_layer, find_cells, split_text
    from gridlstm.trace import trace

    text = read_beginning(options.file, options.encoding, options.bytes or MAX_WHOLE_BYTES)
    target = measure_named(options.property, text.characters)
    # Before the model is opened and reads, which takes longest: whether there is anything to find.
    split_text(target)
    model, _ = open_checkpoint(options.checkpoint)
    encoded = encode_text(model, text)
    read = ~encoded.skipped
    target, positions = target[read], encoded.last_token[read]
    split = split_text(target)
    with progress_bar("reading") as progress:
        values = trace(model, encoded, options.quantities, progress=progress).values
    with progress_bar("ranking") as progress:
        if options.by_layer:
            cells = best_by_layer(values, target, positions, progress=progress)
            findings = None
        else:
            findings = find_cells(values, target, positions, top=options.top, progress=progress)
            cells = findings.cells
    notes = [] if text.note is None else [text.note]
    _print(options, cells, target.dtype == bool, split, notes, findings)
    return 0


def _find_in_stretches(options: argparse.Namespace) -> int:
    from gridlstm.analysis.corpus_search import Search
    from gridlstm.analysis.histograms import target_of
    from gridlstm.long_text import read_long_text
    from gridlstm.stretches import Corpus, cut
    from gridlstm.training.workers import workers

    model, _ = open_checkpoint(options.checkpoint)
    check_quantities(model, options.quantities)
    text = read_long_text(options.file, model.vocabulary, options.encoding, options.bytes)
    measured = measure_named(options.property, text.characters)
    target = target_of(measured[text.read], text.ends)
    corpus = Corpus(model, text.tokens, cut(len(text.tokens), options.stretches))
    notes = [*text.notes, corpus.stretches.note]
    del text, measured
    with workers("cpu") as shared:
        search = Search(
            corpus,
            target,
            options.quantities,
            top=options.top,
            by_layer=options.by_layer,
            workers=shared,
        )
        findings = _run(search, options.resume)
    if shared.is_rank_zero:
        shown = None if options.by_layer else findings
        _print(options, findings.cells, target.is_mark, findings.split, notes, shown)
    return 0


def _run(search: "Search", resumed: bool) -> "Findings":
    """Search under a progress bar, saving the sums every minute, and when interrupted."""
    from gridlstm.analysis.partial_search import identity_of, resume, save

    identity = identity_of(search)
    path = Path(tempfile.gettempdir()) / f"gridlstm-find-{identity[:16]}.safetensors"
    if resumed:
        resume(search, path, identity)
    saved, read = time.monotonic(), search.tokens - search.tokens_left

    with progress_bar("reading") as progress:

        def after_round(tokens: int) -> None:
            nonlocal saved, read
            read += tokens
            progress(read / search.tokens)
            if time.monotonic() - saved > SAVED_EVERY:
                save(search, path, identity)
                saved = time.monotonic()

        try:
            findings = search.run(after_round)
        except KeyboardInterrupt:
            save(search, path, identity)
            print(f"What was read is kept in {path}: go on with --resume.", file=sys.stderr)
            raise
    path.unlink(missing_ok=True)
    return findings


def _print(
    options: argparse.Namespace,
    cells: "pd.DataFrame",
    is_mark: bool,
    split: "Split",
    notes: Sequence[str],
    findings: "Findings | None",
) -> None:
    """The cells on standard output, what they are to be held against on standard error."""
    measure = "auc" if is_mark else "rho"
    print(_json_lines(cells, measure) if options.json else _table(cells, measure))
    for note in notes:
        print(note, file=sys.stderr)
    print(f"found on {_part(split.found)}, held out {_part(split.held_out)}", file=sys.stderr)
    if split.missing_interval_reason:
        print(split.missing_interval_reason, file=sys.stderr)
    if findings is not None:
        print(_chance(findings), file=sys.stderr)


def _json_lines(cells: "pd.DataFrame", measure: str) -> str:
    # JSON has no NaN, which stands for an interval that there is not.
    rows = cells.astype(object).where(cells.notna(), None).to_dict(orient="records")
    return "\n".join(json.dumps({"measure": measure, **row}) for row in rows)


def _table(cells: "pd.DataFrame", measure: str) -> str:
    import pandas as pd

    name, where = ("AUC", "inside") if measure == "auc" else ("rho", "as it grows")
    shown = {
        "layer": cells["layer"],
        "quantity": cells["quantity"],
        "unit": cells["unit"],
        where: cells["sign"].map({1: "higher", -1: "lower"}),
        f"{name} found": cells["found"],
        f"{name} held out": cells["held_out"],
        "95 % interval": [
            "none" if low != low else f"{low:.3f} to {high:.3f}"
            for low, high in zip(cells["low"], cells["high"], strict=True)
        ],
    }
    if measure == "auc":
        shown |= {
            "threshold": cells["threshold"],
            "F1 found": cells["f1_found"],
            "F1 held out": cells["f1_held_out"],
        }
    return pd.DataFrame(shown).to_string(index=False, float_format="{:.3f}".format)


def _part(part: "Part") -> str:
    where = f"characters {part.start:,} to {part.end:,}"
    if part.marked is None or part.spans is None:
        return where
    return f"{where} ({part.marked:,} marked, in {counted(part.spans, 'span')})"


def _chance(findings: "Findings") -> str:
    name = "AUC" if findings.measure == "auc" else "rho"
    baseline = findings.baseline
    return (
        f"by chance the best of {counted(findings.units, 'unit')} reaches {name} found "
        f"{baseline.quantile_95:.3f} (95 % quantile) to {baseline.maximum:.3f} (maximum), over "
        f"{len(baseline.best)} random shifts of the property along the text"
    )
