"""Pictures of the gates that keep memories over a whole text: how they are distributed, how they
saturate; and of those that let layers read each other."""

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from dashboard.charts.theme import GATE, GREY, SYMBOLS, apply, colour_bar, layer_colours

SHUT = 0.1
OPEN = 0.9


def gate_distribution(counts: dict[str, np.ndarray], edges: np.ndarray | None = None) -> go.Figure:
    """How often gates take which value: one column a gate, one row a layer.

    `counts` maps a gate's name (`Time forget gate`) to how many values fell in each bin
    [layer, bin]; `edges` [bin + 1] are the bins' ends, equal steps from 0 to 1 unless given. Each
    row is scaled to its own peak; the shares nearly shut and nearly open are written at its ends.
    """
    layers, bins = next(iter(counts.values())).shape
    edges = np.linspace(0, 1, bins + 1) if edges is None else np.asarray(edges)
    fig = make_subplots(
        rows=layers,
        cols=len(counts),
        shared_xaxes=True,
        vertical_spacing=0.10 / layers,
        horizontal_spacing=0.08,
        column_titles=list(counts),
    )
    colours = layer_colours(layers)
    for column, histogram in enumerate(counts.values(), start=1):
        for layer in range(layers):
            place = {"row": layers - layer, "col": column}
            _add_histogram(fig, histogram[layer], edges, layer, colours[layer], place)
    apply(fig, height=110 + 62 * layers, bargap=0, margin={"t": 40})
    # The room above each row's peak, which is at 1, is for the shares.
    fig.update_yaxes(showticklabels=False, showgrid=False, range=[0, 1.6], fixedrange=True)
    fig.update_xaxes(range=[0, 1], tickvals=[0, 0.1, 0.5, 0.9, 1], showgrid=True)
    fig.update_xaxes(title_text="Gate: 0 forgets, 1 keeps", row=layers)
    for layer in range(layers):
        label = {"tickvals": [0.5], "ticktext": [f"Layer {layer + 1}"], "showticklabels": True}
        fig.update_yaxes(label, row=layers - layer, col=1)
    return fig


def saturation_plot(right: np.ndarray, left: np.ndarray, gate: str) -> go.Figure:
    """Where each unit's gate, of that name, spends the text: nearly shut, nearly open, or between.

    `right` and `left` float [layer, unit]: shares of the characters at which the gate is above
    0.9 and below 0.1. A point's customdata is (layer, unit), both counted from 0. After Karpathy,
    Johnson and Li (2015), figure 2.
    """
    layers, units = right.shape
    fig = go.Figure()
    fig.add_shape(
        type="line", x0=0, y0=1, x1=1, y1=0, line={"color": GREY, "width": 1.5, "dash": "dash"}
    )
    for layer, colour in enumerate(layer_colours(layers)):
        fig.add_scatter(
            x=np.asarray(left[layer], dtype=np.float32),
            y=np.asarray(right[layer], dtype=np.float32),
            mode="markers",
            name=f"layer {layer + 1}",
            marker={
                "color": colour,
                "symbol": SYMBOLS[layer % len(SYMBOLS)],
                "size": 7,
                "opacity": 0.7,
            },
            # Lists: of an array, the page would get back an object with the keys "0" and "1".
            customdata=[[layer, unit] for unit in range(units)],
            hovertemplate=(
                f"layer {layer + 1}, unit %{{customdata[1]}}:<br>"
                f"forgets (&lt;{SHUT}) %{{x:.1%}} of the time,<br>"
                f"keeps (&gt;{OPEN}) %{{y:.1%}}<extra></extra>"
            ),
        )
    fig.add_annotation(
        text="on the line: never<br>in between",
        x=0.55,
        y=0.6,
        xanchor="left",
        align="left",
        showarrow=False,
    )
    apply(fig, height=590, margin={"t": 76}, hovermode="closest", clickmode="event+select")
    name = gate[0].lower() + gate[1:]
    axis = {"range": [-0.03, 1.03], "tickformat": ".0%", "constrain": "domain"}
    fig.update_xaxes(
        title_text=f"Share of the text with the<br>{name} nearly shut (below {SHUT})",
        **axis,
    )
    fig.update_yaxes(
        title_text=f"Share with it nearly open (above {OPEN})",
        scaleanchor="x",
        scaleratio=1,
        constraintoward="top",
        **axis,
    )
    return fig


def feedback(resets: np.ndarray) -> go.Figure:
    """Which layer reads which at a character: gates [layer that reads, layer that is read]."""
    layers = len(resets)
    names = [f"layer {n}" for n in range(1, layers + 1)]
    fig = go.Figure()
    fig.add_heatmap(
        z=np.asarray(resets, np.float32),
        x=names,
        y=names,
        zmin=0,
        zmax=1,
        colorscale=GATE.colorscale,
        colorbar=colour_bar("Gate: 0 hides, 1 lets it be read"),
        texttemplate="%{z:.2f}",
        hovertemplate="%{y} reads %{x}: %{z:.3f}<extra></extra>",
    )
    apply(fig, height=130 + 46 * layers)
    fig.update_xaxes(title_text="What it showed at the character before", showgrid=False)
    return fig.update_yaxes(title_text="The layer that reads it", showgrid=False)


def _add_histogram(
    fig: go.Figure,
    counts: np.ndarray,
    edges: np.ndarray,
    layer: int,
    colour: str,
    place: dict[str, int],
) -> None:
    """One layer's bars, and its shares nearly shut and nearly open written over their ends."""
    shares = counts / max(counts.sum(), 1)
    low, high = edges[:-1], edges[1:]
    fig.add_bar(
        x=(low + high) / 2,
        y=(shares / max(shares.max(), 1e-12)).astype(np.float32),
        width=high - low,
        marker={"color": colour, "line_width": 0},
        customdata=np.stack([shares, low, high], axis=1),
        hovertemplate=(
            f"layer {layer + 1}: %{{customdata[0]:.2%}} of the values lie in "
            "%{customdata[1]:.2f} to %{customdata[2]:.2f}<extra></extra>"
        ),
        showlegend=False,
        **place,
    )
    shut, open_ = shares[high <= SHUT + 1e-9].sum(), shares[low >= OPEN - 1e-9].sum()
    for share, word, x, anchor in ((shut, "shut", 0, "left"), (open_, "open", 1, "right")):
        fig.add_annotation(
            text=f"{share:.0%} {word}",
            x=x,
            y=1.6,
            xanchor=anchor,
            yanchor="top",
            showarrow=False,
            **place,
        )
