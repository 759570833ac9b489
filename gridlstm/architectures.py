"""The architectures by name: what each is called, which tensors it has, what a trace of it holds.

Knows no torch, so that it loads at once. To add an architecture takes one file with its cell
(`gridlstm.cells` says what that is; `gridlstm.cells.rnn` is the shortest) and one entry here; what
it computes can be told in `gridlstm.equations`.

Quantities are named `dimension.kind`. A weight's columns are [h ; below] unless said otherwise: the
layer's own state at the character before, then what it reads from the layer below: of the first
layer as many numbers as the embedding has, or as there are tokens where these are one-hot.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Protocol

Shapes = dict[str, tuple[int, ...]]
GATES = ("input", "forget", "output", "candidate")
LSTM = ("cell", "hidden", *GATES)
# Kinds of quantities that lie between 0, closed, and 1, open.
GATE_KINDS = ("input", "forget", "output", "reset", "update", "carry", "gate")


class Settings(Protocol):
    """What an architecture asks of a `gridlstm.config.ModelConfig`."""

    layers: int
    units: int
    tie: str | None
    priority: str | None
    depth: str | None
    reset: str | None
    gates: str | None
    input_size: int

    def input_width(self, layer: int) -> int: ...


@dataclass(frozen=True)
class Memory:
    """Something carried linearly `along` time or depth: `cell = keep * (cell before) + written`.

    All are names of quantities. What is written is `gate * candidate`; without a gate it is
    `(1 - keep) * candidate`, and without a candidate all that `keep` does not explain. `starts` in
    words if what is carried along depth does not begin at 0 below the first layer.
    """

    along: str
    cell: str
    keep: str
    gate: str | None = None
    candidate: str | None = None
    starts: str | None = None


def _lstm(dimension: str) -> tuple[str, ...]:
    return tuple(f"{dimension}.{kind}" for kind in LSTM)


def _lstm_memory(dimension: str) -> Memory:
    names = (f"{dimension}.{kind}" for kind in ("cell", "forget", "input", "candidate"))
    return Memory(dimension, *names)


@dataclass(frozen=True)
class Architecture:
    """What is known of an architecture without its network.

    `cell` is where its cell is, as `module:Class`. `state` says which quantities' last values
    are carried from one character to the next, by the name of each; `options` which of
    `ModelConfig`'s options it takes, with the values of each, the usual one first. `recurrence` is
    that of torch's recurrences (LSTM, GRU or RNN_TANH) which runs along time in a layer, if one
    does; `walks` says that cells are the usual grid's, `feedback` that a layer reads what all
    layers showed at the character before, `carries_inputs` that the token's embedding is carried
    up through the layers, so that it is as wide as they are. `memories` and `quantities` are those
    of its usual form.
    """

    title: str
    cell: str
    quantities: tuple[str, ...]
    memories: tuple[Memory, ...]
    state: Mapping[str, str]
    options: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    recurrence: str | None = None
    walks: bool = False
    feedback: bool = False
    carries_inputs: bool = False

    def form(self, config: Settings) -> "Architecture":
        """What an architecture is with the options chosen."""
        return self

    def layer(self, config: Settings, layer: int) -> Shapes:
        """The tensors of a layer, counted from 0, by the rest of their names."""
        raise NotImplementedError

    def width(self, config: Settings, quantity: str) -> int:
        """How many values a layer has of a quantity at each character."""
        return config.units


class Stacked(Architecture):
    def form(self, config):
        return _with_hard_gates(self, config)

    def layer(self, config, layer):
        units, columns = config.units, config.units + config.input_width(layer)
        return {"time.weight": (4 * units, columns), "time.bias": (4 * units,)}


class Grid(Architecture):
    def form(self, config):
        title = self.title + (" without depth priority" if config.priority == "none" else "")
        if config.depth == "lstm":
            # The walk has the weights of all layers in one tensor.
            walks = config.priority == "depth" and config.input_size == config.units
            return replace(self, title=title, walks=walks)
        return replace(
            self,
            title=f"{title} with {config.depth} in depth",
            quantities=(*_lstm("time"), "depth.hidden"),
            memories=self.memories[:1],
        )

    def layer(self, config, layer):
        units = config.units
        gates = {"time": 4, "depth": 4 if config.depth == "lstm" else 1}
        columns, shapes = units + config.input_width(layer), {}
        for dimension, count in gates.items():
            shared = config.tie == "all" or (config.tie == "depth" and dimension == "depth")
            if layer == 0 or not shared:
                shapes[f"{dimension}.weight"] = (count * units, columns)
                shapes[f"{dimension}.bias"] = (count * units,)
        return shapes


class Gru(Architecture):
    """Rows: reset, update, candidate. Where the reset comes after the product, the candidate has a
    bias of its own within it."""

    def form(self, config):
        form = _with_hard_gates(self, config)
        if config.reset == "after":
            return form
        return replace(form, title=f"{form.title} with the reset before", recurrence=None)

    def layer(self, config, layer):
        units, columns = config.units, config.units + config.input_width(layer)
        shapes = {"time.weight": (3 * units, columns), "time.bias": (3 * units,)}
        if config.reset == "after":
            shapes["time.candidate_bias"] = (units,)
        return shapes


class Minimal(Architecture):
    """Gates read what is below alone. Rows of a minGRU: update, candidate; of a minLSTM: input,
    forget, candidate."""

    def layer(self, config, layer):
        rows = (len(self.quantities) - 1) * config.units
        return {"time.weight": (rows, config.input_width(layer)), "time.bias": (rows,)}


class Rnn(Architecture):
    def layer(self, config, layer):
        units, columns = config.units, config.units + config.input_width(layer)
        return {"time.weight": (units, columns), "time.bias": (units,)}


class Highway(Architecture):
    """Rows: carry gate, candidate."""

    def layer(self, config, layer):
        units = config.units
        return {"depth.weight": (2 * units, 2 * units), "depth.bias": (2 * units,)}


class DepthGrid(Architecture):
    def layer(self, config, layer):
        units, columns = config.units, config.units + config.input_width(layer)
        return {"depth.weight": (4 * units, columns), "depth.bias": (4 * units,)}


class DepthGated(Architecture):
    """From the second layer on a depth gate, which reads what is below, and by a weight of each
    unit's own its memory at the character before and the memory below."""

    def layer(self, config, layer):
        units, columns = config.units, config.units + config.input_width(layer)
        shapes = {"time.weight": (4 * units, columns), "time.bias": (4 * units,)}
        if layer > 0:
            shapes |= {
                "depth.weight": (units, units),
                "depth.bias": (units,),
                "depth.before": (units,),
                "depth.below": (units,),
            }
        return shapes


