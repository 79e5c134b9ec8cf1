"""Builds the layer of a golden case and runs its steps, on live Keras and on the package alike.

A layer specification is ``{"$layer": class name, "config": constructor arguments}``; specifications may
stand anywhere inside a config. Two with the same ``"id"`` are one object.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

Convert = Callable[[Any], Any]


def build(spec: Any, classes: Mapping[str, Any], made: dict[str, Any] | None = None) -> Any:
    """Turn a specification into an object; containers are searched, other values returned as they are."""
    made = {} if made is None else made
    if isinstance(spec, list | tuple):
        return type(spec)(build(member, classes, made) for member in spec)
    if not isinstance(spec, dict):
        return spec
    if "$layer" not in spec:
        return {key: build(value, classes, made) for key, value in spec.items()}
    key = spec.get("id")
    if key is None or key not in made:
        config = build(spec["config"], classes, made)
        layer = classes[spec["$layer"]](**config)
        if key is None:
            return layer
        made[key] = layer
    return made[key]


def map_arrays(value: Any, convert: Convert) -> Any:
    """Apply ``convert`` to every array of a nested value."""
    if isinstance(value, np.ndarray):
        return convert(value)
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return type(value)(*(map_arrays(member, convert) for member in value))
    if isinstance(value, list | tuple):
        return type(value)(map_arrays(member, convert) for member in value)
    if isinstance(value, dict):
        return {key: map_arrays(member, convert) for key, member in value.items()}
    return value


def _follow(owner: Any, path: str) -> Any:
    """``owner.a.0.b`` for the path "a.0.b"."""
    for name in path.split("."):
        owner = owner[int(name)] if name.isdigit() else getattr(owner, name)
    return owner


def run_step(layer: Any, step: Mapping[str, Any], convert: Convert = lambda array: array) -> Any:
    """Run one step and return what the library returned.

    Operations: "call", "prime" (a call for its building only), "attribute" (path), "set_attribute"
    (path, value), "round_trip" (config of a layer re-created from config), otherwise the name of a method.
    Arrays reach ``call``, ``compute_mask`` and ``set_attribute`` through ``convert``.
    """
    args, kwargs = step.get("args", []), step.get("kwargs", {})
    op = step["op"]
    if op in ("call", "prime", "compute_mask"):
        args, kwargs = map_arrays(list(args), convert), map_arrays(kwargs, convert)
        return layer.compute_mask(*args, **kwargs) if op == "compute_mask" else layer(*args, **kwargs)
    if op == "attribute":
        return _follow(layer, args[0])
    if op == "set_attribute":
        path, value = args[0], map_arrays(args[1], convert)
        owner, _, name = path.rpartition(".")
        setattr(_follow(layer, owner) if owner else layer, name, value)
        return None
    if op == "round_trip":
        return type(layer).from_config(layer.get_config(), **kwargs).get_config()
    return getattr(layer, op)(*args, **kwargs)
