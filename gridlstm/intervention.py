"""What a model loses when units of it are held: a text read again, many interventions at a time.

An intervention is a set of clamps (`gridlstm.clamps`). Whether a cell, or a direction of many, that
follows a property is also used for it shows in the loss: inside the property against outside,
beside that of units taken at random from the same layer, or of random directions.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import torch

from gridlstm.array_types import BoolArray, FloatArray, IntArray
from gridlstm.clamps import AnyClamp, Clamp, HeldDirection, check_clamp
from gridlstm.direction import Direction, random_directions
from gridlstm.errors import UserError
from gridlstm.model import LanguageModel
from gridlstm.progress import Progress
from gridlstm.readings import Readings
from gridlstm.text import Text
from gridlstm.trace import trace
from gridlstm.vocabulary import EncodedText

# Interventions read side by side, and numbers in memory at a time: a reading has so many of each
# unit at each position.
SEQUENCES = 128
MAX_NUMBERS_AT_ONCE = 2**25
NUMBERS = 24
VALUES = ("zero", "mean", "mean inside", "mean outside", "closed", "open")


class InterventionError(UserError):
    """An intervention that cannot be made; the message is one sentence for the user."""


def losses(
    model: LanguageModel,
    text: EncodedText | str | bytes,
    interventions: Sequence[Sequence[AnyClamp]],
    progress: Progress | None = None,
) -> FloatArray:
    """Nats spent on each token under each intervention: float32 [intervention, token], NaN first.

    An empty set of clamps is the model as it is. Raises ClampError for a clamp that the model does
    not allow, InterventionError for an empty text; `progress` may raise `Cancelled`.
    """
    tokens = model.encode(text).tokens
    if not len(tokens):
        raise InterventionError("The text is empty, or the model knows none of its characters.")
    found = np.full((len(interventions), len(tokens)), np.nan, np.float32)
    # Those that are held in the same layer together: what is below it is not read for them.
    lowest = [min((clamp.layer for clamp in clamps), default=0) for clamps in interventions]
    order = np.argsort(lowest, kind="stable")
    for start in range(0, len(order), SEQUENCES):
        group = order[start : start + SEQUENCES]

        def of_group(share: float, start: int = start, group: IntArray = group) -> None:
            if progress is not None:
                progress((start + share * len(group)) / len(order))

        found[group] = _read(model, tokens, [interventions[n] for n in group], of_group)
    return found


@torch.inference_mode()
def _read(
    model: LanguageModel,
    tokens: IntArray,
    interventions: Sequence[Sequence[AnyClamp]],
    progress: Progress,
) -> FloatArray:
    """The losses [intervention, token] of some interventions, piece by piece."""
    length, config = len(tokens), model.config
    found = np.full((len(interventions), length), np.nan, np.float32)
    inputs = torch.tensor(tokens, device=model.decoder.weight.device)[:, None]
    # Of large vocabularies the logits, and what follows from them, are more than the units' values.
    a_position = len(interventions) * max(config.units * NUMBERS, 3 * config.vocabulary_size)
    piece = max(8, MAX_NUMBERS_AT_ONCE // a_position)
    together = Readings(model, interventions, length, min(piece, length))
    for start in range(0, length - 1, piece):
        here = inputs[start : start + piece]
        coming = inputs[start + 1 : start + 1 + len(here)]
        top = together.read(model.embedding(here))[: len(coming)]
        log_chance = torch.log_softmax(model.decoder(top), dim=-1)
        chosen = coming[..., None].expand(-1, top.shape[1], 1)
        loss = -log_chance.gather(2, chosen)[..., together.of, 0]
        found[:, start + 1 : start + 1 + len(coming)] = loss.T.cpu().numpy()
        progress(min(1.0, (start + len(here)) / (length - 1)))
    return found


def value_to_clamp(values: FloatArray, marks: BoolArray | None, name: str) -> float:
    """The value, of `VALUES`, that a unit's `values` [character] give it; `marks` bool [character].

    `closed` and `open` are those of a gate, 0 and 1. Raises InterventionError for another name, or
    where a mean inside or outside is asked for without such characters.
    """
    fixed = {"zero": 0.0, "closed": 0.0, "open": 1.0}
    if name in fixed:
        return fixed[name]
    if name not in VALUES:
        raise InterventionError(f"A unit is held at one of {', '.join(VALUES)}.")
    chosen = values
    if name != "mean":
        if marks is None:
            raise InterventionError("A mean inside or outside needs a property.")
        chosen = values[marks if name == "mean inside" else ~marks]
    if not len(chosen):
        raise InterventionError(f"There are no characters for the {name} in this text.")
    return float(chosen.astype(np.float64).mean())


def ablate(
    model: LanguageModel,
    text: Text,
    marks: BoolArray,
    cells: pd.DataFrame,
    value: str = "mean",
    *,
    random_units: int = 10,
    seed: int = 1,
    progress: Progress | None = None,
) -> pd.DataFrame:
    """What holding each cell alone costs, inside the property and outside of it.

    `cells` has the columns layer (from 1), quantity (a cell or a forget gate) and unit, such as the
    top rows of a ranking; `marks` bool [character]; `value` is one of `VALUES`, taken from the unit
    over this text. For each layer and quantity among them, `random_units` others are drawn with
    `seed` for comparison.

    Columns: kind (`chosen` or `random`), layer, quantity, unit, value, change_inside,
    change_outside: how much the mean loss rises, in nats per character. Raises InterventionError if
    nothing or everything is marked, ClampError for a quantity that cannot be held. Characters that
    the model skips do not count.
    """
    encoded = _encoded(model, text)
    _check_marks(encoded, marks)
    rows = pd.concat([_chosen(cells), _random(model, cells, random_units, seed)], ignore_index=True)
    traced = trace(model, encoded, sorted(set(rows["quantity"]))).values
    read = ~encoded.skipped
    at = encoded.last_token[read]
    units = list(zip(rows["quantity"], rows["layer"], rows["unit"], strict=True))
    rows["value"] = [
        value_to_clamp(traced[quantity][layer - 1, at, unit], marks[read], value)
        for quantity, layer, unit in units
    ]
    clamps = [[Clamp(*unit, held)] for unit, held in zip(units, rows["value"], strict=True)]
    return rows.assign(**_changes(model, encoded, marks, clamps, progress))


def ablate_direction(
    model: LanguageModel,
    text: Text,
    marks: BoolArray,
    direction: Direction,
    value: str = "zero",
    *,
    random: int = 10,
    seed: int = 1,
    progress: Progress | None = None,
) -> pd.DataFrame:
    """What holding the sum along a direction costs, beside directions at random that are as long.

    At zero it is projected out of its layer's memory. Columns: kind (`chosen` or `random`), name,
    value (the sum that is held), change_inside, change_outside. Arguments and errors as for
    `ablate`, and DirectionError.
    """
    encoded = _encoded(model, text)
    _check_marks(encoded, marks)
    check_clamp(HeldDirection(direction), model.config)
    directions = [direction, *random_directions(direction, random, seed)]
    traced = trace(model, encoded, [direction.quantity], dtype=np.float32).values
    read = ~encoded.skipped
    at = encoded.last_token[read]
    held = [value_to_clamp(each.along(traced, at), marks[read], value) for each in directions]
    rows = pd.DataFrame(
        {
            "kind": ["chosen", *["random"] * random],
            "name": [each.name for each in directions],
            "value": held,
        }
    )
    clamps = [[HeldDirection(*pair)] for pair in zip(directions, held, strict=True)]
    return rows.assign(**_changes(model, encoded, marks, clamps, progress))


def _encoded(model: LanguageModel, text: Text) -> EncodedText:
    return model.encode(text.data if model.vocabulary.of_bytes else text.characters)


def _predicted(encoded: EncodedText) -> BoolArray:
    """The characters that something predicts: bool [character]."""
    counts = np.append(np.nan, encoded.byte_counts[1:])
    predicted: BoolArray = np.isfinite(encoded.sum_by_character(counts))
    return predicted


def _check_marks(encoded: EncodedText, marks: BoolArray) -> None:
    predicted = _predicted(encoded)
    if not marks[predicted].any() or marks[predicted].all():
        raise InterventionError("The property must hold of a part of the text, not of all of it.")


def _changes(
    model: LanguageModel,
    encoded: EncodedText,
    marks: BoolArray,
    interventions: Sequence[Sequence[AnyClamp]],
    progress: Progress | None,
) -> dict[str, FloatArray]:
    """By how many nats per character the mean loss rises inside and outside of the marks, under
    each intervention [intervention]."""
    found = losses(model, encoded, [[], *interventions], progress)
    by_character = np.stack([encoded.sum_by_character(loss) for loss in found])
    predicted, changes = _predicted(encoded), {}
    for name, where in (("inside", marks & predicted), ("outside", ~marks & predicted)):
        means = by_character[:, where].mean(axis=1, dtype=np.float64)
        changes[f"change_{name}"] = means[1:] - means[0]
    return changes


def _chosen(cells: pd.DataFrame) -> pd.DataFrame:
    rows = cells[["layer", "quantity", "unit"]].reset_index(drop=True)
    rows.insert(0, "kind", "chosen")
    return rows


def _random(model: LanguageModel, cells: pd.DataFrame, count: int, seed: int) -> pd.DataFrame:
    """Units drawn without replacement from those of the same layers that are not chosen."""
    generator, rows = np.random.default_rng(seed), []
    for (quantity, layer), chosen in cells.groupby(["quantity", "layer"]):
        others = np.setdiff1d(np.arange(model.config.units), chosen["unit"])
        for unit in generator.choice(others, min(count, len(others)), replace=False):
            rows.append(("random", layer, quantity, unit))
    return pd.DataFrame(rows, columns=["kind", "layer", "quantity", "unit"])
