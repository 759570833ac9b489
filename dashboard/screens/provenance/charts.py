"""Pictures of who wrote a memory: by layer along the text, over a whole model, and for how long."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from dashboard.charts.cells import snippets
from dashboard.charts.theme import GREY, apply, count_colours, layer_colours


def stacked_shares(
    shares: np.ndarray, characters: str, sources: Sequence[str], *, start: int = 0
) -> go.Figure:
    """What each source wrote of one memory, stacked: what is positive upwards from zero, the rest
    down.

    `shares` float [source, character], the lowest layer first; `start` the place of the first
    character in the whole text. The line is the memory itself, their sum.
    """
    fig = go.Figure()
    x = np.arange(start + 1, start + 1 + len(characters))
    colours = layer_colours(len(shares))
    hover = _hover(shares, characters, sources, start)
    for source, share, colour in zip(sources, shares, colours, strict=True):
        for sign, part in (("up", share.clip(min=0)), ("down", share.clip(max=0))):
            fig.add_scatter(
                x=x,
                y=part,
                mode="lines",
                line={"width": 0, "color": colour, "shape": "hvh"},
                fillcolor=colour,
                stackgroup=sign,
                name=source,
                legendgroup=source,
                showlegend=sign == "up",
                hoverinfo="skip",
            )
    fig.add_scatter(
        x=x,
        y=shares.sum(axis=0),
        mode="lines",
        line={"color": GREY, "width": 2, "shape": "hvh"},
        name="the memory (their sum)",
        customdata=hover,
        hovertemplate="%{customdata}<extra></extra>",
    )
    apply(fig, height=360, hovermode="x", margin={"t": 64})
    fig.update_xaxes(title_text="Position in the text (characters)", tickformat=",d")
    return fig.update_yaxes(title_text="Written into the memory")


def mean_shares(shares: np.ndarray) -> go.Figure:
    """How much of the top depth memory each layer wrote on the whole: `shares` float [layer]."""
    fig = go.Figure()
    fig.add_bar(
        x=shares,
        y=[f"layer {n}" for n in range(1, len(shares) + 1)],
        orientation="h",
        marker={"color": layer_colours(len(shares)), "line_width": 0},
        text=[f"{share:.0%}" for share in shares],
        textposition="outside",
        cliponaxis=False,
        hovertemplate="%{y} wrote %{x:.1%}<extra></extra>",
    )
    apply(fig, height=120 + 34 * len(shares), margin={"t": 16})
    # The room beyond the longest bar is for its share.
    fig.update_xaxes(tickformat=".0%", range=[0, 1.12 * float(shares.max())])
    return fig.update_xaxes(title_text="Mean share of the top layer's memory")


def survival(counts: np.ndarray) -> go.Figure:
    """How many layers further up writes survive: `counts` int [writing layer, layers survived]."""
    layers = len(counts)
    fig = go.Figure()
    shares = counts / counts.sum(axis=1, keepdims=True)
    for survived, colour in enumerate(count_colours(layers)):
        fig.add_bar(
            x=shares[:, survived],
            y=[f"layer {n}" for n in range(1, layers + 1)],
            orientation="h",
            name=str(survived),
            marker={"color": colour, "line_width": 0},
            hovertemplate=(
                f"%{{x:.1%}} of what %{{y}} writes<br>survives {survived} more layer(s)"
                "<extra></extra>"
            ),
        )
    apply(fig, height=140 + 34 * layers, barmode="stack", margin={"t": 48})
    fig.update_layout(legend={"title": {"text": "Layers survived"}, "traceorder": "normal"})
    return fig.update_xaxes(title_text="Share of the writes", tickformat=".0%", range=[0, 1])


def half_lives(frame: pd.DataFrame, layers: int) -> go.Figure:
    """Each unit's half-life, a row a layer, on a logarithmic axis.

    `frame` has the columns layer (from 1), unit, half_life (characters), censored.
    """
    fig = go.Figure()
    for layer, colour in enumerate(layer_colours(layers), start=1):
        rows = frame[frame["layer"] == layer]
        told = np.where(rows["censored"], "more than ", "")
        fig.add_box(
            x=rows["half_life"].clip(lower=1),
            name=f"layer {layer}",
            orientation="h",
            boxpoints="all",
            jitter=0.6,
            pointpos=0,
            marker={"color": colour, "size": 4, "opacity": 0.6},
            line={"width": 1.5},
            fillcolor="rgba(0,0,0,0)",
            customdata=np.stack([rows["unit"], told], axis=1).tolist(),
            hovertemplate=(
                f"layer {layer}, unit %{{customdata[0]}}:<br>half-life %{{customdata[1]}}%{{x}} "
                "characters<extra></extra>"
            ),
            hoveron="points",
            showlegend=False,
        )
    apply(fig, height=140 + 64 * layers, margin={"t": 16})
    ticks = [step * 10**decade for decade in range(5) for step in (1, 2, 5)]
    return fig.update_xaxes(
        title_text="Half-life, in characters",
        type="log",
        tickvals=ticks,
        tickformat=",d",
        showgrid=True,
    )


def _hover(shares: np.ndarray, characters: str, sources: Sequence[str], start: int) -> list[str]:
    places = np.arange(len(characters))
    shown = snippets(characters, places, places + 1)
    lines = []
    for at, text in enumerate(shown):
        parts = zip(sources, shares[:, at], strict=True)
        rows = [f"{source}: {share:+.3f}" for source, share in parts]
        total = f"memory: {shares[:, at].sum():+.3f}"
        lines.append("<br>".join([f"{start + at + 1:,}: {text}", *reversed(rows), total]))
    return lines
