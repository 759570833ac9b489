"""The validation curves of all models in one picture."""

from dataclasses import dataclass, replace
from html import escape, unescape

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from dashboard.charts.theme import CATEGORICAL, DASHES, GREY, apply
from gridlstm.curves import Series, convert, curve_series, is_loss

HEIGHT = 520
# A row of the legend below the picture, and how many stand side by side in a narrow page.
LEGEND_ROW, LEGEND_COLUMNS = 21, 2
# Below, out of the buttons' way; each item wide enough to show its pattern.
LEGEND = {
    **{"xref": "container", "x": 0, "yref": "container", "y": 0, "yanchor": "bottom"},
    "itemwidth": 44,
    "tracegroupgap": 0,
}
# Up to here every point gets a mark of its own; with more, the marks would hide the line.
MAX_MARKERS = 200
FAINT, BAND = 0.3, 0.16
# The beginning of the lines, as a share of the longest, is cut off if the losses after it would
# take less than such a share of the height. On a log axis it has room, and stays.
BEGINNING, MAX_COMPRESSED_SHARE = 0.15, 0.5
# So is a line that never came under so many times the median of all lines' lowest losses.
MAX_OUTLIER_RATIO = 1.5
MARGIN = 0.06

TITLES = {
    "update": "Updates of the weights",
    "epoch": "Epochs (passes over the training data)",
    "bytes": "Bytes read in training",
    "seconds": "Wall time",
    "operations": "Floating-point operations of training",
}
# How each axis' values are written, and what the pointer calls the place that it is at.
TICKS = {"update": ",", "epoch": ",", "bytes": "~s", "seconds": ",", "operations": "~s"}
PLACES = {
    "update": "near update %{x:,.0f}",
    "epoch": "near epoch %{x:.3f}",
    "bytes": "near %{x:,.0f} bytes",
    "seconds": "near %{x:.2f}",
    "operations": "near %{x:.3s} operations",
}
# What is drawn besides a quantity, thin, if it is asked for.
SHARES = {"accuracy": "Answers all right", "digits": "Digits right"}


@dataclass(frozen=True)
class Run:
    """A curve to draw, or the mean of several with its band (`mean_over_seeds`).

    `colour` and `dash` are numbers that choose from the theme's lists.
    """

    label: str
    frame: pd.DataFrame
    colour: int
    dash: int


@dataclass(frozen=True)
class Look:
    """How the curves are drawn; `axis`, `quantity` and `unit` as in `gridlstm.curves`."""

    axis: str = "update"
    quantity: str = "validation"
    unit: str = "bits"
    smoothing: float = 0.0
    log_x: bool = False
    log_y: bool = False
    training: bool = False

    @property
    def quantities(self) -> tuple[str, ...]:
        """All that is drawn of a run, the main one last."""
        return ("training", "validation") if self._with_training else (self.quantity,)

    @property
    def _with_training(self) -> bool:
        return self.training and self.quantity == "validation"


def curves_figure(
    runs: list[Run],
    look: Look,
    references: dict[str, float] | None = None,
    published: dict[str, pd.DataFrame] | None = None,
) -> go.Figure:
    """Every logged point of every run, and what they can be held against.

    `references` maps a label to a loss in nats per byte, drawn as a level line. `published` maps a
    label to a frame with `update` and `val_loss`; it has no other axis, so it is drawn against
    updates only. Both are losses, and left out where a share is drawn. A point's customdata is
    (update as logged, unsmoothed value, how many seeds).
    """
    fig = go.Figure()
    divisor, time_unit = _time_unit(runs) if look.axis == "seconds" else (1, "")
    for run in runs:
        for quantity in look.quantities:
            series = curve_series(run.frame, look.axis, quantity, look.unit, look.smoothing)
            _add_run(fig, run, quantity, replace(series, x=series.x / divisor), look)
    own = fig.data
    if look.axis == "update" and is_loss(look.quantity):
        _add_published(fig, published or {}, look)
    apply(fig, height=HEIGHT + _legend_height(fig), **_layout())
    _set_axes(fig, look, time_unit)
    levels = [float(convert(nats, look.unit)) for nats in (references or {}).values()]
    if is_loss(look.quantity) and not look.log_y:
        published_losses = [loss for trace in fig.data[len(own) :] for loss in trace.y]
        beginning = 0.0 if look.log_x else BEGINNING
        fig.update_yaxes(range=_in_sight(own, beginning, [*levels, *published_losses]))
    if is_loss(look.quantity):
        for label, loss in zip(references or {}, levels, strict=True):
            _add_reference(fig, label, loss, look)
    return fig


