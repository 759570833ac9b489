"""Pictures of what held units do: to the chances of the next token, and to the loss."""

from collections.abc import Callable

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from dashboard.charts.theme import CATEGORICAL, GREY, apply
from dashboard.words import verbatim_in_chart
from gridlstm.text import printable_byte

AS_IT_IS, HELD = "as it is", "held"
MAX_TOKENS = 10
# Kind of unit: what it is called, its colour, its shape and its size in pixels.
_KINDS = {
    "random": ("at random, same layers", CATEGORICAL[7], "circle-open", 8),
    "chosen": ("top of the ranking", CATEGORICAL[1], "diamond", 11),
}


def find_likeliest_bytes(before: np.ndarray, after: np.ndarray, count: int) -> np.ndarray:
    """The `count` tokens with the greatest chance in either of two distributions [token], int.

    The greatest first; of equal ones the lower number.
    """
    return np.argsort(-np.maximum(before, after), kind="stable")[:count]


def next_token_probabilities(
    before: np.ndarray,
    after: np.ndarray,
    count: int = MAX_TOKENS,
    label: Callable[[int], str] = printable_byte,
) -> go.Figure:
    """The chances of the likeliest next tokens, without and with the units held, as bars.

    `before` and `after` float [token]. The likeliest token is on top; `label` says what each is
    called.
    """
    before, after = np.asarray(before, np.float32), np.asarray(after, np.float32)
    chosen = find_likeliest_bytes(before, after, count)
    labels = [verbatim_in_chart(label(int(token))) for token in chosen]
    fig = go.Figure()
    for name, probabilities, colour in (
        (AS_IT_IS, before, CATEGORICAL[7]),
        (HELD, after, CATEGORICAL[1]),
    ):
        fig.add_bar(
            x=probabilities[chosen],
            y=np.arange(len(chosen)),
            orientation="h",
            name=name,
            marker={"color": colour, "line_width": 0},
            texttemplate="%{x:.1%}",
            textposition="outside",
            textfont={"size": 10},
            cliponaxis=False,
            customdata=labels,
            hovertemplate=f"%{{customdata}}, {name}: %{{x:.2%}}<extra></extra>",
        )
    apply(fig, height=110 + 28 * len(chosen), barmode="group", bargap=0.15)
    fig.update_xaxes(title_text="Chance of coming next", tickformat=".0%")
    most = float(max(before.max(), after.max()))
    fig.update_xaxes(range=[0, 1.08 * most])
    return fig.update_yaxes(
        tickvals=np.arange(len(chosen)),
        ticktext=labels,
        range=[len(chosen) - 0.5, -0.5],
        showgrid=False,
    )


def cost_of_units(rows: pd.DataFrame) -> go.Figure:
    """What holding each unit alone costs: inside a property against outside, a point a unit.

    `rows` has the columns of `gridlstm.intervention.ablate`, the changes in bits per
    character. Above the dotted line holding it costs more inside than outside.
    """
    fig = go.Figure()
    for kind, (name, colour, symbol, size) in _KINDS.items():
        of_kind = rows[rows["kind"] == kind]
        fig.add_scatter(
            x=of_kind["change_outside"],
            y=of_kind["change_inside"],
            mode="markers",
            name=name,
            marker={"color": colour, "symbol": symbol, "size": size},
            customdata=of_kind[["quantity", "layer", "unit"]].astype(str),
            hovertemplate="%{customdata[0]}, layer %{customdata[1]}, unit %{customdata[2]}<br>"
            "inside %{y:+.4f} bits<br>outside %{x:+.4f} bits<extra></extra>",
        )
    apply(fig, height=400, legend_traceorder="reversed")
    fig.add_hline(0, line={"color": GREY, "width": 1})
    fig.add_vline(0, line={"color": GREY, "width": 1})
    low, high = _ends(rows)
    fig.add_shape(
        type="line", x0=low, y0=low, x1=high, y1=high, line={"color": GREY, "dash": "dot"}
    )
    fig.update_xaxes(title_text="Loss outside rises by (bits per character)", tickformat="+.3~f")
    return fig.update_yaxes(
        title_text="Loss inside rises by (bits per character)", tickformat="+.3~f"
    )


def _ends(rows: pd.DataFrame) -> tuple[float, float]:
    """Where the line of equal changes ends: within both axes, so that it stretches neither."""
    changes = rows[["change_inside", "change_outside"]]
    return float(min(0, changes.min().max())), float(max(0, changes.max().min()))
