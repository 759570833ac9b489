"""Which units follow a property of a text: every unit's exact ROC AUC or Spearman correlation."""

from collections.abc import Iterator, Mapping

import numpy as np
import pandas as pd

from gridlstm.analysis.chunks import chunks
from gridlstm.analysis.ranks import centred_ranks
from gridlstm.errors import UserError
from gridlstm.progress import Progress


class RankingError(UserError):
    """A target that tells no two positions apart; the message is one sentence for the user."""


def auc(values: np.ndarray, marks: np.ndarray) -> np.ndarray:
    """The area under each unit's ROC curve: float64 [unit], exact, ties counted half.

    It is the chance that a marked position has the higher value of a random pair of a marked and
    an unmarked one (Mann-Whitney); 0.5 for a unit that never varies. `values` [position, unit],
    `marks` bool [position]; several targets at once, [position, target], give [unit, target] in
    little more time than one. float16 is the fast case. RankingError if all positions are marked
    or none; ValueError if a value is NaN, or if the shapes differ.
    """
    marks = _checked_marks(np.asarray(marks, bool), len(values))
    marked = np.count_nonzero(marks, axis=0)
    pairs = marked * (len(marks) - marked)
    # Over the marked positions the centred ranks add up to the pairs won less those lost: against
    # each other they win as many as they lose.
    weights = marks.astype(np.float64)
    won = np.empty((values.shape[1], *marks.shape[1:]))
    for units, ranks in _ranks(values):
        won[units] = ranks @ weights
    return (pairs + won) / (2 * pairs)


def spearman(values: np.ndarray, numbers: np.ndarray) -> np.ndarray:
    """Each unit's Spearman correlation with a number: float64 [unit], exact, ties at mean rank.

    0 for a unit that never varies. `values` [position, unit], `numbers` [position], or several,
    as for `auc`. RankingError if the number never varies; ValueError as for `auc`.
    """
    numbers = _checked_numbers(np.asarray(numbers, np.float64), len(values))
    targets = centred_ranks(np.atleast_2d(numbers.T)).T.reshape(numbers.shape)
    spread = (targets**2).sum(axis=0)
    rho = np.zeros((values.shape[1], *numbers.shape[1:]))
    for units, ranks in _ranks(values):
        scale = np.sqrt(np.multiply.outer((ranks**2).sum(axis=1), spread))
        np.divide(ranks @ targets, scale, out=rho[units], where=scale > 0)
    return rho


def rank_units(
    values: Mapping[str, np.ndarray],
    target: np.ndarray,
    positions: np.ndarray | None = None,
    top: int | None = None,
    progress: Progress | None = None,
) -> pd.DataFrame:
    """All units of all layers and quantities, those that follow `target` best first.

    `values` maps each quantity to [layer, position, unit]. `target` is [position], or [character]
    with `positions` int [character], the position that stands for each character (an encoded text's
    `last_token`). If it is bool, it marks what is inside and units have an `auc`; if it is of
    numbers, they have a `rho`, Spearman's correlation. `top` keeps that many rows. Errors as for
    `auc` and `spearman`.

    Columns: layer (from 1), quantity, unit, auc or rho, score (see `strength`), sign (+1: higher
    where the target is, -1: lower). A unit that never varies has the least score there is.
    """
    target = np.asarray(target)
    measure = measure_of(target)
    rows = [
        unit_rows(quantity, layer, measured, measure)
        for quantity, layer, measured in measure_units(values, target, positions, progress)
    ]
    return best_first(rows, top)


def measure_of(target: np.ndarray) -> str:
    """What a target is measured by: "auc" if it marks (bool), "rho" if it is of numbers."""
    return "auc" if target.dtype == bool else "rho"


def strength(measured: np.ndarray, measure: str) -> np.ndarray:
    """How well a unit follows a target, whichever way: max(auc, 1 - auc), or |rho|."""
    return np.maximum(measured, 1 - measured) if measure == "auc" else np.abs(measured)


def measure_units(
    values: Mapping[str, np.ndarray],
    target: np.ndarray,
    positions: np.ndarray | None = None,
    progress: Progress | None = None,
) -> Iterator[tuple[str, int, np.ndarray]]:
    """Each quantity and layer (from 1) with the `auc` or `spearman` of its units [unit].

    `target` may also be several of a kind, [position, target]: then [unit, target].
    """
    follow = auc if measure_of(target) == "auc" else spearman
    total, done = sum(len(layers) for layers in values.values()), 0
    for quantity, layers in values.items():
        for layer, activations in enumerate(layers, start=1):
            chosen = activations if positions is None else activations[positions]
            yield quantity, layer, follow(chosen, target)
            done += 1
            if progress:
                progress(done / total)


def unit_rows(quantity: str, layer: int, measured: np.ndarray, measure: str) -> pd.DataFrame:
    """The rows of `rank_units` for the units of one layer, from their `measured` [unit]."""
    middle = 0.5 if measure == "auc" else 0
    return pd.DataFrame(
        {
            "layer": layer,
            "quantity": quantity,
            "unit": np.arange(len(measured)),
            measure: measured,
            "score": strength(measured, measure),
            "sign": np.where(measured >= middle, 1, -1),
        }
    )


def best_first(rows: list[pd.DataFrame], top: int | None = None) -> pd.DataFrame:
    """Rows of units together, in the order of their scores, the `top` of them."""
    ranking = pd.concat(rows, ignore_index=True)
    ranking = ranking.sort_values("score", ascending=False, kind="stable", ignore_index=True)
    return ranking if top is None else ranking.head(top)


def _ranks(values: np.ndarray) -> Iterator[tuple[slice, np.ndarray]]:
    """The units of `values` [position, unit] by and by, with their `centred_ranks`."""
    for units in chunks(values.shape[1], len(values)):
        yield units, centred_ranks(np.ascontiguousarray(values[:, units].T))


def _checked_marks(marks: np.ndarray, positions: int) -> np.ndarray:
    if len(marks) != positions:
        raise ValueError(f"There are {positions} positions but marks of shape {marks.shape}.")
    if not marks.any(axis=0).all():
        raise RankingError("Units cannot be ranked: no position of the text is marked.")
    if marks.all(axis=0).any():
        raise RankingError("Units cannot be ranked: every position of the text is marked.")
    return marks


def _checked_numbers(numbers: np.ndarray, positions: int) -> np.ndarray:
    if len(numbers) != positions:
        raise ValueError(f"There are {positions} positions but numbers of shape {numbers.shape}.")
    if not positions or (numbers == numbers[0]).all(axis=0).any():
        raise RankingError("Units cannot be ranked: the number is the same at every position.")
    return numbers
