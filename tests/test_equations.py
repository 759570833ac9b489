"""The equations that the pages show: read as they are written, they give what a trace holds."""

import re

import numpy as np
import pytest
from scipy.special import expit, softmax

from gridlstm.config import ModelConfig
from gridlstm.equations import equations
from gridlstm.model import LanguageModel
from gridlstm.trace import trace

LAYERS, UNITS, DATA = 3, 5, b"abc a"
CONFIGS = {
    **{
        f"grid-{tie}-{priority}-{depth}": ModelConfig(
            "grid", LAYERS, UNITS, tie, 0, priority, depth
        )
        for tie in ("none", "depth", "all")
        for priority in ("depth", "none")
        for depth in ("lstm", "tanh", "relu")
    },
    **{
        name: ModelConfig(name, LAYERS, UNITS)
        for name in ("stacked", "depth-gated", "gated-feedback", "highway", "grid-1d", "gru", "rnn")
    },
    **{name: ModelConfig(name, LAYERS, UNITS) for name in ("min-gru", "min-lstm", "slstm")},
    "gru-before": ModelConfig("gru", LAYERS, UNITS, reset="before"),
    "gru-hard": ModelConfig("gru", LAYERS, UNITS, gates="hard_sigmoid"),
    "stacked-hard": ModelConfig("stacked", LAYERS, UNITS, gates="hard_sigmoid"),
}
each_model = pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
# Which rows of which tensors the letters of weights and biases stand for, and their mark.
ROWS = {
    "stacked": [("time", "ifog", "")],
    "depth-gated": [("time", "ifog", "")],
    "grid-1d": [("depth", "ifog", "")],
    "gru": [("time", "rzg", "")],
    "highway": [("depth", "CH", "")],
    "rnn": [("time", [""], "")],
    "min-gru": [("time", "zg", "")],
    "min-lstm": [("time", "ifg", "")],
    "slstm": [("time", "ifog", "")],
    "gated-feedback": [("time", "ifo", "")],
}
WORDS = {
    r";\, ": ", ",
    r",\, ": ", ",
    r"\,": " @ ",
    r"\odot": "*",
    r"\sigma": "sigmoid",
    r"\tanh": "tanh",
    r"\exp": "exp",
    r"\log": "log",
    r"\max": "maximum",
    r"\mathrm{relu}": "relu",
    r"\mathrm{hard}": "hard",
    r"\mathrm{softmax}": "softmax",
    "[": "row([",
    "]": "])",
}
FUNCTIONS = {
    "sigmoid": expit,
    "tanh": np.tanh,
    "exp": np.exp,
    "log": np.log,
    "maximum": np.maximum,
    "relu": lambda x: np.maximum(x, 0),
    "softmax": softmax,
    "hard": lambda x: np.clip(x / 5 + 0.5, 0, 1),
    "row": np.concatenate,
}
SYMBOL = re.compile(
    rf"\b(?!(?:{'|'.join(FUNCTIONS)})\b)[A-Za-z](?:_(?:\{{[^}}]*\}}|\w))?(?:\^[td])?"
)


def sides(latex):
    """The left side of an equation, and the right one without what is said of it in words."""
    left, right = latex.split(" = ", 1)
    return left, re.sub(r"\\quad.*", "", right)


def evaluate(right, look_up):
    """The right side of an equation, with what its symbols stand for."""
    for latex, python in WORDS.items():
        right = right.replace(latex, python)
    code = SYMBOL.sub(lambda symbol: f"look_up({symbol[0]!r})", right)
    return eval(code, {"__builtins__": {}, "look_up": look_up, **FUNCTIONS})


