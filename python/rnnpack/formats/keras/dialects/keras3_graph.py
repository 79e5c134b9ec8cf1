"""Graphs of functional models: Keras 3's calls with arguments as Keras 2's tensors with keywords."""

from __future__ import annotations

from typing import Any

from rnnpack.formats.errors import FormatError
from rnnpack.formats.keras.dialects.plain import is_object
from rnnpack.formats.keras.names import snake_case

# What the positional arguments of `call` after the first are called.
_RECURRENT = ("initial_state", "mask", "training")
_RECURRENT_CLASSES = ("RNN", "LSTM", "GRU", "SimpleRNN", "Bidirectional")
_ATTENTION = "MultiHeadAttention"
_POSITIONAL = {
    **dict.fromkeys(_RECURRENT_CLASSES, _RECURRENT),
    _ATTENTION: ("value", "key", "query_mask", "value_mask", "key_mask", "attention_mask"),
    **dict.fromkeys(
        ("Functional", "Sequential", "BatchNormalization", "TimeDistributed"), ("training", "mask")
    ),
    **dict.fromkeys(("Attention", "AdditiveAttention", "Softmax"), ("mask",)),
}
_OPERATIONS = "keras.src.ops."


def as_keras_2(config: dict[str, Any]) -> dict[str, Any]:
    """A functional model's configuration with the nodes, inputs and outputs of Keras 2.15.

    Raises:
        FormatError: something without a counterpart.
    """
    entries = config["layers"]
    first = {entry.get("name"): _first_node(entry) for entry in entries}
    layers = []
    for entry in entries:
        layers.extend([_operation(entry, first)] if _is_operation(entry) else _layer(entry, first))
    sequentials = {entry.get("name") for entry in entries if entry.get("class_name") == "Sequential"}

    def outside(reference: list[Any]) -> list[Any]:
        # Keras 3 counts the inner node of nested functional models here already.
        shift = first.get(reference[0], 0) if reference[0] in sequentials else 0
        return [reference[0], reference[1] + shift, reference[2]]

    ends = {key: _each_reference(config.get(key), outside) for key in ("input_layers", "output_layers")}
    for key, value in ends.items():
        if _is_reference(value):
            ends[key] = [value]
    return {**config, "layers": layers, **ends}


def _first_node(entry: dict[str, Any]) -> int:
    """Keras 2 counts a nested model's own making as node 0."""
    config = entry.get("config")
    return int(isinstance(config, dict) and "layers" in config)


def _is_operation(entry: dict[str, Any]) -> bool:
    if "module" in entry:
        return str(entry["module"]).startswith(_OPERATIONS)
    # Keras 3 writes no modules into .h5 files; but only layers have these.
    return not {"trainable", "dtype", "layers"} & set(entry.get("config", {}))


def _layer(entry: dict[str, Any], first: dict[Any, int]) -> list[dict[str, Any]]:
    """A layer with its calls, after the operations that these need."""
    class_name = entry.get("class_name", "")
    nodes = [_node(class_name, node, first) for node in entry.get("inbound_nodes", [])]
    if class_name != _ATTENTION:
        return [{**entry, "inbound_nodes": nodes}]
    added: list[dict[str, Any]] = []
    for index, node in enumerate(nodes):
        _masked_attention(f"{entry.get('name')}_{index}", node[0], added)
    return [*added, {**entry, "inbound_nodes": nodes}]


def _masked_attention(name: str, node: list[Any], added: list[dict[str, Any]]) -> None:
    """Gives value and key the masks that Keras 3 passes beside them, and Keras 2 takes from them."""
    keywords = node[3]
    if "query_mask" in keywords:
        keywords["mask"] = keywords.pop("query_mask")
    for part in ("value", "key"):
        mask = keywords.pop(f"{part}_mask", None)
        if mask is not None and _is_reference(keywords.get(part)):
            inputs = [[*keywords[part], {}], [*mask, {}]]
            added.append(_operation_entry(f"{name}_{part}", {"function": "with_mask"}, inputs))
            keywords[part] = [f"{name}_{part}", 0, 0]


def _node(class_name: str, node: Any, first: dict[Any, int]) -> Any:
    """One call: the tensors of the first argument, each with all other arguments as keywords."""
    args, kwargs = _call(class_name, node)
    names = _POSITIONAL.get(class_name, ())
    if len(args) - 1 > len(names):
        raise FormatError(f"{class_name}: a call with {len(args)} positional arguments is not supported")
    kwargs = {**dict(zip(names, args[1:], strict=False)), **kwargs}
    keywords = {
        key: _references(value, first)
        for key, value in kwargs.items()
        if value is not None and key != "training"
    }
    if class_name in _RECURRENT_CLASSES and "initial_state" in keywords:
        # Keras 3 passes a mask on by itself only to calls on nothing but one tensor.
        keywords.setdefault("mask", None)
    return _with_keywords(_references(args[0], first), keywords, class_name)


