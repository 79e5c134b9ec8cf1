"""Models and layers from configurations."""

from __future__ import annotations

from typing import Any

from rnnpack.formats.errors import FormatError
from rnnpack.formats.keras.dialects import keras_2_15
from rnnpack.layers.serialization import deserialize
from rnnpack.models import Model, Sequential
from rnnpack.restoring import restoring

# Bytes of the largest number that a weight may consist of.
_WIDEST = 8
# What constructors and calls raise for values that a configuration should not have.
_ANY = (
    ValueError, TypeError, KeyError, IndexError, AttributeError, NotImplementedError, ArithmeticError,
    AssertionError, RecursionError, MemoryError,
)  # fmt: skip


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
    try:
        with restoring(numbers * _WIDEST):
            layer = deserialize(translated, known)
            if input_shape is not None and not layer.built:
                layer.build(input_shape)
            return layer
    except FormatError:
        raise
    except _ANY as error:
        raise FormatError(f"the model cannot be made: {_line(error)}") from error


def _line(error: BaseException) -> str:
    text = " ".join(str(part) for part in error.args) or type(error).__name__
    return " ".join(text.split())[:500]
