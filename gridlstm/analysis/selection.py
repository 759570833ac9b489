"""From a selection of characters to the units that are on in it, and to places like it.

The interaction of LSTMVis (Strobelt et al. 2017, arXiv 1606.07461, section 4): the units that are
on throughout the selected characters and off just outside them, then the places where the same
units are on. Here all layers and quantities are searched at once, each unit has its own threshold,
a quantile of its values over the text, and a unit may also be on by being low.

A selection is `start`, `end` in characters from 0, without `end` itself. `positions` int
[character] is the position that stands for each character (an encoded text's `last_token`).
"""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from gridlstm.analysis.chunks import chunks
from gridlstm.errors import UserError
from gridlstm.progress import Progress

DIRECTIONS = {"high": 1, "low": -1}
COLUMNS = ("layer", "quantity", "unit", "direction", "threshold", "score")


class SelectionError(UserError):
    """A selection that leads to nothing; the message is one sentence for the user."""


def units_on(
    values: Mapping[str, np.ndarray],
    positions: np.ndarray,
    start: int,
    end: int,
    *,
    left: int = 1,
    right: int = 1,
    quantile: float = 0.9,
    progress: Progress | None = None,
) -> pd.DataFrame:
    """The units that are on throughout the selection and off just outside, the clearest first.

    `values` maps each quantity to [layer, position, unit]. A unit is on where it is above its
    threshold, the `quantile` of its values over all characters (direction `high`), or under the
    quantile 1 - `quantile` (direction `low`); on the threshold it is off, so one that never varies
    is never on. It must be off at the `left` characters before the selection and the `right` ones
    after it, as far as the text goes; 0 asks nothing on that side.

    Columns: layer (from 1), quantity, unit, direction, threshold, score: the least distance of a
    character from the threshold, of those that count inside and outside, in standard deviations of
    the unit over the text.

    Raises SelectionError if nothing or the whole text is selected, an option is out of range, or no
    unit qualifies.
    """
    _check_selection(len(positions), start, end)
    _check_options(len(positions), end - start, left, right, quantile)
    inside = positions[start:end]
    outside = np.concatenate(
        (positions[max(0, start - left) : start], positions[end : end + right])
    )
    found, total = [], sum(len(layers) for layers in values.values())
    for quantity, layers in values.items():
        for layer, activations in enumerate(layers, start=1):
            for direction in DIRECTIONS:
                rows = _on(activations, positions, inside, outside, direction, quantile)
                found.append(rows.assign(layer=layer, quantity=quantity, direction=direction))
            if progress:
                progress(len(found) / len(DIRECTIONS) / total)
    units = pd.concat(found, ignore_index=True)[list(COLUMNS)]
    if units.empty:
        raise SelectionError(
            "No unit is on throughout the selection and off just outside it: "
            "lower the quantile, shorten the margins or select fewer characters."
        )
    return units.sort_values("score", ascending=False, kind="stable", ignore_index=True)


def share_on(
    values: Mapping[str, np.ndarray],
    positions: np.ndarray,
    units: pd.DataFrame,
    progress: Progress | None = None,
) -> np.ndarray:
    """What share of a set of units is on at each character: float64 [character], 0 to 1.

    `units` are rows of `units_on`: layer, quantity, unit, direction, threshold. Raises
    SelectionError if there are none.
    """
    if units.empty:
        raise SelectionError("Choose at least one unit to look for.")
    count = np.zeros(len(positions), np.int64)
    done = 0
    for (quantity, layer), rows in units.groupby(["quantity", "layer"]):
        activations = values[quantity][layer - 1]
        sign = rows["direction"].map(DIRECTIONS).to_numpy()
        threshold = sign * rows["threshold"].to_numpy()
        for part in chunks(len(positions), len(rows)):
            seen = activations[np.ix_(positions[part], rows["unit"].to_numpy())]
            count[part] += np.count_nonzero(sign * _wide(seen) > threshold, axis=1)
        done += len(rows)
        if progress:
            progress(done / len(units))
    return count / len(units)