def _call(class_name: str, node: Any) -> tuple[list[Any], dict[str, Any]]:
    if not isinstance(node, dict) or not isinstance(node.get("args"), (list, tuple)):
        raise FormatError(f"{class_name}: expected a call with args and kwargs, got {str(node)[:60]!r}")
    args, kwargs = list(node["args"]), dict(node.get("kwargs") or {})
    for key in ("inputs", "sequences", "query"):
        if not args and key in kwargs:
            args = [kwargs.pop(key)]
    if not args:
        raise FormatError(f"{class_name}: a call without inputs is not supported")
    return args, kwargs


def _with_keywords(inputs: Any, keywords: dict[str, Any], class_name: str) -> Any:
    if _is_reference(inputs):
        return [[*inputs, keywords]]
    if isinstance(inputs, (list, tuple)):
        return [[*one, keywords] for one in inputs if _checked(one, class_name)]
    if isinstance(inputs, dict):
        return {key: [*one, keywords] for key, one in inputs.items() if _checked(one, class_name)}
    raise FormatError(f"{class_name}: a call on {str(inputs)[:60]!r} is not supported")


def _checked(reference: Any, class_name: str) -> bool:
    if not _is_reference(reference):
        raise FormatError(f"{class_name}: a call on {str(reference)[:60]!r} is not supported")
    return True


def _operation(entry: dict[str, Any], first: dict[Any, int]) -> dict[str, Any]:
    """`keras.ops` in a graph as one `Operation` layer."""
    name, function = entry.get("name"), snake_case(entry["class_name"])
    nodes = entry.get("inbound_nodes", [])
    if len(nodes) != 1:
        raise FormatError(f"the operation {function} {name!r} is called {len(nodes)} times, expected once")
    args, kwargs = _call(function, nodes[0])
    inputs: list[Any] = []
    constants: list[Any] = []
    for position, value in enumerate(args):
        if _is_tensor(value):
            inputs.append(_reference(value, first))
        elif isinstance(value, (list, tuple)) and value and all(map(_is_tensor, value)) and len(args) == 1:
            inputs.extend(_reference(one, first) for one in value)
        else:
            constants.append([position, _index(value)])
    options = {
        key: value for key, value in {**entry["config"], **kwargs}.items() if key not in ("name", "dtype")
    }
    config = {"function": function, "constants": constants, "options": options}
    return _operation_entry(name, config, [[*one, {}] for one in inputs])


def _operation_entry(name: Any, config: dict[str, Any], inputs: list[Any]) -> dict[str, Any]:
    return {
        "class_name": "Operation",
        "config": {"name": name, **config},
        "name": name,
        "inbound_nodes": [inputs],
    }


def _index(value: Any) -> Any:
    """A constant; of an index, slices as dicts and an ellipsis as "...", which JSON can hold."""
    if isinstance(value, slice):
        return {"start": value.start, "stop": value.stop, "step": value.step}
    if value is Ellipsis:
        return "..."
    return [_index(one) for one in value] if isinstance(value, (list, tuple)) else value


def _is_tensor(value: Any) -> bool:
    return isinstance(value, dict) and value.get("class_name") == "__keras_tensor__" and is_object(value)


def _is_reference(value: Any) -> bool:
    return isinstance(value, (list, tuple)) and len(value) == 3 and isinstance(value[0], str)


def _reference(tensor: dict[str, Any], first: dict[Any, int]) -> list[Any]:
    """Layer, node and index of a tensor."""
    history = tensor["config"].get("keras_history") if isinstance(tensor["config"], dict) else None
    if not isinstance(history, (list, tuple)) or not _is_reference(history) or type(history[1]) is not int:
        raise FormatError(f"a tensor of the graph without keras_history: {str(tensor)[:60]!r}")
    return [history[0], history[1] + first.get(history[0], 0), history[2]]


def _references(value: Any, first: dict[Any, int]) -> Any:
    """The structure with every tensor as a reference."""
    if _is_tensor(value):
        return _reference(value, first)
    if isinstance(value, (list, tuple)):
        return [_references(one, first) for one in value]
    if isinstance(value, dict):
        return {key: _references(one, first) for key, one in value.items()}
    return value


def _each_reference(value: Any, change: Any) -> Any:
    if _is_reference(value):
        return change(value)
    if isinstance(value, (list, tuple)):
        return [_each_reference(one, change) for one in value]
    if isinstance(value, dict):
        return {key: _each_reference(one, change) for key, one in value.items()}
    raise FormatError(f"expected a layer's name, node and index, got {str(value)[:60]!r}")
