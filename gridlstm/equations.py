r"""What a layer of each architecture computes, as LaTeX: an equation for every quantity of a trace.

They stand for a layer l at a character t, indices that are left out: `d_{l-1}` is of the layer
below at the same character, `h_{t-1}` of the same layer at the character before. `e` is the token's
embedding, or its one-hot vector, `p` the probabilities of the next token, `\odot` a product unit by
unit. In a grid what belongs to time and depth is marked `t` and `d`. Knows no torch.
"""

from dataclasses import dataclass

from gridlstm.config import ModelConfig


@dataclass(frozen=True)
class Equations:
    """`first` says what the first layer gets from below, `layer` how each quantity is computed, by
    its name and in that order, and `guess` how the next token is predicted."""

    first: str
    layer: dict[str, str]
    guess: str


def equations(config: ModelConfig) -> Equations | None:
    """Those of a model, with the options it has, if they are written down here."""
    of_architecture = _OF_ARCHITECTURE.get(config.architecture)
    if of_architecture is None:
        return None
    found, width = of_architecture(config), _HARD_SIGMOIDS.get(config.gates or "")
    return _with_hard_gates(found, width) if width else found


def _with_hard_gates(found: Equations, width: int) -> Equations:
    """The same with a hard sigmoid in the place of each sigmoid, told with the first layer."""
    hard = rf"\mathrm{{hard}}(x) = \min(\max(x / {width} + 0.5,\, 0),\, 1)"
    layer = {name: of.replace(r"\sigma(", r"\mathrm{hard}(") for name, of in found.layer.items()}
    return Equations(rf"{found.first},\quad {hard}", layer, found.guess)


def _lstm(
    dimension: str, inputs: str, cell: str, before: str, shown: str, mark: str = ""
) -> dict[str, str]:
    """An LSTM that reads `read`, makes the memory `cell` from that `before`, and shows `shown`."""
    return {
        f"{dimension}.input": rf"i{mark} = \sigma(W_i{mark}\,[{inputs}] + b_i{mark})",
        f"{dimension}.forget": rf"f{mark} = \sigma(W_f{mark}\,[{inputs}] + b_f{mark})",
        f"{dimension}.output": rf"o{mark} = \sigma(W_o{mark}\,[{inputs}] + b_o{mark})",
        f"{dimension}.candidate": rf"g{mark} = \tanh(W_g{mark}\,[{inputs}] + b_g{mark})",
        f"{dimension}.cell": rf"{cell} = f{mark} \odot {before} + i{mark} \odot g{mark}",
        f"{dimension}.hidden": rf"{shown} = o{mark} \odot \tanh({cell})",
    }


def _guess(shown: str) -> str:
    return rf"p = \mathrm{{softmax}}(W_p\,{shown}_L + b_p)"


def _grid(config: ModelConfig) -> Equations:
    time = _lstm("time", r"h_{t-1};\, d_{l-1}", "c", "c_{t-1}", "h", mark="^t")
    seen = "h" if config.priority == "depth" else "h_{t-1}"
    inputs = rf"{seen};\, d_{{l-1}}"
    if config.depth == "lstm":
        depth = _lstm("depth", inputs, "m", "m_{l-1}", "d", mark="^d")
        return Equations(r"d_0 = e,\quad m_0 = 0", time | depth, _guess("d"))
    assert config.depth is not None  # every grid has one
    transfer = {"tanh": r"\tanh", "relu": r"\mathrm{relu}"}[config.depth]
    depth = {"depth.hidden": rf"d = {transfer}(W^d\,[{inputs}] + b^d)"}
    return Equations("d_0 = e", time | depth, _guess("d"))


def _stacked(config: ModelConfig) -> Equations:
    layer = _lstm("time", r"h_{t-1};\, h_{l-1}", "c", "c_{t-1}", "h")
    return Equations("h_0 = e", layer, _guess("h"))


def _depth_gated(config: ModelConfig) -> Equations:
    layer = {
        "depth.gate": r"d = \sigma(W_d\,h_{l-1} + w_t \odot c_{t-1} + w_l \odot c_{l-1} + b_d)"
        r"\quad (0 \text{ in the first layer})",
        **_lstm("time", r"h_{t-1};\, h_{l-1}", "c", "c_{t-1}", "h"),
    }
    layer["time.cell"] += r" + d \odot c_{l-1}"
    return Equations("h_0 = e", layer, _guess("h"))