def similar_places(
    values: Mapping[str, np.ndarray],
    positions: np.ndarray,
    units: pd.DataFrame,
    start: int,
    end: int,
    *,
    top: int = 20,
    least: float = 0.5,
    stretch: float = 2.0,
    progress: Progress | None = None,
) -> pd.DataFrame:
    """Other places where the same set of units is on, the likest first; empty if there are none.

    A place is a longest run of characters at each of which at least the share `least` of `units`
    (rows of `units_on`) is on. Left out are those that overlap the selection, and those shorter
    than the selection's length divided by `stretch` or longer than it times `stretch`. They are
    ranked by the share of the set that is on, in the mean over the run; of equals, the one whose
    length is nearer to the selection's (as a ratio) comes first, then the earlier one.

    Columns: start, end (characters from 0, without the end itself), share. At most `top` rows.
    Raises SelectionError if nothing or the whole text is selected, or no unit chosen.
    """
    _check_selection(len(positions), start, end)
    share = share_on(values, positions, units, progress)
    starts, ends = _runs(share >= least)
    lengths, selected = ends - starts, end - start
    apart = (ends <= start) | (starts >= end)
    alike = (lengths * stretch >= selected) & (lengths <= selected * stretch)
    starts, ends, lengths = (found[apart & alike] for found in (starts, ends, lengths))
    on = np.concatenate(([0], np.cumsum(np.rint(share * len(units)))))
    mean = (on[ends] - on[starts]) / (lengths * len(units))
    order = np.lexsort((starts, np.abs(np.log(lengths / selected)), -mean))[:top]
    return pd.DataFrame({"start": starts[order], "end": ends[order], "share": mean[order]})


def _on(
    activations: np.ndarray,
    positions: np.ndarray,
    inside: np.ndarray,
    outside: np.ndarray,
    direction: str,
    quantile: float,
) -> pd.DataFrame:
    """The units of activations [position, unit] that qualify in one direction: unit, threshold and
    score. `inside` and `outside` are the positions at which they must be on and off."""
    sign = DIRECTIONS[direction]
    weakest = (sign * _wide(activations[inside])).min(axis=0)
    strongest = (sign * _wide(activations[outside])).max(axis=0, initial=-np.inf)
    # Few units have any threshold between; only of those the whole text is looked at.
    candidates = np.flatnonzero(weakest > strongest)
    thresholds, spreads = np.empty(len(candidates)), np.empty(len(candidates))
    for part in chunks(len(candidates), len(activations)):
        over_text = _wide(activations[:, candidates[part]].T[:, positions])
        thresholds[part] = np.quantile(sign * over_text, quantile, axis=1)
        spreads[part] = over_text.std(axis=1, dtype=np.float64)
    clear_inside = weakest[candidates] - thresholds
    clear_outside = thresholds - strongest[candidates]
    on = (clear_inside > 0) & (clear_outside >= 0)
    clear = np.minimum(clear_inside, clear_outside)[on]
    return pd.DataFrame(
        {
            "unit": candidates[on],
            "threshold": sign * thresholds[on],
            "score": clear / spreads[on],
        }
    )


def _wide(values: np.ndarray) -> np.ndarray:
    """The values in float32 or wider, in which thresholds between float16 values exist."""
    return values.astype(np.result_type(values, np.float32))


def _runs(marks: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The starts and ends int [run] of the longest runs of True in `marks` bool [character]."""
    edges = np.flatnonzero(np.diff(np.concatenate(([0], marks.view(np.int8), [0]))))
    return edges[::2], edges[1::2]


def _check_selection(characters: int, start: int, end: int) -> None:
    if not 0 <= start <= end <= characters:
        raise SelectionError(
            f"The selection from {start} to {end} is not within the text's {characters} characters."
        )
    if start == end:
        raise SelectionError("Nothing is selected: select at least one character.")
    if end - start == characters:
        raise SelectionError("The whole text is selected: select only a part of it.")


def _check_options(characters: int, selected: int, left: int, right: int, quantile: float) -> None:
    if left < 0 or right < 0:
        raise SelectionError("A margin cannot be less than 0 characters.")
    if not 0 < quantile < 1:
        raise SelectionError("The quantile must lie between 0 and 1.")
    # At most this share of a unit's values lies above the quantile.
    if selected > (1 - quantile) * characters:
        raise SelectionError(
            f"A unit is on in at most {1 - quantile:.1%} of the text, but "
            f"{selected / characters:.1%} is selected: lower the quantile or select fewer "
            "characters."
        )
