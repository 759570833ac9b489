"""Sequences read side by side: a layer may have more of them than the one below it."""

import torch
from torch import Tensor


def spread(values: Tensor, sequences: int) -> Tensor:
    """[..., A, X] -> [..., B, X]: each sequence beyond the first A gets what the first gets."""
    apart, *more = values.shape[-2], sequences - values.shape[-2]
    if more == [0]:
        return values
    first = values[..., :1, :]
    if apart == 1:
        return first.expand(*values.shape[:-2], sequences, -1)
    return torch.cat((values, first.expand(*values.shape[:-2], *more, -1)), -2)
