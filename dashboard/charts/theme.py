"""The look of every chart: colour scales, colours that tell models apart, margins, downloads.

A figure that has passed through `apply` leaves text, grid and background colours to the page's
theme, so that it reads on light and on dark pages alike. The colours named here keep a contrast
of about 3 to 1 against both.
"""

from dataclasses import dataclass

import numpy as np
import plotly.graph_objects as go

# Where the scales pass, from their low to their high end. Both are even in perceived steps: equal
# differences of the value are equal distances in OKLab (Ottosson 2020), not in RGB.
_DIVERGING_ANCHORS = (
    ["#0f406e", "#2472b0", "#52a7dc", "#a4d4f1", "#f5f3ef"],
    ["#f5f3ef", "#e9c59f", "#d08d4e", "#a15812", "#642d01"],
)
_SEQUENTIAL_ANCHORS = ["#faf7e6", "#cfe8c6", "#84cbb4", "#3fa3a5", "#24779a", "#234a83", "#1b1f55"]

_TO_LMS = np.array(
    [
        [0.4122214708, 0.5363325363, 0.0514459929],
        [0.2119034982, 0.6806995451, 0.1073969566],
        [0.0883024619, 0.2817188376, 0.6299787005],
    ]
)
_TO_LAB = np.array(
    [
        [0.2104542553, 0.7936177850, -0.0040720468],
        [1.9779984951, -2.4285922050, 0.4505937099],
        [0.0259040371, 0.7827717662, -0.8086757660],
    ]
)


def to_oklab(colours: list[str]) -> np.ndarray:
    """`#rrggbb` colours as OKLab coordinates [colour, 3]: lightness, green-red, blue-yellow."""
    rgb = np.array([[int(c[i : i + 2], 16) for i in (1, 3, 5)] for c in colours]) / 255
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    return np.cbrt(linear @ _TO_LMS.T) @ _TO_LAB.T


def from_oklab(lab: np.ndarray) -> list[str]:
    """The inverse of `to_oklab`; what sRGB cannot show is clipped."""
    linear = ((lab @ np.linalg.inv(_TO_LAB).T) ** 3) @ np.linalg.inv(_TO_LMS).T
    linear = np.clip(linear, 0, 1)
    rgb = np.where(linear <= 0.0031308, linear * 12.92, 1.055 * linear ** (1 / 2.4) - 0.055)
    return [f"#{r:02x}{g:02x}{b:02x}" for r, g, b in np.rint(rgb * 255).astype(int)]


def ramp(anchors: list[str], count: int) -> list[str]:
    """`count` colours along the anchors, neighbours equally far apart to the eye."""
    lab = to_oklab(anchors)
    along = np.concatenate([[0], np.cumsum(np.linalg.norm(np.diff(lab, axis=0), axis=1))])
    wanted = np.linspace(0, along[-1], count)
    return from_oklab(np.stack([np.interp(wanted, along, lab[:, i]) for i in range(3)], axis=1))


def _diverging() -> list[str]:
    # The neutral colour itself lies half a step from either middle entry: neither sign has it.
    return [c for anchors in _DIVERGING_ANCHORS for c in ramp(anchors, 257)[1::2]]


DIVERGING: list[str] = _diverging()
"""256 colours for signed values: blue is negative, paper is zero, brown is positive."""

SEQUENTIAL: list[str] = ramp(_SEQUENTIAL_ANCHORS, 256)
"""256 colours for 0 to 1: paper is shut, dark blue is open; lightness falls all the way."""

CATEGORICAL: list[str] = [
    "#2f7dc0",
    "#d9731a",
    "#9c4a63",
    "#4f9f8a",
    "#7d6bd0",
    "#98830f",
    "#c2609f",
    "#6f7a85",
]
"""Colours for models, in the order they are handed out. Always paired with `DASHES`."""

DASHES: list[str] = ["solid", "dash", "dashdot", "longdash", "longdashdot", "8px,3px,2px,3px"]
"""Line patterns for models; the dotted pattern is kept for published references."""

SYMBOLS: list[str] = ["circle", "square", "diamond", "cross", "triangle-up", "x", "star"]
"""Point shapes, for layers and for models."""

