"""Layers and models of a Keras that runs in the same process."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np

from rnnpack.formats.errors import FormatError
from rnnpack.formats.keras.building import built
from rnnpack.formats.keras.weights.assignment import assign, paired


def from_keras(obj: Any, custom_objects: Any = None) -> Any:
    """A layer, cell or model of tf.keras (2.x) or Keras 3 as one of rnnpack, with the same weights.

    Keras is not imported: the object tells everything itself.

    Args:
        obj: with `get_config` and weights; an object that is not built gives one that is not built.
        custom_objects: names to classes and functions of rnnpack that stand for the user's own.

    Raises:
        FormatError: a class or option that rnnpack lacks, which is named, or no Keras object.
    """
    if isinstance(obj, type) or not all(hasattr(obj, name) for name in ("get_config", "trainable_weights")):
        raise FormatError(f"expected a layer, cell or model of Keras, got {type(obj).__name__}")
    try:
        config = obj.get_config()
    except NotImplementedError as error:
        raise FormatError(f"{type(obj).__name__} has no configuration: {error}") from None
    arrays = [np.asarray(value) for value in _values(obj)]
    entry = {"class_name": type(obj).__name__, "config": config}
    shape = _input_shape(obj) if arrays and "layers" not in config else None
    layer = built(entry, _version(obj), custom_objects, sum(array.size for array in arrays), shape)
    if arrays:
        assign(paired(layer, arrays))
    return layer


def _values(obj: Any) -> list[Any]:
    variables = [*obj.trainable_weights, *obj.non_trainable_weights]
    return [variable.numpy() if hasattr(variable, "numpy") else variable for variable in variables]


def _version(obj: Any) -> str:
    """The version of the Keras that the object's class, or the nearest base of it, comes from."""
    for base in type(obj).__mro__:
        package = base.__module__.split(".")[0]
        if package in ("keras", "tf_keras"):
            return str(getattr(sys.modules.get(package), "__version__", "2.15"))
    return "2.15"


def _input_shape(obj: Any) -> Any:
    """The shape that the object was built for."""
    stored = obj.get_build_config() if hasattr(obj, "get_build_config") else None
    stored = stored or {"input_shape": getattr(obj, "_build_input_shape", None)}
    shape = stored.get("input_shape") or next(iter(stored.get("shapes_dict", {}).values()), None)
    if shape is None:
        raise FormatError(f"{obj.name}: the input shape is not known")
    if hasattr(obj, "return_state") and isinstance(shape[0], (list, tuple)):
        shape = shape[0]  # the others are of initial states
    return tuple(shape)
