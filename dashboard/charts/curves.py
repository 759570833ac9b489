"""The validation curves of all models in one picture."""

from dataclasses import dataclass, replace
from html import escape

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from dashboard.charts.theme import CATEGORICAL, GREY, apply, model_style
from gridlstm.curves import Series, convert, curve_series

HEIGHT = 480
# Up to here every point gets a mark of its own; with more, the marks would hide the line.
MOST_MARKS = 200
FAINT = 0.3

TITLES = {
    "update": "Updates of the weights",
    "epoch": "Epochs (passes over the training data)",
    "bytes": "Bytes read in training",
    "seconds": "Wall time",
}
# How each axis' values are written, and what the pointer calls the place that it is at.
TICKS = {"update": ",", "epoch": ",", "bytes": "~s", "seconds": ","}
PLACES = {
    "update": "near update %{x:,.0f}",
    "epoch": "near epoch %{x:.3f}",
    "bytes": "near %{x:,.0f} bytes",
    "seconds": "near %{x:.2f}",
}


@dataclass(frozen=True)
class Run:
    """A curve to draw. `place` is the model's number among all models: it fixes the colour."""

    label: str
    frame: pd.DataFrame
    place: int


@dataclass(frozen=True)
class Look:
    """How the curves are drawn; `axis` and `unit` as in `gridlstm.curves`."""

    axis: str = "update"
    unit: str = "bits"
    smoothing: float = 0.0
    log_x: bool = False
    log_y: bool = False
    training: bool = False


def curves_figure(
    runs: list[Run],
    look: Look,
    references: dict[str, float] | None = None,
    published: dict[str, pd.DataFrame] | None = None,
) -> go.Figure:
    """Every logged point of every run, and what they can be held against.

    `references` maps a label to a loss in nats per byte, drawn as a level line. `published` maps a
    label to a frame with `update` and `val_loss`; it has no other axis, so it is drawn against
    updates only. A point's customdata is (update as logged, unsmoothed loss).
    """
    fig = go.Figure()
    divisor, time_unit = _time_unit(runs) if look.axis == "seconds" else (1, "")
    for run in runs:
        for split in ("training", "validation") if look.training else ("validation",):
            series = curve_series(run.frame, look.axis, split, look.unit, look.smoothing)
            _add_run(fig, run, split, replace(series, x=series.x / divisor), look)
    if look.axis == "update":
        _add_published(fig, published or {}, look)
    apply(fig, height=HEIGHT + (80 if published else 0), **_layout())
    _set_axes(fig, look, time_unit)
    for place, (label, nats) in enumerate((references or {}).items()):
        _add_reference(fig, label, float(convert(nats, look.unit)), place, look)
    return fig


def _layout() -> dict:
    return {
        "hovermode": "x unified",
        # Runs were logged at different updates: each shows its point nearest to the pointer.
        "hoverdistance": -1,
        # Names and numbers side by side must fit beside the pointer on a narrow page.
        "hoverlabel": {"font": {"family": "sans-serif", "size": 12}},
        # Below, out of the buttons' way; each item wide enough to show its pattern.
        "legend": {
            **{"xref": "container", "x": 0, "yref": "container", "y": 0, "yanchor": "bottom"},
            "itemwidth": 44,
        },
        # The page's own: plotly puts this colour behind the line at the pointer.
        "paper_bgcolor": None,
        "plot_bgcolor": None,
    }


def _set_axes(fig: go.Figure, look: Look, time_unit: str) -> None:
    """Titles and ticks; `time_unit` is what the wall time is counted in, if it is the axis."""
    title = f"{TITLES[look.axis]}, {time_unit}" if time_unit else TITLES[look.axis]
    fig.update_xaxes(
        title_text=title,
        type="log" if look.log_x else "linear",
        tickformat=TICKS[look.axis],
        nticks=_log_ticks(fig) if look.log_x else 0,
        showgrid=True,
        spikecolor=GREY,
        spikethickness=1,
        unifiedhovertitle_text=f"{PLACES[look.axis]} {time_unit}".strip(),
    )
    fig.update_yaxes(
        title_text=f"Loss, {look.unit} per byte (lower is better)",
        type="log" if look.log_y else "linear",
        showgrid=True,
    )


