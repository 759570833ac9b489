"""How well the best cell of each layer follows a property, model beside model."""

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from dashboard.charts.theme import GREY, SYMBOLS, apply, model_style
from dashboard.words import verbatim_in_chart
from gridlstm.plurals import counted

CHANCE = {"AUC": 0.5, "correlation": 0.0}


def score_by_layer(frames: dict[str, pd.DataFrame], measure: str) -> go.Figure:
    """One line a model and memory: `frames` maps a model's title to rows of `best_by_layer`.

    Rows have quantity, layer (from 1), unit, held_out, low and high; `measure` is "AUC" or
    "correlation".
    """
    fig = go.Figure()
    for title, frame in frames.items():
        for quantity, rows in frame.groupby("quantity", sort=False):
            number = len(fig.data)
            fig.add_scatter(
                x=rows["layer"],
                **_judged(rows),
                line=model_style(number),
                marker={"symbol": SYMBOLS[number % len(SYMBOLS)], "size": 9},
                name=f"{verbatim_in_chart(title)}: {quantity.split('.')[0]} memory",
                customdata=[*zip(rows["unit"].tolist(), _intervals(rows), strict=True)],
                hovertemplate=(
                    f"layer %{{x}}, unit %{{customdata[0]}}: {measure} %{{y:.3f}}<br>"
                    "%{customdata[1]}<extra></extra>"
                ),
            )
    fig.add_hline(y=CHANCE[measure], line={"color": GREY, "dash": "dot"}, annotation_text="chance")
    rows = len(fig.data)
    apply(fig, height=380 + 18 * rows, margin={"t": 32 + 20 * rows})
    fig.update_layout(legend={"orientation": "v"})
    fig.update_xaxes(title_text="Layer (1 reads the text)", dtick=1)
    return fig.update_yaxes(title_text=f"{measure} of the layer's best cell, judged")


def probe_curve(scores: pd.DataFrame) -> go.Figure:
    """How well a property is read from so many units of a layer.

    `scores` has the columns units, used, found, held_out, low and high of `Probe.scores`.
    """
    fig = go.Figure()
    fig.add_scatter(
        x=scores["units"],
        **_judged(scores),
        line=model_style(0),
        name="judged on the second part",
        customdata=[*zip(_units(scores), scores["used"], _intervals(scores), strict=True)],
        hovertemplate=(
            "%{customdata[0]} (%{customdata[1]} used): AUC %{y:.3f}<br>"
            "%{customdata[2]}<extra></extra>"
        ),
    )
    fig.add_scatter(
        x=scores["units"],
        y=scores["found"],
        mode="lines+markers",
        line=model_style(1),
        name="on the part it was fitted to",
        customdata=_units(scores),
        hovertemplate="%{customdata}: AUC %{y:.3f}<extra></extra>",
    )
    apply(fig, height=340, margin={"t": 56})
    ticks = [int(units) for units in scores["units"]]
    fig.update_xaxes(title_text="Units the probe may use", type="log", tickvals=ticks)
    return fig.update_yaxes(title_text="AUC")


def _units(scores: pd.DataFrame) -> list[str]:
    return [counted(units, "unit") for units in scores["units"]]


def _intervals(rows: pd.DataFrame) -> list[str]:
    return [
        "no 95 % interval" if np.isnan(low) else f"95 % interval {low:.3f} to {high:.3f}"
        for low, high in zip(rows["low"], rows["high"], strict=True)
    ]


def _judged(scores: pd.DataFrame) -> dict:
    """Settings of a line through the scores on text the search never saw, with their intervals."""
    judged = scores["held_out"]
    interval = {
        "type": "data",
        "symmetric": False,
        "array": scores["high"] - judged,
        "arrayminus": judged - scores["low"],
        "thickness": 1.2,
    }
    return {"y": judged, "error_y": interval, "mode": "lines+markers"}
