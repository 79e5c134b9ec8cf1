"""One recurrent node as an ONNX model, batch first in and out."""

from __future__ import annotations

from typing import Any

import numpy as np
from onnx import helper, numpy_helper
from serve import Arrays

OPSET = 17
IR_VERSION = 9
OPERATORS = {"lstm": "LSTM", "gru": "GRU", "simple_rnn": "RNN"}


def build(cell: str, arrays: Arrays, with_states: bool) -> bytes:
    """A model from x `(B, T, I)` to y `(B, T, H)` and the final states `(1, B, H)`.

    ONNX Runtime has no batch-major recurrent nodes (`layout=1` is refused), so the model transposes.

    Args:
        cell: the kind of node; GRU with `linear_before_reset=1`.
        arrays: weights in Keras' layout, and the inputs, for their shape.
        with_states: whether the initial states are inputs too, h0 and, for LSTM, c0, `(1, B, H)`.
    """
    batch, timesteps, features = arrays["inputs"].shape
    units = arrays["recurrent"].shape[0]
    dtype = helper.np_dtype_to_tensor_dtype(arrays["inputs"].dtype)
    states = ("h", "c") if cell == "lstm" else ("h",)
    first = [f"{state}0" if with_states else "" for state in states]
    attributes: dict[str, Any] = {"hidden_size": units}
    if cell == "gru":
        attributes["linear_before_reset"] = 1
    node = helper.make_node(
        OPERATORS[cell],
        ["x_by_time", "w", "r", "b", "", *first],
        ["y_by_time", *states],
        **attributes,
    )
    nodes = [
        helper.make_node("Transpose", ["x"], ["x_by_time"], perm=[1, 0, 2]),
        node,
        helper.make_node("Squeeze", ["y_by_time", "direction_axis"], ["y_of_direction"]),
        helper.make_node("Transpose", ["y_of_direction"], ["y"], perm=[1, 0, 2]),
    ]
    w, r, b = _weights(cell, arrays)
    constants = {"w": w, "r": r, "b": b, "direction_axis": np.array([1], np.int64)}
    state_shape = [1, batch, units]
    inputs = {"x": [batch, timesteps, features], **{name: state_shape for name in first if name}}
    outputs = {"y": [batch, timesteps, units], **{name: state_shape for name in states}}
    graph = helper.make_graph(
        nodes,
        cell,
        [helper.make_tensor_value_info(name, dtype, shape) for name, shape in inputs.items()],
        [helper.make_tensor_value_info(name, dtype, shape) for name, shape in outputs.items()],
        [numpy_helper.from_array(array, name) for name, array in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)
    return bytes(model.SerializeToString())


def inputs(cell: str, arrays: Arrays, with_states: bool) -> dict[str, np.ndarray]:
    """What the model is fed with."""
    fed = {"x": arrays["inputs"]}
    if with_states:
        names = ("h0", "c0") if cell == "lstm" else ("h0",)
        fed |= {name: state[None] for name, state in zip(names, arrays["states"], strict=True)}
    return fed


def _weights(cell: str, arrays: Arrays) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Keras' weights as w `(1, G * H, I)`, r `(1, G * H, H)`, b `(1, 2 * G * H)`.

    Gates: i, f, c, o become i, o, f, c for LSTM; z, r, h stay for GRU.
    """

    def columns(array: np.ndarray) -> np.ndarray:
        if cell == "lstm":
            i, f, c, o = np.split(array, 4, axis=-1)
            return np.concatenate([i, o, f, c], axis=-1)
        return array

    bias = arrays["bias"]
    both = bias if cell == "gru" else np.stack([bias, np.zeros_like(bias)])
    w, r = (np.ascontiguousarray(columns(arrays[name]).T)[None] for name in ("kernel", "recurrent"))
    return w, r, columns(both).reshape(1, -1)
