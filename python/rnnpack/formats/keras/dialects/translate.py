"""From any Keras version's configuration of a layer or model to that of Keras 2.15."""

from __future__ import annotations

from typing import Any

from rnnpack.formats.errors import FormatError
from rnnpack.formats.keras.dialects import cudnn, keras2_old, keras3, keras3_graph, tf_operations
from rnnpack.formats.keras.dialects.plain import is_object, plain

# Arguments that are layers.
_LAYER_KEYS = ("layer", "backward_layer", "cell")
# Of initializers: axes in Keras 3, the dtype in TensorFlow 1. A loaded model's weights are not initialized.
_OBJECT_KEYS_DROPPED = ("input_axes", "output_axes", "dtype")


def keras_2_15(entry: Any, version: str) -> dict[str, Any]:
    """Translates `{"class_name": ..., "config": ...}` of a layer, cell or model.

    Args:
        entry: as Keras wrote it, of any version.
        version: the Keras version that wrote it, such as "2.2.4"; "" means before files said so (Keras 1).

    Returns:
        The same thing as Keras 2.15 would write it; `entry` is not changed.

    Raises:
        FormatError: not a configuration, or an option without a counterpart, which is named.
    """
    major = int(version.split(".")[0]) if version.split(".")[0].isdigit() else 1
    try:
        return _translated(plain(entry), major)
    except FormatError:
        raise
    except Exception as error:  # whatever a part of another type than Keras writes leads to
        raise FormatError(f"not a configuration of Keras: {' '.join(str(error).split())[:200]}") from error


def _translated(entry: Any, major: int) -> dict[str, Any]:
    """A layer, cell or model, and everything in it."""
    if not is_object(entry):
        raise FormatError(f"expected a configuration with class_name and config, got {_short(entry)}")
    class_name, config = entry["class_name"], entry["config"]
    if class_name == "Lambda":
        raise FormatError(
            "a Lambda layer is code, which is not run; put a layer of your own in its place and name it in "
            "custom_objects"
        )
    if class_name == "Sequential":
        config = _sequential(config, major)
    elif isinstance(config, dict) and "layers" in config and "output_layers" in config:
        class_name = "Functional" if class_name == "Model" else class_name
        config = _functional(config, major)
    elif isinstance(config, dict):
        class_name, config = _layer(class_name, config, major)
    else:
        raise FormatError(f"{class_name}: expected a configuration, got {_short(config)}")
    return {**_identity(entry), "class_name": class_name, "config": config}


def _layer(class_name: str, config: dict[str, Any], major: int) -> tuple[str, dict[str, Any]]:
    config = {key: _argument(key, value, major) for key, value in config.items()}
    if major == 1:
        config = keras2_old.from_keras_1(class_name, config)
    translate = keras3.as_keras_2 if major >= 3 else keras2_old.modern
    config = translate(class_name, config)
    return cudnn.portable(class_name, config)


def _argument(key: str, value: Any, major: int) -> Any:
    """A constructor argument: layers are translated, other objects lose what is only Keras's."""
    if key in _LAYER_KEYS and is_object(value):
        return _translated(value, major)
    if key == "cells" and isinstance(value, list):
        return [_translated(cell, major) for cell in value]
    if key == "dtype":
        return _dtype(value)
    if is_object(value):
        config = value["config"]
        if isinstance(config, dict):
            config = {name: _argument(name, one, major) for name, one in config.items()}
            config = {name: one for name, one in config.items() if name not in _OBJECT_KEYS_DROPPED}
        return {**_identity(value), "class_name": value["class_name"], "config": config}
    return value


def _dtype(value: Any) -> Any:
    """The name of a dtype or policy, in whatever form it is written."""
    if is_object(value) and isinstance(value["config"], dict):
        if value["class_name"] in ("Policy", "PolicyV1", "DTypePolicy", "FloatDTypePolicy"):
            return value["config"].get("name")
        raise FormatError(f"the dtype policy {value['class_name']} is not supported")
    return value


def _identity(entry: dict[str, Any]) -> dict[str, Any]:
    """The registered name, where it is one of the user's own ("package>name")."""
    registered = entry.get("registered_name")
    return {"registered_name": registered} if isinstance(registered, str) and ">" in registered else {}


def _sequential(config: Any, major: int) -> dict[str, Any]:
    if isinstance(config, list):  # until Keras 2.2.3
        config = {"layers": config}
    if not isinstance(config, dict):
        raise FormatError(f"Sequential: expected a configuration, got {_short(config)}")
    entries = _list(config.get("layers"), "Sequential")
    return {**config, "layers": [_translated(entry, major) for entry in entries]}


def _functional(config: dict[str, Any], major: int) -> dict[str, Any]:
    _list(config["layers"], "Functional")
    if major >= 3:
        config = keras3_graph.as_keras_2(config)
    layers = []
    for entry in config["layers"]:
        if entry.get("class_name") in tf_operations.CLASSES:
            entry = tf_operations.operation(entry)
        layer = entry if entry.get("class_name") == "Operation" else _translated(entry, major)
        name = entry.get("name", layer["config"].get("name"))
        layers.append({**layer, "name": name, "inbound_nodes": entry.get("inbound_nodes", [])})
    return {**config, "layers": layers}


def _list(value: Any, owner: str) -> list[Any]:
    if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
        raise FormatError(f"{owner}: `layers` must be a list of configurations, got {_short(value)}")
    return value


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) < 60 else f"{text[:57]}..."
