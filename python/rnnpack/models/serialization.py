"""Models from configurations and JSON."""

from __future__ import annotations

import json
from typing import Any

from rnnpack.layers.serialization import deserialize


def model_from_config(config: Any, custom_objects: dict[str, Any] | None = None) -> Any:
    """A model, without weights, from `{"class_name", "config"}`.

    Args:
        config: class "Functional", "Model" or "Sequential", or a custom one, and its configuration.
        custom_objects: classes and functions by name, for what is not built in.

    Raises:
        ValueError: something is missing, unknown or does not fit; the part is named.
    """
    from rnnpack.models import reading

    reading.check_depth(config)
    if not isinstance(config, dict):
        raise ValueError(f"A model's configuration must be a dict, got a {type(config).__name__}")
    missing = [key for key in ("class_name", "config") if key not in config]
    if missing:
        raise ValueError(f"The configuration lacks {missing}")
    return deserialize({key: config[key] for key in ("class_name", "config")}, custom_objects)


def model_from_json(json_string: str, custom_objects: dict[str, Any] | None = None) -> Any:
    """A model, without weights, from what `to_json` of a model or of Keras 2.15 returned.

    Args:
        json_string: the text.
        custom_objects: classes and functions by name, for what is not built in.

    Raises:
        ValueError: not JSON, or as for `model_from_config`.
    """
    try:
        config = json.loads(json_string)
    except RecursionError:
        raise ValueError("The configuration is nested too deeply") from None
    return model_from_config(config, custom_objects)
