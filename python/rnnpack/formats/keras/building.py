"""Models and layers from configurations."""

from __future__ import annotations

from typing import Any

from rnnpack.formats.keras.dialects import keras_2_15
from rnnpack.formats.limits import restored_model
from rnnpack.layers.serialization import deserialize
from rnnpack.models import Model, Sequential


def built(entry: Any, version: str, custom_objects: Any, numbers: int, input_shape: Any = None) -> Any:
    """The model or layer of a configuration of any Keras version, its weights all zero.

    Args:
        entry: `{"class_name": ..., "config": ...}`.
        version: the Keras version that wrote it.
        custom_objects: names to the user's classes and functions.
        numbers: that its weights may have together.
        input_shape: what to build a layer for; models know it.

    Raises:
        FormatError: a class or option that is unknown, which is named.
    """
    translated = keras_2_15(entry, version)
    known = {"Functional": Model, "Model": Model, "Sequential": Sequential, **(custom_objects or {})}
    # float64 is the widest that weights may be, whatever a file stores them in.
    with restored_model("the model cannot be made", 8 * numbers):
        layer = deserialize(translated, known)
        if input_shape is not None and not layer.built:
            layer.build(input_shape)
    return layer
