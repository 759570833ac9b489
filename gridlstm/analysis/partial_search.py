"""What a search in stretches has so far, in a file, from which it goes on."""

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from gridlstm.analysis.bins import Bins
from gridlstm.analysis.corpus_search import Search
from gridlstm.errors import UserError


class PartialError(UserError):
    """A file of partial sums that cannot be used; the message is one sentence for the user."""


def identity_of(search: Search) -> str:
    """What a search is of: of another, the sums are no use."""
    found = hashlib.sha256(search.corpus.model.checksum().encode())
    found.update(search.corpus.tokens.data)
    found.update(search.target.weights.data)
    settings = (
        search.corpus.stretches,
        search.quantities,
        (search.top, search.by_layer, search.seed, search.shifts),
        (search.workers.rank, search.workers.count),
    )
    found.update(repr(settings).encode())
    return found.hexdigest()


def save(search: Search, path: Path, identity: str) -> None:
    """Write the sums so far, once bins are fixed; a file that is there is replaced at once."""
    if search.counts is None:
        return
    tensors = {f"bins {q}:{layer}": t for (q, layer), t in search.counts.bins.tables.items()}
    tensors |= _numbered("counts", search.counts.sums)
    if search.held is not None:
        tensors |= _numbered("held", search.held.sums)
    for n, group in enumerate(search.groups):
        tensors |= _numbered(f"state {n}", group.state)
    tensors["read"] = torch.tensor([group.read for group in search.groups], dtype=torch.int64)
    part = path.with_name(path.name + ".part")
    contiguous = {name: tensor.contiguous().clone() for name, tensor in tensors.items()}
    save_file(contiguous, part, {"search": identity})
    os.replace(part, path)


def resume(search: Search, path: Path, identity: str) -> None:
    """Put the sums of a file into a search that has not begun. Raises PartialError."""
    try:
        with safe_open(path, "pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except FileNotFoundError as error:
        raise PartialError(
            "There is nothing to go on from: no such search was interrupted after its first "
            "minute. Leave --resume out."
        ) from error
    except (OSError, SafetensorError) as error:
        raise PartialError(f"{path} holds no partial sums; leave --resume out.") from error
    if metadata.get("search") != identity:
        raise PartialError(f"{path} is of another search; leave --resume out.")
    tables = {}
    for name, tensor in tensors.items():
        if name.startswith("bins "):
            quantity, _, layer = name.removeprefix("bins ").rpartition(":")
            tables[quantity, int(layer)] = tensor
    order = search.places
    search.begin(Bins({place: tables[place] for place in order}))
    assert search.counts is not None
    _put(search.counts.sums, tensors, "counts")
    if "held 0" in tensors:
        search.judge()
        assert search.held is not None
        _put(search.held.sums, tensors, "held")
    for n, (group, read) in enumerate(zip(search.groups, tensors["read"].tolist(), strict=True)):
        group.read = read
        group.state = tuple(tensors[f"state {n} {k}"] for k in range(len(group.state)))


def _numbered(name: str, tensors: Sequence[Tensor]) -> dict[str, Tensor]:
    return {f"{name} {n}": tensor for n, tensor in enumerate(tensors)}


def _put(sums: Sequence[Tensor], tensors: dict[str, Tensor], name: str) -> None:
    for n, into in enumerate(sums):
        into.copy_(tensors[f"{name} {n}"])
