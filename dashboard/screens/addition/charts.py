"""Pictures of a sum: written one number below the other, and the memory that carries.

Places are counted from 1 in what the user reads, from the first digit on.
"""

import numpy as np
import plotly.graph_objects as go

from dashboard.charts.theme import CATEGORICAL, GREY, apply
from gridlstm.text import printable_byte

RIGHT, WRONG = CATEGORICAL[3], CATEGORICAL[1]
RULE = {"color": GREY, "width": 1}
# Of more places than these, what is wider than a digit is written upwards.
MAX_PLACES_LEVEL = 30
ROWS = ("carried here", "first number", "second number", "right sum", "the model's", "its chance")


def written_sum(
    operands: np.ndarray,
    carries: np.ndarray,
    right: bytes,
    answer: bytes,
    probabilities: np.ndarray,
) -> go.Figure:
    """The sum as one writes it, and what the model answers in each place.

    `operands` int [2, digit]; `carries` bool [digit + 1], whether 1 is carried into each digit of
    the sum; `right` and `answer` the bytes of the sum and its end [digit + 2]; `probabilities`
    float [digit + 2], what the model gives to each byte that it answers.
    """
    places = len(right)
    after = [""]
    lines = [
        ["1" if carry else "" for carry in carries] + after,
        *(["", *map(str, number), *after] for number in operands),
        [_shown(byte) for byte in right],
        [_shown(byte) for byte in answer],
        [f"{chance:.0%}" for chance in probabilities],
    ]
    # All notes and shapes are put in at once: plotly looks through all that are there at each more.
    small = {"size": 12, "angle": -90 if places > MAX_PLACES_LEVEL else 0}
    notes = [
        _note(place, row, text, **(small if row == len(lines) - 1 else {}))
        for row, line in enumerate(lines)
        for place, text in enumerate(line)
    ]
    line = ROWS.index("right sum") - 0.5
    shapes = [
        {"type": "line", "x0": -0.5, "x1": places - 1.5, "y0": line, "y1": line, "line": RULE}
    ]
    for place, (wanted, given) in enumerate(zip(right, answer, strict=True)):
        shapes.append(_box(place, ROWS.index("the model's"), RIGHT if wanted == given else WRONG))
        if wanted != given:
            notes.append(_note(place, len(lines), "wrong", **small))
    fig = go.Figure(layout={"annotations": notes, "shapes": shapes})
    fig.add_scatter(x=[None], y=[None], showlegend=False)
    # Below the last row there is room for what is wrong, where something is.
    end = len(ROWS) + (0.4 if answer != right else -0.4)
    apply(fig, height=round(36 * (end + 0.6)) + 16, margin={"l": 110, "r": 16, "t": 8, "b": 8})
    fig.update_xaxes(visible=False, range=[-0.6, max(places, 12) - 0.4], fixedrange=True)
    return fig.update_yaxes(
        tickvals=list(range(len(ROWS))),
        ticktext=list(ROWS),
        range=[end, -0.6],
        showgrid=False,
        fixedrange=True,
    )


def name_places(fig: go.Figure, characters: str, answer: bytes, carries: np.ndarray) -> go.Figure:
    """Let a picture along the characters of a sum (`units_by_character`, `layers_by_character`) say
    under each position what is read there, what is answered, and where 1 is carried; the positions
    with a carry are framed. `answer` and `carries` as above."""
    first = len(characters) - len(answer)
    ticks, frames = [], []
    for position, character in enumerate(characters):
        place = position - first
        lines = [character, _shown(answer[place]) if place >= 0 else " "]
        carried = 0 <= place < len(carries) and carries[place]
        ticks.append("<br>".join([*lines, "carry" if carried else " "]))
        if carried:
            frames.append(_frame(position + 1))
    fig.layout.shapes = [*fig.layout.shapes, *frames]
    fig.update_layout(margin_b=96, height=fig.layout.height + 40)
    # Only the axis that is seen: there may be a second one, whose ticks are the hover's text.
    fig.layout.xaxis.update(
        title_text="read, below it what is answered there, and where 1 is carried into that digit",
        tickvals=list(range(1, len(characters) + 1)),
        ticktext=ticks,
        tickangle=0,
    )
    return fig


def _note(place: int, row: int, text: str, size: int = 18, angle: int = 0) -> dict:
    """A sign of the sum, as plotly's annotation."""
    font = {"size": size, "family": "monospace"}
    return {
        "x": place, "y": row, "text": text, "showarrow": False, "font": font, "textangle": angle
    }  # fmt: skip


def _box(place: int, row: int, colour: str) -> dict:
    """A coloured field behind a sign, as plotly's shape."""
    return {
        "type": "rect",
        **{"x0": place - 0.42, "x1": place + 0.42, "y0": row - 0.45, "y1": row + 0.45},
        "fillcolor": colour,
        "opacity": 0.45,
        "line": {"width": 0},
        "layer": "below",
    }


def _frame(position: int) -> dict:
    """A frame round a position, counted from 1, from the top of a picture to its bottom."""
    return {
        "type": "rect",
        "xref": "x",
        "yref": "y domain",
        **{"x0": position - 0.5, "x1": position + 0.5, "y0": 0, "y1": 1},
        "line": {"color": WRONG, "width": 2},
        "layer": "above",
    }


def _shown(byte: int) -> str:
    """A byte of an answer as a short sign, safe in plotly: it may be any of 256."""
    return {10: "⏎", 38: "&amp;", 60: "&lt;"}.get(byte, printable_byte(byte))
