"""Recurrent models one character at a time in float64, from their equations, without `gridlstm`'s
networks: what other programs' models give when they are read right."""

from dataclasses import dataclass

import numpy as np

GATES = {
    "sigmoid": lambda x: 1 / (1 + np.exp(-x)),
    "hard_sigmoid": lambda x: np.clip(0.2 * x + 0.5, 0, 1),
    "hard_sigmoid_6": lambda x: np.clip(x / 6 + 0.5, 0, 1),
}


@dataclass
class Run:
    """`loss`: mean nats per predicted token, the first not predicted; `cell` and `hidden`
    [layer, position, unit], the cell NaN where there is none; `logits` [position, V]."""

    loss: float
    cell: np.ndarray
    hidden: np.ndarray
    logits: np.ndarray


def run(model, text: str) -> Run:
    """A `ForeignModel` on a text whose signs it all knows, from a zero state."""
    encoded = model.vocabulary.encode(text)
    assert encoded.is_exact
    return run_indices(model, encoded.tokens)


def run_indices(model, indices) -> Run:
    layers, units = len(model.layers), model.units
    gate = GATES[model.gates]
    h, c = np.zeros((layers, units)), np.full((layers, units), np.nan)
    if model.cell in ("lstm", "grid"):
        c[:] = 0
    weights = [
        [(np.float64(cell.weight), np.float64(cell.bias), cell.candidate_bias) for cell in cells]
        for cells in (
            [part for part in (layer.time, layer.depth) if part] for layer in model.layers
        )
    ]
    decoder, bias = np.float64(model.decoder_weight), np.float64(model.decoder_bias)
    hs, cs, logits = [], [], []
    for index in indices:
        if model.embedding is None:
            x = np.eye(model.vocabulary_size)[index]
        else:
            x = np.float64(model.embedding[index])
        memory = np.zeros(units)
        for layer, cells in enumerate(weights):
            h[layer], c[layer] = step(model, cells[0], h[layer], c[layer], x, gate)
            if model.cell == "grid":
                x, memory = step(model, cells[1], h[layer], memory, x, gate)
            else:
                x = h[layer]
        hs.append(h.copy())
        cs.append(c.copy())
        logits.append(decoder @ x + bias)
    logits = np.array(logits)
    probabilities = (
        logits[:-1]
        - np.log(np.exp(logits[:-1] - logits[:-1].max(1, keepdims=True)).sum(1))[:, None]
        - logits[:-1].max(1, keepdims=True)
    )
    loss = -probabilities[np.arange(len(indices) - 1), list(indices[1:])].mean()
    return Run(float(loss), np.array(cs).swapaxes(0, 1), np.array(hs).swapaxes(0, 1), logits)


def step(model, cell, h, c, x, gate):
    weight, bias, inner = cell
    units = len(h)
    if model.cell in ("lstm", "grid"):
        i, f, o, g = (weight @ np.concatenate((h, x)) + bias).reshape(4, units)
        c = gate(f) * c + gate(i) * np.tanh(g)
        return gate(o) * np.tanh(c), c
    if model.cell == "rnn":
        return np.tanh(weight @ np.concatenate((h, x)) + bias), c
    of_h, of_x = weight[:, :units], weight[:, units:] @ x + bias
    r = gate(of_h[:units] @ h + of_x[:units])
    z = gate(of_h[units : 2 * units] @ h + of_x[units : 2 * units])
    if model.reset == "after":
        n = np.tanh(of_x[2 * units :] + r * (of_h[2 * units :] @ h + inner))
    else:
        n = np.tanh(of_x[2 * units :] + of_h[2 * units :] @ (r * h))
    return z * h + (1 - z) * n, c
