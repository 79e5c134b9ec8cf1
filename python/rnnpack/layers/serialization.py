"""Layers, cells and models to and from configurations."""

from __future__ import annotations

from typing import Any

from rnnpack.registry import deserialize_keras_object, serialize_keras_object


def serialize(layer: Any) -> Any:
    """`{"class_name": ..., "config": ...}` of a layer or cell."""
    return serialize_keras_object(layer)


def deserialize(config: Any, custom_objects: dict[str, Any] | None = None) -> Any:
    """A layer or cell from its configuration.

    Raises:
        ValueError: unknown class.
    """
    # Imported here: every layer module may need this one.
    from rnnpack import layers, models

    known = {name: getattr(layers, name) for name in layers.__all__}
    known.update(Functional=models.Model, Model=models.Model, Sequential=models.Sequential)
    return deserialize_keras_object(config, known, custom_objects, printable_module_name="layer")
