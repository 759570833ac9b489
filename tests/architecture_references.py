"""The architectures beside the usual grid and the stacked LSTM, written from their papers'
equations, one cell at a time, in float64, without `gridlstm`.

Weights are the tensors of a checkpoint by name; every quantity comes out by its name.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from reference import sigmoid

# What is carried from one character to the next, what the gates above read and what is carried up.
CARRIED = {
    "grid": ("time.hidden", "time.cell"),
    "depth-gated": ("time.hidden", "time.cell"),
    "gated-feedback": ("time.hidden", "time.cell"),
    "highway": ("depth.cell",),
    "grid-1d": ("depth.hidden",),
    "gru": ("time.hidden",),
    "rnn": ("time.hidden",),
    "min-gru": ("time.hidden",),
    "min-lstm": ("time.hidden",),
    "slstm": ("time.hidden", "time.cell", "time.normaliser", "time.stabiliser"),
}
READ_ABOVE = {
    "grid": "depth.hidden",
    "depth-gated": "time.hidden",
    "gated-feedback": "time.hidden",
    "highway": "depth.cell",
    "grid-1d": "depth.hidden",
    "gru": "time.hidden",
    "rnn": "time.hidden",
    "min-gru": "time.hidden",
    "min-lstm": "time.hidden",
    "slstm": "time.hidden",
}
CARRIED_UP = {
    "grid": "depth.cell",
    "depth-gated": "time.cell",
    "highway": "depth.cell",
    "grid-1d": "depth.cell",
}


@dataclass
class Reference:
    """`values` by name [layer, position, width]; `loss` [position], NaN first; `next_byte`
    [position, 256]; `top` [position, unit], what the top layer hands up; `state` [layer, unit]
    each, in the order of CARRIED, after the last position."""

    values: dict[str, np.ndarray]
    loss: np.ndarray
    next_byte: np.ndarray
    top: np.ndarray
    state: list[np.ndarray]


@dataclass
class Place:
    """One layer at one position: all that it is computed from.

    `before` is what the layer carried by name, `everywhere` the h [layer, unit] of all layers at
    the position before; `below` is what gates read and `memory` what is carried up to the layer.
    `clamp` puts what is held of a quantity into its values.
    """

    number: int
    tensors: dict[str, np.ndarray]
    options: dict[str, str]
    before: dict[str, np.ndarray]
    everywhere: np.ndarray
    below: np.ndarray
    memory: np.ndarray | None
    clamp: Callable[[str, np.ndarray], np.ndarray]

    @property
    def units(self) -> int:
        return len(self.below)

    def tensor(self, name: str) -> np.ndarray:
        """The layer's own tensor; a shared one is stored under layer 0."""
        own = f"layers.{self.number}.{name}"
        return self.tensors[own if own in self.tensors else f"layers.0.{name}"]

    def sums(self, dimension: str, h: np.ndarray) -> list[np.ndarray]:
        """`W [h ; below] + b` cut into pieces of one value a unit."""
        return self.affine(dimension, np.concatenate((h, self.below)))

    def affine(self, dimension: str, read: np.ndarray) -> list[np.ndarray]:
        """`W read + b` cut into pieces of one value a unit."""
        sums = self.tensor(f"{dimension}.weight") @ read + self.tensor(f"{dimension}.bias")
        return list(sums.reshape(-1, self.units))

    def lstm(self, dimension: str, h: np.ndarray, c: np.ndarray) -> dict[str, np.ndarray]:
        """An LSTM update from h, below and a memory c."""
        z_i, z_f, z_o, z_g = self.sums(dimension, h)
        i, o, g = sigmoid(z_i), sigmoid(z_o), np.tanh(z_g)
        f = self.clamp(f"{dimension}.forget", sigmoid(z_f))
        c = self.clamp(f"{dimension}.cell", f * c + i * g)
        found = {"input": i, "forget": f, "output": o, "candidate": g}
        found |= {"cell": c, "hidden": o * np.tanh(c)}
        return {f"{dimension}.{kind}": value for kind, value in found.items()}


# -- What a layer does at a position --------------------------------------------------------------


def rnn(place: Place) -> dict[str, np.ndarray]:
    (z,) = place.sums("time", place.before["time.hidden"])
    return {"time.hidden": place.clamp("time.hidden", np.tanh(z))}


def gru(place: Place) -> dict[str, np.ndarray]:
    """As cuDNN and torch have it the reset gate is put on `W_h h + b_h`; or, as Cho et al. (2014)
    and char-rnn have it, on h: `g = tanh(W x + U (r * h) + b)`, `h' = (1 - u) h + u g`, of which
    the u is what `1 - z` is here."""
    h, x, units = place.before["time.hidden"], place.below, place.units
    z_r, z_z, _ = place.sums("time", h)
    r, z = sigmoid(z_r), place.clamp("time.update", sigmoid(z_z))
    of_h, of_x = np.split(place.tensor("time.weight")[2 * units :], 2, axis=1)
    b_x = place.tensor("time.bias")[2 * units :]
    if place.options.get("reset") == "before":
        g = np.tanh(of_x @ x + of_h @ (r * h) + b_x)
    else:
        g = np.tanh(of_x @ x + b_x + r * (of_h @ h + place.tensor("time.candidate_bias")))
    u = 1 - z
    h = place.clamp("time.hidden", (1 - u) * h + u * g)
    return {"time.hidden": h, "time.reset": r, "time.update": z, "time.candidate": g}


