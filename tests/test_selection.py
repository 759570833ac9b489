"""From a selection to its cells, and to its like: planted units and plain loops."""

import numpy as np
import pytest

from gridlstm.analysis.selection import SelectionError, share_on, similar_places, units_on

CHARACTERS = 200


def planted() -> dict[str, np.ndarray]:
    """Noise [2 layers, position, 8 units] with three units that follow the spans 40-50 and 120-130:
    layer 1 unit 3 by being high, layer 2 unit 5 by being low, layer 2 unit 6 only in the first."""
    values = np.random.default_rng(1).normal(0, 0.1, (2, CHARACTERS, 8)).astype(np.float32)
    for span in (slice(40, 50), slice(120, 130)):
        values[0, span, 3] += 2
        values[1, span, 5] -= 3
    values[1, 40:50, 6] += 2
    values[0, :, 7] = 1
    return {"time.cell": values}


POSITIONS = np.arange(CHARACTERS)


def test_planted_units_are_found_with_their_direction():
    found = units_on(planted(), POSITIONS, 40, 50)
    rows = set(zip(found["layer"], found["unit"], found["direction"], strict=True))
    assert {(1, 3, "high"), (2, 5, "low"), (2, 6, "high")} <= rows
    assert not any(unit == 7 for _, unit, _ in rows)
    assert list(found["score"]) == sorted(found["score"], reverse=True)


@pytest.mark.parametrize(("left", "right"), [(0, 0), (1, 1), (3, 0), (0, 2)])
def test_against_a_plain_loop(left, right):
    values = {"time.cell": np.random.default_rng(2).normal(size=(2, 60, 40))}
    start, end, quantile = 20, 22, 0.8
    expected = set()
    for layer in range(2):
        for unit in range(40):
            for sign, direction in ((1, "high"), (-1, "low")):
                of_unit = sign * values["time.cell"][layer, :, unit].astype(np.float32)
                threshold = np.quantile(of_unit, quantile)
                outside = [*range(start - left, start), *range(end, end + right)]
                if all(of_unit[start:end] > threshold) and all(of_unit[outside] <= threshold):
                    expected.add((layer + 1, unit, direction))
    found = units_on(values, np.arange(60), start, end, left=left, right=right, quantile=quantile)
    assert set(zip(found["layer"], found["unit"], found["direction"], strict=True)) == expected


def test_a_character_shows_the_value_at_its_last_byte():
    values = planted()
    stretched = {q: np.repeat(v, 2, axis=1) for q, v in values.items()}
    stretched["time.cell"][:, ::2] = 99
    positions = np.arange(1, 2 * CHARACTERS, 2)
    expected = units_on(values, POSITIONS, 40, 50)
    assert units_on(stretched, positions, 40, 50).equals(expected)


def test_its_like_is_found_elsewhere():
    values = planted()
    units = units_on(values, POSITIONS, 40, 50).head(2)
    assert set(units["unit"]) == {3, 5}
    places = similar_places(values, POSITIONS, units, 40, 50)
    first = places.iloc[0]
    assert (first["start"], first["end"], first["share"]) == (120, 130, 1)
    assert not ((places["start"] < 50) & (places["end"] > 40)).any()


def test_share_on_against_a_plain_loop():
    values = planted()
    units = units_on(values, POSITIONS, 40, 50)
    share = share_on(values, POSITIONS, units)
    for character in (0, 44, 120, 125, 199):
        on = [
            (row.threshold < values["time.cell"][row.layer - 1, character, row.unit])
            if row.direction == "high"
            else (row.threshold > values["time.cell"][row.layer - 1, character, row.unit])
            for row in units.itertuples()
        ]
        assert share[character] == pytest.approx(np.mean(on))


@pytest.mark.parametrize(
    ("start", "end", "options", "message"),
    [
        (5, 5, {}, "Nothing is selected"),
        (0, CHARACTERS, {}, "whole text"),
        (-1, 5, {}, "not within"),
        (5, CHARACTERS + 1, {}, "not within"),
        (5, 105, {}, "select fewer"),
        (5, 6, {"left": -1}, "margin"),
        (5, 6, {"quantile": 1.0}, "quantile"),
        (60, 75, {}, "No unit"),
    ],
)
def test_a_selection_that_leads_to_nothing_is_said(start, end, options, message):
    with pytest.raises(SelectionError, match=message):
        units_on(planted(), POSITIONS, start, end, **options)
