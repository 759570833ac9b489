"""Pictures of a quantity along the text: by layer, by unit, and the surprise of each character.

Long texts are thinned to the columns a screen can show. A column then stands for several
characters and shows the one value among them that lies farthest from rest, so that an event of a
single character is never lost; the axis says so. Layers and characters are counted from 1 in
what the user reads, units from 0, as in the arrays.
"""

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from dashboard.charts.theme import CATEGORICAL, GATE, GREY, SIGNED, Scale, apply, colour_bar
from dashboard.words import verbatim_in_chart
from gridlstm.architectures import GATE_KINDS

MAX_MAP_COLUMNS = 2_000
MAX_MAP_CELLS = 700_000
MAX_SURPRISES = 10_000
_CONTEXT = 14
_LONGEST_SPAN = 24
# The same for all pictures along the text, so that they line up one below the other.
_SIDES = {"l": 64, "r": 108}

# Every character is replaced by exactly one other, so that positions stay what they were.
_VISIBLE = (
    {code: chr(0x2400 + code) for code in range(0x20)}
    | {ord("\n"): "⏎", ord("\r"): "␍", ord("\t"): "⇥", 0x7F: "␡"}
    | {code: "\ufffd" for code in range(0x80, 0xA0)}
    | {code: "\ufffd" for code in (*range(0x202A, 0x202F), *range(0x2066, 0x206A))}
    | {code: "\ufffd" for code in range(0xD800, 0xE000)}
)


def layers_by_character(
    values: np.ndarray,
    characters: str,
    quantity: str,
    scale: Scale,
    *,
    start: int = 0,
) -> go.Figure:
    """One unit in every layer along the text, layer 1 at the bottom.

    `values` float [layer, character]; `quantity` what they are, for the colour bar; `start` the
    place of the first character in the whole text, where only a part of it is shown.
    """
    labels = [str(layer + 1) for layer in range(len(values))]
    fig, text = _by_character(values, labels, characters, quantity, scale, start)
    # One label with all layers at once: an unseen line of points carries it, the picture none.
    shown = fig.data[0]
    shown.update(ygap=2, hoverinfo="skip")
    fig.add_scatter(
        x=shown.x,
        y=[labels[0]] * len(text),
        mode="markers",
        marker={"color": "rgba(0,0,0,0)"},
        customdata=[_layers_hover(t, column) for t, column in zip(text, shown.z.T, strict=True)],
        hovertemplate="%{customdata}<extra></extra>",
        name="",
        showlegend=False,
    )
    fig.update_layout(hovermode="x unified", height=150 + 28 * max(len(values), 3))
    return fig.update_yaxes(title_text="Layer (depth goes up)", range=[-0.5, len(values) - 0.5])


def units_by_character(
    values: np.ndarray,
    order: np.ndarray,
    characters: str,
    quantity: str,
    scale: Scale,
    *,
    start: int = 0,
) -> go.Figure:
    """All units of one layer along the text, in the given order from the top.

    `values` float [unit, character]; `order` int [row], which unit each row shows; the others as
    in `layers_by_character`.
    """
    order = np.asarray(order)
    labels = [str(unit) for unit in order]
    fig, text = _by_character(values[order], labels, characters, quantity, scale, start)
    fig.data[0].hovertemplate = "%{x}<br>unit %{y}: %{z:.3f}<extra></extra>"
    _label_columns(fig, text)
    fig.update_layout(height=int(np.clip(160 + 3 * len(order), 260, 640)))
    return fig.update_yaxes(title_text="Unit", range=[len(order) - 0.5, -0.5])


def loss_by_character(
    loss_bits: np.ndarray,
    characters: str,
    likeliest: list[list[tuple[str, float]]] | None = None,
    *,
    start: int = 0,
) -> go.Figure:
    """How much each character surprised the model, given all before it.

    `loss_bits` float [character] in bits, NaN where nothing predicts the character; `likeliest`
    the most probable next characters after each character, as (label, probability) pairs.
    """
    loss = np.asarray(loss_bits, dtype=np.float32)
    edges = column_edges(len(characters), MAX_SURPRISES)
    chosen = farthest(loss[None], edges, np.zeros(1))[0]
    text = snippets(characters, edges[:-1], edges[1:])
    hover = [
        _surprise_hover(snippet, loss[at], likeliest[at] if likeliest else [])
        for snippet, at in zip(text, chosen, strict=True)
    ]
    fig = go.Figure(
        go.Scatter(
            x=(edges[:-1] + edges[1:] + 1) / 2 + start,
            y=loss[chosen],
            mode="lines",
            line={"shape": "hvh", "width": 1, "color": CATEGORICAL[0]},
            fill="tozeroy",
            customdata=hover,
            hovertemplate="%{customdata}<extra></extra>",
            name="",
            showlegend=False,
        )
    )
    _add_mean_line(fig, loss)
    apply(fig, height=240, hovermode="x unified", margin=_SIDES)
    _position_axis(fig, edges, start, "the most surprising of them")
    return fig.update_yaxes(title_text="Surprise (bits)", rangemode="tozero")


