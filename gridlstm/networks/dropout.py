"""Dropout, with masks drawn in less time than torch's on a CPU."""

import torch
from torch import Tensor


def drop(values: Tensor, rate: float) -> Tensor:
    """Dropout: each value 0 with probability `rate`, else divided by what is left of 1."""
    return values * dropout_mask(values, values.shape, rate) if rate > 0 else values


def dropout_mask(like: Tensor, shape: tuple[int, ...], rate: float) -> Tensor:
    """A mask of 0 (with probability `rate`) and 1 / (1 - rate), of `like`'s type and device."""
    # Four 16-bit draws from each 64-bit one: on a CPU drawing costs more than comparing.
    count = torch.Size(shape).numel()
    draws = torch.empty((count + 3) // 4, dtype=torch.int64, device=like.device)
    draws = draws.random_(-(2**63), None).view(torch.int16)[:count].view(shape)
    return (draws >= round(rate * 2**16) - 2**15).to(like.dtype).mul_(1 / (1 - rate))
