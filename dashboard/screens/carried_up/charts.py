"""Pictures of who wrote a property's direction, and of what is lost without it."""

import plotly.graph_objects as go

from dashboard.charts.theme import CATEGORICAL, GREY, apply, layer_colours
from gridlstm.analysis.carried_up import CarriedUp
from gridlstm.curves import convert

# Kind of what is taken out: what it is called, its colour, its shape and its size in pixels.
_KINDS = {
    "random": ("along random directions", CATEGORICAL[7], "circle-open", 8),
    "moved": ("as much, along random directions", CATEGORICAL[3], "square-open", 8),
    "direction": ("along this direction", CATEGORICAL[1], "diamond", 12),
    "random whole": ("all along random directions", CATEGORICAL[7], "cross-open", 8),
    "whole": ("all along this direction", CATEGORICAL[1], "cross", 11),
}


def written_by_layer(found: CarriedUp) -> go.Figure:
    """Each layer's part of the contrast in the top memory, with its interval."""
    rows = found.layers
    fig = go.Figure()
    fig.add_bar(
        x=rows["written"],
        y=[f"layer {n}" for n in rows["layer"]],
        orientation="h",
        marker={"color": layer_colours(len(rows)), "line_width": 0},
        error_x={
            "type": "data",
            "symmetric": False,
            "array": rows["high"] - rows["written"],
            "arrayminus": rows["written"] - rows["low"],
            "color": GREY,
            "thickness": 1.5,
        },
        hovertemplate="%{y} wrote %{x:.1%}<extra></extra>",
    )
    apply(fig, height=120 + 34 * len(rows), margin={"t": 16})
    return fig.update_xaxes(title_text="Part of what sets inside apart", tickformat=".0%")


def losses(found: CarriedUp) -> go.Figure:
    """How much the loss rises inside and outside, a point for each thing taken out."""
    fig = go.Figure()
    for kind, (name, colour, symbol, size) in _KINDS.items():
        rows = found.losses[found.losses["kind"] == kind]
        fig.add_scatter(
            x=convert(rows["change_outside"].to_numpy(), "bits"),
            y=convert(rows["change_inside"].to_numpy(), "bits"),
            mode="markers",
            name=name,
            marker={"color": colour, "symbol": symbol, "size": size},
            hovertemplate=f"{name}<br>inside %{{y:+.4f}}, outside %{{x:+.4f}} bits<extra></extra>",
        )
    fig.add_hline(y=0, line={"color": GREY, "dash": "dot"})
    fig.add_vline(x=0, line={"color": GREY, "dash": "dot"})
    apply(fig, height=120 + 34 * max(6, len(found.layers)), margin={"t": 64})
    fig.update_xaxes(title_text="Outside, bits per character")
    return fig.update_yaxes(title_text="Inside, bits per character")