def min_gru(place: Place) -> dict[str, np.ndarray]:
    """Feng et al. 2024, section 3.1, `h' = (1 - z) h + z h~`; what is shown, and learnt, as the
    update gate is 1 - z."""
    kept, candidate = place.affine("time", place.below)
    kept = place.clamp("time.update", 1 - sigmoid(-kept))
    z = 1 - kept
    h = place.clamp("time.hidden", (1 - z) * place.before["time.hidden"] + z * candidate)
    return {"time.hidden": h, "time.update": kept, "time.candidate": candidate}


def min_lstm(place: Place) -> dict[str, np.ndarray]:
    """Feng et al. 2024, section 3.2: f' = f / (f + i), i' = i / (f + i), h' = f' h + i' h~."""
    z_i, z_f, candidate = place.affine("time", place.below)
    i, f = sigmoid(z_i), sigmoid(z_f)
    i, f = i / (f + i), place.clamp("time.forget", f / (f + i))
    h = place.clamp("time.hidden", f * place.before["time.hidden"] + i * candidate)
    return {"time.hidden": h, "time.input": i, "time.forget": f, "time.candidate": candidate}


def slstm(place: Place) -> dict[str, np.ndarray]:
    """Beck et al. 2024, equations 8 to 17, with a sigmoid for the forget gate. Nothing was read
    where the normaliser is 0: there the stabiliser before is minus infinity."""
    h, c, n, m = (place.before[name] for name in CARRIED["slstm"])
    z_i, z_f, z_o, z_g = place.sums("time", h)
    with np.errstate(divide="ignore"):
        log_before = np.where(n == 0, -np.inf, m) + np.log(sigmoid(z_f))
    m = np.maximum(log_before, z_i)
    i, f, o, g = np.exp(z_i - m), np.exp(log_before - m), sigmoid(z_o), np.tanh(z_g)
    f = place.clamp("time.forget", f)
    c, n = place.clamp("time.cell", f * c + i * g), f * n + i
    found = {"input": i, "forget": f, "output": o, "candidate": g, "cell": c, "hidden": o * c / n}
    found |= {"normaliser": n, "stabiliser": m}
    return {f"time.{kind}": value for kind, value in found.items()}


def highway(place: Place) -> dict[str, np.ndarray]:
    """Srivastava et al. 2015, equation 3, with the carry gate C = 1 - T."""
    z_carry, z_candidate = place.sums("depth", place.before["depth.cell"])
    carry = place.clamp("depth.carry", sigmoid(z_carry))
    transform, candidate = 1 - carry, np.tanh(z_candidate)
    y = place.clamp("depth.cell", candidate * transform + place.memory * carry)
    return {"depth.cell": y, "depth.carry": carry, "depth.candidate": candidate}


def grid_1d(place: Place) -> dict[str, np.ndarray]:
    return place.lstm("depth", place.before["depth.hidden"], place.memory)


def grid(place: Place) -> dict[str, np.ndarray]:
    """Kalchbrenner et al. 2015, section 3.2: with priority depth sees the new h, else the old."""
    found = place.lstm("time", place.before["time.hidden"], place.before["time.cell"])
    new_first = place.options.get("priority", "depth") == "depth"
    seen = found["time.hidden"] if new_first else place.before["time.hidden"]
    depth = place.options.get("depth", "lstm")
    if depth == "lstm":
        return found | place.lstm("depth", seen, place.memory)
    (z,) = place.sums("depth", seen)
    return found | {"depth.hidden": np.tanh(z) if depth == "tanh" else np.where(z > 0, z, 0)}


def depth_gated(place: Place) -> dict[str, np.ndarray]:
    """Yao et al. 2015, equations 8 and 9; no peepholes but those of the depth gate."""
    before, gate = place.before["time.cell"], np.zeros(place.units)
    z_i, z_f, z_o, z_g = place.sums("time", place.before["time.hidden"])
    i, o, g = sigmoid(z_i), sigmoid(z_o), np.tanh(z_g)
    f = place.clamp("time.forget", sigmoid(z_f))
    if place.number > 0:
        z = place.tensor("depth.weight") @ place.below + place.tensor("depth.bias")
        z = z + place.tensor("depth.before") * before + place.tensor("depth.below") * place.memory
        gate = sigmoid(z)
    gate = place.clamp("depth.gate", gate)
    c = f * before + i * g
    if place.number > 0:
        c = c + gate * place.memory
    c = place.clamp("time.cell", c)
    found = {"input": i, "forget": f, "output": o, "candidate": g}
    found |= {"cell": c, "hidden": o * np.tanh(c)}
    return {**{f"time.{kind}": value for kind, value in found.items()}, "depth.gate": gate}