class GatedFeedback(Architecture):
    """The gates read [h ; below], rows input, forget, output. The candidate reads the states of all
    layers, and below; so do the resets, one row for each layer that is read."""

    def layer(self, config, layer):
        units, layers, inputs = config.units, config.layers, config.input_width(layer)
        return {
            "time.weight": (3 * units, units + inputs),
            "time.candidate": (units, layers * units + inputs),
            "time.bias": (4 * units,),
            "feedback.weight": (layers, layers * units + inputs),
        }

    def width(self, config, quantity):
        return config.layers if quantity == "feedback.reset" else config.units


def _with_hard_gates(form: Architecture, config: Settings) -> Architecture:
    """The form with the gates chosen: torch's recurrences have sigmoids alone."""
    if config.gates in (None, "sigmoid"):
        return form
    return replace(form, title=f"{form.title} with hard sigmoids", recurrence=None)


_GATES = {"gates": ("sigmoid", "hard_sigmoid", "hard_sigmoid_6")}
_STATE = {"h": "time.hidden", "c": "time.cell"}
_GRU_MEMORY = Memory("time", "time.hidden", "time.update", candidate="time.candidate")

ARCHITECTURES: dict[str, Architecture] = {
    "grid": Grid(
        "Grid LSTM",
        "gridlstm.cells.grid:GridLSTM",
        (*_lstm("time"), *_lstm("depth")),
        (_lstm_memory("time"), _lstm_memory("depth")),
        _STATE,
        {
            "tie": ("none", "depth", "all"),
            "priority": ("depth", "none"),
            "depth": ("lstm", "tanh", "relu"),
        },
        recurrence="LSTM",
    ),
    "stacked": Stacked(
        "Stacked LSTM",
        "gridlstm.cells.lstm:StackedLSTM",
        _lstm("time"),
        (_lstm_memory("time"),),
        _STATE,
        _GATES,
        recurrence="LSTM",
    ),
    "depth-gated": DepthGated(
        "Depth-gated LSTM",
        "gridlstm.cells.depth_gated:DepthGatedLSTM",
        (*_lstm("time"), "depth.gate"),
        (
            Memory("time", "time.cell", "time.forget"),
            Memory("depth", "time.cell", "depth.gate"),
        ),
        _STATE,
    ),
    "gated-feedback": GatedFeedback(
        "Gated feedback LSTM",
        "gridlstm.cells.gated_feedback:GatedFeedbackLSTM",
        (*_lstm("time"), "feedback.reset"),
        (_lstm_memory("time"),),
        _STATE,
        feedback=True,
    ),
    "highway": Highway(
        "Highway RNN",
        "gridlstm.cells.highway:HighwayRNN",
        ("depth.cell", "depth.carry", "depth.candidate"),
        (
            Memory(
                "depth",
                "depth.cell",
                "depth.carry",
                candidate="depth.candidate",
                starts="the byte itself",
            ),
        ),
        {"h": "depth.cell"},
        carries_inputs=True,
    ),
    "grid-1d": DepthGrid(
        "1-D Grid LSTM",
        "gridlstm.cells.grid_1d:DepthGridLSTM",
        _lstm("depth"),
        (_lstm_memory("depth"),),
        {"h": "depth.hidden"},
    ),
    "gru": Gru(
        "GRU",
        "gridlstm.cells.gru:GRU",
        ("time.hidden", "time.reset", "time.update", "time.candidate"),
        (_GRU_MEMORY,),
        {"h": "time.hidden"},
        {"reset": ("after", "before"), **_GATES},
        recurrence="GRU",
    ),
    "rnn": Rnn(
        "RNN",
        "gridlstm.cells.rnn:RNN",
        ("time.hidden",),
        (),
        {"h": "time.hidden"},
        recurrence="RNN_TANH",
    ),
    "min-gru": Minimal(
        "minGRU",
        "gridlstm.cells.min_gru:MinGRU",
        ("time.hidden", "time.update", "time.candidate"),
        (_GRU_MEMORY,),
        {"h": "time.hidden"},
    ),
    "min-lstm": Minimal(
        "minLSTM",
        "gridlstm.cells.min_lstm:MinLSTM",
        ("time.hidden", "time.input", "time.forget", "time.candidate"),
        (Memory("time", "time.hidden", "time.forget", "time.input", "time.candidate"),),
        {"h": "time.hidden"},
    ),
    "slstm": Stacked(
        "sLSTM",
        "gridlstm.cells.slstm:SLSTM",
        (*_lstm("time"), "time.normaliser", "time.stabiliser"),
        (_lstm_memory("time"),),
        {**_STATE, "n": "time.normaliser", "m": "time.stabiliser"},
    ),
}
