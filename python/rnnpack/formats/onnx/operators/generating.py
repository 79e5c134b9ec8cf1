"""Operators that make arrays out of few numbers."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rnnpack.formats.onnx.limits import check_size
from rnnpack.formats.onnx.node import Function, Node, operator
from rnnpack.formats.onnx.operators.shaping import listed

Array = NDArray[Any]


def constant_of(node: Node) -> Array:
    """The value of a Constant node."""
    if node.present("value"):
        value = node.tensor("value")
        assert value is not None
        return value
    for name, read, dtype in (
        ("value_float", node.number, np.float32),
        ("value_floats", node.numbers, np.float32),
        ("value_int", node.integer, np.int64),
        ("value_ints", node.integers, np.int64),
    ):
        if node.opset >= 12 and node.present(name):
            return np.array(read(name), dtype)
    raise node.error("there is no value of a supported kind")


@operator("Constant", inputs=0)
def _constant(node: Node) -> Function:
    value = constant_of(node)
    return lambda: value


@operator("ConstantOfShape", since=9)
def _constant_of_shape(node: Node) -> Function:
    value = node.tensor("value") if node.present("value") else np.zeros(1, np.float32)
    if value is None or value.size != 1:
        raise node.error("attribute 'value' must have one element")
    fill = value.reshape(())
    return lambda shape: np.full(check_size(listed(shape) or ()), fill, fill.dtype)


@operator("Range", inputs=3, since=11)
def _range(node: Node) -> Function:
    def run(start: Array, limit: Array, delta: Array) -> Any:
        first, last, step = (part.reshape(()).item() for part in (start, limit, delta))
        if step == 0 or not all(map(math.isfinite, (first, last, step))):
            raise ValueError(f"start {first}, limit {last} and delta {step} are no range")
        count = max(0, math.ceil((last - first) / step))
        check_size([count])
        return (first + step * np.arange(count)).astype(start.dtype)

    return run


@operator("EyeLike", since=9)
def _eye_like(node: Node) -> Function:
    dtype, k = node.dtype("dtype"), node.integer("k", 0)

    def run(x: Array) -> Any:
        if x.ndim != 2:
            raise ValueError(f"expected 2 axes, got shape {x.shape}")
        limit = max(x.shape)
        rows, columns = x.shape
        return np.eye(rows, columns, max(-limit, min(limit, k)), x.dtype if dtype is None else dtype)

    return run