def gates_at_character(values: dict[str, np.ndarray]) -> go.Figure:
    """Everything one unit does at one character, as a table of colours: layers by quantities.

    `values` maps quantity names (`time.forget`, `depth.cell`, ...) to float [layer]; one table a
    dimension. Gates have the colours of 0 to 1, the others those of -1 to 1.
    """
    dimensions = list(dict.fromkeys(quantity.split(".")[0] for quantity in values))
    fig = make_subplots(
        cols=len(dimensions),
        shared_yaxes=True,
        horizontal_spacing=0.06,
        subplot_titles=[f"Along {dimension}" for dimension in dimensions],
    )
    for column, dimension in enumerate(dimensions, start=1):
        for names, scale in (
            (GATE_KINDS, GATE),
            (("candidate", "cell", "hidden", "normaliser", "stabiliser"), SIGNED),
        ):
            present = [name for name in names if f"{dimension}.{name}" in values]
            if present:
                table = np.stack([values[f"{dimension}.{name}"] for name in present], axis=1)
                fig.add_trace(_table(table, present, scale), row=1, col=column)
    layers = len(next(iter(values.values())))
    apply(fig, height=130 + 34 * layers)
    fig.update_xaxes(showgrid=False, type="category", side="bottom")
    fig.update_yaxes(showgrid=False, type="category")
    return fig.update_yaxes(title_text="Layer (depth goes up)", col=1)


