"""Configurations for Keras 3."""

from __future__ import annotations

from typing import Any

from rnnpack.engine import nest
from rnnpack.formats.errors import FormatError
from rnnpack.formats.keras.dialects.options import ANY, without
from rnnpack.formats.keras.exporting.keras2_config import check
from rnnpack.models import Model, Sequential, naming
from rnnpack.symbolic import SymbolicArray

# Options that Keras 3 no longer has, and their values that are the only behaviour now.
_GONE: dict[str, Any] = {
    "time_major": (False,), "implementation": ANY, "batch_input_shape": ANY, "input_length": (None,),
    "num_constants": (0,), "reverse_state_order": (False,), "sparse": (False,), "ragged": (False,),
}  # fmt: skip
_GONE_OF_LAYERS: dict[str, dict[str, Any]] = {
    "DepthwiseConv1D": {"groups": (1,)},
    "SpatialDropout1D": {"trainable": ANY, "noise_shape": (None,)},
    "MultiHeadAttention": {"query_shape": ANY, "value_shape": ANY, "key_shape": ANY},
}
_ACTIVATIONS = {"hard_sigmoid_keras3": "hard_sigmoid", "swish": "silu"}
_LACKING = ("hard_sigmoid",)
_NN_OPERATIONS = ("elu", "gelu", "relu", "selu", "sigmoid", "softmax", "softplus", "softsign", "swish")


def keras_3_config(model: Any) -> dict[str, Any]:
    """`{"module", "class_name", "config", "registered_name"}` of a model.

    Raises:
        FormatError: it has something that Keras 3 lacks.
    """
    check(model.get_config(), _LACKING, "Keras 3")
    return _model(model)


def _model(model: Any) -> dict[str, Any]:
    if isinstance(model, Sequential):
        entries = model.get_config()["layers"]
        layers: list[Any] = [None] * (len(entries) - len(model.layers)) + list(model.layers)
        config = {
            "name": model.name,
            "layers": [_entry(entry, layer) for entry, layer in zip(entries, layers, strict=True)],
        }
        return {"module": "keras", "class_name": "Sequential", "config": config, "registered_name": None}
    return {
        "module": "keras.src.models.functional",
        "class_name": "Functional",
        "config": _functional(model),
        "registered_name": "Functional",
    }


def _entry(entry: dict[str, Any], layer: Any) -> dict[str, Any]:
    """A layer's class and configuration; `layer` is None for an InputLayer."""
    return _model(layer) if isinstance(layer, Model) else _layer(entry)


def _layer(entry: dict[str, Any]) -> dict[str, Any]:
    class_name = entry["class_name"]
    config = dict(entry["config"])
    if class_name == "Operation":
        return _operation(config)
    if "layers" in config:
        raise FormatError(f"{config.get('name')}: a model inside a wrapper cannot be written for Keras 3")
    if class_name == "InputLayer":
        config["batch_shape"] = config["batch_input_shape"]
    if class_name == "BatchNormalization" and isinstance(config["axis"], (list, tuple)):
        if len(config["axis"]) != 1:
            raise FormatError(f"BatchNormalization: Keras 3 has no axis={config['axis']!r}")
        config["axis"] = config["axis"][0]
    if class_name == "LeakyReLU":
        config["negative_slope"] = config.pop("alpha")
    kept = without(f"{class_name} of Keras 3", config, {**_GONE, **_GONE_OF_LAYERS.get(class_name, {})})
    result = {key: _argument(key, value) for key, value in kept.items()}
    for key in ("activation", "recurrent_activation"):
        if isinstance(result.get(key), str):
            result[key] = _ACTIVATIONS.get(result[key], result[key])
    registered = entry.get("registered_name") or (class_name if ">" in class_name else None)
    return {
        "module": None if registered else "keras.layers",
        "class_name": class_name.split(">")[-1],
        "config": result,
        "registered_name": registered,
    }


def _operation(config: dict[str, Any]) -> dict[str, Any]:
    """What Keras 3 makes of `keras.ops` in a functional model."""
    name = config["function"].title().replace("_", "")
    module = "nn" if config["function"] in _NN_OPERATIONS else "numpy"
    inner = {"name": config["name"], **config["options"]}
    return {"module": f"keras.src.ops.{module}", "class_name": name, "config": inner, "registered_name": name}


def _argument(key: str, value: Any) -> Any:
    """A constructor argument: layers and other objects with the module that Keras 3 looks them up in."""
    if isinstance(value, list):
        return [_argument(key, one) for one in value]
    if not isinstance(value, dict) or "class_name" not in value or not isinstance(value.get("config"), dict):
        return value
    if value["class_name"] == "Policy":
        return value["config"]["name"]
    for kind in ("initializer", "regularizer", "constraint"):
        if key.endswith(kind):
            return {"module": f"keras.{kind}s", "registered_name": None, **value}
    return _layer(value)


