"""Layers, cells and models to and from configurations."""

from __future__ import annotations

from typing import Any

from rnnpack.registry import deserialize_keras_object, get_registered_object, serialize_keras_object

# The layer whose configs hold code.
_LAMBDA = "Lambda"


def serialize(layer: Any) -> Any:
    """`{"class_name": ..., "config": ...}` of a layer or cell."""
    return serialize_keras_object(layer)


def deserialize(config: Any, custom_objects: dict[str, Any] | None = None) -> Any:
    """A layer or cell from its configuration.

    Raises:
        ValueError: unknown class, or one whose configuration holds code.
    """
    # Imported here: every layer module may need this one.
    from rnnpack import layers, models

    class_name = config.get("class_name") if isinstance(config, dict) else config
    if class_name == _LAMBDA and get_registered_object(class_name, custom_objects) is None:
        raise ValueError(
            "A Lambda layer holds code, and code in a model file is never run: write the layer as a class "
            'whose `__init__` takes what its config holds and pass it in `custom_objects={"Lambda": ...}`'
        )
    known = {name: getattr(layers, name) for name in layers.__all__}
    known.update(Functional=models.Model, Model=models.Model, Sequential=models.Sequential)
    return deserialize_keras_object(config, known, custom_objects, printable_module_name="layer")
