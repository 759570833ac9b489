"""The architectures by name: what each is called, which tensors it has, what a trace of it holds.

Knows no torch, so that it loads at once. To add an architecture takes one file with its network
(`gridlstm.networks.layerwise` says what that is; `gridlstm.networks.rnn` is the shortest) and one
entry here; what it computes can be told in `gridlstm.equations`.

Quantities are named `dimension.kind`. A weight's columns are [h ; below] unless said otherwise: the
layer's own state at the character before, then what it reads from the layer below.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gridlstm.config import ModelConfig

Shapes = dict[str, tuple[int, ...]]
GATES = ("input", "forget", "output", "candidate")
LSTM = ("cell", "hidden", *GATES)
# Kinds of quantities that lie between 0, closed, and 1, open.
GATE_KINDS = ("input", "forget", "output", "reset", "update", "carry", "gate")


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

    `network` is where its network is, as `module:Class`. `state` says which quantities' last values
    are carried from one character to the next, by the name of each; `options` which of
    `ModelConfig`'s options it takes, with the values of each, the usual one first. `memories` and
    `quantities` are those of its usual form.
    """

    title: str
    network: str
    quantities: tuple[str, ...]
    memories: tuple[Memory, ...]
    state: Mapping[str, str]
    options: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def form(self, config: "ModelConfig") -> "Architecture":
        """What an architecture is with the options chosen."""
        return self

    def layer(self, config: "ModelConfig", layer: int) -> Shapes:
        """The tensors of a layer, counted from 0, by the rest of their names."""
        raise NotImplementedError

    def width(self, config: "ModelConfig", quantity: str) -> int:
        """How many values a layer has of a quantity at each character."""
        return config.units


class Stacked(Architecture):
    def layer(self, config, layer):
        units = config.units
        return {"time.weight": (4 * units, 2 * units), "time.bias": (4 * units,)}


class Grid(Architecture):
    def form(self, config):
        title = self.title + (" without depth priority" if config.priority == "none" else "")
        if config.depth == "lstm":
            return replace(self, title=title)
        return replace(
            self,
            title=f"{title} with {config.depth} in depth",
            quantities=(*_lstm("time"), "depth.hidden"),
            memories=self.memories[:1],
        )

    def layer(self, config, layer):
        units = config.units
        gates = {"time": 4, "depth": 4 if config.depth == "lstm" else 1}
        shapes = {}
        for dimension, count in gates.items():
            shared = config.tie == "all" or (config.tie == "depth" and dimension == "depth")
            if layer == 0 or not shared:
                shapes[f"{dimension}.weight"] = (count * units, 2 * units)
                shapes[f"{dimension}.bias"] = (count * units,)
        return shapes


class Gru(Architecture):
    """Rows: reset, update, candidate. The candidate has a bias of its own within the reset."""

    def layer(self, config, layer):
        units = config.units
        return {
            "time.weight": (3 * units, 2 * units),
            "time.bias": (3 * units,),
            "time.candidate_bias": (units,),
        }


class Rnn(Architecture):
    def layer(self, config, layer):
        units = config.units
        return {"time.weight": (units, 2 * units), "time.bias": (units,)}


class Highway(Architecture):
    """Rows: carry gate, candidate."""

    def layer(self, config, layer):
        units = config.units
        return {"depth.weight": (2 * units, 2 * units), "depth.bias": (2 * units,)}


class DepthGrid(Architecture):
    def layer(self, config, layer):
        units = config.units
        return {"depth.weight": (4 * units, 2 * units), "depth.bias": (4 * units,)}


class DepthGated(Architecture):
    """From the second layer on a depth gate, which reads what is below, and by a weight of each
    unit's own its memory at the character before and the memory below."""

    def layer(self, config, layer):
        units = config.units
        shapes = {"time.weight": (4 * units, 2 * units), "time.bias": (4 * units,)}
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
        units, layers = config.units, config.layers
        return {
            "time.weight": (3 * units, 2 * units),
            "time.candidate": (units, (layers + 1) * units),
            "time.bias": (4 * units,),
            "feedback.weight": (layers, (layers + 1) * units),
        }

    def width(self, config, quantity):
        return config.layers if quantity == "feedback.reset" else config.units


_STATE = {"h": "time.hidden", "c": "time.cell"}

ARCHITECTURES: dict[str, Architecture] = {
    "grid": Grid(
        "Grid LSTM",
        "gridlstm.networks.grid:grid_network",
        (*_lstm("time"), *_lstm("depth")),
        (_lstm_memory("time"), _lstm_memory("depth")),
        _STATE,
        {
            "tie": ("none", "depth", "all"),
            "priority": ("depth", "none"),
            "depth": ("lstm", "tanh", "relu"),
        },
    ),
    "stacked": Stacked(
        "Stacked LSTM",
        "gridlstm.networks.stacked:StackedLSTM",
        _lstm("time"),
        (_lstm_memory("time"),),
        _STATE,
    ),
    "depth-gated": DepthGated(
        "Depth-gated LSTM",
        "gridlstm.networks.depth_gated:DepthGatedLSTM",
        (*_lstm("time"), "depth.gate"),
        (
            Memory("time", "time.cell", "time.forget"),
            Memory("depth", "time.cell", "depth.gate"),
        ),
        _STATE,
    ),
    "gated-feedback": GatedFeedback(
        "Gated feedback LSTM",
        "gridlstm.networks.gated_feedback:GatedFeedbackLSTM",
        (*_lstm("time"), "feedback.reset"),
        (_lstm_memory("time"),),
        _STATE,
    ),
    "highway": Highway(
        "Highway RNN",
        "gridlstm.networks.highway:HighwayRNN",
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
    ),
    "grid-1d": DepthGrid(
        "1-D Grid LSTM",
        "gridlstm.networks.depth_grid:DepthGridLSTM",
        _lstm("depth"),
        (_lstm_memory("depth"),),
        {"h": "depth.hidden"},
    ),
    "gru": Gru(
        "GRU",
        "gridlstm.networks.gru:GRU",
        ("time.hidden", "time.reset", "time.update", "time.candidate"),
        (Memory("time", "time.hidden", "time.update", candidate="time.candidate"),),
        {"h": "time.hidden"},
    ),
    "rnn": Rnn("RNN", "gridlstm.networks.rnn:RNN", ("time.hidden",), (), {"h": "time.hidden"}),
}
