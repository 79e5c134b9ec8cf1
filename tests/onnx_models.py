"""Small ONNX models for tests, written with the package's own messages, without the onnx package."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from rnnpack.formats.onnx import messages, tensors, wire

Array = NDArray[Any]


def attribute(name: str, value: Any) -> messages.AttributeProto:
    """An attribute whose kind follows from the value's type."""
    made = messages.AttributeProto(name=name)
    if isinstance(value, (bool, int)):
        made.type, made.i = 2, int(value)
    elif isinstance(value, float):
        made.type, made.f = 1, value
    elif isinstance(value, str):
        made.type, made.s = 3, value.encode()
    elif isinstance(value, np.ndarray):
        made.type, made.t = 4, tensors.to_tensor(value, name)
    elif isinstance(value, messages.GraphProto):
        made.type, made.g = 5, value
    elif all(isinstance(item, int) for item in value):
        made.type, made.ints = 7, list(value)
    elif all(isinstance(item, str) for item in value):
        made.type, made.strings = 8, [item.encode() for item in value]
    else:
        made.type, made.floats = 6, list(value)
    return made


def node(op: str, inputs: str, outputs: str, name: str = "", **attributes: Any) -> messages.NodeProto:
    """A node; inputs and outputs are names separated by spaces, "-" for one left out."""
    return messages.NodeProto(
        op_type=op,
        name=name,
        input=["" if one == "-" else one for one in inputs.split()],
        output=["" if one == "-" else one for one in outputs.split()],
        attribute=[attribute(key, value) for key, value in attributes.items() if value is not None],
    )


def value_info(name: str, dtype: Any, shape: Any) -> messages.ValueInfoProto:
    """An input or output; sizes are numbers, names or None; shape None for no shape."""
    dims = [
        messages.Dimension(dim_value=size)
        if isinstance(size, int)
        else messages.Dimension(dim_param=size or "")
        for size in shape or ()
    ]
    number = tensors.type_number(np.dtype(dtype))
    described = None if shape is None else messages.TensorShapeProto(dims)
    return messages.ValueInfoProto(name, messages.TypeProto(messages.TensorTypeProto(number, described)))


def graph(
    nodes: list[messages.NodeProto],
    inputs: dict[str, tuple[Any, Any]],
    outputs: list[str],
    constants: dict[str, Array] | None = None,
    output_dtype: Any = np.float32,
) -> messages.GraphProto:
    """A graph; inputs map names to dtype and shape."""
    return messages.GraphProto(
        name="test",
        node=nodes,
        input=[value_info(name, *described) for name, described in inputs.items()],
        output=[value_info(name, output_dtype, None) for name in outputs],
        initializer=[tensors.to_tensor(array, name) for name, array in (constants or {}).items()],
    )


def file(made: messages.GraphProto, opset: int = 17) -> bytes:
    """The bytes of a file with this graph."""
    imports = [messages.OperatorSetIdProto(version=opset)]
    return wire.encode(messages.ModelProto(ir_version=8, graph=made, opset_import=imports))


def model(
    nodes: list[messages.NodeProto],
    inputs: dict[str, tuple[Any, Any]],
    outputs: list[str],
    constants: dict[str, Array] | None = None,
    opset: int = 17,
    output_dtype: Any = np.float32,
) -> bytes:
    """The bytes of a file with these nodes; see `graph`."""
    return file(graph(nodes, inputs, outputs, constants, output_dtype), opset)