def _time_unit(runs: list[Run]) -> tuple[int, str]:
    """How many seconds the wall time is counted in, and what that is called."""
    longest = max((run.frame["seconds"].iloc[-1] for run in runs), default=0)
    return (3600, "hours") if longest >= 2 * 3600 else (60, "minutes")


def _log_ticks(fig: go.Figure) -> int:
    """As many ticks as make plotly put them at 1, 2 and 5 of every decade in sight."""
    drawn = np.concatenate([np.asarray(trace.x) for trace in fig.data])
    drawn = drawn[drawn > 0]
    decades = np.log10(drawn.max() / drawn.min()) if drawn.size else 0
    return max(4, int(np.ceil(decades / 0.6)))


def _add_run(fig: go.Figure, run: Run, split: str, series: Series, look: Look) -> None:
    """One line; if it is smoothed, the unsmoothed one faint below it."""
    validation = split == "validation"
    line = model_style(run.place) | {
        "width": 2.5 if validation else 1.2,
        # Plotly would otherwise leave out points that it takes for invisible.
        "simplify": False,
    }
    marker = {
        "color": line["color"],
        "size": 6 if validation else 5,
        "symbol": "circle" if validation else "circle-open",
    }
    mode = "lines+markers" if len(series.x) <= MOST_MARKS else "lines"
    common = {"x": series.x, "legendgroup": f"{run.place}", "line": line, "marker": marker}
    label = escape(run.label, quote=False)
    if look.smoothing:
        fig.add_scatter(
            **common,
            y=series.raw,
            mode=mode,
            name=f"{label}, {split}, unsmoothed",
            opacity=FAINT,
            hoverinfo="skip",
            showlegend=False,
        )
    fig.add_scatter(
        **common,
        y=series.smoothed,
        mode=mode,
        name=label if validation else f"{label}, training",
        showlegend=validation,
        customdata=np.stack([series.update, series.raw], axis=1),
        hovertemplate=_hover(look.smoothing > 0),
    )


def _hover(smoothed: bool) -> str:
    more = " (smoothed %{y:.4f})" if smoothed else ""
    return (
        "%{fullData.name}: <b>%{customdata[1]:.4f}</b> at update %{customdata[0]:,}"
        + more
        + "<extra></extra>"
    )


def _add_published(fig: go.Figure, published: dict[str, pd.DataFrame], look: Look) -> None:
    """Dotted: the theme keeps that pattern for them."""
    for place, (label, frame) in enumerate(published.items()):
        updates = frame["update"].to_numpy(np.float64)
        losses = convert(frame["val_loss"].to_numpy(np.float64), look.unit)
        fig.add_scatter(
            x=updates,
            y=losses,
            mode="lines",
            name=escape(label, quote=False),
            # From the end of the list: the first colours are the models'.
            line={
                "color": CATEGORICAL[-1 - place % len(CATEGORICAL)],
                "dash": "dot",
                "width": 2,
                "simplify": False,
            },
            customdata=np.stack([updates, losses], axis=1),
            hovertemplate=_hover(smoothed=False),
        )


def _add_reference(fig: go.Figure, label: str, loss: float, place: int, look: Look) -> None:
    """A level line across the picture, labelled at its right end, every second one at its left."""
    fig.add_shape(
        type="line",
        xref="paper",
        x0=0,
        x1=1,
        y0=loss,
        y1=loss,
        line={"color": GREY, "width": 1.5, "dash": "longdash"},
    )
    left = place % 2 == 1
    fig.add_annotation(
        text=f"{escape(label, quote=False)}: {loss:.3f} {look.unit}",
        xref="paper",
        x=0 if left else 1,
        xanchor="left" if left else "right",
        # Plotly places shapes on a log axis by value, but annotations by exponent.
        y=np.log10(loss) if look.log_y else loss,
        yanchor="bottom",
        showarrow=False,
    )