_LAYER_ANCHORS = ["#3767b8", "#8c58b4", "#cc5680", "#de7838", "#c98c12"]

GREY = "rgba(128, 134, 140, 0.75)"
"""For reference lines and notes: seen on light and on dark pages."""


@dataclass(frozen=True)
class Scale:
    """A range of values and the 256 colours it is drawn in."""

    low: float
    high: float
    colours: tuple[str, ...]

    @property
    def colorscale(self) -> list[list]:
        """The colours in plotly's form."""
        return [[i / 255, colour] for i, colour in enumerate(self.colours)]

    @property
    def centre(self) -> float:
        """The value drawn in the middle colour."""
        return (self.low + self.high) / 2


def signed(limit: float = 1.0) -> Scale:
    """The scale for cells, from -limit to limit, with zero in its middle."""
    limit = float(limit)
    if not (np.isfinite(limit) and limit > 0):
        limit = 1.0
    return Scale(-limit, limit, tuple(DIVERGING))


SIGNED = signed()
"""For tanh(c), h and candidates: -1 to 1."""

GATE = Scale(0.0, 1.0, tuple(SEQUENTIAL))
"""For gates: 0 (shut) to 1 (open)."""


def layer_colours(layers: int) -> list[str]:
    """One colour a layer, bottom layer first, along a scale that keeps their order visible."""
    return ramp(_LAYER_ANCHORS, layers) if layers > 1 else _LAYER_ANCHORS[:1]


def count_colours(count: int) -> list[str]:
    """Colours for counts from none to many: the darker, the more. No layer has them."""
    return [SEQUENTIAL[place] for place in np.linspace(40, 210, count).astype(int)]


def model_style(index: int) -> dict[str, str]:
    """Colour and dash pattern of the model at this place in the list, as plotly line settings.

    The two lists have different lengths, so that the pairs repeat late.
    """
    return {
        "color": CATEGORICAL[index % len(CATEGORICAL)],
        "dash": DASHES[index % len(DASHES)],
    }


def figure_layout(height: int) -> dict:
    """Layout settings shared by all charts; `height` in pixels, the width is the page's."""
    return {
        "height": height,
        "margin": {"l": 64, "r": 16, "t": 32, "b": 56},
        "font": {"size": 13},
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "colorway": CATEGORICAL,
        "modebar": {"bgcolor": "rgba(0,0,0,0)", "color": GREY, "activecolor": CATEGORICAL[0]},
        "hoverlabel": {"align": "left", "font": {"family": "monospace", "size": 13}},
        "legend": {"orientation": "h", "x": 0, "xanchor": "left", "y": 1.0, "yanchor": "bottom"},
    }


def apply(fig: go.Figure, height: int = 360, **changes) -> go.Figure:
    """Give a figure the common look, then `changes` (plotly layout settings); returns it."""
    fig.update_layout(figure_layout(height))
    fig.update_layout(**changes)
    fig.update_xaxes(zeroline=False, title_standoff=10, automargin=True)
    fig.update_yaxes(zeroline=False, title_standoff=14, automargin=True)
    return fig


def plot_config(name: str, picture: str = "png") -> dict:
    """Settings for `st.plotly_chart(config=...)`: a download button for `name.png` or `name.svg`.

    PNG pictures are twice the size on the screen, for print. Plotly's own button that would send
    the chart, and with it the user's text, to a server is taken away.
    """
    return {
        "displaylogo": False,
        "showSendToCloud": False,
        "toImageButtonOptions": {"format": picture, "filename": name, "scale": 2},
        "modeBarButtonsToRemove": ["autoScale2d", "zoomIn2d", "zoomOut2d", "sendChartToCloud"],
    }


def colour_bar(title: str, ticks: list[float] | None = None) -> dict:
    """A slim colour bar on the right, titled along its side; `ticks` where they must be."""
    bar = {
        "title": {"text": title, "side": "right", "font": {"size": 13}},
        "thickness": 12,
        "outlinewidth": 0,
        "ticklen": 4,
        "xpad": 6,
    }
    return bar if ticks is None else bar | {"tickvals": ticks}