def _gated_feedback(config: ModelConfig) -> Equations:
    layer = {
        "feedback.reset": r"r_k = \sigma(u_k\,[h_{1,t-1};\, \dots;\, h_{L,t-1}] + w_k\,h_{l-1})"
        r"\quad \text{for each layer } k",
        **_lstm("time", r"h_{t-1};\, h_{l-1}", "c", "c_{t-1}", "h"),
        "time.candidate": r"g = \tanh(W_g\,h_{l-1} + \textstyle\sum_k r_k\,U_k\,h_{k,t-1} + b_g)",
    }
    return Equations("h_0 = e", layer, _guess("h"))


def _highway(config: ModelConfig) -> Equations:
    inputs = r"y_{t-1};\, y_{l-1}"
    layer = {
        "depth.carry": rf"C = \sigma(W_C\,[{inputs}] + b_C)",
        "depth.candidate": rf"H = \tanh(W_H\,[{inputs}] + b_H)",
        "depth.cell": r"y = C \odot y_{l-1} + (1 - C) \odot H",
    }
    return Equations("y_0 = e", layer, _guess("y"))


def _depth_grid(config: ModelConfig) -> Equations:
    layer = _lstm("depth", r"d_{t-1};\, d_{l-1}", "m", "m_{l-1}", "d")
    return Equations(r"d_0 = e,\quad m_0 = 0", layer, _guess("d"))


def _gru(config: ModelConfig) -> Equations:
    inputs = r"h_{t-1};\, h_{l-1}"
    layer = {
        "time.reset": rf"r = \sigma(W_r\,[{inputs}] + b_r)",
        "time.update": rf"z = \sigma(W_z\,[{inputs}] + b_z)",
        "time.candidate": r"g = \tanh(W_g\,h_{l-1} + b_g + r \odot (U_g\,h_{t-1} + a_g))",
        "time.hidden": r"h = z \odot h_{t-1} + (1 - z) \odot g",
    }
    if config.reset == "before":
        layer["time.candidate"] = r"g = \tanh(W_g\,h_{l-1} + b_g + U_g\,(r \odot h_{t-1}))"
    return Equations("h_0 = e", layer, _guess("h"))


def _rnn(config: ModelConfig) -> Equations:
    layer = {"time.hidden": r"h = \tanh(W\,[h_{t-1};\, h_{l-1}] + b)"}
    return Equations("h_0 = e", layer, _guess("h"))


def _min_gru(config: ModelConfig) -> Equations:
    layer = {
        "time.update": r"z = \sigma(W_z\,h_{l-1} + b_z)",
        "time.candidate": r"g = W_g\,h_{l-1} + b_g",
        "time.hidden": r"h = z \odot h_{t-1} + (1 - z) \odot g",
    }
    return Equations("h_0 = e", layer, _guess("h"))


def _min_lstm(config: ModelConfig) -> Equations:
    i, f = (rf"\sigma(W_{gate}\,h_{{l-1}} + b_{gate})" for gate in "if")
    layer = {
        "time.input": f"i = {i} / ({f} + {i})",
        "time.forget": f"f = {f} / ({f} + {i})",
        "time.candidate": r"g = W_g\,h_{l-1} + b_g",
        "time.hidden": r"h = f \odot h_{t-1} + i \odot g",
    }
    return Equations("h_0 = e", layer, _guess("h"))


def _slstm(config: ModelConfig) -> Equations:
    inputs = r"h_{t-1};\, h_{l-1}"
    i, f = (rf"W_{gate}\,[{inputs}] + b_{gate}" for gate in "if")
    layer = {
        "time.stabiliser": rf"m = \max(\log(\sigma({f})) + m_{{t-1}},\, {i})"
        r"\quad (m = -\infty \text{ before the first character})",
        "time.input": rf"i = \exp({i} - m)",
        "time.forget": rf"f = \exp(\log(\sigma({f})) + m_{{t-1}} - m)",
        "time.output": rf"o = \sigma(W_o\,[{inputs}] + b_o)",
        "time.candidate": rf"g = \tanh(W_g\,[{inputs}] + b_g)",
        "time.cell": r"c = f \odot c_{t-1} + i \odot g",
        "time.normaliser": r"n = f \odot n_{t-1} + i",
        "time.hidden": r"h = o \odot c / n",
    }
    return Equations("h_0 = e", layer, _guess("h"))


# Between 0 and 1 over so wide a range of the sum, by the option's value.
_HARD_SIGMOIDS = {"hard_sigmoid": 5, "hard_sigmoid_6": 6}
_OF_ARCHITECTURE = {
    "grid": _grid,
    "stacked": _stacked,
    "depth-gated": _depth_gated,
    "gated-feedback": _gated_feedback,
    "highway": _highway,
    "grid-1d": _depth_grid,
    "gru": _gru,
    "rnn": _rnn,
    "min-gru": _min_gru,
    "min-lstm": _min_lstm,
    "slstm": _slstm,
}
