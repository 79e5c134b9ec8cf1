"""Configurations for Keras 2.15: those of rnnpack, without what Keras lacks."""

from __future__ import annotations

from typing import Any

from rnnpack.formats.errors import FormatError

# Classes and functions of rnnpack alone.
_OWN = ("PeepholeLSTMCell", "ProjectedLSTMCell", "__mask__")
_ACTIVATIONS_OF_KERAS_3 = ("hard_sigmoid_keras3", "hard_silu", "relu6", "leaky_relu", "log_softmax")
_KEYWORDS = ("activation", "recurrent_activation")


def keras_2_config(model: Any) -> Any:
    """The configuration of a model.

    Raises:
        FormatError: it has something that Keras 2.15 lacks.
    """
    config = model.get_config()
    check(config, _ACTIVATIONS_OF_KERAS_3, "Keras 2.15", ("Operation",))
    return config


def check(value: Any, functions: tuple[str, ...], keras: str, classes: tuple[str, ...] = ()) -> None:
    """Raises FormatError for classes of rnnpack's own or in `classes`, and for activations in `functions`."""
    if isinstance(value, dict):
        class_name = value.get("class_name")
        if class_name in (*_OWN, *classes):
            raise FormatError(f"{keras} has no counterpart of {class_name}")
        for key in _KEYWORDS:
            if value.get(key) in functions:
                raise FormatError(f"{keras} has no counterpart of the activation {value[key]!r}")
        value = list(value.values())
    if isinstance(value, (list, tuple)):
        for item in value:
            check(item, functions, keras, classes)
