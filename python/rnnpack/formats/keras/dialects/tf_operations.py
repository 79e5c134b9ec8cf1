"""Functions of TensorFlow between layers, which Keras 2 stores as `TFOpLambda` and `SlicingOpLambda`."""

from __future__ import annotations

from typing import Any

from rnnpack.formats.errors import FormatError

CLASSES = ("TFOpLambda", "SlicingOpLambda")

# The last part of the function's name, what NumPy calls it, and its arguments after the first by position.
_BINARY = {
    **{
        name: name
        for name in (
            "add", "subtract", "multiply", "divide", "maximum", "minimum", "equal", "not_equal",
            "greater", "greater_equal", "less", "less_equal",
        )
    },
    "truediv": "true_divide",
    "pow": "power",
}  # fmt: skip
_UNARY = {
    name: name
    for name in ("abs", "exp", "log", "negative", "sqrt", "square", "tanh", "sigmoid", "relu", "softplus")
}
_REDUCTIONS = {f"reduce_{name}": name for name in ("mean", "sum", "max", "min", "prod", "any", "all")}
_CONSTANT = "_CONSTANT_VALUE"


def operation(entry: dict[str, Any]) -> dict[str, Any]:
    """A TensorFlow function as an `Operation` layer.

    Raises:
        FormatError: the function, or the way it is called, is not supported.
    """
    config, name = entry["config"], entry.get("name")
    function = str(config.get("function")).rsplit(".", 1)[-1]
    nodes = entry.get("inbound_nodes")
    node = nodes[0] if isinstance(nodes, (list, tuple)) and len(nodes) == 1 else None
    if not (isinstance(node, (list, tuple)) and len(node) == 4 and isinstance(node[3], dict)):
        raise FormatError(f"{name}: a call of tf.{config.get('function')} of this form is not supported")
    keywords = {key: value for key, value in node[3].items() if key != "name" and value is not None}
    arguments = [node[2] if node[0] == _CONSTANT else list(node[:3])]
    options: dict[str, Any] = {}
    if function in _BINARY and set(keywords) == {"y"}:
        made = _BINARY[function]
        arguments.append(keywords["y"])
    elif function in _UNARY and not keywords:
        made = _UNARY[function]
    elif function in _REDUCTIONS and set(keywords) <= {"axis", "keepdims"}:
        made, options = _REDUCTIONS[function], keywords
    elif function == "getitem" and set(keywords) == {"slice_spec"}:
        made = "get_item"
        arguments.append(keywords["slice_spec"])
    else:
        raise FormatError(f"{name}: the function tf.{config.get('function')} is not supported")
    inputs = [[*one, {}] for one in arguments if _is_reference(one)]
    constants = [[place, one] for place, one in enumerate(arguments) if not _is_reference(one)]
    made_config = {"name": name, "function": made, "constants": constants, "options": options}
    return {"class_name": "Operation", "config": made_config, "name": name, "inbound_nodes": [inputs]}


def _is_reference(value: Any) -> bool:
    return isinstance(value, (list, tuple)) and len(value) == 3 and isinstance(value[0], str)