def column_edges(characters: int, most: int) -> np.ndarray:
    """Where columns begin and end, int [column + 1]: equal runs of characters, the last shorter.

    Raises ValueError where there is no character.
    """
    if characters < 1:
        raise ValueError("a text without characters has no picture")
    width = -(-characters // most)
    return np.append(np.arange(0, characters, width), characters)


def farthest(values: np.ndarray, edges: np.ndarray, rest: np.ndarray) -> np.ndarray:
    """For every row and column, which character's value lies farthest from the row's `rest`.

    `values` [row, character], `rest` [row]; returns int [row, column]. NaN is never chosen where
    there is a number.
    """
    columns, width = len(edges) - 1, int(edges[1] - edges[0])
    chosen = np.empty((len(values), columns), dtype=np.int64)
    # Row by row: long texts would otherwise be held several times over in single precision.
    for row, (line, middle) in enumerate(zip(values, rest, strict=True)):
        distance = np.full(columns * width, -2, dtype=np.float32)
        away = np.abs(line.astype(np.float32) - np.float32(middle))
        distance[: len(line)] = np.nan_to_num(away, nan=-1)
        chosen[row] = distance.reshape(columns, width).argmax(axis=1) + edges[:-1]
    return chosen


def visible(text: str) -> str:
    """The text with line breaks, tabs and other controls as visible signs, one for each."""
    return text.translate(_VISIBLE)


def snippets(characters: str, starts: np.ndarray, ends: np.ndarray) -> list[str]:
    """For each span, its characters underlined amid what surrounds them, safe in plotly's hover."""
    shown = visible(characters)
    return [_snippet(shown, int(a), int(b)) for a, b in zip(starts, ends, strict=True)]


def _snippet(shown: str, start: int, end: int) -> str:
    before = shown[max(0, start - _CONTEXT) : start]
    after = shown[end : end + _CONTEXT]
    span = shown[start:end]
    if len(span) > _LONGEST_SPAN:
        half = _LONGEST_SPAN // 2
        span, before, after = f"{span[:half]}…{span[-half:]}", before[-4:], after[:4]
    # The isolate keeps right-to-left text from reordering the rest of the label.
    marked = verbatim_in_chart(span.replace(" ", "␣"))
    around = [verbatim_in_chart(part) for part in (before, after)]
    return f"\u2068{around[0]}<b><u>{marked}</u></b>{around[1]}\u2069"


def _layers_hover(snippet: str, values: np.ndarray) -> str:
    """The text, then one line for each of the values [layer], the highest layer on top."""
    lines = [f"layer {layer + 1}: {v:6.3f}" for layer, v in enumerate(values)]
    return "<br>".join([snippet, *reversed(lines)])


def _surprise_hover(snippet: str, bits: float, predictions: list[tuple[str, float]]) -> str:
    surprise = "nothing predicts it" if np.isnan(bits) else f"surprise {bits:.2f} bits"
    lines = [snippet, surprise]
    if predictions:
        lines.append("then the model expects")
    lines += [
        f"  {verbatim_in_chart(visible(label).replace(' ', '␣'))}  {share:.1%}"
        for label, share in predictions
    ]
    return "<br>".join(lines)


def _by_character(
    values: np.ndarray,
    labels: list[str],
    characters: str,
    quantity: str,
    scale: Scale,
    start: int,
) -> tuple[go.Figure, list[str]]:
    """A heat map of rows [row, character], the first row at the bottom, and its columns' text."""
    values = np.asarray(values)
    if values.shape != (len(labels), len(characters)):
        raise ValueError(
            f"values {values.shape} for {len(labels)} rows, {len(characters)} characters"
        )
    most = min(MAX_MAP_COLUMNS, max(1, MAX_MAP_CELLS // max(1, len(labels))))
    edges = column_edges(len(characters), most)
    is_gate = scale.low == 0
    rest = np.median(values, axis=1) if is_gate else np.zeros(len(labels))
    chosen = farthest(values, edges, rest)
    fig = go.Figure()
    fig.add_heatmap(
        z=np.take_along_axis(values, chosen, axis=1).astype(np.float32),
        x=(edges[:-1] + edges[1:] + 1) / 2 + start,
        y=labels,
        zmin=scale.low,
        zmax=scale.high,
        colorscale=scale.colorscale,
        colorbar=colour_bar(verbatim_in_chart(quantity)),
        name="",
    )
    apply(fig, margin=_SIDES)
    fig.update_yaxes(type="category", showgrid=False)
    away_from = "the row's median" if is_gate else "zero"
    _position_axis(fig, edges, start, f"the value farthest from {away_from}")
    return fig, snippets(characters, edges[:-1], edges[1:])


def _label_columns(fig: go.Figure, text: list[str]) -> None:
    """Let %{x} in a heat map's hover be each column's position and text.

    Sent as names of an axis's ticks, the text goes once for each column; as data of the heat map
    it would go once for each cell, some 20 MB. Those ticks stay unseen: the heat map lies on a
    second axis that follows the first one, which keeps the numbers to read.
    """
    picture = fig.data[0]
    picture.xaxis = "x2"
    fig.add_scatter(x=[None], y=[None], hoverinfo="skip", showlegend=False)
    fig.update_layout(
        xaxis2={
            "matches": "x",
            "range": fig.layout.xaxis.range,
            "tickvals": picture.x,
            "ticktext": [f"{x:,.0f}  {t}" for x, t in zip(picture.x, text, strict=True)],
            "showticklabels": False,
            "ticks": "",
            "showgrid": False,
            "zeroline": False,
        }
    )


def _position_axis(fig: go.Figure, edges: np.ndarray, start: int, shows: str) -> None:
    """Name the axis along the text, and say what a column of several characters shows."""
    width = int(edges[1] - edges[0])
    title, here = "Position in the text (characters)", "character %{x:,.0f}"
    if width > 1:
        title += f"<br>each column: {width} characters,<br>{shows}"
        here = f"{width} characters around %{{x:,.0f}}"
    first, last = start + 0.5, start + int(edges[-1]) + 0.5
    fig.update_xaxes(
        title_text=title,
        range=[first, last],
        minallowed=first,
        maxallowed=last,
        tickformat=",d",
        unifiedhovertitle_text=here,
        showgrid=False,
    )


def _add_mean_line(fig: go.Figure, loss: np.ndarray) -> None:
    known = loss[~np.isnan(loss)]
    if known.size:
        mean = float(known.mean())
        fig.add_hline(mean, line={"color": GREY, "width": 1.5, "dash": "dot"})
        fig.add_annotation(
            text=f"mean {mean:.2f}",
            x=1,
            xref="paper",
            xanchor="left",
            y=mean,
            showarrow=False,
            xshift=4,
        )


def _table(values: np.ndarray, names: list[str], scale: Scale) -> go.Heatmap:
    """Coloured cells [layer, name] with their numbers on them."""
    return go.Heatmap(
        z=values.astype(np.float32),
        x=names,
        y=[str(layer + 1) for layer in range(len(values))],
        zmin=scale.low,
        zmax=scale.high,
        colorscale=scale.colorscale,
        showscale=False,
        xgap=2,
        ygap=2,
        texttemplate="%{z:.2f}",
        hovertemplate="layer %{y}, %{x}: %{z:.4f}<extra></extra>",
    )
