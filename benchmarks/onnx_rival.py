"""torch.nn.LSTM of one sequence in ONNX Runtime, with the same weights: a rival of traces."""

from collections.abc import Callable

import numpy as np
import onnxruntime
import torch
from onnx import TensorProto, helper, numpy_helper

# As of ONNX 1.16; later ones change nothing of an LSTM.
OPSET, IR_VERSION = 21, 10


def onnx_lstm(module: torch.nn.LSTM, positions: int) -> Callable[[np.ndarray], np.ndarray]:
    """The function that reads inputs [T, 1, U] from a state of zeros -> hidden states [T, 1, U] of
    the top layer, with as many threads as torch has."""
    nodes, weights, below = [], [numpy_helper.from_array(np.array([1]), "direction")], "inputs"
    for layer in range(module.num_layers):
        names = [f"{name}.{layer}" for name in ("W", "R", "B")]
        arrays = (
            numpy_helper.from_array(*pair)
            for pair in zip(_weights(module, layer), names, strict=True)
        )
        weights += arrays
        above = f"hidden.{layer}"
        nodes += [
            helper.make_node(
                "LSTM", [below, *names], [f"both.{layer}"], hidden_size=module.hidden_size
            ),
            helper.make_node("Squeeze", [f"both.{layer}", "direction"], [above]),
        ]
        below = above
    shape = [positions, 1, module.hidden_size]
    ends = [helper.make_tensor_value_info(n, TensorProto.FLOAT, shape) for n in ("inputs", below)]
    graph = helper.make_graph(nodes, "lstm", ends[:1], ends[1:], weights)
    opset = helper.make_opsetid("", OPSET)
    model = helper.make_model(graph, opset_imports=[opset], ir_version=IR_VERSION)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    return lambda inputs: session.run(None, {"inputs": inputs})[0]


def _weights(module: torch.nn.LSTM, layer: int) -> list[np.ndarray]:
    """Those of the inputs and of h [1, 4U, U], and both biases after each other [1, 8U]."""
    names = "weight_ih", "weight_hh", "bias_ih", "bias_hh"
    of_inputs, of_h, *biases = (_in_order(getattr(module, f"{n}_l{layer}")) for n in names)
    return [of_inputs[None], of_h[None], np.concatenate(biases)[None]]


def _in_order(tensor: torch.Tensor) -> np.ndarray:
    """Gates i, f, g, o, torch's order, as i, o, f, g, that of ONNX."""
    i, f, g, o = tensor.detach().numpy().reshape(4, -1, *tensor.shape[1:])
    return np.concatenate((i, o, f, g))


def check_same(found: np.ndarray, expected: np.ndarray, most: float = 1e-6) -> None:
    """Raise ValueError where two results differ by more."""
    if (off := float(np.abs(found - expected).max())) > most:
        raise ValueError(f"ONNX Runtime's numbers are off by {off:.1e}.")