def gated_feedback(place: Place) -> dict[str, np.ndarray]:
    """Chung et al. 2015, section 3.1: one number lets each layer's h through to this one."""
    h, c = place.before["time.hidden"], place.before["time.cell"]
    x, units = place.below, place.units
    weight, bias = place.tensor("time.weight"), place.tensor("time.bias").reshape(4, units)
    i, f, o = (
        sigmoid(weight[n * units : (n + 1) * units] @ np.concatenate((h, x)) + bias[n])
        for n in range(3)
    )
    f = place.clamp("time.forget", f)
    seen = np.concatenate((*place.everywhere, x))
    resets = [sigmoid(row @ seen) for row in place.tensor("feedback.weight")]
    *of_layers, of_x = np.split(place.tensor("time.candidate"), len(resets) + 1, axis=1)
    z = of_x @ x + bias[3]
    for reset, of_layer, shown in zip(resets, of_layers, place.everywhere, strict=True):
        z = z + reset * (of_layer @ shown)
    g = np.tanh(z)
    c = place.clamp("time.cell", f * c + i * g)
    found = {"input": i, "forget": f, "output": o, "candidate": g}
    found |= {"cell": c, "hidden": o * np.tanh(c)}
    values = {f"time.{kind}": value for kind, value in found.items()}
    return {**values, "feedback.reset": np.array(resets)}


LAYERS = {
    "grid": grid,
    "depth-gated": depth_gated,
    "gated-feedback": gated_feedback,
    "highway": highway,
    "grid-1d": grid_1d,
    "gru": gru,
    "rnn": rnn,
    "min-gru": min_gru,
    "min-lstm": min_lstm,
    "slstm": slstm,
}


# -- A text read ----------------------------------------------------------------------------------


def run(
    architecture: str,
    layers: int,
    tensors: dict[str, np.ndarray],
    data: Sequence[int],
    *,
    state: Sequence[np.ndarray] | None = None,
    below_mask: np.ndarray | None = None,
    top_mask: np.ndarray | None = None,
    clamps: Sequence[tuple[str, int, int, float]] = (),
    **options: str,
) -> Reference:
    """Read `data` (bytes) from `state`, [layer, unit] each in the order of CARRIED, or zeros.

    `below_mask` [position, layer - 1, unit] multiplies what the gates of layers from the second on
    read from below, `top_mask` [position, unit] what the decoder reads. `clamps` are (quantity,
    layer from 0, unit, value). `options` are a grid's `priority` and `depth`.
    """
    tensors = {name: np.asarray(tensor, np.float64) for name, tensor in tensors.items()}
    units, carried = tensors["decoder.weight"].shape[1], CARRIED[architecture]
    if state is None:
        state = [np.zeros((layers, units)) for _ in carried]
    before = [
        {name: np.array(part[layer], np.float64) for name, part in zip(carried, state, strict=True)}
        for layer in range(layers)
    ]
    rows, tops = [], []
    for position, byte in enumerate(data):
        below = tensors["embedding.weight"][byte]
        memory = below if architecture == "highway" else np.zeros(units)
        everywhere, row = np.array([of[carried[0]] for of in before]), []
        for layer in range(layers):
            if layer > 0 and below_mask is not None:
                below = below * below_mask[position, layer - 1]

            def clamp(quantity, values, layer=layer):
                values = values.copy()
                for name, at, unit, value in clamps:
                    if (name, at) == (quantity, layer):
                        values[unit] = value
                return values

            place = Place(layer, tensors, options, before[layer], everywhere, below, memory, clamp)
            found = LAYERS[architecture](place)
            before[layer] = {name: found[name] for name in carried}
            below = found[READ_ABOVE[architecture]]
            memory = found.get(CARRIED_UP.get(architecture))
            row.append(found)
        rows.append(row)
        tops.append(below)
    values = {
        name: np.array([[row[layer][name] for row in rows] for layer in range(layers)])
        for name in rows[0][0]
    }
    top = np.array(tops)
    probabilities = _chances(tensors, top if top_mask is None else top * top_mask)
    spent = [-np.log(probabilities[t - 1, data[t]]) for t in range(1, len(data))]
    after = [np.array([of[name] for of in before]) for name in carried]
    return Reference(values, np.array([np.nan, *spent]), probabilities, top, after)


def _chances(tensors: dict[str, np.ndarray], top: np.ndarray) -> np.ndarray:
    """The softmax of the decoder's logits, [position, 256]."""
    logits = top @ tensors["decoder.weight"].T + tensors["decoder.bias"]
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)
