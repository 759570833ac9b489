"""What each model got for its cost: best loss against parameters, or against what training took."""

from dataclasses import dataclass
from html import escape

import numpy as np
import plotly.graph_objects as go

from dashboard.charts.theme import CATEGORICAL, SYMBOLS, apply
from dashboard.screens.curves.charts import (
    LEGEND,
    LEGEND_COLUMNS,
    LEGEND_ROW,
    MARGIN,
    MAX_OUTLIER_RATIO,
    log_ticks,
)
from gridlstm.curves import convert

HEIGHT = 460
# Of the legend, in pixels.
MARK_WIDTH = 30
COSTS = {
    "parameters": "Parameters",
    "operations": "Floating-point operations of training up to the best loss",
    "bytes": "Bytes read in training up to the best loss",
    "seconds": "Wall time up to the best loss, minutes",
}


@dataclass(frozen=True)
class CostPoint:
    """A group of runs with its cost, its mean best loss and the lowest and highest of its seeds, in
    nats per byte. `colour` and `symbol` are numbers that choose from the theme's lists."""

    label: str
    cost: float
    loss: float
    low: float
    high: float
    colour: int
    symbol: int


def cost_figure(points: list[CostPoint], cost: str, unit: str, log_x: bool = True) -> go.Figure:
    """Best loss against what it took, `cost` of `COSTS`: one point a group, its seeds as a bar from
    the lowest to the highest. A point whose cost is not known must not be among them."""
    fig = go.Figure()
    scale = 60 if cost == "seconds" else 1
    for point in sorted(points, key=lambda point: point.colour):
        loss, low, high = (float(convert(x, unit)) for x in (point.loss, point.low, point.high))
        colour = CATEGORICAL[point.colour % len(CATEGORICAL)]
        fig.add_scatter(
            x=[point.cost / scale],
            y=[loss],
            error_y={
                "type": "data",
                "symmetric": False,
                "array": [high - loss],
                "arrayminus": [loss - low],
                "color": colour,
                "visible": point.high > point.low,
            },
            mode="markers",
            marker={
                "color": colour,
                "size": 12,
                # So that marks which lie over each other part.
                "line": {"color": "white", "width": 1},
                "symbol": SYMBOLS[point.symbol % len(SYMBOLS)],
            },
            name=escape(point.label, quote=False),
            showlegend=True,
            hovertemplate="%{fullData.name}: <b>%{y:.4f}</b> at %{x:.4s}<extra></extra>",
        )
    height = HEIGHT + LEGEND_ROW * -(-len(points) // LEGEND_COLUMNS)
    apply(fig, height=height, legend=LEGEND | {"itemwidth": MARK_WIDTH}, hovermode="closest")
    fig.update_xaxes(
        title_text=COSTS[cost],
        type="log" if log_x else "linear",
        tickformat="~s",
        showgrid=True,
        nticks=log_ticks(fig) if log_x else 0,
    )
    fig.update_yaxes(
        title_text=f"Best loss, {unit} per byte",
        showgrid=True,
        range=[float(convert(x, unit)) for x in _in_sight(points)] or None,
    )
    return fig


def _in_sight(points: list[CostPoint]) -> list[float]:
    """The lowest and highest loss in sight at first, nats, where points far above the others would
    press those into a strip; else nothing."""
    most = MAX_OUTLIER_RATIO * np.median([point.loss for point in points])
    seen = [point for point in points if point.loss <= most]
    if len(seen) == len(points):
        return []
    low, high = min(point.low for point in seen), max(point.high for point in seen)
    margin = MARGIN * (high - low) or MARGIN * high
    return [low - margin, high + margin]