def _legend_height(fig: go.Figure) -> int:
    """Room for the legend, in pixels."""
    shown = sum(trace.showlegend is not False for trace in fig.data)
    return LEGEND_ROW * -(-shown // LEGEND_COLUMNS)


def _layout() -> dict:
    return {
        "hovermode": "x unified",
        # Runs were logged at different updates: each shows its point nearest to the pointer.
        "hoverdistance": -1,
        # Names and numbers side by side must fit beside the pointer on a narrow page.
        "hoverlabel": {"font": {"family": "sans-serif", "size": 12}},
        "legend": LEGEND,
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
        nticks=log_ticks(fig) if look.log_x else 0,
        showgrid=True,
        spikecolor=GREY,
        spikethickness=1,
        unifiedhovertitle_text=f"{PLACES[look.axis]} {time_unit}".strip(),
    )
    fig.update_yaxes(
        title_text=f"Loss, {look.unit} per byte (lower is better)"
        if is_loss(look.quantity)
        else f"{SHARES[look.quantity]} (higher is better)",
        tickformat="" if is_loss(look.quantity) else ".0%",
        type="log" if look.log_y else "linear",
        showgrid=True,
    )


def _in_sight(
    traces: tuple[go.Scatter, ...], beginning: float, levels: list[float]
) -> list[float] | None:
    """The losses in sight at first, where the steep descent of the beginning, such a share of the
    longest line, or a line far above the others would press all that they differ by into a strip;
    None if nothing does. `levels` are always in sight."""
    lines = [(np.asarray(t.x, float), np.asarray(t.y, float)) for t in traces if len(t.x)]
    if not lines:
        return None
    usual = MAX_OUTLIER_RATIO * np.median([y.min() for _, y in lines])
    begun = beginning * max(x.max() for x, _ in lines)
    # Of a run that has only just begun, its latest point, however high.
    later = [y[x >= min(begun, x.max())] for x, y in lines if y.min() <= usual or x.max() < begun]
    later = np.concatenate([*later, levels])
    low, high = later.min(), later.max()
    highest = max(y.max() for _, y in lines)
    if high - low >= MAX_COMPRESSED_SHARE * (highest - low):
        return None
    margin = MARGIN * (high - low)
    return [low - margin, high + margin]


def count_hidden_lines(fig: go.Figure) -> list[str]:
    """The labels of the lines, or points, that lie wholly above what is in sight at first."""
    seen = fig.layout.yaxis.range
    if seen is None:
        return []
    named = [trace for trace in fig.data if trace.showlegend is not False and len(trace.y)]
    return [unescape(trace.name) for trace in named if min(trace.y) > seen[1]]


def _time_unit(runs: list[Run]) -> tuple[int, str]:
    """How many seconds the wall time is counted in, and what that is called."""
    longest = np.nanmax([0.0, *(run.frame["seconds"].iloc[-1] for run in runs)])
    return (3600, "hours") if longest >= 2 * 3600 else (60, "minutes")


def log_ticks(fig: go.Figure) -> int:
    """As many ticks as make plotly put them at 1, 2 and 5 of every decade in sight."""
    drawn = np.concatenate([[], *(np.asarray(trace.x) for trace in fig.data)])
    drawn = drawn[drawn > 0]
    decades = np.log10(drawn.max() / drawn.min()) if drawn.size else 0
    return max(4, int(np.ceil(decades / 0.6)))


def _add_run(fig: go.Figure, run: Run, quantity: str, series: Series, look: Look) -> None:
    """One line, if there is anything to draw. If it is smoothed, the unsmoothed one lies faint
    below it; if it is a mean of several seeds, the band from the smallest to the largest."""
    if not len(series.x):
        return
    main = quantity == look.quantity
    line = {
        "color": CATEGORICAL[run.colour % len(CATEGORICAL)],
        "dash": DASHES[run.dash % len(DASHES)],
        "width": 2.5 if main else 1.2,
        # Plotly would otherwise leave out points that it takes for invisible.
        "simplify": False,
    }
    marker = {
        "color": line["color"],
        "size": 6 if main else 5,
        "symbol": "circle" if main else "circle-open",
    }
    mode = "lines+markers" if len(series.x) <= MAX_MARKERS else "lines"
    label = escape(run.label, quote=False)
    common = {"x": series.x, "legendgroup": label}
    if main and series.seeds.max() > 1:
        _add_band(fig, series, line["color"], common, label)
    if look.smoothing:
        fig.add_scatter(
            **common,
            y=series.raw,
            mode=mode,
            line=line,
            marker=marker,
            name=f"{label}, {quantity}, unsmoothed",
            opacity=FAINT,
            hoverinfo="skip",
            showlegend=False,
        )
    fig.add_scatter(
        **common,
        y=series.smoothed,
        mode=mode,
        line=line,
        marker=marker,
        name=label if main else f"{label}, {quantity}",
        showlegend=main,
        customdata=np.stack([series.update, series.raw, series.seeds], axis=1),
        hovertemplate=_hover(
            look.smoothing > 0,
            several=bool(series.seeds.max() > 1),
            updates=not np.isnan(series.update).all(),
        ),
    )


def _add_band(fig: go.Figure, series: Series, colour: str, common: dict, label: str) -> None:
    """From the smallest to the largest of the seeds, as one filled shape."""
    red, green, blue = (int(colour[place : place + 2], 16) for place in (1, 3, 5))
    fig.add_scatter(
        x=np.concatenate([series.x, series.x[::-1]]),
        y=np.concatenate([series.low, series.high[::-1]]),
        legendgroup=common["legendgroup"],
        mode="lines",
        line={"width": 0},
        fill="toself",
        fillcolor=f"rgba({red}, {green}, {blue}, {BAND})",
        name=f"{label}, lowest to highest",
        hoverinfo="skip",
        showlegend=False,
    )


def _hover(smoothed: bool, several: bool = False, updates: bool = True) -> str:
    """What the pointer says of a point; `updates` whether it is known after how many it was."""
    more = " (smoothed %{y:.4f})" if smoothed else ""
    seeds = ", mean of %{customdata[2]}" if several else ""
    at = "update %{customdata[0]:,}" if updates else "%{x:,}"
    return (
        "%{fullData.name}: <b>%{customdata[1]:.4f}</b> at " + at + seeds + more + "<extra></extra>"
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


def _add_reference(fig: go.Figure, label: str, loss: float, look: Look) -> None:
    """A level line across the picture, labelled where there are no curves: below its left end if
    all of them begin above it, else above its right end."""
    left = all(trace.y[0] > loss for trace in fig.data if len(trace.y))
    fig.add_shape(
        type="line",
        xref="paper",
        x0=0,
        x1=1,
        y0=loss,
        y1=loss,
        line={"color": GREY, "width": 1.5, "dash": "longdash"},
    )
    fig.add_annotation(
        text=f"{escape(label, quote=False)}: {loss:.3f} {look.unit}",
        xref="paper",
        x=0 if left else 1,
        xanchor="left" if left else "right",
        # Plotly places shapes on a log axis by value, but annotations by exponent.
        y=np.log10(loss) if look.log_y else loss,
        yanchor="top" if left else "bottom",
        showarrow=False,
    )