def _functional(model: Any) -> dict[str, Any]:
    config, graph = model.get_config(), model._graph
    layers = {layer.name: layer for layer in model.layers}
    symbols = _symbols(graph)
    shift = {name: int(isinstance(layer, Model)) for name, layer in layers.items()}

    def tensor(reference: list[Any]) -> dict[str, Any]:
        name, call, output = reference[0], reference[1] - shift.get(reference[0], 0), reference[2]
        symbol = symbols[name, call, output]
        inner = {
            "shape": list(symbol.shape),
            "dtype": symbol.dtype.name,
            "keras_history": [name, call, output],
        }
        return {"class_name": "__keras_tensor__", "config": inner}

    def outside(reference: list[Any]) -> list[Any]:
        # Keras 3 counts the inner node of functional models here, of Sequential ones it does not.
        lower = int(isinstance(layers.get(reference[0]), Sequential))
        return [reference[0], reference[1] - lower, reference[2]]

    _check_masks(graph)
    entries = []
    for entry in config["layers"]:
        nodes = [_call(entry, node, tensor) for node in entry["inbound_nodes"]]
        made = _entry(entry, layers.get(entry["name"]))
        entries.append({**made, "name": entry["name"], "inbound_nodes": nodes})
    ends = {key: _mapped(config[key], outside) for key in ("input_layers", "output_layers")}
    return {"name": model.name, "trainable": model.trainable, "layers": entries, **ends}


def _symbols(graph: Any) -> dict[tuple[str, int, int], SymbolicArray]:
    """What each output of each call is."""
    slots = dict(enumerate(nest.flatten(graph.inputs)))
    for step in graph.steps:
        slots.update(zip(step.slots, step.outputs, strict=True))
    return {place: slots[slot] for slot, place in naming.producers(graph).items()}


def _check_masks(graph: Any) -> None:
    """Keras 3 does not pass a mask on to a recurrent layer that is called with initial states."""
    for step in graph.steps:
        inputs = nest.flatten(step.inputs)
        if len(inputs) == 1 and step.kwargs.get("initial_state") is None:
            continue
        if hasattr(step.layer, "return_state") and "mask" not in step.kwargs:
            symbols = {
                slot: symbol
                for one in graph.steps
                for slot, symbol in zip(one.slots, one.outputs, strict=True)
            }
            if getattr(symbols.get(inputs[0].slot), "_keras_mask", None) is not None:
                raise FormatError(
                    f"{step.layer.name}: Keras 3 would ignore the mask, as there are initial states"
                )


def _call(entry: dict[str, Any], node: Any, tensor: Any) -> dict[str, Any]:
    """One call, as positional and keyword arguments."""
    class_name = entry["class_name"]
    keywords: dict[str, Any] = {}

    def first(reference: list[Any]) -> Any:
        keywords.update(reference[3])
        return tensor(reference[:3])

    inputs = _mapped(node, first)
    if isinstance(inputs, list) and len(inputs) == 1:
        inputs = inputs[0]
    kwargs = {key: _mapped(value, tensor, keep=True) for key, value in keywords.items()}
    if isinstance(inputs, list) and class_name in ("RNN", "LSTM", "GRU", "SimpleRNN", "Bidirectional"):
        inputs, kwargs["initial_state"] = inputs[0], inputs[1:]
    if class_name != "Operation":
        return {"args": [inputs], "kwargs": kwargs}
    args = inputs if isinstance(inputs, list) else [inputs]
    for position, value in entry["config"]["constants"]:
        args.insert(position, _constant(value))
    return {
        "args": [args] if entry["config"]["function"] in ("concatenate", "stack") else args,
        "kwargs": kwargs,
    }


def _constant(value: Any) -> Any:
    """A constant of an operation; slices and the ellipsis of an index as Keras 3 writes them."""
    if isinstance(value, dict):
        return {"class_name": "__slice__", "config": value}
    if value == "...":
        return {"class_name": "__ellipsis__", "config": {}}
    return [_constant(one) for one in value] if isinstance(value, list) else value


def _mapped(value: Any, change: Any, keep: bool = False) -> Any:
    """The structure with every reference changed; other values only where they are to be kept."""
    if isinstance(value, (list, tuple)):
        if len(value) in (3, 4) and isinstance(value[0], str) and type(value[1]) is int:
            return change(list(value))
        return [_mapped(one, change, keep) for one in value]
    if isinstance(value, dict):
        return {key: _mapped(one, change, keep) for key, one in value.items()}
    if keep:
        return value
    raise FormatError(f"a call on {value!r} cannot be written for Keras 3")
