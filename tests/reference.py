"""The models written from their equations, one cell at a time, in float64, without `gridlstm`.

Weights are the tensors of a checkpoint by name; every quantity comes out by its name.
"""

from dataclasses import dataclass

import numpy as np


@dataclass
class Reference:
    """`values` by name [layer, position, unit]; `loss` [position], NaN first; `next_byte`
    [position, 256]; `h` and `c` [layer, unit] after the last position."""

    values: dict[str, np.ndarray]
    loss: np.ndarray
    next_byte: np.ndarray
    h: np.ndarray
    c: np.ndarray


def sigmoid(z):
    return 1 / (1 + np.exp(-z))


def lstm(z, c, clamps=()):
    """Pre-activations z [4U] and a memory c [U] -> the new h and c and everything by name.

    `clamps` are (quantity, unit, value): a forget gate or cell held at a value."""
    z_i, z_f, z_o, z_g = z.reshape(4, -1)
    i, f, o, g = sigmoid(z_i), sigmoid(z_f), sigmoid(z_o), np.tanh(z_g)
    for quantity, unit, value in clamps:
        if quantity == "forget":
            f[unit] = value
    c = f * c + i * g
    for quantity, unit, value in clamps:
        if quantity == "cell":
            c[unit] = value
    h = o * np.tanh(c)
    return h, c, {"cell": c, "hidden": h, "input": i, "forget": f, "output": o, "candidate": g}


def weights_of(tensors, dimension, layer):
    """A layer's own weight and bias; a shared one is stored under layer 0."""
    own = f"layers.{layer}.{dimension}"
    name = own if f"{own}.weight" in tensors else f"layers.0.{dimension}"
    return tensors[f"{name}.weight"], tensors[f"{name}.bias"]


def run(
    architecture, layers, tensors, data, h=None, c=None, below_mask=None, top_mask=None, clamps=()
):
    """Read `data` (bytes). `below_mask` [position, layer - 1, unit] multiplies what layers from the
    second on receive from below, `top_mask` [position, unit] what the decoder receives. `clamps`
    are (dimension, quantity, layer from 0, unit, value)."""
    tensors = {name: np.asarray(tensor, np.float64) for name, tensor in tensors.items()}
    units = tensors["decoder.weight"].shape[1]
    positions = len(data)
    h = np.zeros((layers, units)) if h is None else np.array(h, np.float64)
    c = np.zeros((layers, units)) if c is None else np.array(c, np.float64)
    values, next_byte, loss = {}, np.empty((positions, 256)), np.full(positions, np.nan)

    def held(dimension, layer):
        return [(q, unit, value) for d, q, n, unit, value in clamps if (d, n) == (dimension, layer)]

    def keep(dimension, layer, position, found):
        for quantity, value in found.items():
            room = np.full((layers, positions, units), np.nan)
            values.setdefault(f"{dimension}.{quantity}", room)[layer, position] = value

    for t, byte in enumerate(data):
        d, m = tensors["embedding.weight"][byte], np.zeros(units)
        for layer in range(layers):
            if layer > 0 and below_mask is not None:
                d = d * below_mask[t, layer - 1]
            weight, bias = weights_of(tensors, "time", layer)
            h[layer], c[layer], found = lstm(
                weight @ np.concatenate((h[layer], d)) + bias, c[layer], held("time", layer)
            )
            keep("time", layer, t, found)
            if architecture == "grid":
                weight, bias = weights_of(tensors, "depth", layer)
                sums = weight @ np.concatenate((h[layer], d)) + bias
                d, m, found = lstm(sums, m, held("depth", layer))
                keep("depth", layer, t, found)
            else:
                d = h[layer]
        top = d if top_mask is None else d * top_mask[t]
        logits = tensors["decoder.weight"] @ top + tensors["decoder.bias"]
        probabilities = np.exp(logits - logits.max())
        next_byte[t] = probabilities / probabilities.sum()
        if t + 1 < positions:
            loss[t + 1] = -np.log(next_byte[t, data[t + 1]])
    return Reference(values, loss, next_byte, h, c)