def weights_of(config, tensors, layer):
    """What the letters of weights and biases stand for in a layer."""
    own = {}
    for home in (0, layer):  # shared ones lie in the first
        start = f"layers.{home}."
        own |= {n.removeprefix(start): t for n, t in tensors.items() if n.startswith(start)}
    depth = "ifog" if config.depth == "lstm" else [""]
    weights = {"W_p": tensors["decoder.weight"], "b_p": tensors["decoder.bias"]}
    for dimension, letters, mark in ROWS.get(
        config.architecture, [("time", "ifog", "^t"), ("depth", depth, "^d")]
    ):
        for n, letter in enumerate(letters):
            rows, index = slice(n * UNITS, (n + 1) * UNITS), f"_{letter}" if letter else ""
            weights[f"W{index}{mark}"] = own[f"{dimension}.weight"][rows]
            weights[f"b{index}{mark}"] = own[f"{dimension}.bias"][rows]
    if config.architecture == "gru":
        weights["U_g"], weights["W_g"] = np.split(weights["W_g"], 2, axis=1)
        weights["a_g"] = own.get("time.candidate_bias")
    if config.architecture == "depth-gated" and layer > 0:
        weights |= {"W_d": own["depth.weight"], "b_d": own["depth.bias"]}
        weights |= {"w_t": own["depth.before"], "w_l": own["depth.below"]}
    if config.architecture == "gated-feedback":
        weights["u_k"], weights["w_k"] = np.split(own["feedback.weight"], [-UNITS], axis=1)
        *weights["U"], weights["W_g"] = np.split(own["time.candidate"], LAYERS + 1, axis=1)
        weights["b_g"] = own["time.bias"][3 * UNITS :]
    return weights


class Place:
    """What the symbols stand for in one layer at one position of a trace."""

    def __init__(self, config, found, tensors, layer, position):
        self.found, self.layer, self.position = found, layer, position
        self.weights = weights_of(config, tensors, layer)
        self.quantities = {sides(e)[0]: q for q, e in equations(config).layer.items()}
        self.first = dict(begin.split(" = ") for begin in equations(config).first.split(r",\quad "))
        self.known = {
            "e": tensors["embedding.weight"][found.tokens[position]],
            "0": np.zeros(UNITS),
        }

    def at(self, symbol, layer, position):
        values = self.found.values[self.quantities[symbol]]
        before = -np.inf if self.quantities[symbol] == "time.stabiliser" else 0.0
        return values[layer, position] if position >= 0 else np.full_like(values[layer, 0], before)

    def look_up(self, symbol):
        if symbol == "A":  # the hidden states of all layers at the position before
            return np.concatenate([self.at("h", n, self.position - 1) for n in range(LAYERS)])
        if symbol == "F":  # what they give to the candidate
            resets = self.at("r_k", self.layer, self.position)
            states = [self.at("h", n, self.position - 1) for n in range(LAYERS)]
            parts = zip(resets, self.weights["U"], states, strict=True)
            return sum(reset * (weight @ state) for reset, weight, state in parts)
        name, _, index = symbol.partition("_")
        if symbol in self.weights:
            return self.weights[symbol]
        if index == "{t-1}":
            return self.at(name, self.layer, self.position - 1)
        if index == "{l-1}" and self.layer == 0:
            return self.known[self.first[f"{name}_0"]]
        if index == "{l-1}":
            return self.at(name, self.layer - 1, self.position)
        if index == "L":
            return self.at(name, LAYERS - 1, self.position)
        return self.at(symbol, self.layer, self.position)

    def compute(self, latex):
        plain = latex.replace(r"[h_{1,t-1};\, \dots;\, h_{L,t-1}]", "A")
        plain = plain.replace(r"\textstyle\sum_k r_k\,U_k\,h_{k,t-1}", "F")
        return evaluate(sides(plain)[1], self.look_up)


@each_model
def test_every_quantity_is_what_its_equation_says(config):
    model = LanguageModel(config)
    model.initialise(0.7, 0.5)
    tensors = {name: tensor.detach().numpy() for name, tensor in model.to_tensors().items()}
    found, told = trace(model, DATA, dtype=np.float32), equations(config)
    assert set(told.layer) == set(config.quantities)
    for layer in range(LAYERS):
        for position in range(len(DATA)):
            place = Place(config, found, tensors, layer, position)
            for quantity, latex in told.layer.items():
                held = found.values[quantity][layer, position]
                if quantity == "depth.gate" and layer == 0:  # as is said beside it
                    assert not held.any()
                    continue
                if layer == 0 and quantity == "time.cell":
                    latex = latex.replace(r" + d \odot c_{l-1}", "")
                np.testing.assert_allclose(place.compute(latex), held, atol=1e-5, err_msg=latex)
    for position in range(len(DATA)):
        probabilities = Place(config, found, tensors, 0, position).compute(told.guess)
        np.testing.assert_allclose(probabilities, found.next_token[position], atol=1e-4)


def test_what_nobody_has_written_down_is_not_told():
    class Unknown:
        architecture = "leaky"

    assert equations(Unknown()) is None
